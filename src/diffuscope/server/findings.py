"""What is found out about a run, as JSON: its objects, its explanation, the tests of its maps."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.cause.faithfulness import all_kept
from diffuscope.analysis.comparing import compare
from diffuscope.errors import InputError, MissingExtraError, NotKeptError, RecordingError
from diffuscope.explain import Explanation
from diffuscope.run import Run

_CANNOT = (NotKeptError, MissingExtraError, InputError, RecordingError)


def objects(run: Run) -> dict[str, Any]:
    """The objects that the prompt names, with mask, box and score; or why there are none to be had."""
    try:
        found = run.objects()
    except _CANNOT as error:
        return {"available": False, "why": str(error), "objects": []}
    each = [
        {"index": index, "label": one.text, **one.facts(), "rle": run_lengths(one.mask)}
        for index, one in enumerate(found)
    ]
    return {"available": True, "why": None, **found.facts(), "objects": each}


def explanation(run: Run, name: str) -> dict[str, Any]:
    """The run in words that can be checked, by the built-in writer; or why there is no explanation.

    Args:
        run: the run.
        name: what commands are to call it: its folder stays in the house.
    """
    try:
        return {"available": True, "why": None, **_named(run.explain(), {str(run.path): name})}
    except _CANNOT as error:
        return {"available": False, "why": str(error)}


def explained_pair(run: Run, other: Run, names: tuple[str, str]) -> dict[str, Any]:
    """What the edit did, in words that can be checked.

    Raises:
        InputError, NotKeptError: they are no pair.
    """
    found = compare(run, other).explain()
    return {
        "available": True,
        "why": None,
        **_named(found, {str(run.path): names[0], str(other.path): names[1]}),
    }


def faithfulness(run: Run) -> dict[str, Any]:
    """Every test of a word's map that was made of the run, by word."""
    return {
        "tests": {
            word: {**test.to_json(), "sentence": test.sentence()}
            for word, test in all_kept(run.recording).items()
        }
    }


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask as COCO's uncompressed run lengths: down the columns, beginning with how many cells are outside."""
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes.tolist(), flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat.size and flat[0] else counts}


def _named(found: Explanation, names: dict[str, str]) -> dict[str, Any]:
    """An explanation as JSON, its commands with names of runs in place of their folders."""
    told = found.to_json()
    for diagnosis in told["diagnoses"]:
        for remedy in diagnosis["try"]:
            words = [names.get(each, each) for each in shlex.split(remedy["command"])]
            remedy["command"] = shlex.join(words)
    return told
