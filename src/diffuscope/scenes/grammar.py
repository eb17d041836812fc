"""Captions and what they mean.

A `Description` is what a caption *says*: one to three things with the attributes that are named, their relation, the
place, the light and the style. Captions are written from descriptions by templates and read back by `parse`, exactly.
How a description may be drawn is in `layout`; which descriptions a model may learn from is in `split`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from diffuscope.scenes.vocabulary import (
    COLOURS,
    HELD,
    LIGHTS,
    MADE_OF,
    MATERIALS,
    NOUNS,
    OPENINGS,
    PAINTS,
    PATTERNED,
    PATTERNS,
    PLACES,
    PLURALS,
    RELATIONS,
    SIZE_WORDS,
    STILL_LIFE,
    STILL_LIFE_OPENING,
    STYLES,
    SUPPORTS,
    known_words,
)


@dataclass(frozen=True)
class Thing:
    """A thing as a caption names it; `None` where the caption leaves the attribute open.

    `colour` is a key of `PAINTS` (a colour or a material), `pattern` one of `PATTERNS`, `size` one of `SIZE_WORDS`.
    A thing in the plural is drawn twice.
    """

    noun: str
    colour: str | None = None
    size: str | None = None
    pattern: str | None = None
    plural: bool = False

    def phrase(self) -> str:
        """The noun phrase, with its article: "a small striped red circle", "red pears"."""
        noun = PLURALS[self.noun] if self.plural else self.noun
        words = [word for word in (self.size, self.pattern, self.colour, noun) if word]
        if self.plural:
            return " ".join(words)
        # "unicorn" begins with the sound of "you".
        vowel = words[0][0] in "aeiou" and words[0] != "unicorn"
        return f"{'an' if vowel else 'a'} {' '.join(words)}"


@dataclass(frozen=True)
class Description:
    """What a caption says: one to three things, the relation of those before the last to the last, place, light, style.

    With "and" the things stand in no relation but side by side. `relation` is None for one thing alone.
    """

    things: tuple[Thing, ...]
    relation: str | None = None
    place: str | None = None
    light: str | None = None
    style: str | None = None

    def body(self, joint: str | None = None) -> str:
        """The things and their relation in words; `joint` is the phrasing of the relation."""
        phrases = [thing.phrase() for thing in self.things]
        if self.relation is None:
            return phrases[0]
        joint = joint or RELATIONS[self.relation][0]
        if len(phrases) == 2:
            return f"{phrases[0]} {joint} {phrases[1]}"
        first = ", ".join(phrases[:-1]) if self.relation == "and" else " and ".join(phrases[:-1])
        return f"{first} {joint} {phrases[-1]}"

    def caption(self, rng: np.random.Generator | None = None) -> str:
        """The description in words. Without `rng`, the plainest phrasing; with it, a random one of the templates."""
        place = PLACES[self.place] if self.place else ""
        light = LIGHTS[self.light] if self.light else ""
        style, opening = STYLES[self.style] if self.style else ("", "")
        if rng is None:
            return " ".join(part for part in (self.body(), place, light, style) if part)
        joints = RELATIONS[self.relation] if self.relation else ("",)
        body = self.body(joints[rng.integers(len(joints))])
        if style and rng.random() < 0.4:
            start, style = f"{opening} ", ""
        elif _still_life(self) and rng.random() < 0.3:
            start = STILL_LIFE_OPENING
        elif (place or light) and rng.random() < 0.15:
            rest = " ".join(part for part in (body, light if place else "", style) if part)
            return f"{place or light}, {rest}"
        else:
            start = OPENINGS[rng.integers(len(OPENINGS))]
        said = " ".join(part for part in (body, place, light, style) if part)
        # The longest captions have no room for an opening, which says nothing, unless it is the style's.
        return said if start in OPENINGS and _length(start + said) > LONGEST else start + said


LONGEST = 30
"""Words and commas that a caption may have: a text encoder of 32 tokens reads them beside two marks of its own."""


def _length(caption: str) -> int:
    return len(caption.replace(",", " , ").split())


def _still_life(description: Description) -> bool:
    return all(thing.noun in STILL_LIFE for thing in description.things)


MIRRORED = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
    "and": "and",
    "next to": "next to",
}
"""What the second thing is to the first: "A left of B" draws the same as "B right of A"."""


def mirrored(description: Description) -> Description:
    """The same scene told from its other end. One thing alone, three things, and "on", "in", "under" have no mirror."""
    if len(description.things) != 2 or description.relation not in MIRRORED:
        return description
    return replace(description, things=description.things[::-1], relation=MIRRORED[description.relation])


def _pick(rng: np.random.Generator, choices: tuple[str, ...] | list[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _paint(rng: np.random.Generator, noun: str, taken: set[str | None]) -> str | None:
    if rng.random() > 0.86:
        return None
    materials = [name for name in MATERIALS if noun in MADE_OF[name] and name not in taken]
    if materials and rng.random() < 0.3:
        return _pick(rng, materials)
    return _pick(rng, [colour for colour in COLOURS if colour not in taken])


_ROOMY: dict[str, tuple[str, ...]] = {"on": ("table", "boat"), "in": ("bowl", "boat")}
"""What can bear two things."""


def sample_description(rng: np.random.Generator, *, count: int | None = None) -> Description:
    """Draw a description. `count` fixes the number of things named (1 to 3); by default 40, 42 and 18 per cent.

    Nouns of one description differ, and so do the colours that are named: a caption then always has one right
    reading. Sizes are named only where things stand free (a thing on a table is as large as the table allows).
    """
    count = count if count is not None else int(rng.choice((1, 2, 3), p=(0.40, 0.42, 0.18)))
    relation: str | None = None
    if count == 2:
        relation = _pick(rng, list(RELATIONS))
    elif count == 3:
        relation = "and" if rng.random() < 0.6 else _pick(rng, ("on", "on", "in"))
    if relation in SUPPORTS:
        support = _pick(rng, SUPPORTS[relation] if count == 2 else _ROOMY[relation])
        held = [
            noun
            for noun in HELD[support]
            if not (relation == "under" and support == "table" and noun == "flower")
        ]
        nouns = [*(held[i] for i in rng.choice(len(held), size=count - 1, replace=False)), support]
    else:
        nouns = [NOUNS[i] for i in rng.choice(len(NOUNS), size=count, replace=False)]
    things: list[Thing] = []
    taken: set[str | None] = set()
    for noun in nouns:
        colour = _paint(rng, noun, taken)
        taken.add(colour)
        free = relation not in SUPPORTS
        size = _pick(rng, SIZE_WORDS if count < 3 else ("small",)) if free and rng.random() < 0.22 else None
        pattern = _pick(rng, PATTERNS) if noun in PATTERNED and rng.random() < 0.25 else None
        plural = noun in PLURALS and size is None and rng.random() < (0.12 if count < 3 else 0.06)
        things.append(Thing(noun, colour, size, pattern, plural))
    return Description(
        tuple(things),
        relation,
        place=_pick(rng, list(PLACES)) if rng.random() < 0.72 else None,
        light=_pick(rng, list(LIGHTS)) if rng.random() < 0.25 else None,
        style=_pick(rng, list(STYLES)) if rng.random() < 0.3 else None,
    )


_SINGULAR = {plural: noun for noun, plural in PLURALS.items()}
_ATTRIBUTES = "".join(
    rf"(?:(?P<{part}>{'|'.join(words)})\s+)?"
    for part, words in (("size", SIZE_WORDS), ("pattern", PATTERNS), ("colour", PAINTS))
)
_THING = re.compile(rf"\b(?:(?:an?|the)\s+)?{_ATTRIBUTES}(?P<noun>{'|'.join([*_SINGULAR, *NOUNS])})\b")
_WORDS = frozenset(known_words())
_JOINTS = {phrase: name for name, phrasings in RELATIONS.items() for phrase in phrasings}


def _thing(match: re.Match[str]) -> Thing | None:
    noun, article = match["noun"], re.match(r"(an?|the)\s", match[0])
    plural = noun in _SINGULAR
    # "a pears" and a bare "pear" are no English; "the" goes with both.
    if (plural and article and article[1] != "the") or not (plural or article):
        return None
    return Thing(_SINGULAR.get(noun, noun), match["colour"], match["size"], match["pattern"], plural)


def _possible(things: tuple[Thing, ...], relation: str | None) -> bool:
    """Whether things can be drawn as told: each noun in its material, and on, in or under what can bear it."""
    if any(thing.colour in MATERIALS and thing.noun not in MADE_OF[thing.colour] for thing in things):
        return False
    if relation not in SUPPORTS:
        return True
    *held, last = things
    return (
        last.noun in SUPPORTS[relation]
        and not last.plural
        and all(thing.noun in HELD[last.noun] for thing in held)
    )


def parse(caption: str) -> Description | None:
    """Read a caption of the drawn world back; `None` where it is not one: unknown nouns, no thing, four things,
    attributes that belong to no thing, and what could not be drawn (a brass cat, a cat on a horse)."""
    text = " ".join(caption.lower().replace(",", " , ").replace(".", " ").split())
    if not set(text.split()) <= {*_WORDS, ","}:
        return None
    found = list(_THING.finditer(text))
    things = [_thing(match) for match in found]
    if not 1 <= len(found) <= 3 or any(thing is None for thing in things):
        return None
    between = [text[a.end() : b.start()].strip() for a, b in pairwise(found)]
    relation = None
    if between:
        relation = _JOINTS.get(between[-1])
        if relation is None or (len(between) == 2 and between[0] not in (",", "and")):
            return None
    # What surrounds the things, each part apart, so that nothing is read across them.
    outside = f"{text[: found[0].start()]} | {text[found[-1].end() :]}"
    if set(outside.split()) & {*PAINTS, *PATTERNS, *SIZE_WORDS}:
        return None
    style = next(
        (name for name, phrases in STYLES.items() if any(phrase in outside for phrase in phrases)), None
    )
    told = tuple(thing for thing in things if thing is not None)
    if not _possible(told, relation):
        return None
    return Description(
        told,
        relation,
        place=next((name for name, words in PLACES.items() if words in outside), None),
        light=next((name for name, words in LIGHTS.items() if words in outside), None),
        style=style,
    )
