"""Whether a picture shows what its caption says, part by part, and how often over many pictures.

A `Reading` says what the judge sees, a `Description` what was asked for. Each thing that is named is paired with at
most one thing that is seen; then every part that the caption names is right or wrong. Parts that it leaves open are
None and count nowhere. A part that the judge cannot find, or finds ambiguous, is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import sqrt

from diffuscope.scenes.grammar import Description, Thing
from diffuscope.scenes.judge import Found, Reading, relation_of

PARTS: tuple[str, ...] = ("nouns", "colours", "bound", "sizes", "place", "relation", "count", "all")
"""The rows of the summary table, in order."""


@dataclass(frozen=True)
class Score:
    """Each part right, wrong, or None where the caption does not name it.

    `nouns`: every named noun is seen. `colours`: every thing with a named colour is seen as that noun *in that
    colour*, so a colour on the wrong thing is wrong. `bound`: nouns and colours both. `sizes`: every named size is
    that of its thing. `place`; `relation`: left of, right of, above or below ("and" asks for none). `count`: as many
    things as are named, no more. `all`: every part that is named, and the count.
    `matched` holds, for each named thing, the index of the thing seen in `Reading.objects`, or None.
    """

    nouns: bool
    colours: bool | None
    sizes: bool | None
    place: bool | None
    relation: bool | None
    count: bool
    matched: tuple[int | None, ...]

    @property
    def bound(self) -> bool:
        """Nouns right, and each in the colour that was named for it."""
        return self.nouns and self.colours is not False

    @property
    def all(self) -> bool:
        """Every part that the caption names, and the number of things."""
        named = (self.nouns, self.colours, self.sizes, self.place, self.relation, self.count)
        return all(part is not False for part in named)

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
    matched = _assign(things, seen, description.relation)
    pairs = [(thing, None if at is None else seen[at]) for thing, at in zip(things, matched, strict=True)]

    def noun_right(thing: Thing, found: Found | None) -> bool:
        return found is not None and found.noun == thing.noun

    coloured = [(t, f) for t, f in pairs if t.colour is not None]
    sized = [(t, f) for t, f in pairs if t.size is not None]
    relation: bool | None = None
    if len(pairs) == 2 and description.relation in ("left of", "right of", "above", "below"):
        first, second = pairs[0][1], pairs[1][1]
        relation = (
            first is not None and second is not None and relation_of(first, second) == description.relation
        )
    return Score(
        nouns=all(noun_right(t, f) for t, f in pairs),
        colours=all(noun_right(t, f) and f is not None and f.colour == t.colour for t, f in coloured)
        if coloured
        else None,
        sizes=all(f is not None and f.size == t.size for t, f in sized) if sized else None,
        place=reading.place == description.place if description.place else None,
        relation=relation,
        count=len(seen) == len(things),
        matched=matched,
    )


def _assign(things: Sequence[Thing], seen: Sequence[Found], relation: str | None) -> tuple[int | None, ...]:
    """Which seen thing stands for each named one: the pairing that agrees best, noun before colour before size.

    A thing that shares neither noun nor colour with what is named is no match. Between equal pairings (a doubled
    thing), the one in the asked relation wins, then the surer one: a doubled thing is the count's fault alone.
    """

    def agreement(thing: Thing, found: Found) -> float:
        noun, colour = thing.noun == found.noun, thing.colour is not None and thing.colour == found.colour
        if not noun and not colour:
            return -1.0
        return 4.0 * noun + 2.0 * colour + 1.0 * (thing.size is not None and thing.size == found.size)

    places: list[int | None] = [*range(len(seen)), *[None] * len(things)]
    best: tuple[float, bool, float] | None = None
    chosen: tuple[int | None, ...] = (None,) * len(things)
    for order in set(permutations(places, len(things))):
        values = [
            0.0 if at is None else agreement(thing, seen[at]) for thing, at in zip(things, order, strict=True)
        ]
        if min(values) < 0:
            continue
        partners = [seen[at] for at in order if at is not None]
        stands = len(partners) == 2 and relation_of(partners[0], partners[1]) == relation
        worth = (sum(values), stands, sum(found.confidence for found in partners))
        if best is None or worth > best:
            best, chosen = worth, order
    return chosen


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
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
