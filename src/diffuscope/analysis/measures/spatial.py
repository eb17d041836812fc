"""What a map looks like, in numbers: how much, how spread, where. One value (or a few) for each step.

Every function takes maps ``[step, y, x]`` of no negative values. ``q`` is a map normalised to sum 1 over its n cells;
a map without any mass counts as even, ``q = 1/n``. Places are given in pixels of the picture, pixel centres at whole
numbers, origin top left, whatever the map's grid: cell 0 of 16 lies at pixel 3.5 of 128.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffuscope.maps.resize import Size

Floats = NDArray[np.floating]
Wide = NDArray[np.float64]
Mask = NDArray[np.bool_]

SHARE_OF_MAX = 0.4
"""A cell belongs to a map's mask where it exceeds this share of the map's largest value (Tang et al. 2023, section
4.1)."""


def distribution(maps: Floats) -> Wide:
    """``q`` of each step, float64 ``[step, cell]``, cells row-major; each row sums to 1."""
    flat = np.asarray(maps, np.float64).reshape(len(maps), -1)
    total = flat.sum(axis=1, keepdims=True)
    even = np.full_like(flat, 1 / flat.shape[1])
    return np.asarray(np.divide(flat, total, out=even, where=total > 0))


def spatial_entropy(maps: Floats) -> Wide:
    """``H(q) = -sum q ln q`` in nats, ``[step]``: 0 for one cell alone, ``ln n`` for an even map (Shannon 1948)."""
    q = distribution(maps)
    logs = np.log(q, out=np.zeros_like(q), where=q > 0)
    return np.asarray(np.maximum(0.0, -(q * logs).sum(axis=1)))


def focus(maps: Floats) -> Wide:
    """``1 - H(q) / ln n``, ``[step]``: 1 for one cell alone, 0 for an even map. A map of one cell has focus 0."""
    cells = maps[0].size
    if cells == 1:
        return np.zeros(len(maps))
    return np.asarray(np.clip(1 - spatial_entropy(maps) / np.log(cells), 0.0, 1.0))


def centroid(maps: Floats, picture: Size) -> Wide:
    """Centre of mass, ``[step, (y, x)]``, in pixels of a picture of ``(height, width)``."""
    y, x = _centres(maps.shape[1:], picture)
    q = distribution(maps)
    return np.stack([q @ y, q @ x], axis=1)


def spread(maps: Floats, picture: Size) -> Wide:
    """Root of the mean squared distance of ``q`` from its centroid, ``[step]``, in pixels (standard distance)."""
    y, x = _centres(maps.shape[1:], picture)
    q, middle = distribution(maps), centroid(maps, picture)
    squared = (y - middle[:, :1]) ** 2 + (x - middle[:, 1:]) ** 2
    return np.asarray(np.sqrt((q * squared).sum(axis=1)))


def binary(maps: Floats) -> Mask:
    """The mask ``B_t`` of each step: cells above `SHARE_OF_MAX` of the step's own largest value. ``[step, y, x]``."""
    top = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray((maps > SHARE_OF_MAX * top) & (top > 0))


def area(maps: Floats) -> Wide:
    """Share of the picture that the map's mask covers, ``[step]``."""
    return np.asarray(binary(maps).mean(axis=(1, 2), dtype=np.float64))


def box(maps: Floats, picture: Size) -> Wide:
    """Box around the map's mask, ``[step, (x0, y0, x1, y1)]``, pixels, all four inclusive; NaN where it is empty."""
    out = np.full((len(maps), 4), np.nan)
    tall, wide = picture[0] / maps.shape[1], picture[1] / maps.shape[2]
    for at, mask in enumerate(binary(maps)):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            out[at] = (
                columns[0] * wide,
                rows[0] * tall,
                (columns[-1] + 1) * wide - 1,
                (rows[-1] + 1) * tall - 1,
            )
    return out


def stability(maps: Floats) -> Wide:
    """The maps, min-max scaled over all steps together, ``[step, y, x]`` from 0 to 1; all 0 where nothing ever
    differs."""
    wide = np.asarray(maps, np.float64)
    extent = wide.max() - wide.min()
    return (wide - wide.min()) / extent if extent > 0 else np.zeros_like(wide)


def chaos(maps: Floats) -> Wide:
    """``1 - stability``, ``[step, y, x]``."""
    return 1 - stability(maps)


def overlap(masks: Mask, truth: Mask) -> Wide:
    """IoU of each mask ``[step, y, x]`` with one mask ``[y, x]``, ``[step]``; 0 where both are empty."""
    both = (masks & truth).sum(axis=(1, 2))
    either = (masks | truth).sum(axis=(1, 2))
    return np.asarray(np.divide(both, either, out=np.zeros(len(masks)), where=either > 0), np.float64)


def _centres(grid: Size, picture: Size) -> tuple[Wide, Wide]:
    """``y`` and ``x`` of every cell's centre, row-major, in pixels."""
    y, x = ((np.arange(cells) + 0.5) * side / cells - 0.5 for cells, side in zip(grid, picture, strict=True))
    wide, tall = np.meshgrid(x, y)
    return tall.ravel(), wide.ravel()
