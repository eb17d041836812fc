"""What counts as hit and kept, on pictures drawn by the renderer, so that the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from diffuscope import scenes
from diffuscope.analysis.cause.steering import (
    KINDS,
    Triple,
    Way,
    accepted,
    best_way,
    edit_of,
    judged,
    rate,
    triples_of,
)
from diffuscope.analysis.cause.targets import inside_and_outside, named_in_scene
from diffuscope.edits import Control, Reprompt, Steer
from diffuscope.errors import InputError
from diffuscope.scenes import Description, Placed, Scene, Thing

THINGS = (Thing("circle", "red", "big"), Thing("square", "blue", pattern="striped"))
TOLD = Description(THINGS, "left of", "desert", "morning", "watercolor")
SCENE = Scene(
    (
        Placed("circle", "red", "plain", "big", 34, 64, 27.5),
        Placed("square", "blue", "striped", "medium", 96, 64, 20, thing=1),
    ),
    "desert",
    "morning",
    "watercolor",
    "left of",
)


def picture(scene: Scene) -> Image.Image:
    return Image.fromarray(scenes.render(scene).image)


def with_thing(index: int, **changes: object) -> Scene:
    things = list(SCENE.things)
    things[index] = replace(things[index], **changes)  # type: ignore[arg-type]
    return replace(SCENE, things=tuple(things))


BEFORE = picture(SCENE)
COLOUR = Triple(TOLD, "colour", 0, "green", 0)


def outcome(triple: Triple, after: Scene) -> tuple[bool, bool]:
    reading = accepted(BEFORE, TOLD)
    assert reading is not None
    found = judged(triple, BEFORE, picture(after), reading)
    assert found.success == (found.hit and found.kept)
    return found.hit, found.kept


def test_a_change_of_the_named_thing_alone_is_a_success() -> None:
    assert outcome(COLOUR, with_thing(0, colour="green")) == (True, True)
    assert outcome(Triple(TOLD, "noun", 0, "star", 0), with_thing(0, noun="star")) == (True, True)
    assert outcome(Triple(TOLD, "size", 0, "small", 0), with_thing(0, size="small", radius=13)) == (
        True,
        True,
    )
    assert outcome(Triple(TOLD, "place", None, "sea", 0), replace(SCENE, place="sea")) == (True, True)
    assert outcome(Triple(TOLD, "light", None, "night", 0), replace(SCENE, light="night")) == (True, True)
    assert outcome(Triple(TOLD, "style", None, "neon", 0), replace(SCENE, style="neon")) == (True, True)
    dotted = with_thing(1, pattern="dotted")
    assert outcome(Triple(TOLD, "pattern", 1, "dotted", 0), dotted) == (True, True)


def test_nothing_done_is_no_hit_and_all_is_kept() -> None:
    assert [outcome(Triple(TOLD, kind, None if kind in ("place", "light") else 0, target, 0), SCENE)
            for kind, target in (("colour", "green"), ("noun", "star"), ("size", "small"), ("place", "sea"))
            ] == [(False, True)] * 4  # fmt: skip


def test_the_target_on_the_other_thing_is_no_hit() -> None:
    assert outcome(COLOUR, with_thing(1, colour="green")) == (False, False)


def test_a_hit_that_costs_something_else_is_no_success() -> None:
    green = with_thing(0, colour="green")
    other = replace(green.things[1], colour="pink")
    assert outcome(COLOUR, replace(green, things=(green.things[0], other))) == (True, False)
    gone = replace(green, things=green.things[:1])
    assert outcome(COLOUR, gone) == (True, False)
    moved = replace(green.things[1], y=40.0)
    assert outcome(COLOUR, replace(green, things=(green.things[0], moved))) == (True, False)
    assert outcome(COLOUR, replace(green, place="sea")) == (True, False)
    reading = accepted(BEFORE, TOLD)
    assert reading is not None
    shaded = np.asarray(picture(green)).astype(int)
    shaded[:30] -= 30  # only the background's upper edge, more than is noticed over all of it
    after = Image.fromarray(shaded.clip(0, 255).astype(np.uint8))
    found = judged(COLOUR, BEFORE, after, reading)
    assert found.objects and not found.kept and found.background > 2.3


def test_a_baseline_that_is_wrong_is_not_counted() -> None:
    assert accepted(picture(with_thing(1, colour="pink")), TOLD) is None


def test_triples_ask_for_something_new_and_only_for_what_is_named() -> None:
    for seed in range(30):
        found = {each.kind: each for each in triples_of(TOLD, seed)}
        assert set(found) == set(KINDS)
        assert found["colour"].target not in ("red", "blue") and found["noun"].target not in (
            "circle",
            "square",
        )
        assert found["size"].thing == 0 and found["size"].target == "small"
        assert found["pattern"].thing == 1 and found["pattern"].target == "dotted"
        assert found["place"].target != "desert" and found["light"].target == "night"
        assert found["style"].target in ("neon", "pencil")
    assert triples_of(TOLD, 4) == triples_of(TOLD, 4)
    plain = Description((Thing("tree"),))
    assert [each.kind for each in triples_of(plain, 0)] == ["noun"]
    assert not triples_of(Description((Thing("tree", "red", plural=True),)), 0)
    with pytest.raises(InputError, match="kinds of steering"):
        triples_of(TOLD, 0, ("material",))  # type: ignore[arg-type]


def test_ways_become_the_edits_that_they_say() -> None:
    assert edit_of(COLOUR, Way("noun", 1.5, "0:15")) == Steer(
        "big green circle", word="circle", strength=1.5, steps="0:15"
    )
    assert edit_of(COLOUR, Way("phrase")) == Steer("big green circle", word="big red circle")
    assert edit_of(COLOUR, Way("guidance")) == Steer(
        "big green circle", away="big red circle", space="guidance"
    )
    night = Triple(TOLD, "light", None, "night", 0)
    assert edit_of(night, Way("phrase")) == Steer("at night", word="in morning light")
    assert edit_of(night, Way("noun")) == Steer("night", word="light")
    assert edit_of(COLOUR, Way(prompted=True)) == Reprompt(
        "a big green circle left of a striped blue square in the desert in morning light in a watercolor painting"
    )
    noise = edit_of(COLOUR, Way("phrase", noise=True))
    assert isinstance(noise, Control) and noise.edit == edit_of(COLOUR, Way("phrase"))


def test_rates_and_the_best_way() -> None:
    reading = accepted(BEFORE, TOLD)
    assert reading is not None
    good = judged(COLOUR, BEFORE, picture(with_thing(0, colour="green")), reading)
    bad = judged(COLOUR, BEFORE, BEFORE, reading)
    line = rate("x", "colour", [good, good, bad, good])
    assert line.hit[0] == 0.75 and line.kept[0] == 1 and line.success == (0.75, *scenes.wilson(3, 4))
    one, two = Way("noun"), Way("phrase")
    assert best_way([one, two], {one: [bad, good], two: [good, good]}) == two
    assert best_way([one, two], {one: [good], two: [good]}) == one


def test_words_of_the_drawn_world_name_their_pixels() -> None:
    prompt = TOLD.caption()
    circle, square = (each.mask for each in scenes.read(BEFORE).objects)
    assert (named_in_scene(BEFORE, prompt, "striped") == square).all()  # type: ignore[union-attr]
    for words in ("circle", "red", "big", "red circle", "big + circle"):
        found = named_in_scene(BEFORE, prompt, words)
        assert found is not None and (found == circle).all()
    assert (named_in_scene(BEFORE, prompt, "square") == square).all()  # type: ignore[union-attr]
    assert (named_in_scene(BEFORE, prompt, "desert") == ~(circle | square)).all()  # type: ignore[union-attr]
    assert (
        named_in_scene(BEFORE, prompt, "left") is None and named_in_scene(BEFORE, "a zebra", "zebra") is None
    )
    missing = named_in_scene(picture(replace(SCENE, things=SCENE.things[:1])), prompt, "square")
    assert missing is not None and not missing.any()
    change = np.where(circle, 4.0, 1.0)
    assert inside_and_outside(change, circle) == (4, 1)
