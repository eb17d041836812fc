"""Finding: whether the time of a word's attention tells when its thing is in the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from diffuscope.analysis.timeline.events import Event
from diffuscope.analysis.timeline.order import Agreement, agreement
from diffuscope.analysis.timeline.survival import FEWEST
from diffuscope.errors import InputError, SelectionError
from diffuscope.figures.timeline_many import Cloud, Estimate, interval_chart, scatter_chart
from diffuscope.figures.timeline_order import order_of_many
from diffuscope.findings.evidence import Evidence
from diffuscope.findings.page import Page, interval, number, share
from diffuscope.findings.wording import (
    PAIRED_NAMES,
    begin,
    came,
    compared,
    end,
    paired_row,
    said_interval,
    survivals,
)
from diffuscope.findings.wording import verdict as in_words
from diffuscope.studies.statistics import Interval, clustered

KINDS: dict[str, tuple[str, ...]] = {
    "nouns": ("{noun}", "{other_noun}"),
    "colours": ("{colour}", "{other_colour}"),
    "places": ("{place}",),
}
BY_SEED = "nouns, by seed alone"
PHRASES = {"{noun}": "{colour} {noun}", "{other_noun}": "{other_colour} {other_noun}"}

TIMES: tuple[tuple[str, str, bool], ...] = (
    ("emergence_attention", "map overlaps the object, all sites", False),
    ("emergence_attention_finest", "map overlaps the object, finest grid", False),
    ("emergence_attention_finest", "the same, of colour and noun together", True),
    ("stabilisation", "map settled, all sites", False),
    ("stabilisation_finest", "map settled, finest grid", False),
    ("peak", "peak of the mass, all sites", False),
)
"""Measure, what it is called here, and whether it is of the phrase."""

ORDERED = {
    "noun": ["{noun}"],
    "its colour": ["{colour}"],
    "second noun": ["{other_noun}"],
    "place": ["{place}"],
}
PAIRS = (("its colour", "noun"), ("place", "noun"), ("noun", "second noun"))

SLIGHT = 0.1
"""Rank correlation that is none to speak of, whatever its interval."""
USABLE = 0.5
"""Rank correlation that the lower end of an interval must reach before a time is called a usable stand-in."""


@dataclass(frozen=True)
class Way:
    """One way to time words by attention, held against the picture."""

    said: str
    by_kind: Mapping[str, Agreement | None]
    order: Interval | None
    censored: float


def _events(evidence: Evidence, measure: str, targets: Sequence[str], phrase: bool) -> list[Event]:
    """Events of each target by its own name; of phrases, by the noun's."""
    found = []
    for target in targets:
        asked = PHRASES.get(target) if phrase else target
        if asked is not None:
            found += evidence.events(measure, {target: [asked]})
    return found


def _agreed(first: Sequence[Event], second: Sequence[Event]) -> Agreement | None:
    """None where fewer than `FEWEST` words have both times, or one of the two never varies."""
    try:
        found = agreement(first, second, resamples=500)
    except SelectionError:
        return None
    return found if np.isfinite(found.rho) and found.points >= FEWEST else None


def within(first: Sequence[Event], second: Sequence[Event]) -> tuple[list[Event], list[Event]]:
    """The same events less the mean of their prompt and name, where both times are known and a prompt has several: what
    is left is how runs of one prompt differ, by their seed alone."""
    other = {(row.unit, row.name): row for row in second}
    groups: dict[tuple[str, str], list[tuple[Event, Event]]] = {}
    for row in first:
        match = other.get((row.unit, row.name))
        if match is not None and not row.censored and not match.censored:
            groups.setdefault((row.cluster, row.name), []).append((row, match))
    left: tuple[list[Event], list[Event]] = ([], [])
    for pairs in groups.values():
        if len(pairs) > 1:
            for side in (0, 1):
                mean = sum(pair[side].time for pair in pairs) / len(pairs)
                left[side].extend(replace(pair[side], time=pair[side].time - mean) for pair in pairs)
    return left


def ordered(first: Sequence[Event], second: Sequence[Event]) -> Interval | None:
    """In what share of runs the order of two nouns by one time is that by the other, runs left out in which either is a
    tie or not known; chance is a half. A censored time is later than all that came."""

    def orders(rows: Sequence[Event]) -> dict[str, tuple[int, str]]:
        by_unit: dict[str, dict[str, Event]] = {}
        for row in rows:
            by_unit.setdefault(row.unit, {})[row.name] = row
        out = {}
        for unit, own in by_unit.items():
            if len(own) == 2 and not all(each.censored for each in own.values()):
                a, b = (np.inf if own[name].censored else own[name].time for name in sorted(own))
                if a != b:
                    out[unit] = (1 if a < b else -1, next(iter(own.values())).cluster)
        return out

    one, other = orders(first), orders(second)
    both = [unit for unit in one if unit in other]
    try:
        return clustered(
            [float(one[unit][0] == other[unit][0]) for unit in both], [one[unit][1] for unit in both]
        )
    except InputError:
        return None


def ways(evidence: Evidence) -> list[Way]:
    """Every way to time by attention, against emergence in the picture."""
    every = [target for targets in KINDS.values() for target in targets]
    seen = {name: _events(evidence, "emergence_image", targets, False) for name, targets in KINDS.items()}
    whole = [event for events in seen.values() for event in events]
    found = []
    for measure, said, phrase in TIMES:
        rows = _events(evidence, measure, every, phrase)
        of = {"all words": _agreed(rows, whole)} | {name: _agreed(rows, own) for name, own in seen.items()}
        nouns = [row for row in rows if row.name in KINDS["nouns"]]
        lost = sum(row.censored for row in rows) / max(len(rows), 1)
        of[BY_SEED] = _agreed(*within(nouns, seen["nouns"]))
        found.append(Way(said, of, ordered(nouns, seen["nouns"]), lost))
    return found


def verdict(found: Agreement) -> str:
    """What a rank correlation bears, by its interval."""
    if abs(found.rho) < SLIGHT:
        return "no relation to speak of"
    if found.low >= USABLE:
        return "a usable stand-in"
    if found.low > 0:
        return "related, too loosely to stand in for the picture"
    if found.high < 0:
        return "runs the other way"
    return "no relation is seen"


def attention_and_picture(evidence: Evidence) -> Page:
    """Emergence by attention against emergence in the picture."""
    page = begin(
        "attention-and-picture",
        "Does attention tell when a thing is in the picture?",
        evidence,
        "Attention to a word is easy to time: when its mass peaks, when its map settles, when it overlaps the "
        "object. The first look at this (one prompt, 24 seeds, rho -0.39) found that such times did not predict "
        "when the judge sees the thing. Here it is asked of many prompts.",
        orders=True,
    )
    found = ways(evidence)
    best = max(
        (way for way in found if way.by_kind["nouns"] is not None),
        key=lambda way: way.by_kind["nouns"].rho,  # type: ignore[union-attr]
        default=None,
    )
    if best is not None and (nouns := best.by_kind["nouns"]) is not None:
        page.short(
            f"Of {len(found)} ways to time a noun by its attention the one nearest to the picture is "
            f"*{best.said}*: rank correlation {interval(nouns.rho, nouns.low, nouns.high, 2)}, {verdict(nouns)}.",
            _order_said(best.order),
            _seed_said(best.by_kind[BY_SEED]),
            "The way was chosen on these same runs, so its figure is on the high side.",
        )
    page.head("Rank correlation with emergence in the picture")
    page.points(
        f"*{way.said}*, nouns: {_said(way.by_kind['nouns'])}"
        for way in found
        if way.by_kind["nouns"] is not None
    )
    page.table(
        (
            "time by attention",
            "never came",
            *[f"rho, {kind}" for kind in found[0].by_kind],
            "right order of two nouns",
        ),
        [
            [
                way.said,
                share(way.censored),
                *[_cell(each) for each in way.by_kind.values()],
                _counted(way.order),
            ]
            for way in found
        ],
    )
    page.say(
        "Spearman's rho over words and runs where both times are known, and how many those are. *All words* mixes "
        "kinds: a correlation there can come from nouns, colours and places having different typical times. "
        "*Nouns, by seed alone*: times less the mean of their prompt and noun, so that only runs of one prompt "
        "are compared. *Right order of two nouns*: of the runs in which both ways put one noun before the other, "
        f"in how many it is the same one; chance is 0.5. A dash: fewer than {FEWEST}, or a time that never varies."
    )
    rows = [
        Estimate(way.said, each.rho, each.low, each.high, kind, f"n {each.points}")
        for kind in found[0].by_kind
        for way in found
        if (each := way.by_kind[kind]) is not None
    ]
    page.figure(
        "rho",
        "Rank correlation of six times by attention with emergence in the picture, by kind of word, with intervals",
        lambda theme: interval_chart(
            rows,
            title="Does attention's time tell the picture's?",
            subtitle="rank correlation with emergence in the predicted picture",
            unit="Spearman's rho",
            notes="Bars: 95%, prompts drawn again. 1 would be the same order; the dashed line is no relation.",
            reference=0.0,
            bounds=(-1.0, 1.0),
            theme=theme,
        ),
    )
    page.head("How far apart")
    clouds, lines = [], []
    for name, targets in KINDS.items():
        one = {
            (row.unit, row.name): row
            for row in _events(evidence, "emergence_attention_finest", targets, False)
        }
        other = {(row.unit, row.name): row for row in _events(evidence, "emergence_image", targets, False)}
        keys = [key for key in one if key in other and not one[key].censored and not other[key].censored]
        across, up = (np.array([rows[key].time for key in keys]) for rows in (one, other))
        clouds.append(Cloud(name, across, up))
        if len(keys):
            apart = clustered(across - up, [one[key].cluster for key in keys], "median")
            wide = np.quantile(up, (0.25, 0.75))
            lines.append(
                [
                    name,
                    said_interval(apart, 2),
                    number(float(np.median(np.abs(across - up)))),
                    f"{number(float(wide[0]))} to {number(float(wide[1]))}",
                ]
            )
    page.table(
        ("", "attention less picture, median steps (95%)", "median distance", "middle half in the picture"),
        lines,
    )
    page.figure(
        "times",
        "Emergence by attention at the finest grid against emergence in the picture, a disc for each pair of steps",
        lambda theme: scatter_chart(
            clouds,
            title="The two times, run by run",
            subtitle="a disc is as large as there are words in runs with these two steps; on the dashed line both "
            "agree",
            across="emergence by attention, finest grid, step",
            up="emergence in the picture, step",
            theme=theme,
        ),
    )
    page.head("In which order, in the picture")
    rows_seen = evidence.events("emergence_image", ORDERED)
    medians = survivals(rows_seen, list(ORDERED))
    last = float((evidence.study.plan.settings.steps or 1) - 1)
    page.say("; ".join(f"{each.name}: step {came(each, last)}" for each in medians) + ".")
    comparisons = [two for pair in PAIRS if (two := compared(rows_seen, *pair)) is not None]
    page.points(in_words(two) for two in comparisons)
    page.table(PAIRED_NAMES, [paired_row(two) for two in comparisons])
    page.figure(
        "order",
        "Emergence of the first noun, its colour, the second noun and the place in the picture over all runs",
        lambda theme: order_of_many(
            medians,
            title="Drawing order, by the predicted picture",
            subtitle=f"{len(evidence.runs)} runs of {len(evidence.factors())} prompts",
            theme=theme,
        ),
    )
    return end(
        page,
        evidence,
        [
            "Times are whole steps, and most things emerge within a few of them: ties lower any rank correlation.",
            (
                "The judge gives yes or no, and the object's mask, against which a map must overlap, is of the "
                "finished picture: a thing that moves late is found late by attention too."
            ),
            (
                "Attention here is the mean over heads. A single head may know more; which one would have to be "
                "chosen on other prompts."
            ),
            "One small model of a drawn world.",
        ],
    )


def _order_said(found: Interval | None) -> str:
    if found is None:
        return "It gives no order of two nouns in any run."
    how = "better than" if found.low > 0.5 else "worse than" if found.high < 0.5 else "no better than"
    return f"Of two nouns it tells which comes first in {said_interval(found, 2)} of {found.n} runs, {how} a coin."


def _seed_said(found: Agreement | None) -> str:
    if found is None:
        return "Of runs of one prompt that differ by their seed there are too few to say."
    return (
        "Between runs of one prompt, which differ by their seed alone, it is "
        f"{interval(found.rho, found.low, found.high, 2)}: {verdict(found)}."
    )


def _said(found: Agreement | None) -> str:
    if found is None:
        return "too few words have both times."
    return f"rho {interval(found.rho, found.low, found.high, 2)}: {verdict(found)}."


def _counted(found: Interval | None) -> str:
    if found is None or found.n < FEWEST:
        return "–"
    if found.low == found.high:  # All runs agree, and a bootstrap knows no interval.
        return f"{number(found.value)} in all {found.n} runs"
    return f"{said_interval(found, 2)}, {found.n} runs"


def _cell(found: Agreement | None) -> str:
    return "–" if found is None else f"{interval(found.rho, found.low, found.high, 2)}, n {found.points}"
