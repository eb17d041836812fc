"""Finding: whether the picture changes where a word's map is bright, by kind of word. Rows: `benchmarks/cause.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diffuscope.analysis.cause.chance import mean_interval
from diffuscope.figures.cause_rates import Bar, interval_chart
from diffuscope.findings.page import Page, interval

Row = Mapping[str, Any]
KINDS = {
    "noun": "noun (circle)",
    "phrase": "colour and noun (red circle)",
    "colour": "colour (red)",
    "place": "place (snow)",
    "function": "function word (a)",
}
VERDICTS = ("supported", "in part", "not supported", "no effect")
RANDOM = "of a random word's map"
CHANCE = 1 / 7
"""IoU of two independent masks of a quarter each."""


def _of(rows: Sequence[Row], value: Callable[[Row], float | None]) -> tuple[float, float, float]:
    """Mean over prompts with its bootstrap 95% interval; of no numbers NaN."""
    known = [found for row in rows if (found := value(row)) is not None]
    return mean_interval(known) if known else (float("nan"),) * 3


MEASURES: dict[str, Callable[[Row], float | None]] = {
    "SF-IoU, silenced": lambda row: row["silence"]["iou"],
    RANDOM: lambda row: row["silence"]["random_iou"],
    "noise of equal norm": lambda row: row["control"]["iou"],
    "left out": lambda row: row["reprompt"]["iou"],
    "area over random order": lambda row: row["area"],
    "noticed, silenced": lambda row: row["silence"]["noticed"],
    "noticed, noise": lambda row: row["control"]["noticed"],
    "noticed, left out": lambda row: row["reprompt"]["noticed"],
}
"""What a table shows, and how it is read off a row."""


def summary(rows: Sequence[Row]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Kind to measure to (mean, low, high); and ``above random word``, the paired difference of the two IoUs."""
    found = {}
    for kind in KINDS:
        mine = [row for row in rows if row["kind"] == kind]
        if mine:
            found[kind] = {name: _of(mine, value) for name, value in MEASURES.items()}
            found[kind]["above random word"] = _of(
                mine,
                lambda row: (
                    None
                    if row["silence"]["random_iou"] is None
                    else row["silence"]["iou"] - row["silence"]["random_iou"]
                ),
            )
            found[kind]["above noise"] = _of(mine, lambda row: row["silence"]["iou"] - row["control"]["iou"])
            found[kind]["more than noise"] = _of(
                mine, lambda row: row["silence"]["noticed"] - row["control"]["noticed"]
            )
    return found


def faithfulness(rows: Sequence[Row], about: Mapping[str, Any], command: str) -> Page:
    """The page of the rows.

    Args:
        rows: one a prompt, as `benchmarks/cause.py faithfulness` writes them.
        about: model and steps.
        command: that drew them.
    """
    page = Page("faithfulness", "Does the picture change where the map is bright?")
    found = summary(rows)
    right = sum(bool(row["right"]) for row in rows)
    page.short(*_short(found))
    page.say(
        "Diffusion Detective's authors found that attention barely predicts where an edit changes the picture: an "
        "IoU of "
        "0.17 where chance is 0.14. Asked of the shipped model ([its words](../scenes.md)), kind of word by kind "
        "of word."
    )
    page.say(
        f"{len(rows)} held-out prompts of one or two things and a place, one seed and one word each, "
        f"{about['steps']} "
        f"steps; {right} of the pictures are right in every part by the judge, and all are counted, since a map "
        "must say "
        "where the model looked also where it drew wrongly. Each word is silenced, left out of the prompt, and "
        "silenced in "
        "the brightest 25 and 50% of its patches against two random orders ([what is "
        "measured](../cause.md#faithfulness-"
        f"of-a-map)). Means, with bootstrap 95% intervals over prompts; chance is {CHANCE:.3f}."
    )
    page.head("By kind of word")
    page.table(
        ("word", "n", *MEASURES),
        [
            [
                KINDS[kind],
                str(sum(row["kind"] == kind for row in rows)),
                *(interval(*found[kind][name], 2) for name in MEASURES),
            ]
            for kind in found
        ],
    )
    page.table(
        ("verdict of", *VERDICTS),
        [
            [
                KINDS[kind],
                *(
                    str(sum(row["kind"] == kind and row["verdict"] == verdict for row in rows))
                    for verdict in VERDICTS
                ),
            ]
            for kind in found
        ],
    )
    page.figure(
        "overlap",
        "Overlap of map and change by kind of word, beside a random word's map and noise of equal norm",
        lambda theme: interval_chart(
            "Does the picture change where the map is bright?",
            f"{len(rows)} prompts; SF-IoU of a word's map with what silencing the word changes",
            [bar for kind in found for bar in _bars(kind, found[kind])],
            chance=CHANCE,
            percent=False,
            notes="Bars: bootstrap 95% over prompts. Quiet: controls.",
            theme=theme,
        ),
    )
    page.head("What can be said")
    page.points([*(_said(kind, found[kind]) for kind in found), *_noise(found), *_leaks(found)])
    page.head("How far this goes")
    page.points(
        [
            "Verdicts are of one run each and strict: see [cause](../cause.md#faithfulness-of-a-map).",
            "One word of each prompt, one seed; prompts stand for the spread.",
            "One small model of a drawn world.",
        ]
    )
    page.head("How it was made")
    page.parts.append(f"```sh\n{command}\n```")
    page.say(
        f"draws what is missing of the table and writes this page. Model {about['model']} ({about['files']}), "
        "diffuscope "
        f"{about['diffuscope']}. Every row: [faithfulness.jsonl](data/faithfulness.jsonl)."
    )
    return page


def trust(rows: Sequence[Row]) -> str:
    """The table of docs/what-attention-is-good-for.md, from the same rows: Markdown."""
    found = summary(rows)
    page = Page("", "")
    page.table(
        ("word", 'may you say "it acts where the map is bright"?', "measured"),
        [[KINDS[kind], _answer(found[kind]), _measured(found[kind])] for kind in found],
    )
    page.say(
        f"{len(rows)} prompts, one word each; means with 95% intervals over prompts; chance is {CHANCE:.2f} "
        "([faithfulness](findings/faithfulness.md))."
    )
    return "\n\n".join(page.parts)


def _answer(of: Mapping[str, tuple[float, float, float]]) -> str:
    """From both tests: overlap above chance and above another word's map, and the order of patches."""
    where = of["SF-IoU, silenced"][1] > CHANCE and of["above random word"][1] > 0
    order = of["area over random order"][1] > 0
    if of["noticed, silenced"][0] < 0.1 and of["noticed, left out"][1] > of["noticed, silenced"][2]:
        return "no: its own tokens hardly act; leave it out of the prompt to see what it does"
    if where and order:
        return "mostly: it overlaps, and its brightest patches do most of it"
    return "in part" if where or order else "no"


def _measured(of: Mapping[str, tuple[float, float, float]]) -> str:
    return (
        f"overlap {interval(*of['SF-IoU, silenced'], 2)}, another word's map {interval(*of[RANDOM], 2)}; area "
        f"{interval(*of['area over random order'], 2)}; share of pixels that change noticeably: silenced "
        f"{interval(*of['noticed, silenced'], 2)}, left out {interval(*of['noticed, left out'], 2)}"
    )


def _short(found: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> list[str]:
    above = [KINDS[kind] for kind in found if found[kind]["SF-IoU, silenced"][1] > CHANCE]
    below = [KINDS[kind] for kind in found if found[kind]["SF-IoU, silenced"][1] <= CHANCE]
    ordered = [KINDS[kind] for kind in found if found[kind]["area over random order"][1] > 0]
    said = [
        f"Map and change overlap above chance for {_listed(above)}"
        + (f", not for {_listed(below)}." if below else ".")
    ]
    said.append(f"The brightest patches do more than random ones for {_listed(ordered)}.")
    return said


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "no kind of word"


def _bars(kind: str, of: Mapping[str, tuple[float, float, float]]) -> list[Bar]:
    bars = [Bar(KINDS[kind])]
    for name in ("SF-IoU, silenced", "left out", RANDOM, "noise of equal norm"):
        value, low, high = of[name]
        if value == value:
            quiet = name in (RANDOM, "noise of equal norm")
            bars.append(Bar(name.removeprefix("SF-IoU, "), value, low, high, f"{value:.2f}", quiet))
    return bars


def _said(kind: str, of: Mapping[str, tuple[float, float, float]]) -> str:
    overlap, other, area = of["SF-IoU, silenced"], of["above random word"], of["area over random order"]
    chance = (
        "above chance" if overlap[1] > CHANCE else "below chance" if overlap[2] < CHANCE else "as chance does"
    )
    word = (
        "more than a random word's map"
        if other[1] > 0
        else "less than a random word's map"
        if other[2] < 0
        else "no more and no less than a random word's map"
    )
    order = (
        "silencing the brightest patches first does more than a random order"
        if area[1] > 0
        else "silencing the brightest patches first does no more than a random order"
    )
    return f"{KINDS[kind]}: the map overlaps with what silencing changes {chance}, and {word}; {order}."


def _noise(found: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> list[str]:
    where = [KINDS[kind] for kind in found if found[kind]["above noise"][1] > 0.03]
    much = [KINDS[kind] for kind in found if found[kind]["more than noise"][1] > 0]
    return [
        (
            "**Overlap alone is no proof of cause**: noise of equal norm at the same sites changes the picture "
            "nearly where "
            "the word's own silencing does"
            + (
                f" (it overlaps clearly less only for {_listed(where)}). "
                if where
                else ", for every kind of word. "
            )
            + "Things are what changes easily. What tells the word from noise is how much changes "
            + (f"(more for {_listed(much)}) " if much else "")
            + "and the order of patches (area), not where."
        )
    ]


def _leaks(found: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> list[str]:
    leaking = [
        f"{KINDS[kind]} ({found[kind]['noticed, silenced'][0]:.2f} of the pixels against "
        f"{found[kind]['noticed, left out'][0]:.2f})"
        for kind in found
        if found[kind]["noticed, left out"][1] > found[kind]["noticed, silenced"][2]
    ]
    if not leaking:
        return []
    return [
        (
            "Leaving the word out of the prompt changes far more than silencing its own tokens for "
            f"{_listed(leaking)}: the text "
            "encoder reads from left to right and carries it into later tokens."
        )
    ]
