"""The standard prompts are fixed, held out, distinct and mixed; unknown words come with near ones."""

from __future__ import annotations

from collections import Counter

import pytest

from diffuscope.scenes.grammar import mirrored, parse
from diffuscope.scenes.prompts import near_words, standard_prompts
from diffuscope.scenes.split import reasons, split_of
from diffuscope.scenes.vocabulary import NOUNS, PAINTS, PLACES, RELATIONS, known_words


def test_standard_prompts_are_held_out_distinct_and_read_back() -> None:
    prompts = standard_prompts()
    assert len(prompts) == 200
    assert len({prompt.text for prompt in prompts}) == 200
    for prompt in prompts:
        assert split_of(prompt.description) == split_of(mirrored(prompt.description)) == "held-out"
        assert parse(prompt.text) == prompt.description


def test_standard_prompts_never_change() -> None:
    prompts = standard_prompts()
    assert prompts[:30] == standard_prompts(30)
    assert [prompt.text for prompt in prompts[:4]] == [
        "a drawing of a brown flower",
        "a striped fish to the left of a big purple ring on a street",
        "a neon sign of a dotted brown cat and a white apple in a dotted boat in a meadow at night",
        "a pencil sketch of a black bowl on a street",
    ]


def test_standard_prompts_mix_counts_relations_and_places() -> None:
    descriptions = [prompt.description for prompt in standard_prompts()]
    assert Counter(len(d.things) for d in descriptions) == {1: 67, 2: 67, 3: 66}
    relations = Counter(d.relation for d in descriptions if len(d.things) == 2)
    assert set(relations) == set(RELATIONS)
    assert max(relations.values()) - min(relations.values()) <= 1
    assert {d.place for d in descriptions} == {None, *PLACES}
    assert {thing.noun for d in descriptions for thing in d.things} == set(NOUNS)
    assert {thing.colour for d in descriptions for thing in d.things} == {None, *PAINTS}


def test_prompts_of_one_kind() -> None:
    for count in (1, 2, 3):
        assert all(len(p.description.things) == count for p in standard_prompts(20, count=count))
    assert all(split_of(p.description) == "train" for p in standard_prompts(20, split="train"))
    for reason in ("pair", "relation", "prompt"):
        assert all(reasons(p.description) == {reason} for p in standard_prompts(12, count=2, reason=reason))


def test_prompts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        standard_prompts(-1)
    with pytest.raises(ValueError, match="count 1, 2, 3 or None"):
        standard_prompts(5, count=4)


def test_kinds_of_which_there_are_none_are_refused_instead_of_searched_for_ever() -> None:
    with pytest.raises(
        ValueError, match="no descriptions of one thing are held out for the reason 'relation'"
    ):
        standard_prompts(9, count=1, reason="relation")
    with pytest.raises(ValueError, match="no training descriptions"):
        standard_prompts(9, split="train", reason="pair")
    assert {len(p.description.things) for p in standard_prompts(6, reason="relation")} == {2, 3}


def test_unknown_words_come_with_near_ones() -> None:
    assert near_words("a red circle left of a blue square in the snow") == []
    near = dict(near_words("Two crimson balls beside a trianle and a zebra"))
    assert near["crimson"] == ("red",)
    assert near["balls"] == ("circle",)
    assert near["trianle"][0] == "triangle"
    assert near["zebra"] == ("horse",)
    assert list(near)[:2] == ["two", "crimson"]
    assert near["two"] == ()
    assert near_words("squares Squares") == [("squares", ("square",))]


def test_near_words_are_known_words() -> None:
    """A synonym that is itself unknown, or a known word taken for unknown, would mislead."""
    from diffuscope.scenes.prompts import _SYNONYMS

    known = set(known_words())
    assert not known & set(_SYNONYMS)
    assert {word for words in _SYNONYMS.values() for word in words} <= known
