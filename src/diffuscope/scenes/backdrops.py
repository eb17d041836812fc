"""The empty places: flat, calm shapes in muted colours, and the line work between them.

A place is drawn at twice the resolution as numbered areas; the sky is area 0 and has a gradient. What a light does to
a place is here too; what a style does to it is in `styles`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffuscope.scenes.raster import SIDE, Floats, edges, reduced
from diffuscope.scenes.vocabulary import RGB

if TYPE_CHECKING:
    from diffuscope.scenes.layout import Scene

_SCALE = 2
_WIDE = SIDE * _SCALE

Draw = ImageDraw.ImageDraw


@dataclass(frozen=True)
class Backdrop:
    """An empty place. `colour`: sRGB 0 to 255 `[y, x, channel]`; `lines`: share of a pixel covered by line work between
    its areas; `sky`: share covered by the sky."""

    colour: Floats
    lines: Floats
    sky: Floats


@dataclass(frozen=True)
class Palette:
    """Colours of a place: the sky above and at the horizon, then the areas 1, 2, ... `tint`: its colour in neon."""

    above: RGB
    horizon: RGB
    areas: tuple[RGB, ...]
    tint: RGB


PALETTES: dict[str, Palette] = {
    "plain": Palette((240, 236, 228), (232, 227, 218), (), tint=(120, 110, 120)),
    "sky": Palette((142, 190, 230), (204, 228, 244), ((230, 240, 248), (216, 231, 243)), tint=(90, 160, 235)),
    "desert": Palette(
        (240, 226, 200),
        (248, 236, 210),
        ((232, 204, 158), (222, 188, 138), (206, 170, 122)),
        tint=(235, 165, 80),
    ),
    "sea": Palette(
        (206, 224, 230),
        (226, 236, 236),
        ((122, 182, 196), (98, 164, 182), (156, 204, 212)),
        tint=(50, 190, 195),
    ),
    "snow": Palette(
        (172, 190, 212),
        (196, 208, 224),
        ((226, 233, 243), (244, 247, 251), (208, 218, 233), (246, 248, 252)),
        tint=(200, 215, 245),
    ),
    "meadow": Palette(
        (190, 218, 236),
        (220, 234, 240),
        ((166, 200, 142), (142, 184, 112), (118, 162, 92)),
        tint=(90, 200, 80),
    ),
    "street": Palette(
        (206, 212, 222),
        (222, 224, 228),
        # Far houses, nearer ones, pavement, kerb, road, marks on the road.
        (
            (186, 192, 204),
            (174, 181, 195),
            (198, 192, 184),
            (164, 160, 156),
            (132, 134, 142),
            (214, 212, 204),
        ),
        tint=(170, 170, 190),
    ),
    "living room": Palette(
        (228, 212, 196),
        (228, 212, 196),
        (
            (220, 202, 186),  # stripes of the wallpaper
            (188, 154, 124),  # floor
            (174, 140, 112),  # joints of the boards
            (244, 238, 228),  # skirting and window frame
            (196, 214, 224),  # panes
            (186, 124, 116),  # rug
            (200, 142, 130),
        ),
        tint=(225, 130, 105),
    ),
}
"""Every place's colours. Muted, so that things stand out."""


def _under(draw: Draw, edge: NDArray[np.float64], area: int) -> None:
    """Fills everything below a line given at every half pixel."""
    x = np.arange(len(edge)) * (_WIDE / (len(edge) - 1))
    outline = np.stack([x, edge * _WIDE], axis=1).ravel().tolist()
    draw.polygon([*outline, _WIDE, _WIDE + 2, 0, _WIDE + 2], fill=area)


def _line(draw: Draw, edge: NDArray[np.float64], area: int, width: int) -> None:
    x = np.arange(len(edge)) * (_WIDE / (len(edge) - 1))
    draw.line(np.stack([x, edge * _WIDE], axis=1).ravel().tolist(), fill=area, width=width)


_X = np.linspace(0.0, 1.0, 49)


def _wave(level: float, height: float, waves: float, phase: float) -> NDArray[np.float64]:
    return level + height * np.sin(2 * np.pi * waves * _X + phase)


def _sky(draw: Draw, scene: Scene, rng: np.random.Generator) -> None:
    for number, (x, y, size) in enumerate(
        ((0.16, 0.2, 1.1), (0.72, 0.13, 0.9), (0.5, 0.52, 0.9), (0.9, 0.66, 1.2), (0.12, 0.82, 1.2))
    ):
        x = (x + scene.phase / (2 * np.pi) + float(rng.uniform(-0.06, 0.06))) % 1.2 - 0.1
        y, size = y + float(rng.uniform(-0.05, 0.05)), size * float(rng.uniform(0.85, 1.15)) * _WIDE
        y *= _WIDE
        x *= _WIDE
        area = 1 if number % 2 == 0 else 2
        for dx, dy, r in (
            (-0.1, 0.0, 0.045),
            (-0.035, -0.03, 0.062),
            (0.045, -0.022, 0.055),
            (0.11, 0.0, 0.042),
        ):
            cx, cy, r = x + dx * size, y + dy * size, r * size
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=area)
        draw.rectangle((x - 0.11 * size, y, x + 0.11 * size, y + 0.043 * size), fill=area)


def _desert(draw: Draw, scene: Scene, rng: np.random.Generator) -> None:
    level = scene.horizon
    _under(draw, level - 0.1 + 0.09 * np.abs(np.sin(np.pi * 1.5 * _X + scene.phase / 2)) * -1 + 0.05, 1)
    _under(draw, _wave(level, 0.05, 0.8, scene.phase), 2)
    for k in range(3):
        _line(draw, _wave(level + 0.075 + 0.06 * k, 0.012, 2.0 + 0.4 * k, scene.phase + k), 3, 2)


def _sea(draw: Draw, scene: Scene, rng: np.random.Generator) -> None:
    level = scene.horizon - 0.42
    draw.rectangle((0, level * _WIDE, _WIDE, _WIDE), fill=1)
    for k, y in enumerate((level + 0.13, level + 0.29, level + 0.46)):
        crest = y - 0.02 * np.abs(np.sin(np.pi * (5 - k) * np.linspace(0, 1, 97) + scene.phase + k))
        _under(draw, crest, 2 if k % 2 == 0 else 1)
        _line(draw, crest, 3, 3)


def _snow(draw: Draw, scene: Scene, rng: np.random.Generator) -> None:
    level = scene.horizon
    _under(draw, _wave(level - 0.13, 0.06, 1.1, scene.phase), 1)
    _under(draw, _wave(level, 0.035, 0.8, scene.phase + 2.0), 2)
    _line(draw, _wave(level + 0.1, 0.012, 1.0, scene.phase), 3, 2)
    for x, y in rng.uniform(0.02, 0.98, (30, 2)) * _WIDE:
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=4)


def _meadow(draw: Draw, scene: Scene, rng: np.random.Generator) -> None:
    level = scene.horizon
    _under(draw, _wave(level - 0.09, 0.05, 0.8, scene.phase), 1)
    _under(draw, _wave(level, 0.025, 1.1, scene.phase + 2.4), 2)
    for x, y in rng.uniform((0.02, level + 0.07), (0.98, 0.99), (15, 2)) * _WIDE:
        for lean in (-5, 0, 5):
            draw.line((x + lean * 0.3, y, x + lean, y - 9 + abs(lean) * 0.5), fill=3, width=2)


def _street(draw: Draw, scene: Scene, rng: np.random.Generator) -> None:
    level = scene.horizon
    x, number = -0.08, 0
    while x < 1.0:
        wide = float(rng.uniform(0.09, 0.17))
        high = float(rng.uniform(0.14, 0.36))
        draw.rectangle(
            (x * _WIDE, (level - high) * _WIDE, (x + wide) * _WIDE, level * _WIDE), fill=1 + number % 2
        )
        x, number = x + wide, number + 1
    draw.rectangle((0, level * _WIDE, _WIDE, _WIDE), fill=3)
    draw.rectangle((0, (level + 0.06) * _WIDE, _WIDE, _WIDE), fill=4)
    draw.rectangle((0, (level + 0.08) * _WIDE, _WIDE, _WIDE), fill=5)
    first = -0.3 + 0.3 * scene.phase / (2 * np.pi)
    for k in range(6):
        x = (first + 0.3 * k) * _WIDE
        y = (level + 0.155) * _WIDE
        draw.polygon([x, y, x + 34, y, x + 30, y + 6, x - 4, y + 6], fill=6)


def _room(draw: Draw, scene: Scene, rng: np.random.Generator) -> None:
    level = scene.horizon * _WIDE
    for x in range(-1, 9):
        left = (x + scene.phase / (2 * np.pi)) * 32
        draw.rectangle((left, 0, left + 15, level), fill=1)
    # A window on one side of the wall.
    left = (0.08 if np.cos(scene.phase) > 0 else 0.62) * _WIDE
    top, wide, high = 0.1 * _WIDE, 0.3 * _WIDE, 0.36 * _WIDE
    draw.rectangle((left - 5, top - 5, left + wide + 5, top + high + 5), fill=4)
    draw.rectangle((left, top, left + wide, top + high), fill=5)
    draw.rectangle((left + wide / 2 - 2, top, left + wide / 2 + 2, top + high), fill=4)
    draw.rectangle((left, top + high * 0.45 - 2, left + wide, top + high * 0.45 + 2), fill=4)
    draw.rectangle((left - 10, top + high + 5, left + wide + 10, top + high + 10), fill=4)
    draw.rectangle((0, level, _WIDE, _WIDE), fill=2)
    for k, y in enumerate((0.3, 0.62)):
        y = level + y * (_WIDE - level)
        draw.line((0, y, _WIDE, y), fill=3, width=2)
        for x in range(0, _WIDE + 60, 64):
            draw.line((x + 30 * k, y, x + 30 * k - 6, y + 22), fill=3, width=2)
    draw.rectangle((0, level - 9, _WIDE, level), fill=4)
    y, x = level + 0.66 * (_WIDE - level), (0.5 + 0.1 * np.sin(scene.phase)) * _WIDE
    draw.ellipse((x - 100, y - 17, x + 100, y + 17), fill=6)
    draw.ellipse((x - 84, y - 12, x + 84, y + 12), fill=7)


_DRAWN: dict[str, Callable[[Draw, Scene, np.random.Generator], None]] = {
    "sky": _sky,
    "desert": _desert,
    "sea": _sea,
    "snow": _snow,
    "meadow": _meadow,
    "street": _street,
    "living room": _room,
}


_UNLINED = {"living room": 1}
"""Areas without line work around them: the stripes of the wallpaper."""


@lru_cache(maxsize=1)
def grid() -> tuple[Floats, Floats]:
    """Pixel centres as shares of the picture: y and x, both `[y, x]`."""
    y, x = (np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) + 0.5) / SIDE
    return y, x


@lru_cache(maxsize=1)
def _noise() -> Floats:
    """Smooth noise with mean 0 and standard deviation 1, `[2 * SIDE, 2 * SIDE]`, the same in every picture."""
    rng = np.random.default_rng(7)
    total = np.zeros((2 * SIDE, 2 * SIDE), np.float32)
    for cells, weight in ((12, 1.0), (28, 0.7), (64, 0.5), (128, 0.35)):
        field = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
        total += weight * np.asarray(field.resize((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC), np.float32)
    total -= total.mean()
    return np.asarray(total / total.std(), np.float32)


def noise(seed: int, number: int = 0) -> Floats:
    """A piece of the smooth noise, `[y, x]`. Where it is cut from depends on `seed`, and on `number` for several."""
    y, x = (seed // 7 + 53 * number) % SIDE, (seed // 1009 + 91 * number) % SIDE
    return _noise()[y : y + SIDE, x : x + SIDE]


def empty(scene: Scene) -> Backdrop:
    """The place of `scene` in plain light."""
    palette = PALETTES[scene.place]
    areas = Image.new("L", (_WIDE, _WIDE))
    if scene.place in _DRAWN:
        _DRAWN[scene.place](ImageDraw.Draw(areas), scene, np.random.default_rng(scene.seed))
    numbers = np.asarray(areas)
    lines = reduced(
        Image.fromarray(
            edges(np.where(numbers == _UNLINED.get(scene.place, 0), 0, numbers), 1).astype(np.uint8)
            * np.uint8(255)
        ),
        _SCALE,
    )
    sky = reduced(areas.point([255] + [0] * 255), _SCALE)
    colours = bytes(channel for colour in ((0, 0, 0), *palette.areas) for channel in colour)
    areas.putpalette(colours + bytes(768 - len(colours)))
    flat = np.asarray(areas.convert("RGB").reduce(_SCALE), np.float32)
    y, _ = grid()
    above, low = np.array(palette.above, np.float32), np.array(palette.horizon, np.float32)
    colour = flat + sky[..., None] * (
        above + (low - above) * np.minimum(y / np.float32(scene.horizon), 1)[..., None]
    )
    return Backdrop(colour, lines, sky)


def dawn(scene: Scene) -> Floats:
    """How much of the low morning sun falls on each pixel, 0 to 1 `[y, x]`: from one side, in long soft rays."""
    y, x = grid()
    if np.cos(scene.phase + 0.7) < 0:
        x = 1 - x
    dx, dy = x + np.float32(0.12), y - np.float32(0.22)
    near = np.clip(1.12 - np.sqrt(dx * dx + 0.7 * dy * dy), 0, 1)
    rays = 0.5 + 0.5 * np.sin(11 * np.arctan2(dy, dx) + np.float32(scene.phase))
    return np.asarray(np.clip(near * (0.82 + 0.36 * rays), 0, 1), np.float32)


GOLDEN = np.array([255, 196, 96], np.float32)


def lit(backdrop: Backdrop, scene: Scene) -> Floats:
    """Colours of the place in the light of `scene`."""
    if scene.light == "morning":
        sun = dawn(scene)[..., None]
        warm = backdrop.colour * np.array([1.0, 0.89, 0.76], np.float32)
        # What is white on the ground stays the lightest.
        white = np.clip((backdrop.colour.min(axis=-1) - 222) / 14, 0, 1) * (1 - backdrop.sky)
        warm = warm + (backdrop.colour * np.array([1.0, 0.96, 0.89], np.float32) - warm) * white[..., None]
        share = 0.64 * sun * (1 - 0.55 * white[..., None])
        return np.asarray(warm * (0.88 + 0.12 * sun) + (GOLDEN - warm) * share, np.float32)
    if scene.light == "night":
        # More contrast than by day, or the dark would swallow the place.
        deep = np.maximum(backdrop.colour + 0.55 * (backdrop.colour - 214), 20)
        dark = deep * np.array([0.23, 0.28, 0.43], np.float32) + np.array([3, 5, 18], np.float32)
        if scene.place not in ("plain", "living room"):
            rng = np.random.default_rng(scene.seed + 1)
            rows, columns = rng.integers(0, int(SIDE * 0.7), 34), rng.integers(0, SIDE, 34)
            bright = rng.uniform(40, 130, 34).astype(np.float32) * backdrop.sky[rows, columns]
            dark[rows, columns] += bright[:, None]
        return dark
    return backdrop.colour
