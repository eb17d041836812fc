"""Colours for maps: perceptually uniform tables, and the display scaling that leads to them.

The tables come from the `cmap` package. All that are offered grow in lightness from end to end, so they read in print
and with colour-blind eyes; `SIGNED` alone, which is not offered, is for values on both sides of 0. Magma is the
default: its low end is black, so over a picture what was not looked at lies in shadow.

Scaling happens here and in figures, never in a map: `Heatmap.array` stays a probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cmap
import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import SelectionError

NAMES: tuple[str, ...] = ("magma", "viridis", "cividis", "gray")
"""The colormaps there are; the first is the default everywhere."""
SIGNED = "vik"
"""For signed values, its middle (white) at 0. (Crameri 2018.)"""


@lru_cache(maxsize=8)
def colormap(name: str) -> NDArray[np.uint8]:
    """The table of a colormap, uint8 sRGB ``[256, 3]``, lowest value first.

    Raises:
        SelectionError: there is no colormap of that name.
    """
    if name not in (*NAMES, SIGNED):
        raise SelectionError(f"there is no colormap {name!r}; choose one of {', '.join(NAMES)}")
    full = f"crameri:{name}" if name == SIGNED else name
    table = np.round(np.asarray(cmap.Colormap(full).lut(256))[:, :3] * 255).astype(np.uint8)
    table.setflags(write=False)
    return table


@dataclass(frozen=True)
class DisplayScale:
    """The range of values that a colormap is stretched over.

    Attributes:
        low, high: values shown in the first and the last colour; what lies outside is shown in these.
        origin: where the range comes from, said beside every colour scale (``min-max of this map``).
    """

    low: float
    high: float
    origin: str = "fixed range"

    @classmethod
    def of(cls, *arrays: NDArray[np.floating], origin: str = "min-max of this map") -> DisplayScale:
        """Minimum to maximum of one or several arrays; maps that share a scale can be compared by eye."""
        ends = [(float(array.min()), float(array.max())) for array in arrays]
        return cls(min(low for low, _ in ends), max(high for _, high in ends), origin)

    def unit_interval(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Values as their position on the scale, clipped to 0..1; all 0 on a scale without extent."""
        extent = self.high - self.low
        if not extent > 0:
            return np.zeros(values.shape)
        return np.clip((values.astype(np.float64) - self.low) / extent, 0.0, 1.0)

    def colours(self, values: NDArray[np.floating], name: str = NAMES[0]) -> NDArray[np.uint8]:
        """Values as sRGB, uint8 ``[..., 3]``."""
        level = np.rint(self.unit_interval(values) * 255).astype(np.uint8)
        return np.asarray(colormap(name)[level])
