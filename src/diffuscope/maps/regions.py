"""A region: a part of the picture, and how much of each cell of any grid belongs to it.

    pixel:40,52                       one pixel
    pixels:40,52;41,52                several
    range:40,52;7,53                  from the first to the last in reading order
    box:10,20,60,90                   both corners included
    contour:10,10;60,10;30.5,50       corners of a polygon; holes after a /, further contours after a |
    mask:<sha256>                     a mask, kept once in the run's folder `regions` under the hash of its content

All are in pixels of the picture, origin top left. A region's cells on a grid are found by area: a cell that lies half
inside counts half. A region that is empty or reaches outside the picture is an error.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import CorruptRecordingError, RegionError, SizeError
from diffuscope.maps.geometry import Plane, Polygon, box_cover, checked_polygon, polygon_cover, read_contours
from diffuscope.maps.resize import Size, resize
from diffuscope.recording.files import write_atomic
from diffuscope.selection import Selection

if TYPE_CHECKING:
    from diffuscope.maps.heatmap import Heatmap
    from diffuscope.recording import Recording

FULL = 65535
"""A mask's level of a pixel that is wholly inside: masks are kept as 16-bit grey PNG files."""
LONGEST = 64
"""Pixels of a list, or points of contours, that a text form names one by one; more are kept as a mask."""

Levels = NDArray[np.uint16]


@dataclass(frozen=True)
class Region:
    """A part of a picture. Made by the functions below; equal when text and picture size are.

    Attributes:
        text: its text form, as `Selection.region` holds it.
        image: ``(height, width)`` of the picture in pixels.
        label: what figures call it.
    """

    text: str
    image: Size
    label: str
    _boxes: tuple[tuple[int, int, int, int], ...] = field(default=(), repr=False, compare=False)
    _polygons: tuple[Polygon, ...] = field(default=(), repr=False, compare=False)
    _levels: Levels | None = field(default=None, repr=False, compare=False)

    def cover(self, grid: Size) -> Plane:
        """How much of each cell of a grid belongs to the region: float64 ``[y, x]``, 0 to 1, by area.

        In a mask with levels between (guide weights), the mean level over the cell.
        """
        if self._levels is not None:
            return resize(self._levels / FULL, grid, "area")
        if len(self._polygons) == 1:
            return polygon_cover(self._polygons[0], self.image, grid)
        if self._polygons:
            # What two contours share counts once. Told pixel by pixel.
            each = [polygon_cover(polygon, self.image, self.image) for polygon in self._polygons]
            return resize(np.max(each, axis=0), grid, "area")
        parts = [box_cover(x0, y0, x1 + 1, y1 + 1, self.image, grid) for x0, y0, x1, y1 in self._boxes]
        return np.asarray(np.sum(parts, axis=0))

    @cached_property
    def area(self) -> float:
        """Its share of the picture, 0 to 1."""
        return float(self.cover(self.image).mean())

    @property
    def levels(self) -> Levels | None:
        """A mask's pixels, 0 to 65535; None of other regions."""
        return self._levels

    def __str__(self) -> str:
        return self.text


def pixel(x: int, y: int, image: Size) -> Region:
    """One pixel. Raises RegionError outside the picture."""
    x, y = _inside(x, y, image)
    return Region(f"pixel:{x},{y}", image, f"pixel {x}, {y}", ((x, y, x, y),))


def pixels(points: Sequence[Sequence[int]], image: Size) -> Region:
    """Several pixels ``(x, y)``; one that stands twice counts once. Raises RegionError."""
    try:
        chosen = sorted({_inside(x, y, image) for x, y in points}, key=lambda at: (at[1], at[0]))
    except (TypeError, ValueError) as error:
        if isinstance(error, RegionError):
            raise
        raise RegionError("pixels are given as a list of (x, y), such as [(40, 52), (41, 52)]") from None
    if not chosen:
        raise RegionError("no pixel was named, so the region is empty; name at least one")
    if len(chosen) > LONGEST:
        levels = np.zeros(image, np.uint16)
        levels[[y for _, y in chosen], [x for x, _ in chosen]] = FULL
        return _of_levels(levels, f"{len(chosen)} pixels")
    text = ";".join(f"{x},{y}" for x, y in chosen)
    label = f"{len(chosen)} pixels" if len(chosen) > 1 else f"pixel {text.replace(',', ', ')}"
    return Region(f"pixels:{text}", image, label, tuple((x, y, x, y) for x, y in chosen))


def span(first: Sequence[int], last: Sequence[int], image: Size) -> Region:
    """All pixels from a first to a last one in reading order, both included. Raises RegionError."""
    (x0, y0), (x1, y1) = _pair(first, image), _pair(last, image)
    if (y0, x0) > (y1, x1):
        raise RegionError(
            f"the range from {x0},{y0} to {x1},{y1} is empty: its last pixel comes before its first"
        )
    right = image[1] - 1
    boxes = [(x0, y0, x1, y1)] if y0 == y1 else [(x0, y0, right, y0), (0, y1, x1, y1)]
    if y1 - y0 > 1:
        boxes.append((0, y0 + 1, right, y1 - 1))
    return Region(f"range:{x0},{y0};{x1},{y1}", image, f"pixels {x0}, {y0} to {x1}, {y1}", tuple(boxes))


def box(x0: int, y0: int, x1: int, y1: int, image: Size) -> Region:
    """A box, both corners included. Raises RegionError where it is empty or reaches outside."""
    (x0, y0), (x1, y1) = (
        _inside(x0, y0, image, "the box's corner"),
        _inside(x1, y1, image, "the box's corner"),
    )
    if x0 > x1 or y0 > y1:
        raise RegionError(
            f"the box {x0},{y0},{x1},{y1} is empty; it reads x0,y0,x1,y1 with x0 <= x1 and y0 <= y1"
        )
    return Region(f"box:{x0},{y0},{x1},{y1}", image, f"box {x0}, {y0} to {x1}, {y1}", ((x0, y0, x1, y1),))


def contour(given: Any, image: Size) -> Region:
    """One or several contours, as `geometry.read_contours` takes them: the inside of polygons, by area.

    Raises:
        RegionError: a contour crosses itself, leaves the picture or encloses nothing; see `geometry`.
    """
    return _short(_contour(given, image))


def _contour(given: Any, image: Size) -> Region:
    polygons = tuple(checked_polygon(rings, image) for rings in read_contours(given))
    count = sum(len(ring) for polygon in polygons for ring in polygon)
    label = "contour" if len(polygons) == 1 else f"{len(polygons)} contours"
    label += f" of {count} points"
    text = "|".join(
        "/".join(";".join(f"{_plain(x)},{_plain(y)}" for x, y in ring) for ring in polygon)
        for polygon in polygons
    )
    region = Region(f"contour:{text}", image, label, _polygons=polygons)
    if not region.cover(image).max() > 0:
        raise RegionError("the contour encloses nothing: its area is 0")
    return region


def _short(region: Region) -> Region:
    """The region, as a mask where its text form would be long."""
    points = sum(len(ring) for polygon in region._polygons for ring in polygon)
    return region if points <= LONGEST else mask(region.cover(region.image), region.image, label=region.label)


def mask(given: Any, image: Size, *, label: str = "mask") -> Region:
    """A mask: an image file, an image, or an array ``[y, x]`` of the picture's size. What is not 0 is inside; values
    between are weights, relative to the largest.

    Raises:
        RegionError: it is empty, of another size, holds NaN or negative values, or cannot be read.
    """
    values = _mask_values(given)
    if values.ndim != 2 or values.shape != image:
        shape = "x".join(str(side) for side in values.shape)
        raise RegionError(
            f"the mask has {shape} pixels (height first) and the picture {image[0]}x{image[1]}; bring it to that size"
        )
    if not np.isfinite(values).all() or values.min() < 0:
        raise RegionError("the mask holds NaN, infinity or negative numbers; it is 0 outside and more inside")
    if not values.max() > 0:
        raise RegionError("the mask is empty: all of it is 0; mark at least one pixel")
    return _of_levels(np.rint(values / values.max() * FULL).astype(np.uint16), label)


def guided(region: Region, guide: Heatmap | NDArray[np.floating]) -> Region:
    """A region whose pixels count in proportion to a guide (DAAM-I2I's guide weights): a map or an array ``[y, x]``,
    brought to the picture's size. The result is a mask.

    Raises:
        RegionError: the guide is 0 all over the region, negative, or no plane of numbers.
    """
    values = np.asarray(guide, dtype=np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all() or values.min() < 0:
        raise RegionError("guide weights are a map or an array [y, x] of numbers of 0 or more")
    weighed = region.cover(region.image) * resize(values, region.image)
    if not weighed.max() > 0:
        raise RegionError("the guide weights are 0 all over the region, so nothing of it is left")
    return mask(weighed, region.image, label=f"{region.label}, guided")


def parse(text: str, image: Size, folder: Path | None = None) -> Region:
    """A region from its text form.

    Args:
        text: as in `Selection.region`.
        image: ``(height, width)`` of the picture.
        folder: of the run, where masks are kept.

    Raises:
        SelectionError: the text is no region. RegionError: it does not fit the picture, or its mask is not there.
    """
    plain = Selection(region=text).region or ""
    kind, _, rest = plain.partition(":")
    if kind == "mask":
        return _stored(rest, image, folder)
    if kind == "contour":
        polygons = [
            [
                [[float(number) for number in point.split(",")] for point in ring.split(";")]
                for ring in polygon.split("/")
            ]
            for polygon in rest.split("|")
        ]
        joined = {"type": "MultiPolygon", "coordinates": polygons}
        return contour(joined, image)
    points = [[int(number) for number in point.split(",")] for point in rest.split(";")]
    if kind == "pixel":
        return pixel(points[0][0], points[0][1], image)
    if kind == "pixels":
        return pixels(points, image)
    if kind == "range":
        return span(points[0], points[1], image)
    return box(*points[0], image)  # type: ignore[call-arg,arg-type]


def keep(region: Region, recording: Recording) -> None:
    """Keep a mask in the run's folder, so that its text form finds it again. A folder that cannot be written is no
    error: the region works, and its text form says what is missing when it is asked for later."""
    if region.levels is None:
        return
    path = _path(region.text.removeprefix("mask:"), recording.path)
    if not path.exists():
        file = io.BytesIO()
        Image.fromarray(region.levels).save(file, "PNG")
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, [file.getvalue()])
        except OSError:
            return


def _of_levels(levels: Levels, label: str) -> Region:
    height, width = levels.shape
    return Region(f"mask:{_hash(levels)}", (height, width), label, _levels=levels)


def _hash(levels: Levels) -> str:
    return hashlib.sha256(
        f"{levels.shape[0]} {levels.shape[1]}\n".encode() + levels.astype("<u2").tobytes()
    ).hexdigest()


def _path(digest: str, folder: Path) -> Path:
    from diffuscope.recording.layout import REGIONS

    return folder / REGIONS / f"{digest}.png"


def _stored(digest: str, image: Size, folder: Path | None) -> Region:
    path = None if folder is None else _path(digest, folder)
    if path is None or not path.is_file():
        raise RegionError(
            f"the mask {digest[:12]}… is not in this run's folder; give the mask itself once more"
        )
    try:
        with Image.open(path) as opened:
            levels = np.asarray(opened).astype(np.uint16)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CorruptRecordingError(f"{path} cannot be read: {error}") from error
    if levels.ndim != 2 or _hash(levels) != digest:
        raise CorruptRecordingError(f"{path} was damaged or changed after it was written")
    if levels.shape != image:
        raise RegionError(
            f"the mask {digest[:12]}… has {levels.shape[0]}x{levels.shape[1]} pixels and the picture "
            f"{image[0]}x{image[1]}"
        )
    return _of_levels(levels, "mask")


def _mask_values(given: Any) -> NDArray[np.float64]:
    try:
        if isinstance(given, str | Path):
            if Path(given).suffix.lower() == ".npy":
                given = np.load(given, allow_pickle=False)
            else:
                with Image.open(given) as opened:
                    given = opened.copy()
        if isinstance(given, Image.Image):
            given = given if given.mode in ("1", "L", "I", "I;16", "F") else given.convert("L")
        return np.asarray(given).astype(np.float64)
    except (OSError, ValueError, TypeError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        what = f" {given}" if isinstance(given, str | Path) else ""
        raise RegionError(f"the mask{what} cannot be read: {error}") from error


def _pair(point: Any, image: Size) -> tuple[int, int]:
    try:
        x, y = point
    except (TypeError, ValueError):
        raise RegionError(f"{point!r} is no pixel; give (x, y)") from None
    return _inside(x, y, image)


def _inside(x: Any, y: Any, image: Size, what: str = "the pixel") -> tuple[int, int]:
    if not all(isinstance(at, int | np.integer) and not isinstance(at, bool) for at in (x, y)):
        raise RegionError(f"{what} {x!r},{y!r} is not given in whole numbers; give x and y")
    height, width = image
    if not (0 <= x < width and 0 <= y < height):
        raise RegionError(
            f"{what} {x},{y} lies outside the picture, whose pixels are x 0 to {width - 1}, y 0 to {height - 1}"
        )
    return int(x), int(y)


def _plain(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def from_latent(latent: Size, image: Size) -> tuple[int, int]:
    """Pixels of the picture that a cell of the latent covers, ``(down, across)``.

    Raises:
        SizeError: the picture is no whole number of times larger.
    """
    if image[0] % latent[0] or image[1] % latent[1]:
        raise SizeError(
            f"a picture of {image[0]}x{image[1]} has no whole number of pixels for each cell of a latent of "
            f"{latent[0]}x{latent[1]}; give the region in pixels of the picture"
        )
    return image[0] // latent[0], image[1] // latent[1]


def asked_for(
    image: Size,
    latent: Size | None,
    *,
    pixel: Sequence[int] | None = None,
    pixels: Sequence[Sequence[int]] | None = None,
    range: Sequence[Sequence[int]] | None = None,
    box: Sequence[int] | None = None,
    contour: Any = None,
    mask: Any = None,
    guide: Heatmap | NDArray[np.floating] | None = None,
) -> Region:
    """The region that a caller names in exactly one way. With `latent`, ``(height, width)``, coordinates are its cells.

    Raises:
        RegionError: none or several ways were used, or what the region's own function raises.
    """
    ways = {"pixel": pixel, "pixels": pixels, "range": range, "box": box, "contour": contour, "mask": mask}
    given = {name: value for name, value in ways.items() if value is not None}
    if len(given) != 1:
        have = f"{' and '.join(given)} were given" if given else "none was given"
        raise RegionError(f"name one region, by pixel, pixels, range, box, contour or mask; {have}")
    ((name, value),) = given.items()
    plane = latent or image
    region = _make(name, value, plane)
    if latent is not None:
        down, across = from_latent(latent, image)
        region = _enlarged(region, image, down, across)
    return _short(region) if guide is None else guided(region, guide)


def _make(name: str, value: Any, plane: Size) -> Region:
    if name == "pixel":
        x, y = _pair(value, plane)
        return pixel(x, y, plane)
    if name == "pixels":
        return pixels(value, plane)
    if name == "contour":
        return _contour(value, plane)
    if name == "mask":
        return mask(value, plane)
    try:
        numbers = list(value)
    except TypeError:
        numbers = []
    if name == "range":
        if len(numbers) != 2:
            raise RegionError("a range is given as its first and last pixel: ((x, y), (x, y))")
        return span(numbers[0], numbers[1], plane)
    if len(numbers) != 4:
        raise RegionError(f"a box is given as x0, y0, x1, y1, both corners included; got {value!r}")
    return box(numbers[0], numbers[1], numbers[2], numbers[3], plane)


def _enlarged(region: Region, image: Size, down: int, across: int) -> Region:
    """A region of the latent as the same part of the picture."""
    if len(region._boxes) == 1:
        x0, y0, x1, y1 = region._boxes[0]
        return box(x0 * across, y0 * down, (x1 + 1) * across - 1, (y1 + 1) * down - 1, image)
    if region._polygons:
        scaled = [[(ring * (across, down)).tolist() for ring in polygon] for polygon in region._polygons]
        return _contour({"type": "MultiPolygon", "coordinates": scaled}, image)
    plane = region.cover(region.image)
    return mask(
        np.repeat(np.repeat(plane, down, axis=0), across, axis=1),
        image,
        label=f"{region.label} of the latent",
    )
