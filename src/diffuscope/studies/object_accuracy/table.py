"""Scores on disk, a line for each picture, so that an evaluation that was interrupted goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diffuscope.errors import InputError, RunFolderError
from diffuscope.studies.object_accuracy.scores import PictureScores


class ScoreTable:
    """Scores of pictures by their key; in a file where one is named.

    The first line says what was asked (model, chains, steps); scores of another question do not mix with it. Half a
    line, of a process that was killed, is taken off.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        """
        Args:
            path: of the file, begun if there is none; None keeps scores in memory alone.
            about: what is asked, as plain JSON values.

        Raises:
            InputError: the file holds scores of another question, or none.
            RunFolderError: it cannot be written.
        """
        self.path = path
        self._known: dict[str, PictureScores] = {}
        if path is None:
            return
        try:
            if path.exists() and path.stat().st_size:
                self._read(path, about)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_line(json.dumps(about, ensure_ascii=True)))
        except OSError as error:
            raise _unwritable(path, error) from error

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._known)

    def __getitem__(self, key: str) -> PictureScores:
        return self._known[key]

    def __iter__(self) -> Iterator[PictureScores]:
        return iter(self._known.values())

    def add(self, scores: PictureScores) -> None:
        """Keep a picture's scores; they are in the file when this returns.

        Raises:
            RunFolderError: they could not be written.
        """
        if self.path is not None:
            try:
                with self.path.open("ab") as file:
                    file.write(_line(scores.line()))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise _unwritable(self.path, error) from error
        self._known[scores.key] = scores

    def _read(self, path: Path, about: Mapping[str, Any]) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        if not lines[-1].endswith(b"\n"):
            lines.pop()
            with path.open("rb+") as file:
                file.truncate(sum(map(len, lines)))
        if not lines:
            path.write_bytes(_line(json.dumps(about, ensure_ascii=True)))
            return
        try:
            told = json.loads(lines[0])
            found = [PictureScores.from_line(line.decode("ascii")) for line in lines[1:]]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise InputError(f"{path} holds no scores of pictures: {error!r}; name another file") from error
        asked = json.loads(json.dumps(about))
        differs = [name for name in sorted({*told, *asked}) if told.get(name) != asked.get(name)]
        if differs:
            raise InputError(
                f"{path} holds scores of another question ({', '.join(differs)} differ); name another file"
            )
        self._known = {each.key: each for each in found}


def _line(text: str) -> bytes:
    return f"{text}\n".encode("ascii")


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"cannot write {path}: {error.strerror or error}")
