"""What a dataset is made of: a record for each picture, in a file that only grows.

``records.jsonl``: a JSON object a line, one for each picture with its annotations. A line counts when it is whole;
one that a killed process left half is taken off on the next opening. Everything else in a dataset's folder is made
from these lines.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.datasets.polygons import outlines
from diffuscope.errors import CorruptRecordingError, MissingExtraError

FILE = "records.jsonl"
LARGEST_ID = 2**52
"""Numbers below are exact as floats, which pycocotools and JavaScript keep them as."""


@dataclass(frozen=True)
class Annotation:
    """One object in a picture.

    Attributes:
        category: its name.
        rle: COCO's compressed run lengths, ``{"size": [height, width], "counts": text}``.
        polygons: its outer outlines, flat lists of x and y.
        box: x, y, width, height.
        area: pixels.
        score: as the maker of the annotation gives it.
        extra: more fields of the annotation in COCO's file: attributes, phrase, run, selection.
    """

    category: str
    rle: Mapping[str, Any]
    polygons: Sequence[Sequence[float]]
    box: Sequence[float]
    area: float
    score: float
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, category: str, mask: NDArray[np.bool_], score: float, **extra: Any) -> Annotation:
        """From a mask bool ``[y, x]``.

        Raises:
            MissingExtraError: pycocotools is not installed.
        """
        coded = encode(mask)
        y, x = np.nonzero(mask)
        box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1] if len(x) else [0, 0, 0, 0]
        return cls(category, coded, outlines(mask), box, int(mask.sum()), float(score), extra)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask, bool ``[y, x]``."""
        return decode(self.rle)


@dataclass(frozen=True)
class Picture:
    """A picture with its annotations.

    Attributes:
        key: what it is known by for good: its run's id, or a study's unit. Numbers follow from it.
        file_name: in the folder ``images``.
        width, height: in pixels.
        caption: the prompt.
        annotations: its objects; may be none.
        extra: more fields of the image in COCO's file: run, seed, model.
    """

    key: str
    file_name: str
    width: int
    height: int
    caption: str
    annotations: Sequence[Annotation] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> int:
        """Its number: the same wherever the picture is annotated."""
        return number_of(self.key)

    def annotation_id(self, index: int) -> int:
        """Number of one of its annotations."""
        return number_of(f"{self.key}#{index}")

    def line(self) -> str:
        """The record as a line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_line(cls, line: str) -> Picture:
        """Raises ValueError, KeyError or TypeError where the line is no record."""
        told = json.loads(line)
        annotations = tuple(Annotation(**each) for each in told.pop("annotations"))
        return cls(annotations=annotations, **told)


def number_of(key: str) -> int:
    """A number from 1 on that follows from a text: 52 bits of its SHA-256."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % (LARGEST_ID - 1) + 1


def mask_tools() -> Any:
    """`pycocotools.mask`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from pycocotools import mask
    except ModuleNotFoundError as error:
        raise MissingExtraError("COCO datasets", "objects") from error
    return mask


def encode(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's compressed run lengths of a mask ``[y, x]``, as JSON holds them."""
    coded = mask_tools().encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in coded["size"]], "counts": coded["counts"].decode("ascii")}


def decode(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The mask ``[y, x]`` of run lengths."""
    return np.asarray(mask_tools().decode({"size": list(rle["size"]), "counts": rle["counts"]}), bool)


class Records:
    """The file of a dataset's records.

    Attributes:
        path: the file.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError where the folder cannot be written."""
        self.path = folder / FILE
        self._mend()

    def append(self, pictures: Sequence[Picture]) -> None:
        """Add records; they are on the device when this returns."""
        with self.path.open("ab") as file:
            file.write("".join(f"{picture.line()}\n" for picture in pictures).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())

    def __iter__(self) -> Iterator[Picture]:
        """Every picture, in order, one at a time in memory; of a key that stands twice the last.

        Raises:
            CorruptRecordingError: a line is no record.
        """
        last = self.keys()
        for number, line in self._lines():
            try:
                picture = Picture.from_line(line)
            except (ValueError, KeyError, TypeError) as error:
                raise CorruptRecordingError(f"{self.path}, line {number}, is no record: {error}") from error
            if last.get(picture.key) == number:
                yield picture

    def keys(self) -> dict[str, int]:
        """Key of each picture to the number of its last line."""
        found: dict[str, int] = {}
        for number, line in self._lines():
            try:
                found[str(json.loads(line)["key"])] = number
            except (ValueError, KeyError, TypeError) as error:
                raise CorruptRecordingError(f"{self.path}, line {number}, is no record: {error}") from error
        return found

    def _lines(self) -> Iterator[tuple[int, str]]:
        if not self.path.exists():
            return
        with self.path.open(encoding="ascii") as file:
            yield from enumerate(file, start=1)

    def _mend(self) -> None:
        """Take off what a killed process left of its last line."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return
        with self.path.open("rb+") as file:
            at = size
            while at > 0:
                step = min(at, 65_536)
                file.seek(at - step)
                whole = file.read(step).rfind(b"\n")
                if whole >= 0:
                    at = at - step + whole + 1
                    break
                at -= step
            if at < size:
                file.truncate(at)
