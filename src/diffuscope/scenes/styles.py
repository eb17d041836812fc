"""How a picture is made: flat, as a watercolour, as a neon sign or as a pencil sketch, and in what light.

A style first makes the ground of a picture from an empty place, then puts things on it in drawing order, and finishes
the whole. It never moves an edge by more than about a pixel, so a thing's coverage is the truth in every style.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from diffuscope.scenes.backdrops import GOLDEN, PALETTES, Backdrop, dawn, grid, lit, noise
from diffuscope.scenes.raster import SIDE, Floats, Tile, brightest
from diffuscope.scenes.vocabulary import PAINTS, PLAIN, RGB

if TYPE_CHECKING:
    from diffuscope.scenes.layout import Placed, Scene


def _rgb(*channels: float) -> Floats:
    return np.array(channels, np.float32)


def _mix(under: Floats, over: Floats, share: Floats) -> Floats:
    return under + (over - under) * share[..., None]


def blurred(field: Floats, radius: float) -> Floats:
    """A field of 0 to 1 `[y, x]` blurred."""
    grey = Image.fromarray(np.clip(field * 255 + 0.5, 0, 255).astype(np.uint8))
    return np.asarray(grey.filter(ImageFilter.BoxBlur(radius)), np.float32) / np.float32(255)


NIGHT = _rgb(0.89, 0.88, 0.97)
"""What night leaves of a thing's colour, by channel: more than of the place behind it."""

MOONLIGHT = _rgb(150, 172, 226)


class Plain:
    """Flat colours with a thin contour. The base of the other styles."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.sun = dawn(scene) if scene.light == "morning" else None

    def ground(self, backdrop: Backdrop) -> Floats:
        """The empty picture, sRGB 0 to 255 `[y, x, channel]`."""
        return np.array(lit(backdrop, self.scene))

    def tinted(self, colour: Floats, window: tuple[slice, slice]) -> Floats:
        """A thing's colours in the light of the scene."""
        if self.sun is not None:
            warm = colour * _rgb(1.0, 0.94, 0.82)
            return _mix(warm, GOLDEN, 0.26 * self.sun[window])
        if self.scene.light == "night":
            return np.asarray(colour * NIGHT + _rgb(2, 4, 12), np.float32)
        return colour

    def put(self, canvas: Floats, tile: Tile, thing: Placed) -> None:
        """Paint one thing onto `canvas`, in place."""
        colour = self.tinted(tile.colour, tile.window)
        contour = MOONLIGHT if self.scene.light == "night" else colour * _rgb(0.42, 0.4, 0.48)
        colour = colour + (contour - colour) * (0.55 * tile.ink)[..., None]
        canvas[tile.window] = _mix(canvas[tile.window], colour, tile.cover)

    def finish(self, canvas: Floats) -> Floats:
        """The whole picture."""
        return canvas


PAPER = _rgb(250, 247, 240)


class Watercolor(Plain):
    """Washes on rough paper: pigment gathers along the edges, colours run unevenly, the paper's rim stays bare."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.cloud, self.fine = noise(scene.seed), noise(scene.seed, 1)

    def ground(self, backdrop: Backdrop) -> Floats:
        wash = super().ground(backdrop)
        dilute = np.clip(0.20 + 0.13 * self.cloud, 0, 0.6)
        if self.scene.light == "night":
            dilute = dilute * np.float32(0.6)
        pooled = blurred(backdrop.lines, 1.0) * np.float32(0.22)
        return np.asarray(_mix(wash, PAPER, dilute) * (1 - pooled)[..., None], np.float32)

    def put(self, canvas: Floats, tile: Tile, thing: Placed) -> None:
        window = tile.window
        colour = self.tinted(tile.colour, window)
        if self.scene.light == "night":
            # A light contour, as of paper left bare, holds things apart from the dark wash.
            colour = _mix(colour, MOONLIGHT, 0.6 * tile.ink)
        cloud, fine = self.cloud[window], self.fine[window]
        soft = blurred(tile.cover, 1)
        cover = np.clip((soft - 0.5) * 1.7 + 0.5 + 0.16 * fine, 0, 1) * (soft > 0.04)
        dilute = np.clip(0.13 + 0.10 * cloud, 0, 0.34)
        pooled = np.clip(1 - blurred(tile.cover, 2), 0, 1) + 0.35 * tile.ink
        if self.scene.light == "night":
            pooled = pooled * np.float32(0.3)
        colour = _mix(colour, PAPER, dilute) * (1 - 0.30 * np.minimum(pooled, 1) - 0.03 * fine)[..., None]
        canvas[window] = _mix(canvas[window], colour, cover)

    def finish(self, canvas: Floats) -> Floats:
        y, x = grid()
        rim = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) * SIDE
        bare = np.clip(4.2 - rim + 1.5 * self.fine, 0, 1)
        paper = 1 + 0.014 * _grain()
        return np.asarray(_mix(canvas, PAPER, bare) * paper[..., None], np.float32)


GLOW: dict[str, RGB] = {
    "red": (255, 40, 44),
    "orange": (255, 134, 16),
    "yellow": (255, 240, 40),
    "green": (40, 232, 84),
    "blue": (50, 96, 255),
    "purple": (176, 62, 255),
    "pink": (255, 132, 206),
    "brown": (132, 72, 40),
    "black": (112, 106, 132),
    "white": (255, 255, 255),
    "wooden": (214, 152, 92),
    "brass": (206, 170, 58),
}
"""The light of each paint in neon."""

_WALLS: dict[str, tuple[float, float, float]] = {
    "plain": (34, 31, 38),
    "night": (9, 11, 40),
    "morning": (58, 38, 30),
}


class Neon(Plain):
    """Glowing tubes along the edges before a dark wall, on which the place shows as dim lines."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.light = np.zeros((SIDE, SIDE, 3), np.float32)

    def ground(self, backdrop: Backdrop) -> Floats:
        scene = self.scene
        wall = _rgb(*_WALLS[scene.light])
        tint = _rgb(*PALETTES[scene.place].tint)
        line = backdrop.lines * np.float32(0.42 if scene.light != "night" else 0.34)
        shape = backdrop.colour - backdrop.colour.mean(axis=(0, 1))
        canvas = wall + 0.06 * tint + 0.10 * shape + tint * (line + 0.5 * blurred(line, 3))[..., None]
        canvas = canvas * _bricks()
        if self.sun is not None:
            canvas = _mix(canvas, _rgb(216, 134, 56), 0.5 * self.sun)
        return np.asarray(canvas, np.float32)

    def put(self, canvas: Floats, tile: Tile, thing: Placed) -> None:
        window = tile.window
        own = _rgb(*PAINTS[thing.colour])
        glow = _rgb(*GLOW[thing.colour])
        # Where the drawing has the thing's own paint the tube has the paint's light; details shine in their own.
        away = np.asarray(np.abs(tile.colour - own) @ np.ones(3, np.float32), np.float32)
        detail = tile.fixed
        strength = 235 / np.maximum(brightest(tile.colour), 120)
        bright = np.asarray(tile.colour * strength[..., None], np.float32)
        shine = _mix(glow, bright, detail)
        inside = _mix(glow, tile.colour, np.asarray(np.minimum(away / 200, 1), np.float32))
        dim = np.float32(0.34) + np.float32(0.16) * detail
        if thing.pattern != PLAIN:
            # Stripes and dots are lit areas: on a dim yellow no other colour would show.
            inside = _mix(inside, glow + (255 - glow) * np.float32(0.25), tile.marks)
            dim = dim + np.float32(0.46) * tile.marks
        canvas[window] = _mix(canvas[window], inside * dim[..., None], tile.cover)
        self.light[window] *= (1 - tile.cover)[..., None]
        tube = tile.ink[..., None]
        self.light[window] = np.maximum(self.light[window], shine * tube)

    def finish(self, canvas: Floats) -> Floats:
        tubes = Image.fromarray(np.clip(self.light, 0, 255).astype(np.uint8))
        near = np.asarray(tubes.filter(ImageFilter.BoxBlur(1)), np.float32)
        half = tubes.reduce(2).filter(ImageFilter.BoxBlur(2)).filter(ImageFilter.BoxBlur(2))
        far = np.asarray(half.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
        core = brightest(self.light)[..., None] / 255
        lighted = canvas * (1 - 0.75 * core) + self.light * 0.85 + near * 0.30 + far * 0.85
        return np.asarray(lighted + 40 * core * core * core, np.float32)


GRAPHITE = _rgb(66, 66, 74)
SHEET = _rgb(250, 249, 245)


class Pencil(Plain):
    """Graphite outlines and coloured hatching on white paper."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.fine = noise(scene.seed)

    def ground(self, backdrop: Backdrop) -> Floats:
        colour = super().ground(backdrop)
        strokes = _hatching(-1, 4.6)
        if self.scene.light == "night":
            share = 0.76 + 0.16 * strokes
        else:
            share = 0.34 + 0.26 * strokes
            if self.sun is not None:
                share = share + 0.14 * self.sun
        # Coloured pencil on white: paler than paint, but of a stronger hue, so that the place can be told.
        grey = colour.mean(axis=-1, keepdims=True)
        hue = np.float32(0.85 if self.scene.light == "night" else 1.7)
        canvas = _mix(SHEET, np.maximum(grey + (colour - grey) * hue - 12, 0), share)
        line = backdrop.lines * (0.34 + 0.05 * self.fine)
        return np.asarray(
            _mix(canvas, GRAPHITE if self.scene.light != "night" else MOONLIGHT, line), np.float32
        )

    def put(self, canvas: Floats, tile: Tile, thing: Placed) -> None:
        window = tile.window
        colour = self.tinted(tile.colour, window)
        strokes = _hatching(-2, 3.0)[window]
        share = np.clip(0.70 + 0.24 * strokes + 0.05 * self.fine[window], 0, 1)
        sheet = SHEET * NIGHT if self.scene.light == "night" else SHEET
        canvas[window] = _mix(canvas[window], _mix(sheet, colour, share), tile.cover)
        # An outline belongs to its thing: only a faint rest of it lies outside.
        ink = np.clip(tile.ink * (0.86 + 0.12 * self.fine[window]), 0, 1)
        ink = np.asarray(ink * (0.25 + 0.75 * np.sqrt(tile.cover)), np.float32)
        graphite = GRAPHITE if thing.colour != "black" else _rgb(20, 20, 24)
        canvas[window] = _mix(canvas[window], graphite, ink)

    def finish(self, canvas: Floats) -> Floats:
        return np.asarray(canvas * (1 + 0.016 * _grain())[..., None], np.float32)


@lru_cache(maxsize=1)
def _bricks() -> Floats:
    """A brick wall as a factor `[y, x, 1]`: the joints are darker."""
    y, x = grid()
    courses = (np.floor(y * 16) % 2) * 0.5
    joints = (np.abs((y * 16) % 1 - 0.5) > 0.43) | (np.abs((x * 8 + courses) % 1 - 0.5) > 0.46)
    return np.where(joints, np.float32(0.83), np.float32(1))[..., None]


@lru_cache(maxsize=4)
def _hatching(slope: int, period: float) -> Floats:
    """Parallel pencil strokes, 0 to 1 `[y, x]`, that rise to the right (1) or fall (-1)."""
    y, x = grid()
    waver = noise(1234, 2)
    wave = np.sin(2 * np.pi * ((0.8 * slope * x + y) * SIDE / (period * 1.28) + 0.09 * waver))
    return np.asarray(np.clip(0.5 + 0.8 * wave, 0, 1), np.float32)


@lru_cache(maxsize=1)
def _grain() -> Floats:
    """The paper's tooth: fine noise of standard deviation 1."""
    return np.random.default_rng(3).standard_normal((SIDE, SIDE)).astype(np.float32)


STYLES_OF: dict[str, type[Plain]] = {"plain": Plain, "watercolor": Watercolor, "neon": Neon, "pencil": Pencil}
"""The classes that make each style."""
