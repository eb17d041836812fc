"""Where in one attention call an edit acts: rows of the batch, heads, and how much of each query."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from diffuscope.edits import PatchChoice
from diffuscope.errors import RegionError
from diffuscope.run import mask_region, parse_region

Size = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """A part of an attention call.

    Attributes:
        rows: indices of rows, `[row]`.
        heads: indices of heads, `[head]`.
        weight: how far each query is edited, `[query]` from 0 to 1; None where all are wholly.
    """

    rows: torch.Tensor
    heads: torch.Tensor
    weight: torch.Tensor | None

    @property
    def at(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Index of `[row, head]` in a tensor that begins with these axes."""
        return self.rows[:, None], self.heads[None, :]

    def blend(self, out: torch.Tensor, new: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
        """`out` `[row, head, query, dim]`, whose part here has gone toward `new`, of this part alone: wholly where the
        weight and `strength` are 1."""
        made = out.clone()
        if self.weight is None and strength == 1:
            made[self.at] = new.to(out.dtype)
            return made
        whole = self.weight if self.weight is not None else out.new_ones(out.shape[-2])
        # lerp gives its ends exactly.
        made[self.at] = torch.lerp(out[self.at], new.to(out.dtype), (whole * strength)[:, None].to(out.dtype))
        return made


def check_region(patches: PatchChoice, size: Size) -> None:
    """See that a region is a part of a picture of `size`, height and width in pixels, and not empty.

    Raises:
        RegionError: it is none.
    """
    _cover(patches, size, patches.grid or size)


@functools.lru_cache(maxsize=256)
def _cover(patches: PatchChoice, size: Size, grid: Size) -> torch.Tensor:
    """Share of each cell of `grid` that is chosen, float64 `[y, x]`."""
    plane = patches.grid or size
    if patches.png is not None:
        region = mask_region(patches.levels(), plane)
    else:
        region = parse_region(patches.region, plane)
    found = torch.from_numpy(region.cover(grid))
    if not found.max() > 0:
        raise RegionError(f"{patches.describe()} covers nothing of the {grid[0]}x{grid[1]} grid")
    return found


def cover(patches: PatchChoice, size: Size, grid: Size, like: torch.Tensor) -> torch.Tensor:
    """Share of each cell of a grid that is chosen `[y, x]`, in the type and on the device of `like`.

    Raises:
        RegionError: the region is empty or no part of the picture.
    """
    return _cover(patches, size, grid).to(device=like.device, dtype=like.dtype)


def wide(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in float32 where it is of half precision, to be computed with."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def indices(numbers: Sequence[int], device: torch.device) -> torch.Tensor:
    """As a tensor that indexes."""
    return torch.tensor(list(numbers), dtype=torch.long, device=device)
