"""Activation patching as a grid: what each part carries, in which steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from diffuscope.figures.canvas import Canvas, mixed, theme_of

if TYPE_CHECKING:
    from diffuscope.analysis.cause.patching import PatchingGrid
    from diffuscope.figures.canvas import ThemeName

LEFT, RIGHT, WIDE, HIGH, LEAST = 190.0, 24.0, 92.0, 26.0, 560.0
FRAMED = 0.05
"""Least that a framed cell carries."""


def patching_chart(
    grid: PatchingGrid, *, title: str = "Where the difference is carried", theme: ThemeName = "light"
) -> Image.Image:
    """Parts down, windows of steps across; each cell says how far the picture went to the donor's, and is as dark. A
    cell whose interval lies above what a random change of equal norm does is framed. RGB."""
    look = theme_of(theme)
    top, parts = 104.0, len(grid.columns)
    width = max(LEFT + WIDE * parts + RIGHT, LEAST)
    wide = (width - LEFT - RIGHT) / parts
    canvas = Canvas(width, top + HIGH * len(grid.rows) + 70, look)
    canvas.text((20, 14), title, 18)
    said = f"{grid.donor!r} put into {grid.run!r}; {len(grid.seeds)} seeds; all of it at all steps: {grid.whole:.2f}"
    canvas.lines((20, 40), said, width - 40, 12, look.quiet)
    for column, name in enumerate(grid.columns):
        canvas.text((LEFT + (column + 0.5) * wide, top - 18), f"steps {name}", 11, look.quiet, "middle")
    for row, name in enumerate(grid.rows):
        y = top + row * HIGH
        canvas.text((LEFT - 10, y + 6), name, 11, look.ink, "right")
        for column in range(parts):
            value, x = grid.carried[row][column], LEFT + column * wide
            chance = grid.control[row][column] if grid.control else 0.0
            sure = grid.low[row][column] > max(chance, 0.0)
            fill = mixed(look.paper, look.series[0], min(max(value, 0.0), 1.0) * 0.85)
            canvas.box(
                x + 1,
                y + 1,
                x + wide - 1,
                y + HIGH - 1,
                fill,
                look.series[1] if sure and value >= FRAMED else None,
            )
            ink = look.paper if value > 0.75 else look.ink
            canvas.text((x + wide / 2, y + 6), f"{value:z.2f}", 11, ink, "middle")
    notes = (
        f"0: the picture stays; 1: it becomes the donor's. Framed: {FRAMED} and more, with an interval above 0 and the "
        "control."
    )
    if grid.control:
        largest = max(max(values) for values in grid.control)
        notes += f" A random change of equal norm: at most {largest:.2f}."
    canvas.lines((20, top + HIGH * len(grid.rows) + 14), notes, width - 40, 12, look.quiet)
    return canvas.finished()
