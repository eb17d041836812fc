"""Several words, phrases or concepts side by side, each over the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from diffuscope.errors import NotKeptError, SelectionError
from diffuscope.figures.strip import over, panel_size
from diffuscope.maps.colormap import NAMES, DisplayScale
from diffuscope.maps.heatmap import Heatmap
from diffuscope.maps.picture import EACH, Legend, Panel, figure
from diffuscope.maps.words import find

if TYPE_CHECKING:
    from diffuscope.run import Run, WordView

GridScale = Literal["word", "shared", "raw"]
"""Range of colours: each word's own, one for all (so that they can be compared), or probabilities as they are."""


def overlays(
    run: Run,
    names: Sequence[str | WordView] | None = None,
    *,
    scale: GridScale = "word",
    steps: Any = None,
    sites: Any = None,
    heads: Any = None,
    alpha: float = 0.6,
    colormap: str = NAMES[0],
    smooth: bool = False,
    columns: int | None = None,
    side: int = 192,
    **options: Any,
) -> Image.Image:
    """One panel for each name, RGB.

    Args:
        run: whose picture is behind the maps.
        names: words or phrases, or views of `Run.word`, `Run.phrase`, `Lens.concept`; all words of the prompt if None.
        scale: see `GridScale`. With ``word`` each panel's range stands above it.
        steps, sites, heads: as in `WordView.map`, and so are further `options` (weights, combine, reduce).
        alpha, colormap, smooth: as in `Heatmap.overlay`.
        columns: panels in a row; up to 5 by default.
        side: longer side of a panel in pixels.

    Raises:
        UnknownWordError, SelectionError: as `WordView.map`, and for a scale that is none.
    """
    from diffuscope.maps.word_view import WordView

    chosen = [word.label for word in run.words] if names is None else list(names)
    views = [
        WordView(run, find(run.manifest.text, each)) if isinstance(each, str) else each for each in chosen
    ]
    return grid(
        run,
        [view.map(steps, sites, heads, **options) for view in views],
        scale=scale,
        alpha=alpha,
        colormap=colormap,
        smooth=smooth,
        columns=columns,
        side=side,
    )


def grid(
    run: Run,
    maps: Sequence[Heatmap],
    *,
    scale: GridScale = "word",
    alpha: float = 0.6,
    colormap: str = NAMES[0],
    smooth: bool = False,
    columns: int | None = None,
    side: int = 192,
    captions: Sequence[str] | None = None,
    title: str = "",
) -> Image.Image:
    """Maps that are made already, side by side as `overlays` shows them; `captions` stand for the labels."""
    if not maps:
        raise SelectionError("name at least one word to show")
    if scale not in ("word", "shared", "raw"):
        raise SelectionError(
            f"scale={scale!r} is unknown; colours run over each 'word', are 'shared', or 'raw' (0 to 1)"
        )
    if columns is not None and columns < 1:
        raise SelectionError(f"a row holds at least one map; got columns={columns}")
    if scale == "word":
        scales = [DisplayScale.of(each.array) for each in maps]
        shown = DisplayScale(0.0, 0.0, EACH)
    else:
        shown = (
            DisplayScale(0.0, 1.0, "raw, 0 to 1")
            if scale == "raw"
            else DisplayScale.of(
                *(each.array for each in maps), origin=f"min-max over these {len(maps)} maps"
            )
        )
        scales = [shown] * len(maps)
    size = panel_size(run, side)
    try:
        behind: Image.Image | None = run.image
    except NotKeptError:
        behind = None
    panels = []
    for index, (each, own) in enumerate(zip(maps, scales, strict=True)):
        label = each.label if captions is None else captions[index]
        caption = f"{label}  {own.low:.3g} to {own.high:.3g}" if scale == "word" else label
        panels.append(
            Panel(over(each.array, behind, size, own, colormap, alpha=alpha, smooth=smooth), caption)
        )
    rows = -(-len(panels) // 5)
    first = maps[0]
    notes = [first.aggregation] if len({each.aggregation for each in maps}) == 1 else []
    if behind is not None:
        notes.append("Over the picture in grey.")
    if smooth:
        notes.append("Smoothed between patches for display (bilinear).")
    where = str(replace(first.selection, word=None, concept=None))
    units = list(dict.fromkeys(each.unit for each in maps))
    return figure(
        panels,
        Legend(
            title or run.prompt,
            "all steps, sites and heads" if where == "all" else where,
            shown,
            colormap,
            ", ".join(units),
            tuple(notes),
        ),
        columns or -(-len(panels) // rows),
    )
