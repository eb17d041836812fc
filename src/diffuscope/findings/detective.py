"""Finding: whether a word's attention says where, and how much, steering it changes the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diffuscope.errors import InputError
from diffuscope.figures.cause_rates import Bar, interval_chart
from diffuscope.findings.evidence import Evidence, Unit, difference_of, mean_of
from diffuscope.findings.page import Page, number
from diffuscope.findings.wording import begin, end, said_interval
from diffuscope.studies.statistics import Interval

ATTRIBUTES = ("colour", "noun", "size", "place")
WINDOWS = ("early", "middle", "late")
OF_THINGS, OF_PICTURE = ("colour", "noun"), ("size", "place")
CORRELATIONS = {"acs": "ACS", "p_adc": "P-ADC", "l_adc": "L-ADC"}
CLOSE = 0.03
"""Difference of two IoUs under which they are said to be about the same."""


def _target(attribute: str) -> str:
    return f"{{{attribute}}}"


def _of(evidence: Evidence, measure: str, attribute: str, conditions: Sequence[str]) -> dict[Unit, float]:
    """Mean over conditions of each run's number for an attribute's word."""
    found: dict[Unit, list[float]] = {}
    for name in conditions:
        for unit, value in evidence.numbers(measure, _target(attribute), condition=name).items():
            found.setdefault(unit, []).append(value)
    return {unit: sum(values) / len(values) for unit, values in found.items()}


def _mean(numbers: Mapping[Unit, float]) -> Interval | None:
    try:
        return mean_of(numbers)
    except InputError:
        return None


def _cell(numbers: Mapping[Unit, float], digits: int = 2) -> str:
    found = _mean(numbers)
    return "–" if found is None else said_interval(found, digits)


def _plain(attribute: str) -> list[str]:
    return [f"{attribute}, strength 1, {window}" for window in WINDOWS]


def detective(evidence: Evidence) -> Page:
    """Strength x window x attribute, with noise and knock-outs."""
    page = begin(
        "detective",
        "Does attention say where steering will change the picture?",
        evidence,
        "Diffusion Detective steers single words and asks whether their attention predicts the change; its authors' "
        "own follow-up found that it barely does (IoU 0.17 where chance is 0.14). Here the same with several seeds, "
        "statistics by prompt, a control of equal norm, and the word's own tokens knocked out.",
    )
    page.say(
        "Windows of 10 steps: early 0 to 3, middle 3 to 6, late 6 to 9. SF-IoU: of the word's map and the picture's "
        "change, each above its 75th percentile; ACS: relative change of the word's attention mass in the window; "
        "P-ADC and L-ADC: correlation of the unedited attention with the change of attention and of the latent there "
        "([edits](../edits.md#compare)). 1 - SSIM stands for a perceptual distance."
    )
    page.head("By attribute")
    overlap = {each: _of(evidence, "sf_iou", each, _plain(each)) for each in ATTRIBUTES}
    chance = {each: _of(evidence, "sf_iou_chance", each, _plain(each)) for each in ATTRIBUTES}
    random = {each: _of(evidence, "random_sf_iou", each, _plain(each)) for each in ATTRIBUTES}
    early = {each: _of(evidence, "sf_iou", each, [f"{each}, strength 1, early"]) for each in ATTRIBUTES}
    noise = {each: _of(evidence, "sf_iou", each, [f"{each}, noise, early"]) for each in ATTRIBUTES}
    above = {each: difference_of(chance[each], overlap[each]) for each in ATTRIBUTES}
    beyond = {each: difference_of(noise[each], early[each]) for each in ATTRIBUTES}
    page.table(
        (
            "steered",
            "SF-IoU, strength 1, three windows",
            "chance",
            "above chance",
            "of a random word's map",
            "early: steering less noise of equal norm",
        ),
        [
            [
                each,
                _cell(overlap[each]),
                _cell(chance[each]),
                said_interval(above[each], 2),
                _cell(random[each]),
                said_interval(beyond[each], 2),
            ]
            for each in ATTRIBUTES
        ],
    )
    page.figure(
        "overlap",
        "Overlap of attention and change by attribute, for steering, noise of equal norm and a random word's map",
        lambda theme: interval_chart(
            "Does attention overlap with what changes?",
            f"{len(evidence.runs)} pictures; SF-IoU, means with intervals over prompts",
            [
                bar
                for each in ATTRIBUTES
                for bar in _bars(
                    each,
                    {
                        "steered": overlap[each],
                        "steered, early": early[each],
                        "noise of equal norm, early": noise[each],
                        "a random word's map": random[each],
                        "knocked out": _of(evidence, "sf_iou", each, [f"{each} knocked out"]),
                    },
                )
            ],
            chance=0.143,
            percent=False,
            notes="Bars: 95%, prompts drawn again. Quiet: controls.",
            theme=theme,
        ),
    )
    page.head("What can be said")
    page.points(
        [
            *(_overlaps(each, above[each], overlap[each]) for each in ATTRIBUTES),
            _noise(beyond),
            *_windows(evidence),
            _knocked(evidence),
            _kinds(overlap),
            _correlated(evidence),
        ]
    )
    page.short(_verdict(above), _noise(beyond))
    page.head("Every condition")
    page.table(
        (
            "condition",
            "change, delta-E",
            "1 - SSIM",
            *CORRELATIONS.values(),
            "SF-IoU",
            "random word",
        ),
        [
            [
                name,
                *(_cell(evidence.numbers(each, condition=name)) for each in ("change", "dissimilarity")),
                *(
                    _cell(_of(evidence, each, name.partition(",")[0].partition(" ")[0], [name]))
                    for each in (*CORRELATIONS, "sf_iou", "random_sf_iou")
                ),
            ]
            for name in evidence.study.plan.conditions
            if name != evidence.baseline
        ],
    )
    return end(
        page,
        evidence,
        [
            (
                f"{len(evidence.factors())} prompts: intervals over prompts are wide, and correlations over windows of "
                "few steps noisy."
            ),
            (
                "Which attributes are *abstract* is not asked as the original asked it, of moods. Words of a thing "
                "(colour, noun) and of the picture as a whole (size, place) stand for it; light and style are not "
                "among them."
            ),
            "No CLIP difference.",
            "One small model of a drawn world.",
        ],
    )


def _bars(attribute: str, rows: Mapping[str, Mapping[Unit, float]]) -> list[Bar]:
    bars = [Bar(attribute)]
    for name, numbers in rows.items():
        found = _mean(numbers)
        if found is not None:
            quiet = name.startswith(("noise", "a random"))
            bars.append(Bar(name, found.value, found.low, found.high, f"{found.value:.2f}", quiet))
    return bars


def _overlaps(attribute: str, above: Interval, numbers: Mapping[Unit, float]) -> str:
    how = (
        "more than by chance"
        if above.low > 0
        else "less than by chance"
        if above.high < 0
        else "about as by chance"
    )
    return f"{attribute}: map and change overlap {how} ({_cell(numbers)}; above chance {said_interval(above, 2)})."


def _noise(beyond: Mapping[str, Interval]) -> str:
    more = [name for name, each in beyond.items() if each.low > CLOSE]
    if not more:
        return (
            "**Noise of equal norm, put in the same rows, overlaps with the word's map as much as steering does**: the "
            "overlap says where things are, which is what changes easily, and not that the word acted there."
        )
    return f"Steering overlaps with the map more than noise of equal norm does for: {', '.join(more)}."


def _verdict(above: Mapping[str, Interval]) -> str:
    yes = [name for name, each in above.items() if each.low > 0]
    no = [name for name in above if name not in yes]
    return (
        f"Attention overlaps with what steering changes above chance for {_listed(yes)}"
        + (f", and not for {_listed(no)}." if no else ".")
        if yes
        else "Attention overlaps with what steering changes no more than chance does, for any attribute."
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "none"


def _windows(evidence: Evidence) -> list[str]:
    said = []
    for attribute in ATTRIBUTES:
        changes = {
            window: _mean(evidence.numbers("change", condition=f"{attribute}, strength 1, {window}"))
            for window in WINDOWS
        }
        known = {name: each for name, each in changes.items() if each is not None}
        if known:
            best = max(known, key=lambda name: known[name].value)
            values = ", ".join(f"{name} {number(each.value, 2)}" for name, each in known.items())
            said.append(f"{attribute}: the picture changes most when steered {best} (delta-E {values}).")
    return said


def _knocked(evidence: Evidence) -> str:
    parts = []
    for attribute in ATTRIBUTES:
        found = _mean(evidence.numbers("change", condition=f"{attribute} knocked out"))
        if found is not None:
            parts.append(f"{attribute} {said_interval(found, 2)}")
    return (
        "Knocking out the word's own token (delta-E): "
        + ", ".join(parts)
        + ". Where that is small the text encoder has "
        "carried the word into other tokens."
    )


def _kinds(overlap: Mapping[str, Mapping[Unit, float]]) -> str:
    def group(names: Sequence[str]) -> dict[Unit, float]:
        units = set.intersection(*(set(overlap[name]) for name in names))
        return {unit: sum(overlap[name][unit] for name in names) / len(names) for unit in units}

    found = difference_of(group(OF_PICTURE), group(OF_THINGS))
    how = (
        "Words of a thing (colour, noun) overlap more than words of the whole (size, place)"
        if found.low > 0
        else "Words of a thing overlap less than words of the whole"
        if found.high < 0
        else "No difference between words of a thing (colour, noun) and of the whole (size, place) is seen"
    )
    return f"{how}: {said_interval(found, 2)} in SF-IoU."


def _correlated(evidence: Evidence) -> str:
    parts = []
    for measure in ("p_adc", "l_adc"):
        apart = [
            attribute
            for attribute in ATTRIBUTES
            if (found := _mean(_of(evidence, measure, attribute, _plain(attribute)))) is not None
            and (found.low > 0 or found.high < 0)
        ]
        parts.append(f"{CORRELATIONS[measure]} is told apart from 0 for {_listed(apart)}")
    return "; ".join(parts) + " (means of the three windows)."
