"""What is known of a run and an edited one beside it, and the statistics of two."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from diffuscope.analysis.comparing import Comparison, WordEffect, resized
from diffuscope.explain.claim import Value
from diffuscope.explain.evidence import Evidence, Mask
from diffuscope.explain.statistic import (
    CORRELATION,
    COUNT,
    DELTA_E,
    PROBABILITY,
    SHARE,
    TEXT,
    TRUTH,
    Statistic,
)
from diffuscope.ranges import Ranges
from diffuscope.selection import Selection

if TYPE_CHECKING:
    from diffuscope.run import Run

NOTICED = 2.3
"""CIE76 delta-E from which two colours are told apart."""


class Pair:
    """A run, an edited one, and their comparison.

    Attributes:
        comparison: what `ds.compare` found.
        before, after: evidence of both.
    """

    def __init__(self, run: Run, other: Run, comparison: Comparison) -> None:
        self.comparison = comparison
        self.before, self.after = Evidence(run), Evidence(other)

    @cached_property
    def effects(self) -> dict[str, WordEffect]:
        """Label to what became of the attention to the word."""
        return {each.word: each for each in self.comparison.words}

    @cached_property
    def window(self) -> Selection:
        """The steps in which the edit acts."""
        return Selection.of(steps=self.comparison.window)

    @cached_property
    def edited(self) -> tuple[str, ...]:
        """Labels of the words that the edits name, of both runs' prompt."""
        named: list[str] = []
        for each in self.after.run.manifest.edits:
            given = each if isinstance(each, dict) else {}
            inner = given.get("of")
            inner = inner if isinstance(inner, dict) else given
            word = inner.get("word")
            if isinstance(word, str):
                named += self.after.view(word).term.words
        return tuple(dict.fromkeys(named))

    def place(self, at: Selection) -> Mask | None:
        """Pixels of a word's thing in the run before the edit; all where no word is named."""
        change = self.comparison.change
        if at.word is None:
            return np.ones(change.shape, bool)
        return self.before.region(at.word)

    def elsewhere(self) -> Mask | None:
        """Pixels of no thing that the prompt names, in the run before the edit; None where no thing is known."""
        masks = [self.before.region(each.label) for each in self.before.objects]
        known = [each for each in masks if each is not None]
        return ~np.logical_or.reduce(known) if known else None


def _noticed(of: Pair, mask: Mask | None) -> Value:
    return None if mask is None or not mask.any() else float((of.comparison.change[mask] > NOTICED).mean())


def change_mean(of: Pair, at: Selection, _: Selection | None) -> Value:
    mask = of.place(at)
    return None if mask is None or not mask.any() else float(of.comparison.change[mask].mean())


def change_largest(of: Pair, at: Selection, _: Selection | None) -> Value:
    return float(of.comparison.change.max())


def noticed(of: Pair, at: Selection, _: Selection | None) -> Value:
    return _noticed(of, of.place(at))


def noticed_control(of: Pair, at: Selection, _: Selection | None) -> Value:
    control = of.comparison.control
    return None if control is None else float((control.change > NOTICED).mean())


def noticed_elsewhere(of: Pair, at: Selection, _: Selection | None) -> Value:
    return _noticed(of, of.elsewhere())


def acs(of: Pair, at: Selection, _: Selection | None) -> Value:
    return of.effects[at.word or ""].acs


def acs_elsewhere(of: Pair, at: Selection, _: Selection | None) -> Value:
    rest = [each.acs for label, each in of.effects.items() if label not in of.edited and each.acs is not None]
    return float(np.median(rest)) if rest else None


def sf_iou(of: Pair, at: Selection, _: Selection | None) -> Value:
    return of.effects[at.word or ""].sf_iou


def sf_chance(of: Pair, at: Selection, _: Selection | None) -> Value:
    return of.effects[at.word or ""].chance


def change_follows(of: Pair, at: Selection, _: Selection | None) -> Value:
    found = of.before.map(Selection(word=at.word))
    near = resized(of.comparison.change, found.shape).ravel()
    one, two = found.ravel() - found.mean(), near - near.mean()
    norm = float(np.sqrt((one * one).sum() * (two * two).sum()))
    return float((one * two).sum() / norm) if norm > 0 else None


def mass_before(of: Pair, at: Selection, _: Selection | None) -> Value:
    return float(of.before.map(at).mean())


def mass_after(of: Pair, at: Selection, _: Selection | None) -> Value:
    return float(of.after.map(at).mean())


def judged_after(of: Pair, at: Selection, _: Selection | None) -> Value:
    holds = None if of.after.world is None else of.after.world.holds(at.word or "")
    return None if holds is None else float(holds)


def seen_before(of: Pair, at: Selection, _: Selection | None) -> Value:
    return of.before.seen(at.word)


def seen_after(of: Pair, at: Selection, _: Selection | None) -> Value:
    return of.after.seen(at.word)


def window_steps(of: Pair, at: Selection, _: Selection | None) -> Value:
    steps = [step.index for step in of.before.run.manifest.steps]
    return float(len(Ranges.of(at.steps, "steps").within(len(steps))))


def edits_made(of: Pair, at: Selection, _: Selection | None) -> Value:
    return float(len(of.after.run.manifest.edits) - len(of.before.run.manifest.edits))


PAIRED: tuple[Statistic, ...] = (
    Statistic(
        "change_mean",
        "change of the picture",
        DELTA_E,
        "Mean over the pixels of a thing, or of the picture, of the CIE76 delta-E between the two runs.",
        change_mean,
        pair=True,
    ),
    Statistic(
        "change_largest",
        "largest change",
        DELTA_E,
        "Largest CIE76 delta-E of a pixel between the two runs.",
        change_largest,
        pair=True,
    ),
    Statistic(
        "noticed",
        "pixels that changed",
        SHARE,
        "Share of the pixels of a thing of the first run, or of the picture, that changed by more than 2.3 delta-E.",
        noticed,
        pair=True,
    ),
    Statistic(
        "noticed_control",
        "pixels that a random change changed",
        SHARE,
        "Share of the pixels that the control of the edit, a random change of equal size, changed by more than 2.3.",
        noticed_control,
        pair=True,
    ),
    Statistic(
        "noticed_elsewhere",
        "background that changed",
        SHARE,
        "Share of the pixels that belong to no thing of the first run and changed by more than 2.3 delta-E.",
        noticed_elsewhere,
        pair=True,
    ),
    Statistic(
        "acs",
        "attention change score",
        SHARE,
        "Relative change of the attention to the word in the edit's steps.",
        acs,
        pair=True,
    ),
    Statistic(
        "acs_elsewhere",
        "attention change of the other words",
        SHARE,
        "Median relative change of the attention to the words that the edit does not name.",
        acs_elsewhere,
        pair=True,
    ),
    Statistic(
        "sf_iou",
        "overlap of map and change",
        SHARE,
        "IoU of where the word's map, and where the change, lie above their 75th percentiles.",
        sf_iou,
        pair=True,
    ),
    Statistic(
        "sf_chance",
        "its chance level",
        SHARE,
        "That IoU of two independent masks of these sizes.",
        sf_chance,
        pair=True,
    ),
    Statistic(
        "change_follows",
        "change along the map",
        CORRELATION,
        "Pearson correlation over patches of the word's map in the first run with the change of the picture.",
        change_follows,
        pair=True,
    ),
    Statistic(
        "mass_before",
        "attention before",
        PROBABILITY,
        "The word's attention mass in the first run.",
        mass_before,
        pair=True,
    ),
    Statistic(
        "mass_after",
        "attention after",
        PROBABILITY,
        "The word's attention mass in the edited run.",
        mass_after,
        pair=True,
    ),
    Statistic(
        "judged_after",
        "true of the edited picture",
        TRUTH,
        "1 where the judge finds what the word says in the edited picture, else 0.",
        judged_after,
        pair=True,
    ),
    Statistic(
        "seen_before",
        "what the judge saw",
        TEXT,
        "What the judge sees in the first run.",
        seen_before,
        pair=True,
    ),
    Statistic(
        "seen_after",
        "what the judge sees",
        TEXT,
        "What the judge sees in the edited run.",
        seen_after,
        pair=True,
    ),
    Statistic(
        "window_steps",
        "steps of the edit",
        COUNT,
        "How many steps the edit acts in.",
        window_steps,
        pair=True,
    ),
    Statistic(
        "edits_made",
        "edits",
        COUNT,
        "How many edits the second run has that the first has not.",
        edits_made,
        pair=True,
    ),
)
