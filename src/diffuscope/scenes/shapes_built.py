"""What stands in a landscape: house, building, tree, flower, car and boat."""

from __future__ import annotations

import numpy as np

from diffuscope.scenes.shapes_outline import (
    DARK,
    GLASS,
    GOLD,
    LEAF,
    WOOD,
    Layer,
    Shape,
    arch,
    body,
    box,
    curve,
    detail,
    disc,
    fitted,
    oval,
    points,
    rounded,
    shade,
)

FRAME = (250, 246, 236)
"""Window frames and the sail."""


def _window(left: float, top: float, right: float, bottom: float) -> list[Layer]:
    """A framed window with a cross bar; frame and panes together are the detail."""
    edge, bar = 0.06, 0.03
    x, y = (left + right) / 2, (top + bottom) / 2
    panes = [
        detail(box(*corners), "window", GLASS)
        for corners in (
            (left + edge, top + edge, x - bar, y - bar),
            (x + bar, top + edge, right - edge, y - bar),
            (left + edge, y + bar, x - bar, bottom - edge),
            (x + bar, y + bar, right - edge, bottom - edge),
        )
    ]
    return [detail(box(left, top, right, bottom), "window", FRAME), *panes]


# Outlines are kept as rows of points; the formatter would write one point a line.
# fmt: off
def _house() -> Shape:
    wall = box(-0.84, -0.1, 0.84, 1.0)
    return fitted(
        body(box(0.36, -0.86, 0.62, -0.3), tone=-0.3),
        body(wall),
        shade(box(-0.84, -0.1, 0.84, 0.08), -0.2),
        shade(box(0.66, 0.08, 0.84, 1.0), -0.1),
        body(points((0, -0.98), (1.02, -0.02), (-1.02, -0.02)), tone=-0.3),
        shade(points((0, -0.98), (0, -0.8), (-0.82, -0.02), (-1.02, -0.02)), 0.16),
        detail(arch(-0.66, 0.16, -0.04, 1.0), "door", WOOD),
        shade(arch(-0.58, 0.26, -0.12, 1.0), 0.14),
        detail(disc(-0.17, 0.64, 0.06, 16), "knob", GOLD),
        *_window(0.1, 0.2, 0.7, 0.78),
    )


def _building() -> Shape:
    windows = [
        layer
        for x in (-0.56, 0.08)
        for y in (-0.73, -0.2)
        for layer in _window(x, y, x + 0.48, y + 0.44)
    ]
    return fitted(
        body(box(-0.22, -1.18, 0.34, -0.9), tone=-0.3),
        body(box(-0.7, -0.92, 0.7, 1.0)),
        shade(box(0.5, -0.92, 0.7, 1.0), -0.13),
        body(box(-0.8, -1.0, 0.8, -0.82), tone=-0.3),
        *windows,
        detail(box(-0.34, 0.33, 0.34, 1.0), "door", WOOD),
        shade(box(-0.27, 0.4, -0.03, 1.0), 0.16),
        shade(box(0.03, 0.4, 0.27, 1.0), 0.16),
    )


def _tree() -> Shape:
    puffs = (
        (-0.4, -0.02, 0.44), (0.42, -0.04, 0.44), (-0.27, -0.5, 0.42), (0.3, -0.5, 0.4), (0.02, -0.2, 0.5),
    )
    return fitted(
        detail(
            points((-0.13, 0.2), (0.13, 0.2), (0.15, 0.8), (0.26, 1.0), (-0.26, 1.0), (-0.15, 0.8)),
            "trunk", WOOD,
        ),
        shade(points((0.03, 0.2), (0.13, 0.2), (0.15, 0.8), (0.26, 1.0), (0.06, 1.0)), -0.2),
        *(body(disc(x, y, r, 32)) for x, y, r in puffs),
        body(disc(0.02, -0.62, 0.36, 32)),
        *(shade(disc(x, y, r, 32), -0.2) for x, y, r in puffs[:2]),
        *(shade(disc(x - 0.06, y - 0.1, r, 32), 0.0) for x, y, r in puffs),
        shade(oval(-0.26, -0.6, 0.2, 0.13, -28), 0.2),
        shade(oval(0.2, -0.22, 0.13, 0.08, -28), 0.2),
        shade(oval(-0.42, -0.12, 0.13, 0.08, -28), 0.2),
    )


def _flower() -> Shape:
    middle = (0.0, -0.44)
    petals = []
    for angle in np.arange(6) * 60.0 + 30.0:
        a = np.deg2rad(angle)
        x, y = middle[0] + 0.36 * np.cos(a), middle[1] + 0.36 * np.sin(a)
        petals.append(body(oval(x, y, 0.27, 0.205, angle)))
        petals.append(shade(oval(x - 0.12 * np.cos(a), y - 0.12 * np.sin(a), 0.14, 0.07, angle), -0.2))
    return fitted(
        detail(curve((-0.05, 0), (0.05, 0), (0.07, 0.5), (0.05, 1.0), (-0.05, 1.0), (-0.03, 0.5)),
            "stem", (70, 140, 60)),
        detail(curve((0.03, 0.84), (0.14, 0.46), (0.42, 0.26), (0.68, 0.24), (0.6, 0.52), (0.36, 0.78)),
            "leaf", LEAF),
        detail(curve((-0.01, 0.9), (-0.12, 0.58), (-0.38, 0.4), (-0.66, 0.4), (-0.56, 0.66), (-0.3, 0.86)),
            "leaf", LEAF),
        shade(points((0.03, 0.84), (0.66, 0.25), (0.58, 0.56), (0.36, 0.78)), -0.14),
        shade(points((-0.01, 0.9), (-0.64, 0.41), (-0.54, 0.68), (-0.3, 0.86)), -0.14),
        *petals,
        detail(disc(*middle, 0.2, 32), "centre", GOLD),
        shade(disc(middle[0] + 0.03, middle[1] + 0.03, 0.12, 24), -0.2),
    )


def _car() -> Shape:
    hull = curve(
        (-0.98, 0.26), (-1.0, 0.0), (-0.93, -0.26), (-0.86, -0.5), (-0.74, -0.66), (-0.4, -0.7), (0.1, -0.7),
        (0.34, -0.64), (0.52, -0.4), (0.64, -0.16), (0.86, -0.08), (0.98, 0.06), (1.0, 0.26), (0.94, 0.38),
        (-0.92, 0.38),
    )
    wheels = []
    for x in (-0.54, 0.56):
        wheels += [
            detail(disc(x, 0.36, 0.27, 32), "wheel", DARK),
            detail(disc(x, 0.36, 0.13, 24), "hub", (206, 208, 214)),
        ]
    return fitted(
        body(hull),
        shade(points((-1.1, 0.1), (1.1, 0.1), (1.1, 0.5), (-1.1, 0.5)), -0.18),
        detail(
            curve(
                (-0.78, -0.12), (-0.76, -0.38), (-0.66, -0.54), (-0.4, -0.57), (-0.16, -0.575),
                (-0.15, -0.34), (-0.155, -0.12), (-0.45, -0.1),
            ), "window", GLASS,
        ),
        detail(
            curve(
                (-0.06, -0.12), (-0.065, -0.34), (-0.06, -0.575), (0.1, -0.575), (0.26, -0.52), (0.4, -0.32),
                (0.47, -0.14), (0.2, -0.1),
            ), "window", GLASS,
        ),
        shade(points((-0.58, -0.1), (-0.36, -0.58), (-0.24, -0.58), (-0.46, -0.1)), 0.5),
        shade(points((0.06, -0.1), (0.2, -0.58), (0.27, -0.56), (0.14, -0.1)), 0.5),
        detail(rounded(0.02, 0.0, 0.16, 0.05, 0.02), "handle", None, -0.4),
        detail(oval(0.92, 0.1, 0.07, 0.09), "lamp", (255, 236, 170)),
        *wheels,
        top=-0.66,
    )


def _boat() -> Shape:
    hull = curve(
        (-1.0, 0.3), (-0.98, 0.28), (-0.5, 0.36), (0.0, 0.38), (0.5, 0.34), (0.97, 0.22), (1.0, 0.24),
        (0.9, 0.5), (0.7, 0.8), (0.5, 0.92), (-0.5, 0.92), (-0.78, 0.8), (-0.93, 0.52),
    )
    inside = curve((-0.97, 0.29), (-0.5, 0.24), (0.0, 0.23), (0.5, 0.22), (0.96, 0.22), (0.5, 0.36),
        (0.0, 0.4), (-0.5, 0.38))
    return fitted(
        detail(box(-0.12, -0.82, -0.04, 0.36), "mast", WOOD, behind=True),
        detail(curve((0.0, -0.8), (0.34, -0.4), (0.56, 0.12), (0.3, 0.12), (0.0, 0.1), (0.04, -0.4)),
            "sail", FRAME, behind=True),
        shade(points((0.1, -0.66), (0.34, -0.4), (0.6, 0.14), (0.36, 0.14)), -0.1, behind=True),
        detail(curve((-0.18, -0.56), (-0.34, -0.2), (-0.66, 0.1), (-0.4, 0.12), (-0.18, 0.1),
            (-0.18, -0.2)), "sail", FRAME, behind=True),
        body(inside, tone=-0.42, behind=True),
        body(hull),
        shade(curve((-0.95, 0.5), (-0.5, 0.62), (0.0, 0.66), (0.5, 0.62), (0.95, 0.44), (1.1, 1.0),
            (0.0, 1.1), (-1.1, 1.0)), -0.2),
        shade(curve((-1.0, 0.27), (-0.5, 0.34), (0.0, 0.36), (0.5, 0.33), (1.0, 0.2), (0.97, 0.3),
            (0.5, 0.42), (0.0, 0.45), (-0.5, 0.43), (-0.98, 0.36)), 0.35),
        top=0.34,
        rim=0.36,
    )
# fmt: on

SHAPES: dict[str, Shape] = {
    "house": _house(),
    "building": _building(),
    "tree": _tree(),
    "flower": _flower(),
    "car": _car(),
    "boat": _boat(),
}
"""Shapes of what is built or grows."""
