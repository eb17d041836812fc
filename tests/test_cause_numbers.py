"""The numbers of causes, against plain computations: overlaps, curves, bounds, races, windows, judging of steering."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from diffuscope.analysis.cause.chance import (
    bernstein_bound,
    mean_interval,
    shift_test,
    students_bound,
)
from diffuscope.analysis.cause.faithfulness import (
    DeletionCurve,
    Faithfulness,
    Trial,
    deletion_masks,
    map_order,
    trial,
)
from diffuscope.analysis.cause.importance import Race, ranked
from diffuscope.analysis.cause.patching import carried, where_apart
from diffuscope.analysis.cause.windows import Windows, cuts_of, shortest, windows_between
from diffuscope.analysis.comparing import sf_iou
from diffuscope.errors import InputError

rng = np.random.default_rng(3)


def test_moved_maps_are_counted_one_by_one() -> None:
    found, change = rng.random((6, 5)), rng.random((6, 5))
    change[1:3, 1:4] += 1
    found[1:3, 0:3] += 1
    own = sf_iou(found, change)[0]
    moved = [
        sf_iou(np.roll(found, (down, across), (0, 1)), change)[0] for down in range(6) for across in range(5)
    ]
    assert shift_test(found, change) == pytest.approx(np.mean([each >= own - 1e-12 for each in moved]))
    assert shift_test(found, found) == pytest.approx(1 / 30)  # no other place is as good
    assert shift_test(np.zeros((4, 4)), change) == 1


def test_a_trial_has_chance_and_another_word_beside_it() -> None:
    found = rng.random((8, 8))
    change = np.kron(found, np.ones((4, 4))) * 10
    same = trial("silences 'x'", found, change, ("other", found.T.copy()))
    assert same.iou == 1 and same.chance == pytest.approx(1 / 7) and same.correlation == pytest.approx(1)
    assert same.noticed == (change > 2.3).mean() and same.change == pytest.approx(change.mean())
    assert same.random_word == "other" and same.random_iou == sf_iou(found.T.copy(), change)[0]


def test_deletion_goes_in_the_order_of_the_map() -> None:
    found = np.array([[0.1, 0.9], [0.5, 0.3]])
    assert map_order(found).tolist() == [1, 2, 3, 0]
    masks = deletion_masks(found, (0.01, 0.5, 0.75), map_order(found))
    assert [mask.sum() for mask in masks] == [1, 2, 3] and masks[0][0, 1] and masks[1][1, 0]
    with pytest.raises(InputError, match="between 0 and 1"):
        deletion_masks(found, (0.5, 1.0), map_order(found))


def test_area_between_the_curves() -> None:
    shares = (0.0, 0.25, 0.5, 1.0)
    curve = DeletionCurve(shares, (0, 3, 4, 4), ((0, 1, 2, 4), (0, 0, 2, 4)))
    above = np.array([0, 3, 4, 4]) - np.array([0, 0.5, 2, 4])
    assert curve.area == pytest.approx(np.trapezoid(above, shares) / 4)
    first = np.trapezoid(np.array([0, 1, 0, 0]), shares) / 4
    assert curve.random_areas == pytest.approx((first, -first))
    assert DeletionCurve(shares, (0, 0, 0, 0), ((0, 0, 0, 0),)).area == 0


def of_trial(noticed: float, shifted: float) -> Trial:
    return Trial("silences 'x'", 5.0, noticed, 0.4, 1 / 7, shifted, 0.2, None, None)


@pytest.mark.parametrize(
    ("noticed", "shifted", "ordered", "verdict"),
    [
        (0.2, 0.01, 3.0, "supported"),
        (0.2, 0.3, 3.0, "in part"),
        (0.2, 0.01, 0.5, "in part"),
        (0.2, 0.3, 0.5, "not supported"),
        (0.001, 0.01, 3.0, "no effect"),
    ],
)
def test_a_verdict_follows_from_both_tests(
    noticed: float, shifted: float, ordered: float, verdict: str
) -> None:
    curve = DeletionCurve((0.0, 0.5, 1.0), (0, ordered, 4), ((0, 1, 4), (0, 1.2, 4)))
    one = of_trial(noticed, shifted)
    found = Faithfulness("x", (8, 8), one, one, one, curve)
    assert found.verdict == verdict
    assert Faithfulness.of_json(found.to_json()) == found
    assert "chance 0.14" in found.sentence()


def test_bounds_are_the_textbook_ones() -> None:
    samples = rng.normal(3, 2, 9)
    low, high = stats.t.interval(0.99, 8, samples.mean(), stats.sem(samples))
    assert students_bound(samples, 0.01) == pytest.approx((high - low) / 2)
    log = np.log(4 / 0.05)
    expected = np.sqrt(2 * samples.var(ddof=1) * log / 9) + 7 * 10 * log / (3 * 8)
    assert bernstein_bound(samples, 0.05, 10) == pytest.approx(expected)
    assert students_bound([1.0], 0.05) == np.inf


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = 0
    for trial_number in range(60):
        values = np.random.default_rng(trial_number).normal(1, 1, 25)
        mean, low, high = mean_interval(values)
        assert mean == pytest.approx(values.mean())
        held += low <= 1 <= high
    assert held >= 50


def test_a_race_settles_the_best_heads_and_stops_drawing_them() -> None:
    heads = tuple(("cross:mid", head) for head in range(8))
    means = np.array([9.0, 1, 1, 6, 1, 1.2, 1, 1])
    wrong, drawn = 0, 0
    for number in range(20):
        noise = np.random.default_rng(number)
        race = Race(heads, 2, rounds=5)
        for _ in range(5):
            left = race.open
            for _ in range(4):
                race.add({head: noise.normal(means[head[1]], 0.5) for head in left})
                drawn += len(left)
            race.settle()
            if not race.open:
                break
        top = {head for head, state in race.state.items() if state == "top"}
        wrong += not top <= {heads[0], heads[3]}
        assert top == {heads[0], heads[3]} and not race.open
    assert wrong == 0 and drawn < 20 * 5 * 4 * len(heads) / 2
    rows = ranked(race, {head: [0.0] for head in heads})
    assert [row.head for row in rows[:2]] == [0, 3]
    others = np.mean([np.mean(race.samples[head][: rows[0].seeds]) for head in heads[1:]])
    assert rows[0].control == pytest.approx(others)


def test_a_race_settles_nothing_that_is_not_apart() -> None:
    heads = tuple(("cross:mid", head) for head in range(4))
    race = Race(heads, 1, rounds=1)
    for number in range(4):
        noise = np.random.default_rng(number)
        race.add({head: noise.normal(2, 1) for head in heads})
    race.settle()
    assert race.open == heads
    with pytest.raises(InputError, match="top=5"):
        Race(heads, 5, rounds=1)


def test_the_recommended_window_is_the_shortest_that_does_half() -> None:
    cuts = cuts_of(25, 5)
    assert cuts == (0, 5, 10, 15, 20, 25) and len(windows_between(cuts)) == 15
    weight = {0: 1.0, 5: 6.0, 10: 5.0, 15: 1.0, 20: 0.2}
    row = tuple(
        sum(weight[at] for at in cuts[:-1] if start <= at < stop) for start, stop in windows_between(cuts)
    )
    found = Windows("silences 'x'", "x", 25, cuts, (0, 1, 2), (row, row, row))
    best = found.recommended
    assert best is not None and (best.start, best.stop) == (5, 15) and best.share == pytest.approx(11 / 13.2)
    assert best.starts == (5, 5) and best.agreement == 1
    assert found.matters_until == 15  # 1.2 of 13.2 is less than a tenth
    assert Windows.of_json(found.to_json()) == found
    assert shortest(np.zeros(3), ((0, 2), (0, 1), (1, 2))) is None
    with pytest.raises(InputError, match="between no two"):
        found.share(1, 3)


def test_how_far_a_picture_was_carried() -> None:
    run, donor = (Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (40, 200))
    assert carried(run, run, donor) == 0 and carried(donor, run, donor) == pytest.approx(1)
    assert carried(run, run, run) == 0
    assert where_apart(run, donor).all() and not where_apart(run, run).any()
    half = np.full((8, 8, 3), 40, np.uint8)
    half[:4] = 200
    assert carried(Image.fromarray(half), run, donor) == pytest.approx(0.5)
