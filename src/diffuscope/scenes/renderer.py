"""Draws a scene and says what is where. No randomness is used here: a scene is drawn one way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffuscope.scenes.backdrops import Backdrop, empty, grid
from diffuscope.scenes.layout import SIDE, Placed, Scene
from diffuscope.scenes.raster import Floats, Tile, paint
from diffuscope.scenes.shapes import SHAPES
from diffuscope.scenes.styles import STYLES_OF
from diffuscope.scenes.vocabulary import FORMS, SKY

FLOATING: tuple[str, ...] = (*FORMS, *SKY, "bird", "fish", "cloth")
"""Nouns that cast no shadow on the ground."""

GROUNDED: tuple[str, ...] = ("desert", "snow", "meadow", "street", "living room")
"""Places with a ground to stand on."""


@dataclass(frozen=True)
class Rendered:
    """A drawing and its truth.

    `image` is uint8 sRGB `[y, x, channel]`; `masks` float32 `[placed, y, x]`, the share of each pixel in which the
    thing can be seen, 0 to 1, details included; `parts` the same for each named part of a drawing, details and others,
    as `(placed, name) -> [y, x]`.
    """

    image: NDArray[np.uint8]
    masks: Floats
    parts: dict[tuple[int, str], Floats]
    scene: Scene


def _steps(scene: Scene) -> list[tuple[int, bool | None]]:
    """What is painted, in order: a thing's number, and of a vessel first what lies behind its contents."""
    numbers: list[tuple[int, bool | None]] = [(index, None) for index in range(len(scene.things))]
    if scene.relation != "in" or not scene.things:
        return numbers
    last = len(scene.things) - 1
    if not any(layer.behind for layer in SHAPES[scene.things[last].noun].layers):
        return numbers
    return [(last, True), *numbers[:-1], (last, False)]


def _shadows(scene: Scene, backdrop: Backdrop) -> Backdrop:
    """The place with a soft shadow under everything that stands on its ground."""
    if scene.place not in GROUNDED:
        return backdrop
    y, x = grid()
    dark = np.zeros((SIDE, SIDE), np.float32)
    for thing in scene.things:
        foot = (thing.y + thing.height) / SIDE
        if thing.noun in FLOATING or foot < scene.horizon + 0.02:
            continue
        across, down = thing.width * 1.05 / SIDE, max(0.16 * thing.width, 3.0) / SIDE
        far = ((x - thing.x / SIDE) / across) ** 2 + ((y - foot) / down) ** 2
        dark = np.maximum(dark, np.clip(1.3 * (1 - far), 0, 1))
    return Backdrop(backdrop.colour * (1 - 0.22 * dark)[..., None], backdrop.lines, backdrop.sky)


def backdrop(scene: Scene) -> Floats:
    """The picture of `scene` without its things (and their shadows), float32 sRGB 0 to 255 `[y, x, channel]`."""
    style = STYLES_OF[scene.style](scene)
    return style.finish(style.ground(empty(scene)))


def render(scene: Scene) -> Rendered:
    """Draw `scene`. See `Rendered` for axes and units."""
    style = STYLES_OF[scene.style](scene)
    canvas = style.ground(_shadows(scene, empty(scene)))
    masks = np.zeros((len(scene.things), SIDE, SIDE), np.float32)
    parts: dict[tuple[int, str], Floats] = {}
    for index, behind in _steps(scene):
        thing: Placed = scene.things[index]
        tile: Tile = paint(thing, behind)
        style.put(canvas, tile, thing)
        free = 1 - tile.cover
        masks[(slice(None), *tile.window)] *= free
        for field in parts.values():
            field[tile.window] *= free
        masks[(index, *tile.window)] += tile.cover
        for name, cover in tile.parts.items():
            field = parts.setdefault((index, name), np.zeros((SIDE, SIDE), np.float32))
            field[tile.window] += cover
    image = np.clip(style.finish(canvas) + np.float32(0.5), 0, 255).astype(np.uint8)
    return Rendered(image, masks, parts, scene)
