"""Values that JSON can hold, which has neither infinity nor "not a number"."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> Any:
    """A value made of dicts, lists and plain values, with None in place of every number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
