"""Captions say what descriptions mean and are read back exactly; the split holds pairs out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diffuscope.scenes.grammar import Description, Thing, parse, sample_description, sample_split, split_of
from diffuscope.scenes.vocabulary import COLOURS, NOUNS, PLACES, RELATIONS, known_words


def test_captions_are_read_back_whatever_the_phrasing() -> None:
    rng = np.random.default_rng(3)
    for _ in range(1000):
        description = sample_description(rng)
        assert parse(description.caption()) == description
        phrased = description.caption(rng)
        assert parse(phrased) == description, phrased


def test_captions_use_known_words_only() -> None:
    rng = np.random.default_rng(4)
    known = set(known_words())
    for _ in range(1000):
        words = sample_description(rng).caption(rng).replace(",", " , ").split()
        assert set(words) <= known


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red circle", Description((Thing("circle", "red"),))),
        ("An orange ring in the snow.", Description((Thing("ring", "orange"),), place="snow")),
        ("at night, the small moon", Description((Thing("moon", None, "small"),), place="night")),
        (
            "a big blue house to the left of a tree in a meadow",
            Description((Thing("house", "blue", "big"), Thing("tree")), "left of", "meadow"),
        ),
    ],
)
def test_captions_that_a_person_would_write(caption: str, expected: Description) -> None:
    assert parse(caption) == expected


@pytest.mark.parametrize(
    "caption", ["", "a red dog", "in the sea", "a circle and a square and a star", "a circle near a star"]
)
def test_what_is_no_caption_of_this_world_is_none(caption: str) -> None:
    assert parse(caption) is None


def test_two_things_always_have_one_right_reading() -> None:
    rng = np.random.default_rng(5)
    for _ in range(500):
        first, second = sample_description(rng, count=2).things
        assert first.noun != second.noun
        assert first.colour is None or first.colour != second.colour


def test_the_split_is_fixed_and_looks_at_pairs_and_relation_only() -> None:
    held_out = Description((Thing("ring", "orange"),))
    assert split_of(held_out) == "held-out"
    assert split_of(replace(held_out, place="snow")) == "held-out"
    assert split_of(Description((Thing("ring", "orange", "big"),))) == "held-out"
    assert split_of(Description((Thing("circle", "red"),))) == "train"


def test_the_split_holds_about_one_in_twelve_out_and_samples_from_its_side() -> None:
    rng = np.random.default_rng(6)
    shares = [split_of(sample_description(rng, count=2)) == "held-out" for _ in range(6000)]
    assert np.mean(shares) == pytest.approx(1 / 12, abs=0.02)
    for side in ("train", "held-out"):
        assert all(split_of(sample_split(rng, side)) == side for _ in range(50))


def test_training_still_meets_every_word() -> None:
    rng = np.random.default_rng(7)
    seen: set[str] = set()
    for _ in range(2000):
        seen.update(sample_split(rng, "train").caption(rng).replace(",", " ").split())
    assert {*NOUNS, *COLOURS} <= seen
    assert {word for words in PLACES.values() for word in words.split()} <= seen
    assert {word for ways in RELATIONS.values() for way in ways for word in way.split()} <= seen
