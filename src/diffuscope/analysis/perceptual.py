"""Perceptual distance of two pictures: how different they look to a person who flips between them.

LDR-FLIP (Andersson et al. 2020, "FLIP: A Difference Evaluator for Alternating Images"), by NVIDIA's own package
`flip-evaluator`. It has no learned weights: colour, edges and points are filtered as the eye filters them at a distance
from the screen, and compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from diffuscope.errors import InputError

Distance = Callable[[Image.Image, Image.Image], float]
"""Of two pictures (RGB) of one size: 0 for equal ones, more the further apart they look. Its attribute `name` says what
it is; a function of the user's own may be LPIPS or the like, with whatever weights that needs."""

PIXELS_PER_DEGREE = 67
"""What FLIP assumes unless told otherwise: a 0.7 m wide screen of 3840 pixels, 0.7 m away."""


@dataclass(frozen=True)
class Perceptual:
    """A perceptual distance.

    Attributes:
        name: what was measured, with which weights.
        value: the distance; None where it could not be taken.
        why: why it could not, else empty.
    """

    name: str
    value: float | None
    why: str = ""


def flip(one: Image.Image, other: Image.Image) -> float:
    """Mean FLIP error, 0 to 1.

    Raises:
        ImportError: `flip-evaluator` is not installed.
    """
    import flip_evaluator

    pictures = [np.asarray(each.convert("RGB"), np.float32) / 255 for each in (one, other)]
    parameters = {"ppd": float(PIXELS_PER_DEGREE)}
    _, mean, _ = flip_evaluator.evaluate(*pictures, "LDR", True, False, True, parameters)
    return float(mean)


flip.name = f"FLIP (no weights, {PIXELS_PER_DEGREE} pixels per degree)"  # type: ignore[attr-defined]


def perceptual(one: Image.Image, other: Image.Image, distance: Distance | None = None) -> Perceptual:
    """The perceptual distance of two pictures of one size; that of FLIP where no other is given, and none, said in the
    open, where FLIP is not installed: nothing is put in its place.

    Raises:
        InputError: `distance` gave no number.
    """
    chosen = flip if distance is None else distance
    name = str(getattr(chosen, "name", None) or getattr(chosen, "__name__", type(chosen).__name__))
    try:
        value = float(chosen(one.convert("RGB"), other.convert("RGB")))
    except ImportError as error:
        if distance is not None:
            raise
        return Perceptual(name, None, f'{error.name} is not installed: pip install "diffuscope[analysis]"')
    if not np.isfinite(value):
        raise InputError(f"the perceptual distance {name} gave {value}; it gives a number")
    return Perceptual(name, value)
