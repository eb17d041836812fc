"""What a run says at each step in numbers: each word's mass, centroid and spread, for programs that play it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffuscope.run import Run, WordView

Wide = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Streams:
    """Curves of words over the steps.

    Attributes:
        words: their labels.
        mass: ``[word, step]``, attention probability: mean of the word's map over the patches.
        centroid: ``[word, step, 2]`` of (x, y), x to the right and y down, shares of the picture's width and height.
        spread: ``[word, step]``, root of the mean squared distance from the centroid, in heights of the picture.
    """

    words: tuple[str, ...]
    mass: Wide
    centroid: Wide
    spread: Wide

    @classmethod
    def of(cls, run: Run, words: Sequence[str | WordView]) -> Streams:
        """Of words or phrases of a run.

        Raises:
            UnknownWordError: the prompt has no such word.
        """
        views = views_of(run, words)
        maps = [view.steps().array.astype(np.float64) for view in views]
        aspect = run.manifest.sampling.width / run.manifest.sampling.height
        found = [_moments(each, aspect) for each in maps]
        empty = np.zeros((0, len(run.steps)))
        return cls(
            tuple(view.label for view in views),
            np.stack([each.mean(axis=(1, 2)) for each in maps]) if maps else empty,
            np.stack([centre for centre, _ in found]) if maps else np.zeros((0, len(run.steps), 2)),
            np.stack([spread for _, spread in found]) if maps else empty,
        )

    def at(self, progress: float) -> tuple[Wide, Wide, Wide]:
        """Mass ``[word]``, centroid ``[word, 2]`` and spread ``[word]`` at a progress, 0 to 1; between
        steps in a straight line."""
        place = min(max(progress, 0.0), 1.0) * (self.mass.shape[1] - 1)
        first = min(int(place), self.mass.shape[1] - 2)
        part = place - first
        mass, centroid, spread = (
            each[:, first] + (each[:, first + 1] - each[:, first]) * part
            for each in (self.mass, self.centroid, self.spread)
        )
        return mass, centroid, spread


def views_of(run: Run, words: Sequence[str | WordView]) -> list[WordView]:
    """Words and phrases of a run as what gives their maps.

    Raises:
        UnknownWordError: the prompt has no such word.
    """
    # These need a Run and are what it is made of: imported here, they cost nothing to those who only play a score.
    from diffuscope.maps.words import find
    from diffuscope.run import WordView

    return [WordView(run, find(run.manifest.text, each)) if isinstance(each, str) else each for each in words]


def content_words(run: Run) -> list[str]:
    """Labels of the prompt's content words, or of all words where it has none."""
    from diffuscope.analysis.timeline.word_kinds import kind_of

    labels = [word.label for word in run.words]
    return [word.label for word in run.words if kind_of(word.label, (word.text,)) == "content"] or labels


def phase_name(progress: float, phases: tuple[float, float]) -> str:
    """``noise``, ``structure`` or ``detail``."""
    return ("noise", "structure", "detail")[sum(progress >= begins for begins in phases)]


def _moments(maps: Wide, aspect: float) -> tuple[Wide, Wide]:
    """Centroid ``[step, 2]`` and spread ``[step]`` of maps ``[step, y, x]``; the middle where a map holds nothing."""
    _, height, width = maps.shape
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    total = maps.sum(axis=(1, 2))
    parts = np.where(total[:, None, None] > 0, maps, 1.0)
    parts = parts / parts.sum(axis=(1, 2), keepdims=True)
    across, down = (parts * x).sum(axis=(1, 2)), (parts * y[:, None]).sum(axis=(1, 2))
    squares = ((x - across[:, None, None]) * aspect) ** 2 + (y[:, None] - down[:, None, None]) ** 2
    return np.stack([across, down], axis=1), np.sqrt((parts * squares).sum(axis=(1, 2)))
