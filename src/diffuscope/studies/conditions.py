"""Edits of a condition: the one place where studies meet them.

In a plan the patches of an edit may be those of a thing of the drawn world, wherever each unedited picture has it:

    patches: {thing: circle, share: 0.6}                    a disc of 0.6 of its radius, where the judge sees it
    patches: {thing: circle, share: 0.6, elsewhere: true}   a disc of that size at a random place clear of the thing

`placed` makes a mask of them when the unedited picture is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.errors import DiffuscopeError, InputError
from diffuscope.studies.prompts import fill

if TYPE_CHECKING:
    from PIL import Image

THING = "thing"
CLEAR = 0.75
"""Of a thing's radius: how far from its middle a disc elsewhere keeps its pixels."""
TRIES = 1000


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
    for given in filter(None, map(_thing_of, edits)):
        _check_thing(given, condition)
    edits = [_at(each, "box:0,0,0,0") if _thing_of(each) else each for each in edits]
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


def names_things(edits: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an edit acts where a thing of the unedited picture is."""
    return any(_thing_of(each) for each in edits)


def placed(
    edits: Sequence[Mapping[str, Any]], unedited: Image.Image, seed: int
) -> tuple[dict[str, Any], ...]:
    """Edits with masks for the things that they name, as the judge sees them on the unedited picture. Edits whose thing
    it does not see are left out, and so are discs for which there is no place elsewhere.

    Args:
        edits: in their JSON form.
        unedited: the picture.
        seed: of it, which also says where elsewhere is.
    """
    from diffuscope import scenes
    from diffuscope.edits import PatchChoice

    if not names_things(edits):
        return tuple(dict(each) for each in edits)
    reading, random = scenes.read(unedited), np.random.default_rng([seed, 7])
    made = []
    for each in edits:
        given = _thing_of(each)
        if given is None:
            made.append(dict(each))
            continue
        thing = reading.find(given[THING])
        if thing is None:
            continue
        mask = disc(thing, float(given["share"]))
        if given.get("elsewhere"):
            mask = _moved(mask, disc(thing, CLEAR), random)
        if mask.any():
            made.append(_at(each, PatchChoice.mask(mask).to_json()))
    return tuple(made)


def disc(thing: Any, share: float) -> Any:
    """Pixels, bool ``[y, x]``, within a share of a thing's radius."""
    from diffuscope import scenes

    y, x = np.mgrid[: scenes.SIDE, : scenes.SIDE] + 0.5
    return (x - thing.x) ** 2 + (y - thing.y) ** 2 < (share * thing.radius) ** 2


def _moved(mask: Any, clear: Any, random: np.random.Generator) -> Any:
    """A mask at a random whole place that touches nothing of another, edges joined; empty where none was found."""
    for _ in range(TRIES):
        moved = np.roll(mask, tuple(int(by) for by in random.integers(0, len(mask), 2)), (0, 1))
        if not (moved & clear).any():
            return moved
    return np.zeros_like(mask)


def _thing_of(edit: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an edit, or the one that it controls, says of a thing's patches."""
    patches = (edit.get("of") or edit).get("patches")
    return dict(patches) if isinstance(patches, Mapping) and THING in patches else None


def _at(edit: Mapping[str, Any], patches: Any) -> dict[str, Any]:
    """The edit with other patches."""
    if "of" in edit:
        return {**edit, "of": {**edit["of"], "patches": patches}}
    return {**edit, "patches": patches}


def _check_thing(given: Mapping[str, Any], condition: str) -> None:
    from diffuscope.scenes.vocabulary import NOUNS

    share = given.get("share")
    if (
        set(given) - {THING, "share", "elsewhere"}
        or given[THING] not in NOUNS
        or isinstance(share, bool)
        or not isinstance(share, int | float)
        or not 0 < share <= 2
        or not isinstance(given.get("elsewhere", False), bool)
    ):
        raise InputError(
            f"condition {condition!r}: patches of a thing read {{thing: circle, share: 0.6, elsewhere: false}}, the "
            f"thing one of {', '.join(NOUNS)}, its share of the radius from 0 to 2; got {dict(given)}"
        )


def edited(lens: Any, run: Any, edits: Sequence[Mapping[str, Any]], out: Path) -> Any:
    """A recorded run again with edits: `Lens.edit`.

    Raises:
        InputError: this installation cannot edit.
    """
    values = parsed(edits, "of this unit")
    if not hasattr(lens, "edit"):
        raise InputError("this release of diffuscope knows edits and cannot yet make a run with them")
    return lens.edit(run, *values, out=out)
