"""The atlas of a head search: every head of every site, coloured by what taking it out does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from diffuscope.maps.colormap import NAMES, DisplayScale
from diffuscope.maps.picture import Legend, paint, table, text_width, write

if TYPE_CHECKING:
    from diffuscope.analysis.cause.importance import HeadEffect, HeadRanking

WIDE, HIGH = 64, 40
DARK, LIGHT = (20, 22, 26), (250, 250, 250)
FRAME = (240, 120, 20)


def head_effects(ranking: HeadRanking, *, colormap: str = NAMES[0]) -> Image.Image:
    """Sites down, heads across, the mean effect in colour and in numbers; settled heads of the best few are framed,
    heads that are still open have a dotted corner. RGB."""
    sites = sorted({each.site for each in ranking.heads}, key=_in_order)
    numbers = sorted({each.head for each in ranking.heads})
    values = [each.effect for each in ranking.heads if np.isfinite(each.effect)]
    scale = DisplayScale(0.0, max(values, default=1.0) or 1.0, "0 to the largest effect")
    by_place = {(each.site, each.head): each for each in ranking.heads}
    rows = []
    for site in sites:
        images: list[Image.Image | None] = [
            None if (site, head) not in by_place else _tile(by_place[site, head], scale, colormap)
            for head in numbers
        ]
        rows.append((site, images))
    known = "are settled" if ranking.settled else "are not all settled"
    legend = Legend(
        f"{ranking.target}: what taking a head out does",
        f"{ranking.prompt} · {len(ranking.seeds)} seeds, {ranking.drawn} pictures of {ranking.full}",
        scale,
        colormap,
        "mean CIE76 delta-E inside the target",
        (
            f"Framed: among the best {ranking.top}, which {known} (error {ranking.error:g}, {ranking.bound}).",
            "A dot: its place is not settled.",
        ),
    )
    return table([f"head {number}" for number in numbers], rows, legend)


def _in_order(site: str) -> list[tuple[int, str]]:
    """A key that sorts names with their numbers as numbers: block 2 before block 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", site)]


def _tile(each: HeadEffect, scale: DisplayScale, colormap: str) -> Image.Image:
    value = each.effect if np.isfinite(each.effect) else 0.0
    tile = paint(np.array([[value]]), (HIGH, WIDE), scale, colormap)
    draw = ImageDraw.Draw(tile)
    red, green, blue = tile.getpixel((2, 2))  # type: ignore[misc]
    ink = DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else LIGHT
    said = f"{value:.1f}" if each.seeds else "–"
    write(draw, ((WIDE - text_width(said, 13)) / 2, HIGH / 2 - 9), said, ink, 13)
    if each.state == "top":
        draw.rectangle((1, 1, WIDE - 2, HIGH - 2), outline=FRAME, width=3)
    elif each.state == "open":
        draw.ellipse((WIDE - 9, 4, WIDE - 5, 8), fill=ink)
    return tile
