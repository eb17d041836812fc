"""Geometry on the picture's plane: how much of each cell of a grid lies inside boxes, masks and polygons.

Coordinates are the picture's pixels, origin at the top left corner: pixel ``x, y`` is the square from ``(x, y)`` to
``(x + 1, y + 1)``. Points of a contour are corners in this plane, so a contour around pixel 0 runs from 0 to 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import RegionError
from diffuscope.maps.resize import Size

Plane = NDArray[np.float64]
Ring = NDArray[np.float64]
"""A closed line ``[point, (x, y)]``; the last point is joined to the first."""
Polygon = tuple[Ring, ...]
"""An outline, then its holes."""

GRAIN = 1000
"""Points are rounded to so many parts of a pixel: their text form is exact, and so is the test for crossings."""
MAX_POINTS = 5000
MAX_PIXELS = 2**15


def box_cover(x0: float, y0: float, x1: float, y1: float, image: Size, grid: Size) -> Plane:
    """Share of each cell of a grid that lies inside a box ``(x0, y0)`` to ``(x1, y1)`` (corners, not pixels)."""

    def along(low: float, high: float, pixels: int, cells: int) -> NDArray[np.float64]:
        edges = np.arange(cells + 1) * pixels / cells
        inside = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        return np.asarray(np.clip(inside, 0.0, None) * cells / pixels)

    return np.outer(along(y0, y1, image[0], grid[0]), along(x0, x1, image[1], grid[1]))


def polygon_cover(polygon: Polygon, image: Size, grid: Size) -> Plane:
    """Share of each cell of a grid that lies inside a polygon, exactly: its outline's share less its holes'."""
    outline, *holes = (_ring_cover(ring, image, grid) for ring in polygon)
    for hole in holes:
        outline = outline - hole
    return np.asarray(np.clip(outline, 0.0, 1.0))


def _ring_cover(ring: Ring, image: Size, grid: Size) -> Plane:
    """Share of each cell inside a simple ring.

    Signed areas, as glyphs are drawn: each edge, cut at every line of the grid, takes from its cell what lies to its
    right there and from all cells further right its height; summing along rows gives the share. (An edge and the one
    on the other side cancel beyond both.)
    """
    height, width = grid
    points = ring * (width / image[1], height / image[0])
    gains = np.zeros((height + 1, width + 2))
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if ay == by:
            continue
        cuts = [np.array([0.0, 1.0])]
        for a, b in ((ax, bx), (ay, by)):
            if a != b:
                lines = np.arange(np.ceil(min(a, b)), np.floor(max(a, b)) + 1)
                cuts.append((lines - a) / (b - a))
        at = np.unique(np.clip(np.concatenate(cuts), 0.0, 1.0))
        middle, rise = (at[1:] + at[:-1]) / 2, np.diff(at) * (by - ay)
        x, y = ax + middle * (bx - ax), ay + middle * (by - ay)
        row, column = np.floor(y).astype(int), np.clip(np.floor(x).astype(int), 0, width)
        np.add.at(gains, (row, column), rise * (column + 1 - x))
        np.add.at(gains, (row, column + 1), rise * (x - column))
    return np.clip(np.abs(np.cumsum(gains, axis=1)[:height, :width]), 0.0, 1.0)


def checked_polygon(rings: Sequence[Any], image: Size) -> Polygon:
    """A polygon from its outline and holes, each a list of points ``(x, y)``, rounded to 1/1000 pixel.

    Raises:
        RegionError: a ring has fewer than three different points, is no list of points, encloses nothing, crosses or
            touches itself or another ring, or leaves the picture.
    """
    polygon = tuple(_checked_ring(ring, image) for ring in rings)
    if not polygon:
        raise RegionError("the contour has no points; give at least three")
    edges = [np.rint(ring * GRAIN).astype(np.int64) for ring in polygon]
    for index, one in enumerate(edges):
        for other in edges[:index]:
            if _rings_meet(one, other):
                raise RegionError("a hole of the contour crosses or touches its outline or another hole")
    return polygon


def _checked_ring(given: Any, image: Size) -> Ring:
    try:
        ring = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        ring = np.zeros((0, 0))
    if ring.ndim != 2 or ring.shape[1] not in (2, 3) or not np.isfinite(ring).all():
        raise RegionError("a contour is a list of points (x, y), such as [[10, 10], [60, 10], [30, 50]]")
    ring = np.rint(ring[:, :2] * GRAIN) / GRAIN
    ring = ring[(ring != np.roll(ring, -1, axis=0)).any(axis=1)]
    if len(ring) < 3:
        raise RegionError(f"a contour needs at least three different points; {len(ring)} were given")
    if len(ring) > MAX_POINTS:
        raise RegionError(
            f"a contour of {len(ring)} points is more than {MAX_POINTS}; simplify it, or give a mask"
        )
    height, width = image
    if ring.min() < 0 or ring[:, 0].max() > width or ring[:, 1].max() > height:
        x, y = next(point for point in ring if min(point) < 0 or point[0] > width or point[1] > height)
        raise RegionError(
            f"the contour's point {x:g},{y:g} lies outside the picture, which reaches from 0,0 to {width},{height}"
        )
    crossing = _self_crossing(np.rint(ring * GRAIN).astype(np.int64))
    if crossing is not None:
        first, second = crossing
        raise RegionError(
            f"the contour crosses or touches itself: its side from point {first} meets the one from point {second} "
            "(counted from 0); give it as several contours, or a mask"
        )
    return np.asarray(ring)


def _orientation(a: Any, b: Any, c: Any) -> Any:
    """Sign of the turn a, b, c, in whole numbers, so exact."""
    return np.sign(
        (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
    )


def _meet(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Whether closed segments ``a b`` and ``c d`` have a point in common; arrays of points broadcast."""
    one, two = _orientation(a, b, c), _orientation(a, b, d)
    three, four = _orientation(c, d, a), _orientation(c, d, b)
    proper = (one * two < 0) & (three * four < 0)

    def between(p: Any, q: Any, r: Any, turn: Any) -> Any:
        inside = (np.minimum(p, q) <= r) & (r <= np.maximum(p, q))
        return (turn == 0) & inside.all(axis=-1)

    touch = between(a, b, c, one) | between(a, b, d, two) | between(c, d, a, three) | between(c, d, b, four)
    return proper | touch


def _self_crossing(ring: NDArray[np.int64]) -> tuple[int, int] | None:
    """Two sides of a ring that meet where they should not, or None. Neighbours may share their one corner."""
    after = np.roll(ring, -1, axis=0)
    count = len(ring)
    for index in range(count):
        # A side that runs back over the one before it.
        nearest, next_after = after[index], after[(index + 1) % count]
        if _orientation(ring[index], nearest, next_after) == 0:
            back = (nearest - ring[index]) @ (next_after - nearest)
            if back < 0:
                return index, (index + 1) % count
        others = np.arange(index + 2, count - (index == 0))
        if len(others):
            met = _meet(ring[index], nearest, ring[others], after[others])
            if met.any():
                return index, int(others[met.argmax()])
    return None


def _rings_meet(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    after = np.roll(other, -1, axis=0)
    return any(
        bool(_meet(a, b, other, after).any()) for a, b in zip(one, np.roll(one, -1, axis=0), strict=True)
    )


def read_contours(given: Any) -> list[list[Any]]:
    """Polygons, each a list of rings of points, from what people have.

    A list of points is one contour; a list of such lists several contours; GeoJSON (RFC 7946) as a dictionary: Polygon
    and MultiPolygon with their holes, Feature, FeatureCollection, GeometryCollection. A path is a JSON file of these.

    Raises:
        RegionError: it is none of them, or the file cannot be read.
    """
    if isinstance(given, str | Path):
        try:
            given = json.loads(Path(given).read_text(encoding="utf-8"))
        except OSError as error:
            raise RegionError(
                f"the contour file {given} cannot be read: {error.strerror or error}"
            ) from error
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise RegionError(f"the contour file {given} is no JSON: {error}") from error
    polygons = _geojson(given) if isinstance(given, dict) else _listed(given)
    if not polygons:
        raise RegionError("there is no contour in it; a contour is a list of points, or a GeoJSON polygon")
    return polygons


def _geojson(given: dict[str, Any], depth: int = 0) -> list[list[Any]]:
    kind, coordinates = given.get("type"), given.get("coordinates")
    if depth > 8:
        raise RegionError("the GeoJSON is nested too deeply")
    if kind == "Polygon" and isinstance(coordinates, list) and coordinates:
        return [coordinates]
    if kind == "MultiPolygon" and isinstance(coordinates, list) and all(coordinates):
        return list(coordinates)
    if kind == "Feature" and isinstance(given.get("geometry"), dict):
        return _geojson(given["geometry"], depth + 1)
    members = given.get(
        {"FeatureCollection": "features", "GeometryCollection": "geometries"}.get(str(kind), "")
    )
    if isinstance(members, list) and all(isinstance(each, dict) for each in members):
        return [polygon for each in members for polygon in _geojson(each, depth + 1)]
    raise RegionError(
        f"GeoJSON of type {kind!r} is no area; give a Polygon or MultiPolygon, or a Feature of one"
    )


def _listed(given: Any) -> list[list[Any]]:
    try:
        depth = np.ndim(given[0]) + 1 if len(given) else 0
    except (TypeError, KeyError, ValueError, IndexError):
        depth = 0
    if depth == 2:
        return [[given]]
    if depth == 3:
        return [[ring] for ring in given]
    raise RegionError("a contour is a list of points (x, y), a list of such lists, or GeoJSON")
