"""Steering with settings that were measured, each bound to the model that it was measured on.

`Steer`'s own defaults are the published ones and the same for every model. What works differs from model to model: on
the shipped one the default window hits no colour. A preset names what did best on prompts set apart for choosing
(docs/findings/steering.md says how, and how often it succeeds on others).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from diffuscope.edits.base import checked_text
from diffuscope.edits.texts import Space, Steer
from diffuscope.errors import EditError, listed


@dataclass(frozen=True)
class SteerPreset:
    """Settings of `Steer`.

    Attributes:
        space, strength, quantile, steps: as of `Steer`.
        source: where they were measured.
    """

    space: Space
    strength: float
    quantile: float | None
    steps: str
    source: str


STEER_PRESETS: dict[str, SteerPreset] = {
    "scenes": SteerPreset("guidance", 1.0, 0.75, "all", "docs/findings/steering.md"),
}
"""Model id to settings."""


def steer_preset(model: str, prompt: str, phrase: str, toward: str) -> Steer:
    """Steer a phrase of a prompt as was measured to work best on a model.

    Both directions are whole prompts: the prompt, and the prompt with another phrase in the phrase's place. So what is
    meant is told in its context.

    Args:
        model: its id, as in a run's manifest.
        prompt: of the run.
        phrase: words of it that stand there once: ``red circle``.
        toward: what stands there instead: ``green circle``.

    Raises:
        EditError: no preset was measured for the model, or the prompt has not exactly one such phrase.
    """
    if model not in STEER_PRESETS:
        raise EditError(
            f"no way of steering was measured for the model {model!r}, only for: {listed(list(STEER_PRESETS))}; name "
            "space, strength and steps of Steer yourself"
        )
    preset = STEER_PRESETS[model]
    prompt, phrase, toward = (
        checked_text("steer", name, text)
        for name, text in (("prompt", prompt), ("phrase", phrase), ("toward", toward))
    )
    found = list(re.finditer(rf"(?<!\w){re.escape(phrase)}(?!\w)", prompt, re.IGNORECASE))
    if len(found) != 1:
        raise EditError(
            f"steer: the prompt {prompt!r} has {phrase!r} {len(found)} times; name a phrase that it has once"
        )
    goal = prompt[: found[0].start()] + toward + prompt[found[0].end() :]
    return Steer(
        goal,
        away=prompt,
        strength=preset.strength,
        space=preset.space,
        quantile=preset.quantile,
        steps=preset.steps,
    )
