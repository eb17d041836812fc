"""Units of work: one picture under one condition, and what makes two of them the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from diffuscope.errors import InputError
from diffuscope.studies.conditions import filled
from diffuscope.studies.plan import Plan
from diffuscope.studies.prompts import Prompt, fill

IDENTITY_VERSION = 1
"""Of what goes into a unit's identity; a change of it makes every unit another one."""


@dataclass(frozen=True)
class Unit:
    """One picture to be drawn and measured.

    Attributes:
        key: its identity: SHA-256 over model, prompt, seed, settings and edits.
        prompt: which prompt of the study; `text` is what is drawn, which a condition may word otherwise.
        text: see `prompt`.
        seed: of the first noise.
        condition: name of the condition.
        settings: sampling settings in effect.
        edits: in their JSON form.
    """

    key: str
    prompt: Prompt
    text: str
    seed: int
    condition: str
    settings: Mapping[str, Any]
    edits: tuple[Mapping[str, Any], ...]

    def job(self) -> dict[str, Any]:
        """What a worker is told, plain JSON."""
        return {
            "key": self.key,
            "prompt": self.text,
            "factors": dict(self.prompt.factors),
            "seed": self.seed,
            "settings": dict(self.settings),
            "edits": [dict(each) for each in self.edits],
        }


def identity(
    model: str, prompt: str, seed: int, settings: Mapping[str, Any], edits: tuple[Mapping[str, Any], ...] = ()
) -> str:
    """Identity of a unit. What a condition or a study is called is no part of it, nor is what is measured or kept.

    Args:
        model: fingerprint of the model (`fingerprint`).
    """
    whole = {
        "identity": IDENTITY_VERSION,
        "model": model,
        "prompt": prompt,
        "seed": seed,
        "settings": settings,
        "edits": list(edits),
    }
    return _digest(whole)


def fingerprint(source: Mapping[str, Any]) -> str:
    """Of a model, from what a worker says of it: its files, wherever they lie, and the type of its weights; its name
    and revision where files are not known."""
    files = source.get("files") or {"": f"{source.get('id')}@{source.get('revision')}"}
    return _digest({"files": files, "dtype": source.get("dtype"), "pipeline": source.get("pipeline")})


def units(plan: Plan, prompts: list[Prompt], model: str) -> Iterator[Unit]:
    """Every unit of a plan: prompt by prompt, condition by condition, seed by seed.

    So seeds of one prompt and condition follow one another and are drawn together, in the same company under every
    condition.

    Raises:
        InputError: a condition's template does not fit.
    """
    for prompt in prompts:
        for name, condition in plan.conditions.items():
            text = prompt.text
            if condition.prompt is not None:
                text = fill(condition.prompt, prompt.factors, f"conditions.{name}.prompt").strip()
            settings = condition.settings.over(plan.settings)
            edits = filled(condition.edits, prompt.factors, name)
            for seed in plan.seeds:
                key = identity(model, text, seed, settings, edits)
                yield Unit(key, prompt, text, seed, name, settings, edits)


def check_conditions(plan: Plan, prompts: list[Prompt]) -> None:
    """Refuse conditions that are the same, and templates that do not fit.

    Raises:
        InputError: see above.
    """
    seen: dict[str, str] = {}
    for name, condition in plan.conditions.items():
        texts = [prompt.text for prompt in prompts]
        if condition.prompt is not None:
            texts = [
                fill(condition.prompt, prompt.factors, f"conditions.{name}.prompt") for prompt in prompts
            ]
            double = (
                next((text for text in texts if texts.count(text) > 1), None)
                if len(set(texts)) < len(texts)
                else None
            )
            if double is not None:
                raise InputError(
                    f"conditions.{name}.prompt makes one prompt of several: {double!r}; put every factor in it"
                )
        same = _digest([condition.settings.over(plan.settings), list(condition.edits), texts])
        if same in seen:
            raise InputError(
                f"the conditions {seen[same]!r} and {name!r} are the same; say what differs, or leave one out"
            )
        seen[same] = name


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
