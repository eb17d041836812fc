"""One way to draw a description: every free choice made, every thing placed.

Positions and lengths are pixels of the 128-pixel picture, origin at the top left. Things are in drawing order: what
comes later covers what comes before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from diffuscope.scenes.grammar import Description, Thing
from diffuscope.scenes.shapes import SHAPES
from diffuscope.scenes.split import unseen_pair
from diffuscope.scenes.vocabulary import COLOURS, FORMS, NATURAL, PLAIN, SIZES, SKY

SIDE = 128
"""Height and width of a drawn picture in pixels."""

MARGIN = 4.0
"""Least distance in pixels of a thing from the picture's edge, and of two things from each other."""

SUPPORT_RADIUS = (42.0, 48.0)
"""Half the width of what something is on, in or under."""

FLIPS: tuple[str, ...] = ("car", "boat", "bird", "fish")
"""Nouns that are drawn facing either side."""

_GROUNDLESS = ("sky", PLAIN, "sea")


@dataclass(frozen=True)
class Placed:
    """A thing as it is drawn. `x`, `y`: centre of its unit box; `radius`: half of the box' side; `thing`: its place in
    the description (a noun in the plural gives two with the same). `colour` is a key of `PAINTS`."""

    noun: str
    colour: str
    pattern: str
    size: str
    x: float
    y: float
    radius: float
    flipped: bool = False
    thing: int = 0

    @property
    def width(self) -> float:
        """Half the width of the drawing."""
        return self.radius * SHAPES[self.noun].width

    @property
    def height(self) -> float:
        """Half the height of the drawing."""
        return self.radius * SHAPES[self.noun].height


@dataclass(frozen=True)
class Scene:
    """One drawing: the things in drawing order, the place, light and style (`PLAIN` where nothing is said), the
    relation of the description, and the backdrop's small variation (`horizon` as a share of the height)."""

    things: tuple[Placed, ...]
    place: str = PLAIN
    light: str = PLAIN
    style: str = PLAIN
    relation: str | None = None
    horizon: float = 0.75
    phase: float = 0.0
    seed: int = 0


def lay_out(description: Description, rng: np.random.Generator) -> Scene:
    """Make every choice that the description leaves open and place the things.

    Things that stand in no relation of support never overlap and stay inside the picture; "left of" and its kin have
    room to spare: the offset across is well below the distance along.
    """
    colours = _colours(description.things, rng)
    drawn = [
        (index, thing, colour)
        for index, (thing, colour) in enumerate(zip(description.things, colours, strict=True))
        for _ in range(2 if thing.plural else 1)
    ]
    sizes = SIZES[min(len(drawn), 3)]
    things = []
    for index, thing, colour in drawn:
        low, high = sizes.get(thing.size or "medium", sizes["medium"])
        flipped = thing.noun in FLIPS and bool(rng.random() < 0.5)
        things.append(
            Placed(
                thing.noun,
                colour,
                thing.pattern or PLAIN,
                thing.size or "medium",
                0.0,
                0.0,
                float(rng.uniform(low, high)),
                flipped,
                index,
            )
        )
    place = description.place or PLAIN
    horizon = float(rng.uniform(0.70, 0.80))
    relation = description.relation
    if relation in ("on", "in", "under"):
        placed = _supported(things, relation, rng)
    elif relation in ("above", "below"):
        placed = _stacked(things, relation, rng)
    else:
        placed = _row(things, relation, place, rng)
    return Scene(
        things=tuple(placed),
        place=place,
        light=description.light or PLAIN,
        style=description.style or PLAIN,
        relation=relation,
        horizon=horizon,
        phase=float(rng.uniform(0.0, 2 * np.pi)),
        seed=int(rng.integers(2**31)),
    )


def _colours(things: Sequence[Thing], rng: np.random.Generator) -> list[str]:
    """The colour of each thing: as named, else its natural one where that is free, else any that is free.

    A pair of colour and noun that training never sees is not drawn by chance either.
    """
    taken = {thing.colour for thing in things}
    chosen = []
    for thing in things:
        colour = thing.colour
        if colour is None:
            free = [one for one in COLOURS if one not in taken and not unseen_pair(one, thing.noun)]
            natural = [
                one
                for one in NATURAL.get(thing.noun, ())
                if one not in taken and not unseen_pair(one, thing.noun)
            ]
            choices = natural or free
            colour = choices[int(rng.integers(len(choices)))]
        taken.add(colour)
        chosen.append(colour)
    return chosen


def _lean(rng: np.random.Generator, low: float, high: float) -> float:
    """A position between two bounds that leans to their middle: the mean of two uniform draws."""
    return float(rng.uniform(low, high, 2).mean()) if high > low else (low + high) / 2


def _height(thing: Placed, place: str, rng: np.random.Generator) -> float:
    """Where a thing's centre stands: on the ground, in the upper half of the sky, or anywhere around the middle."""
    room = thing.height + MARGIN
    if thing.noun in SKY and place != "living room":
        return _lean(rng, room, max(room, 0.62 * SIDE - thing.height))
    floats = thing.noun in FORMS or thing.noun in ("bird", "fish", *SKY) or place in _GROUNDLESS
    if floats:
        return _lean(rng, room, SIDE - room)
    return float(rng.uniform(0.86, 0.955)) * SIDE - thing.height


def _row(things: list[Placed], relation: str | None, place: str, rng: np.random.Generator) -> list[Placed]:
    """One thing alone, or several side by side. The order is as told for "left of" and "right of", else drawn; what is
    named in the plural stays together."""
    last = max(thing.thing for thing in things)
    if relation == "right of":
        groups = [last, *range(last)]
    elif relation == "left of":
        groups = list(range(last + 1))
    else:
        groups = [int(index) for index in rng.permutation(last + 1)]
    order = [thing for group in groups for thing in things if thing.thing == group]
    widths = [thing.width for thing in order]
    room = SIDE - 2 * MARGIN - 2 * sum(widths)
    if room < MARGIN * (len(order) - 1):
        # Four things and more: all smaller, so that they fit.
        shrink = (SIDE - 2 * MARGIN - MARGIN * (len(order) - 1)) / (2 * sum(widths))
        order = [replace(thing, radius=thing.radius * shrink) for thing in order]
        widths = [thing.width for thing in order]
        room = SIDE - 2 * MARGIN - 2 * sum(widths)
    gaps = len(order) - 1
    gap = min(float(rng.uniform(5.0, 20.0)), room / gaps) if gaps else 0.0
    left = MARGIN + _lean(rng, 0.0, room - gap * gaps)
    placed = []
    level: float | None = None
    for thing, width in zip(order, widths, strict=True):
        y = _height(thing, place, rng)
        if gaps:
            # Side by side means at about one height; what differs is well below the distance.
            level = y if level is None else level
            reach = 0.35 * 2 * min(widths)
            y = float(np.clip(y, level - reach, level + reach))
            y = float(np.clip(y, thing.height + MARGIN, SIDE - MARGIN - thing.height))
        placed.append(replace(thing, x=left + width, y=y))
        left += 2 * width + gap
    return placed


def _stacked(things: list[Placed], relation: str, rng: np.random.Generator) -> list[Placed]:
    """What is named first above or below what is named last; two of either stand in a row."""
    last = max(thing.thing for thing in things)
    rows = [[thing for thing in things if (thing.thing == last) is below] for below in (False, True)]
    upper, lower = rows if relation == "above" else rows[::-1]
    heights = [2 * max(thing.height for thing in row) for row in (upper, lower)]
    room = SIDE - 2 * MARGIN - sum(heights)
    if room < MARGIN:
        shrink = (SIDE - 3 * MARGIN) / sum(heights)
        upper, lower = (
            [replace(thing, radius=thing.radius * shrink) for thing in row] for row in (upper, lower)
        )
        heights = [height * shrink for height in heights]
        room = SIDE - 2 * MARGIN - sum(heights)
    gap = min(float(rng.uniform(5.0, 18.0)), room)
    top = MARGIN + _lean(rng, 0.0, room - gap)
    distance = sum(heights) / 2 + gap
    placed: list[Placed] = []
    middle = SIDE / 2 + float(rng.uniform(-18, 18))
    for row, y, sign in (
        (upper, top + heights[0] / 2, -0.5),
        (lower, top + heights[0] + gap + heights[1] / 2, 0.5),
    ):
        span = 2 * sum(thing.width for thing in row) + MARGIN * (len(row) - 1)
        centre = middle + sign * float(rng.uniform(-0.3, 0.3)) * distance
        left = float(np.clip(centre - span / 2, MARGIN, SIDE - MARGIN - span))
        for thing in row:
            placed.append(replace(thing, x=left + thing.width, y=y))
            left += 2 * thing.width + MARGIN
    return placed


def _supported(things: list[Placed], relation: str, rng: np.random.Generator) -> list[Placed]:
    """What is on, in or under the last thing named, and that thing, in drawing order."""
    last = things[-1].thing
    held = [thing for thing in things if thing.thing != last]
    support = next(thing for thing in things if thing.thing == last)
    shape = SHAPES[support.noun]
    radius = float(rng.uniform(*SUPPORT_RADIUS))
    tall = shape.height > shape.width
    if tall:
        # A pitcher stands upright: smaller, so that what is in it has room above.
        radius *= 0.8
    support = replace(support, radius=radius)
    x = SIDE / 2 + float(rng.uniform(-1.0, 1.0)) * max(0.0, SIDE / 2 - MARGIN - support.width)
    bottom = SIDE - MARGIN - float(rng.uniform(0.0, 8.0))
    support = replace(support, x=x, y=bottom - support.height)
    # Room for each of what is held, side by side.
    each = 2 * support.width * (0.86 if relation == "on" else 0.72) / len(held)
    if relation == "under" and support.noun == "cloth":
        size = float(rng.uniform(30.0, 36.0)) / len(held)
        under = [replace(thing, radius=size) for thing in held]
        middle = x + float(rng.uniform(-4, 4))
        left = middle - sum(thing.width for thing in under)
        for number, thing in enumerate(under):
            under[number] = replace(thing, x=left + thing.width, y=SIDE - MARGIN - 2.0 - thing.height)
            left += 2 * thing.width
        # The cloth hides the upper part, two fifths of it; it lies where it likes to the side.
        tallest = max(thing.height for thing in under)
        hidden = float(rng.uniform(0.36, 0.48)) * 2 * tallest
        top = SIDE - MARGIN - 2.0 - 2 * tallest
        support = replace(support, y=max(MARGIN + support.height, top + hidden - support.height))
        return [*under, replace(support, x=middle)]
    placed = []
    for number, thing in enumerate(held):
        slot = x + each * (number - (len(held) - 1) / 2)
        if relation == "on":
            assert shape.top is not None
            size = min(float(rng.uniform(15.0, 18.0)), each / 2 * 0.94)
            thing = replace(thing, radius=size)
            thing = replace(thing, y=support.y + shape.top * radius - thing.height)
        elif relation == "in":
            assert shape.rim is not None
            size = min(float(rng.uniform(15.0, 18.0)), each / 2 * (1.3 if tall else 1.0))
            thing = replace(thing, radius=size)
            # About a third of it is hidden behind the rim.
            thing = replace(
                thing, y=support.y + shape.rim * radius - thing.height * float(rng.uniform(0.3, 0.45))
            )
        else:
            size = min(float(rng.uniform(12.0, 14.0)), each / 2)
            thing = replace(thing, radius=size)
            thing = replace(thing, y=support.y + support.height - thing.height)
        slack = max(0.0, each / 2 - thing.width)
        placed.append(replace(thing, x=slot + float(rng.uniform(-slack, slack)) * 0.7))
    return [*placed, support] if relation == "in" else [support, *placed]
