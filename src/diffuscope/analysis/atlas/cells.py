"""Where each head stands in the model: sites in data-flow order, with stage, block and depth.

A *cell* is one (site, head). Cells are numbered through: sites in the order of the data, heads ascending, over the kept
sites and heads of a recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from diffuscope.errors import SelectionError, listed
from diffuscope.ranges import ALL, Ranges

if TYPE_CHECKING:
    from diffuscope.maps.resize import Size
    from diffuscope.recording import Recording, Site

Cell = tuple[str, int]
"""A site's name and the head's number there."""
Stage = Literal["down", "mid", "up", "double", "single", "block"]
Shape = Literal["u", "rows"]


@dataclass(frozen=True)
class CellSite:
    """A site of the atlas.

    Attributes:
        index: its place among all sites of the run.
        name, kind, grid: as recorded.
        heads: the kept ones, ascending.
        total: how many heads it has.
        stage: ``down``, ``mid``, ``up`` of a UNet; ``double`` and ``single`` stream of joint
            attention; ``block`` of others.
        block: the transformer block that it is part of: self- and cross-attention of one block share it.
        column: the block's place in the data flow.
        depth: place of its grid among the run's, the finest first.
        first: number of its first cell.
    """

    index: int
    name: str
    kind: str
    grid: Size
    heads: tuple[int, ...]
    total: int
    stage: Stage
    block: str
    column: int
    depth: int
    first: int


@dataclass(frozen=True)
class Cells:
    """All cells of a recording, or those of some of its sites."""

    sites: tuple[CellSite, ...]
    shape: Shape
    grids: tuple[Size, ...]

    @classmethod
    def of(cls, recording: Recording) -> Cells:
        """The cells of a recording's kept sites and heads, whatever level was kept."""
        kept = set(recording.manifest.keep.sites)
        places = [(index, site) for index, site in enumerate(recording.manifest.sites) if site.name in kept]
        grids = tuple(
            sorted(
                {(site.grid[0], site.grid[1]) for _, site in places},
                key=lambda grid: (-grid[0] * grid[1], grid),
            )
        )
        blocks = list(dict.fromkeys(_block(site) for _, site in places))
        found, first = [], 0
        for index, site in places:
            heads = recording.heads(site.name)
            grid = (site.grid[0], site.grid[1])
            block = _block(site)
            found.append(
                CellSite(
                    index,
                    site.name,
                    site.kind,
                    grid,
                    heads,
                    site.heads,
                    _stage(site),
                    block,
                    blocks.index(block),
                    grids.index(grid),
                    first,
                )
            )
            first += len(heads)
        shape: Shape = "u" if any(site.stage in ("down", "mid", "up") for site in found) else "rows"
        return cls(tuple(found), shape, grids)

    def of_kinds(self, kinds: Iterable[str]) -> tuple[CellSite, ...]:
        """Sites of some kinds."""
        wanted = set(kinds)
        return tuple(site for site in self.sites if site.kind in wanted)

    @cached_property
    def numbers(self) -> Mapping[Cell, int]:
        """Each cell's number."""
        return {
            (site.name, head): site.first + place
            for site in self.sites
            for place, head in enumerate(site.heads)
        }

    def __len__(self) -> int:
        return sum(len(site.heads) for site in self.sites)

    def __iter__(self) -> Iterator[Cell]:
        return ((site.name, head) for site in self.sites for head in site.heads)

    def checked(self, cells: Iterable[Cell]) -> tuple[Cell, ...]:
        """Cells without repetition, in the order given.

        Raises:
            SelectionError: one of them is not here.
        """
        given = tuple(dict.fromkeys(cells))
        lacking = [f"{site} head {head}" for site, head in given if (site, head) not in self.numbers]
        if lacking:
            raise SelectionError(f"there is no {listed(lacking)} here")
        return given

    def aims(self, cells: Iterable[Cell]) -> tuple[tuple[str, str], ...]:
        """The fewest pairs of (sites, heads), in the text form of `Selection`, that are together exactly some cells:
        sites with one and the same set of heads are joined, and those with all of theirs. An edit takes one pair.

        Raises:
            SelectionError: a cell is not here.
        """
        chosen: dict[str, set[int]] = {}
        for name, head in self.checked(cells):
            chosen.setdefault(name, set()).add(head)
        groups: dict[str, list[str]] = {}
        for site in self.sites:
            if site.name in chosen:
                heads = chosen[site.name]
                text = ALL if len(heads) == site.total else str(Ranges.of(sorted(heads), "heads"))
                groups.setdefault(text, []).append(site.name)
        return tuple((",".join(sites), heads) for heads, sites in groups.items())


def _block(site: Site) -> str:
    return site.name.partition(":")[2].removesuffix(".attn1").removesuffix(".attn2")


def _stage(site: Site) -> Stage:
    if site.module.startswith("single_transformer_blocks"):
        return "single"
    if site.kind == "joint":
        return "double"
    first = site.name.partition(":")[2].split(".", 1)[0]
    return first if first in ("down", "mid", "up") else "block"  # type: ignore[return-value]
