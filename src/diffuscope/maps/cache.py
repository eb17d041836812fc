"""Answers that took long, kept in the run's own folder: ``cache/<name>-<key>.safetensors``.

An entry belongs to one recording, as its manifest was when it was made (which names every file with its hash), and to
one release of this package. Anything else makes it void: a run that was pruned, went on or was copied over, a damaged
file. Nothing in the cache counts as part of the recording; the folder may be deleted at any time, and a run that cannot
be written is simply not helped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import CorruptRecordingError
from diffuscope.recording.layout import CACHE
from diffuscope.recording.tensors import TensorFile, write_safetensors

if TYPE_CHECKING:
    from diffuscope.recording import Recording

Array = NDArray[Any]

MOST_BYTES = 512 * 2**20
"""What a run's cache may take; the entries that were not used for longest make room."""


class RunCache:
    """The cache of one recording.

    Attributes:
        folder: where it lies; it need not be there.
    """

    def __init__(self, recording: Recording) -> None:
        self.folder = recording.path / CACHE
        self._recording = recording

    @cached_property
    def _owner(self) -> dict[str, str]:
        """What an entry must say to be of this recording and this release."""
        from diffuscope import __version__

        manifest = self._recording.manifest.model_dump_json().encode()
        return {"diffuscope": __version__, "manifest": hashlib.sha256(manifest).hexdigest()}

    def read(self, name: str, key: Mapping[str, str]) -> dict[str, Array] | None:
        """The tensors of an entry, or None where there is none that holds.

        Args:
            name: kind of answer, letters and dashes.
            key: everything that the answer depends on beside the recording.
        """
        return self._opened(self._path(name, key), key)

    def write(self, name: str, key: Mapping[str, str], tensors: Mapping[str, Array]) -> None:
        """Keep an answer. A folder that cannot be written is no error: it is asked again next time."""
        path = self._path(name, key)
        with contextlib.suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            notes = {**self._owner, "key": json.dumps(dict(key), sort_keys=True)}
            write_safetensors(path, tensors, notes)
            self._make_room(path)

    def entries(self, name: str) -> list[tuple[dict[str, str], dict[str, Array]]]:
        """Key and tensors of all entries of a kind that hold, the oldest first."""
        found = []
        with contextlib.suppress(OSError):
            for path in sorted(
                self.folder.glob(f"{name}-*.safetensors"), key=lambda path: path.stat().st_mtime
            ):
                with contextlib.suppress(CorruptRecordingError, ValueError, AttributeError):
                    key = json.loads(TensorFile(path).metadata.get("key", "{}"))
                    tensors = self._opened(path, key)
                    if tensors is not None:
                        found.append((key, tensors))
        return found

    def _path(self, name: str, key: Mapping[str, str]) -> Path:
        said = json.dumps(dict(key), sort_keys=True).encode()
        return self.folder / f"{name}-{hashlib.sha256(said).hexdigest()[:24]}.safetensors"

    def _opened(self, path: Path, key: Mapping[str, str]) -> dict[str, Array] | None:
        if not path.is_file():
            return None
        try:
            file = TensorFile(path, sealed=True)
            if file.metadata != {**self._owner, "key": json.dumps(dict(key), sort_keys=True)}:
                return None
            return {name: file.read(name) for name in file.keys()}  # noqa: SIM118 - a file, not a mapping
        except CorruptRecordingError:
            return None

    def _make_room(self, newest: Path) -> None:
        """Remove entries of another manifest or release, then the oldest, until the rest fits."""
        files = sorted(self.folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
        room = MOST_BYTES
        for path in [newest, *(each for each in files if each != newest)]:
            room -= path.stat().st_size
            if path != newest and (room < 0 or not self._is_ours(path)):
                path.unlink()

    def _is_ours(self, path: Path) -> bool:
        try:
            said = TensorFile(path).metadata
        except CorruptRecordingError:
            return False
        return all(said.get(name) == value for name, value in self._owner.items())


def digest(*arrays: NDArray[np.generic]) -> str:
    """SHA-256 of arrays' types, shapes and values: what a key says of tensors that an answer depends on."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape} ".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
