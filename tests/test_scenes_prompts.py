"""The standard prompts are fixed, held out, distinct and mixed."""

from __future__ import annotations

from collections import Counter

import pytest

from diffuscope.scenes.grammar import mirrored, parse, split_of
from diffuscope.scenes.prompts import standard_prompts
from diffuscope.scenes.vocabulary import RELATIONS


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
    assert [prompt.text for prompt in prompts[:3]] == [
        "a purple tree in a meadow",
        "there is a small blue house left of a triangle in the snow",
        "a picture of a small white house to the right of a red heart at night",
    ]


def test_standard_prompts_mix_counts_relations_and_places() -> None:
    descriptions = [prompt.description for prompt in standard_prompts()]
    assert Counter(len(d.things) for d in descriptions) == {1: 67, 2: 133}
    relations = Counter(d.relation for d in descriptions if d.relation)
    assert set(relations) == set(RELATIONS)
    assert max(relations.values()) - min(relations.values()) <= 1
    places = Counter(d.place for d in descriptions)
    assert len(places) == 7
    assert min(places.values()) >= 15


def test_prompts_of_one_kind() -> None:
    assert all(len(p.description.things) == 2 for p in standard_prompts(20, count=2))
    assert all(p.description.place for p in standard_prompts(20, places=True))
    assert not any(p.description.place for p in standard_prompts(20, places=False))
    assert all(split_of(p.description) == "train" for p in standard_prompts(20, split="train"))


def test_prompts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        standard_prompts(-1)
    with pytest.raises(ValueError, match="count 1, 2 or None"):
        standard_prompts(5, count=3)
    with pytest.raises(ValueError, match="fewer than"):
        standard_prompts(100, count=1, places=False)
