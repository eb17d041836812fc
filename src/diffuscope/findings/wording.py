"""How findings are worded: how pages open and close, tables of events, verdicts in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from diffuscope.analysis.timeline.events import Event
from diffuscope.analysis.timeline.order import CLAIMED, Control, Paired, paired
from diffuscope.analysis.timeline.survival import Survival, survival
from diffuscope.errors import SelectionError
from diffuscope.findings.evidence import Evidence, mean_of
from diffuscope.findings.page import Page, interval, number, probability, share
from diffuscope.studies.statistics import Interval

STEPWISE = '"From Attention Visualization to Step-wise Analysis in Stable Diffusion" (MAT 265, 2025)'
"""The earlier project that these experiments come from; it looked at Stable Diffusion 1.5, a picture at a time."""
FEW = 6
"""Conditions that a sentence can name."""
WORLD = (
    "The shipped model draws a small world ([its words](../scenes.md)), so that a program can judge every "
    "picture. What is found here is found on that model: 11.2 million parameters, 16x16 latents, three grids."
)


RULE = (
    "An order is claimed where the interval of the difference leaves out 0 and prompts agree by the sign test "
    f"(p of at most {CLAIMED:g})."
)
"""When a page says that one thing comes before another: `Paired.order`."""


def begin(name: str, title: str, evidence: Evidence, wording: str, *, orders: bool = False) -> Page:
    """The page's head: what is asked, how the wording of others was mapped, what was drawn; of pages with `orders` also
    when one is claimed."""
    page = Page(name, title)
    plan, runs = evidence.study.plan, evidence.runs
    page.say(wording, WORLD)
    prompts = len({run["prompt_index"] for run in runs})
    conditions = len(plan.conditions)
    steps = plan.settings.steps
    page.say(
        f"{len(runs)} pictures: {prompts} prompts x {len({run['seed'] for run in runs})} seeds"
        + (f" x {conditions} conditions" if conditions > 1 else "")
        + (f" ({', '.join(plan.conditions)})" if 1 < conditions <= FEW else "")
        + f", {steps} steps, step 0 the noisiest. Intervals are 95%, whole prompts drawn again, since runs of one "
        "prompt are alike; tests count prompts.",
        RULE if orders else "",
        _missing(evidence),
    )
    return page


def _missing(evidence: Evidence) -> str:
    status = evidence.study.status()
    if not status.pending and not status.failed:
        return ""
    return f"Of {status.total} planned runs {status.pending} were not drawn yet and {status.failed} failed."


def end(page: Page, evidence: Evidence, limits: Sequence[str]) -> Page:
    """What limits the result, and how it was made."""
    page.head("How far this goes")
    page.points(limits)
    page.head("How it was made")
    runs, model = evidence.runs, evidence.study.model or {}
    drew = [run["draw_seconds"] or 0.0 for run in runs]
    measured = [run["measure_seconds"] or 0.0 for run in runs]
    software = json.loads(runs[0]["software"]) if runs else {}
    named = {name: software[name] for name in ("diffuscope", "torch", "diffusers") if name in software}
    page.parts.append(f"```sh\ndiffuscope study reproduce {page.name}\n```")
    page.say(
        f"draws what is missing and writes this page. Model {str(model.get('fingerprint', ''))[:12]}; "
        + ", ".join(f"{name} {version}" for name, version in named.items())
        + f"; {sum(drew) / max(len(drew), 1):.2g} s to draw and record a picture, "
        f"{sum(measured) / max(len(measured), 1):.2g} s to read and measure it, by the clock and whatever else "
        f"ran, on {'/'.join(sorted({str(run['device']) for run in runs}))}.",
        judged(evidence),
    )
    return page


def judged(evidence: Evidence) -> str:
    """How often the judge finds the whole picture right, where that was measured."""
    if "judge_all" not in {choice.name for choice in evidence.study.plan.measures}:
        return ""
    every = list(evidence.study.plan.conditions)
    conditions = every if len(every) <= FEW else [evidence.baseline]
    found = [
        mean_of(evidence.numbers("judge_all", condition=name))
        for name in conditions
        if evidence.numbers("judge_all", condition=name)
    ]
    rates = ", ".join(share(each.value) for each in found)
    return f"The judge finds every named part of the picture right in {rates} of the runs" + (
        " (by condition)." if len(found) > 1 else "." if len(every) == 1 else f" ({evidence.baseline})."
    )


def survivals(rows: Sequence[Event], names: Sequence[str]) -> list[Survival]:
    """Kaplan-Meier of each name that has events."""
    there = {row.name for row in rows}
    return [survival(rows, name) for name in names if name in there]


def came(each: Survival, last: float) -> str:
    """A median with its interval; an end that lies beyond the last step is open."""
    if each.median is None:
        return f"in fewer than half by step {last:g}"
    ends = [f"after {last:g}" if end is None else number(end) for end in (each.low, each.high)]
    return f"{number(each.median)} ({ends[0]} to {ends[1]})"


def survival_rows(found: Mapping[str, Sequence[Survival]], last: float) -> list[list[str]]:
    """Rows of a table: name, then for each heading its median and how many never came."""
    names = list(dict.fromkeys(each.name for rows in found.values() for each in rows))
    table = []
    for name in names:
        line = [name]
        for rows in found.values():
            own = next((each for each in rows if each.name == name), None)
            line.append(
                "–" if own is None else f"{came(own, last)}; never in {share(own.censored / own.runs)}"
            )
        table.append(line)
    return table


def compared(rows: Sequence[Event], first: str, second: str) -> Paired | None:
    """`paired`, or None where no run has both."""
    try:
        return paired(rows, first, second)
    except SelectionError:
        return None


def paired_row(found: Paired) -> list[str]:
    """A comparison as a row: who, difference, counts, p."""
    middle = number(found.median) if found.median is not None else "not bounded"
    return [
        f"{found.first} before {found.second}",
        f"{middle} ({number(found.low)} to {number(found.high)})",
        f"{found.earlier} / {found.ties} / {found.later}",
        probability(found.p),
    ]


PAIRED_NAMES = ("comparison", "steps later (95%)", "earlier / tied / later", "sign test over prompts")


def verdict(found: Paired, unit: str = "step") -> str:
    """A comparison in a sentence, by the rule of `Paired.order`."""
    first, second = _called(found.first), _called(found.second)
    side = "before" if found.leans > 0 else "after"
    counts = f"{_runs(found.earlier)} earlier, {found.later} later, {found.ties} tied; {probability(found.p)}"
    if found.order:
        return f"{_begun(first)} comes {side} {second}, by {_lead(found, unit)} in the median run ({counts})."
    if found.leans:
        return (
            f"No order of {first} and {second} is claimed: in the median run {first} comes {side} {second}, by "
            f"{_lead(found, unit)}, but too few {'prompts' if found.clusters > 1 else 'runs'} agree ({counts})."
        )
    return f"No order of {first} and {second} is seen: the median difference is {_difference(found)} {unit}s."


def _lead(found: Paired, unit: str) -> str:
    """By how much the one that is earlier is earlier, with its interval; of a comparison that leans."""
    least, most = (found.low, found.high) if found.leans > 0 else (-found.high, -found.low)
    if found.median is None:
        return f"at least {number(least)} {unit}s"
    if most == float("inf"):
        return f"{number(abs(found.median))} {unit}s (at least {number(least)})"
    return f"{interval(abs(found.median), least, most)} {unit}s"


def _difference(found: Paired) -> str:
    """The median difference with its interval."""
    if found.median is not None:
        return interval(found.median, found.low, found.high)
    return f"not bounded ({number(found.low)} to {number(found.high)})"


def _runs(count: int) -> str:
    return f"{count} run" + ("" if count == 1 else "s")


def _called(name: str) -> str:
    """A name inside a sentence."""
    return name if name.startswith("its ") or not name.islower() else f"the {name}"


def _begun(said: str) -> str:
    """The head of a sentence."""
    return said[:1].upper() + said[1:]


def control_said(found: Control, what: str) -> str:
    """What a swapped prompt did to an order."""
    change = (
        ""
        if found.change is None
        else f" The difference moves by {interval(found.change, found.low, found.high)} steps."
    )
    side = (
        "The order stays"
        if found.holds
        else "There is no order as worded that could stay"
        if not found.plain.order
        else "The order does not hold on both wordings"
    )
    return f"{what}: {side} (as worded: {_difference(found.plain)}; swapped: {_difference(found.swapped)}).{change}"


def said_interval(found: Interval, digits: int = 3) -> str:
    """An interval of `studies.statistics` in words."""
    return interval(found.value, found.low, found.high, digits)
