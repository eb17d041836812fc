"""Rows on their way into Parquet: a journal that a killed process leaves readable up to its last whole line.

A Parquet file is written whole or not at all, and thousands of small ones are slow to read. So rows are first
appended to ``journal/NNNNNN.jsonl``, one line each with a checksum before it, and flushed to the device; when there
are many, or the study stops, they become the parts ``tables/values/NNNNNN.parquet`` and then
``tables/runs/NNNNNN.parquet``, and the journal goes. The part of ``runs`` is what counts: from the moment it has its
name the journal of its number says nothing new. So each row is in exactly one place at every moment, whenever the
process is killed.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from diffuscope.errors import CorruptRecordingError, RunFolderError
from diffuscope.recording.files import write_atomic
from diffuscope.studies.tables import to_parquet, to_tables

PART_ROWS = 1000
"""Rows of a part."""

Entry = dict[str, Any]


class Journal:
    """The journal of one study, open for appending. One process at a time: `Study` holds the lock."""

    def __init__(self, folder: Path, *, part_rows: int = PART_ROWS) -> None:
        """Open it, and bring what an earlier process left into order: half a line is cut off, a journal whose part is
        there is dropped.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        self.folder, self.part_rows = folder, part_rows
        try:
            for name in ("journal", "tables/runs", "tables/values"):
                (folder / name).mkdir(parents=True, exist_ok=True)
            for name in ("journal", "tables/runs", "tables/values"):
                for left in (folder / name).glob(".*.part"):  # Of a write that was killed.
                    left.unlink()
            self.number = max((int(path.stem) for path in parts(folder)), default=-1) + 1
            self.path = folder / "journal" / f"{self.number:06d}.jsonl"
            for path in (folder / "journal").glob("*.jsonl"):
                if int(path.stem) < self.number:
                    path.unlink()
            self.entries, self._end = read_journal(self.path)
            self._file = self._open()
        except OSError as error:
            raise _unwritable(folder, error) from error

    def append(self, entries: Sequence[Entry]) -> None:
        """Commit rows: when this returns they are on the device.

        Raises:
            RunFolderError: they could not be written; none of them is committed.
        """
        if not entries:
            return
        lines = b"".join(map(_line, entries))
        try:
            view = memoryview(lines)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):  # Half a line is no row, here as after a kill.
                os.ftruncate(self._file, self._end)
            raise _unwritable(self.folder, error) from error
        self._end += len(lines)
        self.entries += entries
        if len(self.entries) >= self.part_rows:
            self.seal()

    def seal(self) -> None:
        """Make parts of what the journal holds, and begin a new one.

        Raises:
            RunFolderError: the parts could not be written; the journal stays as it is.
        """
        if not self.entries:
            return
        runs, values = to_tables(self.entries)
        try:
            for name, table in (("values", values), ("runs", runs)):
                write_atomic(
                    self.folder / "tables" / name / f"{self.number:06d}.parquet", [to_parquet(table)]
                )
            os.close(self._file)
            self._file = -1
            self.path.unlink()
            self.number += 1
            self.path = self.folder / "journal" / f"{self.number:06d}.jsonl"
            self.entries, self._end = [], 0
            self._file = self._open()
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def close(self) -> None:
        """Let go of the file. Rows that are no part yet stay in the journal."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> int:
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        os.ftruncate(file, self._end)
        return file


def parts(folder: Path) -> list[Path]:
    """Parts of the table of runs, in order."""
    return sorted(path for path in (folder / "tables" / "runs").glob("*.parquet") if path.stem.isdigit())


def pending(folder: Path) -> list[Entry]:
    """Rows that are committed and in no part yet. Reads only."""
    last = max((int(path.stem) for path in parts(folder)), default=-1)
    entries: list[Entry] = []
    for path in sorted((folder / "journal").glob("*.jsonl")):
        if int(path.stem) > last:
            entries += read_journal(path)[0]
    return entries


def read_journal(path: Path) -> tuple[list[Entry], int]:
    """Whole rows of a journal, and where the last of them ends.

    Raises:
        CorruptRecordingError: a line before the last is damaged, which no kill can do.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    entries, end = list[Entry](), 0
    for line in content.splitlines(keepends=True):
        entry = _entry(line)
        if entry is None:
            if content.count(b"\n", end) > 1:
                raise CorruptRecordingError(
                    f"{path} is damaged: row {len(entries) + 1} is not what was written"
                )
            break
        entries.append(entry)
        end += len(line)
    return entries, end


def _line(entry: Mapping[str, Any]) -> bytes:
    # ASCII: a line separator of Unicode inside a prompt must not look like the end of the line.
    text = json.dumps(entry, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _entry(line: bytes) -> Entry | None:
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    text = line[9:-1]
    if b"%08x" % zlib.crc32(text) != line[:8]:
        return None
    entry: Entry = json.loads(text)
    return entry


def _unwritable(folder: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot write to {folder}: {error.strerror or error}; every committed row is kept, "
        f"and the same command goes on "
        "from there"
    )


def chunks(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Entries, so many at a time."""
    chunk: list[Entry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
