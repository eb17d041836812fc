"""A preset for one model: which single heads find objects, and what else helps. Chosen on one half of the pictures.

For every object the maps of all heads over the late steps are kept, and what a refinement needs of its run, so that
choices are tried without the runs. Heads are ranked by the score of each alone; then the first 1, 2, 3, 4, 6 and 8
together are tried, with and without spreading, with and without the picture's edges.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.analysis.objects.segmentation_accuracy import SHARES, Objects, Outcome, best_share, outcome
from diffuscope.errors import InputError
from diffuscope.maps.edges import along_edges
from diffuscope.maps.refinement import Refinement
from diffuscope.maps.region_view import ask
from diffuscope.maps.resize import resize
from diffuscope.maps.self_matrix import self_matrices
from diffuscope.studies.map_accuracy.methods import finest_self, step_ranges
from diffuscope.studies.map_accuracy.samples import Sample, Target

COUNTS = (1, 2, 3, 4, 6, 8)
Plane = NDArray[np.floating]


@dataclass(eq=False)
class _Kept:
    """Of one object: head maps ``[head, y, x]`` at the finest grid, its run's sharpened matrix, picture and mask."""

    heads: NDArray[np.float32]
    matrix: NDArray[np.float32] | None
    picture: Image.Image
    mask: NDArray[np.bool_]


class Tuning:
    """Keeps what choosing needs, object by object."""

    def __init__(self) -> None:
        self._kept: list[_Kept] = []
        self._names: list[tuple[str, int]] = []
        self._base = Refinement()
        self._last: tuple[str, NDArray[np.float32] | None] = ("", None)

    def add(self, sample: Sample, target: Target) -> None:
        """Keep an object's head maps."""
        run = sample.run
        late = step_ranges(len(run.manifest.steps)).get("late", "all")
        found = run.phrase(target.phrase).heads(late)
        size = max((maps.shape[2:] for maps in found.per_site.values()), key=lambda grid: grid[0] * grid[1])
        names, planes = [], []
        for site, maps in found.per_site.items():
            for place, head in enumerate(found.heads[site]):
                names.append((site, head))
                planes.append(resize(maps[:, place].mean(axis=0), (size[0], size[1])))
        if not self._names:
            self._names = names
            try:
                sites = finest_self(run) if run.manifest.keep.level == "qk" else "all"
            except ValueError:
                sites = "all"
            self._base = Refinement(steps=late, floor=True, keep=0.5, sharpen=2.0, spread_sites=sites)
        if self._last[0] != run.id:
            self._last = (run.id, self._matrix(sample, (size[0], size[1])))
        self._kept.append(_Kept(np.array(planes, np.float32), self._last[1], run.image, target.mask))

    def _matrix(self, sample: Sample, size: tuple[int, int]) -> NDArray[np.float32] | None:
        try:
            asked = ask(sample.run.recording, None, None, self._base.spread_sites, None)
        except InputError:
            return None
        table = self_matrices(sample.run._self_attention, asked).on(size) ** self._base.sharpen
        return np.asarray(table / table.sum(axis=1, keepdims=True), np.float32)

    def choose(self, objects: Objects, model: str) -> tuple[Refinement, list[Outcome]]:
        """The best refinement on the tuning half, and its outcomes on all objects."""
        half = np.flatnonzero(objects.tuning)
        alone = [
            self._score(objects, half, Refinement(floor=True), [head]) for head in range(len(self._names))
        ]
        order = np.argsort(-np.array(alone), kind="stable")
        best, chosen, heads = -1.0, self._base, [int(order[0])]
        spreads = (0, 2) if all(kept.matrix is not None for kept in self._kept) else (0,)
        for count in COUNTS:
            for spread in spreads:
                for edges in (0.0, 1 / 8):
                    how = replace(self._base, spread=spread, edges=edges)
                    taken = [int(head) for head in order[:count]]
                    score = self._score(objects, half, how, taken)
                    if score > best:
                        best, chosen, heads = score, how, taken
        by_site: dict[str, list[int]] = {}
        for head in sorted(heads):
            by_site.setdefault(self._names[head][0], []).append(self._names[head][1])
        named = tuple((site, tuple(numbers)) for site, numbers in by_site.items())
        outcomes = [outcome(self._map(kept, chosen, heads), kept.mask) for kept in self._kept]
        return replace(chosen, heads=named, model=model), outcomes

    def _score(self, objects: Objects, half: NDArray[np.intp], how: Refinement, heads: list[int]) -> float:
        iou = np.zeros((len(self._kept), len(SHARES)))
        for at in half:
            iou[at] = outcome(self._map(self._kept[at], how, heads), self._kept[at].mask).iou
        return objects.mean(iou[:, best_share(objects, iou)], objects.tuning)

    def _map(self, kept: _Kept, how: Refinement, heads: list[int]) -> Plane:
        """As `maps.refinement.refined` makes it of the same heads."""
        plane = kept.heads[heads].mean(axis=0, dtype=np.float64)
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
