"""``manifest.json`` as a file: cheap to rewrite after every step, and sealed, so that any later change shows.

The file's last field, ``sha256``, is the hash of all bytes before it. A manifest with a flipped digit in a
scale or a token's index is valid JSON and would give a wrong map without a word; with the seal it is an
error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json

from diffuscope.errors import CorruptRecordingError, RunNotFoundError, SchemaVersionError
from diffuscope.recording.files import write_atomic
from diffuscope.recording.manifest import SCHEMA_VERSION, FileHash, Manifest, Step

_SEAL = re.compile(rb',\n"sha256": "([0-9a-f]{64})"\n\}\n?\Z')
_GROWING = ("complete", "stopped", "steps", "files")


class ManifestFile:
    """The manifest of a run that is being written.

    What does not change is turned into JSON once, and each step once when it is whole, so that rewriting the
    file costs joining and hashing a few kilobytes whatever the number of steps. Not thread-safe.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        """Begin with no steps and no files, not complete. Writes nothing yet."""
        self.path = path
        self._base = manifest.model_copy(
            update={"complete": False, "stopped": None, "steps": [], "files": []}
        )
        self._lines = {
            name: json.dumps(value, ensure_ascii=False, allow_nan=False)
            for name, value in self._base.model_dump(mode="json").items()
            if name not in _GROWING
        }
        self._steps: list[tuple[Step, str]] = []
        self._files: list[tuple[FileHash, str]] = []
        self._written = 0
        self._state: dict[str, bool | str | None] = {"complete": False, "stopped": None}

    @property
    def manifest(self) -> Manifest:
        """The manifest as it stands."""
        return self._base.model_copy(
            update={
                **self._state,
                "steps": [step for step, _ in self._steps],
                "files": [file for file, _ in self._files],
            }
        )

    @property
    def complete(self) -> bool:
        """Whether the run was noted to have come to its end."""
        return bool(self._state["complete"])

    @property
    def whole_steps(self) -> int:
        """How many steps the file on disk names: those that a reader sees now."""
        return self._written

    def add_step(self, step: Step) -> None:
        """Name a step whose files are whole."""
        self._steps.append((step, step.model_dump_json()))

    def add_file(self, file: FileHash) -> None:
        """Name a file that belongs to no step; one of the same path is replaced."""
        self._files = [entry for entry in self._files if entry[0].path != file.path]
        self._files.append((file, file.model_dump_json()))

    def close(self, *, complete: bool, stopped: str | None) -> None:
        """Note how the run ended."""
        self._state = {"complete": complete, "stopped": stopped}

    def write(self) -> None:
        """Write the file atomically. Raises OSError, and leaves the file as it was, if that fails."""
        # Always flushed: a run that lost its last steps with the power opens; one that lost this does not.
        write_atomic(self.path, [self.text()])
        self._written = len(self._steps)

    def text(self) -> bytes:
        """The file's bytes: one field a line, one step a line, and the seal."""
        grown = {
            **{name: json.dumps(value, ensure_ascii=False) for name, value in self._state.items()},
            "steps": _list(line for _, line in self._steps),
            "files": _list(line for _, line in self._files),
        }
        fields = [f'"{name}": {grown.get(name) or self._lines[name]}' for name in Manifest.model_fields]
        # A lone surrogate, which a prompt from a broken terminal may hold, has no UTF-8.
        body = ("{\n" + ",\n".join(fields)).encode("utf-8", errors="replace")
        return body + b',\n"sha256": "%s"\n}\n' % hashlib.sha256(body).hexdigest().encode()


def read_manifest(path: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        RunNotFoundError: there is no such file.
        SchemaVersionError: it is of a version that this release does not know.
        CorruptRecordingError: it is no manifest, or not the one that was written.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise RunNotFoundError(f"there is no {path}") from None
    except OSError as error:
        raise CorruptRecordingError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        plain = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise CorruptRecordingError(f"{path} is no JSON: {error}") from error
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if type(version) is not int or version < 1:
        raise CorruptRecordingError(f"{path} is no manifest of a diffuscope run: it has no schema_version")
    if version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{path} is of version {version}; this release reads up to {SCHEMA_VERSION}: upgrade diffuscope"
        )
    seal = _SEAL.search(text)
    if seal is None or hashlib.sha256(text[: seal.start()]).hexdigest().encode() != seal[1]:
        raise CorruptRecordingError(
            f"{path} was damaged or changed after it was written: its checksum does not hold"
        )
    try:
        # Strict: a count is a number, not a text that looks like one.
        return Manifest.model_validate_json(text[: seal.start()] + b"}", strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise CorruptRecordingError(
            f"{path} is no manifest of version {version}: {where}: {first['msg']}"
        ) from error


def _list(lines: Iterable[str]) -> str:
    inside = ",\n  ".join(lines)
    return f"[\n  {inside}\n]" if inside else "[]"
