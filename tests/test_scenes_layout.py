"""A laid-out scene shows what its description says: sizes, places, relations, from the boxes of its things alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from diffuscope.scenes.grammar import Description, parse, sample_description
from diffuscope.scenes.layout import FLIPS, SIDE, SUPPORT_RADIUS, Placed, Scene, lay_out
from diffuscope.scenes.shapes import SHAPES
from diffuscope.scenes.vocabulary import NATURAL, PLAIN, RELATIONS, SIZES, SUPPORTS

Box = tuple[float, float, float, float]


def box(thing: Placed) -> Box:
    """Left, top, right, bottom of the drawing in pixels, from the outline's half extents in its unit box."""
    shape = SHAPES[thing.noun]
    across, down = thing.radius * shape.width, thing.radius * shape.height
    return thing.x - across, thing.y - down, thing.x + across, thing.y + down


def overlap(a: Box, b: Box) -> bool:
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return min(across, down) > 1e-6


def scenes(
    number: int, seed: int, relations: tuple[str | None, ...] | None = None
) -> Iterator[tuple[Description, Scene]]:
    rng = np.random.default_rng(seed)
    made = 0
    while made < number:
        description = sample_description(rng)
        if relations is None or description.relation in relations:
            yield description, lay_out(description, rng)
            made += 1


def groups(scene: Scene) -> tuple[list[Placed], list[Placed]]:
    """What is named before the last thing, and the last thing (two of them in the plural)."""
    last = max(thing.thing for thing in scene.things)
    return [t for t in scene.things if t.thing != last], [t for t in scene.things if t.thing == last]


FREE = tuple(relation for relation in (None, *RELATIONS) if relation not in SUPPORTS)


def test_every_thing_is_inside_of_the_picture() -> None:
    for description, scene in scenes(1000, 1):
        for thing in scene.things:
            left, top, right, bottom = box(thing)
            assert min(left, top) >= 0 and max(right, bottom) <= SIDE, (description.caption(), thing)


def test_the_scene_says_what_the_description_says() -> None:
    for description, scene in scenes(1000, 2):
        assert (scene.place, scene.light, scene.style) == (
            description.place or PLAIN,
            description.light or PLAIN,
            description.style or PLAIN,
        )
        assert scene.relation == description.relation
        assert 0.70 <= scene.horizon <= 0.80
        for index, named in enumerate(description.things):
            drawn = [thing for thing in scene.things if thing.thing == index]
            assert len(drawn) == (2 if named.plural else 1)
            for thing in drawn:
                assert (thing.noun, thing.pattern, thing.size) == (
                    named.noun,
                    named.pattern or PLAIN,
                    named.size or "medium",
                )
                assert thing.colour == (named.colour or thing.colour)
                assert not thing.flipped or thing.noun in FLIPS
        # Things that a caption names apart have colours of their own, so that none is told by another's.
        assert len({(t.thing, t.colour) for t in scene.things}) == len({t.colour for t in scene.things})


def test_what_names_no_colour_has_a_natural_one() -> None:
    rng = np.random.default_rng(3)
    for noun, colours in NATURAL.items():
        description = parse(f"a {noun}")
        assert description is not None
        assert {lay_out(description, rng).things[0].colour for _ in range(30)} <= set(colours), noun


def test_things_overlap_only_where_the_relation_asks_for_it() -> None:
    for description, scene in scenes(1000, 4, FREE):
        boxes = [box(thing) for thing in scene.things]
        for index, one in enumerate(boxes):
            assert not any(overlap(one, other) for other in boxes[:index]), description.caption()
    for description, scene in scenes(300, 5, tuple(SUPPORTS)):
        held, (support,) = groups(scene)
        boxes = [box(thing) for thing in held]
        if support.noun != "pitcher":  # it holds a bunch
            for index, one in enumerate(boxes):
                assert not any(overlap(one, other) for other in boxes[:index]), description.caption()
        if scene.relation == "in":
            assert all(overlap(one, box(support)) for one in boxes), description.caption()


def test_sizes_are_what_they_say_and_can_be_told_apart() -> None:
    for ranges in SIZES.values():
        assert ranges["small"][1] < ranges["medium"][0] and ranges["medium"][1] < ranges["big"][0]
    for description, scene in scenes(1000, 6, FREE):
        number = len(scene.things)
        for thing in scene.things:
            low, high = SIZES[min(number, 3)][thing.size]
            assert thing.radius <= high, description.caption()
            # Three that are wide give way by a hair, so that they fit; four and more as far as they must.
            assert number > 3 or thing.radius >= 0.95 * low, description.caption()


@pytest.mark.parametrize("relation", ["left of", "right of", "above", "below"])
def test_sides_are_true_of_the_boxes(relation: str) -> None:
    for description, scene in scenes(250, 7, (relation,)):
        first, last = groups(scene)
        for one in first:
            for other in last:
                a, b = box(one), box(other)
                clear = {
                    "left of": b[0] - a[2],
                    "right of": a[0] - b[2],
                    "above": b[1] - a[3],
                    "below": a[1] - b[3],
                }[relation]
                assert clear >= 0, description.caption()
                dx, dy = abs(one.x - other.x), abs(one.y - other.y)
                across, along = (dy, dx) if relation in ("left of", "right of") else (dx, dy)
                assert across < 0.8 * along, description.caption()


def test_next_to_is_side_by_side_and_near() -> None:
    for description, scene in scenes(250, 8, ("next to",)):
        first, last = groups(scene)
        pairs = [(one, other) for one in first for other in last]
        gaps = [max(box(b)[0] - box(a)[2], box(a)[0] - box(b)[2]) for a, b in pairs]
        assert 0 <= min(gaps) <= 20.0, description.caption()
        assert all(abs(a.y - b.y) < 0.8 * abs(a.x - b.x) for a, b in pairs), description.caption()


def test_and_puts_things_at_about_one_height() -> None:
    for description, scene in scenes(300, 9, ("and",)):
        ordered = sorted(scene.things, key=lambda thing: thing.x)
        for a, b in pairwise(ordered):
            assert abs(a.y - b.y) < 0.8 * abs(a.x - b.x), description.caption()


def test_what_is_on_something_stands_on_its_level() -> None:
    for description, scene in scenes(300, 10, ("on",)):
        held, (support,) = groups(scene)
        top = SHAPES[support.noun].top
        assert top is not None
        level = support.y + top * support.radius
        assert scene.things[0] == support, "what stands on it is drawn over it"
        for thing in held:
            left, _, right, bottom = box(thing)
            assert bottom == pytest.approx(level, abs=1e-6), description.caption()
            assert box(support)[0] <= left and right <= box(support)[2], description.caption()


def test_what_is_in_something_is_partly_behind_its_rim() -> None:
    for description, scene in scenes(300, 11, ("in",)):
        held, (support,) = groups(scene)
        rim = SHAPES[support.noun].rim
        assert rim is not None
        assert scene.things[-1] == support, "its rim is drawn over what is in it"
        for thing in held:
            _, top, _, bottom = box(thing)
            hidden = (bottom - (support.y + rim * support.radius)) / (bottom - top)
            assert 0.25 <= hidden <= 0.6, description.caption()
            assert box(support)[0] < thing.x < box(support)[2], description.caption()


def test_what_is_under_a_cloth_is_covered_above_and_what_is_under_a_table_stands_below_its_top() -> None:
    seen = set()
    for description, scene in scenes(400, 12, ("under",)):
        held, (support,) = groups(scene)
        seen.add(support.noun)
        for thing in held:
            _, top, _, bottom = box(thing)
            if support.noun == "cloth":
                assert scene.things[-1] == support
                hidden = (box(support)[3] - top) / (bottom - top)
                assert 0.3 <= hidden <= 0.6, description.caption()
                assert box(support)[0] < thing.x < box(support)[2]
            else:
                level = SHAPES["table"].top
                assert level is not None
                assert scene.things[0] == support
                assert bottom == pytest.approx(box(support)[3], abs=1e-6)
                assert top > support.y + level * support.radius, description.caption()
    assert seen == {"cloth", "table"}


def test_supports_have_their_own_size() -> None:
    for _, scene in scenes(300, 13, tuple(SUPPORTS)):
        _, (support,) = groups(scene)
        assert 0.8 * SUPPORT_RADIUS[0] <= support.radius <= SUPPORT_RADIUS[1]


def test_a_scene_follows_from_description_and_generator() -> None:
    rng = np.random.default_rng(14)
    for _ in range(100):
        description = sample_description(rng)
        seed = int(rng.integers(2**31))
        first, second = (lay_out(description, np.random.default_rng(seed)) for _ in range(2))
        assert first == second


@pytest.mark.parametrize("caption", ["apples under a cloth", "an apple and a pear under a cloth"])
def test_two_things_lie_side_by_side_under_a_cloth(caption: str) -> None:
    description = parse(caption)
    assert description is not None
    for seed in range(30):
        scene = lay_out(description, np.random.default_rng(seed))
        cloth = next(thing for thing in scene.things if thing.noun == "cloth")
        held = [thing for thing in scene.things if thing is not cloth]
        assert len(held) == 2 and not overlap(box(held[0]), box(held[1]))
        assert all(min(box(thing)) >= 0 and max(box(thing)) <= SIDE for thing in scene.things)
        for thing in held:
            # Its top is under the cloth, and a part of it looks out below.
            assert overlap(box(thing), box(cloth)) and box(thing)[3] > box(cloth)[3] + 4


@pytest.mark.parametrize("relation", ["left of", "right of", "above", "below"])
def test_of_three_things_the_first_two_stand_in_the_relation_to_the_last(relation: str) -> None:
    description = parse(f"a cat and a dog {relation} a tree")
    assert description is not None
    for seed in range(20):
        scene = lay_out(description, np.random.default_rng(seed))
        assert len(scene.things) == 3
        tree = box(next(thing for thing in scene.things if thing.noun == "tree"))
        for first in (box(thing) for thing in scene.things if thing.noun != "tree"):
            assert {
                "left of": first[2] <= tree[0],
                "right of": first[0] >= tree[2],
                "above": first[3] <= tree[1],
                "below": first[1] >= tree[3],
            }[relation]
