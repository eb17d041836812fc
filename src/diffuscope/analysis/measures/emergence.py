"""When a thing is first there: in the attention to its word, and in the picture that the model predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from diffuscope.analysis.measures.spatial import SHARE_OF_MAX, Floats, Mask, Wide, binary, overlap
from diffuscope.errors import SelectionError
from diffuscope.maps.resize import resize

Against = Literal["judge", "mask", "own last mask"]
"""What the maps are held against: the true mask that a judge found, one that was given, or the last step's own."""

ENOUGH = 0.5
"""IoU that counts as there."""
RUNNING = 3
"""Steps in a row that must reach it."""
OF_FINAL = 0.9
"""Share of the final score that counts as there, in the picture."""


@dataclass(frozen=True)
class Emergence:
    """When something was first there, or that it never was.

    Attributes:
        at: position of the first step, or None where it never came (censored: later than what was seen, or never).
        curve: ``[step]``, what was held against the threshold: IoU, or the score.
        threshold: what had to be reached.
        against: what the curve was measured against.
    """

    at: int | None
    curve: Wide
    threshold: float
    against: str

    @property
    def censored(self) -> bool:
        """Whether it was never there in the steps that were seen."""
        return self.at is None


def by_attention(maps: Floats, truth: Mask | None = None, against: Against = "own last mask") -> Emergence:
    """First step whose mask overlaps the object's (IoU >= 0.5), with the next two doing so as well.

    Args:
        maps: ``[step, y, x]``. Steps in a row are those of the series.
        truth: the object's mask ``[y, x]`` at any size, with at least one pixel: maps are interpolated to its size
            (bilinear) before they are thresholded. None: the last step's own mask, on the map's own grid. Against its
            own last mask every map emerges some time before the end, unless it changes in the last steps, so that
            this says when the map has found its place and not when it was right.
        against: what `truth` is.

    Raises:
        SelectionError: the mask is empty.
    """
    if truth is None:
        masks = binary(maps)
        truth, against = masks[-1], "own last mask"
    else:
        if truth.ndim != 2 or not truth.any():
            raise SelectionError("a true mask has two axes and at least one pixel")
        masks = np.stack([_sized(values, truth.shape) for values in maps])
    curve = overlap(masks, truth)
    return Emergence(_first_run(curve >= ENOUGH, RUNNING), curve, ENOUGH, against)


def by_image(scores: Floats, judge: str) -> Emergence:
    """First step from which on a judge's score of the predicted clean picture stays at 90% of its final value or
    above.

    Args:
        scores: ``[step]``, 0 for "not there"; the last one is the final value. Where that is 0 (the thing is not in
            the picture that was drawn), it never emerged.
        judge: what the judge is called.
    """
    curve = np.asarray(scores, np.float64)
    final = float(curve[-1])
    if not final > 0:
        return Emergence(None, curve, 0.0, judge)
    short = np.flatnonzero(~(curve >= OF_FINAL * final))
    return Emergence(int(short[-1]) + 1 if len(short) else 0, curve, OF_FINAL * final, judge)


def _sized(values: Floats, size: tuple[int, ...]) -> Mask:
    """A map's mask at another size: interpolated first, so that its outline is not that of cells."""
    plane = resize(values, (size[0], size[1]))
    top = plane.max()
    return np.asarray((plane > SHARE_OF_MAX * top) & (top > 0))


def _first_run(there: Mask, length: int) -> int | None:
    """First position that begins a run of at least `length`; None where there is none."""
    for at in range(len(there) - length + 1):
        if there[at : at + length].all():
            return at
    return None
