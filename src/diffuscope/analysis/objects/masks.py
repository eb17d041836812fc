"""From a map to masks: thresholds, components, specks, fragments, instances. Planes ``[y, x]``, pure functions.

The order and the names are those of `chain.Chain`, which says how each stage is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError, MissingExtraError

Mask = NDArray[np.bool_]
Plane = NDArray[np.float64]
Box = tuple[int, int, int, int]
"""x, y of the top left pixel, width, height: COCO's ``bbox`` of the mask's own pixels."""

BINS = 256
EIGHT = np.ones((3, 3), bool)
"""Pixels that touch at a corner belong together."""
WINDOW = 1 / 3
"""Side of the window of the adaptive threshold, as a share of the picture's shorter side."""


def image_tools() -> Any:
    """`scipy.ndimage`.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy import ndimage
    except ModuleNotFoundError as error:
        raise MissingExtraError("finding objects", "objects") from error
    return ndimage


def scaled(plane: NDArray[np.floating]) -> Plane:
    """Min-max: the plane from 0 to 1; zeros where it is the same everywhere."""
    values = plane.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def blurred(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur of `sigma` pixels; 0 leaves it as it is."""
    return np.asarray(image_tools().gaussian_filter(plane, sigma, mode="nearest")) if sigma > 0 else plane


def otsu(plane: Plane) -> float:
    """Otsu's threshold of values from 0 to 1: the cut that makes the variance between the two sides largest.

    Otsu, "A threshold selection method from gray-level histograms", IEEE SMC 1979, equation 18, on 256 bins.
    """
    counts, edges = np.histogram(plane, bins=BINS, range=(0.0, 1.0))
    share = counts / plane.size
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(share)
    first = np.cumsum(share * centres)
    spread = below * (1 - below)
    between = np.divide(
        (first[-1] * below - first) ** 2, spread, out=np.full(BINS, -1.0), where=spread > 1e-12
    )
    return float(edges[1:][int(np.argmax(between))])


def above(plane: Plane, threshold: str | float) -> tuple[Mask, float]:
    """The pixels above a threshold, and the threshold as a share of the largest value (of ``adaptive``, the mean
    of them).

    Args:
        plane: 0 to 1, largest value 1.
        threshold: ``otsu``; ``adaptive``: above the mean of the window around the pixel and above the plane's own
        mean;
            or a share.
    """
    if not plane.any():
        return np.zeros(plane.shape, bool), 0.0
    if threshold == "adaptive":
        side = max(3, round(WINDOW * min(plane.shape)))
        level = np.maximum(image_tools().uniform_filter(plane, side, mode="nearest"), plane.mean())
        return plane > level, float(level.mean())
    cut = otsu(plane) if threshold == "otsu" else float(threshold)
    return plane > cut, cut


def exclusive(masks: Sequence[Mask], planes: Sequence[Plane], how: str) -> list[Mask]:
    """Masks of several words without overlap.

    Args:
        how: what becomes of a pixel that several claim. ``argmax``: it goes to the largest plane there, each plane
            scaled to sum 1, so that a word whose map covers the picture does not take what a concentrated one
            marks; the first of equals. ``smaller``: it goes to the smallest mask, what lies in front. ``keep``: it
            stays with all.
    """
    if how == "keep" or len(masks) < 2:
        return list(masks)
    if how == "smaller":
        rank = np.array([-float(mask.sum()) for mask in masks])[:, None, None] * np.ones_like(planes[0])
    else:
        rank = np.stack([plane / plane.sum() for plane in planes])
    claimed = np.stack(masks)
    winner = np.where(claimed, rank, -np.inf).argmax(axis=0)
    return [mask & (winner == index) for index, mask in enumerate(masks)]


def components(mask: Mask, specks: float, *, filled: bool = False) -> list[Mask]:
    """Connected parts, largest first, without those smaller than a share of the largest. Holes are kept, or
    filled."""
    tools = image_tools()
    if filled:
        mask = np.asarray(tools.binary_fill_holes(mask))
    labels, number = tools.label(mask, structure=EIGHT)
    if not number:
        return []
    areas = np.bincount(labels.ravel())[1:]
    order = np.argsort(-areas, kind="stable")
    return [labels == at + 1 for at in order if areas[at] >= specks * areas.max()]


def box_of(mask: Mask) -> Box:
    """The mask's box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        int(columns[0]),
        int(rows[0]),
        int(columns[-1] - columns[0] + 1),
        int(rows[-1] - rows[0] + 1),
    )


def merged(parts: Sequence[Mask], overlap: float) -> list[Mask]:
    """Fragments of one thing put together: parts whose boxes share at least this part of the smaller one's area.

    Until nothing changes, so the result does not depend on the order; a share of 0 or below merges nothing.
    """
    found = list(parts)
    if overlap <= 0:
        return found
    at = 0
    while at < len(found):
        near = next(
            (
                other
                for other in range(len(found))
                if other != at and _shared(box_of(found[at]), box_of(found[other])) >= overlap
            ),
            None,
        )
        if near is None:
            at += 1
            continue
        joined = found[at] | found[near]
        found = [joined, *(each for index, each in enumerate(found) if index not in (at, near))]
        at = 0
    return sorted(found, key=lambda each: -int(each.sum()))


def _shared(one: Box, other: Box) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    smaller = min(one[2] * one[3], other[2] * other[3])
    return max(0, width) * max(0, height) / smaller


def split(mask: Mask, number: int) -> list[Mask]:
    """A mask of several things that touch, cut into so many: each pixel goes to the nearest of as many centres.

    The centres are those of k-means on the pixels, begun at the peaks of the distance to the edge, farthest first:
    two discs that touch are cut at their neck. Fewer parts where the mask has fewer pixels.
    """
    y, x = np.nonzero(mask)
    number = min(number, len(y))
    if number < 2:
        return [mask] if len(y) else []
    points = np.stack([y, x], axis=1).astype(np.float64)
    depth = np.asarray(image_tools().distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1][mask]
    chosen = [int(np.argmax(depth))]
    for _ in range(number - 1):
        # Deep inside, and far from those that were chosen.
        far = np.min([((points - points[at]) ** 2).sum(axis=1) for at in chosen], axis=0)
        chosen.append(int(np.argmax(np.sqrt(far) * depth)))
    centres = points[chosen]
    for _ in range(50):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        moved = np.stack(
            [
                points[nearest == at].mean(axis=0) if (nearest == at).any() else centres[at]
                for at in range(number)
            ]
        )
        if np.allclose(moved, centres):
            break
        centres = moved
    found = []
    for at in range(number):
        part = np.zeros_like(mask)
        part[y[nearest == at], x[nearest == at]] = True
        if part.any():
            found.append(part)
    return sorted(found, key=lambda each: -int(each.sum()))


def instances(parts: Sequence[Mask], plane: Plane, expected: int | None) -> list[Mask]:
    """As many masks as the prompt speaks of, where it says how many: else the parts as they are.

    More parts than that: those that hold most of the map stay. Fewer: the largest is cut in two (`split`) until
    there are enough.
    """
    found = list(parts)
    if expected is None or not found or expected < 1:
        return found
    if len(found) > expected:
        held = [float(plane[each].sum()) for each in found]
        keep = sorted(np.argsort([-each for each in held], kind="stable")[:expected])
        return [found[at] for at in keep]
    missing = expected - len(found) + 1
    if missing > 1:
        found = [*split(found[0], missing), *found[1:]]
    return sorted(found, key=lambda each: -int(each.sum()))


@dataclass(frozen=True)
class Assigned:
    """Which phrase each instance belongs to."""

    phrase: int
    mask: Mask


def assigned(found: Sequence[Mask], planes: Sequence[Plane], counts: Sequence[int | None]) -> list[Assigned]:
    """Instances of one category shared among its phrases ("a red cat and a blue cat"), so that the sum of the mean
    map of each phrase inside its instances is largest; a phrase of two cats has two places. What is left over goes
    to the phrase with the largest mean."""
    from scipy.optimize import linear_sum_assignment

    if not found:
        return []
    places = [
        index for index, count in enumerate(counts) for _ in range(1 if count is None else max(count, 0))
    ]
    means = np.array([[float(plane[mask].mean()) for plane in planes] for mask in found])
    taken: dict[int, int] = {}
    if places:
        rows, columns = linear_sum_assignment(-means[:, places])
        taken = {int(row): places[int(column)] for row, column in zip(rows, columns, strict=True)}
    return [Assigned(taken.get(index, int(means[index].argmax())), mask) for index, mask in enumerate(found)]


def checked_share(name: str, value: float, low: float = 0.0, high: float = 1.0) -> float:
    """A number in its range.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= float(value) <= high:
        raise InputError(f"{name}={value!r} is out of range; give a number from {low:g} to {high:g}")
    return float(value)
