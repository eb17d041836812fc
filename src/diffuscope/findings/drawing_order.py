"""Findings on the order of emergence: several things, an attribute and its noun, background and foreground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diffuscope.analysis.timeline.events import Event
from diffuscope.analysis.timeline.order import controlled
from diffuscope.errors import SelectionError
from diffuscope.figures.timeline_many import Band, band_chart
from diffuscope.figures.timeline_order import order_of_many
from diffuscope.findings.evidence import Evidence, banded, difference_of
from diffuscope.findings.page import Page, share
from diffuscope.findings.wording import (
    PAIRED_NAMES,
    STEPWISE,
    begin,
    compared,
    control_said,
    end,
    paired_row,
    said_interval,
    survival_rows,
    survivals,
    verdict,
)

TOLD = (
    "Emergence in the picture is when the judge can *tell* a thing in the clean picture that the model predicts, "
    "and goes on telling it. One blob of the right hue is a colour; a noun needs an outline; a place needs a good "
    "part of its backdrop. The order of what can be told is not the order of what the model has settled inside."
)
SMALL = "One small model of a drawn world, one scheduler (DDIM), one step count."


def _names(of: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: [target] for name, target in of.items()}


def _both(evidence: Evidence, of: Mapping[str, str]) -> dict[str, list[Event]]:
    """Events under each condition, by the picture."""
    return {
        condition: evidence.events("emergence_image", _names(of), condition)
        for condition in evidence.study.plan.conditions
    }


def _last(evidence: Evidence) -> float:
    return float((evidence.study.plan.settings.steps or 1) - 1)


def _order_section(
    page: Page, evidence: Evidence, of: Mapping[str, str], pairs: Sequence[tuple[str, str]]
) -> None:
    """Medians, comparisons and the drawing-order figure."""
    rows = _both(evidence, of)
    own = rows[evidence.baseline]
    attention = evidence.events("emergence_attention_finest", _names(of))
    last = _last(evidence)
    comparisons = [found for pair in pairs if (found := compared(own, *pair)) is not None]
    page.head("In the picture")
    page.points(verdict(found) for found in comparisons)
    page.short(*(verdict(found) for found in comparisons))
    page.table(PAIRED_NAMES, [paired_row(found) for found in comparisons])
    medians = survivals(own, list(of))
    page.figure(
        "order",
        f"Drawing order over runs: {', '.join(of)}, median step of emergence in the picture with intervals",
        lambda theme: order_of_many(
            medians,
            title="Drawing order, by the predicted picture",
            subtitle=evidence.study.plan.question,
            theme=theme,
        ),
    )
    columns = {
        "in the picture: median step (95%)": medians,
        "in the attention, finest grid": survivals(attention, list(of)),
    }
    page.table(["", *columns], survival_rows(columns, last))


def _controls(
    page: Page, evidence: Evidence, of: Mapping[str, str], told: Sequence[tuple[str, str, str]]
) -> None:
    """The same comparisons with words swapped: (condition, first, second)."""
    rows = _both(evidence, of)
    page.head("With the words swapped")
    lines = []
    for condition, first, second in told:
        try:
            found = controlled(rows[evidence.baseline], rows[condition], first, second)
        except SelectionError:
            continue
        lines.append(control_said(found, f"*{condition}*, {first} against {second}"))
    page.points(lines)


def _masses(page: Page, evidence: Evidence, of: Mapping[str, str], title: str) -> None:
    curves = [
        Band(name, *banded(found))
        for name, target in of.items()
        if (found := evidence.curves("mass", target))
    ]
    if curves:
        page.figure(
            "mass",
            f"Attention mass over the steps of {', '.join(of)}, mean with interval",
            lambda theme: band_chart(
                curves,
                title=title,
                subtitle="mean over runs",
                unit="attention mass, probability",
                notes="Mean over patches of a word's map, all sites. Band: 95% interval, prompts drawn again.",
                theme=theme,
            ),
        )


def _timing(page: Page, evidence: Evidence, of: Mapping[str, str], first: str, second: str) -> None:
    """What attention's own times say of the same two."""
    lines = []
    for measure, said in (
        ("peak", "peak of the mass"),
        ("stabilisation_finest", "map settled (finest grid)"),
        ("emergence_attention_finest", "map overlaps the object (finest grid)"),
    ):
        rows = evidence.events(measure, _names(of))
        found = compared(rows, first, second)
        if found is not None:
            lines.append([said, *paired_row(found)[1:]])
    page.head("In the attention")
    page.say(f"The same comparison, {first} before {second}, by three times of the words' attention:")
    page.table(("time", *PAIRED_NAMES[1:]), lines)


def background_and_foreground(evidence: Evidence) -> Page:
    """Background, main thing, small thing."""
    page = begin(
        "background-and-foreground",
        "Background, main thing, small thing: which comes first?",
        evidence,
        f'{STEPWISE} asks for "background vs main objects vs small details". Here the background is the place ("in '
        f"the "
        'snow"), '
        'the main thing a big one, and the detail a small one: "a big yellow square left of a small white star in a '
        'meadow". Finer details (a door, a leaf) are drawn and seen, but captions do not name them.',
        orders=True,
    )
    of = {"main": "{main}", "detail": "{detail}", "background": "{place}"}
    _order_section(page, evidence, of, (("main", "detail"), ("main", "background"), ("detail", "background")))
    _controls(
        page,
        evidence,
        of,
        (
            ("background named first", "main", "background"),
            ("background named first", "detail", "background"),
            ("detail named first", "main", "detail"),
        ),
    )
    _masses(page, evidence, of, "How much attention each gets")
    return end(page, evidence, [TOLD, "A small thing is no detail of a larger one.", SMALL])


def attribute_and_noun(evidence: Evidence) -> Page:
    """Colour, noun, setting."""
    page = begin(
        "attribute-and-noun",
        "Does an attribute come before its noun?",
        evidence,
        f'A prompt of {STEPWISE} is "a red car in a watercolor painting". Here the setting is a place, '
        '"a red house in the snow", and seven more of that form, so that all prompts are alike. The attribute is a '
        "colour; style is not tested.",
        orders=True,
    )
    of = {"attribute": "{colour}", "noun": "{noun}", "setting": "{place}"}
    _order_section(page, evidence, of, (("attribute", "noun"), ("noun", "setting"), ("attribute", "setting")))
    _timing(page, evidence, of, "attribute", "noun")
    _controls(
        page,
        evidence,
        of,
        (
            ("setting named first", "attribute", "noun"),
            ("setting named first", "noun", "setting"),
        ),
    )
    _masses(page, evidence, of, "How much attention each gets")
    return end(
        page,
        evidence,
        [
            TOLD,
            "English puts a colour before its noun, so the two cannot be swapped; only the setting can.",
            "Colours alone: of styles, sizes and materials nothing is said.",
            SMALL,
        ],
    )


def several_things(evidence: Evidence) -> Page:
    """Two things side by side, and which is named first."""
    page = begin(
        "several-things",
        "Two things in one prompt: does the first that is named come first?",
        evidence,
        f'A prompt of {STEPWISE} is "a cat and a dog in a living room". Here are eight of that form, '
        '"a ring and a heart in a meadow" among them.',
        orders=True,
    )
    of = {"first": "{first}", "second": "{second}", "setting": "{place}"}
    _order_section(page, evidence, of, (("first", "second"), ("first", "setting"), ("second", "setting")))
    page.head("Named first, or that thing?")
    page.say(
        "With the words swapped, the same thing is named second: what stays is the thing's own, what turns round "
        "is the place in the prompt."
    )
    rows = _both(evidence, of)
    found = controlled(rows[evidence.baseline], rows["swapped"], "first", "second")
    swapped = "swapped"
    lines = [control_said(found, "Emergence in the picture, by thing")]
    for measure, said, unit in (("mass", "attention mass", ""),):
        gains = [
            difference_of(
                evidence.numbers(measure, target, condition=late),
                evidence.numbers(measure, target, condition=early),
            )
            for target, early, late in (
                ("{first}", evidence.baseline, swapped),
                ("{second}", swapped, evidence.baseline),
            )
        ]
        base = evidence.numbers(measure, "{first}")
        mean = sum(base.values()) / max(len(base), 1)
        both = [gain.value / mean for gain in gains]
        lines.append(
            f"A thing that is named first rather than second gets {said} that differs by "
            f"{said_interval(gains[0])}{unit} (the one of the pair) and {said_interval(gains[1])} (the other), "
            f"that is {share(both[0])} and {share(both[1])} of its mean of {mean:.3g}."
        )
    page.points(lines)
    _timing(page, evidence, of, "first", "second")
    _masses(page, evidence, of, "How much attention each gets")
    return end(page, evidence, [TOLD, SMALL])
