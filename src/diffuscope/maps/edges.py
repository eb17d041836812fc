"""Edge-aware upsampling: a map brought to the picture's pixels along the picture's own edges.

The guided filter (He, Sun & Tang, "Guided Image Filtering", ECCV 2010; for a colour guide: PAMI 2013, equations 14 to
16): in each window the map is a linear function of the picture's colours, ``q = a . I + b``, fitted by least squares
with a penalty ``softness |a|^2``; a pixel gets the mean over all windows that it is in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.maps.resize import resize

Wide = NDArray[np.float64]


LARGEST_KEPT = 2**18
"""Pixels of the largest guide that is kept: several maps of one picture share its half of the work. 30 MiB each."""


@dataclass(frozen=True, eq=False)
class Guide:
    """What the filter needs of the picture alone.

    Attributes:
        colours: ``[y, x, 3]``, 0 to 1.
        mean: of each pixel's window.
        inverse: ``[y, x, 3, 3]``, of the window's covariance of colours with the penalty on its diagonal.
        radius: half the window's side, in pixels.
    """

    colours: Wide
    mean: Wide
    inverse: Wide
    radius: int

    def filtered(self, values: NDArray[np.floating]) -> Wide:
        """A map at the picture's size; see `along_edges`."""
        height, width = self.colours.shape[:2]
        plane: Wide = resize(values, (height, width), "bilinear")
        mean_plane = _window_mean(plane, self.radius)
        both = _window_mean(self.colours * plane[..., None], self.radius) - self.mean * mean_plane[..., None]
        slope = np.asarray((self.inverse @ both[..., None])[..., 0])
        offset = mean_plane - (slope * self.mean).sum(axis=-1)
        filtered = (_window_mean(slope, self.radius) * self.colours).sum(axis=-1)
        filtered += _window_mean(offset, self.radius)
        return np.asarray(np.maximum(filtered, values.min()))


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
    return guide_of(picture, reach, softness).filtered(values)


def guide_of(picture: Image.Image, reach: float, softness: float) -> Guide:
    """The picture's half of the work; that of the last few small pictures is kept."""
    colours = picture.convert("RGB")
    if colours.width * colours.height > LARGEST_KEPT:
        return _guide(colours.tobytes(), colours.size, reach, softness)
    return _kept_guide(colours.tobytes(), colours.size, reach, softness)


def _guide(content: bytes, size: tuple[int, int], reach: float, softness: float) -> Guide:
    width, height = size
    colours = np.frombuffer(content, np.uint8).reshape(height, width, 3).astype(np.float64) / 255
    radius = max(1, round(reach * max(height, width)))
    mean = _window_mean(colours, radius)
    spread = _window_mean(colours[..., :, None] * colours[..., None, :], radius)
    spread -= mean[..., :, None] * mean[..., None, :]
    inverse = np.asarray(np.linalg.inv(spread + softness * np.eye(3)), np.float64)
    return Guide(colours, mean, inverse, radius)


_kept_guide = lru_cache(maxsize=2)(_guide)


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
