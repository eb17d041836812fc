"""A statistic, declared: what a claim's value is, and the one function that computes it, for the first time and
again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diffuscope.explain.claim import Value
from diffuscope.selection import Selection

Compute = Callable[[Any, Selection, Selection | None], Value]
"""From evidence (of one run, or of two), a selection, and a second one where the statistic is of two."""

SHARE, PROBABILITY, STEP, COUNT, TRUTH, TEXT = "share", "probability", "step", "count", "truth", "text"
RATIO, CORRELATION, DELTA_E, PLAIN = "times", "correlation", "delta-E", "number"
PIXELS = "pixels"

HUNDREDTHS = (SHARE, PROBABILITY)
"""Units that are said in per cent."""


@dataclass(frozen=True)
class Statistic:
    """What a claim's value is.

    Attributes:
        name: in claims and JSON.
        title: in words.
        unit: of its value.
        definition: what it means, in full sentences.
        compute: its value.
        pair: whether it is of a run beside an edited one (`diffuscope.explain.pair.Pair`), not of one run
            (`diffuscope.explain.evidence.Evidence`).
    """

    name: str
    title: str
    unit: str
    definition: str
    compute: Compute
    pair: bool = False
