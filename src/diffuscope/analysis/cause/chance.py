"""What chance gives: overlaps of masks that are moved about, intervals over pictures, bounds on a mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.analysis.comparing import PERCENTILE, resized
from diffuscope.errors import MissingExtraError

Floats = NDArray[np.float64]

RESAMPLES = 4000


def shift_test(found: Floats, change: Floats) -> float:
    """How often a map that is moved about overlaps with a change at least as well as it does in its place.

    The map's mask (above its 75th percentile) is moved by every whole number of cells, leaving at one edge and coming
    in at the other; the answer is the share of all places, its own included, whose IoU with the change's mask is no
    smaller. So masks keep their size and their clumps, which `sf_iou`'s chance level knows nothing of.
    (Torus-translation test; Harms et al. 2001, Journal of Ecology 89:947.)

    Args:
        found: map ``[y, x]``.
        change: ``[y, x]`` of any size; brought to the map's grid by area.

    Returns:
        From ``1 / cells`` to 1; 1 where either mask is empty.
    """
    near = resized(change, found.shape)
    one, two = (each > np.percentile(each, PERCENTILE) for each in (found, near))
    if not one.any() or not two.any():
        return 1.0
    # Both masks keep their sizes, so IoU rises with the overlap alone: a circular correlation.
    overlap = np.fft.ifft2(np.fft.fft2(two) * np.conj(np.fft.fft2(one))).real.round().astype(int)
    return float((overlap >= int((one & two).sum())).mean())


def mean_interval(samples: ArrayLike, *, level: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """Mean of independent samples and its bootstrap interval, percentiles: (mean, low, high). Of one sample the ends
    are NaN. (Efron and Tibshirani 1993, chapter 13.)"""
    rows = np.asarray(samples, np.float64)
    if len(rows) == 1:
        return float(rows[0]), float("nan"), float("nan")
    random = np.random.default_rng(seed)
    means = rows[random.integers(len(rows), size=(RESAMPLES, len(rows)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(rows.mean()), float(low), float(high)


def students_bound(samples: ArrayLike, error: float) -> float:
    """By how much the mean of samples may miss what it estimates, with probability at least ``1 - error``.

    Student's two-sided interval: exact where samples are normal. Infinite for fewer than two samples.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    rows = np.asarray(samples, np.float64)
    if len(rows) < 2:
        return float("inf")
    try:
        from scipy import stats
    except ModuleNotFoundError as missing:
        raise MissingExtraError("bounds on a ranking", "analysis") from missing
    return float(stats.t.ppf(1 - error / 2, len(rows) - 1) * rows.std(ddof=1) / np.sqrt(len(rows)))


def bernstein_bound(samples: ArrayLike, error: float, extent: float) -> float:
    """The same for samples of any distribution that lie within a range of length `extent`: the empirical Bernstein
    bound, two-sided (Maurer and Pontil 2009, theorem 4)."""
    rows = np.asarray(samples, np.float64)
    if len(rows) < 2:
        return float("inf")
    log = float(np.log(4 / error))
    return float(np.sqrt(2 * rows.var(ddof=1) * log / len(rows)) + 7 * extent * log / (3 * (len(rows) - 1)))
