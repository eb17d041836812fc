"""Diffused maps: a region's map that spreads along attention to what belongs together (DAAM-I2I's iteration, mended).

    g <- H_region
    repeat n times:
        g[g < min g + threshold (max g - min g)] <- 0
        g <- sum_p g_p H_p / sum_p g_p

`H_p` is the map of patch p, in the direction that was asked for. The threshold is relative to the map's own range, so
it does not depend on how many steps there were; the published code compares absolute values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from diffuscope.errors import SelectionError
from diffuscope.maps.heatmap import Heatmap
from diffuscope.maps.resize import resize
from diffuscope.maps.self_attention import Direction
from diffuscope.maps.self_matrix import self_matrices

if TYPE_CHECKING:
    from diffuscope.maps.region_view import Asked, RegionView

MOST_ITERATIONS = 1000


def diffused(
    view: RegionView, asked: Asked, direction: Direction, iterations: int, threshold: float
) -> Heatmap:
    """The diffused map of a region. See `RegionView.diffused`.

    Args:
        view: the region.
        asked: steps, sites and heads; the maps are means over them.
        direction: of the maps `H`.
        iterations: how often; 0 gives the region's own map.
        threshold: 0 to below 1, of the map's own range; what is less is set to zero before each round.

    Raises:
        SelectionError: iterations or threshold outside their range.
        NotKeptError, RecordingError: as of `RegionView.map`.
    """
    from diffuscope.maps.region_view import describe, unit_of

    if (
        isinstance(iterations, bool)
        or not isinstance(iterations, int)
        or not 0 <= iterations <= MOST_ITERATIONS
    ):
        raise SelectionError(f"iterations={iterations!r}: give a whole number from 0 to {MOST_ITERATIONS}")
    if not 0 <= threshold < 1:
        raise SelectionError(f"threshold={threshold!r}: give a share of the map's range, from 0 to below 1")
    matrices = self_matrices(view.run._self_attention, asked)
    transposed = direction == "from"
    weights = view.region.cover(asked.finest)
    spread = matrices.apply(weights / weights.sum(), transposed=transposed)
    for _ in range(iterations):
        low, high = float(spread.min()), float(spread.max())
        kept = np.where(spread < low + threshold * (high - low), 0.0, spread)
        spread = matrices.apply(kept / kept.sum(), transposed=transposed)
    first = (
        f"Diffused {iterations} times from the region's map, what is below {threshold:g} of its range left out "
        "each time"
    )
    return Heatmap(
        resize(spread, asked.size).astype(np.float32),
        asked.selection,
        f"{view._title(direction)}, diffused",
        unit_of(asked),
        describe(asked, first, "then over steps" if len(asked.steps) > 1 else ""),
        view._background,
    )
