"""Edge-aware upsampling: a map brought to the picture's pixels along the picture's own edges.

The guided filter (He, Sun & Tang, "Guided Image Filtering", ECCV 2010; for a colour guide: PAMI 2013, equations 14 to
16): in each window the map is a linear function of the picture's colours, ``q = a . I + b``, fitted by least squares
with a penalty ``softness |a|^2``; a pixel gets the mean over all windows that it is in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.maps.resize import resize

Wide = NDArray[np.float64]


def along_edges(values: NDArray[np.floating], picture: Image.Image, reach: float, softness: float) -> Wide:
    """A map at the picture's size, its edges on those of the picture.

    Args:
        values: ``[y, x]``, of any size; interpolated first (bilinear).
        picture: the guide; its colours count from 0 to 1.
        reach: half the window's side, as a share of the picture's longer side.
        softness: the penalty; of the order of the variance of colours that counts as one surface.

    Returns:
        float64 ``[height, width]``. The mean stays nearly as it was; values may rise above the map's largest, and those
        that fall below its smallest are raised to it.
    """
    guide = np.asarray(picture.convert("RGB"), np.float64) / 255
    height, width = guide.shape[:2]
    plane: Wide = resize(values, (height, width), "bilinear")
    radius = max(1, round(reach * max(height, width)))
    mean_guide, mean_plane = _window_mean(guide, radius), _window_mean(plane, radius)
    both = _window_mean(guide * plane[..., None], radius) - mean_guide * mean_plane[..., None]
    spread = _window_mean(guide[..., :, None] * guide[..., None, :], radius)
    spread -= mean_guide[..., :, None] * mean_guide[..., None, :]
    slope = np.asarray(np.linalg.solve(spread + softness * np.eye(3), both[..., None])[..., 0], np.float64)
    offset = mean_plane - (slope * mean_guide).sum(axis=-1)
    filtered = (_window_mean(slope, radius) * guide).sum(axis=-1) + _window_mean(offset, radius)
    return np.asarray(np.maximum(filtered, values.min()))


def _window_mean(plane: Wide, radius: int) -> Wide:
    """Mean over the window around each pixel, as much of it as lies in the picture; trailing axes apart."""
    for axis in (0, 1):
        count = plane.shape[axis]
        total = np.concatenate([np.zeros_like(plane.take([0], axis)), plane.cumsum(axis)], axis)
        low = np.clip(np.arange(count) - radius, 0, count)
        high = np.clip(np.arange(count) + radius + 1, 0, count)
        shape = [-1 if at == axis else 1 for at in range(plane.ndim)]
        plane = (total.take(high, axis) - total.take(low, axis)) / (high - low).reshape(shape)
    return plane
