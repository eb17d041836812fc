"""Which place a picture shows, and what the empty place behind its things looks like.

The backdrops are a small known family (place, height of the horizon, phase of the long wave), so the judge tries
them all. Costs are truncated: a pixel that fits no backdrop costs the same in all of them, and things in front do
not disturb the choice. The backdrop that wins is then bent to the picture: a ragged edge between canvas and ground
and a slight shift of colour, which a lossy decoder brings, are taken over from the picture itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from diffuscope.scenes.grammar import SIDE
from diffuscope.scenes.lab import Floats, dot, to_lab
from diffuscope.scenes.vocabulary import BACKDROPS

HALF = SIDE // 2
CUT = 12.0
"""Lab distance above which a pixel is no part of a backdrop. About half the least distance of thing and place."""
HORIZONS = np.linspace(0.72, 0.86, 5)
PHASES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
BAND = 5.0
"""How far, in pixels, the edge of the ground may stray from its wave."""
PLACE_MARGIN = 0.6
"""Mean truncated Lab distance by which the best place must beat the second, else it is ambiguous."""
PLACE_COST = 0.85
"""Share of pixels (as truncated cost) above which nothing fits and the place is not found."""


@dataclass(frozen=True)
class Setting:
    """The place behind the things. `backdrop` is float32 sRGB 0 to 255 `[y, x, channel]`, as it is in this picture.

    `place` is None where nothing fits (`confidence` 0) or two places fit alike (`ambiguous`). `horizon` is a share of
    the height, `phase` is in radians, both as in `Scene`. `confidence` is between 0 and 1.
    """

    place: str | None
    ambiguous: bool
    confidence: float
    horizon: float
    phase: float
    backdrop: Floats


def _edge(place: str, horizon: Floats, phase: Floats, columns: int) -> Floats:
    """Height of the ground's edge as a share of the picture, broadcast `[..., x]` (renderer.backdrop's formula)."""
    x = np.arange(columns, dtype=np.float32) / columns
    sea = place == "sea"
    swing = (0.018 if sea else 0.035) * np.sin(2 * np.pi * (2.0 if sea else 1.0) * x + phase[..., None])
    return (horizon[..., None] + swing).astype(np.float32)


@lru_cache(maxsize=1)
def _family() -> tuple[list[str], Floats, Floats, NDArray[np.intp]]:
    """Places with a ground; their canvas Lab `[place, horizon, y, 3]`, ground Lab `[place, 3]`, edge rows
    `[place, horizon, phase, x]`, all at half size; plain paper is the last place and has a canvas only."""
    places = [name for name, (_, _, ground) in BACKDROPS.items() if ground is not None]
    plain = [name for name in BACKDROPS if name not in places]
    rows = (np.arange(HALF) + 0.25) / HALF
    canvases = np.zeros((len(places) + len(plain), len(HORIZONS), HALF, 3), np.float32)
    for i, name in enumerate(places + plain):
        top, bottom = (np.asarray(c, np.float64) for c in BACKDROPS[name][:2])
        blend = np.clip(rows[None, :, None] / HORIZONS[:, None, None], 0, 1)
        canvases[i] = to_lab(top + (bottom - top) * blend)
    grounds = np.stack([to_lab(BACKDROPS[name][2] or (0, 0, 0)) for name in places])
    grid = np.broadcast_arrays(HORIZONS[:, None].astype(np.float32), PHASES[None].astype(np.float32))
    edges = np.stack([_edge(name, grid[0], grid[1], HALF) for name in places])
    return places + plain, canvases, grounds, np.clip(np.rint(edges * HALF), 0, HALF).astype(np.intp)


def _distance(lab: Floats, colour: Floats) -> Floats:
    """Truncated Lab distance of `lab [y, x, 3]` to `colour [..., y or 1, 1, 3]`, in parts of `CUT`."""
    total = np.zeros(np.broadcast_shapes(lab.shape[:2], colour.shape[:-1]), np.float32)
    for channel in range(3):
        difference = lab[..., channel] - colour[..., channel]
        total += difference * difference
    return np.asarray(np.minimum(np.sqrt(total) / np.float32(CUT), 1), np.float32)


def fit_place(image: NDArray[np.uint8]) -> Setting:
    """Fit the backdrop family to `image` (uint8 sRGB `[y, x, channel]`, 128x128). Axes and units: `Setting`."""
    pixels = image.astype(np.float32)
    lab = to_lab(pixels.reshape(HALF, 2, HALF, 2, 3).mean(axis=(1, 3)))
    names, canvases, grounds, edges = _family()
    above = _distance(lab, canvases[:, :, :, None, :])  # [place, horizon, y, x]
    below = _distance(lab, grounds[:, None, None, :])  # [place, y, x]
    places = len(grounds)
    # Cost of column x when its ground begins at row e: canvas costs above e and ground costs from e on.
    sky = np.zeros((places, len(HORIZONS), HALF + 1, HALF), np.float32)
    np.cumsum(above[:places], axis=2, out=sky[:, :, 1:])
    land = np.zeros((places, HALF + 1, HALF), np.float32)
    land[:, :HALF] = np.cumsum(below[:, ::-1], axis=1)[:, ::-1]
    column = sky + land[:, None]
    picked = column[
        np.arange(places)[:, None, None, None],
        np.arange(len(HORIZONS))[:, None, None],
        edges,
        np.arange(HALF),
    ]
    costs = picked.sum(axis=-1) / HALF**2  # [place, horizon, phase]
    by_place = np.concatenate(
        [costs.reshape(places, -1).min(axis=1), above[places:].mean(axis=(2, 3)).min(axis=1)]
    )
    order = np.argsort(by_place)
    best, cost, margin = (
        int(order[0]),
        float(by_place[order[0]]),
        float(by_place[order[1]] - by_place[order[0]]),
    )
    name = names[best]
    ambiguous = margin * CUT < PLACE_MARGIN
    found = cost < PLACE_COST and not ambiguous
    if best >= places:
        horizon, phase = float(HORIZONS[int(above[best].mean(axis=(1, 2)).argmin())]), 0.0
    else:
        coarse, _ = np.unravel_index(int(costs[best].argmin()), costs[best].shape)
        horizon, phase = _fine_edge(name, column[best, coarse])
    behind = _bend(pixels, name, horizon, phase)
    confidence = float(np.clip((1 - cost) * min(margin * CUT / 3, 1), 0, 1)) if cost < PLACE_COST else 0.0
    return Setting(name if found else None, ambiguous, confidence, horizon, phase, behind)


def _fine_edge(name: str, column: Floats) -> tuple[float, float]:
    """Horizon and phase to about a pixel from the cost of every edge row, `column [row, x]` at half size."""
    horizons, phases = np.meshgrid(
        np.linspace(0.715, 0.865, 21), np.linspace(0, 2 * np.pi, 48, endpoint=False)
    )
    rows = _edge(name, horizons.astype(np.float32), phases.astype(np.float32), HALF) * HALF
    low = np.clip(np.floor(rows).astype(np.intp), 0, HALF - 1)
    part = rows - low
    x = np.arange(HALF)
    total = (column[low, x] * (1 - part) + column[low + 1, x] * part).sum(axis=-1)
    at = np.unravel_index(int(total.argmin()), total.shape)
    return float(horizons[at]), float(phases[at])


def _bend(pixels: Floats, name: str, horizon: float, phase: float) -> Floats:
    """The backdrop as it is in this picture, float32 `[y, x, channel]`."""
    top, bottom, ground = BACKDROPS[name]
    y = np.arange(SIDE, dtype=np.float32) / SIDE
    blend = np.clip(y / np.float32(horizon), 0, 1)[:, None, None]
    first, last = np.asarray(top, np.float32), np.asarray(bottom, np.float32)
    canvas: Floats = np.broadcast_to(first + (last - first) * blend, pixels.shape).astype(np.float32)
    if ground is None:
        return canvas + _shift(pixels, canvas, np.ones(pixels.shape[:2], bool))
    front: Floats = np.broadcast_to(np.asarray(ground, np.float32), pixels.shape).astype(np.float32)
    edge = _edge(name, np.full(1, horizon, np.float32), np.full(1, phase, np.float32), SIDE)[0]
    depth = (y[:, None] - edge[None]) * SIDE + 0.5
    canvas = canvas + _shift(pixels, canvas, depth < -2)
    front = front + _shift(pixels, front, depth > 3)
    share = np.clip(depth, 0, 1)
    # Near the edge, take whatever mixture of canvas and ground comes closest to the picture.
    span: Floats = np.asarray(front - canvas, np.float32)
    fitted = np.clip(dot(pixels - canvas, span) / np.maximum(dot(span, span), 1), 0, 1)
    miss: Floats = np.asarray(pixels - canvas - span * fitted[..., None], np.float32)
    near = (np.abs(depth - 0.5) < BAND) & (dot(miss, miss) < 18.0**2)
    share = np.where(near, fitted, share)
    return np.asarray(canvas + span * share[..., None], np.float32)


def _shift(pixels: Floats, expected: Floats, where: NDArray[np.bool_]) -> Floats:
    """Median difference of picture and backdrop where the picture is the backdrop, `[channel]`; 0 where unseen."""
    difference = (pixels - expected)[::2, ::2]  # a quarter of the pixels tells as well
    where = where[::2, ::2] & (dot(difference, difference) < 18.0**2)
    if np.count_nonzero(where) < 50:
        return np.zeros(3, np.float32)
    return np.asarray(np.median(difference[where], axis=0), np.float32)
