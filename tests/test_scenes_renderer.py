"""The renderer's truth is the picture: masks, parts, colours and places hold for the pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diffuscope.scenes.grammar import SIDE, Placed, Scene, lay_out, sample_description
from diffuscope.scenes.renderer import Rendered, backdrop, render
from diffuscope.scenes.shapes import SHAPES
from diffuscope.scenes.vocabulary import BACKDROPS, COLOURS, NOUNS, PLACES, SIZES


def one(
    noun: str, colour: str = "red", place: str = "plain", x: float = 64, y: float = 60, radius: float = 20
) -> Rendered:
    return render(Scene((Placed(noun, colour, "medium", x, y, radius),), place, None))


def test_every_noun_has_an_outline_and_every_place_a_backdrop() -> None:
    assert set(SHAPES) == set(NOUNS)
    assert set(BACKDROPS) == {*PLACES, "plain"}


@pytest.mark.parametrize("place", list(BACKDROPS))
def test_outside_of_the_masks_the_picture_is_the_backdrop(place: str) -> None:
    drawn = one("house", place=place)
    empty = np.clip(backdrop(place, drawn.scene.horizon, drawn.scene.phase) + 0.5, 0, 255).astype(np.uint8)
    outside = drawn.masks[0] == 0
    assert outside.mean() > 0.8
    assert np.array_equal(drawn.image[outside], empty[outside])


@pytest.mark.parametrize("noun", NOUNS)
def test_inside_of_a_mask_the_picture_has_the_thing_s_colour_or_its_detail_s(noun: str) -> None:
    drawn = one(noun, "blue")
    details = sum((part for part in drawn.parts.values()), np.zeros((SIDE, SIDE), np.float32))
    body = (drawn.masks[0] == 1) & (details == 0)
    assert np.all(drawn.image[body] == COLOURS["blue"])
    for (index, name), part in drawn.parts.items():
        layer = next(layer for layer in SHAPES[noun] if layer.name == name)
        assert index == 0
        assert np.all(drawn.image[part == 1] == layer.colour)
        assert np.all(drawn.masks[0][part > 0] >= part[part > 0] - 1e-6), (
            "a detail is part of its thing's mask"
        )


def test_masks_cover_the_area_of_the_shape() -> None:
    radius = 25.0
    areas = {"circle": np.pi * 0.97**2, "square": 1.72**2, "triangle": 1.77, "ring": np.pi * (1 - 0.54**2)}
    for noun, area in areas.items():
        covered = float(one(noun, radius=radius).masks[0].sum())
        # Pillow's polygons include their outline, a quarter of a pixel on each side.
        assert covered == pytest.approx(area * radius**2, rel=0.04), noun


def test_the_hole_of_a_ring_shows_what_is_behind() -> None:
    drawn = one("ring", place="desert", x=64, y=64, radius=24)
    assert drawn.masks[0][64, 64] == 0
    assert tuple(drawn.image[64, 64]) != COLOURS["red"]


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.25, 0.5), (-0.5, 0.75)])
def test_a_mask_is_centred_where_the_scene_says(shift: tuple[float, float]) -> None:
    x, y = 60 + shift[0], 66 + shift[1]
    mask = one("circle", x=x, y=y).masks[0]
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    assert float((mask * columns).sum() / mask.sum()) == pytest.approx(x, abs=0.15)
    assert float((mask * rows).sum() / mask.sum()) == pytest.approx(y, abs=0.15)


def test_a_scene_is_drawn_one_way() -> None:
    first, second = one("flower", place="sea"), one("flower", place="sea")
    assert np.array_equal(first.image, second.image)
    other = render(replace(first.scene, phase=2.0))
    assert not np.array_equal(first.image, other.image)


def test_things_do_not_overlap_and_stand_in_their_relation() -> None:
    rng = np.random.default_rng(11)
    for _ in range(300):
        description = sample_description(rng)
        scene = lay_out(description, rng)
        masks = render(scene).masks
        assert masks.sum(axis=0).max() <= 1.0 + 1e-6
        for named, thing in zip(description.things, scene.things, strict=True):
            low, high = SIZES[named.size or "medium"]
            assert low <= thing.radius <= high
            assert thing.colour == (named.colour or thing.colour)
        if len(scene.things) == 2:
            a, b = scene.things
            assert a.colour != b.colour
            offsets = {"left of": b.x - a.x, "right of": a.x - b.x, "above": b.y - a.y, "below": a.y - b.y}
            if description.relation in offsets:
                along = offsets[description.relation]
                across = abs(b.y - a.y) if description.relation in ("left of", "right of") else abs(b.x - a.x)
                assert along > 0
                assert across < along
