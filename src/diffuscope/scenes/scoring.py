"""Whether a picture shows what its caption says, part by part, and how often over many pictures.

A `Reading` says what the judge sees, a `Description` what was asked for. Each thing that is named (each of the two, for
a noun in the plural) is paired with at most one thing that is seen; then every part that the caption names is right or
wrong. Parts that it leaves open are None and count nowhere. A part that the judge cannot find, or finds ambiguous, is
wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt

from diffuscope.scenes.grammar import Description, Thing
from diffuscope.scenes.judge import Found, Reading, size_of, stands

PARTS: tuple[str, ...] = (
    "nouns",
    "colours",
    "bound",
    "patterns",
    "sizes",
    "place",
    "light",
    "style",
    "relation",
    "count",
    "all",
)
"""The rows of the summary table, in order."""

CANDIDATES = 4
"""Seen things that are considered for each named one, the best agreeing ones."""


@dataclass(frozen=True)
class Score:
    """Each part right, wrong, or None where the caption does not name it.

    `nouns`: every named noun is seen, twice where it is in the plural. `colours`: every thing with a named colour or
    material is seen as that noun *in that colour*, so a colour on the wrong thing is wrong. `bound`: nouns and colours
    both. `patterns`, `sizes`: every named one is that of its thing; a size is judged among as many things as are
    asked for. `place`, `light`, `style`; `relation`: that of the things before the last to the last ("and" asks for
    none). `count`: as many things as are asked for, no more. `all`: every part that is named, and the count.
    `matched` holds, for each named thing, the indices of the things seen in `Reading.objects`; None for a missing one.
    """

    nouns: bool
    colours: bool | None = None
    patterns: bool | None = None
    sizes: bool | None = None
    place: bool | None = None
    light: bool | None = None
    style: bool | None = None
    relation: bool | None = None
    count: bool = True
    matched: tuple[tuple[int | None, ...], ...] = ()

    def shown(self, reading: Reading, thing: int) -> tuple[Found, ...]:
        """What is seen of the `thing`-th named one: one, or two for a noun in the plural; empty where one of them is
        missing."""
        group = [reading.objects[at] for at in self.matched[thing] if at is not None]
        return tuple(group) if len(group) == len(self.matched[thing]) else ()

    @property
    def bound(self) -> bool:
        """Nouns right, and each in the colour that was named for it."""
        return self.nouns and self.colours is not False

    @property
    def all(self) -> bool:
        """Every part that the caption names, and the number of things."""
        return not self.wrong()

    def wrong(self) -> tuple[str, ...]:
        """The parts that are wrong, by name, without the ones that sum up others."""
        return tuple(part for part in PARTS if part not in ("bound", "all") and getattr(self, part) is False)


@dataclass(frozen=True)
class Row:
    """One line of the summary: of `n` pictures whose caption names the part, `right` show it; `rate` is their share,
    `low` to `high` its Wilson interval. With n = 0 the rate is 0 and the interval 0 to 1."""

    part: str
    n: int
    right: int
    rate: float
    low: float
    high: float


def score(reading: Reading, description: Description) -> Score:
    """Hold a reading against what was asked for. See `Score` for what each part means."""
    things, seen = description.things, reading.objects
    expected = asked_for(description)
    matched = _assign(description, seen)
    groups = [[None if at is None else seen[at] for at in group] for group in matched]
    pairs = [(thing, found) for thing, group in zip(things, groups, strict=True) for found in group]

    def named(*parts: str) -> bool | None:
        """Whether everything that names the last of the parts is seen with all of them."""
        right = [
            found is not None and all(agrees(found, thing, part, expected) for part in parts)
            for thing, found in pairs
            if getattr(thing, parts[-1])
        ]
        return all(right) if right else None

    return Score(
        nouns=named("noun") is True,
        colours=named("noun", "colour"),
        patterns=named("pattern"),
        sizes=named("size"),
        place=reading.place == description.place if description.place else None,
        light=reading.light == description.light if description.light else None,
        style=reading.style == description.style if description.style else None,
        relation=_related(groups, description.relation),
        count=len(seen) == expected,
        matched=matched,
    )


def agrees(found: Found, thing: Thing, part: str, number: int) -> bool:
    """Whether a seen thing has the `noun`, `colour`, `pattern` or `size` that is named; a size is judged among `number`
    things."""
    seen = size_of(found.radius, number) if part == "size" else getattr(found, part)
    return bool(seen == getattr(thing, part))


def asked_for(description: Description) -> int:
    """How many things a description asks for, each noun in the plural as two."""
    return sum(_number(thing) for thing in description.things)


def _number(thing: Thing) -> int:
    return 2 if thing.plural else 1


def _related(groups: Sequence[Sequence[Found | None]], relation: str | None) -> bool | None:
    """Whether each group of things before the last stands in the relation to the last; None where none is asked."""
    if relation in (None, "and") or len(groups) < 2:
        return None
    whole = [[found for found in group if found is not None] for group in groups]
    if any(len(those) < len(group) for those, group in zip(whole, groups, strict=True)):
        return False
    *firsts, last = whole
    return all(stands(first, last, relation or "") for first in firsts)


def _assign(description: Description, seen: Sequence[Found]) -> tuple[tuple[int | None, ...], ...]:
    """Which seen things stand for each named one: the pairing that agrees best, noun before colour before the rest.

    A thing that shares neither noun nor colour with what is named is no match. Between equal pairings (a doubled
    thing), the one in the asked relation wins, then the surer one: a doubled thing is the count's fault alone.
    """

    def agreement(thing: Thing, found: Found) -> float:
        noun, colour = thing.noun == found.noun, thing.colour is not None and thing.colour == found.colour
        if not noun and not colour:
            return -1.0
        rest = sum(getattr(thing, part) in (None, getattr(found, part)) for part in ("pattern", "size"))
        return 8.0 * noun + 4.0 * colour + rest

    slots = [index for index, thing in enumerate(description.things) for _ in range(_number(thing))]
    choices: list[list[tuple[float, int | None]]] = []
    for index in slots:
        fitting = [(agreement(description.things[index], found), at) for at, found in enumerate(seen)]
        fitting = sorted(
            (one for one in fitting if one[0] > 0), key=lambda one: (-one[0], -seen[one[1]].confidence)
        )
        choices.append([*fitting[:CANDIDATES], (0.0, None)])
    best: tuple[float, bool, float] | None = None
    chosen: tuple[tuple[int | None, ...], ...] = ()
    for pick in product(*choices):
        taken = [at for _, at in pick if at is not None]
        total = sum(value for value, _ in pick)
        if len(set(taken)) < len(taken) or (best is not None and total < best[0]):
            continue
        groups = tuple(
            tuple(at for (_, at), slot in zip(pick, slots, strict=True) if slot == index)
            for index in range(len(description.things))
        )
        found = [[None if at is None else seen[at] for at in group] for group in groups]
        worth = (
            total,
            bool(_related(found, description.relation)),
            sum(seen[at].confidence for at in taken),
        )
        if best is None or worth > best:
            best, chosen = worth, groups
    return chosen


def wilson(right: float, n: float, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of a share (Wilson 1927, JASA 22:209); 95% by default. (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    rate = right / n
    middle = rate + z * z / (2 * n)
    spread = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends the interval reaches 0 or 1 exactly; in floating point it may miss them by a rounding.
    return 0.0 if right == 0 else (middle - spread) / scale, 1.0 if right == n else (middle + spread) / scale


def tally(part: str, outcomes: Iterable[bool | None]) -> Row:
    """The row of one part; outcomes that are None do not count."""
    counted = [outcome for outcome in outcomes if outcome is not None]
    right, n = sum(counted), len(counted)
    low, high = wilson(right, n)
    return Row(part, n, right, right / n if n else 0.0, low, high)


def summarise(scores: Sequence[Score]) -> list[Row]:
    """One row for each of `PARTS`, over the pictures whose caption names it."""
    return [tally(part, [getattr(one, part) for one in scores]) for part in PARTS]


def as_text(rows: Sequence[Row]) -> str:
    """The summary as aligned text, shares in per cent."""
    lines = [f"{'part':<12}{'n':>6}{'right':>7}{'rate':>8}   95% interval"]
    for row in rows:
        interval = f"{100 * row.low:.1f} to {100 * row.high:.1f}"
        lines.append(f"{row.part:<12}{row.n:>6}{row.right:>7}{100 * row.rate:>7.1f}%   {interval}")
    return "\n".join(lines)
