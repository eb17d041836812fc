"""Steering at the running model: triples drawn, steered and judged; see `analysis.cause.steering` for what counts."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

import diffuscope
from diffuscope.analysis.cause.steering import (
    KINDS,
    Kind,
    Outcome,
    SteeringTable,
    Triple,
    Way,
    accepted,
    best_way,
    check_kinds,
    edit_of,
    judged,
    place_of,
    triples_of,
)
from diffuscope.analysis.cause.steering import Rows as Moved
from diffuscope.analysis.cause.steering_rows import Half, Rows, key_of, table_so_far
from diffuscope.engine.many import draw_many
from diffuscope.engine.order import SHIPPED_STEPS
from diffuscope.errors import InputError
from diffuscope.scenes import Reading, standard_prompts

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens

BATCH = 8
PROMPTS, SEEDS = 300, range(64)
"""Standard prompts that the two halves share out, and seeds, which are gone through until there are enough triples."""
BLOCK = 24
"""Prompts that are drawn, and then steered, together."""
OnPicture = Callable[[int], None]
"""Called with how many pictures were drawn now."""


@dataclass(frozen=True)
class Ready:
    """A triple whose unedited picture the judge accepts, with that picture and its reading; without them where nothing
    is left to be drawn of it."""

    triple: Triple
    image: Image.Image | None
    reading: Reading | None


def collect(
    lens: Lens,
    prompts: Sequence[int],
    seeds: Sequence[int],
    *,
    kinds: Sequence[Kind] = KINDS,
    most: int | None = None,
    settings: Mapping[str, Any] | None = None,
    batch: int = BATCH,
    rows: Rows | None = None,
    done: Callable[[Triple], bool] | None = None,
    on_picture: OnPicture | None = None,
) -> list[Ready]:
    """Draw unedited pictures in which there is something to change, and make triples of those that the judge accepts,
    in the order of prompts and seeds.

    Args:
        lens: the scenes model.
        prompts: places in the list of the standard held-out prompts that name a place, all of them told apart by what
            they say.
        seeds: of each prompt.
        kinds: what is changed; one triple of each kind for each accepted picture.
        most: stop when there are so many triples.
        settings: as of `engine.many.draw_many`.
        batch: pictures drawn together.
        rows: what was drawn before: pictures that it knows to be wrong are not drawn again.
        done: whether nothing is left to be drawn of a triple; a right picture is not drawn again for such alone.
        on_picture: called after each batch with the number of its pictures.

    Raises:
        InputError: no prompts.
    """
    if not prompts:
        raise InputError("steering is measured on at least one prompt")
    rows = Rows(None, {}) if rows is None else rows
    every = standard_prompts(max(prompts) + 1, places=True)
    pairs = [(every[index].description, seed) for seed in seeds for index in prompts]
    ready: dict[int, list[Ready]] = {}
    waiting: list[int] = []

    def draw() -> None:
        some = [pairs[at] for at in waiting]
        images = (
            draw_many(lens, [(each.caption(), seed) for each, seed in some], settings or {}) if some else []
        )
        for at, (description, seed), image in zip(waiting, some, images, strict=True):
            reading = accepted(image, description)
            if rows.picture(description.caption(), seed) is None:
                rows.add_unedited(description.caption(), seed, reading is not None)
            if reading is not None:
                ready[at] = [Ready(each, image, reading) for each in triples_of(description, seed, kinds)]
        if some and on_picture is not None:
            on_picture(len(some))
        waiting.clear()

    def enough() -> bool:
        return most is not None and sum(map(len, ready.values())) >= most

    for at, (description, seed) in enumerate(pairs):
        triples = triples_of(description, seed, kinds)
        if not triples:
            continue
        known = rows.picture(description.caption(), seed)
        if known is False:
            continue
        if known and done is not None and all(done(each) for each in triples):
            ready[at] = [Ready(each, None, None) for each in triples]
        else:
            waiting.append(at)
        if len(waiting) == batch or enough():
            draw()
        if enough():
            break
    draw()
    return [each for at in sorted(ready) for each in ready[at]][:most]


def steered(
    lens: Lens,
    ready: Sequence[Ready],
    way: Way,
    *,
    half: Half = "measured",
    settings: Mapping[str, Any] | None = None,
    batch: int = BATCH,
    rows: Rows | None = None,
    on_picture: OnPicture | None = None,
) -> list[Outcome]:
    """Steer every triple in one way, and have the judge read what comes out; in order. What `rows` knows is not drawn
    again. Other arguments as of `collect`; `half` is written beside the outcome."""
    rows = Rows(None, {}) if rows is None else rows
    missing = [each for each in ready if rows.known(each.triple, way) is None]
    if any(each.image is None for each in missing):
        raise InputError("a triple whose unedited picture was not drawn cannot be steered")
    for part in _parts(missing, batch):
        images = draw_many(
            lens,
            [(each.triple.prompt, each.triple.seed) for each in part],
            settings or {},
            [
                [
                    edit_of(
                        each.triple,
                        way,
                        place_of(each.triple, each.reading) if way.local and each.reading else None,
                    )
                ]
                for each in part
            ],
        )
        for each, image in zip(part, images, strict=True):
            if each.image is not None and each.reading is not None:
                rows.add(half, each.triple, way, judged(each.triple, each.image, image, each.reading))
        if on_picture is not None:
            on_picture(len(part))
    return [rows.outcomes[key_of(each.triple, way)] for each in ready]


def ways(
    rows: Sequence[Moved] | None = None,
    strengths: Sequence[float] | None = None,
    windows: Sequence[str] | None = None,
    *,
    local: bool = False,
    steps: int = SHIPPED_STEPS,
) -> list[Way]:
    """Every way of these spaces, strengths and windows; where none of the three is named, those of `COMPARED`.

    Args:
        windows: as `Steer.steps`, or in parts of the run: ``20%:100%``.
        local: each where the thing is, too.
        steps: of the run, for such parts.

    Raises:
        InputError: a window in parts that is no such.
    """
    if rows is None and strengths is None and windows is None:
        compared = COMPARED
    else:
        compared = tuple(
            (space, strength, window, where)
            for space in rows or ("phrase", "tokens", "guidance")
            for strength in strengths or (1.0, 1.5)
            for window in windows or ("all", "20%:100%")
            for where in ((False, True) if local else (False,))
        )
    return list(
        dict.fromkeys(
            Way(space, strength, window_of(window, steps), where)
            for space, strength, window, where in compared
        )
    )


COMPARED: tuple[tuple[Moved, float, str, bool], ...] = (
    ("phrase", 1.0, "all", False),
    ("phrase", 1.0, "window", False),
    ("all", 1.0, "all", False),
    ("guidance", 1.0, "all", False),
    ("guidance", 1.5, "all", False),
    ("context", 1.0, "all", False),
    ("tokens", 1.0, "all", False),
    ("tokens", 1.0, "20%:100%", False),
    ("tokens", 1.0, "window", False),
    ("tokens", 1.5, "all", False),
    ("tokens", 1.5, "20%:100%", False),
    ("tokens", 2.0, "20%:100%", False),
    ("tokens", 1.0, "all", True),
    ("tokens", 1.0, "20%:100%", True),
    ("tokens", 1.5, "all", True),
    ("tokens", 1.5, "20%:100%", True),
    ("context", 1.0, "all", True),
)
"""What is moved, how strongly, when, and whether only where the thing is."""


def window_of(text: str, steps: int) -> str:
    """A window in the form of `Steer.steps`: ``20%:100%`` of 10 steps is ``2:10``, ``0%:100%`` is ``all``; other forms
    as they are.

    Raises:
        InputError: a part of a run that ends before it begins, or is none.
    """
    if "%" not in text:
        return text
    try:
        start, stop = (round(float(part.strip().removesuffix("%")) / 100 * steps) for part in text.split(":"))
    except ValueError:
        start = stop = 0
    if not 0 <= start < stop <= steps:
        raise InputError(f"the window {text!r} is no part of a run of {steps} steps; write it like 20%:100%")
    return "all" if (start, stop) == (0, steps) else f"{start}:{stop}"


def evaluate(
    lens: Lens,
    triples: int = 400,
    *,
    choosing: int = 60,
    kinds: Sequence[Kind] = KINDS,
    among: Sequence[Way] | None = None,
    settings: Mapping[str, Any] | None = None,
    batch: int = BATCH,
    table: str | Path | None = None,
    on_picture: OnPicture | None = None,
) -> tuple[SteeringTable, Rows]:
    """Choose a way of steering for each kind of change on half of the prompts, and measure it on the other half.

    Half of the ways go on after each round of choosing, in which as many triples are drawn as they leave room for
    (successive halving; Jamieson and Talwalkar 2016, figure 2). Ways that act where the thing is are chosen among
    themselves, since they are told more.

    Args:
        lens: the scenes model.
        triples: that are measured; prompts, then seeds, are added until there are so many.
        choosing: triples that choose, at most.
        kinds: what is changed.
        among: ways to choose from; `ways()` by default. One alone is taken as it is.
        settings, batch: as of `collect`.
        table: file of the rows; an evaluation that was stopped goes on from it, and one that is done is read from it.
        on_picture: as of `collect`.

    Returns:
        The table, and the rows that it was made of.

    Raises:
        InputError: numbers below 1; a table of another evaluation.
    """
    if triples < 1 or choosing < 1:
        raise InputError(f"{triples} triples and {choosing} to choose on: at least one of each")
    check_kinds(kinds)
    begun = time.perf_counter()
    steps = int((settings or {}).get("steps") or SHIPPED_STEPS)
    options = list(among if among is not None else ways(steps=steps))
    rows = Rows(
        table,
        {
            "diffuscope": diffuscope.__version__,
            "model": lens.loaded.id,
            "files": _digest(lens),
            "settings": dict(settings or {}),
            "steps": steps,
            "kinds": list(kinds),
            "triples": triples,
            "choosing": choosing,
            "ways": [way.name for way in options],
        },
    )
    if rows.result is not None:
        return rows.result, rows
    told: dict[str, Any] = {"settings": settings, "batch": batch, "rows": rows, "on_picture": on_picture}
    groups = [group for local in (False, True) if (group := [way for way in options if way.local == local])]
    chosen: dict[bool, dict[Kind, Way]] = {False: {}, True: {}}
    # A prompt chooses or measures, never both; places in the list stay the same however many are asked for.
    tuning: list[Ready] = []
    if any(len(group) > 1 for group in groups):
        tuning = collect(lens, range(0, PROMPTS, 2), SEEDS, kinds=kinds, most=choosing, **told)
    for kind in kinds:
        mine = [each for each in tuning if each.triple.kind == kind]
        for group in groups:
            outcomes = _halved(lens, mine, group, told) if len(group) > 1 else {group[0]: []}
            most = max(len(each) for each in outcomes.values())
            whole = [way for way in group if len(outcomes[way]) == most]
            chosen[group[0].local][kind] = best_way(whole, outcomes)
    plain = chosen[False] or chosen[True]
    asked: dict[Kind, list[Way]] = {}
    for kind in kinds:
        asked[kind] = [plain[kind], Way(prompted=True), replace(plain[kind], noise=True)]
        if chosen[False] and chosen[True]:
            asked[kind].insert(1, chosen[True][kind])

    def done(triple: Triple) -> bool:
        return all(rows.known(triple, way) is not None for way in asked[triple.kind])

    left = triples
    # Few pictures at a time, each steered in all ways before the next are drawn: whenever it is stopped, all ways have
    # as many, and no more pictures are held than are worked on.
    for seed, first in itertools.product(SEEDS, range(1, PROMPTS, 2 * BLOCK)):
        block = range(first, min(first + 2 * BLOCK, PROMPTS), 2)
        part = collect(lens, block, [seed], kinds=kinds, most=left, done=done, **told)
        for kind in kinds:
            own = [each for each in part if each.triple.kind == kind]
            for way in asked[kind]:
                steered(lens, own, way, **told)
        left -= len(part)
        if left <= 0:
            break
    result = table_so_far(rows, time.perf_counter() - begun)
    rows.finish(result)
    return result, rows


def _halved(
    lens: Lens, mine: Sequence[Ready], group: Sequence[Way], told: Mapping[str, Any]
) -> dict[Way, list[Outcome]]:
    """Outcomes of every way of a group, more of those that do well."""
    outcomes: dict[Way, list[Outcome]] = {way: [] for way in group}
    left, at = list(group), 0
    rounds = max(1, (len(group) - 1).bit_length())
    for number in range(rounds):
        part = mine[at : at + -(-len(mine) // rounds)]
        at += len(part)
        for way in left:
            outcomes[way] += steered(lens, part, way, half="choosing", **told)
        if number < rounds - 1:
            left = sorted(left, key=lambda way: _worth(outcomes[way]), reverse=True)[: -(-len(left) // 2)]
    return outcomes


def _worth(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    count = max(1, len(outcomes))
    return sum(each.success for each in outcomes) / count, sum(each.hit for each in outcomes) / count


def _parts(given: Sequence[Ready], size: int) -> Iterator[Sequence[Ready]]:
    for first in range(0, len(given), size):
        yield given[first : first + size]


def _digest(lens: Lens) -> str:
    """Of the model's files, wherever they lie."""
    lines = sorted(f"{file.path} {file.sha256}" for file in lens.loaded.files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
