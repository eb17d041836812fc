"""A preset for one model: which single heads find objects, and what else helps. Chosen on one half of the prompts.

Heads are ranked by the score of each alone; then the first 1, 2, 3, 4, 6, 8 and 12 together are tried, with and without
sharing among the prompt's words, spreading, and the picture's edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.objects.segmentation_accuracy import (
    SHARES,
    Objects,
    Outcome,
    best_share,
    outcome,
    overlaps,
)
from diffuscope.errors import InputError
from diffuscope.maps.edges import along_edges
from diffuscope.maps.refinement import Refinement
from diffuscope.studies.map_accuracy.head_maps import BASE, Material

COUNTS = (1, 2, 3, 4, 6, 8, 12)
REACHES = (0.0, 1 / 8, 1 / 4)
Plane = NDArray[np.floating]


@dataclass(frozen=True)
class _Trial:
    how: Refinement
    heads: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Tuned:
    """A preset, and its outcomes on all objects, in their order."""

    preset: Refinement
    outcomes: list[Outcome]


def choose(kept: Sequence[Material], objects: Objects, model: str) -> tuple[Tuned, Tuned]:
    """The best refinement on the tuning half, and the best of those that do not ask the picture for its edges.

    Args:
        kept: of each picture, in the order of the objects.
        objects: all objects; their tuning half chooses.
        model: what the presets are bound to.

    Raises:
        InputError: the pictures do not have the same heads.
    """
    names = kept[0].names
    if any(each.names != names for each in kept):
        raise InputError("the pictures do not have the same heads, so no preset can be chosen of them")
    order = _ranked(kept, objects)
    spreads = (0, 2) if all(each.matrix is not None for each in kept) else (0,)
    trials = [
        _Trial(replace(BASE, share=share, spread=spread, edges=edges), tuple(order[:count]))
        for count, share, spread, edges in product(COUNTS, (False, True), spreads, REACHES)
        if count <= len(order)
    ]
    scores = np.array(_scores(kept, objects, trials))
    bare = np.array([not trial.how.edges for trial in trials])

    def tuned(trial: _Trial) -> Tuned:
        by_site: dict[str, list[int]] = {}
        for head in sorted(trial.heads):
            by_site.setdefault(names[head][0], []).append(names[head][1])
        heads = tuple((site, tuple(numbers)) for site, numbers in by_site.items())
        outcomes = [outcome(_map(each, at, trial), each.masks[at]) for each, at in _all(kept)]
        return Tuned(replace(trial.how, heads=heads, model=model), outcomes)

    return tuned(trials[int(scores.argmax())]), tuned(trials[int(np.where(bare, scores, -1).argmax())])


def _all(kept: Iterable[Material]) -> Iterator[tuple[Material, int]]:
    """Each object's picture and its place in it."""
    return ((each, at) for each in kept for at in range(len(each.masks)))


def _ranked(kept: Sequence[Material], objects: Objects) -> list[int]:
    """Heads by their own score on the tuning half, the best first."""
    iou = np.zeros((len(kept[0].names), len(objects.tuning), len(SHARES)))
    for index, (each, at) in enumerate(_all(kept)):
        if objects.tuning[index]:
            planes = each.heads[at].astype(np.float64)
            planes -= planes.min(axis=(1, 2), keepdims=True)
            iou[:, index] = overlaps(planes, each.masks[at])
    alone = [_best(objects, of_head) for of_head in iou]
    return [int(head) for head in np.argsort(-np.array(alone), kind="stable")]


def _scores(kept: Sequence[Material], objects: Objects, trials: Sequence[_Trial]) -> list[float]:
    """Of each trial, on the tuning half. Picture by picture, so that what they share of it is computed once."""
    iou = np.zeros((len(trials), len(objects.tuning), len(SHARES)))
    for index, (each, at) in enumerate(_all(kept)):
        if objects.tuning[index]:
            for number, trial in enumerate(trials):
                iou[number, index] = overlaps(_map(each, at, trial)[None], each.masks[at])[0]
    return [_best(objects, of_trial) for of_trial in iou]


def _best(objects: Objects, iou: NDArray[np.float64]) -> float:
    return objects.mean(iou[:, best_share(objects, iou)], objects.tuning)


def _map(kept: Material, at: int, trial: _Trial) -> Plane:
    """As `maps.refinement.refined` makes it of the same heads."""
    how, heads = trial.how, list(trial.heads)
    plane = kept.heads[at, heads].mean(axis=0, dtype=np.float64)
    if how.share:
        whole = kept.whole[heads].mean(axis=0, dtype=np.float64)
        plane = np.divide(plane, whole, out=np.zeros_like(plane), where=whole > 0)
    plane = plane - plane.min()
    if how.spread and kept.matrix is not None:
        start, size = plane, plane.shape
        for _ in range(how.spread):
            plane = how.keep * start + (1 - how.keep) * (kept.matrix @ plane.ravel()).reshape(size)
        plane = plane - plane.min()
    if how.edges:
        plane = along_edges(plane, kept.picture, how.edges, how.softness)
        plane = plane - plane.min()
    return np.asarray(plane)
