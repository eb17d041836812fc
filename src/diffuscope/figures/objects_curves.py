"""Mean IoU over thresholds, a curve for each chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from diffuscope.figures.objects import colours_of
from diffuscope.maps.picture import INK, LINE, MARGIN, PAPER, QUIET, text_width, wrapped, write

WIDTH, HEIGHT = 560, 320
LEFT = 44


def curves(
    rows: Mapping[str, Sequence[float]], thresholds: Sequence[float], ceiling: float, title: str
) -> Image.Image:
    """A chart: threshold across, mean IoU up, both 0 to 1; the ceiling as a line. RGB."""
    colours = colours_of(rows)
    note = (
        "Mean over classes of the IoU of the map alone, cut at a share of its largest value; the ceiling is the true "
        "mask averaged over the finest grid's cells, at its best threshold."
    )
    below = wrapped(note, 12, WIDTH)
    sheet = Image.new("RGB", (WIDTH + 2 * MARGIN, HEIGHT + 150 + 17 * len(below)), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, MARGIN - 8), "IoU over thresholds", INK, 20)
    write(draw, (MARGIN, MARGIN + 18), title, QUIET, 13)
    left, top = MARGIN + LEFT, MARGIN + 50
    wide, high = WIDTH - LEFT, HEIGHT - 20

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * wide, top + (1 - y) * high

    for step in range(0, 11, 2):
        value = step / 10
        draw.line((*at(0, value), *at(1, value)), fill=LINE)
        label = f"{value:.1f}"
        write(draw, (left - 10 - text_width(label, 12), at(0, value)[1] - 8), label, QUIET, 12)
        write(draw, (at(value, 0)[0] - text_width(label, 12) / 2, top + high + 6), label, QUIET, 12)
    draw.line((*at(0, ceiling), *at(1, ceiling)), fill=INK, width=1)
    name = f"ceiling {ceiling:.3f}"
    write(draw, (at(1, ceiling)[0] - text_width(name, 12) - 4, at(0, ceiling)[1] - 18), name, INK, 12)
    for name, values in rows.items():
        points = [at(x, y) for x, y in zip(thresholds, values, strict=True)]
        draw.line(points, fill=colours[name], width=3, joint="curve")
    x = float(left)
    for name in rows:
        draw.rectangle((x, top + high + 34, x + 14, top + high + 48), fill=colours[name])
        write(draw, (x + 20, top + high + 32), name, INK, 13)
        x += 40 + text_width(name, 13)
    for index, line in enumerate(below):
        write(draw, (MARGIN, top + high + 62 + 17 * index), line, QUIET, 12)
    return sheet
