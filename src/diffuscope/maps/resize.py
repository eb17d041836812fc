"""Maps brought from one grid to another: area, bilinear, bicubic and nearest, in numpy.

All four are linear and separable, so a resize is one small matrix for each axis: ``out = rows @ map @
columns.T``. Cell centres sit at half integers (``align_corners=False`` in torch), and what lies beyond the
edge is the edge's own value. Origin top left; axes are always ``[..., y, x]``.

What happens to the attention mass. A map holds one probability for each cell and its *mean* is the mass.
`area` keeps the mean exactly at any pair of sizes. `bilinear` and `nearest` keep it exactly when the size
grows by a whole factor (8 to 16, 16 to 512), and nearly otherwise. `bicubic` does not: it overshoots, and may
turn negative.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import SizeError

Method = Literal["auto", "area", "bilinear", "bicubic", "nearest"]
Size = tuple[int, int]
Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def resize(maps: NDArray[np.floating], size: Size, method: Method = "auto") -> NDArray[np.float64]:
    """Resize ``[..., y, x]`` to ``[..., *size]``.

    Args:
        maps: any number of leading axes.
        size: ``(height, width)``.
        method: ``auto`` takes for each axis `bilinear` where it grows and `area` where it shrinks, so no
            source cell is ever skipped and values never leave the range of the source.

    Returns:
        float64 ``[..., height, width]``, same unit as the input.

    Raises:
        SizeError: a side is not positive, or the method is unknown.
    """
    if method not in get_args(Method):
        raise SizeError(f"unknown resize method {method!r}; use one of {', '.join(get_args(Method))}")
    height, width = size
    if min(height, width) < 1 or min(maps.shape[-2:]) < 1:
        raise SizeError(f"a map cannot be brought from {maps.shape[-2:]} to {size}: every side is at least 1")
    out = maps.astype(np.float64)
    if out.shape[-1] != width:
        out = out @ _weights(out.shape[-1], width, method).T
    if out.shape[-2] != height:
        out = _weights(out.shape[-2], height, method) @ out
    return out


@lru_cache(maxsize=64)
def _weights(source: int, target: int, method: Method) -> NDArray[np.float64]:
    """Matrix ``[target, source]`` of one axis; every row sums to 1."""
    matrix: NDArray[np.float64]
    if method == "area" or (method == "auto" and target < source):
        matrix = _area(source, target)
    elif method == "nearest":
        matrix = np.eye(source)[((np.arange(target) + 0.5) * source / target).astype(int)]
    elif method == "bicubic":
        matrix = _spread(source, target, _cubic, reach=2)
    else:
        matrix = _spread(source, target, _tent, reach=1)
    matrix.setflags(write=False)
    return matrix


def _area(source: int, target: int) -> NDArray[np.float64]:
    """Each target cell is the mean of what it covers, partly covered cells counted by their share."""
    edges = np.arange(target + 1) * source / target
    low = np.maximum(edges[:-1, None], np.arange(source))
    high = np.minimum(edges[1:, None], np.arange(1, source + 1))
    return np.asarray(np.clip(high - low, 0.0, None) * target / source)


def _spread(source: int, target: int, kernel: Kernel, reach: int) -> NDArray[np.float64]:
    """Interpolation with a kernel of `reach` cells to each side; beyond the edge lies the edge cell."""
    position = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(position).astype(int)
    matrix = np.zeros((target, source))
    for offset in range(1 - reach, reach + 1):
        cell = np.clip(first + offset, 0, source - 1)
        np.add.at(matrix, (np.arange(target), cell), kernel(np.abs(position - (first + offset))))
    return matrix


def _tent(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(1.0 - distance, 0.0, None)


def _cubic(distance: NDArray[np.float64], a: float = -0.75) -> NDArray[np.float64]:
    """Keys' cubic convolution (Keys 1981, eq. 4); a = -0.75 as in torch's bicubic ``F.interpolate``."""
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
