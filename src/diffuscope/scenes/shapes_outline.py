"""Outlines and layers that drawings are made of.

Drawings are made in any units, x to the right, y down; `fitted` brings them into the unit box.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.scenes.vocabulary import RGB

Polygon = NDArray[np.float64]
"""Points of a closed outline `[point, (x, y)]`."""


@dataclass(frozen=True)
class Layer:
    """One painting step.

    `body`: filled with the thing's own paint, made darker (`tone` below 0) or lighter (above 0); patterns are painted
    on these. `shade`: makes what is already there darker or lighter by `tone`; 0 takes the shade away again. `hole`:
    cut out. `detail`: painted in `colour`, or without one in a tone of the thing's paint; `name` is one of `DETAILS`
    or a further part of the drawing, such as "trunk". Layers that are `behind` lie behind what is in the thing.
    """

    kind: Literal["body", "shade", "hole", "detail"]
    outline: Polygon
    colour: RGB | None = None
    name: str = ""
    tone: float = 0.0
    behind: bool = False


@dataclass(frozen=True)
class Shape:
    """A drawing in the unit box: its longer side fills -1 to 1, the shorter is centred.

    `top`: y of the level on which another thing stands. `rim`: y below which a thing *in* this one is hidden. `width`
    and `height`: half extents, the larger of which is 1.
    """

    layers: tuple[Layer, ...]
    top: float | None
    rim: float | None
    width: float
    height: float


WOOD: RGB = (112, 74, 44)
DARK: RGB = (52, 50, 58)
GLASS: RGB = (176, 216, 238)
GOLD: RGB = (250, 200, 56)
LEAF: RGB = (124, 190, 66)


def body(outline: Polygon, tone: float = 0.0, behind: bool = False) -> Layer:
    """A part in the thing's own paint."""
    return Layer("body", outline, tone=tone, behind=behind)


def shade(outline: Polygon, tone: float = -0.18, behind: bool = False) -> Layer:
    """A darker or lighter area."""
    return Layer("shade", outline, tone=tone, behind=behind)


def detail(
    outline: Polygon, name: str, colour: RGB | None = None, tone: float = 0.0, behind: bool = False
) -> Layer:
    """A part with a colour of its own."""
    return Layer("detail", outline, colour, name, tone, behind)


def disc(x: float = 0.0, y: float = 0.0, radius: float = 1.0, points: int = 48) -> Polygon:
    """A circle as a regular polygon."""
    return oval(x, y, radius, radius, points=points)


def oval(x: float, y: float, across: float, down: float, turn: float = 0.0, points: int = 40) -> Polygon:
    """An ellipse with two half axes, turned clockwise by `turn` degrees."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return moved(turned(np.stack([across * np.cos(angle), down * np.sin(angle)], axis=1), turn), x, y)


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """An axis-aligned rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def rounded(left: float, top: float, right: float, bottom: float, radius: float) -> Polygon:
    """An axis-aligned rectangle with round corners."""
    quarter = np.linspace(0, np.pi / 2, 7)
    corners = ((right, bottom, 0), (left, bottom, 1), (left, top, 2), (right, top, 3))
    parts = []
    for x, y, turn in corners:
        angle = quarter + turn * np.pi / 2
        middle = (x - radius if x == right else x + radius, y - radius if y == bottom else y + radius)
        parts.append(np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius + middle)
    return np.concatenate(parts)


def arch(left: float, top: float, right: float, bottom: float) -> Polygon:
    """A rectangle under a half ellipse; the ellipse takes the upper third of the height."""
    angle = np.linspace(np.pi, 2 * np.pi, 17)
    rise = (bottom - top) / 3
    x = (left + right) / 2 + (right - left) / 2 * np.cos(angle)
    y = top + rise + rise * np.sin(angle)
    return np.concatenate([np.stack([x, y], axis=1), [(right, bottom), (left, bottom)]])


def points(*xy: tuple[float, float]) -> Polygon:
    """A polygon of straight sides."""
    return np.array(xy, np.float64)


def curve(*xy: tuple[float, float], steps: int = 6) -> Polygon:
    """A smooth closed outline through the points: a Catmull-Rom spline (Catmull and Rom, 1974), uniform."""
    through = np.array(xy, np.float64)
    before, after, then = np.roll(through, 1, 0), np.roll(through, -1, 0), np.roll(through, -2, 0)
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (one[:, None, :] for one in (before, through, after, then))
    smooth = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.asarray(smooth).reshape(-1, 2)


def moved(outline: Polygon, x: float, y: float) -> Polygon:
    """The outline shifted."""
    return np.asarray(outline + np.array([x, y]))


def turned(outline: Polygon, degrees: float) -> Polygon:
    """The outline turned clockwise about the origin."""
    angle = np.deg2rad(degrees)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return np.asarray(outline @ turn)


def fitted(*layers: Layer, top: float | None = None, rim: float | None = None) -> Shape:
    """The layers scaled and moved so that all of them together fill the unit box on the longer side."""
    solid = np.concatenate([layer.outline for layer in layers if layer.kind in ("body", "detail")])
    low, high = solid.min(axis=0), solid.max(axis=0)
    middle, scale = (low + high) / 2, 2 / float((high - low).max())
    placed = tuple(replace(layer, outline=(layer.outline - middle) * scale) for layer in layers)
    width, height = ((high - low) / 2 * scale).tolist()

    def level(y: float | None) -> float | None:
        return None if y is None else float((y - middle[1]) * scale)

    return Shape(placed, level(top), level(rim), width, height)
