"""The aggregate: heads, then sites with equal weight, then steps."""

from __future__ import annotations

import numpy as np
import pytest

from diffuscope.errors import RecordingError, SelectionError, SizeError
from diffuscope.maps.aggregate import aggregate, describe, output_size
from diffuscope.maps.resize import resize

RNG = np.random.default_rng(1)
GRIDS = {"a": (4, 6), "b": (8, 12), "c": (4, 6)}
MAPS = {name: RNG.random((3, h * w)).astype(np.float32) for name, (h, w) in GRIDS.items()}


def test_sites_weigh_the_same_whatever_their_grid():
    expected = (
        sum(resize(MAPS[name].reshape(3, *GRIDS[name]).astype(np.float64), (8, 12)) for name in GRIDS) / 3
    )
    ours = aggregate(MAPS, GRIDS, (8, 12))
    assert ours.shape == (3, 8, 12) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_averaging_steps_before_or_after_is_the_same():
    after = aggregate(MAPS, GRIDS, (8, 12)).mean(axis=0)
    before = aggregate({name: maps.mean(axis=0) for name, maps in MAPS.items()}, GRIDS, (8, 12))
    np.testing.assert_allclose(before, after, rtol=1e-5)


def test_inputs_are_left_alone():
    copies = {name: maps.copy() for name, maps in MAPS.items()}
    aggregate(MAPS, GRIDS, (8, 12))
    assert all((MAPS[name] == copies[name]).all() for name in MAPS)


def test_nan_is_an_error_and_not_a_map():
    broken = {**MAPS, "b": np.where(MAPS["b"] > 0.99, np.nan, MAPS["b"])}
    with pytest.raises(RecordingError, match="NaN"):
        aggregate(broken, GRIDS, (8, 12))


def test_no_site_is_an_error():
    with pytest.raises(SelectionError):
        aggregate({}, {}, (4, 4))


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        (None, (16, 24)),
        ("finest", (16, 24)),
        ("native", (4, 6)),
        ("image", (128, 192)),
        (48, (32, 48)),
        ((5, 7), (5, 7)),
        ([5, 7], (5, 7)),
        (np.int64(48), (32, 48)),
    ],
)
def test_sizes(request_, size):
    grids = {"kept": [(8, 12), (16, 24), (4, 6)], "chosen": [(4, 6)], "image": (128, 192)}
    assert output_size(request_, **grids) == size


@pytest.mark.parametrize("request_", [0, -3, (0, 4), (4,), "big", 1.5, (3.0, 4), True, 10**6, (1, 10**6)])
def test_impossible_sizes_are_refused(request_):
    with pytest.raises(SizeError):
        output_size(request_, kept=[(8, 8)], chosen=[(8, 8)], image=(64, 64))


def test_the_sentence_says_what_was_done():
    text = describe(
        sites=3,
        steps=1,
        size=(16, 16),
        grids=[(8, 8), (16, 16)],
        heads="3,5",
        groups=[(1,), (2, 3)],
        reduce="mean",
        merge_steps=True,
    )
    assert text == (
        "Mean over heads 3,5, then over 3 sites brought to 16x16, then over 1 step; mean over a word's "
        "tokens; sum over 2 words. Conditional branch, last call of each step."
    )
