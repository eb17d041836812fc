"""Scores hold readings against captions part by part; summaries count what was named."""

from __future__ import annotations

import numpy as np
import pytest

from diffuscope.scenes.grammar import Description, Thing, parse
from diffuscope.scenes.judge import Found, Reading, read
from diffuscope.scenes.layout import lay_out
from diffuscope.scenes.prompts import standard_prompts
from diffuscope.scenes.renderer import render
from diffuscope.scenes.scoring import PARTS, Score, as_text, score, summarise, wilson


def seen(
    noun: str | None,
    colour: str | None,
    x: float,
    y: float = 64.0,
    radius: float = 20.0,
    pattern: str = "plain",
) -> Found:
    nothing = np.zeros((128, 128))
    return Found(noun, colour, pattern, None, x, y, radius, nothing > 0, nothing.astype(np.float32), 0.9)


def picture(
    *objects: Found, place: str | None = "plain", light: str = "plain", style: str = "plain"
) -> Reading:
    return Reading(place, light, style, objects)


def asked(caption: str) -> Description:
    description = parse(caption)
    assert description is not None
    return description


def test_a_right_picture_is_right_in_every_named_part() -> None:
    reading = picture(
        seen("square", "blue", 90),
        seen("circle", "red", 30, radius=13.0, pattern="dotted"),
        place="snow",
        style="neon",
    )
    result = score(
        reading, asked("a small dotted red circle left of a blue square in the snow as a neon sign")
    )
    assert result == Score(
        nouns=True,
        colours=True,
        patterns=True,
        sizes=True,
        place=True,
        style=True,
        relation=True,
        count=True,
        matched=((1,), (0,)),
    )
    assert result.all
    assert result.wrong() == ()


def test_parts_that_are_not_named_are_none_and_anything_is_accepted() -> None:
    reading = picture(seen("circle", "pink", 30, radius=40, pattern="striped"), place="sea", light="night")
    result = score(reading, asked("a circle"))
    parts = ("colours", "patterns", "sizes", "place", "light", "style", "relation")
    assert [getattr(result, part) for part in parts] == [None] * len(parts)
    assert result.all


def test_light_style_and_pattern_are_judged_each_for_itself() -> None:
    caption = asked("a striped cat on a street at night in a watercolor painting")
    right = picture(
        seen("cat", "red", 64, pattern="striped"), place="street", light="night", style="watercolor"
    )
    assert score(right, caption).all
    other = picture(seen("cat", "red", 64), place="street", light="morning", style="pencil")
    assert score(other, caption).wrong() == ("patterns", "light", "style")


def test_swapped_colours_are_not_bound() -> None:
    result = score(
        picture(seen("circle", "blue", 30), seen("square", "red", 90)),
        asked("a red circle and a blue square"),
    )
    assert result.nouns
    assert result.colours is False
    assert not result.bound
    assert result.relation is None


def test_a_wrong_side_is_the_relation_s_fault_alone() -> None:
    reading = picture(seen("circle", "red", 90), seen("square", "blue", 30))
    assert score(reading, asked("a red circle left of a blue square")).wrong() == ("relation",)
    assert score(reading, asked("a red circle right of a blue square")).wrong() == ()


def test_a_missing_thing_is_missed_in_every_part_of_it() -> None:
    result = score(picture(seen("square", "blue", 30)), asked("a red circle above a blue square"))
    assert result.matched == ((None,), (0,))
    assert result.wrong() == ("nouns", "colours", "relation", "count")


def test_a_doubled_thing_is_the_count_s_fault_alone() -> None:
    reading = picture(seen("circle", "red", 110), seen("square", "blue", 64), seen("circle", "red", 20))
    result = score(reading, asked("a red circle left of a blue square"))
    assert result.wrong() == ("count",)
    assert result.matched == ((2,), (1,))


def test_a_plural_asks_for_two() -> None:
    caption = asked("red apples and a blue bowl")
    both = picture(seen("apple", "red", 20), seen("bowl", "blue", 64), seen("apple", "red", 100))
    assert score(both, caption).all
    assert set(score(both, caption).matched[0]) == {0, 2}
    one = picture(seen("apple", "red", 20), seen("bowl", "blue", 64))
    assert score(one, caption).wrong() == ("nouns", "colours", "count")
    other = picture(seen("apple", "red", 20), seen("bowl", "blue", 64), seen("apple", "green", 100))
    assert score(other, caption).wrong() == ("colours",)


def test_a_plural_stands_in_a_relation_with_both() -> None:
    caption = asked("red apples left of a blue bowl")
    both = picture(seen("apple", "red", 20), seen("apple", "red", 50), seen("bowl", "blue", 100))
    assert score(both, caption).relation is True
    one = picture(seen("apple", "red", 20), seen("bowl", "blue", 100))
    assert score(one, caption).relation is False


def test_three_things_are_told_apart() -> None:
    reading = picture(seen("cat", "red", 20), seen("dog", "blue", 60), seen("fish", "green", 100))
    assert score(reading, asked("a green fish, a red cat and a blue dog")).matched == ((2,), (0,), (1,))
    assert score(reading, asked("a green fish, a red cat and a blue bird")).wrong() == ("nouns", "colours")


def test_sizes_are_judged_among_as_many_as_are_asked_for() -> None:
    # 26 pixels: big among two, of medium size alone.
    pair = asked("a big cat and a dog")
    assert score(picture(seen("cat", "red", 30, radius=27.5), seen("dog", "blue", 90)), pair).sizes
    alone = asked("a big cat")
    assert score(picture(seen("cat", "red", 30, radius=27.5)), alone).sizes is False
    # A ghost beside it changes nothing about that.
    assert score(picture(seen("cat", "red", 30, radius=40.0), seen(None, "blue", 90)), alone).wrong() == (
        "count",
    )


def test_a_thing_known_by_its_colour_still_stands_somewhere() -> None:
    reading = picture(seen(None, "red", 20), seen("square", "blue", 64))
    result = score(reading, asked("a red circle left of a blue square"))
    assert result.wrong() == ("nouns", "colours")
    assert result.relation is True


def test_a_place_that_was_not_found_is_wrong() -> None:
    assert score(picture(seen("star", "red", 20), place=None), asked("a star in the sky")).place is False


def test_many_things_do_not_take_long() -> None:
    crowd = picture(*(seen("apple", "red", 8.0 * at) for at in range(14)))
    assert not score(crowd, asked("red apples, red pears and red stars")).count


def test_drawn_scenes_score_right_in_every_part() -> None:
    rng = np.random.default_rng(8)
    prompts = standard_prompts(60)
    results = [score(read(render(lay_out(p.description, rng)).image), p.description) for p in prompts]
    rows = summarise(results)
    # Every part occurs. A picture names some two things, so that 99 % of things read right is 98 % of pictures; "all"
    # asks for ten parts at once.
    assert [row.part for row in rows if not row.n] == []
    assert [row for row in rows if row.high < (0.95 if row.part == "all" else 0.98)] == []


def test_the_summary_counts_only_what_was_named() -> None:
    results = [
        Score(True, True, place=True, matched=((0,),)),
        Score(True, False, matched=((0,),)),
        Score(False, None, count=False, matched=((None,),)),
    ]
    rows = {row.part: row for row in summarise(results)}
    assert tuple(rows) == PARTS
    assert (rows["nouns"].n, rows["nouns"].right) == (3, 2)
    assert (rows["colours"].n, rows["colours"].right) == (2, 1)
    assert (rows["bound"].n, rows["bound"].right) == (3, 1)
    assert (rows["sizes"].n, rows["sizes"].rate, rows["sizes"].low, rows["sizes"].high) == (0, 0.0, 0.0, 1.0)
    assert (rows["all"].n, rows["all"].right) == (3, 1)
    assert "66.7%" in as_text(list(rows.values()))


def test_wilson_intervals_match_published_values() -> None:
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for right, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(200, 200)[1] == 1.0


def test_a_description_of_one_thing_needs_one_thing() -> None:
    assert not score(picture(), Description((Thing("ring"),))).count
