"""How things that were read stand to each other, from where they are and how large.

A thing's box is known from its centre, its radius and its noun's drawing, also where parts of it are hidden. Heights
count downwards, as in pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from diffuscope.scenes.shapes import SHAPES
from diffuscope.scenes.vocabulary import SUPPORTS

RELATION_RATIO = 0.8
"""Ratio of the lesser to the greater offset of two things above which it is neither beside nor above."""
NEXT_TO = 40.0
"""Pixels between two things side by side up to which they are next to each other."""
TOUCHING = 0.22
"""How far the foot of a thing may be from what it stands on, as a share of the thing's height, to either side."""


class Box(Protocol):
    """A thing with a place: drawn (`Placed`) or read (`Found`)."""

    @property
    def noun(self) -> str | None: ...
    @property
    def x(self) -> float: ...
    @property
    def y(self) -> float: ...
    @property
    def radius(self) -> float: ...


def edges(thing: Box) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a thing's drawing in pixels; of a thing without a noun, of its unit box."""
    shape = SHAPES.get(thing.noun or "")
    width, height = (
        (thing.radius * shape.width, thing.radius * shape.height) if shape else (thing.radius,) * 2
    )
    return thing.x - width, thing.y - height, thing.x + width, thing.y + height


def relations_of(first: Box, second: Box) -> frozenset[str]:
    """Every relation of `RELATIONS` but "and" in which `first` stands to `second`."""
    found = set()
    left, top, right, bottom = edges(first)
    other_left, _, other_right, other_bottom = edges(second)
    dx, dy = first.x - second.x, first.y - second.y
    if min(abs(dx), abs(dy)) <= RELATION_RATIO * max(abs(dx), abs(dy)):
        if abs(dx) > abs(dy):
            found.add("left of" if dx < 0 else "right of")
            gap = max(other_left - right, left - other_right)
            if gap <= NEXT_TO:
                found.add("next to")
        else:
            found.add("above" if dy < 0 else "below")
    shape = SHAPES.get(second.noun or "")
    if shape is None or not other_left < first.x < other_right:
        return frozenset(found)
    height = bottom - top
    if second.noun in SUPPORTS["on"] and shape.top is not None:
        level = second.y + shape.top * second.radius
        if abs(bottom - level) < TOUCHING * height:
            found.add("on")
    if second.noun in SUPPORTS["in"] and shape.rim is not None:
        # What is in something is partly behind its rim, and partly above.
        hidden = (bottom - (second.y + shape.rim * second.radius)) / height
        if TOUCHING / 2 < hidden < 0.6:
            found.add("in")
    if (
        second.noun == "cloth"
        and top < other_bottom - 0.2 * height
        and bottom > other_bottom + 0.2 * height
        and dy > 0
    ):
        found.add("under")
    if second.noun == "table" and shape.top is not None:
        board = second.y + shape.top * second.radius
        if top > board - 0.1 * height and abs(bottom - other_bottom) < 0.35 * height:
            found.add("under")
    return frozenset(found)


def relation_of(first: Box, second: Box) -> str | None:
    """The one relation that says most about how `first` stands to `second`: "on", "in" or "under", else "left of",
    "right of", "above" or "below"; None where none of them fits (things apart along both axes alike)."""
    found = relations_of(first, second)
    for name in ("in", "on", "under", "left of", "right of", "above", "below"):
        if name in found:
            return name
    return None


def stands(first: Sequence[Box], second: Sequence[Box], relation: str) -> bool:
    """Whether all of `first` (one thing, or two in the plural) stand in this relation to `second`.

    "on", "in" and "under" must hold for each of them; beside and above is asked of the groups as wholes.
    """
    if not first or not second:
        return False
    if relation in SUPPORTS:
        return all(any(relation in relations_of(one, other) for other in second) for one in first)
    if relation == "next to":
        return any(relation in relations_of(one, other) for one in first for other in second)
    return relation in relations_of(_Group(first), _Group(second))


class _Group:
    """Several things as one box, without a noun."""

    noun = None

    def __init__(self, things: Sequence[Box]) -> None:
        boxes = [edges(thing) for thing in things]
        left, top = (min(box[side] for box in boxes) for side in (0, 1))
        right, bottom = (max(box[side] for box in boxes) for side in (2, 3))
        self.x, self.y = (left + right) / 2, (top + bottom) / 2
        self.radius = max(right - left, bottom - top) / 2
