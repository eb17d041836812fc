"""The families that diffuscope knows, in the order in which they are asked."""

from __future__ import annotations

from typing import Any

from diffuscope.engine.models.family import Family
from diffuscope.engine.models.flux import Flux
from diffuscope.engine.models.generic import Generic
from diffuscope.engine.models.pixart import PixArt
from diffuscope.engine.models.refusals import refuse_model
from diffuscope.engine.models.stable_diffusion import StableDiffusion
from diffuscope.engine.models.stable_diffusion_3 import StableDiffusion3
from diffuscope.engine.models.stable_diffusion_xl import StableDiffusionXL
from diffuscope.errors import UnsupportedModelError

FAMILIES: tuple[Family, ...] = (StableDiffusion(), StableDiffusionXL(), PixArt(), StableDiffusion3(), Flux())
"""Adapters that were tested with their family. A new one is added here (`docs/add-a-family.md`)."""

GENERIC = Generic()
"""Asked last: serves what has the form of a family and no adapter, with a warning."""


def family_of(pipe: Any) -> Family:
    """The adapter that serves `pipe`.

    Raises:
        UnsupportedModelError: no adapter does, or its attention can never be seen.
    """
    refuse_model(pipe)
    for family in (*FAMILIES, GENERIC):
        if family.accepts(pipe):
            return family
    names = ", ".join(family.name for family in FAMILIES)
    raise UnsupportedModelError(
        f"{type(pipe).__name__} is of no family that diffuscope can record; it knows: {names}"
    )
