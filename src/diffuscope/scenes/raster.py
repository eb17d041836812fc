"""From outlines to pixels: one thing as a tile of colours, coverage and line work.

Everything is filled at four times the resolution and averaged down, so edges are anti-aliased and every coverage is
the share of a pixel. Only the tile around a thing is worked on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffuscope.scenes.shapes import SHAPES, Layer, Polygon
from diffuscope.scenes.vocabulary import PAINTS, PLAIN, RGB

if TYPE_CHECKING:
    from diffuscope.scenes.layout import Placed

SIDE = 128
OVERSAMPLING = 4
BAND = (0.27, 0.21)
"""Widths of the bands in a thing's own paint and of the stripes between them, as shares of its radius."""

DOT = (0.62, 0.18)
"""Distance between the rows of dots, and a dot's radius, as shares of a thing's radius."""

_PATTERNED = 128
_EVEN = 128
_UNLINED = ("eye", "nose", "hub", "lamp", "knob")

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """A thing's pixels inside of `window`, fields `[y, x]` of shares of a pixel, 0 to 1.

    `cover`: covered by the thing. `colour`: its own colour there, sRGB 0 to 255 `[y, x, channel]`. `ink`: covered by
    line work along the edges, some of it just outside of the thing. `fixed`: covered by details with a colour of
    their own. `marks`: covered by stripes or dots. `parts`: covered by each named part.
    """

    window: tuple[slice, slice]
    cover: Floats
    colour: Floats
    ink: Floats
    fixed: Floats
    marks: Floats
    parts: dict[str, Floats]


def contrast(paint: RGB) -> RGB:
    """The colour of stripes and dots: near white on most paints, a darker tone on light ones."""
    red, green, blue = paint
    if 0.30 * red + 0.59 * green + 0.11 * blue > 196:
        if min(paint) > 200:
            return (142, 150, 166)
        return (int(red * 0.46), int(green * 0.40), int(blue * 0.60))
    return (int(red * 0.14 + 217), int(green * 0.14 + 215), int(blue * 0.14 + 212))


def toned(colour: RGB, tone: float) -> RGB:
    """A colour made darker (`tone` below 0) or lighter. What is nearly black becomes lighter either way."""
    if tone < 0 and max(colour) < 64:
        tone = -0.45 * tone
    if tone >= 0:
        red, green, blue = (int(channel + (255 - channel) * tone) for channel in colour)
    else:
        red, green, blue = (
            int(channel * (1 + tone * share)) for channel, share in zip(colour, (1, 0.96, 0.82), strict=True)
        )
    return (red, green, blue)


def edges(classes: Bytes, reach: int) -> NDArray[np.bool_]:
    """Where neighbouring classes differ, as lines `2 * reach` wide."""
    found = np.zeros(classes.shape, bool)
    n, m = reach, max(1, round(reach * 0.7))
    found[:, n:-n] |= classes[:, 2 * n :] != classes[:, : -2 * n]
    found[n:-n] |= classes[2 * n :] != classes[: -2 * n]
    found[m:-m, m:-m] |= classes[2 * m :, 2 * m :] != classes[: -2 * m, : -2 * m]
    found[m:-m, m:-m] |= classes[2 * m :, : -2 * m] != classes[: -2 * m, 2 * m :]
    return found


def brightest(colour: Floats) -> Floats:
    """The largest channel, `[..., channel]` to `[...]`. Much faster than a reduction over so short an axis."""
    return np.asarray(np.maximum(np.maximum(colour[..., 0], colour[..., 1]), colour[..., 2]))


def reduced(tile: Image.Image, factor: int = OVERSAMPLING) -> Floats:
    """A grey tile averaged down, 0 to 1."""
    return np.asarray(tile.reduce(factor), np.float32) / np.float32(255)


@dataclass(frozen=True)
class _Plan:
    """What the layers of a thing in one paint have in common, whatever its place and size."""

    outlines: tuple[Polygon, ...]
    colours: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    bodies: tuple[int, ...]
    fixed: tuple[int, ...]
    parts: dict[str, tuple[int, ...]]


@lru_cache(maxsize=1024)
def _plan(noun: str, paint: str, flipped: bool) -> _Plan:
    own = PAINTS[paint]
    layers = SHAPES[noun].layers
    colours = np.zeros((256, 3), np.uint8)
    classes = np.zeros(256, np.uint8)
    known: dict[object, int] = {}
    bodies = []
    fixed = []
    parts: dict[str, list[int]] = {}
    for index, layer in enumerate(layers, start=1):
        if layer.kind == "body":
            colours[index] = toned(own, layer.tone)
            colours[_PATTERNED + index] = toned(contrast(own), layer.tone * 0.8)
            bodies.append(index)
            key: object = layer.tone
        elif layer.kind == "detail":
            colours[index] = layer.colour if layer.colour is not None else toned(own, layer.tone)
            parts.setdefault(layer.name, []).append(index)
            if layer.colour is not None:
                fixed.append(index)
            key = 0.0 if layer.name in _UNLINED else (layer.name, layer.colour)
        else:
            continue
        classes[index] = known.setdefault(key, len(known) + 1)
    turn = np.array([-1.0 if flipped else 1.0, 1.0])
    return _Plan(
        tuple(layer.outline * turn for layer in layers),
        colours,
        classes,
        tuple(bodies),
        tuple(fixed),
        {name: tuple(indices) for name, indices in parts.items()},
    )


def _pattern(kind: str, size: tuple[int, int], x: float, y: float, radius: float) -> Bytes:
    """Stripes or dots as 0 and 255, in oversampled pixels; `x`, `y`, `radius` in the same."""
    tile = Image.new("L", size)
    draw = ImageDraw.Draw(tile)
    if kind == "striped":
        # Bands that rise to the right. On the left edge they are `slope` lower than on the right.
        own, band, run = radius * BAND[0] * 1.414, radius * BAND[1] * 1.414, 2.2 * radius
        for number in range(-8, 9):
            low = y + number * (own + band) + 0.5 * own
            draw.polygon(
                [
                    x - run,
                    low + run,
                    x + run,
                    low - run,
                    x + run,
                    low - run + band,
                    x - run,
                    low + run + band,
                ],
                fill=255,
            )
    else:
        step, dot = radius * DOT[0], radius * DOT[1]
        for row in range(-2, 3):
            for column in range(-2, 3):
                cx, cy = x + (column + 0.5 * (row % 2)) * step, y + row * step * 0.87
                draw.ellipse((cx - dot, cy - dot, cx + dot, cy + dot), fill=255)
    return np.asarray(tile)


def _material(paint: str, window: tuple[slice, slice], thing: Placed) -> Floats | None:
    """Grain of wood or the sheen of brass as a tone, -1 to 1 `[y, x]`; None for colours."""
    if paint not in ("wooden", "brass"):
        return None
    u = ((np.arange(window[1].start, window[1].stop, dtype=np.float32) + 0.5 - thing.x) / thing.radius)[
        None, :
    ]
    v = ((np.arange(window[0].start, window[0].stop, dtype=np.float32) + 0.5 - thing.y) / thing.radius)[
        :, None
    ]
    if paint == "wooden":
        wave = np.sin(
            np.float32(2 * np.pi) * (3.6 * v + 0.16 * np.sin(2.2 * u + 1.0)) + 0.4 * np.sin(5.0 * u)
        )
        return np.asarray(-0.27 * np.clip(wave, 0, 1) ** 2, np.float32)
    sheen = 0.75 * np.exp(-(((u + 0.30) / 0.11) ** 2)) + 0.45 * np.exp(-(((u - 0.52) / 0.10) ** 2))
    sheen = sheen - 0.30 * np.exp(-(((u - 0.16) / 0.2) ** 2)) - 0.25 * np.exp(-(((u + 0.75) / 0.2) ** 2))
    return np.asarray(sheen + 0 * v, np.float32)


def paint(thing: Placed, behind: bool | None = None) -> Tile:
    """One thing in its own colours. `behind`: only the layers that lie behind what is in it (True), or only the others
    (False)."""
    reach = thing.radius * 1.02 + 2.5
    left, top = max(int(thing.x - reach), 0), max(int(thing.y - reach), 0)
    right, bottom = min(int(thing.x + reach) + 1, SIDE), min(int(thing.y + reach) + 1, SIDE)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    window = (slice(top, bottom), slice(left, right))
    size = ((right - left) * OVERSAMPLING, (bottom - top) * OVERSAMPLING)
    plan = _plan(thing.noun, thing.colour, thing.flipped)
    indices, tones = Image.new("L", size), Image.new("L", size, _EVEN)
    fill, tint = ImageDraw.Draw(indices), ImageDraw.Draw(tones)
    scale = thing.radius * OVERSAMPLING
    # Pillow fills the pixels whose centres (plus the outline) fall inside: shift so that a centre is at .5.
    shift = np.array([(thing.x - left) * OVERSAMPLING - 0.5, (thing.y - top) * OVERSAMPLING - 0.5])
    layers: Sequence[Layer] = SHAPES[thing.noun].layers
    for index, (layer, outline) in enumerate(zip(layers, plan.outlines, strict=True), start=1):
        if behind is not None and layer.behind != behind:
            continue
        points = (outline * scale + shift).ravel().tolist()
        if layer.kind == "shade":
            tint.polygon(points, fill=_EVEN + round(127 * layer.tone))
        else:
            fill.polygon(points, fill=0 if layer.kind == "hole" else index)
            tint.polygon(points, fill=_EVEN)
    grid = np.array(indices)
    lines = edges(plan.classes[grid], int(np.clip(round(thing.radius * 0.1), 2, 4)))
    ink = reduced(Image.fromarray(lines.astype(np.uint8) * np.uint8(255)))
    if thing.pattern != PLAIN:
        bands = _pattern(thing.pattern, size, float(shift[0]), float(shift[1]), scale)
        own = np.zeros(256, np.uint8)
        own[list(plan.bodies)] = _PATTERNED
        grid += own[grid] & bands
        indices = Image.fromarray(grid)
    cover = reduced(indices.point([0] + [255] * 255))
    marks = np.zeros_like(cover)
    if thing.pattern != PLAIN:
        marks = reduced(indices.point([0] * _PATTERNED + [255] * (256 - _PATTERNED)))
    parts = {}
    for name, numbers in plan.parts.items():
        parts[name] = reduced(indices.point([255 if value in numbers else 0 for value in range(256)]))
    fixed = reduced(indices.point([255 if value in plan.fixed else 0 for value in range(256)]))
    coloured = indices.copy()
    coloured.putpalette(plan.colours.tobytes())
    sums = np.asarray(coloured.convert("RGB").reduce(OVERSAMPLING), np.float32)
    colour = sums / np.maximum(cover, np.float32(1 / 255))[..., None]
    tone = np.asarray(tones.reduce(OVERSAMPLING), np.float32) / np.float32(127) - np.float32(_EVEN / 127)
    grain = _material(thing.colour, window, thing)
    if grain is not None:
        bodies = [0] * 256
        for number in plan.bodies:
            bodies[number] = bodies[number + _PATTERNED] = 255
        tone = np.clip(tone + grain * reduced(indices.point(bodies)), -0.9, 0.9)
    return Tile(window, cover, _shaded(np.minimum(colour, np.float32(255)), tone), ink, fixed, marks, parts)


def _shaded(colour: Floats, tone: Floats) -> Floats:
    """Colours made darker or lighter by `tone` `[y, x]`, as `toned` does."""
    dark = brightest(colour) < 64
    tone = np.where(dark & (tone < 0), -0.45 * tone, tone)[..., None]
    lighter = colour + (255 - colour) * np.maximum(tone, 0)
    shaded: Floats = lighter * (1 + np.minimum(tone, 0) * np.array([1, 0.96, 0.82], np.float32))
    return shaded
