"""The split is fixed by the words alone, and training never shows what it holds out."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from diffuscope.scenes.grammar import Description, Thing, mirrored, parse, sample_description
from diffuscope.scenes.layout import lay_out
from diffuscope.scenes.split import SHOWN, UNSEEN_PAIRS, reasons, sample_split, split_of, unseen_pair
from diffuscope.scenes.vocabulary import (
    COLOURS,
    LIGHTS,
    MATERIALS,
    NATURAL,
    NOUNS,
    PAINTS,
    PATTERNS,
    PLACES,
    PLURALS,
    RELATIONS,
    SIZE_WORDS,
    STYLES,
)

SEEDS_PROMPTS = (
    "a cat and a dog in a living room",
    "a red car in a watercolor painting",
    "a red apple in a blue bowl",
    "a red apple under a cloth",
    "a red apple on a wooden table in morning light",
    "a still life of pears and a brass pitcher on a wooden table",
    "a car and buildings on a street",
)


def told(caption: str) -> Description:
    description = parse(caption)
    assert description is not None, caption
    return description


def test_the_unseen_pairs_never_change() -> None:
    """Trained models depend on this list: a change of it makes every held-out figure meaningless."""
    listed = ", ".join(f"{colour} {noun}" for colour, noun in UNSEEN_PAIRS)
    assert len(UNSEEN_PAIRS) == 23
    assert listed == (
        "red fish, orange star, orange apple, yellow ring, yellow dog, yellow horse, green square, green boat, "
        "green dog, green bird, blue sun, blue unicorn, purple triangle, pink pear, brown heart, brown tree, "
        "brown cat, brown pegasus, brown pear, brown table, black flower, black table, white heart"
    )


def test_the_sides_of_many_descriptions_never_change() -> None:
    rng = np.random.default_rng(11)
    sides = "".join(",".join(sorted(reasons(sample_description(rng)))) + ";" for _ in range(500))
    assert hashlib.sha256(sides.encode()).hexdigest()[:16] == "f5448e31f13809ed"


def test_every_reason_holds_out_for_itself() -> None:
    assert reasons(told("a red circle")) == frozenset()
    assert reasons(told("a yellow horse in the snow")) >= {"pair"}
    assert split_of(told("a big dotted yellow ring")) == "held-out"
    assert not any(unseen_pair(material, noun) for material in MATERIALS for noun in NOUNS)
    rng = np.random.default_rng(12)
    for reason in ("pair", "relation", "prompt"):
        for _ in range(10):
            description = sample_split(rng, "held-out", reason=reason)
            assert reasons(description) == {reason}
    # A relation is held out whatever else is said of the two nouns; one prompt is held out for all that is said.
    relation = sample_split(rng, "held-out", count=2, reason="relation")
    plain = tuple(replace(thing, colour=None, size=None, pattern=None) for thing in relation.things)
    assert "relation" in reasons(Description(plain, relation.relation))
    prompt = sample_split(rng, "held-out", reason="prompt")
    others = [replace(prompt, place=place) for place in PLACES if place != prompt.place]
    assert any(reasons(other) == frozenset() for other in others)


def test_a_scene_and_its_mirror_are_on_the_same_side() -> None:
    rng = np.random.default_rng(13)
    for _ in range(600):
        description = sample_description(rng, count=2)
        assert reasons(description) == reasons(mirrored(description))


def test_the_side_does_not_hang_on_the_phrasing() -> None:
    rng = np.random.default_rng(14)
    for _ in range(500):
        description = sample_description(rng)
        assert reasons(told(description.caption(rng))) == reasons(description)


@pytest.mark.parametrize(
    "caption", [*SEEDS_PROMPTS, *(f"a {colour} {noun}" for colour, noun in sorted(SHOWN))]
)
def test_the_prompts_of_the_documentation_are_not_held_out_for_a_pair(caption: str) -> None:
    description = told(caption)
    assert "pair" not in reasons(description)
    lay_out(description, np.random.default_rng(0))


def test_training_never_draws_an_unseen_pair_even_by_chance() -> None:
    rng = np.random.default_rng(15)
    unseen = set(UNSEEN_PAIRS)
    for _ in range(1200):
        scene = lay_out(sample_split(rng, "train"), rng)
        assert not any((thing.colour, thing.noun) in unseen for thing in scene.things)
    # Those whose caption names no colour are the ones that could: here nothing but chance chooses.
    for noun in NOUNS:
        bare = Description((Thing(noun),))
        assert not any((lay_out(bare, rng).things[0].colour, noun) in unseen for _ in range(15))
        assert any(not unseen_pair(paint, noun) for paint in NATURAL.get(noun, COLOURS))


def test_the_sides_are_disjoint_and_each_reason_has_its_share() -> None:
    rng = np.random.default_rng(16)
    number = 3000
    found = [reasons(sample_description(rng)) for _ in range(number)]
    share = {
        reason: sum(reason in why for why in found) / number for reason in ("pair", "relation", "prompt")
    }
    # Single prompts are one in twelve by construction; three standard errors are 0.015.
    assert share["prompt"] == pytest.approx(1 / 12, abs=0.016)
    assert 0.06 < share["pair"] < 0.18
    assert 0.02 < share["relation"] < 0.08
    for side in ("train", "held-out"):
        drawn = [sample_split(rng, side) for _ in range(200)]
        assert all(split_of(description) == side for description in drawn)
        assert all((not reasons(description)) == (side == "train") for description in drawn)


def test_training_still_meets_every_word() -> None:
    rng = np.random.default_rng(17)
    seen: set[str] = set()
    for _ in range(1200):
        seen.update(sample_split(rng, "train").caption(rng).replace(",", " ").split())
    phrases = [*NOUNS, *PLURALS.values(), *PAINTS, *PATTERNS, *SIZE_WORDS, *PLACES.values(), *LIGHTS.values()]
    phrases += [phrase for pair in STYLES.values() for phrase in pair]
    phrases += [phrase for phrasings in RELATIONS.values() for phrase in phrasings]
    assert {word for phrase in phrases for word in phrase.split()} <= seen
