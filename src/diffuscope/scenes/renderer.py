"""Draws a scene and says what is where.

Vector outlines are filled at four times the resolution and averaged down, so edges are anti-aliased and every mask
is the exact share of each pixel that the thing covers. No randomness is used here: a scene is drawn one way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffuscope.scenes.grammar import SIDE, Placed, Scene
from diffuscope.scenes.shapes import SHAPES
from diffuscope.scenes.vocabulary import BACKDROPS, COLOURS, RGB

OVERSAMPLING = 4

Coverage = NDArray[np.float32]


@dataclass(frozen=True)
class Rendered:
    """A drawing and its truth.

    `image` is uint8 sRGB `[y, x, channel]`; `masks` float32 `[thing, y, x]`, the share of each pixel that the thing
    covers, 0 to 1, details included; `parts` the same for each named detail, as `(thing index, name) -> [y, x]`.
    """

    image: NDArray[np.uint8]
    masks: Coverage
    parts: dict[tuple[int, str], Coverage]
    scene: Scene


@lru_cache(maxsize=1)
def _grid() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    return y, x


def backdrop(place: str, horizon: float, phase: float) -> NDArray[np.float32]:
    """The empty place, float32 `[y, x, channel]` in 0 to 255. `horizon` is its height as a share of the picture."""
    top, bottom, ground = (np.asarray(c, np.float32) if c is not None else None for c in BACKDROPS[place])
    assert top is not None and bottom is not None
    y, x = _grid()
    blend = np.clip(y / np.float32(horizon), 0, 1)[..., None]
    canvas: NDArray[np.float32] = top + (bottom - top) * blend
    if ground is None:
        return canvas
    # One long wave: a dune, a drift, a hill or a swell. The ramp over one pixel is its anti-aliasing.
    waves = 2.0 if place == "sea" else 1.0
    edge = horizon + (0.018 if place == "sea" else 0.035) * np.sin(
        2 * np.pi * waves * x + phase, dtype=np.float32
    )
    front = np.clip((y - edge) * SIDE + 0.5, 0, 1)[..., None].astype(np.float32)
    filled: NDArray[np.float32] = canvas + (ground - canvas) * front
    return filled


def _fill(
    points: NDArray[np.float64], thing: Placed, tile: Image.Image, left: int, top: int, value: int
) -> None:
    scaled = (points * thing.radius + (thing.x - left, thing.y - top)) * OVERSAMPLING
    # Pillow fills the pixels whose centres (plus the outline) fall inside: shift so that a centre is at .5.
    ImageDraw.Draw(tile).polygon([(float(x) - 0.5, float(y) - 0.5) for x, y in scaled], fill=value)


def render(scene: Scene) -> Rendered:
    """Draw `scene`. See `Rendered` for axes and units."""
    canvas = backdrop(scene.place, scene.horizon, scene.phase)
    masks = np.zeros((len(scene.things), SIDE, SIDE), np.float32)
    parts: dict[tuple[int, str], Coverage] = {}
    for index, thing in enumerate(scene.things):
        reach = thing.radius * 1.12
        left, top = max(int(thing.x - reach), 0), max(int(thing.y - reach), 0)
        right, bottom = min(int(thing.x + reach) + 2, SIDE), min(int(thing.y + reach) + 2, SIDE)
        size = ((right - left) * OVERSAMPLING, (bottom - top) * OVERSAMPLING)
        window = (slice(top, bottom), slice(left, right))
        body = Image.new("L", size)
        details: list[tuple[str, RGB, Image.Image]] = []
        for layer in SHAPES[thing.noun]:
            if layer.kind == "detail":
                tile = Image.new("L", size)
                _fill(layer.outline, thing, tile, left, top, 255)
                assert layer.colour is not None
                details.append((layer.name, layer.colour, tile))
            else:
                _fill(layer.outline, thing, body, left, top, 255 if layer.kind == "body" else 0)
        cover = _reduce(body)
        canvas[window] = _over(canvas[window], cover, COLOURS[thing.colour])
        # Where bodies are drawn over a detail (a trunk under branches) only what stays visible belongs to it.
        for name, colour, tile in details:
            part = _reduce(tile)
            if name == "trunk":
                part = np.minimum(part, 1 - cover)
            canvas[window] = _over(canvas[window], part, colour)
            whole = np.zeros((SIDE, SIDE), np.float32)
            whole[window] = part
            parts[index, name] = whole
            cover = np.maximum(cover, np.minimum(cover + part, 1))
        masks[index][window] = cover
    return Rendered(np.clip(canvas + 0.5, 0, 255).astype(np.uint8), masks, parts, scene)


def _reduce(tile: Image.Image) -> Coverage:
    return np.asarray(tile.reduce(OVERSAMPLING), np.float32) / np.float32(255)


def _over(under: NDArray[np.float32], cover: Coverage, colour: RGB) -> NDArray[np.float32]:
    return under + (np.asarray(colour, np.float32) - under) * cover[..., None]
