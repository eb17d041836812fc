"""The head atlas as a figure: layers from left to right as the data flows, heads from top to bottom."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffuscope.errors import SelectionError
from diffuscope.maps.colormap import NAMES, SIGNED, DisplayScale
from diffuscope.maps.picture import (
    EACH,
    INK,
    LINE,
    PAPER,
    QUIET,
    Legend,
    Panel,
    figure,
    paint,
    text_width,
    write,
)

if TYPE_CHECKING:
    from diffuscope.analysis.atlas import Cell, CellSite, Content

Scale = Literal["shared", "map", "raw"]
Maps = Mapping[str, NDArray[np.floating]]

FRAME = (20, 190, 90)
"""Green: neither colormap has it."""
WIDEST, LARGEST, SMALLEST = 1800, 72, 10
"""Pixels that the figure is wide at most, and the sides of a cell."""
SPACE, BETWEEN = 3, 10
"""Pixels between cells, and more between stages."""
BAND, TEXT = 20, 11


def layers(
    maps: Maps,
    sites: Sequence[CellSite],
    content: Content,
    *,
    said: str,
    scale: Scale = "shared",
    colormap: str | None = None,
    side: int | None = None,
    framed: Collection[Cell] = (),
    why: str = "",
) -> Image.Image:
    """Sites across, heads down, in data-flow order with the model's stages above. RGB.

    Args:
        maps: site name to ``[head, y, x]``, as `Atlas.at` and `Atlas.mean` give them.
        sites: their places, as `Atlas.sites` gives them.
        content: what the maps show.
        said: of which steps.
        scale: ``shared`` for all cells (signed maps: the same reach on both sides of 0), each ``map``'s own, or ``raw``
            (0 to 1, of probabilities and shares).
        colormap: see `diffuscope.maps.colormap.NAMES`; of signed maps always the diverging one.
        side: longer side of a cell in pixels; as large as fits where none is named.
        framed: cells with a frame around them, and `why`.

    Raises:
        SelectionError: an unknown scale or colormap.
    """
    shown, own = _scales(maps, scale, content.signed)
    name = SIGNED if content.signed else colormap or NAMES[0]
    size = side or _side(sites)
    heads = max(len(maps[site.name]) for site in sites)
    numbers = sorted({head for site in sites for head in site.heads})
    left = int(text_width("head 00", TEXT)) + 8
    upright = any(text_width(site.block, TEXT) > size for site in sites)
    titles = max(int(text_width(_title(site), TEXT)) for site in sites) + 6 if upright else 34
    places, wide = _columns(sites, left, size)
    top = BAND + titles
    panel = Image.new("RGB", (wide, top + max(len(numbers), heads) * (size + SPACE)), PAPER)
    draw = ImageDraw.Draw(panel)
    for row, number in enumerate(numbers):
        y = top + row * (size + SPACE) + size / 2 - 7
        if size >= TEXT or row % 4 == 0:
            write(draw, (0, y), f"head {number}", QUIET, TEXT)
    for stage, group in groupby(sites, key=lambda site: site.stage):
        mine = list(group)
        first, last = places[mine[0].name], places[mine[-1].name] + size
        write(draw, (first, 1), stage, INK, 12)
        draw.line((first, BAND - 3, last, BAND - 3), fill=LINE)
    for site in sites:
        x = places[site.name]
        _write_title(panel, site, x, top, size, upright)
        for head, one in zip(site.heads, maps[site.name], strict=True):
            y = top + numbers.index(head) * (size + SPACE)
            cell = paint(one, _size(one.shape, size), own(one), name)
            panel.paste(cell, (x, y))
            if (site.name, head) in framed:
                draw.rectangle(
                    (x - 2, y - 2, x + cell.width + 1, y + cell.height + 1), outline=FRAME, width=2
                )
    notes = [content.said, said]
    if framed:
        notes.append(f"Framed: {why}." if why else "")
    unit = content.unit
    if content.signed and scale == "map":
        unit += ", as a share of each head's largest"
    legend = Legend(f"{content.label}: every head", _counted(sites), shown, name, unit, tuple(notes))
    return figure([Panel(panel)], legend, framed=False)


def _title(site: CellSite) -> str:
    return f"{site.block}  {site.grid[0]}x{site.grid[1]}"


def _counted(sites: Sequence[CellSite]) -> str:
    kinds = " and ".join(dict.fromkeys(site.kind for site in sites))
    return f"{len(sites)} sites of {kinds}-attention, {sum(len(site.heads) for site in sites)} heads"


def _columns(sites: Sequence[CellSite], left: int, size: int) -> tuple[dict[str, int], int]:
    """Where each site's column begins, and where the last one ends."""
    places: dict[str, int] = {}
    x = left
    for before, site in zip([None, *sites[:-1]], sites, strict=True):
        if before is not None:
            x += size + (SPACE if before.stage == site.stage else BETWEEN)
        places[site.name] = x
    return places, x + size + 2


def _side(sites: Sequence[CellSite]) -> int:
    return int(np.clip(WIDEST // len(sites) - SPACE, SMALLEST, LARGEST))


def _size(grid: tuple[int, ...], side: int) -> tuple[int, int]:
    longer = max(grid)
    return max(1, round(grid[0] * side / longer)), max(1, round(grid[1] * side / longer))


def _write_title(panel: Image.Image, site: CellSite, x: int, top: int, size: int, upright: bool) -> None:
    """A column's block and grid; read from below where columns are narrow."""
    if not upright:
        draw = ImageDraw.Draw(panel)
        write(draw, (x, BAND + 1), site.block, INK, TEXT)
        write(draw, (x, BAND + 15), f"{site.grid[0]}x{site.grid[1]}", QUIET, TEXT)
        return
    text = _title(site)
    strip = Image.new("RGB", (int(text_width(text, TEXT)) + 2, TEXT + 3), PAPER)
    write(ImageDraw.Draw(strip), (0, 0), text, QUIET, TEXT)
    turned = strip.rotate(90, expand=True)
    panel.paste(turned, (x + max(0, (size - turned.width) // 2), top - turned.height - 3))


def _scales(maps: Maps, scale: Scale, signed: bool) -> tuple[DisplayScale, _Own]:
    """What the legend shows, and a function that gives each cell's scale."""
    if scale not in ("shared", "map", "raw"):
        raise SelectionError(
            f"scale={scale!r} is unknown; colours are 'shared', each 'map' has its own, or 'raw' (0 to 1)"
        )
    if scale == "map":
        own = DisplayScale(-1.0, 1.0, "each head by itself, 0 in the middle")
        return own if signed else DisplayScale(0.0, 0.0, EACH), _Own(None, signed)
    one = DisplayScale(0.0, 1.0, "raw, 0 to 1")
    if scale == "shared" or signed:
        low = min(float(each.min()) for each in maps.values())
        high = max(float(each.max()) for each in maps.values())
        if signed:
            reach = max(-low, high)
            low, high = -reach, reach
        one = DisplayScale(
            low,
            high,
            "the same on both sides of 0, for all heads shown" if signed else "min-max of all heads shown",
        )
    return one, _Own(one, signed)


class _Own:
    """The scale of each cell: one for all, or its own."""

    def __init__(self, one: DisplayScale | None, signed: bool) -> None:
        self._one, self._signed = one, signed

    def __call__(self, values: NDArray[np.floating]) -> DisplayScale:
        if self._one is not None:
            return self._one
        if self._signed:
            reach = float(np.abs(values).max())
            return DisplayScale(-reach, reach, EACH)
        return DisplayScale.of(values)
