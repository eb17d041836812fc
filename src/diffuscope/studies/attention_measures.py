"""Measures that the shipped plans need beside those of a word: timing at the finest grid alone, where two things stand,
how well self-attention shows a thing, and what receives attention.

Each is of a whole run or of a word in it; the judge of the drawn world says where things are, so those that ask it have
no value for prompts that it cannot read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope import scenes
from diffuscope.analysis.measures.phases import planned
from diffuscope.analysis.measures.received import local_contrast, ranks
from diffuscope.analysis.measures.spatial import SHARE_OF_MAX
from diffuscope.analysis.timeline import Timeline, timeline_of
from diffuscope.maps.resize import resize
from diffuscope.run import Run
from diffuscope.studies.measuring import Drawn, Quantity, Value, register
from diffuscope.studies.picture_measures import JUDGE

Mask = NDArray[np.bool_]
PARTS = {"noise": "early", "structure": "middle", "detail": "late"}
"""The planned phases, by the names that people use."""
MOST_IN_THE_WAY = 0.1
"""Share of a mirrored mask that may lie on a thing; beyond it there is no backdrop to compare with."""
TOP = 0.25
"""Share of the patches that count as those of high contrast."""


# Timing at the finest grid.


def finest_sites(run: Run) -> list[str]:
    """Names of the cross-attention sites of the finest grid, where maps are least blurred."""
    kept = set(run.manifest.keep.sites)
    sites = [site for site in run.sites if site.kind != "self" and site.name in kept]
    most = max(site.grid[0] * site.grid[1] for site in sites)
    return [site.name for site in sites if site.grid[0] * site.grid[1] == most]


def _at_finest(drawn: Drawn, word: str | None, steps: str | None) -> Timeline:
    assert word is not None  # Both are measures of words.
    run = drawn.recording
    return timeline_of(run.phrase(word) if " " in word else run.word(word), steps, finest_sites(run))


def _emergence_finest(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
    found = _at_finest(drawn, word, steps).emergence_attention
    at = None if found.at is None else float(found.at.step)
    return [Value(at, "", None, found.censored, found.seen_to.step)]


def _stabilisation_finest(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
    line = _at_finest(drawn, word, steps)
    return [
        Value(float(line.stabilisation.at.step), "", None, False, line.steps[-1]),
        Value(float(line.stabilisation.moved), "moved"),
    ]


register(
    Quantity(
        name="emergence_attention_finest",
        title="emergence by attention, finest grid",
        unit="step",
        definition="As emergence_attention, from the sites of the finest grid alone: the other sites' maps are "
        "coarser, and their mean overlaps few objects.",
        source="this project; Tang et al. 2023 (DAAM), section 4.1, for the threshold",
        scope="word",
        compute=_emergence_finest,
        needs="maps",
    )
)
register(
    Quantity(
        name="stabilisation_finest",
        title="stabilisation, finest grid",
        unit="step",
        definition="As stabilisation, from the sites of the finest grid alone. The part 'moved' is 0 where the map "
        "was never further from its last than the threshold: then the step says nothing.",
        source="Lin 1991 for the divergence",
        scope="word",
        compute=_stabilisation_finest,
        needs="maps",
    )
)


# Where two things stand.


def _placement(axis: str) -> Any:
    def compute(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
        description = scenes.parse(drawn.prompt)
        if description is None or len(description.things) != 2:
            return []
        reading = scenes.read(drawn.image)
        # Without the relation: things are not to be matched so that they stand as was said.
        score = scenes.score(reading, replace(description, relation=None))
        first, second = (score.shown(reading, at) for at in (0, 1))
        if not first or not second:
            return []
        a, b = (fmean(getattr(each, axis) for each in group) for group in (first, second))
        return [Value(a - b)]

    return compute


for _axis, _side in (("x", "right of"), ("y", "below")):
    register(
        Quantity(
            name=f"placement_{_axis}",
            title=f"placement along {_axis}",
            unit="pixels",
            definition=f"How far the centre of the thing that is named first lies {_side} that of the second, as the "
            "judge sees them. No value where it does not find both. Things are matched to names by noun, colour "
            "and size, never by where they stand.",
            source=JUDGE,
            scope="picture",
            compute=_placement(_axis),
        )
    )


# Self-attention of a thing, asked in three ways.


def average_precision(scores: NDArray[np.floating], truth: Mask) -> float:
    """Average precision of scores ``[…]`` for a mask: mean precision at each true place, places ordered from the
    highest score; places of equal score count together (as in `sklearn.metrics.average_precision_score`)."""
    flat, right = np.asarray(scores, np.float64).ravel(), truth.ravel()
    order = np.argsort(-flat, kind="stable")
    hits = np.cumsum(right[order])
    ends = np.flatnonzero(np.append(np.diff(flat[order]) != 0, True))
    gained = np.diff(np.concatenate([[0], hits[ends]]))
    return float((gained * hits[ends] / (ends + 1)).sum() / max(int(right.sum()), 1))


def overlap_of(values: NDArray[np.floating], truth: Mask) -> float:
    """IoU of a map's mask (above `SHARE_OF_MAX` of its largest value) with a true one of the same size."""
    own = values > SHARE_OF_MAX * values.max()
    return float((own & truth).sum() / max(int((own | truth).sum()), 1))


def middle_of(mask: Mask) -> tuple[int, int]:
    """``(x, y)`` of the pixel of a mask that is nearest to its centroid."""
    rows, columns = np.nonzero(mask)
    at = int(((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin())
    return int(columns[at]), int(rows[at])


def regions_of(mask: Mask) -> dict[str, dict[str, Any]]:
    """A thing's pixel, box and contour as `Run.region` takes them; the contour is its outline, filled."""
    rows, columns = np.nonzero(mask)
    box = (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max()))
    return {"pixel": {"pixel": middle_of(mask)}, "box": {"box": box}, "contour": {"mask": mask}}


def mirrored_off(mask: Mask, things: Mask) -> Mask | None:
    """The mask mirrored to where there is most backdrop; None where each mirror image lies on a thing."""
    turned = [np.ascontiguousarray(each) for each in (mask[:, ::-1], mask[::-1], mask[::-1, ::-1])]
    best = min(turned, key=lambda each: int((each & things).sum()))
    return best if (best & things).sum() <= MOST_IN_THE_WAY * mask.sum() else None


def first_thing(drawn: Drawn) -> tuple[Mask, Mask] | None:
    """Mask of the thing that the prompt names first, and of all things; None where the judge does not see it."""
    description = scenes.parse(drawn.prompt)
    if description is None:
        return None
    reading = scenes.read(drawn.image)
    found = scenes.score(reading, description).shown(reading, 0)
    if not found or any(each.noun != description.things[0].noun for each in found):
        return None
    everything = np.any([each.mask for each in reading.objects], axis=0)
    own = np.any([each.mask for each in found], axis=0)
    return (own, everything) if own.any() else None


def _shown(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
    found = first_thing(drawn)
    if found is None:
        return []
    run, (own, everything) = drawn.recording, found
    elsewhere = mirrored_off(own, everything)
    masks = {"thing": own} | ({} if elsewhere is None else {"backdrop": elsewhere})
    phases = planned(len(run.steps))
    values = []
    for where, mask in masks.items():
        for name, region in regions_of(mask).items():
            view = run.region(**region)
            for direction in ("to", "from"):
                maps = view.steps(direction=direction).array
                for phase, (first, end) in phases.items():
                    if end > first:
                        shown = resize(maps[first:end].mean(axis=0), (mask.shape[0], mask.shape[1]))
                        part = f"{where}/{name}/{direction}/{PARTS[phase]}"
                        values += [
                            Value(overlap_of(shown, mask), f"{part}/iou"),
                            Value(average_precision(shown, mask), f"{part}/ap"),
                        ]
    return values


register(
    Quantity(
        name="region_overlap",
        title="self-attention of the first thing, by pixel, box and contour",
        unit="IoU and average precision, 0 to 1",
        definition="Self-attention to and from a region of the thing that is named first (the pixel nearest to its "
        "centroid, its box, its outline filled), mean over the early, middle and late steps (20, 40, 40%), "
        "brought to the picture's size: IoU of its mask (above 0.4 of its largest value) with the thing's, and "
        "average precision. 'backdrop': the same of the region mirrored to where no thing stands, against the "
        "mirrored mask: what a region's own shape gives. Parts are named where/region/direction/phase/measure.",
        source="this project; Tang et al. 2023 (DAAM), section 4.1, for the threshold",
        scope="run",
        compute=_shown,
        needs="qk",
        bounds=(0.0, 1.0),
    )
)


# What receives attention.


def received_ratios(
    received: NDArray[np.floating], contrast: NDArray[np.floating], things: Mask | None
) -> dict[str, Any]:
    """Mean received attention ``[step]`` of some patches over that of all others.

    Args:
        received: ``[step, y, x]``.
        contrast: ``[y, x]`` of the same grid.
        things: ``[y, x]`` of the same grid, patches that lie on a thing for the greater part; None where unknown.
    """
    high = ranks(contrast) >= (1 - TOP) * contrast.size
    groups = {"contrast": (high, ~high)}
    if things is not None and things.any() and not things.all():
        groups["thing"] = (things, ~things)
        # Edges of things have contrast, and things are what is looked at: contrast among the things' patches alone.
        median = float(np.median(contrast[things]))
        sharp, smooth = things & (contrast > median), things & (contrast <= median)
        if sharp.any() and smooth.any():
            groups["contrast within things"] = (sharp, smooth)
    return {
        name: received[:, chosen].mean(axis=1) / received[:, others].mean(axis=1)
        for name, (chosen, others) in groups.items()
    }


def _received(drawn: Drawn, word: str | None, steps: str | None) -> Sequence[Value]:
    run = drawn.recording
    lines = run.timeline(None, steps, judge=None)
    received = lines.received
    grid = (received.shape[1], received.shape[2])
    found = first_thing(drawn)
    things = None if found is None else resize(found[1].astype(np.float32), grid, "area") > 0.5
    ratios = received_ratios(received, local_contrast(run.image, grid), things)
    values = []
    for name, (first, end) in planned(len(lines.steps)).items():
        for part, curve in ratios.items():
            if end > first:
                values.append(Value(float(curve[first:end].mean()), f"{part}/{PARTS[name]}"))
    rho = lines.received_contrast[:, 0]
    for name, (first, end) in planned(len(lines.steps)).items():
        if end > first and np.isfinite(rho[first:end]).all():
            values.append(Value(float(rho[first:end].mean()), f"rho/{PARTS[name]}"))
    return values


register(
    Quantity(
        name="received_ratio",
        title="received attention of some patches over that of the others",
        unit="ratio",
        definition="Mean attention that a patch receives, over that of all other patches, mean over early, middle "
        "and late steps: of the quarter of patches with the highest local contrast; of patches on a thing; and, "
        "among patches on things alone, of those above the median contrast. 1 is no difference. 'rho' is the rank "
        "correlation of received_contrast over the same steps.",
        source="this project; Peli 1990, J. Opt. Soc. Am. A 7:2032, for the contrast",
        scope="run",
        compute=_received,
        needs="qk",
    )
)
