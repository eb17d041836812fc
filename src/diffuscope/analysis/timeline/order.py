"""The order in which things emerge, over many runs: medians with intervals, paired differences, a control.

Runs that never showed a thing are *censored*: it came later than the last step, if at all. They are neither left out
(which would make what often fails look early) nor given a number. Where one of a pair is censored, its sign is known
and its difference is bounded from one side; both bounds go through the median and its interval.

Runs of one prompt are alike. Where events are of several prompts (`Event.cluster`), whole prompts are drawn again for
intervals, and signs are counted by prompt: runs as if they were independent would give intervals that are too narrow.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.timeline.timeline import Timeline
from diffuscope.errors import MissingExtraError, SelectionError

if TYPE_CHECKING:
    from diffuscope.analysis.timeline.timelines import Timelines

Which = Literal["emergence_attention", "emergence_image"]
Scale = Literal["step", "share", "log_snr"]
"""Units of time: step index, share of the run (0 first, 1 last step), or log-SNR (comparable between schedulers)."""

FEWEST = 20
"""Runs below which a result is marked as too few."""
CLAIMED = 0.05
"""Largest p of the sign test with which an order is claimed."""
RESAMPLES = 4000
SEED = 0
"""Of the bootstrap: the same rows always give the same interval."""
Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Event:
    """When one thing was first there in one run.

    Attributes:
        unit: what pairs are matched by: the run's seed or id. The same for all things of a run.
        name: the thing, or the group that it belongs to: ``object``.
        time: when it came, or the last that was seen where it never did.
        censored: it never came.
        cluster: its prompt: runs that are alike. The same for all where there is but one.
    """

    unit: str
    name: str
    time: float
    censored: bool
    cluster: str = ""


def events(
    runs: Iterable[Timelines],
    names: Mapping[str, Sequence[str]] | None = None,
    *,
    which: Which = "emergence_image",
    scale: Scale = "step",
    unit: Literal["seed", "id"] = "seed",
) -> list[Event]:
    """One event for each run and name.

    Args:
        runs: timelines of runs, such as one prompt's over many seeds.
        names: name to the labels of the words that it stands for, ``{"object": ["circle", "house"], "background":
            ["snow"]}``; a run's event is the median of those words that it has (a censored one counts as later than
            all).
            None: every content word by its own label.
        which: by attention, or by image. Words to which the judge has no answer have no event.
        scale: in what unit.
        unit: pair runs by their seed, or not at all (each run by its id).

    Raises:
        SelectionError: two runs of one unit, or log-SNR that a run does not have.
    """
    if which not in ("emergence_attention", "emergence_image") or scale not in ("step", "share", "log_snr"):
        raise SelectionError(
            f"which={which!r}, scale={scale!r}: which is emergence_attention or emergence_image, scale step, share "
            "or log_snr"
        )
    found: list[Event] = []
    units: set[str] = set()
    for timelines in runs:
        seed = timelines.run.manifest.sampling.seed
        own = timelines.run.id if unit == "id" or seed is None else str(seed)
        if own in units:
            raise SelectionError(
                f"two runs are of {'seed' if unit == 'seed' else 'id'} {own}; give one prompt's runs at a time"
            )
        units.add(own)
        groups = {label: [label] for label in timelines.words} if names is None else names
        for name, labels in groups.items():
            times = [_time(timelines[label], which, scale) for label in labels if label in timelines]
            known = [each for each in times if each is not None]
            if known:
                found.append(replace(middle_event(own, name, known), cluster=timelines.run.prompt))
    return found


@dataclass(frozen=True)
class Survival:
    """Kaplan-Meier estimate of when a name is there.

    Attributes:
        name: the thing or group.
        runs, censored: how many, and in how many of them it never came.
        times: at which something came, ascending.
        waiting: share of runs in which it is not yet there after each of them (the survival function).
        median: first time at which half of the runs have it; None where fewer do.
        low, high: of the median, 95%; None where the interval is open on that side.
        enough: at least 20 runs.
        clusters: how many prompts they are of.
    """

    name: str
    runs: int
    censored: int
    times: Wide
    waiting: Wide
    median: float | None
    low: float | None
    high: float | None
    enough: bool
    clusters: int = 1

    def facts(self) -> dict[str, Any]:
        names = ("name", "runs", "censored", "median", "low", "high", "enough", "clusters")
        return {name: getattr(self, name) for name in names}


def survival(rows: Sequence[Event], name: str) -> Survival:
    """When a name is there, over runs, with censoring (Kaplan & Meier 1958, JASA 53:457).

    The median's interval inverts the pointwise log-log interval of the curve (Brookmeyer & Crowley 1982, Biometrics
    38:29). With several prompts it is of percentiles over prompts drawn again, 4000 times.
    Time runs upwards: steps, shares and log-SNR all grow as the noise falls.

    Raises:
        SelectionError: no event of that name.
        MissingExtraError: scipy is not installed (extra ``analysis``).
    """
    own = [row for row in rows if row.name == name]
    if not own:
        there = ", ".join(dict.fromkeys(row.name for row in rows)) or "none"
        raise SelectionError(f"there is no event of {name!r}; there are events of: {there}")
    stats = _stats()
    came = [row.time for row in own if not row.censored]
    late = [row.time for row in own if row.censored]
    estimate = stats.ecdf(stats.CensoredData(uncensored=came, right=late))
    times, waiting = estimate.sf.quantiles, estimate.sf.probabilities
    events_at = np.isin(times, came)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ends = estimate.sf.confidence_interval(0.95, method="log-log")
    # The interval has no width where all or none wait, and scipy gives NaN there.
    low = np.where(np.isnan(ends.low.probabilities), waiting, ends.low.probabilities)
    high = np.where(np.isnan(ends.high.probabilities), waiting, ends.high.probabilities)
    members = _members([row.cluster for row in own])
    first, last = _first_below(times, low), _first_below(times, high)
    if len(members) > 1:
        # All that is censored waited to the end, so the median is the middle of the times with those at infinity.
        at = np.array([np.inf if row.censored else row.time for row in own])
        drawn = _medians_of_clusters(at, members, RESAMPLES, lower=True)
        ends = np.quantile(drawn, (0.025, 0.975), method="inverted_cdf")
        first, last = (float(end) if np.isfinite(end) else None for end in ends)
    return Survival(
        name,
        len(own),
        len(late),
        np.asarray(times[events_at], np.float64),
        np.asarray(waiting[events_at], np.float64),
        _first_below(times, waiting),
        first,
        last,
        len(own) >= FEWEST,
        len(members),
    )


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
    stats = _stats()
    low, high, none, clusters = _differences(rows, first, second)
    members = _members(clusters)
    ends = _bootstrap(low, high, members, resamples)
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
        low, high = _bootstrap(both, both, _members([own[unit][1] for unit in units]), RESAMPLES)
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
    prompts = _members([row.cluster for row, _ in whole])
    units = prompts if len(prompts) > 1 else _members([row.unit for row, _ in whole])
    drawn = [rho(chosen) for chosen in _drawn(units, resamples)]
    kept = [value for value in drawn if np.isfinite(value)]
    low, high = np.quantile(kept, (0.025, 0.975)) if kept else (np.nan, np.nan)
    every = np.arange(len(whole))
    return Agreement(
        rho(every), float(low), float(high), len(whole), runs, len(pairs) - len(whole), len(prompts)
    )


def _time(timeline: Timeline, which: Which, scale: Scale) -> tuple[float, bool] | None:
    """When a word came and whether it is censored; None where the judge has no answer."""
    found = timeline.emergence_attention if which == "emergence_attention" else timeline.emergence_image
    if found is None:
        return None
    at = found.at or found.seen_to
    if scale == "step":
        return float(at.step), found.censored
    if scale == "share":
        first, last = timeline.steps[0], timeline.steps[-1]
        return (at.step - first) / max(last - first, 1), found.censored
    if at.log_snr is None:
        raise SelectionError(
            f"step {at.step} of run {timeline.run} has no log-SNR; compare by step or share instead"
        )
    return at.log_snr, found.censored


def middle_event(unit: str, name: str, times: list[tuple[float, bool]]) -> Event:
    """One event of a group: the lower median of its (time, censored), censored ones last."""
    order = sorted(times, key=lambda each: (each[1], each[0]))
    time, censored = order[(len(order) - 1) // 2]
    return Event(unit, name, time, censored)


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


def _members(labels: Sequence[str]) -> list[NDArray[np.intp]]:
    """Positions of each label, in the order in which labels first appear."""
    places: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        places.setdefault(label, []).append(at)
    return [np.array(each, np.intp) for each in places.values()]


def _drawn(members: Sequence[NDArray[np.intp]], resamples: int) -> Iterator[NDArray[np.intp]]:
    """Positions, whole groups drawn again with replacement."""
    rng = np.random.default_rng(SEED)
    for _ in range(resamples):
        yield np.concatenate([members[at] for at in rng.integers(len(members), size=len(members))])


def _bootstrap(
    low: Wide, high: Wide, members: Sequence[NDArray[np.intp]], resamples: int
) -> tuple[float, float]:
    """2.5th percentile of resampled medians of the lower bounds, 97.5th of the upper ones. Runs are drawn again, or
    whole clusters where there are several."""
    if len(members) > 1:
        least, most = (_medians_of_clusters(side, members, resamples) for side in (low, high))
    else:
        rng = np.random.default_rng(SEED)
        chosen = rng.integers(len(low), size=(resamples, len(low)))
        # Infinite bounds have no mean with a finite one; order statistics have what is asked.
        least, most = _median(low[chosen]), _median(high[chosen])
    ends = np.quantile(least, 0.025, method="lower"), np.quantile(most, 0.975, method="higher")
    return float(ends[0]), float(ends[1])


def _medians_of_clusters(
    values: Wide, members: Sequence[NDArray[np.intp]], resamples: int, *, lower: bool = False
) -> Wide:
    """Median of each resample, whole clusters drawn again; with `lower` the lower of the two in the middle.

    The values are sorted once, and a resample is how often each of them is in it.
    """
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(len(members), size=(resamples, len(members)))
    times = np.stack([np.bincount(row, minlength=len(members)) for row in drawn])
    owner = np.empty(len(values), np.intp)
    for number, own in enumerate(members):
        owner[own] = number
    order = np.argsort(values, kind="stable")
    counted = np.cumsum(times[:, owner[order]], axis=1)
    total = counted[:, -1]
    ends = [(total - 1) // 2, (total - 1) // 2 if lower else total // 2]
    middle = [values[order][(counted <= end[:, None]).sum(axis=1)] for end in ends]
    with np.errstate(invalid="ignore"):
        return np.asarray(middle[0] if lower else (middle[0] + middle[1]) / 2)


def _median(rows: Wide) -> Wide:
    ordered = np.sort(rows, axis=1)
    count = rows.shape[1]
    with np.errstate(invalid="ignore"):
        middle = (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2
    return np.asarray(middle)


def _first_below(times: Wide, waiting: Wide) -> float | None:
    """First time at which at most half still wait."""
    at = np.flatnonzero(waiting <= 0.5 + 1e-12)
    return float(times[at[0]]) if len(at) else None


def _stats() -> Any:
    try:
        import scipy.stats
    except ModuleNotFoundError as error:
        raise MissingExtraError("survival curves and sign tests", "analysis") from error
    return scipy.stats
