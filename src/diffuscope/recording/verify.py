"""Is a recording still what was written? Every file that the manifest names, against its size and SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diffuscope.recording import layout
from diffuscope.recording.manifest import FileHash
from diffuscope.recording.reader import Recording


@dataclass(frozen=True)
class Damage:
    """What is wrong with a file of a run: `file` relative to its folder."""

    file: str
    problem: str


@dataclass(frozen=True)
class Verification:
    """The outcome of `verify`.

    Attributes:
        id: of the run.
        complete: whether it was recorded to its end; a stopped run can be whole all the same, up to its last step.
        steps, of: whole steps, and steps that were planned.
        files, bytes: how many were checked.
        damage: what is wrong; empty for a run that is what was written.
        unnamed: files in the folder that the manifest does not name. They are never read as part of the run.
    """

    id: str
    complete: bool
    steps: int
    of: int
    files: int
    bytes: int
    damage: tuple[Damage, ...]
    unnamed: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether everything that the manifest names is there, unchanged."""
        return not self.damage


def verify(path: str | Path) -> Verification:
    """Check a run's folder. The manifest's own seal is checked on opening.

    Raises:
        RunNotFoundError: there is no run.
        CorruptRecordingError, SchemaVersionError: its manifest cannot be trusted, so nothing else can be checked.
    """
    recording = Recording.open(path)
    manifest, folder = recording.manifest, recording.path
    named = [*manifest.files, *(file for step in manifest.steps for file in step.files)]
    damage = tuple(Damage(file.path, problem) for file in named if (problem := _problem(folder, file)))
    known = {file.path for file in named} | {layout.MANIFEST, layout.EVENTS}
    return Verification(
        id=manifest.id,
        complete=manifest.complete,
        steps=len(manifest.steps),
        of=manifest.sampling.steps,
        files=len(named),
        bytes=sum(file.bytes for file in named),
        damage=damage,
        unnamed=tuple(sorted(set(_files(folder)) - known)),
    )


def _problem(folder: Path, file: FileHash) -> str | None:
    path = folder / file.path
    try:
        size = path.stat().st_size
        if size != file.bytes:
            return f"has {size} bytes where {file.bytes} were written"
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return None if digest == file.sha256 else "was changed after it was written: its SHA-256 differs"


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith((f"{layout.CACHE}/", f"{layout.REGIONS}/")):
            yield name
