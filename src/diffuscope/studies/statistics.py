"""Statistics of studies: intervals, tests, survival, chance. The computing is SciPy's and statsmodels'; what stands
here is which of it is right for runs that share prompts.

Runs of one prompt are alike, so they are no independent sample: resampling and tests go by prompt (the cluster), not by
run. An interval over runs as if they were independent is too narrow by the square root of the design effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError, MissingExtraError

Floats = NDArray[np.float64]
Average = Literal["mean", "median"]
Correction = Literal["holm", "fdr_bh", "fdr_by", "bonferroni"]

RESAMPLES = 2000
EXACT_UP_TO = 14
"""Clusters up to which a sign-flip test goes through all of its 2^n arrangements."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    Attributes:
        value: the estimate.
        low, high: ends; equal to it where nothing varies, NaN where one cluster cannot say how much clusters vary.
        level: of confidence.
        n, clusters: runs and prompts that it rests on.
    """

    value: float
    low: float
    high: float
    level: float
    n: int
    clusters: int


def clustered(
    values: ArrayLike,
    clusters: ArrayLike,
    average: Average = "mean",
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of an average, clustered: whole prompts are drawn with replacement, with all of their runs.

    BCa where its correction can be computed, else percentiles (`scipy.stats.bootstrap`; Efron 1987, J. Am. Stat. Assoc.
    82:171; resampling by cluster: Davison & Hinkley 1997, section 3.8).

    Args:
        values: ``[run]``.
        clusters: ``[run]``, which prompt each is of.

    Raises:
        InputError: there are no values, or not as many clusters.
    """
    stats = _stats()
    given, groups = _checked(values, clusters)
    names, at = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(at == index) for index in range(len(names))]
    how = np.mean if average == "mean" else np.median
    value = float(how(given))
    if len(names) < 2:
        return Interval(value, np.nan, np.nan, level, len(given), len(names))
    if np.ptp(given) == 0:
        return Interval(value, value, value, level, len(given), len(names))
    sums = np.array([given[rows].sum() for rows in members])
    counts = np.array([len(rows) for rows in members], float)

    def of_means(chosen: Any, axis: int = -1) -> Any:
        return sums[chosen].sum(axis=axis) / counts[chosen].sum(axis=axis)

    def of_medians(chosen: Any) -> float:
        return float(np.median(np.concatenate([given[members[int(index)]] for index in np.ravel(chosen)])))

    which = np.arange(len(names))
    for method in ("BCa", "percentile"):
        with np.errstate(all="ignore"):
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Degenerate: told by NaN, and the percentiles are taken.
                found = stats.bootstrap(
                    (which,),
                    of_means if average == "mean" else of_medians,
                    n_resamples=resamples,
                    vectorized=average == "mean",
                    confidence_level=level,
                    method=method,
                    rng=np.random.default_rng(seed),
                ).confidence_interval
        if np.isfinite(found.low) and np.isfinite(found.high):
            break
    return Interval(value, float(found.low), float(found.high), level, len(given), len(names))


@dataclass(frozen=True)
class Paired:
    """Two conditions on the same prompts and seeds.

    Attributes:
        difference: mean of (condition - baseline), with its clustered interval.
        standardised: mean over standard deviation of the prompts' differences (Cohen's d_z); NaN where they do not
        vary.
        p: two-sided, sign-flip permutation over prompts: were the labels of the two conditions exchangeable within each
            prompt, how often would the mean difference be as large?
        wilcoxon: two-sided p of Wilcoxon's signed-rank test over prompts; 1 where no prompt differs.
        positive: share of pairs above zero; ties count half.
    """

    difference: Interval
    standardised: float
    p: float
    wilcoxon: float
    positive: float


def paired(differences: ArrayLike, clusters: ArrayLike, *, level: float = 0.95, seed: int = 0) -> Paired:
    """A paired comparison, clustered by prompt (`scipy.stats.permutation_test`, `scipy.stats.wilcoxon`).

    Args:
        differences: ``[pair]``, condition less baseline.
        clusters: ``[pair]``, which prompt each is of.

    Raises:
        InputError: as `clustered`.
    """
    stats = _stats()
    given, groups = _checked(differences, clusters)
    interval = clustered(given, groups, level=level, seed=seed)
    means = np.array([given[groups == name].mean() for name in np.unique(groups)])
    spread = float(means.std(ddof=1)) if len(means) > 1 else np.nan
    if not means.any():
        p = signed = 1.0
    else:
        p = _sign_flip(stats, means, seed)
        signed = float(stats.wilcoxon(means, zero_method="wilcox").pvalue)
    return Paired(
        difference=interval,
        standardised=float(means.mean() / spread) if spread and np.isfinite(spread) else np.nan,
        p=p,
        wilcoxon=signed,
        positive=float(np.mean((given > 0) + 0.5 * (given == 0))),
    )


def _sign_flip(stats: Any, means: Floats, seed: int) -> float:
    if len(means) < 2:
        return 1.0
    resamples = np.inf if len(means) <= EXACT_UP_TO else 9999
    found = stats.permutation_test(
        (means,),
        lambda flipped, axis: flipped.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def corrected(p_values: Sequence[float], method: Correction = "holm") -> list[float]:
    """p-values of several tests of one question, corrected for their number
    (`statsmodels.stats.multitest.multipletests`).

    Args:
        method: `holm` holds the chance of any false finding (Holm 1979), `fdr_bh` the expected share of false findings
            among the findings (Benjamini & Hochberg 1995), `fdr_by` the same under any dependence.
    """
    if not p_values:
        return []
    try:
        from statsmodels.stats.multitest import multipletests
    except ModuleNotFoundError as error:
        raise MissingExtraError("statistics of studies", "studies") from error
    return [float(p) for p in multipletests(p_values, method=method)[1]]


@dataclass(frozen=True)
class Survival:
    """When something comes, where it does not always come.

    Attributes:
        steps: at which the curve falls, ascending.
        waiting: share that has not come after each, Kaplan & Meier's estimate; it stands until the next.
        low, high: of its interval (log-log).
        median: first step at which half have come; None where half never do.
        seen_to: the last step that was seen in any run.
        n, reached, censored: runs, those where it came, those where it had not in the steps that were seen.
    """

    steps: tuple[float, ...]
    waiting: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    median: float | None
    seen_to: float
    n: int
    reached: int
    censored: int


def survival(steps: ArrayLike, censored: ArrayLike, *, level: float = 0.95) -> Survival:
    """Kaplan & Meier's curve (1958, J. Am. Stat. Assoc. 53:457), by `scipy.stats.ecdf`.

    Its interval takes runs for independent; for an interval of the median that goes by prompt see `median_step`.

    Args:
        steps: ``[run]``: the step, or the last step seen where it was censored.
        censored: ``[run]``.

    Raises:
        InputError: there are no runs.
    """
    stats = _stats()
    at, gone = np.asarray(steps, float), np.asarray(censored, bool)
    if at.size == 0:
        raise InputError("a survival curve of no runs")
    if gone.all():
        return Survival((), (), (), (), None, float(at.max()), len(at), 0, len(at))
    data = stats.CensoredData.right_censored(at, gone)
    curve = stats.ecdf(data).sf
    with np.errstate(all="ignore"):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Ends of a log-log interval at 0 and 1 are undefined; they are clipped.
            band = curve.confidence_interval(level, method="log-log")
    share = curve.probabilities
    low = np.where(np.isfinite(band.low.probabilities), band.low.probabilities, share)
    high = np.where(np.isfinite(band.high.probabilities), band.high.probabilities, share)
    fell = np.diff(np.concatenate([[1.0], share])) < 0
    reached_half = curve.quantiles[share <= 0.5]
    at_falls, waiting, lower, upper = (
        tuple(float(each) for each in part[fell]) for part in (curve.quantiles, share, low, high)
    )
    return Survival(
        at_falls,
        waiting,
        lower,
        upper,
        median=float(reached_half[0]) if reached_half.size else None,
        seen_to=float(at.max()),
        n=len(at),
        reached=int((~gone).sum()),
        censored=int(gone.sum()),
    )


def median_step(
    steps: ArrayLike,
    censored: ArrayLike,
    clusters: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float | None, float | None, float | None]:
    """Median of a censored step and its interval by percentiles over resampled prompts: (median, low, high).

    None is "never": where half of the runs of a resample never reach it, its median lies beyond every step.

    Raises:
        InputError: there are no runs.
    """
    at, groups = _checked(steps, clusters)
    at = np.where(np.asarray(censored, bool), np.inf, at)
    names, where = np.unique(groups, return_inverse=True)
    members = [at[where == index] for index in range(len(names))]
    random = np.random.default_rng(seed)

    def median(values: Floats) -> float:
        return float(np.quantile(values, 0.5, method="inverted_cdf"))

    found = [
        median(np.concatenate([members[index] for index in random.integers(len(names), size=len(names))]))
        for _ in range(resamples)
    ]
    ends = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    value, low, high = (float(each) if np.isfinite(each) else None for each in (median(at), *ends))
    return value, low, high


def earlier(one: ArrayLike, other: ArrayLike, clusters: ArrayLike) -> tuple[float, float]:
    """Of paired steps, both of which may be censored (inf): (share of prompts in which the first comes earlier more
    often than later, ties half; two-sided p of a sign test over prompts, `scipy.stats.binomtest`).

    Raises:
        InputError: there are no pairs.
    """
    stats = _stats()
    first, groups = _checked(one, clusters, finite=False)
    second = np.asarray(other, float)
    order = (first < second).astype(int) - (first > second).astype(int)
    signs = np.array([np.sign(order[groups == name].sum()) for name in np.unique(groups)])
    wins, losses = int((signs > 0).sum()), int((signs < 0).sum())
    p = float(stats.binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0
    return float((signs + 1).mean() / 2), p


def proportion(
    right: int, n: int, *, level: float = 0.95, chance: float | None = None
) -> tuple[Interval, float | None]:
    """A share of yes-or-no answers with Wilson's interval (1927), and the two-sided p that it is chance's alone, where
    chance is known (`scipy.stats.binomtest`).

    Raises:
        InputError: there are no answers.
    """
    if n < 1 or not 0 <= right <= n:
        raise InputError(f"{right} of {n} is no share")
    stats = _stats()
    found = stats.binomtest(right, n).proportion_ci(level, "wilson")
    p = None if chance is None else float(stats.binomtest(right, n, chance).pvalue)
    return Interval(right / n, float(found.low), float(found.high), level, n, n), p


def chance_of_overlap(share: float, other: float) -> float:
    """IoU that two masks of these shares of the picture reach on average when they have nothing to do with each other:
    ``ab / (a + b - ab)``, 1/7 for two quarters (exact for large masks).

    Raises:
        InputError: a share is not within 0 and 1, or both are 0.
    """
    if not (0 <= share <= 1 and 0 <= other <= 1) or share + other == 0:
        raise InputError(f"{share} and {other} are no shares of a picture; each lies within 0 and 1")
    both = share * other
    return both / (share + other - both)


def _checked(values: ArrayLike, clusters: ArrayLike, *, finite: bool = True) -> tuple[Floats, NDArray[Any]]:
    given, groups = np.asarray(values, np.float64), np.asarray(clusters)
    if given.ndim != 1 or given.shape != groups.shape or not given.size:
        raise InputError(
            f"{given.size} values and {groups.size} clusters: there is one for each, and at least one"
        )
    if finite and not np.isfinite(given).all():
        raise InputError("values of a statistic are finite numbers; leave out runs that have none")
    return given, groups


def _stats() -> Any:
    try:
        from scipy import stats
    except ModuleNotFoundError as error:
        raise MissingExtraError("statistics of studies", "studies") from error
    return stats
