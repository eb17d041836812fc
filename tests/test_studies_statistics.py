"""Statistics against explicit computation, and against what is known of simulated studies."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from diffuscope.errors import InputError
from diffuscope.studies.statistics import (
    chance_of_overlap,
    clustered,
    corrected,
    earlier,
    median_step,
    paired,
    proportion,
    survival,
)


def test_the_interval_covers_the_truth_as_often_as_it_says_and_one_over_runs_does_not() -> None:
    random = np.random.default_rng(3)
    covered = alone = 0
    for number in range(150):
        prompts = np.repeat(np.arange(20), 8)
        values = random.normal(0, 1, 20)[prompts] + random.normal(0, 0.3, 160)
        by_prompt = clustered(values, prompts, resamples=400, seed=number)
        by_run = clustered(values, np.arange(160), resamples=400, seed=number)
        covered += by_prompt.low <= 0 <= by_prompt.high
        alone += by_run.low <= 0 <= by_run.high
    assert covered / 150 > 0.85
    assert alone / 150 < 0.65  # Runs of a prompt are no independent runs.


def test_an_interval_knows_what_it_rests_on() -> None:
    found = clustered([1.0, 2.0, 3.0, 4.0], ["a", "a", "b", "b"])
    assert (found.value, found.n, found.clusters) == (2.5, 4, 2)
    assert np.isnan(clustered([1.0, 2.0], ["a", "a"]).low)
    assert clustered([2.0, 2.0], ["a", "b"]).high == 2.0
    assert clustered([1.0, 2.0, 9.0], list("abc"), "median").value == 2.0


def test_the_sign_flip_p_is_that_of_all_arrangements() -> None:
    differences = np.array([0.4, 0.1, -0.2, 0.9, 0.5, 0.3])
    arrangements = [np.mean(differences * signs) for signs in product([1, -1], repeat=6)]
    explicit = np.mean(np.abs(arrangements) >= abs(differences.mean()) - 1e-12)
    assert paired(differences, np.arange(6)).p == pytest.approx(explicit)


def test_pairs_of_one_prompt_count_once() -> None:
    differences, prompts = np.repeat([0.5, 0.4, 0.6, 0.3, 0.2, 0.7], 50), np.repeat(np.arange(6), 50)
    found = paired(differences, prompts)
    assert found.p == pytest.approx(2 / 2**6)  # Six prompts that agree say no more than this.
    assert (found.difference.n, found.difference.clusters, found.positive) == (300, 6, 1.0)
    assert found.standardised == pytest.approx(0.45 / np.std([0.5, 0.4, 0.6, 0.3, 0.2, 0.7], ddof=1))


def test_no_difference_is_no_finding() -> None:
    found = paired(np.zeros(12), np.repeat(np.arange(4), 3))
    assert (found.p, found.wilcoxon, found.positive) == (1.0, 1.0, 0.5)
    assert found.difference.low == found.difference.high == 0.0


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p = [0.01, 0.04, 0.03]
    assert corrected(p, "holm") == pytest.approx([0.03, 0.06, 0.06])
    assert corrected(p, "fdr_bh") == pytest.approx([0.03, 0.04, 0.04])
    assert corrected([]) == []


def test_the_survival_curve_is_kaplan_and_meiers_by_hand() -> None:
    steps, censored = [1, 2, 2, 3, 5, 5], [False, False, True, False, True, True]
    found = survival(steps, censored)
    waiting, expected = 1.0, {}
    for step in (1, 2, 3):
        at_risk = sum(each >= step for each in steps)
        came = sum(each == step and not gone for each, gone in zip(steps, censored, strict=True))
        waiting *= 1 - came / at_risk
        expected[float(step)] = waiting
    assert dict(zip(found.steps, found.waiting, strict=True)) == pytest.approx(expected)
    assert (found.median, found.reached, found.censored) == (3.0, 3, 3)
    assert all(
        low <= share <= high for low, share, high in zip(found.low, found.waiting, found.high, strict=True)
    )


def test_what_never_comes_has_no_median() -> None:
    found = survival([9, 9, 9], [True, True, True])
    assert found.median is None and found.steps == ()
    assert median_step([9, 9, 2], [True, True, False], list("abc"))[0] is None
    assert median_step([1, 1, 2, 2], [False] * 4, list("abcd"))[0] == 1.0


def test_the_order_of_censored_steps_is_counted_by_prompt() -> None:
    one, other = [1, 2, 3, np.inf, 5, np.inf], [2, 3, 2, 4, np.inf, np.inf]
    share, p = earlier(one, other, [0, 0, 1, 2, 3, 4])
    assert share == pytest.approx((1 + 0 + 0 + 1 + 0.5) / 5)
    assert p == 1.0
    assert earlier([1] * 8, [2] * 8, range(8))[1] == pytest.approx(2 / 2**8)


def test_shares_and_chance() -> None:
    interval, p = proportion(8, 10, chance=0.5)
    assert interval.low == pytest.approx(0.4902, abs=1e-4) and interval.high == pytest.approx(
        0.9433, abs=1e-4
    )
    assert p == pytest.approx(0.109375)
    assert chance_of_overlap(0.25, 0.25) == pytest.approx(1 / 7)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        clustered([], [])
    with pytest.raises(InputError, match="finite"):
        paired([1.0, float("nan")], [0, 1])
    with pytest.raises(InputError, match="no share"):
        proportion(3, 2)
    with pytest.raises(InputError, match="no shares"):
        chance_of_overlap(1.2, 0.1)
