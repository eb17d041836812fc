"""Outlines of everything that can be drawn, as polygons in a unit box.

Coordinates run from -1 to 1, x to the right, y down, and are scaled by a thing's radius. A shape is a list of
layers, painted in order: polygons filled with the thing's own colour, holes that let the backdrop through, and
details with a colour of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.scenes.vocabulary import RGB

Polygon = NDArray[np.float64]
"""Points of a closed outline `[point, (x, y)]`."""


@dataclass(frozen=True)
class Layer:
    """One painting step: `body` in the thing's colour, `hole` cut out of it, `detail` painted in `colour`."""

    kind: Literal["body", "hole", "detail"]
    outline: Polygon
    colour: RGB | None = None
    name: str = ""


BROWN: RGB = (104, 66, 36)
GOLD: RGB = (250, 196, 40)


def disc(x: float = 0.0, y: float = 0.0, radius: float = 1.0, points: int = 64) -> Polygon:
    """A circle as a regular polygon."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """An axis-aligned rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _star() -> Polygon:
    angle = -np.pi / 2 + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.06, 0.46)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle) + 0.08], axis=1)


def _heart() -> Polygon:
    # The classical heart curve (Weisstein, "Heart Curve", MathWorld, eq. 7-8), scaled to the unit box.
    t = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x / 16.5, (y - 2.5) / 15.0], axis=1)


def _cross() -> Polygon:
    a, b = 0.34, 0.95
    return np.array(
        [
            (-a, -b),
            (a, -b),
            (a, -a),
            (b, -a),
            (b, a),
            (a, a),
            (a, b),
            (-a, b),
            (-a, a),
            (-b, a),
            (-b, -a),
            (-a, -a),
        ]
    )


SHAPES: dict[str, tuple[Layer, ...]] = {
    "circle": (Layer("body", disc(radius=0.97)),),
    "square": (Layer("body", box(-0.86, -0.86, 0.86, 0.86)),),
    "triangle": (Layer("body", np.array([(0.0, -0.95), (1.0, 0.82), (-1.0, 0.82)])),),
    "star": (Layer("body", _star()),),
    "heart": (Layer("body", _heart()),),
    "cross": (Layer("body", _cross()),),
    "ring": (Layer("body", disc()), Layer("hole", disc(radius=0.54))),
    "moon": (Layer("body", disc(x=0.1)), Layer("hole", disc(x=0.58, y=-0.08, radius=0.8))),
    "house": (
        Layer("body", box(-0.74, -0.12, 0.74, 0.95)),
        Layer("body", np.array([(0.0, -1.0), (1.0, -0.1), (-1.0, -0.1)])),
        Layer("detail", box(-0.2, 0.34, 0.2, 0.95), BROWN, "door"),
    ),
    "tree": (
        Layer("detail", box(-0.17, 0.45, 0.17, 1.0), BROWN, "trunk"),
        Layer("body", np.array([(0.0, -1.0), (0.62, -0.05), (-0.62, -0.05)])),
        Layer("body", np.array([(0.0, -0.55), (0.82, 0.56), (-0.82, 0.56)])),
    ),
    "flower": (
        *(
            Layer("body", disc(0.58 * np.cos(a), 0.58 * np.sin(a), 0.42, 32))
            for a in -np.pi / 2 + np.arange(6) * np.pi / 3
        ),
        Layer("detail", disc(radius=0.32, points=32), BROWN, "centre"),
    ),
}
