"""What choosing a preset needs of a picture: the maps of all heads, and what a refinement asks of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import InputError
from diffuscope.maps.attention import probabilities
from diffuscope.maps.choosing import grid_of
from diffuscope.maps.refinement import Refinement, finest_self, late_steps
from diffuscope.maps.region_view import ask
from diffuscope.maps.resize import resize
from diffuscope.maps.self_matrix import self_matrices
from diffuscope.run import Run, WordView
from diffuscope.selection import Selection
from diffuscope.studies.map_accuracy.samples import Sample

BASE = Refinement(steps="late", floor=True, keep=0.5, sharpen=2.0, spread_sites="finest")
"""What any preset does: these are the steps of `Material.heads`, and how `Material.matrix` is made."""
LARGEST = 32 * 32
"""Cells of the finest grid up to which matrices are kept: 4 MiB a picture. Beyond it spreading is not tried."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Material:
    """Of one picture.

    Attributes:
        names: site and head of each head.
        heads: ``[object, head, y, x]``, each object's phrase over the late steps, brought to the finest grid.
        whole: ``[head, y, x]``, the same of all words of the prompt together.
        matrix: its run's sharpened self-attention ``[cell, cell]``, or None.
        colours: the picture, ``[y, x, 3]``.
        masks: ``[object, y, x]``.
    """

    names: tuple[tuple[str, int], ...]
    heads: Floats
    whole: Floats
    matrix: Floats | None
    colours: NDArray[np.uint8]
    masks: NDArray[np.bool_]

    @property
    def picture(self) -> Image.Image:
        """The picture."""
        return Image.fromarray(np.asarray(self.colours))

    def tensors(self) -> dict[str, NDArray[Any]]:
        """As arrays by name, for a file; `names` and the texts apart."""
        found: dict[str, NDArray[Any]] = {
            "heads": self.heads,
            "whole": self.whole,
            "colours": self.colours,
            "masks": self.masks,
        }
        return found if self.matrix is None else {**found, "matrix": self.matrix}

    @classmethod
    def of(cls, told: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Material:
        """From what `told` and `tensors` give."""
        names = tuple((str(site), int(head)) for site, head in told["names"])
        arrays: dict[str, Any] = {"matrix": None, **tensors}
        return cls(names, **arrays)

    def told(self) -> dict[str, Any]:
        """What is no array, as plain JSON."""
        return {"names": self.names}


def material(sample: Sample) -> Material:
    """What choosing needs of a picture."""
    run = sample.run
    steps = late_steps(run)
    views = [run.phrase(target.phrase) for target in sample.targets]
    views.append(run.phrase([word.label for word in run.words]))
    names, planes = _of_heads(views, steps)
    sites = finest_self(run) if run.manifest.keep.level == "qk" else "all"
    return Material(
        names,
        planes[:-1],
        planes[-1],
        _matrix(run, sites, (planes.shape[2], planes.shape[3])),
        np.asarray(run.image),
        np.stack([target.mask for target in sample.targets]),
    )


def _of_heads(views: Sequence[WordView], steps: str) -> tuple[tuple[tuple[str, int], ...], Floats]:
    """Names of all heads, and their maps ``[view, head, y, x]``, mean over the steps, at the finest grid.

    As `WordView.heads`, but each softmax is computed once for all views.
    """
    run = views[0].run
    recording, chosen = run.recording, views[0].sites_of()
    size = max((grid_of(site) for site in chosen), key=lambda grid: grid[0] * grid[1])
    indices = run._steps_of(Selection.of(steps=steps))
    names: list[tuple[str, int]] = []
    planes = []
    for site in chosen:
        weights = np.zeros((site.keys, len(views)))
        for at, view in enumerate(views):
            for token, share in view.term.weights("sum").items():
                weights[token, at] = share
        total: NDArray[np.float64] | float = 0.0
        for step in indices:
            found = probabilities(
                recording.query(site.name, step),
                recording.keys(site.name, step),
                site.scale,
                recording.mask(site.name, step),
            )
            total = total + found[..., : site.keys] @ weights
        maps = np.moveaxis(np.asarray(total) / len(indices), -1, 0)
        planes.append(resize(maps.reshape(*maps.shape[:2], *grid_of(site)), size))
        names += [(site.name, head) for head in recording.heads(site.name)]
    return tuple(names), np.concatenate(planes, axis=1).astype(np.float32)


def _matrix(run: Run, sites: str, size: tuple[int, int]) -> Floats | None:
    if size[0] * size[1] > LARGEST:
        return None
    try:
        asked = ask(run.recording, None, None, sites, None)
    except InputError:
        return None
    table = self_matrices(run._self_attention, asked).on(size) ** BASE.sharpen
    return np.asarray(table / table.sum(axis=1, keepdims=True), np.float32)
