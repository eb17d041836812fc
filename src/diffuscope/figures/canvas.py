"""A sheet to draw charts on: lines without stairs, pillow's own font, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from PIL import Image, ImageDraw

from diffuscope.errors import SelectionError
from diffuscope.maps.picture import Colour, text_width, wrapped, write

ThemeName = Literal["light", "dark"]
Point = tuple[float, float]
Anchor = Literal["left", "middle", "right"]

DENSITY = 2
"""Pixels of the picture to a unit of the sheet, so that text is sharp on any screen."""
FINER = 2
"""Drawn this much larger still, then brought down: edges become smooth."""


@dataclass(frozen=True)
class Theme:
    """Colours of a sheet.

    Attributes:
        paper, ink, quiet, line: background, text, lesser text, grid.
        series: colours of curves, told apart by colour-blind eyes (Okabe and Ito, 2008; the dark ones are lightened).
    """

    paper: Colour
    ink: Colour
    quiet: Colour
    line: Colour
    series: tuple[Colour, ...]


THEMES: dict[str, Theme] = {
    "light": Theme(
        (255, 255, 255),
        (28, 30, 34),
        (96, 100, 108),
        (214, 217, 222),
        (
            (0, 114, 178),
            (213, 94, 0),
            (0, 138, 100),
            (176, 84, 138),
            (168, 112, 0),
            (60, 60, 64),
            (40, 140, 200),
        ),
    ),
    "dark": Theme(
        (20, 22, 27),
        (232, 234, 238),
        (160, 165, 175),
        (58, 62, 70),
        (
            (86, 180, 233),
            (240, 128, 48),
            (60, 200, 150),
            (222, 150, 190),
            (230, 170, 30),
            (220, 222, 226),
            (120, 150, 240),
        ),
    ),
}


def theme_of(name: str) -> Theme:
    """A theme by its name.

    Raises:
        SelectionError: there is none.
    """
    if name not in THEMES:
        raise SelectionError(f"there is no theme {name!r}; choose {' or '.join(THEMES)}")
    return THEMES[name]


class Canvas:
    """A sheet of ``width`` by ``height`` units, origin top left.

    Attributes:
        width, height, theme: as given.
    """

    def __init__(self, width: float, height: float, theme: Theme) -> None:
        self.width, self.height, self.theme = width, height, theme
        self._scale = DENSITY * FINER
        size = (math.ceil(width * self._scale), math.ceil(height * self._scale))
        self._sheet = Image.new("RGB", size, theme.paper)
        self._draw = ImageDraw.Draw(self._sheet)

    def text(
        self, at: Point, text: str, size: int = 12, colour: Colour | None = None, anchor: Anchor = "left"
    ) -> None:
        """Text whose top stands at `at`."""
        shift = {"left": 0.0, "middle": 0.5, "right": 1.0}[anchor] * self.measure(text, size)
        point = ((at[0] - shift) * self._scale, at[1] * self._scale)
        write(self._draw, point, text, colour or self.theme.ink, size * self._scale)

    def measure(self, text: str, size: int = 12) -> float:
        """Width of a text."""
        return text_width(text, size * self._scale) / self._scale

    def lines(
        self, at: Point, text: str, width: float, size: int = 12, colour: Colour | None = None
    ) -> float:
        """A paragraph; gives the height that it took."""
        rows = wrapped(text, size * self._scale, int(width * self._scale))
        for number, row in enumerate(rows):
            self.text((at[0], at[1] + number * size * 1.4), row, size, colour)
        return len(rows) * size * 1.4

    def line(
        self,
        points: Sequence[Point],
        colour: Colour,
        width: float = 1.0,
        dash: tuple[float, float] | None = None,
    ) -> None:
        """A line through points, its corners round; `dash` is the length of strokes and of gaps."""
        if len(points) < 2:
            return
        for stroke in [points] if dash is None else _dashed(points, *dash):
            scaled = [(x * self._scale, y * self._scale) for x, y in stroke]
            self._draw.line(scaled, fill=colour, width=max(1, round(width * self._scale)), joint="curve")

    def polygon(
        self, points: Sequence[Point], fill: Colour | None, outline: Colour | None = None, width: float = 1.0
    ) -> None:
        """A closed shape."""
        scaled = [(x * self._scale, y * self._scale) for x, y in points]
        if fill is not None:
            self._draw.polygon(scaled, fill=fill)
        if outline is not None:
            self.line([*points, points[0]], outline, width)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, fill: Colour | None, outline: Colour | None = None
    ) -> None:
        """A rectangle."""
        if fill is not None:
            # The far edge is the first pixel that is left out, so that neighbours neither overlap nor part.
            ends = [round(each * self._scale) for each in (x0, y0, x1, y1)]
            self._draw.rectangle(
                (ends[0], ends[1], max(ends[0], ends[2] - 1), max(ends[1], ends[3] - 1)), fill=fill
            )
        if outline is not None:
            self.line([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], outline)

    def dot(
        self, at: Point, radius: float, fill: Colour | None, outline: Colour | None = None, width: float = 1.5
    ) -> None:
        """A disc, or a ring where there is no fill."""
        x, y = at[0] * self._scale, at[1] * self._scale
        reach = radius * self._scale
        self._draw.ellipse(
            (x - reach, y - reach, x + reach, y + reach),
            fill=fill,
            outline=outline,
            width=max(1, round(width * self._scale)) if outline else 0,
        )

    def picture(self, image: Image.Image, at: Point, size: tuple[float, float]) -> None:
        """A picture brought to ``(width, height)`` units."""
        pixels = (round(size[0] * self._scale), round(size[1] * self._scale))
        smaller = pixels[0] < image.width
        how = Image.Resampling.LANCZOS if smaller else Image.Resampling.BICUBIC
        place = (round(at[0] * self._scale), round(at[1] * self._scale))
        self._sheet.paste(image.convert("RGB").resize(pixels, how), place)

    def finished(self) -> Image.Image:
        """What was drawn, RGB, `DENSITY` pixels a unit."""
        size = (self._sheet.width // FINER, self._sheet.height // FINER)
        return self._sheet.resize(size, Image.Resampling.BOX)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two: `share` 0 is the first, 1 the second."""
    a, b, c = (round(x + (y - x) * share) for x, y in zip(first, second, strict=True))
    return a, b, c


def apart(wishes: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Places near those wished for, `least` apart and within bounds where that can be: labels at the ends of
    curves."""
    order = sorted(range(len(wishes)), key=lambda at: wishes[at])
    placed = [min(max(wishes[at], low), high) for at in order]
    for at in range(1, len(placed)):
        placed[at] = max(placed[at], placed[at - 1] + least)
    if placed and placed[-1] > high:
        placed[-1] = high
        for at in range(len(placed) - 2, -1, -1):
            placed[at] = min(placed[at], placed[at + 1] - least)
    out = [0.0] * len(wishes)
    for at, place in zip(order, placed, strict=True):
        out[at] = place
    return out


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from low to high, steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    power = 10 ** math.floor(math.log10((high - low) / most))
    stride = next(factor * power for factor in (1, 2, 5, 10) if (high - low) / (factor * power) <= most)
    first, last = math.ceil(low / stride - 1e-9), math.floor(high / stride + 1e-9)
    return [number * stride for number in range(first, last + 1)]


def _dashed(points: Sequence[Point], on: float, off: float) -> list[list[Point]]:
    strokes: list[list[Point]] = [[points[0]]]
    drawing, left = True, on
    for start, end in pairwise(points):
        length, done = math.dist(start, end), 0.0
        while length - done > left:
            done += left
            share = done / length
            place = (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
            if drawing:
                strokes[-1].append(place)
            else:
                strokes.append([place])
            drawing, left = not drawing, off if drawing else on
        left -= length - done
        if drawing:
            strokes[-1].append(end)
    return [stroke for stroke in strokes if len(stroke) > 1]
