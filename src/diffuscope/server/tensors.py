"""Maps as safetensors for the page: float32 while small, else float16 behind a power of two, with exact ranges."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.recording.tensors import safetensors_parts

EXACT_BYTES = 256 * 2**10
"""Up to this size of the maps in float32 they are sent so."""

MEDIA_TYPE = "application/vnd.safetensors"


def pack(maps: NDArray[np.floating], about: Mapping[str, Any], *, exact: bool = False) -> bytes:
    """A file with ``maps`` ``[..., y, x]`` and ``min``, ``max``, ``mean`` ``[...]`` over each map, float32.

    Args:
        maps: of any number of leading axes.
        about: goes into the metadata: texts as they are, anything else as JSON.
        exact: float32 whatever the size.

    Returns:
        The file. Its metadata has ``scale`` too: a value is what is stored times it. In float16 the scale is a power of
        two that brings the largest value just below 2^15, so that a value is stored to 2^-11 of itself down to 2^-29
        of the largest one.
    """
    values = np.ascontiguousarray(maps, np.float32)
    scale = 1.0
    stored: NDArray[Any] = values
    if values.nbytes > EXACT_BYTES and not exact:
        largest = float(np.nanmax(np.abs(values)))
        if largest > 0 and math.isfinite(largest):
            scale = 2.0 ** (math.ceil(math.log2(largest)) - 15)
        stored = (values.astype(np.float64) / scale).astype(np.float16)
    wide = values.astype(np.float64)
    # One map alone has ranges of shape [1]: not every reader takes tensors without axes.
    over = tuple(range(1, 3)) if values.ndim == 2 else (-2, -1)
    wide = wide[None] if values.ndim == 2 else wide
    tensors = {
        "maps": stored,
        "min": wide.min(axis=over).astype(np.float32),
        "max": wide.max(axis=over).astype(np.float32),
        "mean": wide.mean(axis=over).astype(np.float32),
    }
    notes = {"scale": repr(scale), "grid": f"{values.shape[-2]}x{values.shape[-1]}", **about}
    # The package's own writer: the library puts the metadata in another order each time, and one answer must have
    # one form in bytes.
    return b"".join(safetensors_parts(tensors, {name: _text(value) for name, value in notes.items()}))


def plain(value: Any) -> Any:
    """Values that JSON can hold: NaN and infinities become None, NumPy's numbers and arrays Python's."""
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    return value


def as_json(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
