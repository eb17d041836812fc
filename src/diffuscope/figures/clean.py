"""The picture as the model predicts it, step by step, and what changes from one step to the next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import NotKeptError
from diffuscope.figures.strip import panel_size
from diffuscope.maps.colormap import NAMES, DisplayScale
from diffuscope.maps.picture import Legend, Panel, figure, paint
from diffuscope.scenes.lab import to_lab

if TYPE_CHECKING:
    from diffuscope.run import Run

UNIT = "colour difference, CIE76 delta-E"
NOTES = (
    "Above each other: the clean picture predicted at a step, and the difference of each pixel's colour in L*a*b* from "
    "the step before. 2 is hardly seen, 100 is black against white."
)


def predicted(run: Run, steps: Sequence[int]) -> list[Image.Image]:
    """The predicted clean pictures of some steps, RGB.

    Raises:
        NotKeptError: the run was recorded without previews.
        SelectionError: there is no such step.
    """
    return [run.preview(step).convert("RGB") for step in steps]


def differences(pictures: Sequence[Image.Image]) -> NDArray[np.float32]:
    """CIE76 delta-E (Euclidean distance in L*a*b*) of each picture from the one before, float32 ``[step, y, x]``; one
    less than there are pictures."""
    lab = [to_lab(np.asarray(picture)) for picture in pictures]
    parts = [np.sqrt(((after - before) ** 2).sum(axis=-1)) for before, after in pairwise(lab)]
    height, width = pictures[0].height, pictures[0].width
    return np.stack(parts).astype(np.float32) if parts else np.zeros((0, height, width), np.float32)


def clean_sheet(
    run: Run, steps: Sequence[int], *, columns: int = 10, side: int = 128, colours: str = NAMES[0]
) -> Image.Image:
    """All predicted pictures, each with its difference from the one before below it, in one range of colours. RGB.

    Args:
        run: a run with previews.
        steps: indices, ascending.
        columns: pictures in a row.
        side: longer side of a picture in pixels.
        colours: of the differences; see `diffuscope.maps.colormap.NAMES`.
    """
    pictures = predicted(run, steps)
    if not pictures:
        raise NotKeptError("this run has no step to show")
    apart = differences(pictures)
    scale = (
        DisplayScale.of(apart, origin="min-max over all steps shown")
        if len(apart)
        else DisplayScale(0.0, 0.0)
    )
    tall, wide = panel_size(run, side)
    blank = Image.new("RGB", (wide, tall), (255, 255, 255))
    columns = min(columns, len(pictures))
    panels: list[Panel] = []
    for first in range(0, len(pictures), columns):
        chosen = range(first, min(first + columns, len(pictures)))
        empty = [Panel(blank)] * (columns - len(chosen))
        panels += [
            Panel(pictures[at].resize((wide, tall), Image.Resampling.BICUBIC), f"step {steps[at]}")
            for at in chosen
        ]
        panels += empty
        panels += [
            Panel(blank if at == 0 else paint(apart[at - 1], (tall, wide), scale, colours)) for at in chosen
        ]
        panels += empty
    where = f"steps {steps[0]} to {steps[-1]}"
    return figure(
        panels,
        Legend("Predicted clean pictures", where, scale, colours, UNIT, (NOTES,)),
        columns,
        framed=False,
    )
