"""From one map per site to one map: the aggregate that every word map is.

The rule (one for all models, no parameters): heads are averaged first, within their site; each site's map is
brought to the output size; then sites are averaged, each with the same weight whatever its number of heads or
cells; then steps. Averages and resizing are linear, so steps may be averaged before sites are resized, and
sites of one grid summed before: the result is the same and far less is computed.

On request sites have weights (`weights`), and everything is summed instead of averaged (`combine="sum"`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import RecordingError, SelectionError, SizeError
from diffuscope.maps.resize import Method, Size, resize

Combine = Literal["mean", "sum"]
"""How heads, sites and steps are put together."""

SizeRequest = Size | int | Literal["finest", "native", "image"] | None

MAX_SIDE = 4096
"""Longest side of a map that is made: beyond it a slip of the keyboard would fill the memory."""


def output_size(request: SizeRequest, *, kept: Sequence[Size], chosen: Sequence[Size], image: Size) -> Size:
    """The ``(height, width)`` that a map gets.

    Args:
        request: None or ``"finest"``: the finest grid of all *kept* sites, so that maps of different
            selections have the same size; ``"native"``: the finest grid of the *chosen* sites (a single
            site's own cells, nothing resized); ``"image"``: the picture's size in pixels; a number: the
            longer side, the other in the picture's proportion; or ``(height, width)``.
        kept, chosen: grids of all kept sites and of those selected.
        image: the picture's ``(height, width)`` in pixels.

    Raises:
        SizeError: the request is none of these, or a side is not in 1..4096.
    """
    if request is None or request == "finest":
        return max(kept, key=_cells)
    if request == "native":
        return max(chosen, key=_cells)
    if request == "image":
        return image
    if isinstance(request, int | np.integer) and not isinstance(request, bool):
        longer = max(image)
        size = (round(image[0] * int(request) / longer) or 1, round(image[1] * int(request) / longer) or 1)
        return _checked(size if request > 0 else (int(request), int(request)), request)
    if isinstance(request, tuple | list) and len(request) == 2:
        height, width = request
        if all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in (height, width)):
            return _checked((int(height), int(width)), request)
    raise SizeError(
        f"{request!r} is no map size; give (height, width), the longer side as a number, "
        "'finest', 'native' or 'image'"
    )


def checked_combine(combine: str) -> Combine:
    """`combine` as it is.

    Raises:
        SelectionError: it is neither `mean` nor `sum`.
    """
    if combine not in get_args(Combine):
        raise SelectionError(
            f"combine={combine!r} is unknown; heads, sites and steps are put together by 'mean' or 'sum'"
        )
    return combine  # type: ignore[return-value]


def _cells(grid: Size) -> int:
    return grid[0] * grid[1]


def _checked(size: Size, request: object) -> Size:
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise SizeError(f"{request!r} is no map size; each side lies between 1 and {MAX_SIDE}")
    return size


def aggregate(
    maps: Mapping[str, NDArray[np.floating]],
    grids: Mapping[str, Size],
    size: Size,
    method: Method = "auto",
    *,
    weights: Mapping[str, float] | None = None,
    combine: Combine = "mean",
) -> NDArray[np.float32]:
    """Mean over sites of head-mean maps, each brought to the output size.

    Args:
        maps: site name to ``[..., query]``, queries row-major from the top left; the same leading axes
            everywhere (steps, tokens). Averages over heads already.
        grids: site name to ``(height, width)`` of its queries.
        size: output ``(height, width)``.
        method: how maps are resized, see `resize`; the default keeps the mean where that can be.
        weights: site name to weight; None gives every site the same. Not all are 0.
        combine: `mean`, divided by the sum of weights, or `sum`.

    Returns:
        float32 ``[..., y, x]``, the unit of the input.

    Raises:
        SelectionError: there is no site to average.
        RecordingError: the maps hold NaN or infinity.
    """
    if not maps:
        raise SelectionError("no attention site was chosen; choose at least one")
    by_grid: dict[Size, NDArray[np.float64]] = {}
    for site, values in maps.items():
        grid, weight = grids[site], 1.0 if weights is None else weights[site]
        if weight == 0:
            continue
        part = values.astype(np.float64)
        if weight != 1:
            part *= weight
        if grid in by_grid:
            by_grid[grid] += part
        else:
            by_grid[grid] = part
    total: NDArray[np.float64] | None = None
    for grid, values in by_grid.items():
        sized = resize(values.reshape(*values.shape[:-1], *grid), size, method)
        total = sized if total is None else total + sized
    assert total is not None
    if not np.isfinite(total).all():
        raise RecordingError(
            "the recorded attention holds NaN or infinity: the model produced invalid numbers; "
            "record it again in float32, or with another seed"
        )
    share = (
        1.0
        if combine == "sum"
        else 1 / (len(maps) if weights is None else sum(weights[site] for site in maps))
    )
    return np.asarray(total * share, dtype=np.float32)


def describe(
    *,
    sites: int,
    steps: int,
    size: Size,
    grids: Sequence[Size],
    heads: str,
    groups: Sequence[Sequence[int]],
    reduce: str,
    merge_steps: bool,
    combine: Combine = "mean",
    weights: str = "",
    branch: str = "cond",
) -> str:
    """One sentence that says how a map came about, for figures and reports.

    Args:
        sites, steps: how many were averaged.
        size: output ``(height, width)``.
        grids: grids of the averaged sites.
        heads: the head selection's text (``all``, ``3,5``).
        groups: the tokens of each word.
        reduce: how a word's tokens were combined, ``sum`` or ``mean``.
        merge_steps: whether steps were put together too, or kept apart.
        combine: how heads, sites and steps were put together.
        weights: text form of the weights of sites; empty for equal ones.
        branch: which row's attention was kept, ``cond`` or ``uncond``.
    """
    parts = [
        f"{combine.capitalize()} over {'all heads' if heads == 'all' else f'heads {heads}'}",
        f"then over {_count(sites, 'site')}"
        + (f" brought to {size[0]}x{size[1]}" if any(grid != size for grid in grids) else "")
        + (f" weighed {weights}" if weights else ""),
    ]
    if merge_steps:
        parts.append(f"then over {_count(steps, 'step')}")
    sentence = ", ".join(parts)
    if not merge_steps:
        sentence += "; each step by itself"
    longest = max(len(group) for group in groups)
    if longest > 1:
        sentence += f"; {reduce} over a word's tokens"
    if len(groups) > 1:
        sentence += f"; sum over {len(groups)} words"
    row = "Conditional" if branch == "cond" else "Unconditional"
    return f"{sentence}. {row} branch, last call of each step."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
