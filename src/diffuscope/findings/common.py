"""What findings have in common: how they open and close, tables of events, verdicts in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from diffuscope.analysis.timeline.order import Control, Event, Paired, Survival, paired, survival
from diffuscope.errors import SelectionError
from diffuscope.findings.evidence import Evidence, mean_of
from diffuscope.findings.page import Page, interval, number, probability, share
from diffuscope.studies.statistics import Interval

STEPWISE = '"From Attention Visualization to Step-wise Analysis in Stable Diffusion" (MAT 265, 2025)'
"""The earlier project that these experiments come from; it looked at Stable Diffusion 1.5, a picture at a time."""
WORLD = (
    "The shipped model draws a small world ([its words](../scenes.md)), so that a program can judge every "
    "picture. What is found here is found on that model: 11.2 million parameters, 16x16 latents, three grids."
)


def begin(name: str, title: str, evidence: Evidence, wording: str) -> Page:
    """The page's head: what is asked, how the wording of others was mapped, what was drawn."""
    page = Page(name, title)
    plan, runs = evidence.study.plan, evidence.runs
    page.say(wording, WORLD)
    prompts = len({run["prompt_index"] for run in runs})
    conditions = len(plan.conditions)
    steps = plan.settings.steps
    page.say(
        f"{len(runs)} pictures: {prompts} prompts x {len({run['seed'] for run in runs})} seeds"
        + (f" x {conditions} conditions ({', '.join(plan.conditions)})" if conditions > 1 else "")
        + f", {steps} steps, step 0 the noisiest. Intervals are 95%, whole prompts drawn again, since runs of one "
        "prompt are alike; tests count prompts.",
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
    found = [
        mean_of(evidence.numbers("judge_all", condition=name))
        for name in evidence.study.plan.conditions
        if evidence.numbers("judge_all", condition=name)
    ]
    rates = ", ".join(share(each.value) for each in found)
    return f"The judge finds every named part of the picture right in {rates} of the runs" + (
        " (by condition)." if len(found) > 1 else "."
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
    """A comparison in a sentence that its interval bears."""
    if found.low > 0:
        said = f"{_begun(found.first)} comes before {found.second}"
    elif found.high < 0:
        said = f"{_begun(found.first)} comes after {found.second}"
    else:
        return (
            f"No order of {found.first} and {found.second} is seen: the median difference is "
            f"{interval(found.median, found.low, found.high)} {unit}s."
        )
    size = (
        "at least " + number(abs(found.low if found.low > 0 else found.high)) if found.median is None else ""
    )
    return (
        f"{said}, by {size or interval(found.median, found.low, found.high)} {unit}s in the median run "
        f"({found.earlier} runs earlier, {found.later} later, {found.ties} tied; {probability(found.p)})."
    )


def _begun(name: str) -> str:
    """A name at the head of a sentence."""
    return f"The {name}" if name.islower() and " " not in name else name[:1].upper() + name[1:]


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
        if found.plain.low <= 0 <= found.plain.high
        else "The order does not hold on both wordings"
    )
    return (
        f"{what}: {side} (as worded {interval(found.plain.median, found.plain.low, found.plain.high)}, swapped "
        f"{interval(found.swapped.median, found.swapped.low, found.swapped.high)}).{change}"
    )


def said_interval(found: Interval, digits: int = 3) -> str:
    """An interval of `studies.statistics` in words."""
    return interval(found.value, found.low, found.high, digits)
