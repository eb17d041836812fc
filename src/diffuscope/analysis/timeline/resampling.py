"""Percentile bootstrap of medians (Efron 1979) where runs of one prompt are alike: whole prompts are drawn again.

Values may be infinite: a difference of which only one end is known has the other at infinity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
SEED = 0
"""Of the bootstrap: the same rows always give the same interval."""
Wide = NDArray[np.float64]


def members_of(labels: Sequence[str]) -> list[NDArray[np.intp]]:
    """Positions of each label, in the order in which labels first appear."""
    places: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        places.setdefault(label, []).append(at)
    return [np.array(each, np.intp) for each in places.values()]


def drawn_again(members: Sequence[NDArray[np.intp]], resamples: int) -> Iterator[NDArray[np.intp]]:
    """Positions, whole groups drawn again with replacement."""
    rng = np.random.default_rng(SEED)
    for _ in range(resamples):
        yield np.concatenate([members[at] for at in rng.integers(len(members), size=len(members))])


def interval_of_median(
    low: Wide, high: Wide, members: Sequence[NDArray[np.intp]], resamples: int
) -> tuple[float, float]:
    """2.5th percentile of resampled medians of the lower bounds, 97.5th of the upper ones. Runs are drawn again, or
    whole clusters where there are several."""
    if len(members) > 1:
        least, most = (medians_of_clusters(side, members, resamples) for side in (low, high))
    else:
        rng = np.random.default_rng(SEED)
        chosen = rng.integers(len(low), size=(resamples, len(low)))
        # Infinite bounds have no mean with a finite one; order statistics have what is asked.
        least, most = median_of_rows(low[chosen]), median_of_rows(high[chosen])
    ends = np.quantile(least, 0.025, method="lower"), np.quantile(most, 0.975, method="higher")
    return float(ends[0]), float(ends[1])


def medians_of_clusters(
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


def median_of_rows(rows: Wide) -> Wide:
    ordered = np.sort(rows, axis=1)
    count = rows.shape[1]
    with np.errstate(invalid="ignore"):
        middle = (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2
    return np.asarray(middle)
