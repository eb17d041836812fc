"""Maps of many heads in few bytes: a byte a patch behind each map's own range, at a chosen level of detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.maps.resize import Size, resize

if TYPE_CHECKING:
    from diffuscope.analysis.atlas.cells import CellSite
    from diffuscope.analysis.atlas.contents import Content

Slot = Literal["mean"] | int
"""What a plate shows: the mean over the steps, or one step."""
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIDES = (32, 16, 8, 4)
"""Longer sides that maps are brought down to; grids that are smaller stay as they are."""
LEVELS = 255


@dataclass(frozen=True, eq=False)
class Plates:
    """Maps of one content.

    A value is ``min + (max - min) * stored / 255``, to half of such a step. Maps that were made smaller are area means
    (no patch is skipped), quantised in the range of the map at full resolution, so that colours stay when the level of
    detail changes.

    Attributes:
        content: what they show.
        sites: whose, in the order of the data.
        slots: what the axis slot is: the mean over the steps, or a step.
        maps: site name to uint8 ``[slot, head, y, x]``.
        min, max, mean: float32 ``[slot, cell]`` of the maps at full resolution, cells of `sites` in order.
    """

    content: Content
    sites: tuple[CellSite, ...]
    slots: tuple[Slot, ...]
    maps: Mapping[str, Bytes]
    min: Floats
    max: Floats
    mean: Floats

    @property
    def bytes(self) -> int:
        """Of the maps."""
        return sum(each.nbytes for each in self.maps.values())

    @property
    def native(self) -> bool:
        """Whether every map has its site's own grid."""
        return all(self.maps[site.name].shape[2:] == site.grid for site in self.sites)

    def first(self, site: str) -> int:
        """Number of a site's first cell here."""
        at = 0
        for each in self.sites:
            if each.name == site:
                return at
            at += len(each.heads)
        raise KeyError(site)

    def values(self, site: str) -> Floats:
        """A site's maps as numbers, ``[slot, head, y, x]``."""
        stored = self.maps[site].astype(np.float32)
        at = slice(self.first(site), self.first(site) + stored.shape[1])
        low, high = self.min[:, at, None, None], self.max[:, at, None, None]
        return np.asarray(low + (high - low) * stored / LEVELS, np.float32)

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """As tensors: ``maps/7`` for the site of that index, ``min``, ``max``, ``mean``."""
        found: dict[str, NDArray[np.generic]] = {
            f"maps/{site.index}": self.maps[site.name] for site in self.sites
        }
        return {**found, "min": self.min, "max": self.max, "mean": self.mean}

    @classmethod
    def of_tensors(
        cls,
        content: Content,
        sites: tuple[CellSite, ...],
        slots: tuple[Slot, ...],
        tensors: Mapping[str, NDArray[np.generic]],
    ) -> Plates:
        """What `tensors` gave.

        Raises:
            ValueError: they are of other sites or slots.
        """
        cells = sum(len(site.heads) for site in sites)
        due = {f"maps/{site.index}": (len(slots), len(site.heads)) for site in sites}
        due |= dict.fromkeys(("min", "max", "mean"), (len(slots), cells))
        wrong = [
            name for name, shape in due.items() if name not in tensors or tensors[name].shape[:2] != shape
        ]
        if wrong or any(tensors[f"maps/{site.index}"].ndim != 4 for site in sites):
            raise ValueError(f"the tensors lack {', '.join(wrong) or 'axes'}")
        maps = {site.name: tensors[f"maps/{site.index}"].astype(np.uint8) for site in sites}
        low, high, mean = (tensors[name].astype(np.float32) for name in ("min", "max", "mean"))
        return cls(content, sites, slots, maps, low, high, mean)

    @classmethod
    def joined(cls, parts: Sequence[Plates]) -> Plates:
        """Parts of one content and one level of detail, their slots one after another."""
        one = parts[0]
        maps = {site.name: np.concatenate([each.maps[site.name] for each in parts]) for site in one.sites}
        low, high, mean = (
            np.concatenate([getattr(each, name) for each in parts]) for name in ("min", "max", "mean")
        )
        slots = tuple(slot for each in parts for slot in each.slots)
        return cls(one.content, one.sites, slots, maps, low, high, mean)


def plates_of(
    content: Content,
    sites: tuple[CellSite, ...],
    slots: tuple[Slot, ...],
    maps: Sequence[Mapping[str, NDArray[np.floating]]],
    most: int,
    side: int | None = None,
) -> Plates:
    """Exact maps as plates.

    Args:
        content, sites, slots: of the plates.
        maps: for each slot, site name to ``[head, y, x]``.
        most: bytes that all maps may take together.
        side: longer side to which maps are brought down; the largest that fits when None or 0.
    """
    chosen = side_for(sites, len(slots), most) if side is None else side
    stored: dict[str, Bytes] = {}
    ranges: list[NDArray[np.float32]] = []
    for site in sites:
        whole = np.stack([np.asarray(each[site.name], np.float32) for each in maps])
        low, high = whole.min(axis=(2, 3)), whole.max(axis=(2, 3))
        small = resize(whole, smaller(_shape(whole), chosen), "area")
        span = (high - low).astype(np.float64)[:, :, None, None]
        share = np.divide(small - low[:, :, None, None], span, out=np.zeros_like(small), where=span > 0)
        stored[site.name] = np.rint(np.clip(share, 0.0, 1.0) * LEVELS).astype(np.uint8)
        mean = whole.mean(axis=(2, 3), dtype=np.float64).astype(np.float32)
        ranges.append(np.stack([low, high, mean]))
    low, high, mean = np.concatenate(ranges, axis=2)
    return Plates(content, sites, slots, stored, low, high, mean)


def side_for(sites: Sequence[CellSite], slots: int, most: int) -> int:
    """The largest of `SIDES` at which the maps of so many slots fit; 0 where they fit at their own grids."""
    for side in (0, *SIDES):
        if slots * cell_bytes(sites, side) <= most:
            return side
    return SIDES[-1]


def cell_bytes(sites: Sequence[CellSite], side: int) -> int:
    """Bytes of one slot of all cells at a level of detail."""
    sizes = ((len(site.heads), smaller(site.grid, side)) for site in sites)
    return sum(heads * height * width for heads, (height, width) in sizes)


def smaller(grid: Size, side: int) -> Size:
    """A grid whose longer side is at most `side` (0: any), in proportion."""
    longer = max(grid)
    if side == 0 or longer <= side:
        return grid
    return max(1, round(grid[0] * side / longer)), max(1, round(grid[1] * side / longer))


def _shape(maps: NDArray[np.floating]) -> Size:
    return maps.shape[-2], maps.shape[-1]
