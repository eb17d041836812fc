"""The trash of a folder of runs: what was removed or pruned, whole, for a week.

An entry is a folder ``.trash/<time>-<kind>-<digits>`` that holds one run under its own name. A run gets there
and back by one rename, so a process that is killed at any moment leaves it in one place or the other, never
in parts. Whatever takes longer than a rename (building a run, deleting one) is done inside the trash, in
entries of kinds of their own that are never brought back.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from diffuscope.errors import DiffuscopeError, RunFolderError, RunNotFoundError, listed, near_first
from diffuscope.recording.reader import Recording
from diffuscope.recording.shelf import TRASH, file_sizes, writing

Kind = Literal["removed", "pruned", "undone"]
"""Why a run is in the trash: it was removed; it is what a pruned run was before; it is what an undone pruning
had made."""

KEPT = timedelta(days=7)
"""How long a run stays in the trash."""

_ABANDONED = timedelta(days=1)
"""After so long, what was being built belongs to a process that was killed."""

_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
_TIME = "%Y%m%dT%H%M%S%fZ"
_ENTRY = re.compile(r"(\d{8}T\d{12}Z)-([a-z]+)-[0-9a-f]{4}")
_BUILT, _LEAVING = "unfinished", "leaving"
"""Kinds that are no runs to bring back: one being built, and what is being deleted."""


@dataclass(frozen=True)
class Trashed:
    """A run in the trash.

    Attributes:
        path: where it lies now.
        kind: why.
        since: when it came here.
    """

    path: Path
    kind: Kind
    since: datetime

    @property
    def name(self) -> str:
        """The name of its folder when it was among the runs."""
        return self.path.name

    @property
    def entry(self) -> str:
        """Its name in the trash, unlike any other."""
        return self.path.parent.name

    @property
    def until(self) -> datetime:
        """From then on it may be deleted."""
        return self.since + KEPT

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(file_sizes(self.path).values())


@dataclass(frozen=True)
class Restored:
    """A run that was brought back.

    Attributes:
        path: where it stands again.
        taken: what it was in the trash.
        aside: the pruned run that stood in its place, in the trash now; None where the place was free.
    """

    path: Path
    taken: Trashed
    aside: Trashed | None


class Trash:
    """The trash of one folder of runs. It is made when something is put into it, and goes when it is empty.

    Every method that changes something raises `RunFolderError` where the system does not let it.

    Attributes:
        runs: the folder of runs.
        folder: of the trash, inside it.
    """

    def __init__(self, runs: str | Path) -> None:
        self.runs = Path(runs)
        self.folder = self.runs / TRASH

    def entries(self) -> list[Trashed]:
        """What can be brought back, the latest first."""
        found: list[Trashed] = []
        for folder, since, text in self._folders():
            kind = _KINDS.get(text)
            if kind is not None:
                found += [Trashed(path, kind, since) for path in _inside(folder)]
        return sorted(found, key=lambda run: (run.since, run.entry), reverse=True)

    def put(self, run: Path, kind: Kind = "removed") -> Trashed:
        """Move a run here."""
        with writing(self.folder):
            return self._move(run, kind)

    def delete(self, run: Path) -> None:
        """Delete a run at once and for good. It leaves its place whole before its files are deleted."""
        with writing(self.folder):
            moved = self._claim(_LEAVING)
            try:
                os.rename(run, moved / run.name)
            except BaseException:
                self._leave(moved)
                raise
            self._delete(moved)

    def discard(self, run: Trashed) -> None:
        """Delete something in the trash for good."""
        with writing(self.folder):
            self._delete(run.path.parent)

    def empty(self) -> list[Trashed]:
        """Delete everything for good, and say what it was."""
        gone = self.entries()
        for folder, _, _ in self._folders():
            with writing(self.folder):
                self._delete(folder)
        return gone

    def expire(self) -> list[Trashed]:
        """Delete what has been here for its time, and what killed processes left behind; say what runs they were.

        Raises nothing: what cannot be deleted now stays until the next time.
        """
        now = datetime.now(UTC)
        gone = [run for run in self.entries() if run.until <= now]
        done = {run.entry for run in gone}
        for folder, since, kind in self._folders():
            abandoned = now - since >= _ABANDONED and (kind == _BUILT or not _inside(folder))
            if folder.name in done or abandoned or kind == _LEAVING:
                with suppress(OSError):
                    self._delete(folder)
        return gone

    def find(self, wanted: str) -> Trashed:
        """What `restore` would bring back.

        Args:
            wanted: a run's name, which means what came here last under it; or the name of an entry.

        Raises:
            RunNotFoundError: there is nothing of that name.
        """
        entries = self.entries()
        # What an undone pruning had made is asked for by its entry: the name means what was lost.
        by_name = [run for run in entries if run.name == wanted and run.kind != "undone"]
        for run in [*(run for run in entries if run.entry == wanted), *by_name]:
            return run
        names = near_first(wanted, [run.name for run in entries if run.kind != "undone"])
        there = f"it has: {listed(names, 5)}" if names else "nothing in it was lost"
        raise RunNotFoundError(f"there is no {wanted!r} in the trash of {self.runs}; {there}")

    def restore(self, wanted: str) -> Restored:
        """Bring a run back to where it stood. What a pruning made of it goes to the trash in exchange.

        Raises:
            RunNotFoundError: there is nothing of that name in the trash.
            RunFolderError: another run stands in its place.
        """
        run = self.find(wanted)
        place = self.runs / run.name
        if not os.path.lexists(place):
            with writing(self.runs):
                self._return(run, place)
            return Restored(place, run, None)
        if run.kind == "removed" or not _one_run(run.path, place):
            raise RunFolderError(f"{place} exists; move it away, or remove it: diffuscope runs rm {place}")
        aside = self.exchange(place, run.path, "undone" if run.kind == "pruned" else "pruned")
        self._leave(run.path.parent)
        return Restored(place, run, aside)

    def exchange(self, place: Path, new: Path, kind: Kind) -> Trashed:
        """Put the run at `place` into the trash and another in its place.

        Raises:
            RunFolderError: it could not be done, and the run stands where it stood; or it lies in the trash,
                and the message says so.
        """
        with writing(place.parent):
            old = self._move(place, kind)
            try:
                os.rename(new, place)
            except BaseException as error:
                try:
                    self._return(old, place)
                except OSError:
                    if os.path.lexists(place):  # Interrupted when it was done.
                        raise error from None
                    raise RunFolderError(
                        f"cannot write to {place.parent}: {error}; the run lies whole in the trash: "
                        f"diffuscope runs restore {old.entry} --runs {self.runs}"
                    ) from error
                raise
            return old

    @contextmanager
    def workplace(self, name: str) -> Iterator[Path]:
        """An empty folder of that name to build a run in. What is left of it in the end is deleted: move it to
        its place when it is whole.

        Raises:
            RunFolderError: it cannot be made, or the system did not let the work be done.
        """
        with writing(self.runs):
            entry = self._claim(_BUILT)
            try:
                made = entry / name
                made.mkdir()
                yield made
            finally:
                shutil.rmtree(entry, ignore_errors=True)
                self._close()

    # Moving. These raise OSError.

    def _claim(self, kind: str) -> Path:
        """A new and empty entry."""
        while True:
            now = datetime.now(UTC).strftime(_TIME)
            entry = self.folder / f"{now}-{kind}-{secrets.token_hex(2)}"
            try:
                self.folder.mkdir(exist_ok=True)
                entry.mkdir()
                return entry
            except FileNotFoundError:  # The trash was empty, and another process has just removed it.
                if not self.runs.is_dir():
                    raise

    def _move(self, run: Path, kind: Kind) -> Trashed:
        entry = self._claim(kind)
        try:
            os.rename(run, entry / run.name)
        except BaseException:
            self._leave(entry)
            raise
        since = datetime.strptime(entry.name.partition("-")[0], _TIME).replace(tzinfo=UTC)
        return Trashed(entry / run.name, kind, since)

    def _return(self, run: Trashed, place: Path) -> None:
        os.rename(run.path, place)
        self._leave(run.path.parent)

    def _delete(self, entry: Path) -> None:
        """Delete an entry. It loses its kind first, so that what a kill leaves of it is never taken for a run."""
        if not _is_leaving(entry):
            since, _, digits = entry.name.split("-")
            leaving = entry.with_name(f"{since}-{_LEAVING}-{digits}")
            os.rename(entry, leaving)
            entry = leaving
        shutil.rmtree(entry)
        self._close()

    def _leave(self, entry: Path) -> None:
        """Remove an empty entry."""
        with suppress(OSError):
            entry.rmdir()
        self._close()

    def _close(self) -> None:
        with suppress(OSError):  # There is something in it.
            self.folder.rmdir()

    def _folders(self) -> Iterator[tuple[Path, datetime, str]]:
        """Entries of every kind, when they were made, and the kind. Strangers are passed over."""
        with suppress(FileNotFoundError, NotADirectoryError):
            for path in sorted(self.folder.iterdir()):
                match = _ENTRY.fullmatch(path.name)
                with suppress(ValueError):  # Digits that are no time.
                    if match is not None and path.is_dir() and not path.is_symlink():
                        yield path, datetime.strptime(match[1], _TIME).replace(tzinfo=UTC), match[2]


def _inside(entry: Path) -> list[Path]:
    try:
        return sorted(path for path in entry.iterdir() if path.is_dir())
    except OSError:  # Gone meanwhile.
        return []


def _is_leaving(entry: Path) -> bool:
    return entry.name.split("-")[1] == _LEAVING


def _one_run(trashed: Path, place: Path) -> bool:
    """Whether what stands at a place is the same run at another level, or too damaged to tell."""
    try:
        return Recording.open(trashed).manifest.id == Recording.open(place).manifest.id
    except RunNotFoundError:
        return False
    except DiffuscopeError:
        return True
