"""Measures of the shipped plans, against plain counting and drawn pictures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from diffuscope import scenes
from diffuscope.scenes import Placed, Scene, render
from diffuscope.studies.attention_measures import (
    average_precision,
    finest_sites,
    first_thing,
    middle_of,
    mirrored_off,
    overlap_of,
    received_ratios,
    regions_of,
)
from diffuscope.studies.measuring import Drawn, quantities


def explicit_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Area under precision over recall, a step at each score that there is."""
    flat, right = scores.ravel(), truth.ravel()
    points = [(0.0, 1.0)]
    for level in sorted(set(flat.tolist()), reverse=True):
        chosen = flat >= level
        hit = (chosen & right).sum()
        points.append((hit / right.sum(), hit / chosen.sum()))
    return sum((after[0] - before[0]) * after[1] for before, after in pairwise(points))


def test_average_precision_is_the_area_under_precision_over_recall() -> None:
    random = np.random.default_rng(3)
    for levels in (4, 1000):
        scores = random.integers(0, levels, (12, 9)).astype(np.float32)
        truth = random.uniform(size=(12, 9)) < 0.3
        assert average_precision(scores, truth) == pytest.approx(explicit_precision(scores, truth))
    truth = np.zeros((3, 3), bool)
    truth[1] = True
    assert average_precision(truth.astype(float), truth) == 1.0
    # A map that says nothing has the share of the picture.
    assert average_precision(np.ones((3, 3)), truth) == pytest.approx(1 / 3)


def test_overlap_takes_the_part_above_two_fifths_of_the_largest_value() -> None:
    values = np.array([[1.0, 0.41], [0.4, 0.0]])
    truth = np.array([[True, False], [True, False]])
    assert overlap_of(values, truth) == pytest.approx(1 / 3)


def test_regions_are_of_the_mask() -> None:
    mask = np.zeros((128, 128), bool)
    mask[10:20, 30:61] = True
    mask[10:20, 40:50] = False  # A hole at its centroid: the pixel lies on the thing all the same.
    found = regions_of(mask)
    assert found["box"] == {"box": (30, 10, 60, 19)}
    x, y = middle_of(mask)
    assert found["pixel"] == {"pixel": (x, y)} and mask[y, x]
    assert found["contour"]["mask"] is mask


def test_a_mask_is_mirrored_to_where_nothing_stands() -> None:
    own = np.zeros((8, 8), bool)
    own[0:2, 0:2] = True
    things = own.copy()
    things[0:2, 6:8] = True  # To the right stands another thing.
    found = mirrored_off(own, things)
    assert found is not None and found[6:8].sum() == 4 and not (found & things).any()
    assert mirrored_off(own, np.ones((8, 8), bool)) is None


def test_received_attention_is_compared_group_by_group() -> None:
    received = np.stack([np.arange(16.0).reshape(4, 4), np.ones((4, 4))])
    contrast = np.arange(16.0).reshape(4, 4)
    things = np.zeros((4, 4), bool)
    things[0] = True
    found = received_ratios(received, contrast, things)
    # The quarter of highest contrast has the values 12 to 15, the others 0 to 11.
    assert found["contrast"].tolist() == [13.5 / 5.5, 1.0]
    assert found["thing"].tolist() == [1.5 / 9.5, 1.0]
    # Things have 0 to 3, the upper half of them 2 and 3.
    assert found["contrast within things"].tolist() == [2.5 / 0.5, 1.0]
    assert list(received_ratios(received, contrast, None)) == ["contrast"]


def drawn(first: tuple[float, float], second: tuple[float, float], prompt: str) -> Drawn:
    """A picture with a red circle and a blue square where they are said to be."""
    scene = Scene(
        (
            Placed("circle", "red", "plain", "medium", *first, 19.0),
            Placed("square", "blue", "plain", "medium", *second, 19.0),
        ),
        "plain",
        None,
    )
    from PIL import Image

    return Drawn(Image.fromarray(render(scene).image), prompt)


def test_placement_is_the_offset_of_the_first_thing_from_the_second() -> None:
    known = quantities()
    picture = drawn((36, 60), (92, 64), "a red circle left of a blue square")
    (across,) = known["placement_x"].compute(picture, None, None)
    (down,) = known["placement_y"].compute(picture, None, None)
    assert (across.value, down.value) == (pytest.approx(-56, abs=2), pytest.approx(-4, abs=2))
    # Where they stand does not say which is which.
    turned = Drawn(picture.image, "a red circle right of a blue square")
    assert known["placement_x"].compute(turned, None, None)[0].value == across.value
    named_second = Drawn(picture.image, "a blue square right of a red circle")
    assert known["placement_x"].compute(named_second, None, None)[0].value == -across.value
    for prompt in ("a red circle", "a green heart left of a yellow moon", "not of this world"):
        assert known["placement_x"].compute(Drawn(picture.image, prompt), None, None) == []


def test_the_first_thing_is_the_one_that_is_named_first() -> None:
    picture = drawn((36, 60), (92, 64), "a blue square right of a red circle")
    found = first_thing(picture)
    assert found is not None
    own, everything = found
    assert own[64, 92] and not own[60, 36] and everything[60, 36]
    assert first_thing(Drawn(picture.image, "a green heart")) is None
    assert (
        scenes.parse("nothing of it") is None and first_thing(Drawn(picture.image, "nothing of it")) is None
    )


def test_finest_sites_are_of_the_largest_grid_that_was_kept() -> None:
    class Site:
        def __init__(self, name: str, kind: str, side: int) -> None:
            self.name, self.kind, self.grid = name, kind, (side, side)

    class Kept:
        sites = ("cross:a", "cross:b", "self:c", "cross:d")

    class Manifest:
        keep = Kept

    class Run:
        manifest = Manifest
        sites = (
            Site("cross:a", "cross", 8),
            Site("cross:b", "cross", 16),
            Site("self:c", "self", 32),
            Site("cross:d", "cross", 16),
            Site("cross:e", "cross", 32),
        )

    assert finest_sites(Run) == ["cross:b", "cross:d"]  # type: ignore[arg-type]
