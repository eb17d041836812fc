"""The drawings keep to the unit box, have the parts the vocabulary promises, and are told apart by their outlines."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from diffuscope.scenes.layout import Placed
from diffuscope.scenes.raster import paint
from diffuscope.scenes.shapes import SHAPES, Polygon
from diffuscope.scenes.shapes_outline import body, box, curve, detail, disc, fitted, oval, turned
from diffuscope.scenes.vocabulary import DETAILS, EQUINES, NOUNS, SUPPORTS


def area(outline: Polygon) -> float:
    """The shoelace formula."""
    x, y = outline.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def solid(noun: str) -> Polygon:
    return np.concatenate(
        [layer.outline for layer in SHAPES[noun].layers if layer.kind in ("body", "detail")]
    )


def cover(noun: str, radius: float, flipped: bool = False) -> np.ndarray:
    """What a thing in the middle of the picture covers, `[y, x]`."""
    tile = paint(Placed(noun, "red", "plain", "medium", 64.0, 64.0, radius, flipped))
    whole = np.zeros((128, 128), np.float32)
    whole[tile.window] = tile.cover
    return whole


def test_every_noun_is_drawn() -> None:
    assert set(SHAPES) == set(NOUNS)


@pytest.mark.parametrize("noun", NOUNS)
def test_the_longer_side_fills_the_unit_box_and_the_shorter_is_centred(noun: str) -> None:
    shape, drawn = SHAPES[noun], solid(noun)
    half = (drawn.max(axis=0) - drawn.min(axis=0)) / 2
    assert half.max() == pytest.approx(1)
    assert (drawn.max(axis=0) + drawn.min(axis=0)) == pytest.approx([0, 0], abs=1e-9)
    assert [shape.width, shape.height] == pytest.approx(half.tolist())


@pytest.mark.parametrize("name", DETAILS)
def test_details_belong_to_the_nouns_that_the_vocabulary_says(name: str) -> None:
    having = {noun for noun, shape in SHAPES.items() if any(layer.name == name for layer in shape.layers)}
    assert having == set(DETAILS[name])


@pytest.mark.parametrize(
    ("name", "noun"), [(name, noun) for name, nouns in DETAILS.items() for noun in nouns]
)
def test_details_are_large_enough_for_two_by_two_latent_patches(name: str, noun: str) -> None:
    part = paint(Placed(noun, "red", "plain", "medium", 64.0, 64.0, 26.0)).parts[name] > 0.5
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    # A patch of the latent picture is 8 pixels wide. The horn's outermost tip and a car's windows are a little short.
    assert rows[-1] - rows[0] + 1 >= 13
    assert columns[-1] - columns[0] + 1 >= 15


def test_horse_unicorn_and_pegasus_are_one_drawing_but_for_the_feature() -> None:
    features = {"horse": None, "unicorn": "horn", "pegasus": "wings"}
    horse = SHAPES["horse"].layers
    for noun in EQUINES:
        layers = SHAPES[noun].layers
        shift = layers[0].outline[0] - horse[0].outline[0]
        for ours, theirs in zip(layers, horse, strict=False):
            assert (ours.kind, ours.colour, ours.name, ours.tone) == (
                theirs.kind,
                theirs.colour,
                theirs.name,
                theirs.tone,
            )
            assert ours.outline == pytest.approx(theirs.outline + shift)
        more = layers[len(horse) :]
        assert {layer.name for layer in more if layer.kind == "detail"} == {features[noun]} - {None}
        assert all(layer.kind in ("detail", "shade") for layer in more)


def test_the_horn_is_a_third_of_the_unit_high() -> None:
    (horn,) = (layer for layer in SHAPES["unicorn"].layers if layer.name == "horn")
    assert np.ptp(horn.outline[:, 1]) >= 0.34


def test_supports_have_the_levels_that_their_relations_need() -> None:
    assert all(SHAPES[noun].top is not None for noun in SUPPORTS["on"])
    assert all(SHAPES[noun].rim is not None for noun in SUPPORTS["in"])
    for noun, shape in SHAPES.items():
        for level in (shape.top, shape.rim):
            assert level is None or -shape.height <= level <= shape.height, noun


def test_there_is_free_room_under_a_table() -> None:
    table = cover("table", 45.0)
    feet = int(64 + 45 * SHAPES["table"].height)
    free = table[feet - 24 : feet, 64 - 22 : 64 + 22]
    assert free.max() == 0


def test_outlines_of_any_two_nouns_differ_in_small() -> None:
    small = {noun: cover(noun, 12.0) for noun in NOUNS}
    for one, other in combinations(NOUNS, 2):
        common = np.minimum(small[one], small[other]).sum() / np.maximum(small[one], small[other]).sum()
        assert common < 0.85, (one, other, common)


@pytest.mark.parametrize("noun", ["car", "boat", "bird", "fish"])
def test_flipping_mirrors(noun: str) -> None:
    # Pillow draws outlines a quarter of a pixel wide, on one side of a point or the other.
    plain, flipped = cover(noun, 30.0), cover(noun, 30.0, flipped=True)
    assert np.abs(plain[:, ::-1] - flipped).mean() < 0.003
    assert np.abs(plain - flipped).mean() > 0.01


def test_a_curve_passes_through_its_points_and_a_disc_has_a_disc_s_area() -> None:
    corners = ((0.0, 0.0), (2.0, 0.5), (1.0, 3.0))
    assert curve(*corners, steps=5)[::5] == pytest.approx(np.array(corners))
    assert area(disc(3.0, -2.0, 2.0, points=400)) == pytest.approx(np.pi * 4, rel=1e-3)
    assert area(oval(0, 0, 2.0, 0.5, turn=33, points=400)) == pytest.approx(np.pi, rel=1e-3)
    # Clockwise on paper, where y points down: what points right then points down.
    assert turned(np.array([(1.0, 0.0)]), 90) == pytest.approx(np.array([(0.0, 1.0)]))


def test_fitting_moves_levels_along() -> None:
    shape = fitted(body(box(10, 10, 14, 18)), detail(box(11, 8, 12, 10), "leaf"), top=13, rim=8)
    assert (shape.width, shape.height) == pytest.approx((0.4, 1.0))
    assert (shape.top, shape.rim) == pytest.approx((0.0, -1.0))
    assert shape.layers[0].outline == pytest.approx(
        np.array([(-0.4, -0.6), (0.4, -0.6), (0.4, 1), (-0.4, 1)])
    )
