"""A contact sheet: a word's map at every step, each over the picture that the model predicted there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from diffuscope.errors import NotKeptError, RunFolderError, SelectionError
from diffuscope.maps.colormap import NAMES, DisplayScale
from diffuscope.maps.heatmap import HeatmapSeries
from diffuscope.maps.picture import EACH, Legend, Panel, blend, figure, paint

if TYPE_CHECKING:
    from diffuscope.run import Run, WordView

Behind = Literal["step", "final", "none"]
"""What a map is laid over: the predicted picture of its step, the finished picture, or nothing."""

SeriesScale = Literal["shared", "step", "raw"]
"""Range of colours: one for all steps (so that they can be compared), each step's own, or 0 to 1."""

ORIGIN = "min-max over all steps shown"


def strip(
    view: WordView,
    *,
    steps: Any = None,
    sites: Any = None,
    heads: Any = None,
    behind: Behind = "step",
    alpha: float = 0.6,
    colormap: str = NAMES[0],
    smooth: bool = False,
    columns: int | None = None,
    side: int = 128,
    scale: SeriesScale = "shared",
    **options: Any,
) -> Image.Image:
    """All steps of a word side by side, in one colour range, with its scale, RGB.

    Args:
        view: `Run.word` or `Run.phrase` of a run.
        steps, sites, heads: as in `WordView.steps`.
        behind: see `Behind`; the picture is shown in grey. Without a predicted picture the map stands alone.
        alpha: opacity of the map over the picture, 0 to 1.
        colormap: see `diffuscope.maps.colormap.NAMES`.
        smooth: interpolate between patches, for the eye; said in the legend.
        columns: maps in a row; default up to 10, rows filled evenly.
        side: longer side of a map in pixels.
        scale: see `SeriesScale`.
        options: of `WordView.steps`: reduce, weights, combine, renormalise.

    Raises:
        SelectionError: a step, site or head that the run does not have, alpha outside 0..1, no columns.
    """
    if columns is not None and columns < 1:
        raise SelectionError(f"A row holds at least one map; got columns={columns}.")
    series = view.steps(steps, sites, heads, **options)
    shown, scales = scales_of(series, scale)
    size = panel_size(view.run, side)
    panels = [
        Panel(over(values, under, size, own, colormap, alpha=alpha, smooth=smooth), f"step {step}")
        for step, values, own, under in zip(
            series.steps, series.array, scales, backdrops(view.run, series, behind), strict=True
        )
    ]
    rows = -(-len(panels) // 10)
    return figure(
        panels, legend(series, shown, colormap, behind, smooth=smooth), columns or -(-len(panels) // rows)
    )


def scales_of(series: HeatmapSeries, scale: SeriesScale) -> tuple[DisplayScale, list[DisplayScale]]:
    """What the legend shows, and the scale of each step.

    Raises:
        SelectionError: there is no such way to scale.
    """
    if scale == "step":
        return DisplayScale(0.0, 0.0, EACH), [DisplayScale.of(values) for values in series.array]
    if scale == "raw":
        shown = DisplayScale(0.0, 1.0, "raw, 0 to 1")
    elif scale == "shared":
        shown = DisplayScale.of(series.array, origin=ORIGIN)
    else:
        raise SelectionError(
            f"scale={scale!r} is unknown; colours are 'shared', each 'step' has its own, or 'raw'"
        )
    return shown, [shown] * len(series)


def write_strip(view: WordView, path: str | Path, **options: Any) -> Path:
    """Write `strip` (which takes the options) to a PNG file and return its path.

    Raises:
        SelectionError: another suffix than ``.png``, or what `strip` raises.
        RunFolderError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise SelectionError(f"{path.name!r}: a contact sheet is written as .png.")
    sheet = strip(view, **options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, "PNG")
    except OSError as error:
        raise RunFolderError(f"Cannot write {path}: {error.strerror or error}.") from error
    return path


def over(
    values: Any,
    under: Image.Image | None,
    size: tuple[int, int],
    scale: DisplayScale,
    colormap: str,
    *,
    alpha: float,
    smooth: bool,
) -> Image.Image:
    """One map ``[y, x]`` in colours at ``(height, width)`` pixels, over a greyed picture if there is one."""
    if not 0 <= alpha <= 1:
        raise SelectionError(f"alpha is {alpha:g}; it lies between 0 (the picture) and 1 (the map).")
    colours = paint(values, size, scale, colormap, smooth=smooth)
    return colours if under is None else blend(under, colours, alpha)


def backdrops(run: Run, series: HeatmapSeries, behind: Behind) -> Iterator[Image.Image | None]:
    """The picture behind each map of a series, or None where there is none.

    Raises:
        SelectionError: `behind` is unknown.
        NotKeptError: the finished picture was asked of a run that was stopped before it.
    """
    if behind not in ("step", "final", "none"):
        raise SelectionError(f"behind={behind!r} is unknown; choose 'step', 'final' or 'none'.")
    final = run.image if behind == "final" else None
    for step in series.steps:
        yield preview(run, step) if behind == "step" else final


def preview(run: Run, step: int) -> Image.Image | None:
    """The predicted picture of a step, or None where the run kept none."""
    try:
        return run.preview(step)
    except NotKeptError:
        return None


def panel_size(run: Run, side: int) -> tuple[int, int]:
    """``(height, width)`` in the picture's proportions, the longer side as given."""
    sampling = run.manifest.sampling
    longer = max(sampling.height, sampling.width)
    return max(1, round(sampling.height * side / longer)), max(1, round(sampling.width * side / longer))


def legend(
    series: HeatmapSeries, scale: DisplayScale, colormap: str, behind: Behind, *, smooth: bool
) -> Legend:
    """What the figure says in words."""
    notes = [series.aggregation]
    if behind == "step":
        notes.append("Behind each map, in grey, the clean picture that the model predicted at that step.")
    elif behind == "final":
        notes.append("Behind each map, in grey, the finished picture.")
    if smooth:
        notes.append("Smoothed between patches for display (bilinear).")
    return Legend(series.label, str(series.selection), scale, colormap, series.unit, tuple(notes))
