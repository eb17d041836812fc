"""Captions say what descriptions mean and are read back exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffuscope.scenes.grammar import MIRRORED, Description, Thing, mirrored, parse, sample_description
from diffuscope.scenes.vocabulary import (
    COLOURS,
    DETAILS,
    HELD,
    LIGHTS,
    MADE_OF,
    MATERIALS,
    NATURAL,
    NOUNS,
    PAINTS,
    PATTERNED,
    PATTERNS,
    PLACES,
    PLURALS,
    RELATIONS,
    SIZE_WORDS,
    STYLES,
    SUPPORTS,
    known_words,
)


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    """Anything that a caption can say, also what `sample_description` never draws."""
    count = draw(st.integers(1, 3))
    relation = draw(st.sampled_from(list(RELATIONS))) if count > 1 else None
    last = draw(st.sampled_from(SUPPORTS.get(relation or "", NOUNS)))
    others = HELD[last] if relation in SUPPORTS else NOUNS
    things = []
    for noun in [*(draw(st.sampled_from(others)) for _ in range(count - 1)), last]:
        paints = [name for name in PAINTS if name not in MATERIALS or noun in MADE_OF[name]]
        things.append(
            Thing(
                noun,
                draw(st.none() | st.sampled_from(paints)),
                draw(st.none() | st.sampled_from(SIZE_WORDS)),
                draw(st.none() | st.sampled_from(PATTERNS)),
                draw(st.booleans()) if noun in PLURALS else False,
            )
        )
    return Description(
        tuple(things),
        relation,
        place=draw(st.none() | st.sampled_from(list(PLACES))),
        light=draw(st.none() | st.sampled_from(list(LIGHTS))),
        style=draw(st.none() | st.sampled_from(list(STYLES))),
    )


@settings(max_examples=150, deadline=None)
@given(descriptions(), st.integers(0, 2**32 - 1))
def test_every_caption_is_read_back_whatever_the_phrasing(description: Description, seed: int) -> None:
    assert parse(description.caption()) == description
    phrased = description.caption(np.random.default_rng(seed))
    assert parse(phrased) == description, phrased


@pytest.mark.parametrize(
    "caption",
    [
        "a circle red",
        "red, a circle",
        "a big circle, striped",
        "a brass cat",
        "a wooden circle",
        "a cat on a horse",
        "a table in a bowl",
        "a cat in a table",
    ],
)
def test_what_says_nothing_that_could_be_drawn_is_no_caption(caption: str) -> None:
    assert parse(caption) is None


def test_the_longest_captions_fit_the_text_encoder() -> None:
    things = (
        Thing("circle", "orange", "small", "striped"),
        Thing("square", "purple", "small", "dotted"),
        Thing("triangle", "green", "small", "striped"),
    )
    description = Description(things, "and", "living room", "morning", "watercolor")
    rng = np.random.default_rng(0)
    said = {description.caption(rng) for _ in range(200)}
    assert len(said) > 2 and all(len(each.replace(",", " , ").split()) <= 30 for each in said)
    assert all(parse(each) == description for each in said)


def test_sampled_captions_are_read_back_and_use_known_words_only() -> None:
    rng = np.random.default_rng(3)
    known = set(known_words())
    for _ in range(1500):
        description = sample_description(rng)
        phrased = description.caption(rng)
        assert parse(phrased) == description, phrased
        assert set(phrased.replace(",", " , ").split()) <= known, phrased


def test_noun_phrases_are_english() -> None:
    assert Thing("unicorn").phrase() == "a unicorn"
    assert Thing("apple").phrase() == "an apple"
    assert Thing("unicorn", "orange").phrase() == "an orange unicorn"
    assert Thing("pear", "green", plural=True).phrase() == "green pears"


def test_a_description_has_many_phrasings() -> None:
    rng = np.random.default_rng(5)
    things = (Thing("cat", "black"), Thing("dog", "white", "big"))
    description = Description(things, "left of", "meadow", "night", "pencil")
    phrasings = {description.caption(rng) for _ in range(300)}
    assert "a black cat left of a big white dog in a meadow at night as a pencil sketch" in phrasings
    assert "a pencil sketch of a black cat to the left of a big white dog in a meadow at night" in phrasings
    assert "in a meadow, a black cat left of a big white dog at night as a pencil sketch" in phrasings
    assert len(phrasings) >= 8


A_CAT, TABLE = Thing("cat"), Thing("table", "wooden")


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a cat and a dog in a living room", Description((A_CAT, Thing("dog")), "and", "living room")),
        ("a red car in a watercolor painting", Description((Thing("car", "red"),), style="watercolor")),
        ("a red apple in a blue bowl", Description((Thing("apple", "red"), Thing("bowl", "blue")), "in")),
        ("a red apple under a cloth", Description((Thing("apple", "red"), Thing("cloth")), "under")),
        (
            "a red apple on a wooden table in morning light",
            Description((Thing("apple", "red"), TABLE), "on", light="morning"),
        ),
        (
            "a still life of pears and a brass pitcher on a wooden table",
            Description((Thing("pear", plural=True), Thing("pitcher", "brass"), TABLE), "on"),
        ),
        (
            "a car and buildings on a street",
            Description((Thing("car"), Thing("building", plural=True)), "and", "street"),
        ),
        ("An orange ring in the snow.", Description((Thing("ring", "orange"),), place="snow")),
        ("at night, the small moon", Description((Thing("moon", None, "small"),), light="night")),
        (
            "a neon sign of a big dotted blue fish beside a unicorn",
            Description((Thing("fish", "blue", "big", "dotted"), Thing("unicorn")), "next to", style="neon"),
        ),
        (
            "a cat, a dog and a bird in the sky at night",
            Description((A_CAT, Thing("dog"), Thing("bird")), "and", "sky", "night"),
        ),
    ],
)
def test_captions_that_a_person_would_write(caption: str, expected: Description) -> None:
    assert parse(caption) == expected


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a red giraffe",
        "in the sea",
        "a circle and a square and a star and a heart",
        "a circle near a star",
        "a pears",
        "cat",
        "a shiny red circle",
        "a cat on a table and a dog",
    ],
)
def test_what_is_no_caption_of_this_world_is_none(caption: str) -> None:
    assert parse(caption) is None


@settings(max_examples=80, deadline=None)
@given(descriptions())
def test_the_mirror_of_a_mirror_is_the_same_scene(description: Description) -> None:
    there = mirrored(description)
    assert mirrored(there) == description
    if len(description.things) == 2 and description.relation in MIRRORED:
        assert there.things == description.things[::-1]
    else:
        assert there == description


def test_left_seen_from_the_other_end_is_right() -> None:
    told = parse("a cat left of a dog in a meadow")
    assert told is not None
    assert mirrored(told) == parse("a dog right of a cat in a meadow")
    held = replace(told, relation="on")
    assert mirrored(held) == held


def test_a_sampled_description_always_has_one_right_reading() -> None:
    rng = np.random.default_rng(6)
    for _ in range(1500):
        description = sample_description(rng)
        things = description.things
        assert len({thing.noun for thing in things}) == len(things)
        colours = [thing.colour for thing in things if thing.colour]
        assert len(set(colours)) == len(colours)
        assert (description.relation is None) == (len(things) == 1)
        for thing in things:
            if thing.colour in MATERIALS:
                assert thing.noun in MADE_OF[thing.colour]
            assert thing.pattern is None or thing.noun in PATTERNED
            assert not thing.plural or (thing.noun in PLURALS and thing.size is None)
        if description.relation in SUPPORTS:
            support = things[-1].noun
            assert support in SUPPORTS[description.relation]
            assert all(thing.noun in HELD[support] and thing.size is None for thing in things[:-1])


def test_samples_reach_everything_that_can_be_said() -> None:
    rng = np.random.default_rng(7)
    drawn = [sample_description(rng) for _ in range(3000)]
    things = [thing for description in drawn for thing in description.things]
    assert {thing.noun for thing in things} == set(NOUNS)
    assert {thing.colour for thing in things} == {None, *PAINTS}
    assert {thing.pattern for thing in things} == {None, *PATTERNS}
    assert {thing.size for thing in things} == {None, *SIZE_WORDS}
    assert {thing.noun for thing in things if thing.plural} == set(PLURALS)
    assert {description.relation for description in drawn} == {None, *RELATIONS}
    assert {description.place for description in drawn} == {None, *PLACES}
    assert {description.light for description in drawn} == {None, *LIGHTS}
    assert {description.style for description in drawn} == {None, *STYLES}
    for count in (1, 2, 3):
        assert {len(sample_description(rng, count=count).things) for _ in range(20)} == {count}


def test_the_vocabulary_speaks_of_nouns_and_paints_that_there_are() -> None:
    """Every list that names nouns or paints names known ones, so that no line of it is dead."""
    assert len(set(NOUNS)) == len(NOUNS)
    lists = [
        PATTERNED,
        *DETAILS.values(),
        *MADE_OF.values(),
        *SUPPORTS.values(),
        *HELD.values(),
        HELD,
        NATURAL,
        PLURALS,
    ]
    for nouns in lists:
        assert set(nouns) <= set(NOUNS)
    assert {support for supports in SUPPORTS.values() for support in supports} == set(HELD)
    assert all(set(paints) <= set(PAINTS) for paints in NATURAL.values())
    assert len(COLOURS) == 10
    words = known_words()
    assert len(set(words)) == len(words)
