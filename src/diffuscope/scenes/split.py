"""Which descriptions a model may learn from, and which are kept to ask it about afterwards. Part of the package.

A description is held out for one or more of three reasons:

- `pair`: it names a colour and a noun that are never seen together in training, in any picture;
- `relation`: it names two nouns in a relation in which those two are never seen (but for "and" among three, who only
  stand beside each other);
- `prompt`: this whole combination is not seen, though each of its parts is.

One scene can be told in several ways. Of two things, a scene and its mirror share a side; of three, another order of
the same things may be on the other side (`prompt`).

All three follow from hashes of the words, so the split never changes with the order of a list or a random seed.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from diffuscope.scenes.grammar import Description, mirrored, sample_description
from diffuscope.scenes.vocabulary import COLOURS, NOUNS

Split = Literal["train", "held-out"]
Reason = Literal["pair", "relation", "prompt"]

SHOWN: frozenset[tuple[str, str]] = frozenset(
    {
        ("red", "circle"),
        ("blue", "square"),
        ("red", "car"),
        ("red", "apple"),
        ("blue", "bowl"),
        ("brown", "horse"),
        ("white", "unicorn"),
    }
)
"""Pairs of the documentation's own prompts: always in training."""


def _one_in(number: int, key: str) -> bool:
    return hashlib.sha256(key.encode()).digest()[0] % number == 0


def unseen_pair(colour: str | None, noun: str) -> bool:
    """Whether a colour and a noun are never seen together in training. About 1 pair in 12; materials are all seen."""
    return colour in COLOURS and (colour, noun) not in SHOWN and _one_in(12, f"pair {colour} {noun}")


UNSEEN_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (colour, noun) for colour in COLOURS for noun in NOUNS if unseen_pair(colour, noun)
)


def _unseen_relation(description: Description) -> bool:
    if description.relation is None or (len(description.things) == 3 and description.relation == "and"):
        return False
    told = min((description, mirrored(description)), key=lambda one: [thing.noun for thing in one.things])
    last = told.things[-1].noun
    return any(_one_in(12, f"relation {thing.noun} {told.relation} {last}") for thing in told.things[:-1])


def _key(description: Description) -> str:
    things = "+".join(
        f"{thing.size}/{thing.pattern}/{thing.colour}/{thing.noun}/{thing.plural}"
        for thing in description.things
    )
    return f"{things}|{description.relation}|{description.place}|{description.light}|{description.style}"


def reasons(description: Description) -> frozenset[Reason]:
    """Why a description is held out; empty for one of the training side.

    A scene and its mirror ("A left of B", "B right of A") draw the same and share one side.
    """
    found: set[Reason] = set()
    if any(unseen_pair(thing.colour, thing.noun) for thing in description.things):
        found.add("pair")
    if _unseen_relation(description):
        found.add("relation")
    if _one_in(12, min(_key(description), _key(mirrored(description)))):
        found.add("prompt")
    return frozenset(found)


def split_of(description: Description) -> Split:
    """Which part of the fixed split a description belongs to, whatever its phrasing."""
    return "held-out" if reasons(description) else "train"


def sample_split(
    rng: np.random.Generator, split: Split, *, count: int | None = None, reason: Reason | None = None
) -> Description:
    """Draw a description that belongs to one side of the split; `reason` asks for one held out for that alone.

    Raises `ValueError` for a reason of which there are none: any of the training side, "relation" of one thing alone.
    """
    if reason is not None and (split == "train" or (reason == "relation" and count == 1)):
        what = "training descriptions" if split == "train" else "descriptions of one thing"
        raise ValueError(f"no {what} are held out for the reason {reason!r}")
    while True:
        description = sample_description(rng, count=count)
        why = reasons(description)
        if (not why if split == "train" else bool(why)) and (reason is None or why == {reason}):
            return description
