"""Steering put to the test on the drawn world: triples of a prompt, a change and a seed, and what the judge says.

A triple counts when the judge finds its unedited picture right in every part. Then the picture is steered, and read
again:

    hit      the target attribute is on the named object: the thing that stands where the object stood is the same in
             its other named part (noun, or colour where the noun changes) and has the target. Of a place, a light or a
             style: it is read
    kept     every other object is seen with the same noun, colour, pattern and size, and has moved by less than half
             of its radius; there are as many things as before; place, light and style are read as before; and the
             background, outside all objects, has changed by less than is noticed (mean delta-E below 2.3). Where one
             of those three is steered, it and the background may change
    success  both
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from diffuscope import scenes
from diffuscope.analysis.comparing import delta_e
from diffuscope.edits import Edit, PatchChoice, Reprompt, Steer, control
from diffuscope.errors import InputError
from diffuscope.scenes import Description, Found, Reading, parse, read, score, wilson
from diffuscope.scenes.scoring import agrees, asked_for
from diffuscope.scenes.vocabulary import (
    COLOURS,
    LIGHTS,
    NOUNS,
    PATTERNED,
    PATTERNS,
    PLACES,
    SIZE_WORDS,
    SIZES,
    STYLES,
)

Kind = Literal["colour", "size", "pattern", "noun", "place", "light", "style"]
KINDS: tuple[Kind, ...] = ("colour", "size", "pattern", "noun", "place", "light", "style")
"""What is changed: of a thing, or (the last three) of the whole picture."""

WORDS: dict[str, dict[str, str]] = {
    "place": PLACES,
    "light": LIGHTS,
    "style": {name: words for name, (words, _) in STYLES.items()},
}
"""Of each part of the whole picture, its words and how a caption says them."""

Rows = Literal["noun", "phrase", "all", "tokens", "guidance", "context"]
NOTICED = 2.3
REACH = 6
"""Pixels around an object that belong to its edge, not to the background."""


@dataclass(frozen=True)
class Triple:
    """A prompt, a change, a seed.

    Attributes:
        description: what the prompt says.
        kind: what is changed; `thing`: of which thing, its index, None of the whole picture; `target`: into what.
        seed: of the first noise.
    """

    description: Description
    kind: Kind
    thing: int | None
    target: str
    seed: int

    @property
    def prompt(self) -> str:
        """In its plainest phrasing."""
        return self.description.caption()

    @property
    def goal(self) -> Description:
        """What the prompt would say after the change."""
        if self.thing is None:
            return replace(self.description, **{str(self.kind): self.target})  # type: ignore[arg-type]
        things = list(self.description.things)
        things[self.thing] = replace(things[self.thing], **{str(self.kind): self.target})  # type: ignore[arg-type]
        return replace(self.description, things=tuple(things))


@dataclass(frozen=True)
class Way:
    """How it is steered.

    Attributes:
        rows: what is moved: the embedding of the ``noun`` alone, of the whole ``phrase``, of ``all`` rows in one
            direction, of each of the ``tokens`` by a difference of its own; or the prediction, by phrases alone
            (``guidance``) or by whole prompts where they differ most (``context``: a quantile of 0.75).
        strength, steps: as of `Steer`.
        local: only where the thing is (`place_of`), which a user has to paint.
        noise: the control of equal norm in its place, see `edits.control`.
        prompted: no steering; the changed prompt from the first step on.
    """

    rows: Rows = "phrase"
    strength: float = 1.0
    steps: str = "window"
    local: bool = False
    noise: bool = False
    prompted: bool = False

    @property
    def name(self) -> str:
        """One line."""
        if self.prompted:
            return "prompt changed from the start"
        where = ", where the thing is" if self.local else ""
        said = f"{self.rows}, strength {self.strength:g}, steps {self.steps}{where}"
        return f"noise of equal norm ({said})" if self.noise else said


QUANTILE = 0.75
"""Of ``context``: steered are the patches whose difference is above it."""


def edit_of(triple: Triple, way: Way, where: NDArray[np.bool_] | None = None) -> Edit:
    """The edit that a way makes of a triple; `where` for a local one, see `place_of`.

    Raises:
        InputError: a local way without a place.
    """
    if way.prompted:
        return Reprompt(triple.goal.caption())
    if way.local and where is None:
        raise InputError("steering where the thing is needs its place on the picture")
    if triple.thing is None:
        words = WORDS[triple.kind]
        old, new = words[getattr(triple.description, triple.kind)], words[triple.target]
        nouns = {"noun": (old.split()[-1], new.split()[-1]), "phrase": (old, new)}
    else:
        old, new = (
            each.things[triple.thing].phrase().partition(" ")[2] for each in (triple.description, triple.goal)
        )
        nouns = {"noun": (triple.description.things[triple.thing].noun, new), "phrase": (old, new)}
    patches = PatchChoice.mask(where) if way.local else None
    aim: dict[str, Any] = {"steps": way.steps, "patches": patches}
    goal, strength = triple.goal.caption(), way.strength
    match way.rows:
        case "guidance":
            made = Steer(new, away=old, strength=strength, space="guidance", **aim)
        case "context":
            made = Steer(
                goal, away=triple.prompt, strength=strength, space="guidance", quantile=QUANTILE, **aim
            )
        case "tokens":
            made = Steer(goal, strength=strength, space="tokens", **aim)
        case "all":
            made = Steer(goal, away=triple.prompt, strength=strength, **aim)
        case rows:
            word, toward = nouns[rows]
            made = Steer(toward, word=word, strength=strength, **aim)
    return control(made, seed=triple.seed) if way.noise else made


def place_of(triple: Triple, baseline: Reading) -> NDArray[np.bool_]:
    """Where a triple's thing is on its unedited picture, bool ``[y, x]``: its pixels and `REACH` around; where the size
    changes, a disc that a big thing fits in; of a place, all that no thing is near."""
    if triple.thing is None:
        return ~_swollen(baseline.objects, (scenes.SIDE, scenes.SIDE))
    # The baseline was accepted, and what is changed is one thing.
    (thing,) = score(baseline, triple.description).shown(baseline, triple.thing)
    if triple.kind != "size":
        return _swollen([thing], (scenes.SIDE, scenes.SIDE))
    y, x = np.mgrid[: scenes.SIDE, : scenes.SIDE] + 0.5
    return np.asarray((x - thing.x) ** 2 + (y - thing.y) ** 2 < (_widest(triple.description) + REACH) ** 2)


def _widest(description: Description) -> float:
    """Radius in pixels of the largest thing that is called big among so many."""
    return SIZES[min(asked_for(description), max(SIZES))]["big"][1]


def check_kinds(kinds: Sequence[str]) -> None:
    """Raises InputError for a kind that there is not."""
    if not kinds or not set(kinds) <= set(KINDS):
        raise InputError(f"kinds of steering are {', '.join(KINDS)}; got {', '.join(kinds) or 'none'}")


def triples_of(description: Description, seed: int, kinds: Sequence[Kind] = KINDS) -> list[Triple]:
    """One triple of each kind that a description has something for; target and thing drawn by the seed.

    A target is never what the scene already has. Nouns in the plural are left as they are: of two things nobody could
    say which was changed.

    Raises:
        InputError: a kind that there is not.
    """
    check_kinds(kinds)
    said = description.caption()
    random = np.random.default_rng([seed, len(said), sum(said.encode())])
    things = description.things
    single = [at for at, thing in enumerate(things) if not thing.plural]
    found: list[Triple] = []

    def one(among: Sequence[Any]) -> Any:
        return among[int(random.integers(len(among)))]

    for kind in kinds:
        if kind in WORDS:
            now = getattr(description, kind)
            if now is not None:
                found.append(Triple(description, kind, None, one([w for w in WORDS[kind] if w != now]), seed))
            continue
        able = [at for at in single if getattr(things[at], kind)]
        if not able:
            continue
        at = one(able)
        taken = {getattr(thing, kind) for thing in things}
        choices: Iterable[str] = {"colour": COLOURS, "size": SIZE_WORDS, "pattern": PATTERNS, "noun": NOUNS}[
            kind
        ]
        if kind in ("size", "pattern"):
            taken = {getattr(things[at], kind)}
        elif kind == "noun":
            choices = _nouns_that_fit(description, at)
        left = [each for each in choices if each not in taken]
        if left:
            found.append(Triple(description, kind, at, one(left), seed))
    return found


def _nouns_that_fit(description: Description, at: int) -> list[str]:
    """Nouns that a thing could have with the pattern and material that it is told to have, and where it is told to
    be: on, in or under something, or bearing it."""

    def fits(noun: str) -> bool:
        things = [
            replace(thing, noun=noun) if i == at else thing for i, thing in enumerate(description.things)
        ]
        patterned = things[at].pattern is None or noun in PATTERNED
        return patterned and parse(replace(description, things=tuple(things)).caption()) is not None

    return [noun for noun in NOUNS if fits(noun)]


@dataclass(frozen=True)
class Outcome:
    """What became of one triple.

    Attributes:
        hit, kept: see the module.
        objects: that part of `kept`; `place`: place, light and style, but for what is steered; `background`: mean
            delta-E of it, NaN where the whole picture is steered.
        change: mean delta-E of the whole picture.
    """

    hit: bool
    kept: bool
    objects: bool
    place: bool
    background: float
    change: float

    @property
    def things(self) -> bool:
        """All but the background is kept."""
        return self.objects and self.place

    @property
    def success(self) -> bool:
        return self.hit and self.kept


def accepted(image: Image.Image, description: Description) -> Reading | None:
    """The judge's reading of a baseline, or None where it finds any named part wrong."""
    reading = read(image)
    return reading if score(reading, description).all else None


def judged(triple: Triple, before: Image.Image, after: Image.Image, baseline: Reading) -> Outcome:
    """What the judge says of a steered picture; `baseline` is `accepted` of the unedited one."""
    reading = read(after)
    told = score(baseline, triple.description)
    hit = triple.thing is None and getattr(reading, triple.kind) == triple.target
    objects, number = len(reading.objects) == len(baseline.objects), asked_for(triple.description)
    for index, thing in enumerate(triple.description.things):
        for old in told.shown(baseline, index):
            new = _standing(old, reading.objects)
            if index != triple.thing:
                objects = objects and new is not None and _same(old, new)
            elif new is not None:
                named = thing.colour is None or new.colour == old.colour
                same = named if triple.kind == "noun" else new.noun == thing.noun
                hit = same and agrees(new, triple.goal.things[index], triple.kind, number)
    change = delta_e(before, after)
    around = [name for name in WORDS if name != triple.kind]
    place = all(getattr(reading, name) == getattr(baseline, name) for name in around)
    if triple.thing is None:
        return Outcome(hit, objects and place, objects, place, float("nan"), float(change.mean()))
    outside = ~_swollen([*baseline.objects, *reading.objects], change.shape)
    background = float(change[outside].mean()) if outside.any() else 0.0
    return Outcome(
        hit, objects and place and background < NOTICED, objects, place, background, float(change.mean())
    )


def _standing(old: Found, things: Iterable[Found]) -> Found | None:
    """The thing that stands where another stood: the one that shares most pixels with it."""
    best, shared = None, 0
    for each in things:
        both = int((each.mask & old.mask).sum())
        if both > shared:
            best, shared = each, both
    return best


def _same(old: Found, new: Found) -> bool:
    moved = float(np.hypot(old.x - new.x, old.y - new.y))
    # What was doubtful before cannot be seen to have stayed.
    parts = [name for name in ("noun", "colour", "pattern", "size") if getattr(old, name) is not None]
    return moved < old.radius / 2 and all(getattr(old, name) == getattr(new, name) for name in parts)


def _swollen(things: Sequence[Found], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    every = np.zeros(shape, bool)
    for each in things:
        every |= each.mask
    filtered = Image.fromarray(every.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(2 * REACH + 1))
    return np.asarray(filtered) > 0


@dataclass(frozen=True)
class Rate:
    """One line of the table: of `n` triples, shares in which it is hit, kept, and both, each with its Wilson 95%
    interval ``(share, low, high)``; `things`: kept but for the background; `background`: median of its mean delta-E."""

    way: str
    kind: str
    n: int
    hit: tuple[float, float, float]
    kept: tuple[float, float, float]
    success: tuple[float, float, float]
    things: tuple[float, float, float]
    background: float | None


def rate(way: str, kind: str, outcomes: Sequence[Outcome]) -> Rate:
    """The line of some outcomes."""

    def share(name: str) -> tuple[float, float, float]:
        right = sum(bool(getattr(each, name)) for each in outcomes)
        return (right / len(outcomes) if outcomes else 0.0, *wilson(right, len(outcomes)))

    known = [each.background for each in outcomes if np.isfinite(each.background)]
    return Rate(
        way,
        kind,
        len(outcomes),
        share("hit"),
        share("kept"),
        share("success"),
        share("things"),
        float(np.median(known)) if known else None,
    )


@dataclass(frozen=True)
class SteeringTable:
    """What an evaluation of steering found.

    Attributes:
        chosen: kind to the way that had most successes on the prompts that choose (ties: most hits), of those that
            words alone say; `local`: of those that act where the thing is, empty where there were none.
        choosing: lines of all ways on those prompts, by kind.
        rates: lines on the other prompts: the chosen ways, noise of equal norm, the prompt changed from the start.
        drawn, refused: unedited pictures of those prompts, and those of them that the judge found wrong in some part.
        model, steps: what drew them.
        seconds: it took.
    """

    chosen: dict[str, str]
    local: dict[str, str]
    choosing: tuple[Rate, ...]
    rates: tuple[Rate, ...]
    drawn: int
    refused: int
    model: str
    steps: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


CHOSEN, LOCAL = "steered, as chosen", "steered where the thing is, as chosen"
NOISE, PROMPTED = "noise of equal norm", "prompt changed from the start"
"""Names of the ways in `SteeringTable.rates`."""


def best_way(ways: Sequence[Way], outcomes: Mapping[Way, Sequence[Outcome]]) -> Way:
    """The way with most successes, then most hits; of equals, the first."""

    def worth(way: Way) -> tuple[int, int]:
        return sum(each.success for each in outcomes[way]), sum(each.hit for each in outcomes[way])

    return max(ways, key=worth)
