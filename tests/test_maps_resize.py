"""Resizing: torch's conventions, and what each method does to the mean."""

from __future__ import annotations

import numpy as np
import pytest

from diffuscope.errors import SizeError
from diffuscope.maps.resize import resize

MAP = np.random.default_rng(0).random((3, 8, 6))


@pytest.mark.parametrize("size", [(16, 12), (11, 23), (5, 3), (8, 6), (1, 1)])
@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        ("bilinear", "bilinear", {"align_corners": False}),
        ("bicubic", "bicubic", {"align_corners": False}),
        ("nearest", "nearest-exact", {}),
    ],
)
def test_methods_equal_torch(ours, theirs, options, size):
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(MAP)[None], size=size, mode=theirs, **options
    )[0]
    np.testing.assert_allclose(resize(MAP, size, ours), expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("size", [(16, 12), (64, 48), (4, 3), (5, 4), (1, 1), (3, 17)])
def test_area_keeps_the_mean_at_any_size(size):
    np.testing.assert_allclose(resize(MAP, size, "area").mean(axis=(1, 2)), MAP.mean(axis=(1, 2)), rtol=1e-12)


@pytest.mark.parametrize("method", ["bilinear", "nearest", "auto"])
@pytest.mark.parametrize("size", [(16, 12), (24, 18), (512, 384)])
def test_growing_by_a_whole_factor_keeps_the_mean(method, size):
    np.testing.assert_allclose(resize(MAP, size, method).mean(axis=(1, 2)), MAP.mean(axis=(1, 2)), rtol=1e-12)


def test_area_by_a_half_is_the_mean_of_four_cells():
    np.testing.assert_allclose(resize(MAP, (4, 3), "area"), MAP.reshape(3, 4, 2, 3, 2).mean(axis=(2, 4)))


def test_auto_grows_bilinear_and_shrinks_by_area_for_each_axis_by_itself():
    expected = resize(resize(MAP, (16, 6), "bilinear"), (16, 3), "area")
    np.testing.assert_allclose(resize(MAP, (16, 3)), expected)


def test_a_map_of_the_same_size_is_untouched():
    assert (resize(MAP, (8, 6)) == MAP).all()


@pytest.mark.parametrize("method", ["auto", "area", "bilinear", "bicubic", "nearest"])
def test_rows_and_columns_are_not_swapped_and_nothing_is_shifted(method):
    spot = np.zeros((8, 6))
    spot[1, 4] = 1.0
    grown = resize(spot, (32, 24), method)
    weights = grown / grown.sum()
    assert (weights.sum(axis=1) @ np.arange(32) + 0.5) / 4 == pytest.approx(1.5, abs=0.06)
    assert (weights.sum(axis=0) @ np.arange(24) + 0.5) / 4 == pytest.approx(4.5, abs=0.06)


def test_a_constant_stays_constant():
    for method in ("auto", "area", "bilinear", "bicubic", "nearest"):
        np.testing.assert_allclose(resize(np.full((7, 5), 0.3), (13, 3), method), 0.3, rtol=1e-12)


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_a_size_without_extent_is_refused(size):
    with pytest.raises(SizeError):
        resize(MAP, size)


def test_an_unknown_method_is_refused():
    with pytest.raises(SizeError, match="lanczos"):
        resize(MAP, (4, 4), "lanczos")
