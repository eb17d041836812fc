"""An atlas of a word: every site and head at one step, or every site over the steps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from diffuscope.errors import SelectionError
from diffuscope.maps.colormap import NAMES, DisplayScale
from diffuscope.maps.heads import HeadMaps
from diffuscope.maps.picture import EACH, Legend, paint, table

if TYPE_CHECKING:
    from diffuscope.run import WordView

Scale = Literal["shared", "map", "raw"]


def atlas(
    view: WordView,
    *,
    steps: Any = None,
    sites: Any = None,
    heads: Any = None,
    scale: Scale = "shared",
    colormap: str = NAMES[0],
    side: int = 72,
) -> Image.Image:
    """Sites down, heads across; the mean over the chosen steps (name one for that step alone). RGB.

    Args:
        view: `Run.word`, `Run.phrase` or `Lens.concept`.
        steps, sites, heads: as in `WordView.map`.
        scale: ``shared`` for all panels, each ``map``'s own, or ``raw`` (0 to 1).
        colormap: see `diffuscope.maps.colormap.NAMES`.
        side: longer side of a panel in pixels.

    Raises:
        NotKeptError: heads need queries and keys (keep level ``cross``).
        SelectionError: a step, site or head that the run does not have.
    """
    return head_atlas(view.heads(steps, sites, heads), scale=scale, colormap=colormap, side=side)


def head_atlas(
    maps: HeadMaps, *, scale: Scale = "shared", colormap: str = NAMES[0], side: int = 72
) -> Image.Image:
    """As `atlas`, of maps that are made already (contributions too)."""
    means = {name: values.mean(axis=0, dtype=np.float64) for name, values in maps.per_site.items()}
    shown, scales = _scales({name: list(values) for name, values in means.items()}, scale)
    rows = []
    for name, values in means.items():
        images: list[Image.Image | None] = [None] * len(maps.numbers)
        for head, own, range_ in zip(maps.heads[name], values, scales[name], strict=True):
            images[maps.numbers.index(head)] = paint(own, _size(own.shape, side), range_, colormap)
        rows.append((_site(name, own.shape), images))
    count = len(maps.steps)
    said = f"step {maps.steps[0]}" if count == 1 else f"mean over {count} steps"
    legend = Legend(
        f"{maps.label}: heads",
        str(maps.selection),
        shown,
        colormap,
        maps.unit,
        (f"Each head by itself, {said}.",),
    )
    return table([f"head {head}" for head in maps.numbers], rows, legend)


def step_atlas(
    view: WordView,
    *,
    steps: Any = None,
    sites: Any = None,
    heads: Any = None,
    scale: Scale = "shared",
    colormap: str = NAMES[0],
    side: int = 48,
    most: int = 16,
) -> Image.Image:
    """Sites down, steps across; mean over the chosen heads. At most `most` steps, evenly spaced, are shown. RGB.

    Other arguments and errors as of `atlas`; word maps alone are enough.
    """
    if most < 1:
        raise SelectionError(f"at least one step is shown; got most={most}")
    whole = view.steps(steps, sites, heads)
    places = np.unique(np.linspace(0, len(whole.steps) - 1, min(most, len(whole.steps))).round().astype(int))
    picked = [whole.steps[place] for place in places]
    names = [site.name for site in view.sites_of(sites)]
    maps = {name: list(view.steps(picked, name, heads, size="native").array) for name in names}
    shown, scales = _scales(maps, scale)
    rows: list[tuple[str, list[Image.Image | None]]] = [
        (
            _site(name, values[0].shape),
            [
                paint(own, _size(own.shape, side), one, colormap)
                for own, one in zip(values, scales[name], strict=True)
            ],
        )
        for name, values in maps.items()
    ]
    said = (
        "Mean over all heads."
        if whole.selection.heads == "all"
        else f"Mean over heads {whole.selection.heads}."
    )
    if len(picked) < len(whole.steps):
        said += f" {len(picked)} of {len(whole.steps)} steps, evenly spaced."
    legend = Legend(
        f"{view.label}: sites over the steps",
        str(replace(whole.selection)),
        shown,
        colormap,
        whole.unit,
        (said,),
    )
    return table([str(step) for step in picked], rows, legend)


def _scales(maps: dict[str, list[Any]], scale: Scale) -> tuple[DisplayScale, dict[str, list[DisplayScale]]]:
    """What the legend shows, and the scale of each panel."""
    if scale not in ("shared", "map", "raw"):
        raise SelectionError(
            f"scale={scale!r} is unknown; colours are 'shared', each 'map' has its own, or 'raw' (0 to 1)"
        )
    every = [each for values in maps.values() for each in values]
    if scale == "map":
        return DisplayScale(0.0, 0.0, EACH), {
            name: [DisplayScale.of(each) for each in values] for name, values in maps.items()
        }
    one = DisplayScale(0.0, 1.0, "raw, 0 to 1")
    if scale == "shared":
        one = DisplayScale.of(*every, origin=f"min-max over all {len(every)} maps shown")
    return one, {name: [one] * len(values) for name, values in maps.items()}


def _site(name: str, grid: tuple[int, ...]) -> str:
    return f"{name}  {grid[0]}x{grid[1]}"


def _size(grid: tuple[int, ...], side: int) -> tuple[int, int]:
    longer = max(grid)
    return max(1, round(grid[0] * side / longer)), max(1, round(grid[1] * side / longer))
