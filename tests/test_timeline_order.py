"""The order of emergence over runs, against plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from diffuscope.analysis.timeline import Event, agreement, controlled, paired, survival
from diffuscope.errors import SelectionError

pytest.importorskip("scipy")


def rows(name: str, times: list[float | None], last: float = 30.0) -> list[Event]:
    """Events of runs 0, 1, …; None never came."""
    return [
        Event(str(unit), name, last if time is None else time, time is None)
        for unit, time in enumerate(times)
    ]


def kaplan_meier(times: list[float], censored: list[bool]) -> dict[float, float]:
    """Share that still waits after each time, from the product over risk sets."""
    waiting, out = 1.0, {}
    for time in sorted({time for time, lost in zip(times, censored, strict=True) if not lost}):
        at_risk = sum(each >= time for each in times)
        came = sum(each == time and not lost for each, lost in zip(times, censored, strict=True))
        waiting *= 1 - came / at_risk
        out[time] = waiting
    return out


def test_survival_is_the_product_over_risk_sets() -> None:
    rng = np.random.default_rng(5)
    times = [float(time) for time in rng.integers(3, 20, 25)]
    lost = [bool(flag) for flag in rng.uniform(size=25) < 0.3]
    events = [
        Event(str(at), "x", time, flag) for at, (time, flag) in enumerate(zip(times, lost, strict=True))
    ]
    found = survival(events, "x")
    expected = kaplan_meier(times, lost)
    assert found.times.tolist() == list(expected)
    assert found.waiting == pytest.approx(list(expected.values()))
    assert found.median == next(time for time, waiting in expected.items() if waiting <= 0.5)
    assert found.low is not None and found.low <= found.median
    assert (found.runs, found.censored, found.enough) == (25, sum(lost), True)


def test_what_seldom_came_has_no_median_and_an_open_interval() -> None:
    found = survival(rows("x", [5.0, 6.0, *[None] * 8]), "x")
    assert (found.median, found.high, found.enough) == (None, None, False)
    assert survival(rows("x", [None] * 4), "x").median is None
    with pytest.raises(SelectionError, match="there are events of: x"):
        survival(rows("x", [1.0]), "y")


def test_paired_differences_count_signs_and_take_the_median() -> None:
    first, second = [4.0, 5.0, 6.0, 7.0, 8.0], [6.0, 5.0, 9.0, 8.0, 7.0]
    found = paired(rows("a", first) + rows("b", second), "a", "b")
    assert (found.median, found.earlier, found.later, found.ties, found.pairs) == (1.0, 3, 1, 1, 5)
    # Two-sided exact: P(X <= 1) + P(X >= 3) of 4 fair coins.
    assert found.p == pytest.approx((1 + 4 + 4 + 1) / 16)
    assert found.low <= 1 <= found.high and not found.enough
    turned = paired(rows("a", first) + rows("b", second), "b", "a")
    assert (turned.median, turned.earlier, turned.later) == (-1.0, 1, 3)


def test_a_censored_time_is_later_and_has_no_number() -> None:
    found = paired(rows("a", [4.0, 5.0, 6.0, None]) + rows("b", [6.0, None, None, None]), "a", "b")
    assert (found.pairs, found.both_censored, found.earlier) == (3, 1, 3)
    # Differences are 2, more than 25, more than 24: their median lies above 24, and there is no more to know.
    assert found.median is None
    assert found.median_bounds == (pytest.approx(24), math.inf) and found.high == math.inf
    with pytest.raises(SelectionError, match="no run"):
        paired(rows("a", [None]) + rows("b", [None]), "a", "b")
    with pytest.raises(SelectionError, match="itself"):
        paired(rows("a", [1.0]), "a", "a")


def test_a_few_censored_runs_leave_the_median_where_it_is() -> None:
    first = [5.0] * 20
    found = paired(rows("a", first) + rows("b", [8.0] * 17 + [None] * 3), "a", "b")
    assert (found.median, found.low, found.high, found.enough) == (3.0, 3.0, 3.0, True)


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        a = [float(time) for time in rng.normal(10, 3, 21)]
        b = [time + float(rng.normal(2, 3)) for time in a]
        found = paired(rows("a", a) + rows("b", b), "a", "b", resamples=400)
        covered += found.low <= 2 <= found.high
    assert covered >= 88


def test_swapping_the_words_tells_an_order_of_things_from_one_of_words() -> None:
    rng = np.random.default_rng(0)
    noise = [float(value) for value in rng.normal(0, 0.5, 24)]
    early, late = [10 + each for each in noise], [16 + each * 0.7 for each in noise]
    plain = rows("sky", early) + rows("circle", late)
    same = controlled(plain, rows("sky", early) + rows("circle", late), "sky", "circle")
    assert same.holds and same.change == pytest.approx(0)
    turned = controlled(plain, rows("sky", late) + rows("circle", early), "sky", "circle")
    assert not turned.holds and turned.change is not None and turned.change < -10
    assert turned.high is not None and turned.high < 0


def test_agreement_is_a_rank_correlation_over_words_with_both_times() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(7)
    first, second = [], []
    for name in "abc":
        x = [float(time) for time in rng.integers(0, 20, 12)]
        y = [time + float(rng.integers(-3, 4)) for time in x]
        first += rows(name, x)
        second += rows(name, [*y[:-1], None])
    found = agreement(first, second, resamples=300)
    pairs = [(a.time, b.time) for a, b in zip(first, second, strict=True) if not b.censored]
    assert found.rho == pytest.approx(stats.spearmanr(*zip(*pairs, strict=True)).statistic)
    assert (found.points, found.runs, found.censored) == (33, 11, 3)
    assert found.low < found.rho < found.high
    with pytest.raises(SelectionError, match="needs 3"):
        agreement(first[:2], second[:2])


def clustered_rows(name: str, times: dict[str, list[float | None]], last: float = 30.0) -> list[Event]:
    """Events of runs of several prompts."""
    return [
        Event(f"{prompt}/{seed}", name, last if time is None else time, time is None, prompt)
        for prompt, own in times.items()
        for seed, time in enumerate(own)
    ]


def test_runs_of_a_prompt_go_together_into_intervals_and_signs() -> None:
    """Ten runs of one prompt say no more than one does: only prompts are counted."""
    first = {"p": [1.0] * 10, "q": [5.0] * 10, "r": [1.0] * 10}
    second = {"p": [4.0] * 10, "q": [3.0] * 10, "r": [6.0] * 10}
    found = paired(clustered_rows("a", first) + clustered_rows("b", second), "a", "b")
    assert (found.pairs, found.clusters, found.earlier, found.later) == (30, 3, 20, 10)
    # Of three prompts two have the sign: two-sided 1.0. By runs it would have been 0.099.
    assert found.p == 1.0
    # Some resamples are of the second prompt alone.
    assert (found.low, found.median, found.high) == (-2.0, 3.0, 5.0)
    apart = paired(rows("a", [1.0] * 10 + [5.0] * 10) + rows("b", [4.0] * 10 + [3.0] * 10), "a", "b")
    assert apart.clusters == 1 and apart.earlier == 10


def test_medians_of_resampled_clusters_are_those_of_the_resamples() -> None:
    from diffuscope.analysis.timeline.resampling import SEED, medians_of_clusters

    random = np.random.default_rng(9)
    values = random.integers(0, 12, 23).astype(float)
    values[[3, 8, 11]] = np.inf
    members = [np.arange(0, 5), np.arange(5, 14), np.arange(14, 23)]
    drawn = np.random.default_rng(SEED).integers(3, size=(60, 3))
    for lower in (False, True):
        found = medians_of_clusters(values, members, 60, lower=lower)
        for chosen, value in zip(drawn, found, strict=True):
            pool = np.sort(np.concatenate([values[members[at]] for at in chosen]))
            ends = pool[(len(pool) - 1) // 2], pool[len(pool) // 2]
            assert value == (ends[0] if lower else sum(ends) / 2)


def test_a_median_over_prompts_has_an_open_end_where_half_never_come() -> None:
    times: dict[str, list[float | None]] = {str(at): [4.0, 6.0] for at in range(4)}
    times |= {str(at): [None, None] for at in range(4, 6)}
    found = survival(clustered_rows("x", times), "x")
    assert (found.runs, found.clusters, found.censored, found.median) == (12, 6, 4, 6.0)
    assert found.low == 4.0 and found.high is None


def test_agreement_over_prompts_is_wider_than_over_runs() -> None:
    random = np.random.default_rng(0)
    prompts = {str(at): random.uniform(0, 20, 2) for at in range(5)}
    one = {
        name: [float(pair[0] + random.normal(0, 0.1)) for _ in range(12)] for name, pair in prompts.items()
    }
    other = {
        name: [float(pair[1] + random.normal(0, 0.1)) for _ in range(12)] for name, pair in prompts.items()
    }
    by_prompt = agreement(clustered_rows("x", one), clustered_rows("x", other), resamples=400)
    flat = [[time for own in times.values() for time in own] for times in (one, other)]
    by_run = agreement(rows("x", flat[0]), rows("x", flat[1]), resamples=400)
    assert (by_prompt.clusters, by_run.clusters, by_prompt.runs) == (5, 1, 60)
    assert by_prompt.rho == pytest.approx(by_run.rho)
    assert by_prompt.high - by_prompt.low > 2 * (by_run.high - by_run.low)
