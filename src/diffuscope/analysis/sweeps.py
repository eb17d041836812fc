"""Sweeps: many variations of one run, each with what it changed, and the folder that keeps them.

`Lens.sweep` makes them (`engine.sweep`); what it has left on disk is read here, without a model.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope import edits as values
from diffuscope.analysis.comparing import NOTICED, delta_e
from diffuscope.edits import Edit
from diffuscope.errors import CorruptRecordingError, EditError, InputError, RunFolderError, RunNotFoundError
from diffuscope.plain_json import finite
from diffuscope.recording.files import write_atomic

JOURNAL = "sweep.jsonl"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Swept:
    """One variation of a run.

    Attributes:
        index: which of the sweep's items it is.
        edits: what was done; not the edits that the run itself was made with.
        image: the picture with them.
        unedited: the picture of the batch's row without them: what the variation is compared with.
        latent: root mean square difference of the last latent to that row's, before decoding.
        first: the first step that was drawn anew; those before are the run's own.
        run, baseline: folders of this row's recording and the unedited row's, where they were kept.
        made: whether it was drawn now; else it was read from disk.
    """

    index: int
    edits: tuple[Edit, ...]
    image: Image.Image
    unedited: Image.Image
    latent: float
    first: int
    run: Path | None = None
    baseline: Path | None = None
    made: bool = True

    @cached_property
    def change(self) -> NDArray[np.float32]:
        """CIE76 delta-E of each pixel to the unedited row's, `[y, x]`, in CIELAB of D65."""
        return delta_e(self.unedited, self.image).astype(np.float32)

    @property
    def mean(self) -> float:
        """Of the change, over all pixels."""
        return float(self.change.mean(dtype=np.float64))

    @property
    def largest(self) -> float:
        """Of the change."""
        return float(self.change.max())

    @property
    def noticed(self) -> float:
        """Share of pixels that changed by more than is just noticed (2.3)."""
        return float((self.change > NOTICED).mean())

    def describe(self) -> str:
        """What was done, as one line of English."""
        return "; ".join(each.describe() for each in self.edits) or "no edit"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values: the edits and the numbers."""
        plain: dict[str, Any] = finite(
            {
                "index": self.index,
                "edits": values.to_json(self.edits),
                "change": {
                    "unit": "delta-E (CIE76)",
                    "mean": self.mean,
                    "largest": self.largest,
                    "noticed": self.noticed,
                },
                "latent": self.latent,
                "first": self.first,
                "run": None if self.run is None else str(self.run),
                "baseline": None if self.baseline is None else str(self.baseline),
                "made": self.made,
            }
        )
        return plain


def key_of(edits: Sequence[Edit]) -> str:
    """A name for a list of edits, equal for equal lists.

    Raises:
        EditError: one is a function, which has no form to compare by.
    """
    for each in edits:
        inner = each.edit if isinstance(each, values.Control) else each
        if isinstance(inner, values.Custom):
            raise EditError(
                f"custom: the function {inner.name} has no form on disk, so a sweep with it cannot be kept and taken "
                "up again; leave out= away"
            )
    text = json.dumps(values.to_json(edits), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class SweepFolder:
    """A sweep on disk: a journal of one line for each variation, written when its pictures are there, and pictures.

    A process that is killed loses the batch that it was drawing. Half a line at the end is left out on reading, and a
    variation whose pictures are not what the journal says counts as not there.
    """

    def __init__(self, path: str | Path) -> None:
        """Raises RunNotFoundError if there is no sweep in this folder."""
        self.path = Path(path)
        try:
            lines = (self.path / JOURNAL).read_bytes().split(b"\n")
        except OSError as error:
            raise RunNotFoundError(f"{path} holds no sweep ({JOURNAL} is not there)") from error
        entries = [entry for entry in map(_read_line, lines[:-1]) if entry is not None]
        if not entries or entries[0].get("sweep") != VERSION:
            raise CorruptRecordingError(f"{self.path / JOURNAL} does not begin as a sweep's journal does")
        self.head: dict[str, Any] = entries[0]
        """Of which run it is, and how it was drawn."""
        self.entries: dict[str, dict[str, Any]] = {entry["key"]: entry for entry in entries[1:]}
        """What was made, by `key_of` its edits."""

    @classmethod
    def make(cls, path: str | Path, head: Mapping[str, Any]) -> SweepFolder:
        """Open a folder for a sweep, which is made where it is not there.

        Raises:
            InputError: it holds another sweep, and the message says what differs.
            RunFolderError: it cannot be written.
        """
        place = Path(path)
        head = json.loads(json.dumps({"sweep": VERSION, **head}))
        try:
            (place / "pictures").mkdir(parents=True, exist_ok=True)
            if not (place / JOURNAL).exists():
                write_atomic(place / JOURNAL, [_line(head)])
        except OSError as error:
            raise _unwritable(place, error) from error
        found = cls(place)
        other = sorted(name for name in {*head, *found.head} if head.get(name) != found.head.get(name))
        if other:
            raise InputError(
                f"{place} holds a sweep with another {', '.join(other)}: choose another folder with out="
            )
        return found

    def get(self, key: str) -> Swept | None:
        """What was made with these edits; None where nothing was, or it is damaged. `index` is -1."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        try:
            image, unedited = (self._picture(entry[name]) for name in ("image", "unedited"))
            run, baseline = (
                None if entry.get(name) is None else self.path / entry[name] for name in ("run", "baseline")
            )
            if any(each is not None and not each.is_dir() for each in (run, baseline)):
                return None
            edits = tuple(values.from_json(list(entry["edits"])))
            latent, first = float(entry["latent"]), int(entry["first"])
        except (KeyError, TypeError, ValueError, OSError):
            return None
        return Swept(-1, edits, image, unedited, latent, first, run, baseline, made=False)

    def add(self, made: Sequence[Swept]) -> None:
        """Keep variations of one batch.

        Raises:
            RunFolderError: they cannot be written.
        """
        try:
            lines = []
            for each in made:
                entry = {
                    "key": key_of(each.edits),
                    "edits": values.to_json(each.edits),
                    "image": self._keep(each.image),
                    "unedited": self._keep(each.unedited),
                    "latent": each.latent,
                    "first": each.first,
                    **{
                        name: None if folder is None else folder.relative_to(self.path).as_posix()
                        for name, folder in (("run", each.run), ("baseline", each.baseline))
                    },
                }
                self.entries[entry["key"]] = entry
                lines.append(_line(entry))
            with (self.path / JOURNAL).open("r+b") as file:
                # Behind the last whole line: a killed process may have left half of one.
                end = file.read().rfind(b"\n") + 1
                file.seek(end)
                file.truncate()
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _keep(self, image: Image.Image) -> str:
        """Write a picture under its content's name, once."""
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        content = buffer.getvalue()
        name = f"pictures/{hashlib.sha256(content).hexdigest()}.png"
        if not (self.path / name).exists():
            write_atomic(self.path / name, [content])
        return name

    def _picture(self, name: str) -> Image.Image:
        path = self.path / "pictures" / Path(name).name
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != path.stem:
            raise ValueError(f"{path} is damaged")
        with Image.open(io.BytesIO(content)) as image:
            return image.convert("RGB")


def read_sweep(path: str | Path) -> list[Swept]:
    """What a sweep has left in a folder, in the order in which it was made; `index` counts that order.

    Raises:
        RunNotFoundError, CorruptRecordingError: there is no sweep, or its journal is none.
    """
    folder = SweepFolder(path)
    found = [each for key in folder.entries if (each := folder.get(key)) is not None]
    return [replace(each, index=index) for index, each in enumerate(found)]


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(finite(dict(entry)), ensure_ascii=False).encode() + b"\n"


def _read_line(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, UnicodeDecodeError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and ("sweep" in entry or "key" in entry) else None


def _unwritable(folder: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot write a sweep to {folder}: {error.strerror or error}; choose another folder"
    )
