"""A region's outline drawn on its picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from diffuscope.maps.regions import Region

SHORTEST = 512
"""Pixels of the longer side, at least, of a picture with an outline: the line stays thin beside what it surrounds."""
LIGHT, DARK = (255, 255, 255), (20, 20, 24)


def outlined(picture: Image.Image, region: Region) -> Image.Image:
    """The picture, enlarged by a whole factor where it is small, with a white line with dark edges around the region.

    The line lies outside the region, so it hides nothing of it; a region too small to see gets a ring around it. RGB.
    """
    factor = max(1, -(-SHORTEST // max(picture.size)))
    width, height = picture.width * factor, picture.height * factor
    large = picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    cover = region.cover((height, width))
    inside = cover >= 0.5 if (cover >= 0.5).any() else cover > 0
    unit = max(1, round(max(width, height) / 512))
    inside = _grown(inside, 4 * unit) if inside.sum() < (12 * unit) ** 2 else inside
    inner, middle, outer = (_grown(inside, unit * reach) for reach in (1, 3, 4))
    pixels = np.asarray(large).copy()
    pixels[outer & ~inside] = DARK
    pixels[middle & ~inner] = LIGHT
    return Image.fromarray(pixels)


def _grown(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """The mask with a border of `reach` pixels around it."""
    grown = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(2 * reach + 1))
    return np.asarray(grown) > 0
