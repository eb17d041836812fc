"""One file that holds a run, to share it; and back to a run folder, trusting nothing.

An archive is a zip file without compression (tensors do not compress) with one folder in it: the manifest, the
files that it names, and ``events.jsonl``. Being stored, a file cannot unpack to more than it takes in the
archive, so there are no zip bombs among the archives that are read here. The same run always gives the same
bytes.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter, ValidationError

from diffuscope.errors import (
    CorruptRecordingError,
    InputError,
    RecordingError,
    RunFolderError,
    RunNotFoundError,
)
from diffuscope.recording import layout
from diffuscope.recording.files import flush_to_device, write_atomic
from diffuscope.recording.manifest import FileHash, Manifest, RelativePath
from diffuscope.recording.manifest_file import read_manifest
from diffuscope.recording.reader import Recording
from diffuscope.recording.shelf import (
    CHUNK,
    Progress,
    content,
    file_sizes,
    named_files,
    refuse_while_written,
    seem_idle,
    writing,
)
from diffuscope.recording.trash import Trash

SUFFIX = ".diffuscope.zip"
"""How the name of an archive ends unless the user names another."""

MAX_FILES = 200_000
MAX_PLAIN = 64 * 2**20
"""Files of an archive, and bytes of its manifest and of its events: far above what a recording has."""

_BAD_ZIP = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    struct.error,
    OSError,
)
"""What `zipfile` raises where an archive is not what it says, beside what it means to raise."""

_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that mean a device on Windows, whatever the folder and the suffix."""


@dataclass(frozen=True)
class Packed:
    """An archive that was written.

    Attributes:
        id: of the run.
        file: the archive.
        files, bytes: how many files it holds, and its size.
        left_out: files in the run's folder that are no part of the recording (a report, for example).
    """

    id: str
    file: Path
    files: int
    bytes: int
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Unpacked:
    """A run that came out of an archive: its id, its folder, how many files it has, and their bytes."""

    id: str
    path: Path
    files: int
    bytes: int


def pack_run(path: str | Path, out: str | Path | None = None, progress: Progress | None = None) -> Packed:
    """Write a run into one file, checking every file of it on the way.

    Args:
        path: the run's folder. One that was stopped is packed up to its last whole step.
        out: the archive, or a folder for it. Default: the run's name and `SUFFIX`, in the current folder.
        progress: called after each file.

    Raises:
        RunNotFoundError: there is no run.
        RunFolderError: the archive exists or cannot be written, or the run is still being recorded.
        CorruptRecordingError, SchemaVersionError: the run is damaged; nothing is written.
    """
    recording = Recording.open(path)
    folder, manifest = recording.path, recording.manifest
    refuse_while_written(folder)
    name = safe_name(folder.resolve().name)
    target = _target(out, name)
    seal = _plain_file(folder / layout.MANIFEST)
    parts: list[tuple[str, int, Iterable[bytes]]] = [(layout.MANIFEST, len(seal), [seal])]
    if (folder / layout.EVENTS).is_file():
        events = _plain_file(folder / layout.EVENTS)
        parts.append((layout.EVENTS, len(events), [events]))
    parts += [(file.path, file.bytes, content(folder, file)) for file in named_files(manifest)]
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        made = target.with_name(f".{secrets.token_hex(4)}.part")
        try:
            with made.open("xb") as file:
                _write_zip(file, name, parts, progress)
                file.flush()
                os.fsync(file.fileno())
            if _plain_file(folder / layout.MANIFEST) != seal:
                raise RunFolderError(f"{folder} was changed while it was packed; pack it again")
            _refuse_existing(target)
            os.rename(made, target)
        except BaseException:
            with suppress(OSError):
                made.unlink(missing_ok=True)
            raise
    packed = {name for name, _, _ in parts}
    left_out = tuple(sorted(set(file_sizes(folder)) - packed))
    return Packed(manifest.id, target, len(parts), target.stat().st_size, left_out)


def unpack_run(file: str | Path, runs: str | Path, progress: Progress | None = None) -> Unpacked:
    """Make a run folder of an archive. The folder gets its name when every file in it has been checked against
    the manifest, and is bit for bit the one that was packed.

    Args:
        file: the archive.
        runs: folder that gets the run's own folder, named after its id.
        progress: called after each file.

    Raises:
        RunNotFoundError: there is no such file.
        InputError: it is no archive of a run, or one that is not to be trusted (names that lead out of the
            folder, links, compression, more than one of a name).
        CorruptRecordingError, SchemaVersionError: what is in it is damaged, or of a later release.
        RunFolderError: a run of that id exists already, or the folder cannot be written.
    """
    file, runs = Path(file), Path(runs)
    with _opened(file) as archive:
        members = _members(file, archive)
        new = [folder for folder in (runs, *runs.parents) if not os.path.lexists(folder)]
        try:
            with writing(runs):
                runs.mkdir(parents=True, exist_ok=True)
                return _unpack(file, archive, members, runs, progress)
        except BaseException:
            for folder in new:  # Nothing is left behind, not even where nothing was.
                with suppress(OSError):
                    folder.rmdir()
            raise


def safe_name(name: str) -> str:
    """A name that a folder can have on every system, as much like `name` as can be."""
    name = "".join(char if char.isprintable() else "-" for char in name)
    name = re.sub(r'[\s/\\:*?"<>|-]+', "-", name)[:120].lstrip(".-").rstrip(".-") or "run"
    return f"run-{name}" if _DEVICES.fullmatch(name) else name


# Packing.


def _target(out: str | Path | None, name: str) -> Path:
    """Where an archive goes."""
    target = Path(name + SUFFIX) if out is None else Path(out)
    if target.is_dir():
        target = target / (name + SUFFIX)
    elif not target.suffix:
        target = target.with_name(target.name + SUFFIX)
    _refuse_existing(target)
    return target


def _refuse_existing(target: Path) -> None:
    if os.path.lexists(target):
        raise RunFolderError(f"{target} exists already; name another file, or remove it first")


def _plain_file(path: Path) -> bytes:
    """A small file that has no hash to check it with."""
    try:
        if path.is_symlink() or path.stat().st_size > MAX_PLAIN:
            raise CorruptRecordingError(f"{path} is a link, or larger than {MAX_PLAIN / 1e6:.0f} MB")
        return path.read_bytes()
    except OSError as error:
        raise CorruptRecordingError(f"{path} cannot be read: {error.strerror or error}") from error


def _write_zip(
    file: IO[bytes], name: str, parts: list[tuple[str, int, Iterable[bytes]]], progress: Progress | None
) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for done, (path, size, chunks) in enumerate(parts, start=1):
            # Without a time and with one kind of system: the same run gives the same bytes.
            info = zipfile.ZipInfo(f"{name}/{path}")
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            info.file_size = size  # So that it knows beforehand whether 32 bits are enough.
            with archive.open(info, "w") as member:
                for chunk in chunks:
                    member.write(chunk)
            if progress is not None:
                progress(done, len(parts))


# Unpacking.


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    if not os.path.isfile(file):
        what = "is a folder, not an archive of a run" if os.path.isdir(file) else "is not there"
        raise RunNotFoundError(f"{file} {what}")
    try:
        archive = zipfile.ZipFile(file)
    except _BAD_ZIP as error:
        raise InputError(f"{file} is no archive of a run: {error}") from error
    with archive:
        yield archive


def _members(file: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by their path in the run folder; each may be read, and none is what it must not be."""
    infos = [info for info in archive.infolist() if not _is_folder(info)]
    if len(infos) > MAX_FILES:
        raise InputError(f"{file} is no archive of a run: it holds {len(infos)} files")
    for info in infos:
        problem = _problem(info)
        if problem:
            raise InputError(f"{file} is not unpacked: {info.orig_filename!r} {problem}")
    if sum(info.file_size for info in infos) > file.stat().st_size:
        raise InputError(f"{file} is not unpacked: its files claim to be larger than the archive")
    if len({info.filename.casefold() for info in infos}) != len(infos):
        raise InputError(f"{file} is not unpacked: it holds two files of one name")
    manifests = [
        info.filename
        for info in infos
        if info.filename.rpartition("/")[2] == layout.MANIFEST and info.filename.count("/") < 2
    ]
    if len(manifests) != 1:
        raise InputError(
            f"{file} is no archive of a run: it holds {len(manifests)} manifests in place of one"
        )
    inside = manifests[0].removesuffix(layout.MANIFEST)
    stranger = next((info.filename for info in infos if not info.filename.startswith(inside)), None)
    if stranger is not None:
        raise InputError(f"{file} is not unpacked: {stranger!r} lies outside the run's folder")
    return {info.filename.removeprefix(inside): info for info in infos}


def _is_folder(info: zipfile.ZipInfo) -> bool:
    """Other programs write entries for folders, which say nothing."""
    return info.filename.endswith("/") and info.file_size == 0


def _problem(info: zipfile.ZipInfo) -> str | None:
    """Why a file of an archive is not to be unpacked."""
    try:
        TypeAdapter(RelativePath).validate_python(info.orig_filename)
    except ValidationError:
        return "is no name of a file inside a run"
    if info.filename != info.orig_filename or any(
        _DEVICES.fullmatch(part) or part[-1] in ". " for part in info.filename.split("/")
    ):
        return "is a name that not every system can have"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link, or something else that is no file"
    if info.flag_bits & 1:
        return "is encrypted"
    if info.compress_type != zipfile.ZIP_STORED:
        return "is compressed, which `diffuscope runs pack` does not do"
    if info.file_size != info.compress_size:
        return f"claims to have {info.file_size} bytes, and takes {info.compress_size}"
    return None


def _unpack(
    file: Path,
    archive: zipfile.ZipFile,
    members: dict[str, zipfile.ZipInfo],
    runs: Path,
    progress: Progress | None,
) -> Unpacked:
    with Trash(runs).workplace("run") as made:
        for name in layout.FOLDERS:
            (made / name).mkdir()
        manifest = _manifest(file, archive, members, made)
        place = runs / safe_name(manifest.id)
        _refuse_taken(file, place)
        named = {each.path: each for each in named_files(manifest)}
        strangers = sorted(members.keys() - named.keys() - {layout.MANIFEST, layout.EVENTS})
        if strangers:
            raise InputError(f"{file} is not unpacked: its manifest does not name {strangers[0]!r}")
        space, needed = shutil.disk_usage(made).free, sum(info.file_size for info in members.values())
        if needed > space:
            raise RunFolderError(
                f"{file} needs {needed / 1e6:.0f} MB in {runs}, which has {space / 1e6:.0f} MB left"
            )
        written = [made / layout.MANIFEST]
        for done, (name, info) in enumerate(members.items(), start=1):
            if name != layout.MANIFEST:
                written.append(_extract(file, archive, info, made / name, named.get(name)))
            if progress is not None:
                progress(done, len(members))
        # An interrupted run may lack its last steps, and nothing else.
        due = named_files(Recording.open(made).manifest)
        lacking = next((each.path for each in due if each.path not in members), None)
        if lacking is not None:
            raise CorruptRecordingError(f"{file} is damaged: it lacks {lacking}")
        flush_to_device(written)
        seem_idle(made)
        _refuse_taken(file, place)
        os.rename(made, place)
    return Unpacked(manifest.id, place, len(members), needed)


def _manifest(
    file: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], made: Path
) -> Manifest:
    """The manifest of an archive, which says what its other files must be."""
    info = members[layout.MANIFEST]
    if info.file_size > MAX_PLAIN:
        raise InputError(f"{file} is no archive of a run: its manifest has {info.file_size} bytes")
    path = _extract(file, archive, info, made / layout.MANIFEST, None)
    try:
        return read_manifest(path)
    except RecordingError as error:  # The path in it is of a folder that the user never sees.
        raise type(error)(str(error).replace(str(path), f"{file}: {layout.MANIFEST}")) from error


def _refuse_taken(file: Path, place: Path) -> None:
    if os.path.lexists(place):
        raise RunFolderError(
            f"{place} exists already; remove it first (diffuscope runs rm {place}), or unpack {file} elsewhere "
            "with --runs"
        )


def _extract(
    file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, named: FileHash | None
) -> Path:
    """Write one file of an archive, checked against the manifest's entry where there is one."""
    if named is not None and named.bytes != info.file_size:
        raise CorruptRecordingError(
            f"{file} is damaged: {named.path} has {info.file_size} bytes where {named.bytes} were written"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    sha256, _ = write_atomic(path, _chunks(file, archive, info), flush=False)
    if named is not None and named.sha256 != sha256:
        raise CorruptRecordingError(
            f"{file} is damaged: {named.path} was changed after it was packed: its SHA-256 differs"
        )
    return path


def _chunks(file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as member:
            while chunk := member.read(CHUNK):
                yield chunk
    except _BAD_ZIP as error:
        raise CorruptRecordingError(f"{file} is damaged: {info.filename}: {error}") from error
