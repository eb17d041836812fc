"""What is given of a pair of runs, by the same names in a server and in a static export."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from diffuscope.analysis.comparing import compare, delta_e
from diffuscope.analysis.pairs import check_pair
from diffuscope.recording import Manifest
from diffuscope.run import Run
from diffuscope.server import findings
from diffuscope.server.problems import Refusal
from diffuscope.server.resources import JSON, Content
from diffuscope.server.tensors import MEDIA_TYPE, as_json, pack

NAMES = ("comparison.json", "change.safetensors", "explanation.json")


def read_pair(run: Run, other: Run, name: str, control: Run | None = None) -> Content:
    """A file about two runs that differ in their edits alone. `control` is compared beside them.

    Raises:
        Refusal: there is no such file.
        InputError: they differ in more than their edits.
        NotKeptError: one has no picture.
    """
    if name == "comparison.json":
        return Content(as_json(compare(run, other, control=control).to_json()), JSON)
    if name == "explanation.json":
        return Content(as_json(findings.explained_pair(run, other, (run.path.name, other.path.name))), JSON)
    if name == "change.safetensors":
        check_pair(run, other)
        change = delta_e(run.image, other.image).astype(np.float32)
        about = {
            "label": "change of the picture",
            "selection": "all",
            "unit": "delta-E (CIE76)",
            "aggregation": "Distance in CIELAB (D65) of each pixel; 2.3 is just noticed.",
        }
        return Content(pack(change, about), MEDIA_TYPE)
    raise Refusal(404, f"a pair of runs has no file {name[:80]!r}")


def control_of(run: Manifest, other: Manifest, among: Iterable[Manifest]) -> str | None:
    """The id of a run that was made of `run` with the controls of the edits of `other`; None where there is none."""
    added = list(other.edits)[len(run.edits) :]
    if not added or any(each.get("edit") == "control" for each in added):
        return None
    for each in among:
        beside: list[Any] = list(each.edits)[len(run.edits) :]
        of = [edit.get("of") if edit.get("edit") == "control" else None for edit in beside]
        if each.parent == run.id and each.complete and of == added:
            return each.id
    return None
