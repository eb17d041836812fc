"""Writing a file so that it is there whole or not at all, and seeing to it that it stays."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from diffuscope.recording.manifest import FileHash

Buffer = bytes | bytearray | memoryview


def write_atomic(path: Path, parts: Iterable[Buffer], *, flush: bool = True) -> tuple[str, int]:
    """Write `parts` under a temporary name beside `path`, then rename: a reader sees the old file or the new.

    Args:
        path: where to; its folder exists.
        parts: the content, hashed as it goes by.
        flush: whether to wait until the content is on the device, so that after a power failure too the name
            stands for the whole content. A killed process loses nothing without it.

    Returns:
        SHA-256 in hex, and the number of bytes.

    Raises:
        OSError: it could not be written; nothing is left behind, and what was there before is untouched.
    """
    temporary = f"{path.parent}{os.sep}.{path.name}.{secrets.token_hex(4)}.part"
    digest, size = hashlib.sha256(), 0
    try:
        # Of the system's own: a file object takes as long to make as a small file to write.
        descriptor = os.open(temporary, _NEW, 0o666)
        try:
            for part in parts:
                digest.update(part)
                size += _write_whole(descriptor, part)
            if flush:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return digest.hexdigest(), size


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def _write_whole(descriptor: int, part: Buffer) -> int:
    """Write all of `part`, of which the system may take less at a time; its number of bytes."""
    left = memoryview(part).cast("B")
    size = left.nbytes
    while left:
        left = left[os.write(descriptor, left) :]
    return size


def write_hashed(folder: Path, name: str, parts: Iterable[Buffer], *, flush: bool = True) -> FileHash:
    """`write_atomic` of a file by its name in a run folder; its folder is made if it is missing."""
    path = folder / name
    if not os.path.isdir(path.parent):
        path.parent.mkdir(exist_ok=True)
    sha256, size = write_atomic(path, parts, flush=flush)
    return FileHash.model_construct(path=name, sha256=sha256, bytes=size)


def flush_to_device(paths: Iterable[Path], folders: Iterable[Path] | None = None) -> None:
    """Wait until files, and the names in folders, are on the device.

    Args:
        paths: the files.
        folders: by default those that the files are in.

    Raises:
        OSError: the device does not take them.
    """
    paths = list(paths)
    folders = {path.parent for path in paths} if folders is None else folders
    # Windows cannot flush a folder, and cannot flush a file that is open for reading alone.
    for path in paths if os.name == "nt" else [*paths, *folders]:
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
