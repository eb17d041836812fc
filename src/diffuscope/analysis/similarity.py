"""How alike two pictures are to the eye: structural similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import SizeError

Floats = NDArray[np.float64]

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03


def structural_similarity(one: Image.Image, other: Image.Image) -> float:
    """Mean SSIM of two pictures' luma: 1 of equal pictures. (Wang, Bovik, Sheikh and Simoncelli 2004, equation 13, with
    its 11 x 11 Gaussian window of sigma 1.5, at places where the window lies inside; luma of ITU-R BT.601.)

    Raises:
        SizeError: their sizes differ, or are smaller than the window.
    """
    if one.size != other.size or min(one.size) < WINDOW:
        raise SizeError(
            f"SSIM compares pictures of one size, at least {WINDOW} x {WINDOW}; got {one.size} and {other.size}"
        )
    x, y = (_luma(each) for each in (one, other))
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    mx, my = _blurred(x), _blurred(y)
    vx, vy, both = _blurred(x * x) - mx * mx, _blurred(y * y) - my * my, _blurred(x * y) - mx * my
    table = (2 * mx * my + c1) * (2 * both + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(table.mean())


def _luma(image: Image.Image) -> Floats:
    return np.asarray(np.asarray(image.convert("RGB"), np.float64) @ np.array([0.299, 0.587, 0.114]))


def _blurred(values: Floats) -> Floats:
    offset = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offset**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    rows = np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis=0) @ weights
    return np.asarray(np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=1) @ weights)
