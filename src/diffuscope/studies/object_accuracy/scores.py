"""One picture under every chain: what is kept of it, so that no recording need stay on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.objects.annotation import with_planes
from diffuscope.analysis.objects.chain import Chain
from diffuscope.analysis.objects.masks import box_of
from diffuscope.analysis.objects.segmentation_accuracy import coverage, outcome
from diffuscope.datasets.records import encode
from diffuscope.maps.choosing import grid_of
from diffuscope.maps.resize import Size
from diffuscope.run import Run
from diffuscope.studies.object_accuracy.truth import Marked, Truth

Mask = NDArray[np.bool_]
Note = dict[str, Any]
"""An annotation as COCO has it, with its ``category`` by name."""


@dataclass(frozen=True)
class ChainScores:
    """What one chain found in one picture.

    Attributes:
        results: annotations, each with its ``score`` and with ``marked``: whether the picture has a true mask of its
            category; None where nobody can say. Where truth is exhaustive all count as marked.
        iou: of each class of the picture, in the order of `PictureScores.classes`; 0 where nothing was found.
        curve: of each class, IoU of its map at each of `SHARES`; empty where there is no map.
        missed: classes of which nothing was found.
        seconds: annotation alone.
    """

    results: Sequence[Note]
    iou: Sequence[float]
    curve: Sequence[Sequence[float]] = ()
    missed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class PictureScores:
    """One picture.

    Attributes:
        key: what it is known by: seed and prompt, or its place in a dataset.
        prompt: number of its prompt: pictures of one prompt are alike, and are drawn again together.
        size: ``(height, width)``.
        model: that drew it.
        reader: of its prompt.
        classes: categories that have a true mask in it, each once.
        truths: true objects as COCO annotations, without numbers.
        ceiling: of each class, IoU of the true mask averaged over the finest grid's cells, at each of `SHARES`;
            empty where no grid is known.
        missing: things that were named and not found in it, or named or found twice.
        chains: name to what it found.
    """

    key: str
    prompt: int
    size: tuple[int, int]
    model: str
    reader: str
    classes: Sequence[str]
    truths: Sequence[Note]
    ceiling: Sequence[Sequence[float]]
    missing: int
    chains: Mapping[str, ChainScores] = field(default_factory=dict)

    def line(self) -> str:
        """As a line of JSON; numbers come back as they are."""
        return json.dumps(asdict(self), ensure_ascii=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_line(cls, line: str) -> PictureScores:
        """Raises ValueError, KeyError or TypeError where the line holds no scores."""
        told = json.loads(line)
        chains = {name: ChainScores(**each) for name, each in told.pop("chains").items()}
        size = (int(told["size"][0]), int(told["size"][1]))
        return cls(**{**told, "size": size}, chains=chains)


def score(truth: Truth, chains: Mapping[str, Chain]) -> PictureScores:
    """Hold chains against a picture's truth.

    Raises:
        as `annotate`.
    """
    run = truth.run
    size = (run.manifest.sampling.height, run.manifest.sampling.width)
    whole = merged(truth.objects)
    grid = finest(run)
    found: dict[str, ChainScores] = {}
    reader = ""
    for name, chain in chains.items():
        began = time.perf_counter()
        objects, maps = with_planes(run, chain)
        seconds = time.perf_counter() - began
        reader = objects.reading.reader
        notes = [
            result_note(
                each.category,
                each.mask,
                each.score,
                truth_known(each.category, whole, truth.unclear, exhaustive=truth.exhaustive),
            )
            for each in objects
        ]
        iou, missed = overlaps([(each.category, each.mask) for each in objects], whole)
        curve = [outcome(maps.get(category), mask).iou.tolist() for category, mask in whole.items()]
        found[name] = ChainScores(notes, iou, curve, missed, seconds)
    return PictureScores(
        truth.key,
        truth.prompt,
        size,
        run.manifest.model.id,
        reader,
        list(whole),
        [true_note(each) for each in truth.objects],
        [outcome(coverage(mask, grid), mask).iou.tolist() for mask in whole.values()],
        truth.missing,
        found,
    )


def merged(objects: Sequence[Marked]) -> dict[str, Mask]:
    """All that is marked of each category in one mask, in the order in which they stand."""
    names = dict.fromkeys(each.category for each in objects)
    return {name: np.any([each.mask for each in objects if each.category == name], axis=0) for name in names}


def overlaps(found: Sequence[tuple[str, Mask]], whole: Mapping[str, Mask]) -> tuple[list[float], int]:
    """IoU of all that was found of each category with its mask, and of how many nothing was found."""
    iou, missed = [], 0
    for category, mask in whole.items():
        own = [each for name, each in found if name == category]
        predicted = np.any(own, axis=0) if own else np.zeros_like(mask)
        missed += not own
        iou.append(float((predicted & mask).sum() / (predicted | mask).sum()))
    return iou, missed


def true_note(each: Marked) -> Note:
    """A true object as COCO has it."""
    return {
        "category": each.category,
        "segmentation": encode(each.mask),
        "bbox": list(box_of(each.mask)),
        "area": int(each.mask.sum()),
    }


def truth_known(
    category: str, whole: Mapping[str, Mask], unclear: Container[str], *, exhaustive: bool
) -> bool | None:
    """Whether the picture has a true mask of a category; None where nobody can say."""
    if exhaustive or category in whole:
        return True
    return None if category in unclear else False


def result_note(category: str, mask: Mask, value: float, marked: bool | None) -> Note:
    """Something found as COCO has it."""
    return {
        "category": category,
        "segmentation": encode(mask),
        "bbox": list(box_of(mask)),
        "score": value,
        "marked": marked,
    }


def finest(run: Run) -> Size:
    """The finest attention grid that the run kept."""
    kept = set(run.manifest.keep.sites)
    return max(
        (grid_of(site) for site in run.manifest.sites if site.name in kept),
        key=lambda grid: grid[0] * grid[1],
    )
