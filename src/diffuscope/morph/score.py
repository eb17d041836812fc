"""What a film is played from: a run's maps and predicted pictures as small textures, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.analysis.measures.phases import change_points, planned
from diffuscope.errors import NotKeptError, SelectionError
from diffuscope.maps.colormap import NAMES, colormap
from diffuscope.maps.resize import resize
from diffuscope.morph.streams import content_words, views_of

if TYPE_CHECKING:
    from diffuscope.run import Run, WordView

Floats = NDArray[np.float32]
PhaseRule = Literal["plan", "run"]

PICTURE = "picture"
PALETTES: tuple[str, ...] = (PICTURE, *NAMES)
"""Where colours come from: the predicted clean picture of the step, or a colormap over the stability."""

LONGEST = 256
"""Pixels of a picture texture's longer side."""


@dataclass(frozen=True, eq=False)
class Score:
    """A run's textures.

    Attributes:
        words: labels of the words, phrases or concepts that the film goes into; may be empty.
        depth: float32 ``[step, y, x]``, 0 to 1: attention to all content words of the prompt together, min-max scaled
            over all steps.
        stability: float32 ``[word, step, y, x]``, 0 to 1: each word's map, min-max scaled over all steps of the run.
            The chaos mask is 1 minus it.
        colours: float32 ``[step, y, x, 3]``, linear light: the predicted clean picture of each step.
        phases: progress, 0 to 1, at which structure and detail begin.
        aspect: width of the picture over its height.
        steps: indices of the steps.
    """

    words: tuple[str, ...]
    depth: Floats
    stability: Floats
    colours: Floats
    phases: tuple[float, float]
    aspect: float
    steps: tuple[int, ...]

    @classmethod
    def of(cls, run: Run, words: Sequence[str | WordView] = (), *, phases: PhaseRule = "plan") -> Score:
        """Read a run.

        Args:
            run: a recording.
            words: words or phrases of the prompt, or views of `Run.word`, `Run.phrase`, `Run.concept`.
            phases: ``plan`` for 20, 40 and 40 per cent of the steps, ``run`` for the run's own change points (where
                they are fewer than two, the plan stands in for those that are missing).

        Raises:
            UnknownWordError: the prompt has no such word.
            SelectionError: unknown `phases`, or a run of a single step.
            NotKeptError: the run has neither predicted pictures nor a picture.
        """
        if phases not in ("plan", "run"):
            raise SelectionError(f"phases are those of the 'plan' or of the 'run', not {phases!r}")
        if len(run.steps) < 2:
            raise SelectionError("a film needs a run of at least two whole steps")
        views = views_of(run, words)
        shown = content_words(run)
        if not shown:
            raise SelectionError("a film needs a prompt with words")
        maps = np.stack([run.word(label).steps().array for label in shown])
        sampling = run.manifest.sampling
        stability = [_unit(view.steps().array) for view in views]
        size = maps.shape[-2:]
        return cls(
            tuple(view.label for view in views),
            _unit(maps.sum(axis=0)),
            np.stack([np.asarray(resize(each, size), np.float32) for each in stability])
            if stability
            else np.zeros((0, *maps.shape[1:]), np.float32),
            _colours(run),
            _phases(run, maps.mean(axis=(2, 3)).T, phases),
            sampling.width / sampling.height,
            tuple(step.index for step in run.steps),
        )

    def at(self, progress: float) -> tuple[Floats, Floats, Floats]:
        """Depth ``[y, x]``, stability ``[word, y, x]`` and colours ``[y, x, 3]`` at a progress, steps blended into one
        another."""
        place = min(max(progress, 0.0), 1.0) * (len(self.steps) - 1)
        first = min(int(place), len(self.steps) - 2)
        part = np.float32(place - first)

        def blend(before: Floats, after: Floats) -> Floats:
            return np.asarray(before + (after - before) * part, np.float32)

        return (
            blend(self.depth[first], self.depth[first + 1]),
            blend(self.stability[:, first], self.stability[:, first + 1]),
            blend(self.colours[first], self.colours[first + 1]),
        )

    @property
    def nbytes(self) -> int:
        """Memory of the textures."""
        return self.depth.nbytes + self.stability.nbytes + self.colours.nbytes


def linear(srgb: NDArray[np.uint8]) -> Floats:
    """sRGB bytes as linear light, 0 to 1 (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return np.asarray(table[srgb])


def palette(name: str) -> Floats:
    """A colormap's table in linear light, ``[256, 3]``.

    Raises:
        SelectionError: there is none of that name.
    """
    if name not in NAMES:
        raise SelectionError(f"there is no palette {name!r}; choose one of {', '.join(PALETTES)}")
    return linear(colormap(name))


def _unit(maps: NDArray[np.floating]) -> Floats:
    low, high = float(maps.min()), float(maps.max())
    return (
        np.zeros(maps.shape, np.float32)
        if high <= low
        else np.asarray((maps - low) / (high - low), np.float32)
    )


def _colours(run: Run) -> Floats:
    """The predicted picture of every step; where the run kept none, the finished picture stands in for all."""
    pictures = []
    for step in run.steps:
        try:
            pictures.append(run.preview(step.index))
        except NotKeptError:
            pictures = [run.image] * len(run.steps)
            break
    first = pictures[0]
    shrink = min(1.0, LONGEST / max(first.size))
    size = (max(1, round(first.width * shrink)), max(1, round(first.height * shrink)))
    made = [linear(np.asarray(each.convert("RGB").resize(size, Image.Resampling.BOX))) for each in pictures]
    return np.stack(made)


def _phases(run: Run, curves: NDArray[np.floating], rule: PhaseRule) -> tuple[float, float]:
    count = len(run.steps)
    plan = planned(count)
    starts = [plan["structure"][0], plan["detail"][0]]
    if rule == "run":
        snr = [np.nan if step.log_snr is None else step.log_snr for step in run.steps]
        found = sorted(change_points(curves.astype(np.float64), np.array(snr)).at)
        if len(found) == 1:
            # One break: it stands for the boundary of the plan that it is nearer to.
            nearer = int(abs(found[0] - starts[1]) < abs(found[0] - starts[0]))
            starts[nearer] = found[0]
            starts.sort()
        elif found:
            starts = found[:2]
    return starts[0] / (count - 1), starts[1] / (count - 1)
