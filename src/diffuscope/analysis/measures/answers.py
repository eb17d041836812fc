"""What the declared measures compute: a function each, named like the measure, from its evidence to its value."""

from __future__ import annotations

import numpy as np

from diffuscope.analysis.measures import emergence, spatial, timing
from diffuscope.analysis.measures import phases as planning
from diffuscope.analysis.measures import received as looking
from diffuscope.analysis.measures.evidence import Course, Floats, RunEvidence, WordEvidence
from diffuscope.analysis.measures.moments import BreakSteps, EmergenceStep, PeakStep, Phases, SettledStep
from diffuscope.analysis.measures.spatial import Wide


def share(word: WordEvidence) -> Wide:
    total = word.content()
    return np.asarray(
        np.divide(word.mass, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)
    )


def _emerged(word: WordEvidence) -> emergence.Emergence:
    known = word.true_mask
    return emergence.by_attention(word.maps) if known is None else emergence.by_attention(word.maps, *known)


def _moment(found: emergence.Emergence, course: Course) -> EmergenceStep:
    at = None if found.at is None else course.at(found.at)
    return EmergenceStep(at, course.at(len(course) - 1), found.threshold, found.against)


def emergence_image(word: WordEvidence) -> EmergenceStep | None:
    return None if word.scores is None else _moment(emergence.by_image(*word.scores), word.course)


def score(word: WordEvidence) -> Wide:
    return np.full(len(word.course), np.nan) if word.scores is None else word.scores[0]


def peak(word: WordEvidence) -> PeakStep:
    found, steps = timing.peak(word.mass), word.course.steps
    near = tuple(steps[each] for each in found.near)
    return PeakStep(word.course.at(found.at), near, found.flat, found.boundary, found.value)


def stabilisation(word: WordEvidence) -> SettledStep:
    at = timing.stabilisation(word.maps)
    return SettledStep(word.course.at(at), at > 0)


def phases(evidence: WordEvidence | RunEvidence) -> Phases:
    course = evidence.course
    named = planning.planned(len(course)).items()
    return Phases(
        {name: (course.at(first), course.at(end - 1)) for name, (first, end) in named if end > first}
    )


def _breaks(curves: Wide, course: Course) -> BreakSteps:
    found = planning.change_points(curves, course.log_snr)
    return BreakSteps(tuple(course.at(each) for each in found.at), found.axis, found.criterion)


def received_contrast(run: RunEvidence) -> Wide:
    maps = run.received_maps
    contrast = looking.local_contrast(run.drawn(), (maps.shape[1], maps.shape[2]))
    found = looking.against_contrast(maps, contrast)
    return np.stack([found.rho, found.chance, found.p], axis=1)


def mass(word: WordEvidence) -> Wide:
    return word.mass


def entropy(word: WordEvidence) -> Wide:
    return spatial.spatial_entropy(word.maps)


def focus(word: WordEvidence) -> Wide:
    return spatial.focus(word.maps)


def centroid(word: WordEvidence) -> Wide:
    return spatial.centroid(word.maps, word.picture)


def spread(word: WordEvidence) -> Wide:
    return spatial.spread(word.maps, word.picture)


def area(word: WordEvidence) -> Wide:
    return spatial.area(word.maps)


def box(word: WordEvidence) -> Wide:
    return spatial.box(word.maps, word.picture)


def divergence(word: WordEvidence) -> Wide:
    return timing.divergence_from_last(word.maps)


def overlap(word: WordEvidence) -> Wide:
    return _emerged(word).curve


def stability(word: WordEvidence) -> Wide:
    return spatial.stability(word.maps)


def chaos(word: WordEvidence) -> Wide:
    return spatial.chaos(word.maps)


def emergence_attention(word: WordEvidence) -> EmergenceStep:
    return _moment(_emerged(word), word.course)


def change_points(word: WordEvidence) -> BreakSteps:
    return _breaks(np.stack([word.mass, spatial.focus(word.maps)], axis=1), word.course)


def run_phases(run: RunEvidence) -> Phases:
    return phases(run)


def run_change_points(run: RunEvidence) -> BreakSteps:
    return _breaks(run.curves(), run.course)


def received(run: RunEvidence) -> Floats:
    return run.received_maps
