"""Weights of attention sites in a map: by name, by pattern, or by the size of their grid.

    16x16=2,8x8=1,cross:mid=0

A site that no entry names weighs 1. Where several do, the last one counts, so ``*=0,cross:up.*=1`` takes the sites
of the way up alone. The default, every site the same, has no parameter and is the same for all models; weights that
were tuned on one model belong to that model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from diffuscope.errors import SelectionError, listed, near_first

if TYPE_CHECKING:
    from diffuscope.recording import Site

WeightRequest = str | Mapping[str | tuple[int, int], float] | None
"""``{"16x16": 2, (8, 8): 1, "cross:mid": 0}``, the text form, or None for equal weights."""

_GRID = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


@dataclass(frozen=True)
class SiteWeights:
    """Weights of some sites.

    Attributes:
        by_site: site name to weight, of every chosen site; at least one is above 0.
        text: the text form of what was asked, or empty where all weigh the same.
    """

    by_site: dict[str, float]
    text: str

    @classmethod
    def of(cls, request: WeightRequest, sites: Sequence[Site]) -> SiteWeights:
        """Weights of the chosen `sites`.

        Raises:
            SelectionError: an entry names none of the sites, a weight is no number of 0 or more, or all are 0.
        """
        weights = {site.name: 1.0 for site in sites}
        if request is None:
            return cls(weights, "")
        entries = _parsed(request)
        for name, weight in entries:
            grid = _GRID.fullmatch(name)
            if grid:
                named = [site.name for site in sites if list(site.grid) == [int(grid[1]), int(grid[2])]]
            else:
                named = [site.name for site in sites if fnmatchcase(site.name, name)]
            if not named:
                grids = list(dict.fromkeys(f"{site.grid[0]}x{site.grid[1]}" for site in sites))
                there = near_first(name, [*grids, *weights])
                raise SelectionError(f"no chosen site is weighed by {name!r}; there are: {listed(there, 12)}")
            weights |= dict.fromkeys(named, weight)
        if not any(weights.values()):
            raise SelectionError("all sites have weight 0; give at least one of them more")
        return cls(weights, ",".join(f"{name}={weight:g}" for name, weight in entries))


def _parsed(request: str | Mapping[str | tuple[int, int], float]) -> list[tuple[str, float]]:
    """Entries in their order."""
    if isinstance(request, str):
        pairs = [part.strip().rpartition("=") for part in request.split(",")]
        given: list[tuple[object, object]] = [(name.strip(), weight) for name, _, weight in pairs]
    elif isinstance(request, Mapping):
        given = list(request.items())
    else:
        raise SelectionError(f"weights={request!r}: give a text like '16x16=2,cross:mid=0', or a dictionary")
    entries = []
    for key, value in given:
        name = f"{key[0]}x{key[1]}" if isinstance(key, tuple) and len(key) == 2 else str(key)
        try:
            weight = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            weight = math.nan
        if not name or not (0 <= weight < math.inf):
            raise SelectionError(
                f"weights={request!r}: {name or value!r} has no weight of 0 or more; it reads like "
                "16x16=2,cross:mid=0"
            )
        entries.append((name, weight))
    return entries
