"""The families that diffuscope knows, in the order in which they are asked."""

from __future__ import annotations

from typing import Any

from diffuscope.engine.models.family import Family
from diffuscope.engine.models.stable_diffusion import StableDiffusion
from diffuscope.errors import UnsupportedModelError

FAMILIES: tuple[Family, ...] = (StableDiffusion(),)


def family_of(pipe: Any) -> Family:
    """The adapter that serves `pipe`.

    Raises:
        UnsupportedModelError: no adapter does.
    """
    for family in FAMILIES:
        if family.accepts(pipe):
            return family
    names = ", ".join(family.name for family in FAMILIES)
    raise UnsupportedModelError(
        f"{type(pipe).__name__} is of no family that diffuscope can record; it knows: {names}"
    )
