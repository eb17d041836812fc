"""COCO's average precision, by pycocotools' own evaluator."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.objects.segmentation_accuracy import RESAMPLES, Estimate

METRICS = ("AP", "AP50", "AP75")
SUMMARY = (
    *("AP", "AP50", "AP75", "AP small", "AP medium", "AP large"),
    *("AR 1", "AR 10", "AR 100", "AR small", "AR medium", "AR large"),
)
"""What pycocotools sums up, in its order; small is below 32x32 pixels of area, large above 96x96."""


@dataclass(frozen=True)
class Precision:
    """What COCO's evaluator says.

    Attributes:
        metrics: AP (mean over IoU 0.5 to 0.95), AP50, AP75.
        ap50: AP50 with its 95% interval, groups of pictures drawn again.
        by_class: AP50 of each class; None where COCO has none.
        summary: all of `SUMMARY`; -1 where there is nothing to say.
        text: the evaluator's own summary, as it prints it.
    """

    metrics: dict[str, float]
    ap50: Estimate
    by_class: dict[str, float | None]
    summary: dict[str, float]
    text: str


def average_precision(
    images: Sequence[Mapping[str, Any]],
    truths: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, int],
    kind: str,
    groups: Sequence[int] | None = None,
) -> Precision:
    """Hold annotations against true ones.

    Args:
        images, truths: as in COCO's file.
        results: annotations with ``score``, and with ``category`` by name; those of categories that no truth has are
            left out.
        numbers: category to its number in `truths`.
        kind: ``segm`` or ``bbox``.
        groups: of each image, what is drawn again together for the interval; None for each by itself.
    """
    known = [each for each in results if each["category"] in numbers]
    if not known:
        return Precision(
            dict.fromkeys(METRICS, 0.0),
            Estimate(0.0, 0.0, 0.0),
            dict.fromkeys(numbers, 0.0),
            dict.fromkeys(SUMMARY, 0.0),
            "",
        )
    evaluator = evaluated(images, truths, known, numbers, kind)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        evaluator.summarize()
    summary = dict(zip(SUMMARY, (float(value) for value in evaluator.stats), strict=True))
    # [threshold, recall, class, area, detections]: IoU 0.5, all areas, most detections
    precision = evaluator.eval["precision"][0, :, :, 0, -1]
    by_class: dict[str, float | None] = {}
    for index, number in enumerate(evaluator.params.catIds):
        category = next(name for name, each in numbers.items() if each == number)
        values = precision[:, index]
        by_class[category] = float(values.mean()) if (values > -1).any() else None
    own = list(range(len(images))) if groups is None else list(groups)
    low, high = np.quantile(_drawn_again(evaluator, own), (0.025, 0.975))
    return Precision(
        {name: summary[name] for name in METRICS},
        Estimate(summary["AP50"], float(low), float(high)),
        by_class,
        summary,
        said.getvalue().rstrip(),
    )


def evaluated(
    images: Sequence[Mapping[str, Any]],
    truths: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, int],
    kind: str,
) -> Any:
    """pycocotools' evaluator, with everything matched and accumulated; arguments as of `average_precision`, `results`
    of known categories alone."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # With a mask at hand the evaluator takes boxes, too, from it.
    fields = (
        ("image_id", "bbox", "score") if kind == "bbox" else ("image_id", "segmentation", "bbox", "score")
    )
    known = [
        {**{name: each[name] for name in fields}, "category_id": numbers[each["category"]]}
        for each in results
    ]
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
    return evaluator


def _drawn_again(evaluator: Any, groups: Sequence[int], seed: int = 0) -> NDArray[np.float64]:
    """AP50 of as many draws of groups with replacement as there are groups, ``[draw]``."""
    numbers, at = np.unique(np.array(groups), return_inverse=True)
    chances = np.full(len(numbers), 1 / len(numbers))
    times = np.random.default_rng(seed).multinomial(len(numbers), chances, size=RESAMPLES)
    # The evaluator has images in the order of their ids, which are those of `groups`.
    return ap50_of(evaluator, times[:, at])


def ap50_of(evaluator: Any, times: NDArray[np.integer]) -> NDArray[np.float64]:
    """AP50 where each image counts so many times, ``[draw]`` of ``[draw, image]``: what the evaluator's `accumulate`
    would give for that many copies of it. Classes without a true object in a draw are left out of it."""
    images, areas = len(evaluator.params.imgIds), len(evaluator.params.areaRng)
    levels = np.asarray(evaluator.params.recThrs)
    rows = []
    for index in range(len(evaluator.params.catIds)):
        found = evaluator.evalImgs[index * areas * images : index * areas * images + images]
        score, right, image = [], [], []
        there = np.zeros(images)
        for number, each in enumerate(found):
            if each is None:
                continue
            there[number] = int((np.asarray(each["gtIgnore"]) == 0).sum())
            counts = ~np.asarray(each["dtIgnore"][0], bool)
            score += list(np.asarray(each["dtScores"])[counts])
            right += list(np.asarray(each["dtMatches"][0])[counts] > 0)
            image += [number] * int(counts.sum())
        order = np.argsort(-np.array(score), kind="mergesort")
        weights = times[:, np.array(image, int)[order]].astype(np.float64)
        hit = np.array(right, bool)[order]
        good, bad = (weights * hit).cumsum(axis=1), (weights * ~hit).cumsum(axis=1)
        wanted = times @ there
        precision = good / np.maximum(good + bad, np.finfo(float).eps)
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # At each level of recall the best precision from there on; 0 beyond the recall that is reached.
        recall = good / np.maximum(wanted, 1)[:, None]
        places = np.stack([np.searchsorted(each, levels, side="left") for each in recall])
        padded = np.concatenate([precision, np.zeros((len(times), 1))], axis=1)
        rows.append(np.where(wanted > 0, np.take_along_axis(padded, places, axis=1).mean(axis=1), np.nan))
    return np.asarray(np.nanmean(np.stack(rows), axis=0))
