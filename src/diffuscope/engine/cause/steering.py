"""Steering at the running model: triples drawn, steered and judged; see `analysis.cause.steering` for what counts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from diffuscope.analysis.cause.steering import (
    CHOSEN,
    KINDS,
    NOISE,
    PROMPTED,
    Kind,
    Outcome,
    Rate,
    Rows,
    SteeringTable,
    Triple,
    Way,
    accepted,
    best_way,
    check_kinds,
    edit_of,
    judged,
    rate,
    triples_of,
)
from diffuscope.engine.many import draw_many
from diffuscope.engine.order import SHIPPED_STEPS
from diffuscope.errors import InputError
from diffuscope.scenes import Reading, standard_prompts

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens

BATCH = 8
PROMPTS, SEEDS = 300, range(64)
"""Standard prompts that the two halves share out, and seeds, which are gone through until there are enough triples."""
OnPicture = Callable[[int], None]
"""Called with how many pictures were drawn now."""


@dataclass(frozen=True)
class Ready:
    """A triple whose unedited picture the judge accepts, with that picture and its reading."""

    triple: Triple
    image: Image.Image
    reading: Reading


@dataclass
class Collected:
    """Triples of some prompts.

    Attributes:
        ready: in the order of prompts and seeds.
        drawn, refused: unedited pictures drawn, and those of them that the judge found wrong in some part.
    """

    ready: list[Ready] = field(default_factory=list)
    drawn: int = 0
    refused: int = 0


def collect(
    lens: Lens,
    prompts: Sequence[int],
    seeds: Sequence[int],
    *,
    kinds: Sequence[Kind] = KINDS,
    most: int | None = None,
    settings: Mapping[str, Any] | None = None,
    batch: int = BATCH,
    on_picture: OnPicture | None = None,
) -> Collected:
    """Draw unedited pictures and make triples of those that the judge accepts.

    Args:
        lens: the scenes model.
        prompts: places in the list of the standard held-out prompts that name a place, all of them told apart by what
            they say.
        seeds: of each prompt.
        kinds: what is changed; one triple of each kind for each accepted picture.
        most: stop when there are so many triples.
        settings: as of `engine.many.draw_many`.
        batch: pictures drawn together.
        on_picture: called after each batch with the number of its pictures.

    Raises:
        InputError: no prompts.
    """
    if not prompts:
        raise InputError("steering is measured on at least one prompt")
    every = standard_prompts(max(prompts) + 1, places=True)
    pairs = [(every[index].description, seed) for seed in seeds for index in prompts]
    found = Collected()
    for first in range(0, len(pairs), batch):
        part = pairs[first : first + batch]
        images = draw_many(lens, [(each.caption(), seed) for each, seed in part], settings or {})
        for (description, seed), image in zip(part, images, strict=True):
            reading = accepted(image, description)
            found.drawn += 1
            found.refused += reading is None
            if reading is not None:
                found.ready += [
                    Ready(triple, image, reading) for triple in triples_of(description, seed, kinds)
                ]
        if on_picture is not None:
            on_picture(len(part))
        if most is not None and len(found.ready) >= most:
            del found.ready[most:]
            break
    return found


def steered(
    lens: Lens,
    ready: Sequence[Ready],
    way: Way,
    *,
    settings: Mapping[str, Any] | None = None,
    batch: int = BATCH,
    on_picture: OnPicture | None = None,
) -> list[Outcome]:
    """Steer every triple in one way, and have the judge read what comes out; in order. Arguments as of `collect`."""
    outcomes: list[Outcome] = []
    for first in range(0, len(ready), batch):
        part = ready[first : first + batch]
        images = draw_many(
            lens,
            [(each.triple.prompt, each.triple.seed) for each in part],
            settings or {},
            [[edit_of(each.triple, way)] for each in part],
        )
        outcomes += [
            judged(each.triple, each.image, image, each.reading)
            for each, image in zip(part, images, strict=True)
        ]
        if on_picture is not None:
            on_picture(len(part))
    return outcomes


def ways(
    rows: Sequence[Rows] = ("noun", "phrase", "all", "guidance"),
    strengths: Sequence[float] = (1.0, 2.0, 3.0),
    windows: Sequence[str] = ("window", "all"),
) -> list[Way]:
    """Every way of these spaces, strengths and windows."""
    return [
        Way(space, strength, steps) for space, strength, steps in itertools.product(rows, strengths, windows)
    ]


def evaluate(
    lens: Lens,
    triples: int = 400,
    *,
    choosing: int = 100,
    kinds: Sequence[Kind] = KINDS,
    among: Sequence[Way] | None = None,
    settings: Mapping[str, Any] | None = None,
    batch: int = BATCH,
    on_picture: OnPicture | None = None,
) -> SteeringTable:
    """Choose a way of steering for each kind of change on half of the prompts, and measure it on the other half.

    Half of the ways go on after each round of choosing, in which as many triples are drawn as they leave room for
    (successive halving; Jamieson and Talwalkar 2016, figure 2).

    Args:
        lens: the scenes model.
        triples: that are measured; prompts, then seeds, are added until there are so many.
        choosing: triples that choose, at most.
        kinds: what is changed.
        among: ways to choose from; `ways()` by default. One alone is taken as it is.
        settings, batch: as of `collect`.
        on_picture: as of `collect`.

    Raises:
        InputError: numbers below 1.
    """
    if triples < 1 or choosing < 1:
        raise InputError(f"{triples} triples and {choosing} to choose on: at least one of each")
    check_kinds(kinds)
    begun = time.perf_counter()
    options = list(among if among is not None else ways())
    told: dict[str, Any] = {"settings": settings, "batch": batch}
    # A prompt chooses or measures, never both; places in the list stay the same however many are asked for.
    table: dict[Kind, dict[Way, list[Outcome]]] = {kind: {way: [] for way in options} for kind in kinds}
    if len(options) > 1:
        tuning = collect(
            lens, range(0, PROMPTS, 2), SEEDS, kinds=kinds, most=choosing, **told, on_picture=on_picture
        )
        for kind in kinds:
            mine = [each for each in tuning.ready if each.triple.kind == kind]
            left, at = options, 0
            rounds = max(1, (len(options) - 1).bit_length())
            for number in range(rounds):
                part = mine[at : at + -(-len(mine) // rounds)]
                at += len(part)
                for way in left:
                    table[kind][way] += steered(lens, part, way, **told, on_picture=on_picture)
                ordered = sorted(left, key=lambda way, kind=kind: _worth(table[kind][way]), reverse=True)  # type: ignore[misc]
                left = ordered if number == rounds - 1 else ordered[: max(1, -(-len(ordered) // 2))]
            table[kind] = {way: table[kind][way] for way in options if table[kind][way]}
    chosen: dict[Kind, Way] = {}
    for kind in kinds:
        most = max((len(each) for each in table[kind].values()), default=0)
        whole = [way for way, outcomes in table[kind].items() if len(outcomes) == most]
        chosen[kind] = best_way(whole or options, table[kind]) if most else options[0]
    measured = collect(
        lens, range(1, PROMPTS, 2), SEEDS, kinds=kinds, most=triples, **told, on_picture=on_picture
    )
    rates: list[Rate] = []
    for kind in kinds:
        mine = [each for each in measured.ready if each.triple.kind == kind]
        for name, way in (
            (CHOSEN, chosen[kind]),
            (NOISE, replace(chosen[kind], noise=True)),
            (PROMPTED, Way(prompted=True)),
        ):
            rates.append(rate(name, kind, steered(lens, mine, way, **told, on_picture=on_picture)))
    return SteeringTable(
        chosen={kind: way.name for kind, way in chosen.items()},
        choosing=tuple(
            rate(way.name, kind, found) for kind in kinds for way, found in table[kind].items() if found
        ),
        rates=tuple(rates),
        drawn=measured.drawn,
        refused=measured.refused,
        model=lens.loaded.id,
        steps=int((settings or {}).get("steps") or SHIPPED_STEPS),
        seconds=time.perf_counter() - begun,
    )


def _worth(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    count = max(1, len(outcomes))
    return sum(each.success for each in outcomes) / count, sum(each.hit for each in outcomes) / count
