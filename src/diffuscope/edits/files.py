"""Edits as JSON: one edit is an object, several are a list, in the order in which they are applied."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffuscope.edits.base import Edit
from diffuscope.edits.custom import Control, Custom
from diffuscope.edits.outputs import Encode, Patch, Scale
from diffuscope.edits.probabilities import Inject, Reweight, Silence
from diffuscope.edits.texts import Reprompt, Steer
from diffuscope.errors import EditError, RunFolderError, near_first

KINDS: dict[str, type[Edit]] = {
    each.kind: each
    for each in (Scale, Encode, Patch, Inject, Reweight, Silence, Reprompt, Steer, Custom, Control)
}
"""Every edit by its name."""

LARGEST = 2**26
"""Bytes that a file of edits may have: masks make them large."""


def from_json(given: Any) -> Any:
    """The edit that a JSON object says or, of a list, a list of edits.

    Raises:
        EditError, SelectionError, RegionError: it says none.
    """
    if isinstance(given, list):
        return [from_json(each) for each in given]
    if not isinstance(given, Mapping) or not isinstance(given.get("edit"), str):
        raise EditError(
            "an edit reads {'edit': 'scale', 'factor': 0, 'sites': 'cross:mid'}; several are a list of such"
        )
    kind = KINDS.get(given["edit"])
    if kind is None:
        raise EditError(
            f"there is no edit {given['edit']!r}; there are: {', '.join(near_first(given['edit'], list(KINDS)))}"
        )
    return kind.of_json(given)


def to_json(edits: Edit | Iterable[Edit]) -> Any:
    """What `from_json` reads."""
    return edits.to_json() if isinstance(edits, Edit) else [each.to_json() for each in edits]


def load(path: str | Path) -> list[Edit]:
    """The edits of a JSON file.

    Raises:
        EditError: there is no such file, or it holds no edits.
    """
    found = read(path)
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(each, Edit) for each in listed):
        raise EditError(
            f"{path} holds lists within a list: variations for a sweep, where edits of one run are due"
        )
    return listed


def read(path: str | Path) -> Any:
    """What a JSON file holds, as `from_json` reads it: an edit, a list of edits, or a list of such lists (a sweep's
    variations).

    Raises:
        EditError: there is no such file, or it holds no edits.
    """
    place = Path(path)
    try:
        if place.stat().st_size > LARGEST:
            raise EditError(f"{place} is larger than files of edits are ({LARGEST >> 20} MiB)")
        given = json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise EditError(f"the file of edits {place} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise EditError(f"the file of edits {place} is no JSON: {error}") from error
    return from_json(given)


def save(path: str | Path, edits: Edit | Iterable[Edit]) -> Path:
    """Write edits as a JSON file, which `load` reads.

    Raises:
        EditError: one of them is a function (`Custom`). RunFolderError: the file cannot be written.
    """
    listed = [edits] if isinstance(edits, Edit) else list(edits)
    for each in listed:
        inner = each.edit if isinstance(each, Control) else each
        if isinstance(inner, Custom):
            raise EditError(f"custom: the function {inner.name} cannot be written to a file")
    place = Path(path)
    try:
        place.write_text(json.dumps(to_json(listed), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"{place} cannot be written: {error.strerror or error}") from error
    return place


def donor_names(edits: Sequence[Any]) -> list[str]:
    """Names of the donor runs of edits in their JSON form, controls' included."""
    found: list[str] = []
    for each in edits:
        if isinstance(each, dict):
            donor = each.get("donor")
            if donor is not None:
                found.append(str(donor))
            found += donor_names([each.get("of")])
    return list(dict.fromkeys(found))
