"""Figures of regions: the picture with the region's outline beside its map, and several maps on one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from diffuscope.errors import SelectionError
from diffuscope.maps.colormap import NAMES, DisplayScale
from diffuscope.maps.heatmap import Heatmap, HeatmapSeries, Scale
from diffuscope.maps.outline import outlined
from diffuscope.maps.picture import Legend, Panel, blend, figure, paint
from diffuscope.maps.resize import Size

if TYPE_CHECKING:
    from diffuscope.run import RegionView

PANEL = 384
"""Longer side of a panel in pixels, at least."""
OWN_RANGE = "share of each map's own range"


def region_figure(
    view: RegionView,
    shown: Heatmap | HeatmapSeries,
    *,
    alpha: float = 0.6,
    colormap: str = NAMES[0],
    scale: Scale = None,
    smooth: bool = False,
) -> Image.Image:
    """A map of a region beside the picture, the region outlined on both, with colour scale, unit and range. RGB.

    Args:
        view: the region.
        shown: one of its maps, or its steps (side by side, in one range).
        alpha, colormap, scale, smooth: as of `Heatmap.figure`.

    A run that was stopped before its picture shows the map alone.
    """
    picture = view.run._background()
    options: dict[str, Any] = {"alpha": alpha, "colormap": colormap, "scale": scale, "smooth": smooth}
    if picture is None:
        return shown.figure(**options)
    if isinstance(shown, HeatmapSeries):
        return shown.figure(outlined(picture, view.region), **options)
    range_shown = shown._scale(scale, "min-max of this map")
    size = _size(picture)
    colours = paint(shown.array, size, range_shown, colormap, smooth=smooth)
    panels = [
        _fitted(outlined(picture, view.region), size),
        _fitted(_over(view, picture, colours, alpha), size),
    ]
    notes = ["Over the picture in grey."]
    if smooth:
        notes.append("Smoothed between cells for display (bilinear).")
    return figure(panels, shown._legend(range_shown, colormap, tuple(notes)), columns=2)


def comparison(
    shown: Sequence[tuple[RegionView, Heatmap]],
    *,
    alpha: float = 0.65,
    colormap: str = NAMES[0],
    columns: int = 3,
) -> Image.Image:
    """Several maps of one run's regions, side by side over its picture, each outlined. RGB.

    Each map is stretched over its own range, since maps of a pixel and of a box differ by orders of magnitude; the
    scale says so.

    Raises:
        SelectionError: there is nothing to show, or alpha is not in 0 to 1.
    """
    if not shown:
        raise SelectionError("there is nothing to show; give at least one region and map")
    panels = []
    for view, heatmap in shown:
        picture = view.run._background()
        scale = DisplayScale.of(heatmap.array)
        size = (PANEL, PANEL) if picture is None else _size(picture)
        colours = paint(scale.unit_interval(heatmap.array), size, DisplayScale(0, 1), colormap)
        panels.append(
            _fitted(colours if picture is None else _over(view, picture, colours, alpha), size, heatmap.label)
        )
    legend = Legend(
        "Regions of one picture",
        shown[0][0].run.prompt,
        DisplayScale(0.0, 1.0, "min-max of each map"),
        colormap,
        OWN_RANGE,
        ("Over the picture in grey.",),
    )
    return figure(panels, legend, columns)


def _over(view: RegionView, picture: Image.Image, colours: Image.Image, alpha: float) -> Image.Image:
    if not 0 <= alpha <= 1:
        raise SelectionError(f"alpha is {alpha:g}; it lies between 0 (only the picture) and 1 (only the map)")
    return outlined(blend(picture, colours, alpha), view.region)


def _fitted(image: Image.Image, size: Size, caption: str = "") -> Panel:
    return Panel(image.resize((size[1], size[0]), Image.Resampling.BICUBIC), caption)


def _size(picture: Image.Image) -> Size:
    """``(height, width)`` in the picture's proportions, enlarged by a whole factor where it is small."""
    factor = -(-PANEL // max(picture.size))
    return picture.height * factor, picture.width * factor
