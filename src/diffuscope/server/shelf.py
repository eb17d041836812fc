"""The runs that a server has: found by id, opened once, listed without reading them again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffuscope import __version__
from diffuscope.errors import RunNotFoundError
from diffuscope.recording import layout
from diffuscope.recording.shelf import Shelved, is_run, look
from diffuscope.recording.trash import Trash, Trashed
from diffuscope.run import Run

OPEN = 8
"""Runs that are held open: each keeps files mapped and answers in memory."""

FORM = "1"
"""Grows when the answers about one and the same run change, so that what browsers keep becomes void."""


@dataclass
class Opened:
    """A run in use.

    Attributes:
        id: its name among the runs: that of its folder.
        run: the run.
        version: changes when its manifest does, or the form of the answers.
        lock: held while something is computed from it: readers share mapped files and caches.
    """

    id: str
    run: Run
    version: str
    lock: threading.Lock = field(default_factory=threading.Lock)


class Shelf:
    """The runs in a folder.

    Attributes:
        folder: of the runs.
        trash: theirs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trash = Trash(folder)
        self._opened: OrderedDict[str, tuple[tuple[int, int], Opened]] = OrderedDict()
        self._looked: dict[str, tuple[tuple[int, int], Shelved]] = {}
        self._lock = threading.Lock()

    def path(self, ident: str) -> Path:
        """The folder of a run by its id, which is a name and never a path.

        Raises:
            RunNotFoundError: there is no such run.
        """
        path = self.folder / ident
        try:
            if (
                is_name(ident)
                and is_run(path)
                and not path.is_symlink()
                and path.resolve().parent == self.folder.resolve()
            ):
                return path
        except (OSError, ValueError):
            pass
        raise RunNotFoundError(f"there is no run {ident[:80]!r}; GET /api/runs lists those there are")

    def open(self, ident: str) -> Opened:
        """A run in use.

        Raises:
            RunNotFoundError: there is no such run.
            CorruptRecordingError, SchemaVersionError: it cannot be read.
        """
        path = self.path(ident)
        mark = _mark(path)
        with self._lock:
            found = self._opened.get(ident)
            if found is not None and found[0] == mark:
                self._opened.move_to_end(ident)
                return found[1]
        opened = Opened(ident, Run.open(path), version_of(path))
        with self._lock:
            self._opened[ident] = (mark, opened)
            self._opened.move_to_end(ident)
            while len(self._opened) > OPEN:
                self._opened.popitem(last=False)
        return opened

    def every(self) -> list[Shelved]:
        """All runs, newest first; damaged ones too. A run that has ended and has not changed is not read again."""
        try:
            names = [path.name for path in self.folder.iterdir()]
        except OSError:
            return []
        there = []
        for name in names:
            try:
                path = self.path(name)
                mark = _mark(path)
            except RunNotFoundError:
                continue
            known = self._looked.get(name)
            if known is None or known[0] != mark or known[1].state in ("running", "killed"):
                known = self._looked[name] = (mark, look(path))
            there.append(known[1])
        for gone in set(self._looked) - set(names):
            self._looked.pop(gone, None)
        return sorted(there, key=lambda run: (run.created, run.name), reverse=True)

    def trashed(self) -> list[Trashed]:
        """What can be brought back."""
        return [each for each in self.trash.entries() if each.kind == "removed"]

    def let_go(self, ident: str) -> None:
        """Forget a run that is moved away."""
        with self._lock:
            self._opened.pop(ident, None)


def is_name(text: str) -> bool:
    """Whether a text can be the name of a folder of runs, and nothing but a name."""
    return (
        0 < len(text) <= 200
        and not text.startswith(".")
        and not any(char in '/\\:*?"<>|' or not char.isprintable() for char in text)
    )


def version_of(folder: Path) -> str:
    """What stands for the content of a run: 16 hex digits."""
    try:
        content = (folder / layout.MANIFEST).read_bytes()
    except OSError as error:
        raise RunNotFoundError(f"the run {folder.name} is gone") from error
    return hashlib.sha256(content + f"\n{__version__} {FORM}".encode()).hexdigest()[:16]


def _mark(folder: Path) -> tuple[int, int]:
    """What changes when a run's manifest is written anew."""
    try:
        found: Any = (folder / layout.MANIFEST).stat()
    except OSError as error:
        raise RunNotFoundError(f"the run {folder.name} is gone") from error
    return found.st_mtime_ns, found.st_size
