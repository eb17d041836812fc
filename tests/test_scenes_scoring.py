"""Scores hold readings against captions part by part; summaries count what was named."""

from __future__ import annotations

import numpy as np
import pytest

from diffuscope.scenes.grammar import Description, Thing, lay_out, parse
from diffuscope.scenes.judge import Found, Reading, read
from diffuscope.scenes.prompts import near_words, standard_prompts
from diffuscope.scenes.renderer import render
from diffuscope.scenes.scoring import PARTS, Score, as_text, score, summarise, wilson


def seen(
    noun: str | None, colour: str | None, x: float, y: float = 64.0, size: str | None = "medium"
) -> Found:
    nothing = np.zeros((128, 128))
    return Found(noun, colour, size, x, y, 20.0, nothing > 0, nothing.astype(np.float32), 0.9)


def asked(caption: str) -> Description:
    description = parse(caption)
    assert description is not None
    return description


def test_a_right_picture_is_right_in_every_named_part() -> None:
    reading = Reading("snow", (seen("square", "blue", 90), seen("circle", "red", 30, size="small")))
    result = score(reading, asked("a small red circle left of a blue square in the snow"))
    assert result == Score(True, True, True, True, True, True, matched=(1, 0))
    assert result.all
    assert result.wrong() == ()


def test_parts_that_are_not_named_are_none_and_anything_is_accepted() -> None:
    result = score(Reading("night", (seen("circle", "pink", 30, size="big"),)), asked("a circle"))
    assert (result.colours, result.sizes, result.place, result.relation) == (None, None, None, None)
    assert result.all


def test_swapped_colours_are_not_bound() -> None:
    reading = Reading("plain", (seen("circle", "blue", 30), seen("square", "red", 90)))
    result = score(reading, asked("a red circle and a blue square"))
    assert result.nouns
    assert result.colours is False
    assert not result.bound
    assert result.relation is None


def test_a_wrong_side_is_the_relation_s_fault_alone() -> None:
    reading = Reading("plain", (seen("circle", "red", 90), seen("square", "blue", 30)))
    assert score(reading, asked("a red circle left of a blue square")).wrong() == ("relation",)
    assert score(reading, asked("a red circle right of a blue square")).wrong() == ()


def test_a_missing_thing_is_missed_in_every_part_of_it() -> None:
    reading = Reading("plain", (seen("square", "blue", 30),))
    result = score(reading, asked("a red circle above a blue square"))
    assert result.matched == (None, 0)
    assert result.wrong() == ("nouns", "colours", "relation", "count")


def test_a_doubled_thing_is_the_count_s_fault_alone() -> None:
    reading = Reading(
        "plain", (seen("circle", "red", 110), seen("square", "blue", 64), seen("circle", "red", 20))
    )
    result = score(reading, asked("a red circle left of a blue square"))
    assert result.wrong() == ("count",)
    assert result.matched == (2, 1)


def test_a_thing_known_by_its_colour_still_stands_somewhere() -> None:
    reading = Reading("plain", (seen(None, "red", 20), seen("square", "blue", 64)))
    result = score(reading, asked("a red circle left of a blue square"))
    assert result.wrong() == ("nouns", "colours")
    assert result.relation is True


def test_a_place_that_was_not_found_is_wrong() -> None:
    assert score(Reading(None, (seen("star", "red", 20),)), asked("a star at night")).place is False


def test_drawn_scenes_score_right_in_every_part() -> None:
    rng = np.random.default_rng(8)
    prompts = standard_prompts(60)
    results = [score(read(render(lay_out(p.description, rng)).image), p.description) for p in prompts]
    assert sum(result.all for result in results) >= 59


def test_the_summary_counts_only_what_was_named() -> None:
    results = [
        Score(True, True, None, True, None, True, (0,)),
        Score(True, False, None, None, None, True, (0,)),
        Score(False, None, None, None, None, False, (None,)),
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
    assert not score(Reading("plain", ()), Description((Thing("ring"),))).count


def test_unknown_words_come_with_near_ones() -> None:
    assert near_words("a red circle left of a blue square in the snow") == []
    near = dict(near_words("Two crimson balls beside a trianle and a zebra"))
    assert near["crimson"] == ("red",)
    assert near["balls"] == ("circle",)
    assert near["trianle"] == ("triangle",)
    assert near["zebra"] == ()
    assert list(near)[:2] == ["two", "crimson"]
    assert near_words("circles Circles") == [("circles", ("circle",))]
