"""Plain forms and what stands in the sky."""

from __future__ import annotations

import numpy as np

from diffuscope.scenes.shapes_outline import (
    Layer,
    Polygon,
    Shape,
    body,
    box,
    curve,
    disc,
    fitted,
    oval,
    points,
    shade,
)


def _pointed(tips: int, inner: float, turn: float = -90.0) -> Polygon:
    """A star with `tips` tips at distance 1 and corners at `inner` between them."""
    angle = np.deg2rad(turn) + np.arange(2 * tips) * np.pi / tips
    radius = np.where(np.arange(2 * tips) % 2 == 0, 1.0, inner)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _heart() -> Polygon:
    # The classical heart curve (Weisstein, "Heart Curve", MathWorld, eq. 7-8).
    t = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x / 16, y / 16], axis=1)


def _crescent() -> Polygon:
    # Two arcs that meet at the tips: the right side of the disc is bitten off.
    outer = np.deg2rad(np.linspace(-52, -308, 44))
    tip = np.array([np.cos(outer[0]), np.sin(outer[0])])
    middle = 0.48
    radius = float(np.hypot(tip[0] - middle, tip[1]))
    first = float(np.arctan2(-tip[1], tip[0] - middle))
    inner = np.linspace(first, 2 * np.pi - first, 36)[1:-1]
    arc = np.stack([middle + radius * np.cos(inner), radius * np.sin(inner)], axis=1)
    return np.concatenate([np.stack([np.cos(outer), np.sin(outer)], axis=1), arc])


def _lit(outline: Polygon, tone: float = -0.14) -> tuple[Layer, ...]:
    """A body whose lower right edge is in shade: what the outline, moved up and left, does not cover."""
    return (body(outline), shade(outline, tone), shade(outline * 0.97 + (-0.13, -0.13), 0.0))


def _star() -> Shape:
    star = _pointed(5, 0.47)
    facets = [shade(np.array([(0.0, 0.0), star[i], star[(i + 1) % 10]]), -0.13) for i in range(0, 10, 2)]
    return fitted(body(star), *facets)


def _sun() -> Shape:
    rays = []
    for angle in np.arange(12) * 30.0:
        tip = 1.0 if angle % 60 == 0 else 0.9
        a = np.deg2rad(angle + np.array([-8.5, 0.0, 8.5]))
        r = np.array([0.69, tip, 0.69])
        rays.append(body(np.stack([r * np.cos(a), r * np.sin(a)], axis=1), tone=0.0))
    core = disc(radius=0.58)
    return fitted(*rays, body(core), shade(core, -0.13), shade(disc(-0.06, -0.06, 0.51), 0.0))


def _moon() -> Shape:
    crescent = _crescent()
    craters = [shade(oval(x, y, r, r), -0.14) for x, y, r in ((-0.72, -0.18, 0.13), (-0.55, 0.4, 0.17))]
    return fitted(body(crescent), *craters, shade(oval(-0.36, -0.66, 0.09, 0.09), -0.14))


_CROSS = points(
    (-0.34, -1), (0.34, -1), (0.34, -0.34), (1, -0.34), (1, 0.34), (0.34, 0.34),
    (0.34, 1), (-0.34, 1), (-0.34, 0.34), (-1, 0.34), (-1, -0.34), (-0.34, -0.34),
)  # fmt: skip

SHAPES: dict[str, Shape] = {
    "circle": fitted(*_lit(disc(points=64))),
    "square": fitted(*_lit(box(-1, -1, 1, 1))),
    "triangle": fitted(
        body(points((0, -0.9), (1, 0.84), (-1, 0.84))),
        shade(points((0, -0.9), (1, 0.84), (0.62, 0.84), (-0.06, -0.8)), -0.14),
    ),
    "heart": fitted(
        *_lit(_heart()), shade(curve((-0.7, -0.5), (-0.5, -0.72), (-0.3, -0.68), (-0.55, -0.45)), 0.4)
    ),
    "cross": fitted(
        body(_CROSS),
        shade(box(0.2, -1, 0.34, -0.34), -0.14),
        shade(points((1, 0.2), (1, 0.34), (0.34, 0.34), (0.34, 1), (0.2, 1), (0.2, 0.2)), -0.14),
        shade(box(-1, 0.2, -0.34, 0.34), -0.14),
        shade(box(-0.34, 0.86, 0.34, 1), -0.14),
    ),
    "ring": fitted(
        *_lit(disc(points=64)),
        shade(disc(radius=0.66), -0.16),
        shade(disc(radius=0.66) * 0.98 + (0.09, 0.09), 0.0),
        Layer("hole", disc(radius=0.54)),
    ),
    "sun": _sun(),
    "moon": _moon(),
    "star": _star(),
}
"""Shapes of the plain forms, the sun, the moon and the star."""
