"""A map as a landscape: attention is height. Beside it the same landscape in the picture's own colours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffuscope.errors import SelectionError
from diffuscope.maps.colormap import NAMES, DisplayScale
from diffuscope.maps.heatmap import Heatmap
from diffuscope.maps.picture import PAPER, Legend, Panel, figure
from diffuscope.maps.resize import resize

Floats = NDArray[np.float64]
MESH = 128
"""Longer side of the landscape in cells."""
TILT = math.radians(55)
"""From above; 90 degrees would be a wall."""
FINE = 2
"""Drawn so many times larger, then reduced: edges come out smooth."""


def relief(
    heatmap: Heatmap,
    picture: Image.Image | None = None,
    *,
    colormap: str = NAMES[0],
    scale: DisplayScale | None = None,
    height: float = 0.35,
    turn: float = 30.0,
    side: int = 420,
) -> Image.Image:
    """The landscape of a map, RGB.

    Args:
        heatmap: the map.
        picture: drawn on the same landscape beside it.
        colormap: see `diffuscope.maps.colormap.NAMES`.
        scale: range of colours and heights; from the map's least to its greatest value when None.
        height: of the greatest value, as a share of the picture's width.
        turn: degrees that the picture is turned, counter-clockwise seen from above, -60 to 60.
        side: width of a landscape in pixels.

    Raises:
        SelectionError: a height or turn beyond what can be seen.
    """
    if not 0 < height <= 1 or not -60 <= turn <= 60:
        raise SelectionError(
            f"height={height:g} lies between 0 and 1, turn={turn:g} between -60 and 60 degrees"
        )
    shown = scale or DisplayScale.of(heatmap.array)
    rows, columns = heatmap.size
    factor = MESH / max(rows, columns)
    mesh = (max(2, round(rows * factor)), max(2, round(columns * factor)))
    values = resize(heatmap.array, mesh, "bilinear")
    levels = shown.unit_interval(values)
    panels = [
        Panel(_landscape(levels, shown.colours(values, colormap), height, turn, side), "colours of the scale")
    ]
    if picture is not None:
        pixels = np.asarray(picture.convert("RGB").resize((mesh[1], mesh[0]), Image.Resampling.BOX))
        panels.append(Panel(_landscape(levels, pixels, height, turn, side), "the picture on it"))
    notes = (
        heatmap.aggregation,
        "Height and colour show the same value, smoothed between patches (bilinear).",
    )
    legend = Legend(
        heatmap.label or "attention", str(heatmap.selection), shown, colormap, heatmap.unit, notes
    )
    return figure(panels, legend, columns=len(panels), framed=False)


def _landscape(
    levels: NDArray[np.float64], colours: NDArray[np.uint8], height: float, turn: float, side: int
) -> Image.Image:
    """Quads of the mesh from back to front, in parallel projection, so that heights far and near look alike."""
    rows, columns = levels.shape
    longer = max(rows, columns)
    # Corners of the cells: a corner is as high as the cells around it are on average.
    padded = np.pad(levels, 1, mode="edge")
    corners = (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]) / 4
    y, x = (
        np.mgrid[: rows + 1, : columns + 1] / longer - np.array([rows, columns]).reshape(2, 1, 1) / longer / 2
    )
    angle = math.radians(turn)
    across = x * math.cos(angle) + y * math.sin(angle)
    depth = y * math.cos(angle) - x * math.sin(angle)
    down = depth * math.cos(math.pi / 2 - TILT) - corners * height * math.sin(math.pi / 2 - TILT + 0.35)
    floor = depth * math.cos(math.pi / 2 - TILT)
    wide = float(np.ptp(across))
    scale = FINE * (side - 8) / wide
    top, bottom = float(down.min()), float(floor.max())
    sheet = Image.new("RGB", (FINE * side, round(scale * (bottom - top)) + 8 * FINE), PAPER)
    draw = ImageDraw.Draw(sheet)

    def place(horizontal: float, vertical: float) -> tuple[float, float]:
        return (horizontal - float(across.min())) * scale + 4 * FINE, (vertical - top) * scale + 4 * FINE

    # Light from the left and behind: slopes that face it are brighter, so that the shape can be seen.
    slope = np.gradient(levels, axis=1) + np.gradient(levels, axis=0) * 0.5
    light = np.clip(1 + slope * longer * height * 0.06, 0.72, 1.18)
    cells = [(float(depth[i : i + 2, j : j + 2].mean()), i, j) for i in range(rows) for j in range(columns)]
    for _, i, j in sorted(cells):
        ring = ((i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j))
        fill = tuple(int(min(255, value * light[i, j])) for value in colours[i, j])
        points = [place(across[at], down[at]) for at in ring]
        draw.polygon(points, fill=fill, outline=fill)
    # The near edge faces the viewer, and one of the sides, if the picture is turned.
    facing: list[Any] = [np.s_[-1, :]] + ([np.s_[:, 0 if turn > 0 else -1]] if turn else [])
    _walls(draw, place, [(across[edge], down[edge], floor[edge]) for edge in facing])
    return sheet.resize((side, sheet.height // FINE), Image.Resampling.LANCZOS)


def _walls(
    draw: ImageDraw.ImageDraw,
    place: Callable[[float, float], tuple[float, float]],
    edges: list[tuple[Floats, Floats, Floats]],
) -> None:
    """The cut faces at the edges that face the viewer, down to the floor: each `across`, `down` and `floor`."""
    for across, down, floor in edges:
        top = [place(float(a), float(d)) for a, d in zip(across, down, strict=True)]
        low = [place(float(a), float(d)) for a, d in zip(across, floor, strict=True)]
        draw.polygon([*top, *reversed(low)], fill=(214, 216, 220), outline=(180, 183, 190))
