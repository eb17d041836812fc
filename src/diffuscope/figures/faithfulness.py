"""Figures of an evaluation: bars with their intervals beside the ceilings, and sheets of judged pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from diffuscope.scenes.evaluation import Line

Theme = Literal["light", "dark"]
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Colours:
    """Of a figure: `bar` and its interval `mark` are told apart by lightness as well as by hue."""

    paper: RGB
    ink: RGB
    quiet: RGB
    line: RGB
    bar: RGB
    ceiling: RGB
    wrong: RGB


THEMES: dict[Theme, Colours] = {
    "light": Colours(
        (255, 255, 255),
        (28, 30, 34),
        (98, 102, 110),
        (222, 224, 229),
        (122, 160, 214),
        (176, 82, 20),
        (196, 40, 40),
    ),
    "dark": Colours(
        (22, 24, 29),
        (232, 234, 238),
        (160, 165, 175),
        (52, 56, 64),
        (64, 104, 164),
        (244, 164, 96),
        (240, 110, 100),
    ),
}

SCALE = 2
"""Figures are drawn twice as large as they are read, for screens with small pixels."""


@dataclass(frozen=True)
class Bar:
    """One row of the chart: what is measured, the model's share, and the two ceilings (None where there is none)."""

    label: str
    model: Line
    autoencoder: Line | None = None
    renderer: Line | None = None


def chart(
    groups: Sequence[tuple[str, Sequence[Bar]]], title: str, notes: Sequence[str], theme: Theme = "light"
) -> Image.Image:
    """Bars from 0 to 100 per cent, in titled groups, RGB. The whisker is the 95 per cent interval; a tick is the
    judge's ceiling after the autoencoder, a ring its ceiling on clean renders. Rows without judgements are left out."""
    colours = THEMES[theme]
    left, wide, right, step = 250, 460, 150, 24
    shown = [(name, [bar for bar in bars if bar.model.n]) for name, bars in groups]
    shown = [(name, bars) for name, bars in shown if bars]
    written = [line for note in notes for line in _wrapped(note, 12, left + wide + right - 40)]
    height = 76 + sum(34 + step * len(bars) for _, bars in shown) + 46 + 17 * len(written)
    sheet = Image.new("RGB", ((left + wide + right) * SCALE, height * SCALE), colours.paper)
    pen = _Pen(ImageDraw.Draw(sheet))
    pen.text(20, 16, title, colours.ink, 19)
    _legend(pen, colours, 20, 48)
    y, top = 76, 76 + 30
    bottom = height - 46 - 17 * len(written)
    for percent in range(0, 101, 20):
        x = left + wide * percent / 100
        pen.line(x, top, x, bottom, colours.line)
        pen.text(x, bottom + 4, f"{percent} %", colours.quiet, 12, "middle")
    for name, bars in shown:
        pen.text(20, y + 10, name, colours.quiet, 12)
        y += 34
        for bar in bars:
            _bar(pen, colours, bar, left, wide, y)
            y += step
    for index, line in enumerate(written):
        pen.text(20, height - 16 - 17 * (len(written) - index), line, colours.quiet, 12)
    return sheet


def _bar(pen: _Pen, colours: Colours, bar: Bar, left: float, wide: float, y: float) -> None:
    def at(rate: float) -> float:
        return left + wide * rate

    model, middle = bar.model, y + 9
    pen.text(left - 10, y + 1, bar.label, colours.ink, 13, "end")
    pen.box(left, y + 2, at(model.rate), y + 16, colours.bar)
    pen.line(at(model.low), middle, at(model.high), middle, colours.ink, 1.5)
    for end in (model.low, model.high):
        pen.line(at(end), y + 5, at(end), y + 13, colours.ink, 1.5)
    if bar.autoencoder is not None and bar.autoencoder.n:
        pen.line(at(bar.autoencoder.rate), y - 1, at(bar.autoencoder.rate), y + 19, colours.ceiling, 2.5)
    if bar.renderer is not None and bar.renderer.n:
        pen.ring(at(bar.renderer.rate), middle, 4.5, colours.ceiling)
    text = f"{100 * model.rate:.1f} %"
    pen.text(left + wide + 18, y + 1, text, colours.ink, 13)
    pen.text(left + wide + 80, y + 2, f"n = {model.n}", colours.quiet, 12)


def _legend(pen: _Pen, colours: Colours, x: float, y: float) -> None:
    pen.box(x, y + 2, x + 26, y + 14, colours.bar)
    pen.line(x + 16, y + 8, x + 34, y + 8, colours.ink, 1.5)
    pen.line(x + 34, y + 4, x + 34, y + 12, colours.ink, 1.5)
    pen.text(x + 42, y, "model, 95 % interval", colours.quiet, 12)
    pen.line(x + 190, y, x + 190, y + 17, colours.ceiling, 2.5)
    pen.text(x + 200, y, "ceiling: renders through the autoencoder", colours.quiet, 12)
    pen.ring(x + 458, y + 8, 4.5, colours.ceiling)
    pen.text(x + 470, y, "ceiling: the judge on clean renders", colours.quiet, 12)


class _Pen:
    """Draws in the units that the figure is read in."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self.draw = draw

    def text(self, x: float, y: float, text: str, colour: RGB, size: int, anchor: str = "start") -> None:
        font = _font(size * SCALE)
        shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * font.getlength(text)
        self.draw.text((x * SCALE - shift, y * SCALE), text, colour, font)

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: RGB, width: float = 1.0) -> None:
        self.draw.line([value * SCALE for value in (x0, y0, x1, y1)], colour, round(width * SCALE))

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: RGB) -> None:
        if x1 > x0:
            self.draw.rectangle([value * SCALE for value in (x0, y0, x1, y1)], colour)

    def ring(self, x: float, y: float, radius: float, colour: RGB) -> None:
        edges = [(x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE]
        self.draw.ellipse(edges, outline=colour, width=2 * SCALE)


@dataclass(frozen=True)
class Tile:
    """A picture of a sheet, uint8 `[y, x, channel]`, with its caption, and what is wrong with it (empty: nothing)."""

    image: NDArray[np.uint8]
    caption: str
    wrong: tuple[str, ...] = ()


def sheet(
    tiles: Sequence[Tile], title: str = "", theme: Theme = "light", columns: int = 8, lines: int = 5
) -> Image.Image:
    """Pictures in rows, RGB, with up to `lines` lines of text below each: its caption, and in another colour what the
    judge found wrong."""
    colours = THEMES[theme]
    wide, high, top = 146, 128 + 13 * lines + 12, 44 if title else 12
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (max(columns * wide + 6, 320), rows * high + top), colours.paper)
    draw = ImageDraw.Draw(page)
    draw.text((12, 12), title, colours.ink, _font(15))
    for index, tile in enumerate(tiles):
        x, y = 12 + index % columns * wide, top + index // columns * high
        page.paste(Image.fromarray(tile.image), (x, y))
        wrong = [(line, colours.wrong) for line in _wrapped(", ".join(tile.wrong), 11, wide - 12)][:lines]
        said = [(line, colours.quiet) for line in _wrapped(tile.caption, 11, wide - 12)]
        # What is wrong is shown before the end of a long caption.
        for row, (line, colour) in enumerate([*said[: lines - len(wrong)], *wrong]):
            draw.text((x, y + 131 + 13 * row), line, colour, _font(11))
    return page


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font; its plain bitmap one where pillow was built without FreeType."""
    try:
        return ImageFont.load_default(size)
    except (ImportError, OSError):
        return ImageFont.load_default()


def _wrapped(text: str, size: int, width: float) -> list[str]:
    """Lines of words that fit into a width in pixels; a word that is longer has a line to itself."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and _font(size).getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines
