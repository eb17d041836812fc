"""Maps drawn as pictures: panels with a title, one colour scale with unit and range, and how it was averaged.

Drawn with pillow and its built-in font, so that nothing has to be installed or found on the machine. A figure
always shows its scale; the numbers beside it are the map's own, in its own unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from diffuscope.maps.colormap import DisplayScale, colormap
from diffuscope.maps.resize import Size, resize

PAPER, INK, QUIET, LINE = (255, 255, 255), (28, 30, 34), (104, 108, 116), (205, 208, 214)
MARGIN, GAP, SCALE_HEIGHT = 24, 10, 14
EACH = "each map from its least to its greatest value"
"""Origin of the scale of figures whose panels have each its own range."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Panel:
    """One picture of a figure, ``image`` RGB, with a caption above it (may be empty)."""

    image: Image.Image
    caption: str = ""


@dataclass(frozen=True)
class Legend:
    """What a figure says in words.

    Attributes:
        title: what is shown, in large letters.
        subtitle: the selection it was made from.
        scale: range of the colours.
        colormap: name of the colormap.
        unit: unit of the values on the scale.
        notes: sentences below the scale: aggregation, display smoothing.
    """

    title: str
    subtitle: str
    scale: DisplayScale
    colormap: str
    unit: str
    notes: tuple[str, ...] = ()


def paint(
    values: NDArray[np.floating], size: Size, scale: DisplayScale, name: str, *, smooth: bool = False
) -> Image.Image:
    """A map in colours at ``(height, width)`` pixels.

    Args:
        values: ``[y, x]``.
        smooth: interpolate between cells (bilinear) instead of showing them as they are.
    """
    shown = resize(values, size, "bilinear" if smooth else "nearest")
    return Image.fromarray(scale.colours(shown, name))


def blend(picture: Image.Image, colours: Image.Image, alpha: float) -> Image.Image:
    """Colours over a greyed picture.

    Grey, so that every hue seen comes from the colour scale; lightened, so that dark objects stay visible
    below dark colours.
    """
    grey = picture.convert("L").resize(colours.size, Image.Resampling.BICUBIC)
    return Image.blend(grey.point(lambda level: 56 + level * 0.78).convert("RGB"), colours, alpha)


def figure(panels: Sequence[Panel], legend: Legend, columns: int = 1, *, framed: bool = True) -> Image.Image:
    """Panels of one size in rows, a legend around them. RGB. `framed`: a thin line around each panel."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    wide, high = panels[0].image.size
    caption = 20 if any(panel.caption for panel in panels) else 0
    inner = max(columns * wide + (columns - 1) * GAP, 420)
    title = wrapped(legend.title, 22, inner)
    small = wrapped(legend.subtitle, 13, inner)
    below = wrapped(" ".join(legend.notes), 12, inner)
    top = MARGIN + 28 * len(title) + 18 * len(small) + 12
    body = rows * (high + caption) + (rows - 1) * GAP
    height = top + body + 22 + SCALE_HEIGHT + 42 + 17 * len(below) + MARGIN - 6
    sheet = Image.new("RGB", (inner + 2 * MARGIN, height), PAPER)
    draw = ImageDraw.Draw(sheet)

    y = MARGIN - 4
    for line in title:
        write(draw, (MARGIN, y), line, INK, 22)
        y += 28
    for line in small:
        write(draw, (MARGIN, y), line, QUIET, 13)
        y += 18
    left = MARGIN + (inner - columns * wide - (columns - 1) * GAP) // 2
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        x, y = left + column * (wide + GAP), top + row * (high + caption + GAP)
        if panel.caption:
            write(draw, (x, y + 2), panel.caption, QUIET, 12)
        sheet.paste(panel.image, (x, y + caption))
        if framed:
            draw.rectangle((x - 1, y + caption - 1, x + wide, y + caption + high), outline=LINE)
    _scale_bar(sheet, legend, MARGIN, top + body + 22, inner)
    y = top + body + 22 + SCALE_HEIGHT + 42
    for line in below:
        write(draw, (MARGIN, y), line, QUIET, 12)
        y += 17
    return sheet


def table(
    columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Image.Image | None]]], legend: Legend
) -> Image.Image:
    """Panels of one size in a table whose rows and columns have names; None leaves a place empty. RGB."""
    wide, high = next(image.size for _, images in rows for image in images if image is not None)
    named = max(int(text_width(name, 12)) for name, _ in rows) + 10
    inner = max(named + len(columns) * (wide + 4) - 4, 420)
    panel = Image.new("RGB", (inner, 20 + len(rows) * (high + 4) - 4), PAPER)
    draw = ImageDraw.Draw(panel)
    for index, name in enumerate(columns):
        x = named + index * (wide + 4)
        if text_width(name, 11) <= wide + 2 or index % 5 == 0:
            write(draw, (x + max(0, wide - text_width(name, 11)) / 2, 2), name, QUIET, 11)
    for line, (name, images) in enumerate(rows):
        y = 20 + line * (high + 4)
        write(draw, (0, y + high / 2 - 8), name, INK, 12)
        for index, image in enumerate(images):
            if image is not None:
                panel.paste(image, (named + index * (wide + 4), y))
    return figure([Panel(panel)], legend, framed=False)


def _scale_bar(sheet: Image.Image, legend: Legend, x: int, y: int, width: int) -> None:
    """The colour scale with both ends and three places between in numbers, the unit, and where the range comes from.

    A scale without extent stands for many: each panel has a range of its own, which its caption says.
    """
    draw = ImageDraw.Draw(sheet)
    ramp = colormap(legend.colormap)[np.linspace(0, 255, width).round().astype(int)]
    sheet.paste(Image.fromarray(np.repeat(ramp[None], SCALE_HEIGHT, axis=0)), (x, y))
    draw.rectangle((x - 1, y - 1, x + width, y + SCALE_HEIGHT), outline=LINE)
    scale = legend.scale
    places: tuple[tuple[float, str], ...] = (
        (0.0, "left"),
        (0.25, "mid"),
        (0.5, "mid"),
        (0.75, "mid"),
        (1.0, "right"),
    )
    if scale.origin == EACH:
        places = ()
        for text, at in (("least", x), ("greatest", x + width - text_width("greatest", 12))):
            write(draw, (at, y + SCALE_HEIGHT + 5), text, INK, 12)
    for share, anchor in places:
        text = _number(scale.low + share * (scale.high - scale.low))
        at = x + share * (width - 1)
        draw.line((at, y + SCALE_HEIGHT, at, y + SCALE_HEIGHT + 4), fill=QUIET)
        shift = {"left": 0.0, "mid": 0.5, "right": 1.0}[anchor] * text_width(text, 12)
        write(draw, (at - shift, y + SCALE_HEIGHT + 5), text, INK, 12)
    write(draw, (x, y + SCALE_HEIGHT + 22), legend.unit, INK, 12)
    note = f"colours: {scale.origin}"
    write(draw, (x + width - text_width(note, 12), y + SCALE_HEIGHT + 22), note, QUIET, 12)


def _number(value: float) -> str:
    """Three significant digits; probabilities this small are read as powers of ten."""
    return f"{value:.3g}" if value == 0 or abs(value) >= 1e-4 else f"{value:.1e}"


@lru_cache(maxsize=8)
def _font(size: int) -> Font:
    """Pillow's own font; its plain bitmap one where pillow was built without FreeType."""
    try:
        return ImageFont.load_default(size)
    except (ImportError, OSError):
        return ImageFont.load_default()


def write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, colour: Colour, size: int) -> None:
    draw.text(at, _sayable(text, size), colour, _font(size))


def text_width(text: str, size: int) -> float:
    return _font(size).getlength(_sayable(text, size))


def _sayable(text: str, size: int) -> str:
    """The text, or what the bitmap font can write of it: that one raises on anything outside Latin-1."""
    if isinstance(_font(size), ImageFont.FreeTypeFont):
        return text
    return text.encode("latin-1", "replace").decode("latin-1")


def wrapped(text: str, size: int, width: int) -> list[str]:
    """Lines that fit into a width; a single word that does not fit is cut with an ellipsis."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, size) <= width:
            lines[-1] = joined
            continue
        while text_width(word, size) > width and len(word) > 2:
            word = word[:-2] + "…"
        lines.append(word)
    return lines
