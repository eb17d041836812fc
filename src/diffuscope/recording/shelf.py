"""Runs as they stand in a folder: which there are, how large each is, and whether one may be moved.

Nothing here changes a run. Looking is cheap: the manifest, and names and sizes of files; what is in them is
checked by `verify`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from diffuscope.errors import CorruptRecordingError, DiffuscopeError, RunFolderError, RunNotFoundError
from diffuscope.recording import layout
from diffuscope.recording.manifest import FileHash, Manifest
from diffuscope.recording.reader import Recording

State = Literal["complete", "stopped", "killed", "running", "damaged"]

RECENT = 60.0
"""Seconds: a run that has not ended and that changed so lately is taken to be written still."""

TRASH = ".trash"
"""Folder inside a folder of runs: what was removed from it, for a while."""

CHUNK = 2**20
"""Bytes that are read at a time."""

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


@dataclass(frozen=True)
class Shelved:
    """A run in a folder of runs.

    Attributes:
        path: its folder.
        state: ``complete``; ``stopped`` (it says why); ``killed`` (it ended without a word); ``running``;
            ``damaged``: its manifest cannot be trusted, or a file is missing or of another size.
        problem: why it was stopped, or what is damaged; None otherwise.
        bytes: of all files in its folder.
        created: when it was recorded; of the folder where the manifest does not say.
        manifest: None where it cannot be read.
    """

    path: Path
    state: State
    problem: str | None
    bytes: int
    created: datetime
    manifest: Manifest | None

    @property
    def name(self) -> str:
        """Of its folder: the run's id, unless someone renamed it."""
        return self.path.name


def list_runs(folder: str | Path) -> list[Shelved]:
    """The runs in a folder, newest first. Folders that are no run are passed over; a damaged run is listed
    with its problem.

    Raises:
        RunNotFoundError: there is no such folder.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        raise RunNotFoundError(f"there is no folder {folder}; name the folder of your runs with --runs")
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be read: {error.strerror or error}") from error
    runs = [look(folder / name) for name in names if is_run(folder / name)]
    return sorted(runs, key=lambda run: run.created, reverse=True)


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, damaged or not."""
    return os.path.isfile(folder / layout.MANIFEST)


def look(folder: Path) -> Shelved:
    """A run at a glance; never an error, whatever state it is in."""
    sizes = file_sizes(folder)
    manifest, problem = None, None
    state: State = "damaged"
    try:
        manifest = Recording.open(folder).manifest
    except DiffuscopeError as error:
        problem = str(error)
    if manifest is not None:
        problem = _missing(manifest, sizes)
        if problem is None:
            state, problem = _state(folder, manifest), manifest.stopped
    return Shelved(folder, state, problem, sum(sizes.values()), _created(folder, manifest), manifest)


def locate(name: str | Path, runs: Path) -> Path:
    """The folder of a run that is to be moved or changed, damaged or not.

    Args:
        name: a path, or the name of a run in `runs`.
        runs: folder of runs.

    Raises:
        RunNotFoundError: there is no run of that name.
        RunFolderError: it is a link to a run, which would be moved in its place, or lies in the trash.
    """
    folder = Path(name)
    if not is_run(folder) and (
        is_run(runs / folder) or (len(folder.parts) == 1 and not os.path.lexists(folder))
    ):
        folder = runs / folder
    if folder.name == layout.MANIFEST and os.path.isfile(folder):
        folder = folder.parent
    if not is_run(folder):
        Recording.open(folder)  # It knows how to say what is there instead.
    if folder.name in ("", ".."):  # The folder that one stands in has no name and no parent otherwise.
        folder = folder.resolve()
    if folder.is_symlink():
        raise RunFolderError(f"{folder} is a link to {folder.resolve()}; name that folder itself")
    if folder.resolve().parent.parent.name == TRASH:
        raise RunFolderError(f"{folder} is in the trash; bring it back first: diffuscope runs restore {name}")
    return folder


def refuse_while_written(folder: Path) -> None:
    """Refuse a run that is being recorded, or looks like it. A damaged manifest is not being written.

    Raises:
        RunFolderError: it is.
    """
    with suppress(CorruptRecordingError):
        if _is_written(folder, Recording.open(folder).manifest):
            raise RunFolderError(
                f"{folder} is still being recorded: it changed less than a minute ago; wait until it has ended "
                "(if the recording was killed: a minute), or use --force"
            )


def seem_idle(folder: Path) -> None:
    """Date a copy of a run so that it does not look as if it were being recorded."""
    past = time.time() - 2 * RECENT
    for name in (layout.MANIFEST, layout.EVENTS):
        with suppress(FileNotFoundError):
            os.utime(folder / name, (past, past))


def named_files(manifest: Manifest) -> list[FileHash]:
    """All files that a manifest names, those of steps last."""
    return [*manifest.files, *(file for step in manifest.steps for file in step.files)]


def content(folder: Path, file: FileHash) -> Iterator[bytes]:
    """A file of a run, piece by piece, checked against its size and hash when its end is reached.

    Raises:
        CorruptRecordingError: it is missing, no plain file of the run, or not what was written.
    """
    path, digest, size = folder / file.path, hashlib.sha256(), 0
    try:
        inside = path.resolve(strict=True).is_relative_to(folder.resolve())
        if not inside or not stat.S_ISREG(path.lstat().st_mode):
            raise CorruptRecordingError(f"{path} is no plain file in the run's folder")
        with path.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
    except FileNotFoundError:
        raise CorruptRecordingError(f"{path} is missing") from None
    except OSError as error:
        raise CorruptRecordingError(f"{path} cannot be read: {error.strerror or error}") from error
    if size != file.bytes:
        raise CorruptRecordingError(f"{path} has {size} bytes where {file.bytes} were written")
    if digest.hexdigest() != file.sha256:
        raise CorruptRecordingError(f"{path} was changed after it was written: its SHA-256 differs")


def file_sizes(folder: Path) -> dict[str, int]:
    """Every file below a folder, as a path with forward slashes, and its size; links count as themselves."""
    sizes = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with suppress(OSError):  # Gone meanwhile.
                sizes[path.relative_to(folder).as_posix()] = path.lstat().st_size
    return sizes


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the system says against writing becomes `RunFolderError`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, DiffuscopeError):
            raise
        raise RunFolderError(f"cannot write to {folder}: {error.strerror or error}") from error


def _state(folder: Path, manifest: Manifest) -> State:
    if manifest.complete:
        return "complete"
    if manifest.stopped is not None:
        return "stopped"
    return "running" if _is_written(folder, manifest) else "killed"


def _is_written(folder: Path, manifest: Manifest) -> bool:
    """Whether a run is being recorded now, as far as its files tell."""
    if manifest.complete or manifest.stopped is not None:
        return False
    newest = 0.0
    for name in (layout.MANIFEST, layout.EVENTS):
        with suppress(OSError):
            newest = max(newest, (folder / name).stat().st_mtime)
    return time.time() - newest < RECENT


def _missing(manifest: Manifest, sizes: dict[str, int]) -> str | None:
    """What a look at names and sizes finds wrong with a run's files."""
    wrong = [file for file in named_files(manifest) if sizes.get(file.path) != file.bytes]
    if not wrong:
        return None
    what = "is missing" if wrong[0].path not in sizes else "has another size than was written"
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"{wrong[0].path} {what}{more}"


def _created(folder: Path, manifest: Manifest | None) -> datetime:
    with suppress(ValueError):
        if manifest is not None:
            created = datetime.fromisoformat(manifest.created)
            return created if created.tzinfo is not None else created.replace(tzinfo=UTC)
    try:
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    except OSError:  # Gone meanwhile.
        return datetime.fromtimestamp(0, UTC)
