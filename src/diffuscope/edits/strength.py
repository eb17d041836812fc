"""One edit at several strengths: from no effect (0) over the edit as it is (1) and beyond."""

from __future__ import annotations

from dataclasses import replace

from diffuscope.edits.base import Edit, checked_number
from diffuscope.edits.outputs import Encode, Patch, Scale
from diffuscope.edits.probabilities import Inject, Reweight, Silence
from diffuscope.edits.texts import Steer
from diffuscope.errors import EditError


def at_strength(edit: Edit, strength: float) -> Edit:
    """An edit at another strength: 0 changes nothing, 1 is the edit itself.

    Factors go from 1: ``1 + strength * (factor - 1)``. What has a strength of its own has it multiplied. Silencing a
    word is a factor of 0.

    Raises:
        EditError: the edit has no strength (another prompt, a control, a function of one's own).
    """
    share = checked_number(edit.kind, "strength", strength)
    if isinstance(edit, Scale | Reweight):
        return replace(edit, factor=1 + share * (edit.factor - 1))
    if isinstance(edit, Silence):
        aim = {name: getattr(edit, name) for name in ("steps", "sites", "heads", "patches")}
        return Reweight(edit.word, 1 - share, **aim)
    if isinstance(edit, Encode | Patch | Inject | Steer):
        return replace(edit, strength=share * edit.strength)
    raise EditError(f"{edit.kind} has no strength; it is made or not")
