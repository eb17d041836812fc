"""What measures over the steps are computed from: a word's maps with their steps, and what else is known of the
run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.analysis.measures.emergence import Against
from diffuscope.analysis.measures.moments import At
from diffuscope.analysis.measures.spatial import Mask, Wide
from diffuscope.maps.resize import Size

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Course:
    """The steps that are looked at.

    Attributes:
        steps: indices, ascending.
        timesteps: of each.
        log_snr: of each; NaN where it is infinite or unknown.
    """

    steps: tuple[int, ...]
    timesteps: Wide
    log_snr: Wide

    def at(self, position: int) -> At:
        """The step at a position of the series."""
        value = float(self.log_snr[position])
        return At(
            self.steps[position], float(self.timesteps[position]), value if np.isfinite(value) else None
        )

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True, eq=False)
class WordEvidence:
    """Evidence about one word, phrase or concept.

    Attributes:
        maps: ``[step, y, x]``, probabilities.
        course: the steps.
        picture: ``(height, width)`` of the picture in pixels.
        content: gives ``[step]``, the mass of all words of the prompt together; NaN where the word is none of them.
        truth: gives the object's true mask and what it comes from, or None where nothing is known of it.
        scored: gives a judge's score of each predicted clean picture ``[step]`` and the judge's name, or None where
            there is no judge, no such picture, or no answer to this word.
    """

    maps: Floats
    course: Course
    picture: Size
    content: Callable[[], Wide]
    truth: Callable[[], tuple[Mask, Against] | None] = lambda: None
    scored: Callable[[], tuple[Wide, str] | None] = lambda: None

    @cached_property
    def mass(self) -> Wide:
        """``[step]``: mean over patches."""
        return np.asarray(self.maps.mean(axis=(1, 2), dtype=np.float64))

    @cached_property
    def true_mask(self) -> tuple[Mask, Against] | None:
        return self.truth()

    @cached_property
    def scores(self) -> tuple[Wide, str] | None:
        return self.scored()


@dataclass(frozen=True, eq=False)
class RunEvidence:
    """Evidence about a run as a whole.

    Attributes:
        course: the steps.
        curves: gives ``[step, curve]``: what is looked at for change points.
        received: gives ``[step, y, x]``, mean over queries of the attention that each patch gets.
        drawn: gives the finished picture.
    """

    course: Course
    curves: Callable[[], Wide]
    received: Callable[[], Floats]
    drawn: Callable[[], Image.Image]

    @cached_property
    def received_maps(self) -> Floats:
        return self.received()
