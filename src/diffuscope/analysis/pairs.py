"""Whether two runs are a pair: alike in everything but their edits, so that what differs is the edits' doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.errors import InputError, NotKeptError, listed
from diffuscope.recording import Manifest

if TYPE_CHECKING:
    from diffuscope.run import Run


@dataclass(frozen=True)
class Apart:
    """Something in which two runs differ that edits do not change.

    Attributes:
        what: its name (``seed``, ``steps``, ``model revision``, a library).
        one, other: how it is in each, in words.
    """

    what: str
    one: str
    other: str

    def __str__(self) -> str:
        return f"{self.what} ({_short(self.one)} and {_short(self.other)})"


def apart(run: Run, other: Run) -> list[Apart]:
    """In what two runs differ beside their edits: seed, noise, prompt, settings, scheduler, model, device, type of
    numbers, versions; empty where they are a pair."""
    one, two = _conditions(run.manifest), _conditions(other.manifest)
    found = [
        Apart(name, _said(one.get(name)), _said(two.get(name)))
        for name in dict.fromkeys([*one, *two])
        if one.get(name) != two.get(name)
    ]
    if found:
        return found
    if not run.manifest.steps or not other.manifest.steps:
        empty = ["no whole step" if not each.manifest.steps else "steps" for each in (run, other)]
        return [Apart("what was drawn", *empty)]
    try:
        noise, again = (each.recording.latent(each.manifest.steps[0].index) for each in (run, other))
    except NotKeptError as error:
        return [Apart("first noise", "unknown", str(error))]
    if noise.shape != again.shape or not np.array_equal(noise, again):
        return [Apart("first noise", _said(list(noise.shape)), "another")]
    return []


def check_pair(run: Run, other: Run) -> None:
    """Raises InputError where two runs differ in more than their edits, and says in what."""
    found = apart(run, other)
    if found:
        raise InputError(
            f"{run.id} and {other.id} differ in more than their edits, so what changed is not the edits' doing: "
            f"{listed([str(each) for each in found], 4)}"
        )


def _conditions(manifest: Manifest) -> dict[str, Any]:
    return {
        # At which place of its batch a picture stands does not matter: rows round by the size of the batch.
        **manifest.sampling.model_dump(exclude={"image_index"}),
        **{f"model {name}": value for name, value in manifest.model.model_dump().items()},
        **manifest.software,
        "steps drawn": [step.index for step in manifest.steps],
    }


def _said(value: Any) -> str:
    if isinstance(value, dict) and "name" in value:
        return f"{value['name']} {value.get('config', '')}".strip()
    return "none" if value is None else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
