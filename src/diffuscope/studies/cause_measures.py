"""Measures of what a condition's edits did: its run beside the unedited run that it was drawn from.

Units whose condition has no edits have no such numbers. Things that the judge sees are measured in every picture.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from diffuscope import scenes
from diffuscope.analysis.comparing import Comparison, compare
from diffuscope.analysis.perceptual import perceptual
from diffuscope.analysis.similarity import structural_similarity
from diffuscope.run import Run
from diffuscope.scenes.vocabulary import NOUNS
from diffuscope.studies.measuring import Drawn, Quantity, Value, register


def _pair(drawn: Drawn) -> tuple[Run, Comparison] | None:
    """The unedited run, which lies beside the edited one while it is measured, and the comparison of the two."""
    run = drawn.recording
    if run.manifest.parent is None:
        return None
    return _compared(run.path, run.path.parent / run.manifest.parent)


@lru_cache(maxsize=4)
def _compared(edited: Path, parent: Path) -> tuple[Run, Comparison]:
    """Made once for all measures of a run."""
    one = Run.open(parent)
    return one, compare(one, Run.open(edited))


def _of_word(name: str) -> Callable[[Drawn, str | None, str | None], list[Value]]:
    def compute(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
        found = _pair(drawn)
        if found is None:
            return []
        label = drawn.recording.word(word or "").label
        effect = next(each for each in found[1].words if each.word == label)
        return [Value(getattr(effect, name))]

    return compute


for _name, _title, _said, _unit in (
    (
        "acs",
        "attention change score",
        "Relative change of the word's attention mass in the edit's steps.",
        "share",
    ),
    ("p_adc", "P-ADC", "Correlation of the unedited attention with the change of attention.", "-1 to 1"),
    ("l_adc", "L-ADC", "Correlation of the unedited attention with the change of the latent.", "-1 to 1"),
    (
        "sf_iou",
        "SF-IoU",
        "IoU of the word's map and the picture's change, each above its 75th percentile.",
        "0 to 1",
    ),
    ("chance", "SF-IoU by chance", "IoU that two independent masks of these sizes have.", "0 to 1"),
    (
        "random_sf_iou",
        "SF-IoU of a random word",
        "The same of another word of the prompt, drawn at random.",
        "0 to 1",
    ),
):
    register(
        Quantity(
            name=_name if _name != "chance" else "sf_iou_chance",
            title=_title,
            unit=_unit,
            definition=f"{_said} No value where the condition has no edits.",
            source="Diffusion Detective's and Patch Explorer's measures, as DEFINITIONS fixes them (docs/edits.md)",
            scope="word",
            compute=_of_word(_name),
            needs="maps",
            bounds=(0.0, 1.0) if _unit == "0 to 1" else None,
        )
    )


def _change(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
    found = _pair(drawn)
    return [] if found is None else [Value(float(found[1].change.mean()))]


def _noticed(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
    found = _pair(drawn)
    return [] if found is None else [Value(float((found[1].change > 2.3).mean()))]


def _dissimilar(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
    found = _pair(drawn)
    return [] if found is None else [Value(1 - structural_similarity(found[0].image, drawn.image))]


def _perceptual(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
    found = _pair(drawn)
    return [] if found is None else [Value(perceptual(found[0].image, drawn.image).value)]


for _name, _title, _said, _unit, _compute in (
    ("change", "change of the picture", "Mean CIE76 delta-E to the unedited picture.", "delta-E", _change),
    ("noticed", "share that changed", "Share of pixels whose delta-E is above 2.3.", "0 to 1", _noticed),
    (
        "dissimilarity",
        "structural dissimilarity",
        "1 - SSIM of luma (Wang et al. 2004).",
        "0 to 2",
        _dissimilar,
    ),
    (
        "perceptual",
        "perceptual distance",
        "Mean FLIP error (Andersson et al. 2020); none where flip-evaluator is not installed.",
        "0 to 1",
        _perceptual,
    ),
):
    register(
        Quantity(
            name=_name,
            title=_title,
            unit=_unit,
            definition=f"{_said} No value where the condition has no edits.",
            source="docs/edits.md",
            scope="picture",
            compute=_compute,
            needs="maps",
        )
    )


def _sees(noun: str) -> Callable[[Drawn, str | None, str | None], list[Value]]:
    def compute(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
        return [Value(float(scenes.read(drawn.image).find(noun) is not None))]

    return compute


for _noun in NOUNS:
    register(
        Quantity(
            name=f"sees_{_noun}",
            title=f"the judge sees a {_noun}",
            unit="1 yes, 0 no",
            definition=f"The judge of the drawn world finds a {_noun} in the picture, whatever was asked for.",
            source="the judge of the drawn world (docs/scenes.md)",
            scope="picture",
            compute=_sees(_noun),
            bounds=(0.0, 1.0),
        )
    )
