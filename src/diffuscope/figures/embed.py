"""Arrays and pictures as text inside a page, with a plain word on what was lost on the way."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

FLOAT16_BYTES = 3 * 2**20
"""Up to here maps travel as float16; larger ones as a byte a patch."""
LARGEST_BYTES = 12 * 2**20
"""Above this many patches in all, maps are brought to a coarser grid first (see `coarser`)."""
LARGEST_PNG = 400_000
PREVIEW_SIDE = 256


@dataclass(frozen=True)
class EmbeddedMaps:
    """Maps as they stand in a page.

    Attributes:
        data: what templates/js/maps.js decodes: encoding, shape ``[word, slot, y, x]``, base64 bytes, ranges.
        precision: one sentence about it for the reader.
    """

    data: dict[str, Any]
    precision: str


def embed_maps(stack: NDArray[np.float32]) -> EmbeddedMaps:
    """Encode probabilities ``[word, slot, y, x]``.

    float16 where that stays small: relative error below 2^-11, absolute below 3e-8 for the tiniest values
    (attention to a word lies far above). Otherwise a byte a patch over each map's own minimum to maximum.
    """
    data: dict[str, Any] = {"shape": list(stack.shape), "ranges": None}
    if 2 * stack.size <= FLOAT16_BYTES:
        data |= {"encoding": "float16", "data": base64(stack.astype("<f2").tobytes())}
        return EmbeddedMaps(data, "Values stand in this page as float16, three digits.")
    flat = stack.reshape(-1, stack.shape[-2] * stack.shape[-1]).astype(np.float64)
    low, high = flat.min(axis=1), flat.max(axis=1)
    extent = np.where(high > low, high - low, 1.0)
    levels = np.rint((flat - low[:, None]) / extent[:, None] * 255).astype(np.uint8)
    data |= {
        "encoding": "uint8",
        "data": base64(levels.tobytes()),
        "ranges": [[significant(a, 6), significant(b, 6)] for a, b in zip(low, high, strict=True)],
    }
    return EmbeddedMaps(data, "Values stand in this page as 256 levels from each map's least to greatest.")


def coarser(grid: tuple[int, int], maps: int) -> tuple[int, int]:
    """The grid ``(height, width)`` that so many maps are shown on: halved until they fit into a page."""
    height, width = grid
    while height * width * maps > LARGEST_BYTES and min(height, width) > 8:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def picture_address(image: Image.Image) -> tuple[str, str]:
    """A data address of the picture, and how it was kept: PNG as it is, or WebP where that would be large."""
    image = image.convert("RGB")
    png = _encoded(image, "PNG", optimize=True)
    if len(png) <= LARGEST_PNG:
        return _address(png, "png"), ""
    return _lossy(image, 90), "shown here compressed, quality 90"


def preview_address(image: Image.Image) -> str:
    """A data address of a step's predicted picture: at most 256 pixels a side, compressed."""
    image = image.convert("RGB")
    if max(image.size) > PREVIEW_SIDE:
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE), Image.Resampling.LANCZOS)
    return _lossy(image, 85)


def significant(value: float, digits: int) -> float:
    """The number with so many significant digits, so that JSON stays short."""
    return float(f"{float(value):.{digits - 1}e}")


def base64(data: bytes) -> str:
    """Base64 text of bytes."""
    return b64encode(data).decode("ascii")


def _lossy(image: Image.Image, quality: int) -> str:
    if features.check("webp"):
        return _address(_encoded(image, "WEBP", quality=quality, method=6), "webp")
    return _address(_encoded(image, "JPEG", quality=quality), "jpeg")


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _address(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64(data)}"
