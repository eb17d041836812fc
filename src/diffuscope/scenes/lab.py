"""From sRGB to CIE L*a*b*, where equal distances look about equally different.

Source: IEC 61966-2-1 (sRGB, D65 white) and CIE 15 (L*a*b*). Distances in this room are plain Euclidean distances
in L*a*b* (CIE76 delta-E), which is what the vocabulary's colours were chosen by.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(axis=1)


@lru_cache(maxsize=1)
def _linear_light() -> Floats:
    """Linear light, 0 to 1, of every quarter step of an sRGB channel from 0 to 255."""
    value = np.arange(1021) / 1020
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_lab(rgb: ArrayLike) -> Floats:
    """sRGB in 0 to 255 `[..., channel]`, integer or float, to float32 L*a*b* `[..., (L, a, b)]`, L in 0 to 100.

    Values are rounded to a quarter of a step (an error of at most 0.2 units) and clipped to the range.
    """
    quarters = np.clip(np.asarray(rgb, np.float32) * 4 + 0.5, 0, 1020).astype(np.int16)
    linear = _linear_light()[quarters]
    xyz = linear @ (_TO_XYZ / _WHITE[:, None]).T.astype(np.float32)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * np.float32(841 / 108) + np.float32(4 / 29))
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
