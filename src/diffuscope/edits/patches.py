"""Where on the picture an edit acts: a box, a contour, a mask or a list of patches.

Given on the picture, in its pixels, or on one grid, in cells of it (``grid=(16, 16)``: what a heatmap of such sites
shows). Either way it is carried to the grid of every site by area: a cell that lies half inside is edited half, that
is, its output goes half of the way from what it was to what the edit makes of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import RegionError
from diffuscope.selection import Selection

FULL = 65535
"""A mask's level of a pixel that is wholly inside."""
LARGEST = 2**15
MOST_CELLS = 2**24
"""Of a mask that is given by its run lengths, a few bytes that could name any size."""


@dataclass(frozen=True)
class PatchChoice:
    """A part of the picture.

    Attributes:
        region: its text form, as `Selection.region`: ``box:x0,y0,x1,y1`` (inclusive), ``pixels:x,y;x,y``,
            ``contour:x,y;x,y;x,y``, ``mask:<sha256>``, …
        grid: ``(height, width)`` of the grid whose cells the region counts; None where it counts the picture's pixels.
        png: a mask's content, a 16-bit grey PNG file, so that an edit needs nothing beside it.

    Raises:
        SelectionError, RegionError: the region is ill-formed or empty, or is a mask without its content.
    """

    region: str
    grid: tuple[int, int] | None = None
    png: bytes | None = None

    def __post_init__(self) -> None:
        region = Selection(region=self.region).region
        assert region is not None
        object.__setattr__(self, "region", region)
        if self.grid is not None:
            object.__setattr__(self, "grid", _grid(self.grid))
        if region.startswith("mask:") != (self.png is not None):
            raise RegionError(
                "a mask goes with its content: make it by PatchChoice.mask(array or file)"
                if self.png is None
                else f"{region} is no mask, and has the content of one"
            )
        if self.png is not None and digest(self.levels()) != region.removeprefix("mask:"):
            raise RegionError(f"the mask's content is not that of {region[:17]}…")

    @classmethod
    def of(cls, given: Any) -> PatchChoice | None:
        """From whatever is natural to write: a choice, a region's text form, its JSON form, or None."""
        if given is None or isinstance(given, cls):
            return given
        if isinstance(given, str):
            return cls(given)
        if isinstance(given, Mapping):
            return cls.of_json(given)
        raise RegionError(
            f"patches={given!r} is no part of a picture; give a PatchChoice, or a text like 'box:0,0,31,31'"
        )

    @classmethod
    def box(
        cls, x0: int, y0: int, x1: int, y1: int, *, grid: Sequence[int] | str | None = None
    ) -> PatchChoice:
        """A box, both corners included."""
        return cls(f"box:{x0},{y0},{x1},{y1}", _grid(grid))

    @classmethod
    def cells(
        cls, points: Sequence[Sequence[int]], *, grid: Sequence[int] | str | None = None
    ) -> PatchChoice:
        """Patches ``(x, y)``, one by one."""
        try:
            text = ";".join(f"{x},{y}" for x, y in points)
        except (TypeError, ValueError):
            raise RegionError("patches are a list of (x, y), such as [(3, 4), (4, 4)]") from None
        if not text:
            raise RegionError("no patch was named; name at least one, or leave patches out for all")
        return cls(f"pixels:{text}", _grid(grid))

    @classmethod
    def contour(
        cls, points: Sequence[Sequence[float]], *, grid: Sequence[int] | str | None = None
    ) -> PatchChoice:
        """The inside of a line through points ``(x, y)``."""
        try:
            text = ";".join(f"{float(x):.3f},{float(y):.3f}" for x, y in points)
        except (TypeError, ValueError):
            raise RegionError("a contour is a list of points (x, y)") from None
        return cls(f"contour:{text}", _grid(grid))

    @classmethod
    def mask(cls, given: Any, *, grid: Sequence[int] | str | None = None) -> PatchChoice:
        """A mask: an array ``[y, x]`` or an image file. What is not 0 is inside; values between are weights, relative
        to the largest. With `grid`, of the grid's own size.

        Raises:
            RegionError: it is empty, no plane of numbers of 0 or more, or cannot be read.
        """
        values = _values(given)
        if values.ndim != 2 or not values.size or not np.isfinite(values).all() or values.min() < 0:
            raise RegionError("a mask is an array [y, x] of numbers of 0 or more")
        if not values.max() > 0:
            raise RegionError("the mask is empty: all of it is 0; mark at least one pixel")
        levels = np.rint(values / values.max() * FULL).astype(np.uint16)
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "PNG")
        return cls(f"mask:{digest(levels)}", _grid(grid), file.getvalue())

    def levels(self) -> NDArray[np.uint16]:
        """A mask's content `[y, x]`, 0 to 65535.

        Raises:
            RegionError: this is no mask, or its content cannot be read.
        """
        if self.png is None:
            raise RegionError(f"{self.region} is no mask")
        try:
            with Image.open(io.BytesIO(self.png), formats=["PNG"]) as opened:
                levels = np.asarray(opened).astype(np.uint16)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise RegionError(f"the mask's content cannot be read: {error}") from error
        if levels.ndim != 2 or max(levels.shape) > LARGEST:
            raise RegionError("the mask's content is no grey picture")
        return levels

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a mask's content as base64."""
        found: dict[str, Any] = {"region": self.region}
        if self.grid is not None:
            found["grid"] = list(self.grid)
        if self.png is not None:
            found["png"] = base64.b64encode(self.png).decode("ascii")
        return found

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> PatchChoice:
        """What `to_json` made these values of. A mask may be given by its run lengths as well, which are those of COCO:
        ``{"rle": {"size": [16, 16], "counts": [outside, inside, …]}, "grid": [16, 16]}``.

        Raises:
            RegionError: they are of another form.
        """
        if set(given) in ({"rle"}, {"rle", "grid"}):
            return cls._of_runs(given["rle"], _grid(given.get("grid")))
        unknown = sorted(given.keys() - {"region", "grid", "png"})
        if unknown or not isinstance(given.get("region"), str):
            raise RegionError(
                "patches read {'region': 'box:0,0,31,31', 'grid': [16, 16]}; grid may be left out"
            )
        png = given.get("png")
        try:
            content = None if png is None else base64.b64decode(png, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise RegionError("the mask's content (png) is no base64") from None
        return cls(given["region"], _grid(given.get("grid")), content)

    @classmethod
    def _of_runs(cls, rle: Any, grid: tuple[int, int] | None) -> PatchChoice:
        """A mask from COCO's uncompressed run lengths: down the columns, beginning with how many cells are outside."""
        counts = rle.get("counts") if isinstance(rle, Mapping) else None
        if not isinstance(counts, list) or set(rle) != {"size", "counts"}:
            raise RegionError("rle reads {'size': [height, width], 'counts': [outside, inside, …]}")
        size = _grid(rle["size"])
        if size is not None and size[0] * size[1] > MOST_CELLS:
            raise RegionError(f"a mask of {size[0]}x{size[1]} cells is larger than any picture that is drawn")
        if size is None or any(isinstance(each, bool) or not isinstance(each, int) for each in counts):
            raise RegionError("rle: size is [height, width], and counts are whole numbers")
        if min(counts, default=0) < 0 or sum(counts) != size[0] * size[1] or len(counts) > sum(counts) + 1:
            raise RegionError(
                f"rle: the counts are {sum(counts)} cells, and {size[0]}x{size[1]} are {size[0] * size[1]}"
            )
        if grid is not None and grid != size:
            raise RegionError(
                f"the mask has {size[0]}x{size[1]} cells, and the grid {grid[0]}x{grid[1]}; it is painted on the grid"
            )
        inside = np.repeat(np.arange(len(counts)) % 2, counts)
        return cls.mask(inside.reshape(size, order="F"), grid=grid)

    def describe(self) -> str:
        """What it is called in a line of English."""
        kind, _, rest = self.region.partition(":")
        text = "a mask" if kind == "mask" else f"{kind} {rest}"
        return text if self.grid is None else f"{text} of the {self.grid[0]}x{self.grid[1]} grid"


def digest(levels: NDArray[np.uint16]) -> str:
    """Hash of a mask's content, the same as a run's own masks have."""
    height, width = levels.shape
    return hashlib.sha256(f"{height} {width}\n".encode() + levels.astype("<u2").tobytes()).hexdigest()


def _grid(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    if isinstance(given, str):
        match = re.fullmatch(r"\s*([0-9]{1,5})\s*[x×]\s*([0-9]{1,5})\s*", given)
        given = (int(match[1]), int(match[2])) if match else ()
    sides = list(given) if isinstance(given, list | tuple) else []
    if len(sides) != 2 or any(isinstance(side, bool) or not isinstance(side, int) for side in sides):
        raise RegionError(f"grid={given!r} is no grid; give (height, width), or a text like 16x16")
    if not all(0 < side <= LARGEST for side in sides):
        raise RegionError(f"a grid of {sides[0]}x{sides[1]} cells is none that a model has")
    return sides[0], sides[1]


def _values(given: Any) -> NDArray[np.float64]:
    try:
        if isinstance(given, str | Path):
            with Image.open(given) as opened:
                given = opened.copy()
        if isinstance(given, Image.Image):
            given = given if given.mode in ("1", "L", "I", "I;16", "F") else given.convert("L")
        return np.asarray(given).astype(np.float64)
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError) as error:
        raise RegionError(f"the mask cannot be read: {error}") from error
