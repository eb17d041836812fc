"""Pictures whose colours are names and not values."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from diffuscope.maps.picture import INK, LINE, MARGIN, PAPER, QUIET, Colour, Panel, text_width, wrapped, write


def swatches(
    panel: Panel, title: str, subtitle: str, colours: Sequence[tuple[Colour, str]], note: str
) -> Image.Image:
    """A panel whose colours are names and not values: title above, below a swatch and a name for each colour. RGB."""
    wide, high = panel.image.size
    inner = max(wide, 420)
    heading, small, below = wrapped(title, 22, inner), wrapped(subtitle, 13, inner), wrapped(note, 12, inner)
    places, x, row = [], 0.0, 0
    for _, name in colours:
        taken = 34 + text_width(name, 13)
        if x and x + taken > inner:
            x, row = 0.0, row + 1
        places.append((x, row))
        x += taken
    top = MARGIN + 28 * len(heading) + 18 * len(small) + 12
    names = top + high + 16
    after = names + 24 * (row + 1) + 4
    sheet = Image.new("RGB", (inner + 2 * MARGIN, after + 17 * len(below) + MARGIN - 6), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = MARGIN - 4
    for lines, size, step, ink in ((heading, 22, 28, INK), (small, 13, 18, QUIET)):
        for each in lines:
            write(draw, (MARGIN, y), each, ink, size)
            y += step
    left = MARGIN + (inner - wide) // 2
    sheet.paste(panel.image, (left, top))
    draw.rectangle((left - 1, top - 1, left + wide, top + high), outline=LINE)
    for (colour, name), (x, line) in zip(colours, places, strict=True):
        at = (MARGIN + x, names + 24 * line)
        draw.rectangle((at[0], at[1] + 2, at[0] + 14, at[1] + 16), fill=tuple(map(int, colour)), outline=LINE)
        write(draw, (at[0] + 20, at[1]), name, INK, 13)
    for index, each in enumerate(below):
        write(draw, (MARGIN, after + 17 * index), each, QUIET, 12)
    return sheet
