"""All of a run's self-attention at once: a matrix for each grid, mean over heads, sites and steps.

What needs every patch's attention (diffused maps, segmentation, refinement) starts from here. Single regions do not:
they cost only their own rows or columns (`maps.self_attention`). At 64x64 cells a matrix takes 64 MiB and a step of a
site some seconds, so what was computed is kept in the run's cache, and what was asked last in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import SizeError
from diffuscope.maps.cache import RunCache
from diffuscope.maps.choosing import grid_of
from diffuscope.maps.resize import Size, resize

if TYPE_CHECKING:
    from diffuscope.maps.region_view import Asked
    from diffuscope.maps.self_attention import SelfAttention

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]

MOST_CELLS = 96 * 96
"""Largest grid that a matrix is made of: 324 MiB."""


@dataclass(frozen=True, eq=False)
class SelfMatrices:
    """Mean self-attention by grid.

    Attributes:
        by_grid: grid ``(height, width)`` to float32 ``[query, key]``: the weighted mean over heads, sites of this grid
            and steps. Rows sum to 1 (at joint sites to the picture's share).
        weights: grid to its share in the mean over all grids: the sum of its sites' weights. They sum to 1.
    """

    by_grid: Mapping[Size, Floats]
    weights: Mapping[Size, float]

    def on(self, grid: Size) -> Wide:
        """One matrix ``[query, key]`` on a common grid, float64, its rows probabilities over that grid's cells.

        Each grid's queries are brought to the common grid as maps are (`resize`), and the probability of each of its
        keys is spread over the cells that the key covers.
        """
        cells = grid[0] * grid[1]
        total = np.zeros((cells, cells))
        for own, matrix in self.by_grid.items():
            part: Wide = matrix.astype(np.float64)
            if own != grid:
                count = len(matrix)
                keys = resize(part.reshape(count, *own), grid, "area").reshape(count, cells) * (count / cells)
                part = resize(keys.T.reshape(cells, *own), grid).reshape(cells, cells).T
            total += self.weights[own] * part
        return total

    def apply(self, plane: Wide, *, transposed: bool = False) -> Wide:
        """``P v`` for a plane of values ``[y, x]``: at each patch the mean of the values that it looks at, weighted by
        attention. `transposed` gives ``v P``: where the values go that patches hold. Same size as the plane."""
        size = (plane.shape[0], plane.shape[1])
        total = np.zeros(size)
        for own, matrix in self.by_grid.items():
            pooled = resize(plane, own, "area").ravel().astype(np.float32)
            # Pooling took the mean over a coarse cell and not the sum, so what comes out counts per patch of `plane`.
            found = pooled @ matrix if transposed else matrix @ pooled
            total += self.weights[own] * resize(found.reshape(own), size)
        return total


def self_matrices(attention: SelfAttention, asked: Asked) -> SelfMatrices:
    """The matrices of a selection, from the run's cache or computed.

    Raises:
        SizeError: a grid has too many cells.
        NotKeptError, RecordingError: as of `SelfAttention.matrix`.
    """
    by_grid: dict[Size, list[str]] = {}
    for site in asked.sites:
        if site.grid[0] * site.grid[1] > MOST_CELLS:
            raise SizeError(
                f"{site.name} has {site.grid[0]}x{site.grid[1]} patches, too many to hold all against all; choose "
                "sites of coarser grids with sites="
            )
        if asked.weights.by_site[site.name] > 0:
            by_grid.setdefault(grid_of(site), []).append(site.name)
    cache = RunCache(attention.recording)
    found: dict[Size, Floats] = {}
    shares: dict[Size, float] = {}
    whole = sum(asked.weights.by_site.values())
    for grid, names in by_grid.items():
        weights = [asked.weights.by_site[name] for name in names]
        shares[grid] = sum(weights) / whole
        key = {
            "sites": " ".join(f"{name}={weight:.9g}" for name, weight in zip(names, weights, strict=True)),
            "heads": " ".join(f"{name}:{','.join(map(str, asked.heads[name]))}" for name in names),
            "steps": " ".join(map(str, asked.steps)),
        }
        found[grid] = attention.held(
            tuple(key.values()), partial(_mean, attention, asked, grid, names, key, cache)
        )
    return SelfMatrices(found, shares)


def _mean(
    attention: SelfAttention, asked: Asked, grid: Size, names: list[str], key: dict[str, str], cache: RunCache
) -> Floats:
    """The matrix of one grid, from the run's cache or computed."""
    kept = cache.read("self-matrix", key)
    if kept is None:
        cells, weights = grid[0] * grid[1], [asked.weights.by_site[name] for name in names]
        total = np.zeros((cells, cells), np.float32)
        for step in asked.steps:
            for name, weight in zip(names, weights, strict=True):
                part = attention.matrix(name, step, heads=asked.heads[name])
                total += part if weight == 1 else part * np.float32(weight)
            attention.recording.let_go(step)
        kept = {"matrix": total / np.float32(sum(weights) * len(asked.steps))}
        # Small ones are computed as fast as they are read.
        if cells >= 32 * 32:
            cache.write("self-matrix", key, kept)
    return np.asarray(kept["matrix"], np.float32)
