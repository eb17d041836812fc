"""Findings on self-attention: which region shows a thing best, and what receives attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from diffuscope.analysis.measures.phases import planned
from diffuscope.figures.timeline_many import Band, Estimate, band_chart, interval_chart
from diffuscope.figures.timeline_regions import received_phases, region_phases
from diffuscope.findings.evidence import Evidence, Unit, banded, difference_of, mean_of
from diffuscope.findings.page import THEMES, Draw, Page, number, share
from diffuscope.findings.wording import STEPWISE, begin, end, said_interval
from diffuscope.studies.attention_measures import PARTS, regions_of
from diffuscope.studies.statistics import Interval

if TYPE_CHECKING:
    from diffuscope.run import Run

REGIONS = ("pixel", "box", "contour")
PHASES = tuple(PARTS.values())


@contextmanager
def example_run(evidence: Evidence, prompt: int = 0) -> Iterator[Run]:
    """The study's first run of a prompt, drawn again with self-attention, for a figure."""
    from diffuscope.engine.lens import Lens

    plan, own = evidence.study.plan, evidence.runs
    row = next((each for each in own if each["prompt_index"] == prompt), own[0])
    settings = plan.settings.said()
    with TemporaryDirectory(prefix="diffuscope-finding-") as folder:
        lens = Lens.load(plan.model.id)
        yield lens.record(row["prompt"], seed=row["seed"], keep="qk", out=folder, **settings)


def _shown(
    evidence: Evidence, where: str, region: str, direction: str, phase: str, what: str
) -> dict[Unit, float]:
    return evidence.numbers("region_overlap", component=f"{where}/{region}/{direction}/{phase}/{what}")


def self_attention_regions(evidence: Evidence, *, pictures: bool = True) -> Page:
    """Pixel, box, contour; early, middle, late; to and from."""
    page = begin(
        "self-attention-regions",
        "By pixel, box or contour: which shows a thing best, and when?",
        evidence,
        f'A finding of {STEPWISE}, from "a still life of pears and a brass pitcher on a wooden table": "bbox '
        "aggregations are most "
        'interpretable", and maps go from scattered (early) over chosen regions (middle) to fine structure (late). '
        "Here two things of any kind stand for the still life, and *interpretable* is measured: does "
        "the map of the region show the thing, as the judge sees its pixels?",
    )
    page.say(
        "A box and a contour know where the thing is; a pixel hardly does. So each region is also asked where no "
        "thing stands: mirrored onto the backdrop, and held against the mirrored mask. Only what is above that is "
        "the thing's."
    )
    page.head("Average precision and IoU")
    gains: dict[tuple[str, str, str], Interval] = {}
    values: dict[tuple[str, str, str], Interval] = {}
    lines = []
    for direction in ("to", "from"):
        for region in REGIONS:
            for phase in PHASES:
                own = _shown(evidence, "thing", region, direction, phase, "ap")
                bare = _shown(evidence, "backdrop", region, direction, phase, "ap")
                key = (direction, region, phase)
                values[key], gains[key] = mean_of(own), difference_of(bare, own)
                lines.append(
                    [
                        {"to": "who looks at it", "from": "what it looks at"}[direction],
                        region,
                        phase,
                        said_interval(values[key], 2),
                        said_interval(mean_of(bare), 2),
                        said_interval(gains[key], 2),
                        said_interval(mean_of(_shown(evidence, "thing", region, direction, phase, "iou")), 2),
                        said_interval(
                            mean_of(_shown(evidence, "backdrop", region, direction, phase, "iou")), 2
                        ),
                    ]
                )
    late = {region: _shown(evidence, "thing", region, "to", "late", "ap") for region in REGIONS}
    best = max(REGIONS, key=lambda region: mean_of(late[region]).value)
    most = max(gains, key=lambda key: gains[key].value)
    page.say(
        f"Shown best, over late steps and by who looks at the region: the {best} (average precision "
        f"{said_interval(mean_of(late[best]), 2)}). A box against a pixel: "
        f"{said_interval(difference_of(late['pixel'], late['box']), 2)}; a contour against a box: "
        f"{said_interval(difference_of(late['box'], late['contour']), 2)}.",
        f"Most above its own backdrop: the {most[1]}, {most[2]} steps, "
        f"{'who looks at it' if most[0] == 'to' else 'what it looks at'}: {said_interval(gains[most], 2)}.",
    )
    early, last = (
        [mean_of(_shown(evidence, "thing", region, "to", phase, "ap")) for region in REGIONS]
        for phase in (PHASES[0], PHASES[-1])
    )
    page.points(
        f"{region}: from {said_interval(a, 2)} early to {said_interval(b, 2)} late"
        for region, a, b in zip(REGIONS, early, last, strict=True)
    )
    page.figure(
        "precision",
        "Average precision of self-attention maps of a pixel, a box and a contour for their thing, by phase",
        lambda theme: interval_chart(
            [
                Estimate(f"{region}, {phase}", each.value, each.low, each.high, group)
                for group, table, direction in (
                    ("Who looks at the region: average precision for its thing", values, "to"),
                    ("The same, above the region mirrored onto the backdrop", gains, "to"),
                )
                for region in REGIONS
                for phase in PHASES
                if (each := table[direction, region, phase]) is not None
            ],
            title="Which region shows its thing?",
            subtitle="self-attention to a region of the thing that is named first, mean over sites and heads",
            unit="average precision, and its difference",
            notes="Bars: 95%, prompts drawn again. Early, middle, late: 20, 40 and 40% of the steps.",
            reference=0.0,
            theme=theme,
        ),
    )
    page.table(
        ("", "region", "steps", "AP, thing", "AP, backdrop", "difference", "IoU, thing", "IoU, backdrop"),
        lines,
    )
    page.say(
        "AP: average precision over the picture's pixels, free of any threshold. IoU: of the map's mask above 0.4 "
        "of its largest value, with the thing's. Differences are over runs in which there is room to mirror the "
        "thing.",
        "Everything looks at a region a little: where a map never falls to 0.4 of its largest value its mask is "
        "the whole picture, and the IoU is the thing's share of it. That is the threshold's fault, not the map's.",
    )
    page.short(
        _better("A box", "a pixel", difference_of(late["pixel"], late["box"])),
        _better("A contour", "a box", difference_of(late["box"], late["contour"])),
        _grown(gains["to", best, PHASES[0]], gains["to", best, PHASES[-1]], best),
    )
    if pictures:
        with example_run(evidence) as run:
            drawn = _region_pictures(run)
        page.figure(
            "example", "Self-attention to a pixel, box and contour of one thing over three phases", drawn
        )
    return end(
        page,
        evidence,
        [
            (
                "The thing's own mask is both the contour that is asked about and the truth: the backdrop row "
                "shows how much of its score is that."
            ),
            "Maps of 16x16 cells at most: a thing of 40 pixels is five cells wide.",
            "What shows a thing's pixels is one meaning of *readable*; no reader was asked.",
            "Drawings: patterns and highlights at most, where a still life has textures and reflections.",
        ],
    )


def _better(one: str, other: str, found: Interval) -> str:
    """Late steps, who looks at the region, in a sentence."""
    how = (
        "better than"
        if found.low > 0
        else "worse than"
        if found.high < 0
        else "neither better nor worse than"
    )
    return (
        f"{one} shows its thing {how} {other} ({said_interval(found, 2)} in average precision, late steps)."
    )


def _grown(early: Interval, late: Interval, best: str) -> str:
    """How much a region shows beyond its own shape, first and last."""
    first = "nothing is seen" if early.low <= 0 <= early.high else said_interval(early, 2)
    return f"Beyond what the {best}'s own shape gives: early {first}, late {said_interval(late, 2)}."


def _region_pictures(run: Run) -> Draw:
    """The figure of one run, drawn in both themes while the run is there."""
    from diffuscope import scenes

    found = scenes.read(run.image).objects
    if not found:
        raise ValueError("the judge sees nothing in the example's picture")
    views = {name: run.region(**region) for name, region in regions_of(found[0].mask).items()}
    drawn = {theme: region_phases(views, theme=theme) for theme in THEMES}
    return lambda theme: drawn[theme]


def received_attention(evidence: Evidence, *, pictures: bool = True) -> Page:
    """Received attention against local contrast."""
    page = begin(
        "received-attention",
        "Do places of high contrast receive more attention?",
        evidence,
        f"A claim of {STEPWISE}: \"when you see attention focusing on a reflection, it's because the model is "
        "drawn to that "
        'high-contrast signal". The drawn world has highlights and no mirror images; it has edges, doors and trunks. '
        "So it is asked of local contrast (the standard deviation of luminance within each patch), and whether "
        "contrast still matters among the patches of things alone.",
    )
    curves = evidence.curves("received_contrast", "", "rho")
    chance = evidence.curves("received_contrast", "", "chance")
    p = evidence.curves("received_contrast", "", "p")
    steps = evidence.study.plan.settings.steps or len(next(iter(curves.values())))
    page.head("Rank correlation over patches")
    lines, said = [], []
    for name, (first, stop) in planned(steps).items():
        own = mean_of({unit: float(np.nanmean(curve[first:stop])) for unit, curve in curves.items()})
        level = mean_of({unit: float(np.nanmean(curve[first:stop])) for unit, curve in chance.items()})
        beyond = mean_of({unit: float(np.nanmean(curve[first:stop] < 0.05)) for unit, curve in p.items()})
        lines.append([PARTS[name], said_interval(own, 2), number(level.value, 2), share(beyond.value)])
        said.append((PARTS[name], own, level))
    page.points(
        f"{name}: rho {said_interval(own, 2)}, where chance reaches {number(level.value, 2)}: "
        + (
            "more than chance."
            if own.low > level.value
            else "the other way, more than chance."
            if own.high < -level.value
            else "within chance for a picture, " + _sign(own)
        )
        for name, own, level in said
    )
    page.table(("steps", "rho (95%)", "chance for one picture", "steps with p < 0.05 by shifts"), lines)
    bands = [Band("contrast", *banded(curves)), Band("chance, 95%", *banded(chance))]
    page.figure(
        "rho",
        "Rank correlation of received attention with local contrast over the steps, beside its chance level",
        lambda theme: band_chart(
            bands,
            title="Does contrast draw attention?",
            subtitle="received self-attention against local contrast of the finished picture, over patches",
            unit="Spearman's rho",
            notes="Mean over runs; band: 95%, prompts drawn again. Chance: the 95th percentile of |rho| over all "
            "shifts of one map against the other, in one picture.",
            reference=0.0,
            theme=theme,
        ),
    )
    page.head("How much more")
    parts = [name for name in evidence.components("received_ratio") if not name.startswith("rho/")]
    titles = {
        "contrast": "the quarter of patches with the most contrast, against the others",
        "thing": "patches on a thing, against the backdrop",
        "contrast within things": "on things alone: upper half in contrast against lower",
    }
    rows, table = [], []
    for group in titles:
        for phase in PHASES:
            if f"{group}/{phase}" in parts:
                found = mean_of(evidence.numbers("received_ratio", component=f"{group}/{phase}"))
                rows.append(
                    Estimate(phase, found.value, found.low, found.high, titles[group], f"n {found.n}")
                )
                table.append([titles[group], phase, said_interval(found)])
    page.points(_ratio_said(titles[group], evidence, group) for group in titles)
    page.short(_drawn(*(_late_ratio(evidence, group) for group in titles)))
    page.table(("received attention of …", "steps", "ratio (95%)"), table)
    page.figure(
        "ratio",
        "Received attention of high-contrast patches and of things as a ratio to the others, by phase",
        lambda theme: interval_chart(
            rows,
            title="Received attention, as a ratio",
            subtitle="mean over queries, sites and heads",
            unit="ratio of means; 1 is no difference",
            notes="Bars: 95%, prompts drawn again.",
            reference=1.0,
            theme=theme,
        ),
    )
    if pictures:
        with example_run(evidence) as run:
            lines_of = run.timeline(judge=None)
            drawn = {theme: received_phases(lines_of, theme=theme) for theme in THEMES}
        page.figure(
            "example",
            "A picture, its local contrast, and the attention that its patches receive",
            lambda theme: drawn[theme],
        )
    return end(
        page,
        evidence,
        [
            "Contrast and things go together: where the two are not told apart, contrast may stand for the thing.",
            "A correlation over patches is no cause; nobody changed the contrast.",
            "No mirror images in this world, and 16x16 cells.",
        ],
    )


def _sign(found: Interval) -> str:
    if found.low > 0:
        return "though over all pictures it is above 0."
    if found.high < 0:
        return "though over all pictures it is below 0."
    return "and over all pictures too."


def _late_ratio(evidence: Evidence, group: str) -> Interval:
    return mean_of(evidence.numbers("received_ratio", component=f"{group}/{PHASES[-1]}"))


def _drawn(contrast: Interval, thing: Interval, within: Interval) -> str:
    """Whether contrast draws attention, from late steps."""
    if contrast.low <= 1:
        return (
            f"Patches of high contrast do not receive more attention than others ({said_interval(contrast)} "
        )
        "times)."
    said = (
        f"Patches of high contrast receive more attention late ({said_interval(contrast)} times the others')"
    )
    if within.low > 1:
        return f"{said}, and so they do among the patches of things alone ({said_interval(within)})."
    if thing.low > 1:
        return (
            f"{said}, but things do too ({said_interval(thing)} times the backdrop), and among the patches of "
            f"things alone contrast makes no difference that is seen ({said_interval(within)})."
        )
    return f"{said}; among the patches of things alone no difference is seen ({said_interval(within)})."


def _ratio_said(title: str, evidence: Evidence, group: str) -> str:
    found = _late_ratio(evidence, group)
    how = "more" if found.low > 1 else "less" if found.high < 1 else "no more and no less"
    return f"{title}, late steps: {said_interval(found)}, that is {how}."
