"""Further arguments of a pipeline's call, as a manifest holds them: numbers and texts whole, the rest by checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image


def described(options: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON. What is no number, text, or list of them becomes an object with `kind`, and where it has content
    `sha256` of its bytes: enough to see whether two runs had the same, and never mistaken for the thing itself."""
    return {name: _described(value) for name, value in options.items() if value is not None}


def again(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options of a manifest that can be given again, and the names of those of which it holds a checksum only."""
    lost = [name for name, value in options.items() if _has_object(value)]
    return {name: value for name, value in options.items() if name not in lost}, lost


def _described(value: Any) -> Any:
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [_described(each) for each in value]
    if isinstance(value, Image.Image):
        return {
            "kind": "picture",
            "mode": value.mode,
            "width": value.width,
            "height": value.height,
            "sha256": hashlib.sha256(value.tobytes()).hexdigest(),
        }
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous()
        return _array(value.flatten().view(torch.uint8).numpy(), str(value.dtype), list(value.shape))
    if isinstance(value, np.ndarray):
        return _array(np.ascontiguousarray(value), str(value.dtype), list(value.shape))
    return {"kind": type(value).__name__}


def _array(content: np.ndarray, dtype: str, shape: list[int]) -> dict[str, Any]:
    digest = hashlib.sha256(content.tobytes()).hexdigest()
    return {"kind": "tensor", "dtype": dtype.removeprefix("torch."), "shape": shape, "sha256": digest}


def _has_object(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(_has_object(each) for each in value))
