"""The order in which things emerge, over many runs: paired differences with intervals, a control, an agreement.

Runs that never showed a thing are *censored*: it came later than the last step, if at all. They are neither left out
(which would make what often fails look early) nor given a number. Where one of a pair is censored, its sign is known
and its difference is bounded from one side; both bounds go through the median and its interval.

Runs of one prompt are alike. Where events are of several prompts (`Event.cluster`), whole prompts are drawn again for
intervals, and signs are counted by prompt: runs as if they were independent would give intervals that are too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.timeline.events import Event
from diffuscope.analysis.timeline.resampling import (
    RESAMPLES,
    Wide,
    drawn_again,
    interval_of_median,
    members_of,
)
from diffuscope.analysis.timeline.survival import FEWEST, scipy_stats
from diffuscope.errors import SelectionError

CLAIMED = 0.05
"""Largest p of the sign test with which an order is claimed."""


@dataclass(frozen=True)
class Paired:
    """How much later the second of two names is there than the first, over runs.

    Attributes:
        first, second: the names.
        pairs: runs with events of both, but for those where both are censored.
        both_censored: runs in which neither came; they say nothing about the order.
        median: of second - first. Positive: the first is there earlier.
        median_bounds: the same where censored differences take their least and their greatest value; equal where
            censoring does not matter. `median` is their middle, or None where one is infinite.
        low, high: 95%, percentile bootstrap over runs (Efron 1979); the lower from the lower bounds, the upper from
            the upper.
        earlier, later, ties: runs in which the first came earlier, later, or at the same time.
        p: of the sign test, exact, two-sided, without ties. With several prompts each of them has one sign: that of the
            majority of its runs.
        enough: at least 20 pairs.
        clusters: how many prompts they are of.
    """

    first: str
    second: str
    pairs: int
    both_censored: int
    median: float | None
    median_bounds: tuple[float, float]
    low: float
    high: float
    earlier: int
    later: int
    ties: int
    p: float
    enough: bool
    clusters: int = 1

    @property
    def leans(self) -> int:
        """1 where the interval lies above 0 (the first is there earlier), -1 where it lies below, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    @property
    def order(self) -> int:
        """The order that is claimed: 1 for the first, -1 for the second earlier, 0 for none.

        One rule: the interval leaves out 0, and the sign test has p <= 0.05. The interval tells by how much in the
        median run, and a few prompts with large differences can carry it; the test asks whether prompts agree.
        """
        return self.leans if self.p <= CLAIMED else 0

    def facts(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**told, "order": self.order}

    def __str__(self) -> str:
        middle = (
            f"{self.median:+.3g}"
            if self.median is not None
            else f"between {self.median_bounds[0]:+.3g} and {self.median_bounds[1]:+.3g}"
        )
        few = "" if self.enough else f"; fewer than {FEWEST} runs"
        of = f" runs of {self.clusters} prompts" if self.clusters > 1 else ""
        return (
            f"{self.second} minus {self.first}: median {middle} (95% {self.low:+.3g} to {self.high:+.3g}); "
            f"{self.first} earlier in {self.earlier} runs, later in {self.later}, tied in {self.ties}; "
            f"sign test p = {self.p:.2g}, n = {self.pairs}{of}{few}"
        )


def paired(rows: Sequence[Event], first: str, second: str, *, resamples: int = RESAMPLES) -> Paired:
    """Compare two names within runs.

    Raises:
        SelectionError: no run has events of both, or one name twice.
        MissingExtraError: scipy is not installed (extra ``analysis``).
    """
    stats = scipy_stats()
    low, high, none, clusters = _differences(rows, first, second)
    members = members_of(clusters)
    ends = interval_of_median(low, high, members, resamples)
    medians = float(np.median(low)), float(np.median(high))
    earlier, later = int((low > 0).sum()), int((high < 0).sum())
    # A censored difference is known by its sign: it is above (below) whatever its finite end is, and so never a tie.
    decided = earlier + later
    signs = np.sign(np.where(low > 0, 1, np.where(high < 0, -1, 0)))
    if len(members) > 1:
        signs = np.array([np.sign(signs[own].sum()) for own in members])
    plus, minus = int((signs > 0).sum()), int((signs < 0).sum())
    p = float(stats.binomtest(plus, plus + minus).pvalue) if plus + minus else 1.0
    return Paired(
        first,
        second,
        len(low),
        none,
        float(np.mean(medians)) if np.isfinite(medians).all() else None,
        medians,
        *ends,
        earlier,
        later,
        len(low) - decided,
        p,
        len(low) >= FEWEST,
        len(members),
    )


@dataclass(frozen=True)
class Control:
    """Whether an order is the things' own, or that of the words in the prompt.

    Attributes:
        plain, swapped: the comparison with the prompt as it is, and with the two words' places swapped.
        change: median over seeds of (difference swapped - difference plain), of seeds where neither is censored; None
            where there are none.
        low, high: its 95% interval (percentile bootstrap).
        seeds: how many that are.
        holds: both comparisons have the same `Paired.order`, and have one.
    """

    plain: Paired
    swapped: Paired
    change: float | None
    low: float | None
    high: float | None
    seeds: int
    holds: bool

    def facts(self) -> dict[str, Any]:
        said = {name: getattr(self, name) for name in ("change", "low", "high", "seeds", "holds")}
        return {"plain": self.plain.facts(), "swapped": self.swapped.facts(), **said}


def controlled(rows: Sequence[Event], swapped: Sequence[Event], first: str, second: str) -> Control:
    """Compare two names, and again in runs of the same seeds whose prompt has their words in the other order.

    If what stands first in the prompt came first whatever it is, the swapped comparison would turn round.
    """
    plain, turned = paired(rows, first, second), paired(swapped, first, second)
    own, other = _whole_differences(rows, first, second), _whole_differences(swapped, first, second)
    units = [unit for unit in own if unit in other]
    both = np.array([other[unit][0] - own[unit][0] for unit in units])
    change = low = high = None
    if len(both):
        change = float(np.median(both))
        low, high = interval_of_median(both, both, members_of([own[unit][1] for unit in units]), RESAMPLES)
    holds = plain.order != 0 and plain.order == turned.order
    return Control(plain, turned, change, low, high, len(both), holds)


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of two emergences (see `agreement`): Spearman's rho with a 95% bootstrap interval over runs (or
    prompts), number of words, runs and prompts that it is from, and how many words were left out because one of the two
    was censored."""

    rho: float
    low: float
    high: float
    points: int
    runs: int
    censored: int
    clusters: int = 1

    def facts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def agreement(first: Sequence[Event], second: Sequence[Event], *, resamples: int = RESAMPLES) -> Agreement:
    """How far two ways to time the same things agree: emergence by attention against emergence by image.

    Words of one run are not independent, so whole runs are resampled; and whole prompts where there are several.

    Raises:
        SelectionError: fewer than three words have both.
    """
    from diffuscope.analysis.measures.received import ranks

    other = {(row.unit, row.name): row for row in second}
    pairs = [(row, other[row.unit, row.name]) for row in first if (row.unit, row.name) in other]
    whole = [(a, b) for a, b in pairs if not a.censored and not b.censored]
    if len(whole) < 3:
        raise SelectionError(
            f"only {len(whole)} words have both times ({len(pairs) - len(whole)} are censored); a rank correlation "
            "needs 3"
        )

    times = [np.array([pair[side].time for pair in whole]) for side in (0, 1)]

    def rho(chosen: NDArray[np.intp]) -> float:
        x, y = (ranks(each[chosen]) for each in times)
        x, y = x - x.mean(), y - y.mean()
        length = float(np.sqrt((x**2).sum() * (y**2).sum()))
        return float((x * y).sum() / length) if length > 0 else float("nan")

    runs = len({row.unit for row, _ in whole})
    prompts = members_of([row.cluster for row, _ in whole])
    units = prompts if len(prompts) > 1 else members_of([row.unit for row, _ in whole])
    drawn = [rho(chosen) for chosen in drawn_again(units, resamples)]
    kept = [value for value in drawn if np.isfinite(value)]
    low, high = np.quantile(kept, (0.025, 0.975)) if kept else (np.nan, np.nan)
    every = np.arange(len(whole))
    return Agreement(
        rho(every), float(low), float(high), len(whole), runs, len(pairs) - len(whole), len(prompts)
    )


def _matched(rows: Sequence[Event], first: str, second: str) -> list[tuple[Event, Event]]:
    if first == second:
        raise SelectionError(f"{first!r} cannot be compared with itself")
    by_name: dict[str, dict[str, Event]] = {first: {}, second: {}}
    for row in rows:
        if row.name in by_name:
            by_name[row.name][row.unit] = row
    a, b = by_name[first], by_name[second]
    return [(a[unit], b[unit]) for unit in a if unit in b]


def _differences(rows: Sequence[Event], first: str, second: str) -> tuple[Wide, Wide, int, list[str]]:
    """Least and greatest value of second - first of each run, how many have neither, and each one's cluster."""
    low, high, none, clusters = [], [], 0, []
    for a, b in _matched(rows, first, second):
        if a.censored and b.censored:
            none += 1
            continue
        # Later than the last that was seen: by the least that a difference can be, and by any.
        least = np.nextafter(b.time - a.time, np.inf) if b.censored else b.time - a.time
        most = np.nextafter(b.time - a.time, -np.inf) if a.censored else b.time - a.time
        low.append(-np.inf if a.censored else least)
        high.append(np.inf if b.censored else most)
        clusters.append(a.cluster)
    if not low:
        raise SelectionError(
            f"no run has {first!r} or {second!r} with events of both names; check their labels, or record more steps"
        )
    return np.array(low), np.array(high), none, clusters


def _whole_differences(rows: Sequence[Event], first: str, second: str) -> dict[str, tuple[float, str]]:
    """Difference and cluster of each run where both came."""
    return {
        a.unit: (b.time - a.time, a.cluster)
        for a, b in _matched(rows, first, second)
        if not a.censored and not b.censored
    }
