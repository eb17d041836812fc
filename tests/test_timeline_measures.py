"""Each measure over the steps against its definition, written down once more in plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from diffuscope.analysis.measures import MEASURES, emergence, find_measure, phases, received, spatial, timing
from diffuscope.errors import SelectionError, SizeError

MAPS = hnp.arrays(
    np.float64, (5, 4, 6), elements=st.one_of(st.just(0.0), st.floats(1e-6, 1.0, allow_subnormal=False))
)
CURVES = hnp.arrays(np.float64, st.integers(3, 14), elements=st.floats(0.0, 1.0, allow_subnormal=False))


def normalised(values: np.ndarray) -> list[float]:
    flat = [float(value) for value in values.ravel()]
    total = sum(flat)
    return [value / total if total else 1 / len(flat) for value in flat]


@settings(max_examples=60, deadline=None)
@given(MAPS)
def test_entropy_focus_centroid_and_spread_are_those_of_plain_sums(maps: np.ndarray) -> None:
    picture = (64, 48)
    for step in range(len(maps)):
        q = normalised(maps[step])
        entropy = -sum(p * math.log(p) for p in q if p)
        assert spatial.spatial_entropy(maps)[step] == pytest.approx(entropy, abs=1e-9)
        assert spatial.focus(maps)[step] == pytest.approx(1 - entropy / math.log(24), abs=1e-9)
        # Cells of 16 by 8 pixels: their centres are at 7.5, 23.5, … and 3.5, 11.5, …
        places = [(16 * y + 7.5, 8 * x + 3.5) for y, x in itertools.product(range(4), range(6))]
        cy = sum(p * y for p, (y, _) in zip(q, places, strict=True))
        cx = sum(p * x for p, (_, x) in zip(q, places, strict=True))
        far = sum(p * ((y - cy) ** 2 + (x - cx) ** 2) for p, (y, x) in zip(q, places, strict=True))
        assert spatial.centroid(maps, picture)[step] == pytest.approx([cy, cx], abs=1e-9)
        assert spatial.spread(maps, picture)[step] == pytest.approx(math.sqrt(far), abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(MAPS)
def test_area_and_box_are_those_of_the_cells_above_the_threshold(maps: np.ndarray) -> None:
    for step, values in enumerate(maps):
        cells = [(y, x) for y in range(4) for x in range(6) if values[y, x] > 0.4 * values.max()]
        assert spatial.area(maps)[step] == pytest.approx(len(cells) / 24)
        box = spatial.box(maps, (64, 48))[step]
        if not cells:
            assert np.isnan(box).all()
            continue
        rows, columns = [y for y, _ in cells], [x for _, x in cells]
        expected = (min(columns) * 8, min(rows) * 16, max(columns) * 8 + 7, max(rows) * 16 + 15)
        assert tuple(box) == expected


def test_extremes_of_focus_entropy_and_spread() -> None:
    one, even = np.zeros((1, 8, 8)), np.ones((1, 8, 8))
    one[0, 2, 5] = 0.3
    assert (spatial.focus(one)[0], spatial.spatial_entropy(one)[0], spatial.spread(one, (8, 8))[0]) == (
        1,
        0,
        0,
    )
    assert spatial.focus(even)[0] == pytest.approx(0, abs=1e-12)
    assert spatial.spatial_entropy(even)[0] == pytest.approx(math.log(64))
    # The standard deviation of 0..7 is sqrt(63/12) along each axis.
    assert spatial.spread(even, (8, 8))[0] == pytest.approx(math.sqrt(2 * 63 / 12))


@settings(max_examples=60, deadline=None)
@given(MAPS)
def test_stability_is_scaled_over_all_steps_together(maps: np.ndarray) -> None:
    found = spatial.stability(maps)
    low, high = min(maps.ravel()), max(maps.ravel())
    for place in itertools.product(range(5), range(4), range(6)):
        expected = (maps[place] - low) / (high - low) if high > low else 0
        assert found[place] == pytest.approx(expected)
    assert spatial.chaos(maps) == pytest.approx(1 - found)


@settings(max_examples=100, deadline=None)
@given(CURVES)
def test_the_peak_is_that_of_a_centred_mean(curve: np.ndarray) -> None:
    smooth = [
        sum(curve[max(0, t - 1) : t + 2]) / len(curve[max(0, t - 1) : t + 2]) for t in range(len(curve))
    ]
    low, high = min(smooth), max(smooth)
    found = timing.peak(curve)
    assert smooth[found.at] == pytest.approx(high)
    near = {t for t, value in enumerate(smooth) if value >= high - 0.1 * (high - low) - 1e-12}
    surely = {t for t, value in enumerate(smooth) if value >= high - 0.1 * (high - low) + 1e-12}
    assert surely <= set(found.near) <= near and found.at in found.near
    assert found.boundary == (found.at in (0, len(curve) - 1))
    mean = sum(smooth) / len(smooth)
    ratio = (high - low) / mean if mean else 0.0
    if abs(ratio - 0.05) > 1e-9:
        assert found.flat == (ratio < 0.05)


def test_a_peak_with_gaps_in_its_range_names_every_step_of_it() -> None:
    curve = np.array([0, 0, 1, 1, 1, 0, 0, 0, 0.99, 0.99, 0.99, 0, 0.0])
    assert timing.peak(curve).near == (3, 9)
    assert timing.peak(np.full(6, 0.2)).flat
    assert timing.peak(np.zeros(6)).flat


@settings(max_examples=60, deadline=None)
@given(MAPS)
def test_divergence_and_stabilisation_by_definition(maps: np.ndarray) -> None:
    last = normalised(maps[-1])
    expected = []
    for values in maps:
        q = normalised(values)
        middle = [(a + b) / 2 for a, b in zip(q, last, strict=True)]
        # The mean of two Kullback-Leibler divergences: another form than the entropies that the package subtracts.
        kl = [sum(a * math.log2(a / m) for a, m in zip(one, middle, strict=True) if a) for one in (q, last)]
        expected.append(sum(kl) / 2)
    found = timing.divergence_from_last(maps)
    assert found == pytest.approx(expected, abs=1e-9)
    if all(abs(value - 0.05) > 1e-9 for value in expected):
        settled = next(t for t in range(5) if all(value <= 0.05 for value in expected[t:]))
        assert timing.stabilisation(maps) == settled


def test_disjoint_maps_diverge_by_one_bit() -> None:
    maps = np.zeros((2, 2, 2))
    maps[0, 0, 0] = maps[1, 1, 1] = 1
    assert timing.divergence_from_last(maps) == pytest.approx([1, 0])
    assert timing.stabilisation(maps) == 1


def appearing(at: int, steps: int = 10, *, flicker: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Maps that lie on their object from a step on (and at one step before), elsewhere until then; and the object."""
    truth = np.zeros((16, 16), bool)
    truth[2:8, 3:9] = True
    maps = np.zeros((steps, 16, 16))
    for step in range(steps):
        there = step >= at or step == flicker
        maps[step][truth if there else np.roll(truth, 7, axis=1)] = 0.5
    return maps, truth


def test_emergence_by_attention_needs_three_steps_running() -> None:
    maps, truth = appearing(4, flicker=1)
    found = emergence.by_attention(maps, truth, "mask")
    assert (found.at, found.against, found.censored) == (4, "mask", False)
    assert found.curve[4] == 1 and found.curve[1] == 1 and found.curve[0] == 0
    assert emergence.by_attention(appearing(8)[0], truth, "judge").censored, "two steps are too few"
    assert emergence.by_attention(appearing(7)[0], truth, "judge").at == 7


def test_without_a_true_mask_maps_are_held_against_their_own_last_one() -> None:
    maps, truth = appearing(4)
    wrong = np.roll(maps, 8, axis=1)  # never on the object, and yet it finds a place
    found = emergence.by_attention(wrong)
    assert (found.at, found.against) == (4, "own last mask")
    assert emergence.by_attention(wrong, truth, "judge").censored
    with pytest.raises(SelectionError, match="at least one pixel"):
        emergence.by_attention(maps, np.zeros((16, 16), bool))


def test_a_true_mask_may_be_finer_than_the_map() -> None:
    maps, truth = appearing(4)
    fine = np.kron(truth, np.ones((8, 8), bool))
    assert emergence.by_attention(maps, fine, "judge").at == 4


@settings(max_examples=100, deadline=None)
@given(CURVES)
def test_emergence_by_image_is_the_first_step_after_which_nothing_falls_short(scores: np.ndarray) -> None:
    found = emergence.by_image(scores, "a judge")
    if scores[-1] == 0:
        assert found.censored
        return
    good = [score >= 0.9 * scores[-1] for score in scores]
    assert found.at == next(t for t in range(len(scores)) if all(good[t:]))


def test_the_plan_for_fifty_steps_is_that_of_the_definition() -> None:
    assert phases.planned(50) == {"noise": (0, 10), "structure": (10, 30), "detail": (30, 50)}
    for steps in range(1, 120):
        ends = list(phases.planned(steps).values())
        assert [each for pair in ends for each in range(*pair)] == list(range(steps))


def test_change_points_are_the_best_of_all_places() -> None:
    rng = np.random.default_rng(3)
    along = np.cumsum(rng.uniform(0.3, 1.0, 18))
    line = np.where(np.arange(18) < 6, along, np.where(np.arange(18) < 12, 9 - 2 * along, 0.5 * along))
    curves = np.stack(
        [line, np.where(np.arange(18) < 6, 2.0, np.where(np.arange(18) < 12, -1.0, 4.0))], axis=1
    )
    curves += rng.normal(scale=0.02, size=curves.shape)
    found = phases.change_points(curves, along)
    assert (found.at, found.axis) == ((6, 12), "log-SNR")

    standard = (curves - curves.mean(axis=0)) / curves.std(axis=0)

    def cost(first: int, end: int) -> float:
        total = 0.0
        for column in standard.T:
            fitted = np.polyfit(along[first:end], column[first:end], 1)
            total += float(((np.polyval(fitted, along[first:end]) - column[first:end]) ** 2).sum())
        return total

    one = min(cost(0, a) + cost(a, 18) for a in range(3, 16))
    two = min(cost(0, a) + cost(a, b) + cost(b, 18) for a in range(3, 13) for b in range(a + 3, 16))
    assert found.cost == pytest.approx((cost(0, 18), one, two), rel=1e-6)


def test_a_line_with_noise_has_no_change_point_and_lines_run_along_steps_where_log_snr_is_infinite() -> None:
    rng = np.random.default_rng(0)
    noisy = [phases.change_points(np.arange(30) + rng.normal(scale=3, size=30), None) for _ in range(60)]
    assert sum(bool(each.at) for each in noisy) <= 8, "breaks found in one curve of noise on a line"
    assert {each.axis for each in noisy} == {"step"}
    levels = np.linspace(-4, 4, 20)
    levels[-1] = np.nan
    assert phases.change_points(np.repeat([0.0, 1.0], 10) + rng.normal(scale=0.01, size=20), levels).at == (
        10,
    )
    assert phases.change_points(np.full((9, 2), 0.3), None).at == ()


def test_ranks_share_their_mean_where_values_are_equal() -> None:
    assert received.ranks(np.array([[3.0, 1.0], [3.0, 0.0]])).tolist() == [[2.5, 1.0], [2.5, 0.0]]


def test_received_attention_against_contrast_and_every_shift() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    contrast = rng.uniform(size=(4, 6))
    maps = np.stack([rng.uniform(size=(4, 6)), contrast**3, np.full((4, 6), 0.1)])
    found = received.against_contrast(maps, contrast)
    for step in (0, 1):
        every = [
            stats.spearmanr(np.roll(maps[step], shift, (0, 1)).ravel(), contrast.ravel()).statistic
            for shift in itertools.product(range(4), range(6))
        ]
        assert found.rho[step] == pytest.approx(every[0])
        assert found.chance[step] == pytest.approx(np.quantile(np.abs(every), 0.95))
        assert found.p[step] == pytest.approx(np.mean(np.abs(every) >= abs(every[0]) - 1e-9))
    assert found.rho[1] == pytest.approx(1) and found.p[1] == pytest.approx(1 / 24)
    assert np.isnan(found.rho[2])
    with pytest.raises(SizeError):
        received.against_contrast(maps, contrast.T)


def test_local_contrast_is_the_deviation_of_linear_light() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4, :4] = 255  # even
    pixels[4:, 4:6] = 255  # half white, half black
    found = received.local_contrast(Image.fromarray(pixels), (2, 2))
    assert found == pytest.approx(np.array([[0, 0], [0, 0.5]]), abs=1e-6)


def test_every_measure_is_declared_whole() -> None:
    for name, each in MEASURES.items():
        assert name == each.name and name.isidentifier()
        assert each.title and each.unit and each.source and each.definition.endswith(".")
        assert bool(each.components) == ("component" in each.axes)
        assert each.described()["definition"] == each.definition
    with pytest.raises(SelectionError, match="there are: focus"):
        find_measure("focs")
    with pytest.raises(SelectionError):
        find_measure("received", "word")
