"""Finding: how often steering does what it should, and nothing else. Written by `diffuscope evaluate steer --page`."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import TYPE_CHECKING

from diffuscope import scenes
from diffuscope.analysis.cause.steering import CHOSEN, LOCAL, NOISE, NOTICED, PROMPTED, Outcome, Rate
from diffuscope.figures.cause_rates import Bar, interval_chart
from diffuscope.findings.page import Page, probability

if TYPE_CHECKING:
    from diffuscope.analysis.cause.steering import SteeringTable
    from diffuscope.analysis.cause.steering_rows import Rows

TARGET = {"hit": 0.95, "success": 0.9}
"""What was asked of colours."""


def steering(table: SteeringTable, rows: Rows, command: str) -> Page:
    """The page of an evaluation.

    Args:
        table: what it found.
        rows: every picture.
        command: that drew them.
    """
    page = Page("steering", "How often does steering do what it should, and nothing else?")
    kinds = list(dict.fromkeys(each.kind for each in table.rates))
    wanted = int(rows.about.get("triples", 0))
    by = {(each.kind, each.way): each for each in table.rates}
    total = sum(by[kind, CHOSEN].n for kind in kinds)
    page.short(*_short(by, kinds))
    page.say(
        f"{total} triples of prompt, change and seed ({', '.join(f'{by[kind, CHOSEN].n} {kind}' for kind in kinds)}), "
        f"{table.steps} steps, [what counts](../cause.md#steering). A triple counts when the judge finds the unedited "
        f"picture right in every part: {table.refused} of {table.drawn} unedited pictures were left out ([words of "
        "the drawn world](../scenes.md)). The way of steering was chosen for each kind of change on other prompts, and "
        "then measured once on these. Shares with Wilson's 95% intervals; triples of one picture are not independent.",
        f"**{wanted} triples are wanted; the evaluation was stopped before.**" if total < wanted else "",
    )
    page.head("Hit, kept, success")
    page.table(
        ("change", "way", "n", "hit", "kept", "success", "things kept", "background, median delta-E"),
        [
            _line(by[kind, way])
            for kind in kinds
            for way in (CHOSEN, LOCAL, PROMPTED, NOISE)
            if (kind, way) in by
        ],
    )
    page.points(
        f"{kind}: {table.chosen[kind]}"
        + (f"; where the thing is: {table.local[kind]}" if kind in table.local else "")
        for kind in kinds
    )
    page.say(
        "*Steered, as chosen*: by words alone, the same that a prompt gives. *Where the thing is*: acting on the "
        "thing's own patches, as a user who paints it would have it; here they are the judge's pixels and six around "
        "(of a place: all that no thing is near). *Prompt changed*: the prompt names the target from the first step "
        "on. *Things kept* leaves the background out."
    )
    page.figure(
        "rates",
        "Hits and successes of steering by kind of change, beside the changed prompt and noise",
        lambda theme: interval_chart(
            "How often steering hits, and keeps the rest",
            f"{total} triples, {table.steps} steps; target and everything else read by the judge",
            [bar for kind in kinds for bar in _bars(by, kind)],
            notes="Bars: Wilson's 95%. Quiet: controls.",
            extent=(0.0, 1.0),
            theme=theme,
        ),
    )
    page.head("Beside the changed prompt")
    page.say("On the same triples, by words alone:")
    page.points([*(_beside(rows, table, [kind], kind) for kind in kinds), _beside(rows, table, kinds, "all")])
    page.head("One thing or two")
    page.say("Steered as chosen, by how many things the prompt names:")
    page.table(
        ("change", "things", "n", "hit", "kept", "success"),
        [
            [
                kind,
                str(count),
                str(len(found)),
                *(_counted(found, name) for name in ("hit", "kept", "success")),
            ]
            for kind in kinds
            for count, found in _by_things(rows, kind, table.chosen[kind]).items()
        ],
    )
    page.head("Strength, window, space")
    page.say(
        "On the prompts that choose; ways that do worse are dropped after each round, so numbers differ. Counts of "
        "triples: hit, kept, both, of how many."
    )
    names = list(dict.fromkeys(each.way for each in table.choosing))
    columns = list(dict.fromkeys(each.kind for each in table.choosing))
    lines = {(each.kind, each.way): each for each in table.choosing}
    page.table(
        ("space, strength, steps", *columns),
        [[name, *(_counts(lines.get((kind, name))) for kind in columns)] for name in names],
    )
    page.say(_window(table))
    page.head("How far this goes")
    most = max((each.n for each in table.choosing), default=0)
    page.points(
        [
            "What limits the changed prompt limits steering: both can only say another word to this model.",
            (
                f"*Kept* asks for a background that has not changed noticeably (mean delta-E below {NOTICED:g}) and "
                "for things that have hardly moved. Noise of equal norm shows how much of that is lost to any change "
                "of the text."
            ),
            (f"A choice on at most {most} triples a way drops what never works; it does not rank the rest."),
            "One small model of a drawn world.",
        ]
    )
    page.head("How it was made")
    page.parts.append(f"```sh\n{command} --page docs/findings\n```")
    page.say(
        f"draws what is missing of the table and writes this page. Model {rows.about.get('model')} "
        f"({rows.about.get('files')}), diffuscope {rows.about.get('diffuscope')}. Every picture: "
        "[steering.jsonl](data/steering.jsonl)."
    )
    return page


def _short(by: dict[tuple[str, str], Rate], kinds: Sequence[str]) -> list[str]:
    said = []
    if "colour" in kinds:
        own = by["colour", CHOSEN]
        wide = by.get(("colour", LOCAL))
        reached = own.hit[0] >= TARGET["hit"] and own.success[0] >= TARGET["success"]
        said.append(
            f"A colour is hit in {_share(own.hit)} and all else kept too in {_share(own.success)} of {own.n} triples; "
            f"the prompt that names the new colour from the start hits {_share(by['colour', PROMPTED].hit)} and "
            f"succeeds in {_share(by['colour', PROMPTED].success)}, noise of equal norm hits "
            f"{_share(by['colour', NOISE].hit)}."
        )
        if wide is not None:
            said.append(f"Steered only where the thing is, {_share(wide.hit)} and {_share(wide.success)}.")
        said.append(
            f"The target (hit {TARGET['hit']:.0%}, success {TARGET['success']:.0%}) is "
            + ("reached." if reached else "**not reached**.")
        )
    others = [kind for kind in kinds if kind != "colour"]
    if others:
        said.append(
            "Success of others: "
            + ", ".join(f"{kind} {_share(by[kind, CHOSEN].success)}" for kind in others)
            + "."
        )
    return said


def _line(each: Rate) -> list[str]:
    return [
        each.kind,
        each.way,
        str(each.n),
        *(_share(getattr(each, name)) for name in ("hit", "kept", "success", "things")),
        "–" if each.background is None else f"{each.background:.1f}",
    ]


def _share(three: tuple[float, float, float]) -> str:
    return f"{three[0]:.0%} ({three[1]:.0%} to {three[2]:.0%})"


def _bars(by: dict[tuple[str, str], Rate], kind: str) -> list[Bar]:
    bars = [Bar(f"{kind} ({by[kind, CHOSEN].n})")]
    for way, short in (
        (CHOSEN, "steered"),
        (LOCAL, "steered where it is"),
        (PROMPTED, "prompt changed"),
        (NOISE, "noise"),
    ):
        each = by.get((kind, way))
        for name in ("hit", "success"):
            if each is not None and each.n:
                value, low, high = getattr(each, name)
                bars.append(
                    Bar(f"{short}: {name}", value, low, high, f"{value:.0%}", way in (NOISE, PROMPTED))
                )
    return bars


def _measured(rows: Rows, kind: str, way: str) -> dict[tuple[str, ...], Outcome]:
    """Outcomes of a way on the prompts that measure, by triple."""
    return {
        (key[0], *key[2:]): outcome
        for key, outcome in rows.outcomes.items()
        if key[0] == kind and key[1] == way and rows.halves[key] == "measured"
    }


def _beside(rows: Rows, table: SteeringTable, kinds: Sequence[str], name: str) -> str:
    """Successes of steering and of the changed prompt on the same triples, with a sign test over triples."""
    one: dict[tuple[str, ...], Outcome] = {}
    other: dict[tuple[str, ...], Outcome] = {}
    for kind in kinds:
        one |= _measured(rows, kind, table.chosen[kind])
        other |= _measured(rows, kind, PROMPTED)
    both = [key for key in one if key in other]
    first = sum(one[key].success and not other[key].success for key in both)
    second = sum(other[key].success and not one[key].success for key in both)
    p = sign_test(first, second)
    how = (
        "no difference is seen"
        if p >= 0.05
        else "steering does better"
        if first > second
        else "the prompt does better"
    )
    return (
        f"{name}: {first} succeed by steering alone, {second} by the prompt alone, of {len(both)} "
        f"({probability(p)}): {how}."
    )


def sign_test(first: int, second: int) -> float:
    """Two-sided exact p of so many against so many."""
    n = first + second
    if not n:
        return 1.0
    tail = sum(comb(n, k) for k in range(min(first, second) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def _by_things(rows: Rows, kind: str, way: str) -> dict[int, list[Outcome]]:
    found: dict[int, list[Outcome]] = {}
    for key, outcome in _measured(rows, kind, way).items():
        told = scenes.parse(key[1])
        if told is not None:
            found.setdefault(len(told.things), []).append(outcome)
    return dict(sorted(found.items()))


def _counted(found: Sequence[Outcome], name: str) -> str:
    right = sum(bool(getattr(each, name)) for each in found)
    return _share((right / len(found), *scenes.wilson(right, len(found))))


def _counts(each: Rate | None) -> str:
    if each is None:
        return "–"
    return (
        " / ".join(str(round(getattr(each, name)[0] * each.n)) for name in ("hit", "kept", "success"))
        + f" of {each.n}"
    )


def _window(table: SteeringTable) -> str:
    """What `Steer`'s own default window did, over all kinds of changes of things."""
    rows = [
        each
        for each in table.choosing
        if "steps window" in each.way and each.kind in ("colour", "size", "pattern", "noun")
    ]
    if not rows:
        return "The default window of `Steer` (a fifth of the run to three fifths) was not among them."
    colour = [each for each in rows if each.kind == "colour"]
    hits, n = sum(round(each.hit[0] * each.n) for each in colour), sum(each.n for each in colour)
    return (
        f"The default window of `Steer` (a fifth of the run to three fifths) hit {hits} of {n} colours in all spaces: "
        + (
            "what it does falls back when it ends. So name `steps`, or take the preset "
            "([edits](../edits.md#steering-presets))."
            if n and hits / n < 0.2
            else "it does something here."
        )
    )
