"""Steering put to the test on the drawn world: triples of a prompt, a change and a seed, and what the judge says.

A triple counts when the judge finds its unedited picture right in every part. Then the picture is steered, and read
again:

    hit      the target attribute is on the named object: the thing that stands where the object stood is the same in
             its other named part (noun, or colour where the noun changes) and has the target. Of a place: it is read
    kept     every other object is seen with the same noun, colour and size, and has moved by less than half of its
             radius; there are as many things as before; the place is read as before; and the background, outside all
             objects, has changed by less than is noticed (mean delta-E below 2.3). Where the place is steered, its
             two conditions fall away
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
from diffuscope.scenes import Description, Found, Reading, read, score, wilson
from diffuscope.scenes.vocabulary import COLOURS, NOUNS, PLACES, SIZE_WORDS, SIZES

Kind = Literal["colour", "size", "noun", "place", "light"]
KINDS: tuple[Kind, ...] = ("colour", "size", "noun", "place", "light")
"""What is changed. ``light`` is a place by day into night, the drawn world's only word of light. It has no words for
patterns and styles."""

Rows = Literal["noun", "phrase", "all", "tokens", "guidance", "context"]
NIGHT = "night"
NOTICED = 2.3
REACH = 6
"""Pixels around an object that belong to its edge, not to the background."""


@dataclass(frozen=True)
class Triple:
    """A prompt, a change, a seed.

    Attributes:
        description: what the prompt says.
        kind: what is changed; `thing`: of which thing, its index, None of the place; `target`: into what.
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
            return replace(self.description, place=self.target)
        things = list(self.description.things)
        things[self.thing] = replace(things[self.thing], **{self.kind: self.target})
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
        old, new = PLACES[triple.description.place or ""], PLACES[triple.target]
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
    at = score(baseline, triple.description).matched[triple.thing]
    assert at is not None  # the baseline was accepted
    thing = baseline.objects[at]
    if triple.kind != "size":
        return _swollen([thing], (scenes.SIDE, scenes.SIDE))
    y, x = np.mgrid[: scenes.SIDE, : scenes.SIDE] + 0.5
    return np.asarray((x - thing.x) ** 2 + (y - thing.y) ** 2 < (SIZES["big"][1] + REACH) ** 2)


def check_kinds(kinds: Sequence[str]) -> None:
    """Raises InputError for a kind that there is not."""
    if not kinds or not set(kinds) <= set(KINDS):
        raise InputError(f"kinds of steering are {', '.join(KINDS)}; got {', '.join(kinds) or 'none'}")


def triples_of(description: Description, seed: int, kinds: Sequence[Kind] = KINDS) -> list[Triple]:
    """One triple of each kind that a description has something for; target and thing drawn by the seed.

    A target is never the colour, noun or place that the scene already has.

    Raises:
        InputError: a kind that there is not.
    """
    check_kinds(kinds)
    random = np.random.default_rng([seed, len(description.key()), sum(description.key().encode())])
    things, place = description.things, description.place
    found: list[Triple] = []

    def one(among: Sequence[Any]) -> Any:
        return among[int(random.integers(len(among)))]

    coloured = [at for at, thing in enumerate(things) if thing.colour]
    sized = [at for at, thing in enumerate(things) if thing.size]
    for kind in kinds:
        if kind == "colour" and coloured:
            taken = {thing.colour for thing in things}
            found.append(
                Triple(description, kind, one(coloured), one([c for c in COLOURS if c not in taken]), seed)
            )
        elif kind == "size" and sized:
            at = one(sized)
            found.append(
                Triple(description, kind, at, next(s for s in SIZE_WORDS if s != things[at].size), seed)
            )
        elif kind == "noun":
            taken = {thing.noun for thing in things}
            found.append(
                Triple(
                    description,
                    kind,
                    one(range(len(things))),
                    one([n for n in NOUNS if n not in taken]),
                    seed,
                )
            )
        elif kind == "place" and place:
            found.append(
                Triple(description, kind, None, one([p for p in PLACES if p not in (place, NIGHT)]), seed)
            )
        elif kind == "light" and place and place != NIGHT:
            found.append(Triple(description, kind, None, NIGHT, seed))
    return found


@dataclass(frozen=True)
class Outcome:
    """What became of one triple.

    Attributes:
        hit, kept: see the module.
        objects, place: those parts of `kept`; `background`: mean delta-E of it, NaN where the place is steered.
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
    matched = score(baseline, triple.description).matched
    stood = [baseline.objects[at] if at is not None else None for at in matched]
    hit = reading.place == triple.target if triple.thing is None else False
    objects = len(reading.objects) == len(baseline.objects)
    for index, (thing, old) in enumerate(zip(triple.description.things, stood, strict=True)):
        assert old is not None  # the baseline was accepted
        new = _standing(old, reading.objects)
        if index == triple.thing:
            goal = triple.goal.things[index]
            same = new is not None and (
                new.colour == old.colour if triple.kind == "noun" else new.noun == thing.noun
            )
            hit = same and new is not None and getattr(new, triple.kind) == getattr(goal, triple.kind)
        else:
            objects = objects and new is not None and _same(old, new)
    change = delta_e(before, after)
    if triple.thing is None:
        return Outcome(hit, objects, objects, True, float("nan"), float(change.mean()))
    outside = ~_swollen([*baseline.objects, *reading.objects], change.shape)
    background = float(change[outside].mean()) if outside.any() else 0.0
    place = reading.place == baseline.place
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
    parts = [name for name in ("noun", "colour", "size") if getattr(old, name) is not None]
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
