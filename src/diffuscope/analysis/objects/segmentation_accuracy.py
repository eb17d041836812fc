"""How well maps find objects: segmentation accuracy against true masks.

A map is brought to the mask's size and thresholded at a share of its own largest value; what is above is the
prediction. DAAM's share is 0.4 (Tang et al. 2023, section 4.1); the best share is chosen on other pictures than those
that are scored.

- IoU: overlap of prediction and mask over their union; 0 where nothing was predicted;
- score: mean over classes of the mean IoU of the class's objects (mIoU); every class counts the same;
- pixel accuracy: share of the picture's pixels that are told right;
- AP: average precision of the map's values as scores of pixels, over all thresholds;
- ceiling: the score of the mask itself, averaged over the cells of the finest grid: what perfect coverage at that grid
  would reach. A map that was sharpened along the picture's edges may be above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import SizeError
from diffuscope.maps.resize import Size, resize

DAAM_SHARE = 0.4
SHARES: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Thresholds that are tried, as shares of a map's largest value: 0.05 to 0.95."""
RESAMPLES = 2000

Mask = NDArray[np.bool_]
Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """One map against one mask.

    Attributes:
        iou, accuracy: at each of `SHARES`.
        ap: average precision.
    """

    iou: Wide
    accuracy: Wide
    ap: float


def outcome(values: NDArray[np.floating] | None, mask: Mask) -> Outcome:
    """Score a map ``[y, x]`` of any size, of no negative values, against a mask. None, a map of zeros alone and one
    that is not finite are no prediction: IoU 0.

    Raises:
        SizeError: the mask is empty.
    """
    if mask.ndim != 2 or not mask.any():
        raise SizeError("a true mask has two axes and at least one pixel")
    if values is None or not np.isfinite(values).all() or not values.max() > 0:
        nothing = np.zeros(len(SHARES))
        return Outcome(nothing, nothing + float((~mask).mean()), 0.0)
    size = (mask.shape[0], mask.shape[1])
    plane = resize(values, size, "bilinear") if values.shape != size else values.astype(np.float64)
    inside, outside = plane[mask], plane[~mask]
    levels = np.array(SHARES) * plane.max()
    hits, false = _above(inside, levels), _above(outside, levels)
    iou = hits / (len(inside) + false)
    accuracy = (hits + len(outside) - false) / plane.size
    return Outcome(iou, accuracy, average_precision(inside, outside))


def overlaps(planes: NDArray[np.floating], mask: Mask) -> Wide:
    """IoU of many maps ``[map, y, x]`` of one size with a mask, ``[map, share]``: as `outcome` has it, and nothing
    else of it. A map without a value above 0 is no prediction."""
    size = (mask.shape[0], mask.shape[1])
    sized = resize(planes, size, "bilinear") if planes.shape[1:] != size else planes.astype(np.float64)
    found = np.zeros((len(sized), len(SHARES)))
    for at, plane in enumerate(sized):
        top = plane.max()
        if top > 0:
            inside, outside = plane[mask], plane[~mask]
            levels = np.array(SHARES) * top
            found[at] = _above(inside, levels) / (len(inside) + _above(outside, levels))
    return found


def _above(values: NDArray[np.floating], levels: NDArray[np.floating]) -> NDArray[np.intp]:
    """How many values lie above each of some ascending levels."""
    below = np.searchsorted(levels, values, "left")
    return len(values) - np.cumsum(np.bincount(below, minlength=len(levels) + 1))[:-1]


def average_precision(inside: NDArray[np.floating], outside: NDArray[np.floating]) -> float:
    """Average precision of scores of pixels in the mask and out of it: the sum over thresholds of precision times the
    recall that each adds; equal scores fall together."""
    levels = np.unique(inside)[::-1]
    inside, outside = np.sort(inside), np.sort(outside)
    hits = len(inside) - np.searchsorted(inside, levels, "left")
    false = len(outside) - np.searchsorted(outside, levels, "left")
    gained = np.diff(np.concatenate([[0], hits])) / len(inside)
    return float((gained * hits / (hits + false)).sum())


def coverage(mask: Mask, grid: Size) -> Wide:
    """The mask's share of each cell of a grid: the map that covers it perfectly there."""
    return resize(mask.astype(np.float64), grid, "area")


@dataclass(frozen=True)
class Estimate:
    """A mean over classes with its 95% interval, from resampling pictures, or prompts with all of their pictures."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class Objects:
    """The objects that are scored: their class and their picture, in the order of all arrays of scores.

    Attributes:
        classes, pictures: of each object.
        groups: of each object, what stays together: the number of its prompt, or of its picture.
        tuning: whether each object's group belongs to the half that choices are made on.
    """

    def __init__(
        self,
        classes: Sequence[str],
        pictures: Sequence[int],
        seed: int = 0,
        *,
        groups: Sequence[int] | None = None,
    ) -> None:
        """`groups`: pictures of one prompt are alike, so that halves are parted, and intervals drawn, by prompts. The
        tuning half are then the even numbers; without them, every second picture in the order in which they come."""
        self.classes = np.array(classes, dtype=object)
        self.pictures = np.array(pictures, dtype=int)
        if groups is None:
            order = {picture: index for index, picture in enumerate(dict.fromkeys(pictures))}
            self.groups = self.pictures
            self.tuning = np.array([order[picture] % 2 == 0 for picture in pictures], dtype=bool)
        else:
            self.groups = np.array(groups, dtype=int)
            self.tuning = self.groups % 2 == 0
        self._seed = seed

    def mean(self, scores: NDArray[np.floating], chosen: Mask) -> float:
        """Mean over classes of the mean over a class's objects, of those chosen; NaN where there is none."""
        names = self.classes[chosen]
        parts = [scores[chosen][names == name].mean() for name in sorted(set(names))]
        return float(np.mean(parts)) if parts else float("nan")

    def estimate(self, scores: NDArray[np.floating], chosen: Mask | None = None) -> Estimate:
        """`mean` over the half that is reported (or those chosen), with its interval: groups are drawn anew with
        replacement, with all of their objects, and classes that are missed in a draw are left out of it."""
        reported = ~self.tuning if chosen is None else chosen
        value = self.mean(scores, reported)
        rows = np.flatnonzero(reported)
        names, kinds = np.unique(self.classes[rows].astype(str), return_inverse=True)
        pictures, at = np.unique(self.groups[rows], return_inverse=True)
        if not len(pictures):
            return Estimate(float("nan"), float("nan"), float("nan"))
        sums, counts = np.zeros((len(pictures), len(names))), np.zeros((len(pictures), len(names)))
        np.add.at(sums, (at, kinds), scores[rows])
        np.add.at(counts, (at, kinds), 1.0)
        rng = np.random.default_rng(self._seed)
        times = rng.multinomial(len(pictures), np.full(len(pictures), 1 / len(pictures)), size=RESAMPLES)
        total, number = times @ sums, times @ counts
        means = np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
        drawn = np.nanmean(means, axis=1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        return Estimate(value, float(low), float(high))


def best_share(objects: Objects, iou: Wide) -> int:
    """Index in `SHARES` of the threshold with the best score on the tuning half; `iou` is ``[object, share]``."""
    return int(np.argmax([objects.mean(iou[:, share], objects.tuning) for share in range(len(SHARES))]))
