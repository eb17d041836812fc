"""Captions and what they mean.

A `Description` is what a caption *says*: one or two things with the attributes that are named, their relation, and
the place. A `Scene` is one way to draw it, with every free choice made: which colour an uncoloured thing has, where
each thing stands. Captions are written from descriptions by templates and read back by `parse`, exactly.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from diffuscope.scenes.vocabulary import (
    COLOURS,
    NOUNS,
    OPENINGS,
    PLACES,
    PLAIN,
    RELATIONS,
    SIZE_WORDS,
    SIZES,
)

SIDE = 128
"""Height and width of a drawn picture in pixels."""

MARGIN = 4.0
GAP = 4.0
"""Least distance in pixels of a thing from the picture's edge, and of two things from each other."""


@dataclass(frozen=True)
class Thing:
    """A thing as a caption names it; `None` where the caption leaves the attribute open."""

    noun: str
    colour: str | None = None
    size: str | None = None

    def phrase(self) -> str:
        """The noun phrase, with its article: "a small red circle"."""
        words = [word for word in (self.size, self.colour, self.noun) if word]
        return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"


@dataclass(frozen=True)
class Description:
    """What a caption says: one or two things, the relation of the first to the second, the place."""

    things: tuple[Thing, ...]
    relation: str | None = None
    place: str | None = None

    def key(self) -> str:
        """What the split into training and held-out looks at: nouns, colours and relation, not phrasing or place."""
        things = "+".join(f"{thing.colour}/{thing.noun}" for thing in self.things)
        return f"{things}|{self.relation}"

    def caption(self, rng: np.random.Generator | None = None) -> str:
        """The description in words. Without `rng`, the plainest phrasing; with it, a random one of the templates."""
        phrasings = RELATIONS.get(self.relation or "", ("",))
        joint = phrasings[0] if rng is None else phrasings[rng.integers(len(phrasings))]
        body = f" {joint} ".join(thing.phrase() for thing in self.things)
        where = PLACES[self.place] if self.place else ""
        if rng is None:
            return f"{body} {where}".strip()
        if where and rng.random() < 0.2:
            return f"{where}, {body}"
        opening = OPENINGS[rng.integers(len(OPENINGS))]
        return f"{opening}{body} {where}".strip()


@dataclass(frozen=True)
class Placed:
    """A thing as it is drawn: centre and half height in pixels, origin at the top left of the picture."""

    noun: str
    colour: str
    size: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """One drawing: the things in the order of the caption, the place, and the backdrop's small variation."""

    things: tuple[Placed, ...]
    place: str
    relation: str | None
    horizon: float = 0.78
    phase: float = 0.0


MIRRORED = {"left of": "right of", "right of": "left of", "above": "below", "below": "above", "and": "and"}
"""What the second thing is to the first: "A left of B" draws the same as "B right of A"."""


def mirrored(description: Description) -> Description:
    """The same scene told from its other end. One thing alone is its own mirror."""
    if len(description.things) == 1 or description.relation is None:
        return description
    return replace(description, things=description.things[::-1], relation=MIRRORED[description.relation])


Split = Literal["train", "held-out"]


def split_of(description: Description) -> Split:
    """Which part of the fixed split a description belongs to, whatever its place, sizes or phrasing.

    1 in 12 keys of two things and 1 in 6 of one is held out. A scene and its mirror ("A left of B", "B right of A")
    draw the same, so they share one key and one side.
    """
    key = min(description.key(), mirrored(description).key())
    share = 6 if len(description.things) == 1 else 12
    return "held-out" if hashlib.sha256(key.encode()).digest()[0] % share == 0 else "train"


def sample_description(rng: np.random.Generator, *, count: int | None = None) -> Description:
    """Draw a description. `count` fixes the number of things (1 or 2); by default two thirds have two.

    With two things the nouns differ, and so do the colours where both are named: a caption then always has one
    right reading.
    """
    count = count if count is not None else (2 if rng.random() < 0.67 else 1)
    nouns = [NOUNS[i] for i in rng.choice(len(NOUNS), size=count, replace=False)]
    colours = [list(COLOURS)[i] for i in rng.choice(len(COLOURS), size=count, replace=False)]
    things = []
    for noun, colour in zip(nouns, colours, strict=True):
        size = SIZE_WORDS[rng.integers(2)] if rng.random() < 0.3 else None
        things.append(Thing(noun, colour if rng.random() < 0.88 else None, size))
    relation = None
    if count == 2:
        relation = list(RELATIONS)[rng.integers(len(RELATIONS))]
    place = list(PLACES)[rng.integers(len(PLACES))] if rng.random() < 0.8 else None
    return Description(tuple(things), relation, place)


def sample_split(rng: np.random.Generator, split: Split, *, count: int | None = None) -> Description:
    """Draw a description that belongs to one side of the split."""
    while True:
        description = sample_description(rng, count=count)
        if split_of(description) == split:
            return description


def lay_out(description: Description, rng: np.random.Generator) -> Scene:
    """Make every choice that the description leaves open and place the things.

    Two things never overlap, stay inside the picture, and stand in their relation with room to spare: for "left of"
    the gap is horizontal and the vertical offset is smaller than the horizontal one.
    """
    placed: list[Placed] = []
    # Two big things have to fit beside each other.
    most = SIDE if len(description.things) == 1 else (SIDE - 2 * MARGIN - GAP) / 4
    taken = {thing.colour for thing in description.things}
    for thing in description.things:
        free = [colour for colour in COLOURS if colour not in taken]
        colour = thing.colour or free[rng.integers(len(free))]
        taken.add(colour)
        size = thing.size or "medium"
        low, high = SIZES[size]
        placed.append(Placed(thing.noun, colour, size, 0.0, 0.0, float(rng.uniform(low, min(high, most)))))
    things = (
        _alone(placed[0], rng) if len(placed) == 1 else _pair(placed[0], placed[1], description.relation, rng)
    )
    return Scene(
        things=things,
        place=description.place or PLAIN,
        relation=description.relation,
        horizon=float(rng.uniform(0.74, 0.84)),
        phase=float(rng.uniform(0.0, 2 * np.pi)),
    )


def _alone(thing: Placed, rng: np.random.Generator) -> tuple[Placed, ...]:
    room = thing.radius + MARGIN
    # A lone thing leans to the middle: the mean of two uniform draws.
    x, y = (float(rng.uniform(room, SIDE - room, 2).mean()) for _ in range(2))
    return (replace(thing, x=x, y=y),)


def _pair(
    first: Placed, second: Placed, relation: str | None, rng: np.random.Generator
) -> tuple[Placed, ...]:
    axis = {"left of": 0, "right of": 0, "above": 1, "below": 1}.get(relation or "and", int(rng.integers(2)))
    before = relation in ("left of", "above") or (relation == "and" and rng.random() < 0.5)
    near, far = (first, second) if before else (second, first)
    slack = SIDE - 2 * MARGIN - 2 * near.radius - 2 * far.radius
    gap = min(float(rng.uniform(6.0, 26.0)), slack)
    start = MARGIN + float(rng.uniform(0.0, slack - gap))
    along_near = start + near.radius
    along_far = along_near + near.radius + gap + far.radius
    distance = along_far - along_near
    low = max(near.radius, far.radius) + MARGIN
    across = float(rng.uniform(low, SIDE - low, 2).mean())
    # The offset across the axis stays well below the distance along it, so that the relation has one reading.
    lean = float(rng.uniform(-0.35, 0.35)) * distance
    sides = []
    for thing, sign in ((near, -0.5), (far, 0.5)):
        room = thing.radius + MARGIN
        sides.append(float(np.clip(across + sign * lean, room, SIDE - room)))
    points = ((along_near, sides[0]), (along_far, sides[1]))
    placed = []
    for thing, (along, side) in zip((near, far), points, strict=True):
        x, y = (along, side) if axis == 0 else (side, along)
        placed.append(replace(thing, x=x, y=y))
    return tuple(placed) if before else tuple(reversed(placed))


_THING = re.compile(
    rf"(?:an?|the)\s+(?:(?P<size>{'|'.join(SIZE_WORDS)})\s+)?(?:(?P<colour>{'|'.join(COLOURS)})\s+)?(?P<noun>{'|'.join(NOUNS)})\b"
)


def parse(caption: str) -> Description | None:
    """Read a caption of the drawn world back; `None` where it is not one (unknown nouns, three things, no thing)."""
    text = " ".join(caption.lower().replace(",", " ").replace(".", " ").split())
    found = list(_THING.finditer(text))
    if not 1 <= len(found) <= 2:
        return None
    things = tuple(Thing(m["noun"], m["colour"], m["size"]) for m in found)
    relation = None
    if len(found) == 2:
        between = text[found[0].end() : found[1].start()].strip()
        relation = next((name for name, ways in RELATIONS.items() if between in ways), None)
        if relation is None:
            return None
    outside = text[: found[0].start()] + " " + text[found[-1].end() :]
    place = next((name for name, words in PLACES.items() if words in outside), None)
    return Description(things, relation, place)
