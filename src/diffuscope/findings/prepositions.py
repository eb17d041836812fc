"""Finding: whether prepositions are weak, in attention and in what they do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from diffuscope.figures.timeline_many import Estimate, interval_chart
from diffuscope.findings.evidence import Evidence, Unit, mean_of
from diffuscope.findings.page import Page, share
from diffuscope.findings.wording import STEPWISE, begin, end, said_interval
from diffuscope.studies.statistics import Interval, proportion

GROUPS: dict[str, tuple[str, ...]] = {
    "nouns": ("{noun}", "{other_noun}"),
    "colours": ("{colour}", "{other_colour}"),
    "left, right": ("left", "right"),
    "above, below": ("above", "below"),
    "of": ("of",),
    "a": ("a",),
    "start token": ("<start>",),
    "end token": ("<end>",),
}
SIDES = {
    "left of": ("placement_x", -1),
    "right of": ("placement_x", 1),
    "above": ("placement_y", -1),
    "below": ("placement_y", 1),
}
"""Preposition to the measure that it is seen in, and the sign that it asks for."""


def _group(evidence: Evidence, measure: str, targets: tuple[str, ...]) -> dict[Unit, float]:
    """Mean over a group's words of each run of the baseline."""
    found: dict[Unit, list[float]] = {}
    for target in targets:
        for unit, value in evidence.numbers(measure, target).items():
            found.setdefault(unit, []).append(value)
    return {unit: float(np.mean(values)) for unit, values in found.items()}


def _over_nouns(own: Mapping[Unit, float], nouns: Mapping[Unit, float]) -> Interval:
    return mean_of({unit: value / nouns[unit] for unit, value in own.items() if nouns.get(unit)})


def placed(evidence: Evidence, condition: str) -> tuple[Interval, Interval]:
    """Under a condition: share of runs in which the first thing stands on the side that the *baseline's* preposition
    says (Wilson's interval where all runs agree), and how far on that side in pixels. Pictures in which the judge does
    not see both count nowhere."""
    factors = evidence.factors()
    seen = {axis: evidence.numbers(axis, condition=condition) for axis in ("placement_x", "placement_y")}
    offsets: dict[Unit, float] = {}
    for prompt, of in factors.items():
        axis, sign = SIDES[of["relation"]]
        offsets |= {unit: sign * value for unit, value in seen[axis].items() if unit[0] == prompt}
    rate = mean_of({unit: float(value > 0) for unit, value in offsets.items()})
    if rate.low == rate.high:  # All runs agree, and a bootstrap knows no interval: Wilson's of the runs.
        rate = proportion(round(rate.value * rate.n), rate.n)[0]
    return rate, mean_of(offsets)


def prepositions(evidence: Evidence) -> Page:
    """Attention to prepositions, and where things are put."""
    page = begin(
        "prepositions",
        "Are prepositions weak?",
        evidence,
        f'A finding of {STEPWISE}: "prepositions have weak effect on object placement; DAAM often shows little '
        "activation for "
        'them", from "a red apple on a wooden table", "in a bowl", "under a cloth". Asked here are left of, right '
        "of, above and below, whose opposites can be drawn as well: "
        '"a purple tree left of a blue heart", and eleven more, three of each preposition.',
    )
    nouns = _group(evidence, "mass", GROUPS["nouns"])
    masses = {name: _group(evidence, "mass", targets) for name, targets in GROUPS.items()}
    ratios = {name: _over_nouns(own, nouns) for name, own in masses.items() if own}
    page.head("How much attention they get")
    said = [ratios[name] for name in ("left, right", "above, below") if name in ratios]
    weak = [each for each in said if each.high < 1]
    page.say(
        "Attention mass of a preposition, as a multiple of that of the nouns of the same run: "
        + " and ".join(
            f"{said_interval(ratios[name], 2)} ({name})" for name in ("left, right", "above, below")
        )
        + ". "
        + (
            "Both get less than nouns."
            if len(weak) == len(said)
            else "Neither gets less than nouns."
            if all(each.low > 1 for each in said)
            else "That is no clear deficit."
        )
    )
    page.table(
        ("words", "mass", "times a noun's", "focus, 0 even to 1 one patch"),
        [
            [
                name,
                said_interval(mean_of(masses[name])),
                said_interval(ratios[name], 2),
                said_interval(mean_of(_group(evidence, "focus", GROUPS[name])), 2),
            ]
            for name in ratios
        ],
    )
    page.figure(
        "mass",
        "Attention mass of kinds of words as a multiple of a noun's, with intervals",
        lambda theme: interval_chart(
            [Estimate(name, each.value, each.low, each.high) for name, each in ratios.items()],
            title="Attention of words, as a multiple of a noun's",
            subtitle="mean over all steps, sites and heads; as worded",
            unit="attention mass over that of the nouns of the same run",
            notes="Bars: 95%, prompts drawn again. A token's mass says nothing of what it does.",
            reference=1.0,
            theme=theme,
        ),
    )
    page.head("Where things are put")
    told = {
        "as worded": "as worded",
        "opposite": "the opposite preposition",
        "and": '"and" in its place',
    }
    found = {name: placed(evidence, name) for name in told}
    own, turned, bare = found["as worded"][0], found["opposite"][0], found["and"][0]
    strong = own.low > 0.5 and turned.high < 0.5
    page.say(
        f"The first thing stands on the side that the prompt says in {share(own.value)} of the pictures, and on "
        "that side in "
        f'{share(turned.value)} when the preposition is its opposite, in {share(bare.value)} when it is "and" '
        "(same seeds throughout).",
        "So the preposition decides where things are put."
        if strong
        else "So the preposition does not decide it.",
    )
    heard = (
        "less attention than nouns"
        if len(weak) == len(said)
        else "less attention than nouns in part"
        if weak
        else "no less attention than nouns"
    )
    times = ", ".join(said_interval(each, 2) for each in said)
    page.short(
        f"Prepositions get {heard} ({times} times a noun's mass) and {'do' if strong else 'do not'} decide where "
        f"things are put: {share(own.value)} stand on the side that is said, {share(turned.value)} when the "
        "opposite is said."
    )
    page.table(
        ("prompt", "on the side that 'as worded' says", "pixels to that side", "pictures with both things"),
        [
            [told[name], said_interval(rate, 2), said_interval(offset, 3), str(rate.n)]
            for name, (rate, offset) in found.items()
        ],
    )
    page.figure(
        "placement",
        "Share of pictures in which the first thing stands on the side that the prompt says, by condition",
        lambda theme: interval_chart(
            [
                Estimate(told[name], rate.value, rate.low, rate.high, "", f"{offset.value:+.0f} pixels")
                for name, (rate, offset) in found.items()
            ],
            title="Does the preposition say where things stand?",
            subtitle="first thing on the side that the prompt as worded says",
            unit="share of pictures; chance is 0.5",
            notes="Bars: 95%, prompts drawn again. The judge reads both things from the finished picture and does "
            "not know the preposition.",
            reference=0.5,
            bounds=(0.0, 1.0),
            theme=theme,
        ),
    )
    return end(
        page,
        evidence,
        [
            (
                "The model was trained on nine relations, these four among them. A model of photographs has "
                "seen far fewer captions in which a preposition decides anything; that finding is of Stable "
                "Diffusion 1.5."
            ),
            (
                "A causal text encoder carries a preposition into every later token: what it does need not flow "
                "through the attention to its own tokens."
            ),
            "Twelve prompts.",
        ],
    )
