"""What causal checks of a run found, read from its cache: the only place that knows how they are kept."""

from __future__ import annotations

from collections.abc import Iterator

from diffuscope.analysis.cause.faithfulness import Faithfulness, all_kept
from diffuscope.explain.claim import Beside, Claim, Value
from diffuscope.explain.evidence import Evidence
from diffuscope.explain.statistic import SHARE, TEXT, Statistic
from diffuscope.selection import Selection

NO_EFFECT = "no effect"
AGREES = {"supported": 0.35, "in part": 0.5, "not supported": 0.8, NO_EFFECT: 0.8}
"""Verdict to how surprising it is."""


def _found(of: Evidence, at: Selection) -> Faithfulness | None:
    return tests(of).get(at.word or "")


def tests(of: Evidence) -> dict[str, Faithfulness]:
    """Label to the test that silenced the word, for all words that were put to it."""
    return all_kept(of.run.recording)


def cause_verdict(of: Evidence, at: Selection, _: Selection | None) -> Value:
    found = _found(of, at)
    return None if found is None else found.verdict


def cause_noticed(of: Evidence, at: Selection, _: Selection | None) -> Value:
    found = _found(of, at)
    return None if found is None else found.silence.noticed


def cause_control(of: Evidence, at: Selection, _: Selection | None) -> Value:
    found = _found(of, at)
    return None if found is None else found.control.noticed


def cause_overlap(of: Evidence, at: Selection, _: Selection | None) -> Value:
    found = _found(of, at)
    return None if found is None else found.silence.iou


def cause_chance(of: Evidence, at: Selection, _: Selection | None) -> Value:
    found = _found(of, at)
    return None if found is None else found.silence.chance


def cause_without(of: Evidence, at: Selection, _: Selection | None) -> Value:
    found = _found(of, at)
    return None if found is None else found.reprompt.noticed


CAUSAL: tuple[Statistic, ...] = (
    Statistic(
        "cause_verdict",
        "whether the causal check agrees with the map",
        TEXT,
        "See `diffuscope.analysis.cause.faithfulness.Faithfulness.verdict`.",
        cause_verdict,
    ),
    Statistic(
        "cause_noticed",
        "what silencing changes",
        SHARE,
        "Share of pixels that change by more than 2.3 delta-E when the word's tokens are silenced.",
        cause_noticed,
    ),
    Statistic(
        "cause_control",
        "what a random change changes",
        SHARE,
        "The same of a random change of equal norm at every step and site.",
        cause_control,
    ),
    Statistic(
        "cause_overlap",
        "overlap of map and effect",
        SHARE,
        "IoU of where the word's map, and where the change by silencing it, lie above their 75th percentiles.",
        cause_overlap,
    ),
    Statistic("cause_chance", "its chance level", SHARE, "That IoU of two independent masks.", cause_chance),
    Statistic(
        "cause_without",
        "what leaving it out changes",
        SHARE,
        "Share of pixels that change by more than 2.3 delta-E when the prompt lacks the word.",
        cause_without,
    ),
)


def causes(evidence: Evidence) -> Iterator[Claim]:
    """Words that were put to the test: what silencing them did, and whether it did so where the map is bright."""
    for label, found in tests(evidence).items():
        if label not in evidence.labels:
            continue
        at, group, surprise = Selection(word=label), f"cause/{label}", AGREES[found.verdict]
        yield Claim(
            "cause", group, "cause_verdict", at, found.verdict, TEXT, surprise=surprise, certainty=0.9
        )
        yield Claim(
            "cause",
            group,
            "cause_noticed",
            at,
            found.silence.noticed,
            SHARE,
            beside=Beside("a random change of equal size", found.control.noticed, statistic="cause_control"),
            surprise=surprise,
            certainty=0.9,
        )
        if found.verdict != NO_EFFECT:
            yield Claim(
                "cause",
                group,
                "cause_overlap",
                at,
                found.silence.iou,
                SHARE,
                beside=Beside("chance", found.silence.chance, statistic="cause_chance"),
                surprise=surprise,
                certainty=0.85,
            )
        yield Claim(
            "cause",
            group,
            "cause_without",
            at,
            found.reprompt.noticed,
            SHARE,
            surprise=surprise * 0.8,
            certainty=0.85,
        )
