"""When a thing is there, over runs, some of which never showed it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffuscope.analysis.timeline.events import Event
from diffuscope.analysis.timeline.resampling import RESAMPLES, Wide, medians_of_clusters, members_of
from diffuscope.errors import MissingExtraError, SelectionError

FEWEST = 20
"""Runs below which a result is marked as too few."""


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
    stats = scipy_stats()
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
    members = members_of([row.cluster for row in own])
    first, last = _first_below(times, low), _first_below(times, high)
    if len(members) > 1:
        # All that is censored waited to the end, so the median is the middle of the times with those at infinity.
        at = np.array([np.inf if row.censored else row.time for row in own])
        drawn = medians_of_clusters(at, members, RESAMPLES, lower=True)
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


def _first_below(times: Wide, waiting: Wide) -> float | None:
    """First time at which at most half still wait."""
    at = np.flatnonzero(waiting <= 0.5 + 1e-12)
    return float(times[at[0]]) if len(at) else None


def scipy_stats() -> Any:
    """`scipy.stats`.

    Raises:
        MissingExtraError: scipy is not installed (extra ``analysis``).
    """
    try:
        import scipy.stats
    except ModuleNotFoundError as error:
        raise MissingExtraError("survival curves and sign tests", "analysis") from error
    return scipy.stats
