"""Presets of steering: settings that were measured, for the model that they were measured on."""

from __future__ import annotations

import pytest

from diffuscope.edits import STEER_PRESETS, Steer, steer_preset
from diffuscope.errors import EditError

PROMPT = "a red circle left of a red circles' square"


def test_a_preset_says_both_prompts_whole() -> None:
    preset = STEER_PRESETS["scenes"]
    made = steer_preset("scenes", PROMPT, "Red circle", "green circle")
    assert made == Steer(
        "a green circle left of a red circles' square",
        away=PROMPT,
        strength=preset.strength,
        space=preset.space,
        quantile=preset.quantile,
        steps=preset.steps,
    )


def test_a_preset_is_bound_to_its_model_and_to_one_phrase() -> None:
    with pytest.raises(EditError, match="only for: scenes"):
        steer_preset("sd15", PROMPT, "red circle", "green circle")
    for phrase, times in (("red", 2), ("blue", 0), ("circ", 0)):
        with pytest.raises(EditError, match=f"{times} times"):
            steer_preset("scenes", PROMPT, phrase, "green")
    with pytest.raises(EditError, match="no direction"):
        steer_preset("scenes", PROMPT, "red circle", "red circle")
