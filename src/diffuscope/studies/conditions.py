"""Edits of a condition: the one place where studies meet them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from diffuscope.errors import DiffuscopeError, InputError
from diffuscope.studies.prompts import fill


def filled(
    edits: Sequence[Mapping[str, Any]], factors: Mapping[str, str], condition: str
) -> tuple[dict[str, Any], ...]:
    """Edits with a prompt's factors put into their texts: ``{"edit": "silence", "word": "{shape}"}``.

    Raises:
        InputError: a text names a factor that there is not.
    """

    def put(value: Any) -> Any:
        if isinstance(value, str) and "{" in value:
            return fill(value, factors, f"conditions.{condition}.edits")
        if isinstance(value, Mapping):
            return {name: put(each) for name, each in value.items()}
        return [put(each) for each in value] if isinstance(value, list | tuple) else value

    return tuple(put(each) for each in edits)


def parsed(edits: Sequence[Mapping[str, Any]], condition: str) -> list[Any]:
    """Edits as values, from their JSON form.

    Raises:
        InputError: this installation has no edits, or a form is wrong.
    """
    if not edits:
        return []
    try:
        room = import_module("diffuscope.edits")
    except ModuleNotFoundError as error:
        raise InputError(
            f"condition {condition!r} has edits, which this release of diffuscope cannot make; conditions can differ "
            "in settings and prompt"
        ) from error
    try:
        found = room.from_json([dict(each) for each in edits])
    except DiffuscopeError as error:
        raise InputError(f"condition {condition!r}: {error}") from error
    return list(found) if isinstance(found, list | tuple) else [found]


def edited(lens: Any, run: Any, edits: Sequence[Mapping[str, Any]], out: Path) -> Any:
    """A recorded run again with edits: `Lens.edit`.

    Raises:
        InputError: this installation cannot edit.
    """
    values = parsed(edits, "of this unit")
    if not hasattr(lens, "edit"):
        raise InputError("this release of diffuscope knows edits and cannot yet make a run with them")
    return lens.edit(run, *values, out=out)
