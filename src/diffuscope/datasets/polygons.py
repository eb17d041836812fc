"""A mask's outline as polygons on the corners of its pixels.

COCO's polygons know no holes, so these are the outer outlines; the run-length code beside them is exact.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]


def outlines(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Outer outlines of a mask ``[y, x]``, each flat ``[x0, y0, x1, y1, ...]`` in pixel corners, largest first.

    Pixels that touch at a corner only have an outline each. Filled again, an outline gives its pixels and those of
    its holes.
    """
    loops = [loop for loop in rings(mask) if _area(loop) > 0]
    loops.sort(key=lambda loop: (-_area(loop), loop))
    return [[coordinate for point in loop for coordinate in point] for loop in loops]


def rings(mask: NDArray[np.bool_]) -> list[list[Point]]:
    """Closed paths along the pixels' edges with the mask on the right hand: outer ones clockwise on the screen."""
    padded = np.pad(mask, 1)
    leaving: dict[Point, list[Point]] = defaultdict(list)
    inside = padded[1:-1, 1:-1]
    for edge, (dx0, dy0, dx1, dy1) in (
        (inside & ~padded[:-2, 1:-1], (0, 0, 1, 0)),  # top edges run to the right
        (inside & ~padded[1:-1, 2:], (1, 0, 1, 1)),  # right edges down
        (inside & ~padded[2:, 1:-1], (1, 1, 0, 1)),  # bottom edges to the left
        (inside & ~padded[1:-1, :-2], (0, 1, 0, 0)),  # left edges up
    ):
        for y, x in zip(*map(np.ndarray.tolist, np.nonzero(edge)), strict=True):
            leaving[(x + dx0, y + dy0)].append((x + dx1, y + dy1))
    found = []
    while leaving:
        start = min(leaving)
        path, here, came = [start], _take(leaving, start, None), start
        while here != start:
            path.append(here)
            here, came = _take(leaving, here, came), here
        found.append(_straight(path))
    return found


def _take(leaving: dict[Point, list[Point]], at: Point, came: Point | None) -> Point:
    """The next corner. Where two paths cross at a corner, the one that turns right: pixels that touch at a corner
    only are kept apart."""
    ways = leaving[at]
    if came is not None and len(ways) > 1:
        dx, dy = at[0] - came[0], at[1] - came[1]
        ways.sort(key=lambda to: dx * (to[1] - at[1]) - dy * (to[0] - at[0]))
    taken = ways.pop()
    if not ways:
        del leaving[at]
    return taken


def _straight(path: list[Point]) -> list[Point]:
    """Without the corners that lie on a straight line."""
    return [
        here
        for before, here, after in zip([path[-1], *path[:-1]], path, [*path[1:], path[0]], strict=True)
        if (here[0] - before[0]) * (after[1] - here[1]) != (here[1] - before[1]) * (after[0] - here[0])
    ]


def _area(loop: list[Point]) -> int:
    """Twice the signed area; positive where the mask is inside."""
    following = [*loop[1:], loop[0]]
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(loop, following, strict=True))
