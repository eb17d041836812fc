"""The renderer's truth is the picture: masks, parts, colours, places, lights and styles hold for the pixels."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from diffuscope.scenes.backdrops import PALETTES
from diffuscope.scenes.grammar import sample_description
from diffuscope.scenes.lab import to_lab
from diffuscope.scenes.layout import SIDE, Placed, Scene, lay_out
from diffuscope.scenes.raster import contrast, paint
from diffuscope.scenes.renderer import Rendered, backdrop, render
from diffuscope.scenes.shapes import SHAPES
from diffuscope.scenes.styles import GLOW, STYLES_OF
from diffuscope.scenes.vocabulary import LIGHTS, MADE_OF, NOUNS, PAINTS, PLACES, STYLES

ALL_PLACES, ALL_LIGHTS, ALL_STYLES = ("plain", *PLACES), ("plain", *LIGHTS), ("plain", *STYLES)


def placed(
    noun: str, colour: str = "red", x: float = 64, y: float = 60, radius: float = 26, **more: str
) -> Placed:
    return Placed(noun, colour, more.get("pattern", "plain"), "medium", x, y, radius)


def scene(*things: Placed, **more: object) -> Scene:
    return Scene(things=things, seed=17, phase=1.0, **more)  # type: ignore[arg-type]


def one(noun: str, colour: str = "red", **more: str) -> Rendered:
    look = {name: more.pop(name) for name in ("place", "light", "style") if name in more}
    return render(scene(placed(noun, colour, **more), **look))


def test_every_word_for_a_look_can_be_drawn() -> None:
    assert set(PALETTES) == set(ALL_PLACES)
    assert set(STYLES_OF) == set(ALL_STYLES)
    assert set(GLOW) == set(PAINTS)


@pytest.mark.parametrize("noun", NOUNS)
def test_a_drawing_has_its_paint_and_nothing_beyond_its_mask(noun: str) -> None:
    drawn = one(noun, "blue")
    empty = np.clip(backdrop(drawn.scene) + 0.5, 0, 255).astype(np.uint8)
    outside = drawn.masks[0] == 0
    assert outside.mean() > 0.7
    assert np.array_equal(drawn.image[outside], empty[outside])
    # Blue is blue in every tone of it: the largest channel by far wherever there is no detail.
    details = sum(drawn.parts.values(), np.zeros((SIDE, SIDE), np.float32))
    red, green, blue = np.moveaxis(drawn.image.astype(int), -1, 0)
    bluish = (blue > red + 20) & (blue > green + 20)
    assert bluish[(drawn.masks[0] == 1) & (details == 0)].mean() > 0.9


@pytest.mark.parametrize("colour", [colour for colour in PAINTS if colour not in MADE_OF])
def test_a_flat_area_has_the_paint_s_own_colour(colour: str) -> None:
    assert one("circle", colour).image[55, 60].tolist() == pytest.approx(PAINTS[colour], abs=1)


def test_masks_cover_the_area_of_the_shape() -> None:
    radius = 26.0
    areas = {
        "circle": np.pi,
        "square": 4.0,
        "triangle": 1.74,
        "ring": np.pi * (1 - 0.54**2),
        "cross": 4 - 4 * 0.66**2,
    }
    for noun, area in areas.items():
        # Pillow's polygons include their outline, a quarter of a pixel on each side.
        assert float(one(noun).masks[0].sum()) == pytest.approx(area * radius**2, rel=0.05), noun


def test_the_hole_of_a_ring_shows_what_is_behind() -> None:
    drawn = render(scene(placed("square", "green", radius=30), placed("ring", "red", radius=26)))
    assert drawn.masks[:, 60, 64].tolist() == [1, 0]
    assert tuple(drawn.image[60, 64]) == PAINTS["green"]


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.25, 0.5), (-0.5, 0.75)])
def test_a_mask_is_centred_where_the_scene_says(shift: tuple[float, float]) -> None:
    x, y = 60 + shift[0], 66 + shift[1]
    mask = render(scene(placed("circle", x=x, y=y))).masks[0]
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    assert float((mask * columns).sum() / mask.sum()) == pytest.approx(x, abs=0.15)
    assert float((mask * rows).sum() / mask.sum()) == pytest.approx(y, abs=0.15)


@pytest.mark.parametrize("style", ALL_STYLES)
def test_a_scene_is_drawn_one_way(style: str) -> None:
    first, second = one("flower", place="sea", style=style), one("flower", place="sea", style=style)
    assert np.array_equal(first.image, second.image)
    assert not np.array_equal(first.image, render(replace(first.scene, phase=2.0)).image)


def alone(thing: Placed) -> np.ndarray:
    """What a thing covers where nothing else is, `[y, x]`."""
    return render(scene(thing)).masks[0]


def test_what_comes_later_hides_what_came_before() -> None:
    things = (placed("circle", "red"), placed("cat", "black", x=74), placed("star", "yellow", x=60, y=80))
    drawn = render(scene(*things))
    covers = [alone(thing) for thing in things]
    np.testing.assert_allclose(drawn.masks[0], covers[0] * (1 - covers[1]) * (1 - covers[2]), atol=1e-5)
    np.testing.assert_allclose(drawn.masks[1], covers[1] * (1 - covers[2]), atol=1e-5)
    np.testing.assert_allclose(drawn.masks[2], covers[2], atol=1e-5)


def test_a_hidden_detail_is_not_seen() -> None:
    house = placed("house", "red")
    free = render(scene(house)).parts[0, "door"]
    covered = placed("square", "blue", x=50, y=78, radius=16)
    seen = render(scene(house, covered)).parts[0, "door"]
    assert free.sum() > 200
    np.testing.assert_allclose(seen, free * (1 - alone(covered)), atol=1e-5)
    assert seen.sum() < 0.5 * free.sum()


@pytest.mark.parametrize("vessel", ["bowl", "boat", "pitcher"])
def test_what_is_in_a_vessel_is_hidden_below_the_rim_and_hides_the_vessel_s_inside(vessel: str) -> None:
    shape = SHAPES[vessel]
    around = placed(vessel, "white", y=84, radius=36)
    assert shape.rim is not None
    rim = 84 + 36 * shape.rim
    ball = placed("circle", "red", x=64, y=rim - 2, radius=9)
    drawn = render(scene(ball, around, relation="in"))
    below = np.arange(SIDE)[:, None] + 0.5 > rim + 2.5
    assert (drawn.masks[0] * below).sum() < 0.05 * drawn.masks[0].sum()
    # All of the ball above the rim is seen, though sail and back wall are painted there: they lie behind it.
    above = np.arange(SIDE)[:, None] + 0.5 < rim - 3.5
    assert drawn.masks[0][np.broadcast_to(above, (SIDE, SIDE))].sum() == pytest.approx(
        (alone(ball) * above).sum(), rel=0.02
    )
    assert drawn.masks.sum(axis=0).max() <= 1 + 1e-5
    np.testing.assert_allclose(drawn.masks.sum(axis=0), np.maximum(alone(around), alone(ball)), atol=0.5)


def test_masks_and_parts_of_sampled_scenes_are_shares() -> None:
    rng = np.random.default_rng(11)
    for _ in range(40):
        drawn = render(lay_out(sample_description(rng), rng))
        assert drawn.image.shape == (SIDE, SIDE, 3) and drawn.image.dtype == np.uint8
        assert drawn.masks.shape == (len(drawn.scene.things), SIDE, SIDE)
        assert drawn.masks.min() >= -1e-6 and drawn.masks.sum(axis=0).max() <= 1 + 1e-5
        for (index, name), part in drawn.parts.items():
            assert np.all(part <= drawn.masks[index] + 1e-5), name
        assert all(mask.sum() > 20 for mask in drawn.masks)


@pytest.mark.parametrize(
    ("pattern", "share"), [("striped", 0.21 / 0.48), ("dotted", np.pi * 0.18**2 / (0.62 * 0.62 * 0.87))]
)
def test_a_pattern_covers_its_share_in_its_contrast_colour(pattern: str, share: float) -> None:
    drawn = paint(Placed("square", "blue", pattern, "medium", 64.0, 64.0, 40.0))
    flat = paint(Placed("square", "blue", "plain", "medium", 64.0, 64.0, 40.0))
    # The shade of the lower right edge is on both, so the ratio of the reds does not know of it.
    inner = (slice(8, 72), slice(8, 72))
    red, own = drawn.colour[inner][..., 0], flat.colour[inner][..., 0]
    found = (red - own).mean() / (contrast(PAINTS["blue"])[0] - PAINTS["blue"][0])
    assert found == pytest.approx(share, abs=0.06)
    assert np.array_equal(drawn.cover, flat.cover)


@pytest.mark.parametrize("colour", PAINTS)
def test_stripes_stand_off_from_every_paint(colour: str) -> None:
    own, other = to_lab(PAINTS[colour]), to_lab(contrast(PAINTS[colour]))
    assert np.linalg.norm(own - other) > 30


@pytest.mark.parametrize("style", ALL_STYLES)
@pytest.mark.parametrize("light", ALL_LIGHTS)
def test_paints_stay_apart_in_every_style_and_light(style: str, light: str) -> None:
    means = {}
    for colour in PAINTS:
        drawn = one("bowl", colour, style=style, light=light)
        means[colour] = to_lab(drawn.image[drawn.masks[0] > 0.9]).mean(axis=0)
    for first, second in combinations(PAINTS, 2):
        apart = float(np.linalg.norm(means[first] - means[second]))
        # Wood and brass are near brown and each other, and told by their grain and sheen besides.
        made = first in MADE_OF or second in MADE_OF
        assert apart > (7 if made else 15), (first, second, apart)


@pytest.mark.parametrize("style", ALL_STYLES)
def test_every_place_shows_in_every_light_and_every_light_in_every_place(style: str) -> None:
    empty = {
        (place, light): backdrop(scene(place=place, light=light, style=style))
        for place in ALL_PLACES
        for light in ALL_LIGHTS
    }
    for first, second in combinations(empty, 2):
        assert np.abs(empty[first] - empty[second]).mean() > 3.5, (first, second)
    for place in ALL_PLACES:
        day, dawn, night = (empty[place, light].mean(axis=(0, 1)) for light in ALL_LIGHTS)
        assert dawn[0] - dawn[2] > day[0] - day[2] + 12, "morning is more golden than day"
        assert night.sum() < day.sum() - 12, "night is darker than day"
        assert night[2] - night[0] > 12 and night[2] - night[0] > day[2] - day[0] - 30, "night is blue"


@pytest.mark.parametrize("light", ALL_LIGHTS)
@pytest.mark.parametrize("place", ALL_PLACES)
def test_styles_look_different_everywhere(place: str, light: str) -> None:
    drawn = [
        one("cat", "red", place=place, light=light, style=style).image.astype(float) for style in ALL_STYLES
    ]
    for first, second in combinations(drawn, 2):
        assert np.abs(first - second).mean() > 3


@pytest.mark.parametrize("light", ALL_LIGHTS)
def test_styles_do_not_move_a_thing(light: str) -> None:
    """Where a picture with a thing differs from the empty place is, but for bloom and outlines, the thing's mask."""
    for style in ("plain", "watercolor", "pencil"):
        drawn = one("heart", "purple", style=style, light=light)
        changed = np.abs(drawn.image - np.clip(backdrop(drawn.scene), 0, 255)).max(axis=-1) > 24
        mask = drawn.masks[0] > 0.5
        assert (changed & mask).sum() / (changed | mask).sum() > 0.93, style


def test_things_are_tinted_less_than_the_place_at_night() -> None:
    day, night = one("heart", "white", place="snow"), one("heart", "white", place="snow", light="night")
    thing, place = day.masks[0] == 1, day.masks[0] == 0
    kept = (
        night.image[thing].mean() / day.image[thing].mean(),
        night.image[place].mean() / day.image[place].mean(),
    )
    assert kept[0] > 0.75
    assert kept[1] < 0.45


def test_things_on_the_ground_cast_a_shadow_and_floating_ones_none() -> None:
    floor = {"place": "meadow", "light": "plain"}
    cat, heart = (render(scene(placed(noun, "red", y=94), **floor)) for noun in ("cat", "heart"))
    empty = np.clip(backdrop(cat.scene) + 0.5, 0, 255).astype(int)
    foot = slice(112, 124)
    for drawn, falls in ((cat, True), (heart, False)):
        free = drawn.masks[0][foot] == 0
        darker = (empty[foot] - drawn.image[foot].astype(int)).mean(axis=-1)[free] > 4
        assert bool(darker.any()) is falls


@pytest.mark.parametrize("style", ALL_STYLES)
@pytest.mark.parametrize("pattern", ["striped", "dotted"])
def test_patterns_show_in_every_style_on_every_paint(style: str, pattern: str) -> None:
    marks = paint(placed("square", pattern=pattern)).marks
    window = paint(placed("square", pattern=pattern)).window
    # Well inside of the square, away from outlines and their bloom.
    inner = np.zeros_like(marks, bool)
    inner[12:-12, 12:-12] = True
    for colour in PAINTS:
        picture = to_lab(one("square", colour, pattern=pattern, style=style).image[window])
        own, other = picture[inner & (marks == 0)].mean(axis=0), picture[inner & (marks == 1)].mean(axis=0)
        assert np.linalg.norm(own - other) > 18, colour
