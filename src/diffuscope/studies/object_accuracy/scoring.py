"""Chains held against true masks: IoU per object and class, COCO's average precision, curves over thresholds."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.objects.annotation import Objects, with_planes
from diffuscope.analysis.objects.chain import Chain
from diffuscope.analysis.objects.segmentation_accuracy import (
    SHARES,
    Estimate,
    coverage,
    outcome,
)
from diffuscope.analysis.objects.segmentation_accuracy import Objects as Scored
from diffuscope.datasets.records import encode
from diffuscope.errors import InputError
from diffuscope.maps.choosing import grid_of
from diffuscope.maps.resize import Size
from diffuscope.run import Run
from diffuscope.studies.object_accuracy.truth import Truth

CEILING = "ceiling"
METRICS = ("AP", "AP50", "AP75")


@dataclass(frozen=True)
class ClassRow:
    """One class under one chain: objects, mean IoU, AP50 of masks and of boxes (None where COCO has none)."""

    name: str
    objects: int
    iou: float
    ap50_segm: float | None
    ap50_bbox: float | None


@dataclass(frozen=True)
class ChainRow:
    """One chain's line of the table.

    Attributes:
        name, chain: of the chain.
        iou: mean over classes of the mean IoU of their objects, 0 where nothing was found; 95% interval over
        pictures. The
            prediction is all that was found of the class in the picture.
        share: of the ceiling's.
        segm, bbox: COCO's AP (mean over IoU 0.5 to 0.95), AP50, AP75, from pycocotools.
        classes: per class.
        curve: mean IoU at each fixed threshold of `SHARES`, of the map alone (no later stage).
        missed: objects of which nothing was found.
        seconds: for a picture, annotation alone.
    """

    name: str
    chain: dict[str, Any]
    iou: Estimate
    share: float
    segm: dict[str, float]
    bbox: dict[str, float]
    classes: tuple[ClassRow, ...]
    curve: tuple[float, ...]
    missed: int
    seconds: float


@dataclass
class Findings:
    """What an evaluation found: the chains' rows, the ceiling (the true mask averaged over the finest grid's
    cells, at its best threshold), and what was looked at."""

    rows: list[ChainRow]
    ceiling: Estimate
    ceiling_threshold: float
    pictures: int
    objects: int
    missing: int
    unscored: int
    model: str
    reader: str
    seconds: float = 0.0
    thresholds: tuple[float, ...] = SHARES

    def row(self, name: str) -> ChainRow:
        """The row of a chain."""
        return next(each for each in self.rows if each.name == name)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return asdict(self)


@dataclass
class _Taken:
    """What is collected of one chain."""

    iou: list[float] = field(default_factory=list)
    curve: list[NDArray[np.float64]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    missed: int = 0


class Evaluation:
    """Collects, picture by picture, so that no run need stay on disk."""

    def __init__(self, chains: Mapping[str, Chain]) -> None:
        """
        Args:
            chains: name to chain.

        Raises:
            InputError: there is none.
        """
        if not chains:
            raise InputError("name at least one chain")
        self.chains = dict(chains)
        self._taken = {name: _Taken() for name in chains}
        self._ceiling: list[NDArray[np.float64]] = []
        self._classes: list[str] = []
        self._pictures: list[int] = []
        self._images: list[dict[str, Any]] = []
        self._truths: list[dict[str, Any]] = []
        self._numbers: dict[str, int] = {}
        self._unscored = 0
        self._model = self._reader = ""

    def add(self, truths: Iterable[Truth]) -> None:
        """Score every picture."""
        for truth in truths:
            self._add(truth)

    def _add(self, truth: Truth) -> None:
        run = truth.run
        size = (run.manifest.sampling.height, run.manifest.sampling.width)
        image = len(self._images) + 1
        self._images.append({"id": image, "height": size[0], "width": size[1]})
        self._model = run.manifest.model.id
        marked = dict.fromkeys(each.category for each in truth.objects)
        whole = {
            name: np.any([each.mask for each in truth.objects if each.category == name], axis=0)
            for name in marked
        }
        for each in truth.objects:
            self._truth(image, each.category, each.mask)
        grid = finest(run)
        for name, mask in whole.items():
            self._classes.append(name)
            self._pictures.append(truth.picture)
            self._ceiling.append(outcome(coverage(mask, grid), mask).iou)
        for name, chain in self.chains.items():
            began = time.perf_counter()
            found, maps = with_planes(run, chain)
            taken = self._taken[name]
            taken.seconds += time.perf_counter() - began
            self._reader = found.reading.reader
            self._results(taken, image, found, None if truth.exhaustive else set(marked))
            for category, mask in whole.items():
                own = [each.mask for each in found if each.category == category]
                predicted = np.any(own, axis=0) if own else np.zeros_like(mask)
                taken.missed += not own
                taken.iou.append(float((predicted & mask).sum() / (predicted | mask).sum()))
                taken.curve.append(outcome(maps.get(category), mask).iou)

    def _truth(self, image: int, category: str, mask: NDArray[np.bool_]) -> None:
        coded = encode(mask)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        self._truths.append(
            {
                "id": len(self._truths) + 1,
                "image_id": image,
                "category_id": self._numbers.setdefault(category, len(self._numbers) + 1),
                "segmentation": coded,
                "bbox": [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1],
                "area": int(mask.sum()),
                "iscrowd": 0,
            }
        )

    def _results(self, taken: _Taken, image: int, found: Objects, marked: set[str] | None) -> None:
        for each in found:
            if marked is not None and each.category not in marked:
                self._unscored += 1
                continue
            taken.results.append(
                {
                    "image_id": image,
                    "category": each.category,
                    "segmentation": encode(each.mask),
                    "bbox": list(each.box),
                    "score": each.score,
                }
            )

    def findings(self, missing: int = 0, seconds: float = 0.0) -> Findings:
        """The table.

        Raises:
            InputError: no picture has a true object.
        """
        if not self._classes:
            raise InputError(
                "no picture shows an object that was asked for, so nothing can be said; draw more"
            )
        scored = Scored(self._classes, self._pictures)
        every = np.ones(len(self._classes), bool)
        ceilings = np.stack(self._ceiling)
        best = int(np.argmax([scored.mean(ceilings[:, at], every) for at in range(len(SHARES))]))
        ceiling = scored.estimate(ceilings[:, best], every)
        rows = [self._row(name, scored, every, ceiling) for name in self.chains]
        return Findings(
            rows,
            ceiling,
            SHARES[best],
            len(self._images),
            len(self._truths),
            missing,
            self._unscored // len(self.chains),
            self._model,
            self._reader,
            seconds,
        )

    def _row(self, name: str, scored: Scored, every: NDArray[np.bool_], ceiling: Estimate) -> ChainRow:
        taken = self._taken[name]
        iou = np.array(taken.iou)
        curves = np.stack(taken.curve)
        segm, by_class_segm = average_precision(
            self._images, self._truths, taken.results, self._numbers, "segm"
        )
        bbox, by_class_bbox = average_precision(
            self._images, self._truths, taken.results, self._numbers, "bbox"
        )
        names = scored.classes
        classes = tuple(
            ClassRow(
                category,
                int((names == category).sum()),
                float(iou[names == category].mean()),
                by_class_segm.get(category),
                by_class_bbox.get(category),
            )
            for category in sorted(set(self._classes))
        )
        estimate = scored.estimate(iou, every)
        return ChainRow(
            name,
            self.chains[name].plain(),
            estimate,
            estimate.value / ceiling.value,
            segm,
            bbox,
            classes,
            tuple(scored.mean(curves[:, at], every) for at in range(len(SHARES))),
            taken.missed,
            taken.seconds / max(1, len(self._images)),
        )


def average_precision(
    images: Sequence[Mapping[str, Any]],
    truths: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, int],
    kind: str,
) -> tuple[dict[str, float], dict[str, float | None]]:
    """COCO's AP, AP50 and AP75 by pycocotools' own evaluator, and AP50 of each class.

    Args:
        results: with ``category`` by name; those of categories that no truth has count as errors of none.
        kind: ``segm`` or ``bbox``.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    known = [
        {
            **{name: value for name, value in each.items() if name != "category"},
            "category_id": numbers[each["category"]],
        }
        for each in results
        if each["category"] in numbers
    ]
    if kind == "bbox":
        known = [{name: value for name, value in each.items() if name != "segmentation"} for each in known]
    if not known:
        return dict.fromkeys(METRICS, 0.0), dict.fromkeys(numbers, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [dict(each) for each in images],
            "annotations": [dict(each) for each in truths],
            "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        }
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(known), kind)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    stats = [float(value) for value in evaluator.stats[:3]]
    # [threshold, recall, class, area, detections]: IoU 0.5, all areas, most detections
    precision = evaluator.eval["precision"][0, :, :, 0, -1]
    by_class: dict[str, float | None] = {}
    for index, number in enumerate(evaluator.params.catIds):
        category = next(name for name, each in numbers.items() if each == number)
        values = precision[:, index]
        by_class[category] = float(values.mean()) if (values > -1).any() else None
    return dict(zip(METRICS, stats, strict=True)), by_class


def finest(run: Run) -> Size:
    """The finest attention grid that the run kept."""
    kept = set(run.manifest.keep.sites)
    return max(
        (grid_of(site) for site in run.manifest.sites if site.name in kept),
        key=lambda grid: grid[0] * grid[1],
    )
