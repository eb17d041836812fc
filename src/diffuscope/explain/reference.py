"""What is usual: robust statistics of recorded runs of the shipped model, which values of a run are held against.

The file beside this module is made by ``python scripts/explanation_reference.py``; it says from which runs. It holds of
the shipped model with its own scheduler and guidance alone, and other runs have no reference.

Robust: median and median absolute deviation of logarithms, for attention is never negative and its distributions have
long tails to the right. A value is unusual where its modified z-score, ``0.6745 (x - median) / MAD`` of logarithms, is
beyond 3.5 (Iglewicz & Hoaglin 1993, How to Detect and Handle Outliers, section 3.3) and it lies outside the 5th to the
95th percentile by a quarter at least.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.explain.claim import Beside
from diffuscope.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffuscope.recording import Manifest
    from diffuscope.run import Run

FILE = "reference.json"
OUTLIER = 3.5
"""Modified z-score beyond which a value is unusual."""
BEYOND = 1.25
"""Times that it must lie beyond the 5th or 95th percentile besides."""
TINY = 1e-9
"""Least value whose logarithm is taken."""
FEWEST = 20
"""Reference values below which nothing is said to be usual."""
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
"""The file whose hash says whether a run is of the model that the reference is of."""


@dataclass(frozen=True)
class Usual:
    """The distribution of one value over the reference runs.

    Attributes:
        n: how many values.
        median: of the values.
        log_mad: median absolute deviation of their natural logarithms from that of the median.
        low, high: 5th and 95th percentile.
    """

    n: int
    median: float
    log_mad: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Usual:
        """From at least one value, none of them negative."""
        array = np.asarray(values, np.float64)
        low, high = (float(each) for each in np.quantile(array, [0.05, 0.95]))
        logs = np.log(np.maximum(array, TINY))
        middle = float(np.median(logs))
        return cls(len(array), float(np.median(array)), float(np.median(np.abs(logs - middle))), low, high)

    def z(self, value: float) -> float:
        """Modified z-score of the logarithm; 0 where there are too few values, or all are alike."""
        if self.n < FEWEST or not self.log_mad > 0:
            return 0.0
        return 0.6745 * math.log(max(value, TINY) / max(self.median, TINY)) / self.log_mad

    def outlier(self, value: float) -> bool:
        """Whether a value is unusual."""
        return abs(self.z(value)) > OUTLIER and not self.low / BEYOND <= value <= self.high * BEYOND

    def beside(self, what: str) -> Beside:
        """As what a claim is held against: median, 5th and 95th percentile."""
        return Beside(what, self.median, self.low, self.high, self.n)

    def to_json(self) -> dict[str, float | int]:
        return {
            "n": self.n,
            "median": _short(self.median),
            "log_mad": _short(self.log_mad),
            "low": _short(self.low),
            "high": _short(self.high),
        }


def _short(value: float) -> float:
    return float(f"{value:.6g}")


@dataclass(frozen=True)
class Tried:
    """How often something helped, in the reference runs in which it was needed.

    Attributes:
        n: runs in which it was tried.
        helped: runs in which the word then came true.
    """

    n: int
    helped: int


class Reference:
    """The reference statistics.

    Attributes:
        provenance: which runs they are from.
        edges: log-SNR that parts the steps into stretches, ascending: stretch i lies between edges i and i + 1.
        digest: of all of it.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.provenance: Mapping[str, Any] = given["provenance"]
        self.edges: tuple[float, ...] = tuple(given["edges"])
        self._usual: Mapping[str, Any] = given["usual"]
        self._tried: Mapping[str, Any] = given.get("tried", {})
        self.digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:16]

    def usual(self, statistic: str, role: str, where: str = "all") -> Usual | None:
        """How a statistic is distributed over words of a role that came true.

        Args:
            statistic: its name.
            role: ``noun``, ``attribute``, ``place``, ``look`` (light and style), ``relation``, or ``run``.
            where: ``all``, a stretch (``stretch 2``) or a site's name.
        """
        found = self._usual.get(statistic, {}).get(role, {}).get(where)
        return None if found is None else Usual(**found)

    def tried(self, role: str, what: str) -> Tried | None:
        """How often a remedy (``steer``, ``reweight``, ``order``, ``seed``) helped words of a role."""
        found = self._tried.get(role, {}).get(what)
        return None if found is None else Tried(**found)

    def stretches(self, run: Run) -> dict[str, Selection]:
        """Name to the steps of a run between two edges; stretches without a step are left out."""
        found: dict[str, Selection] = {}
        for at in range(len(self.edges) - 1):
            inside = [
                step.index
                for step in run.manifest.steps
                if step.log_snr is not None and self.edges[at] <= step.log_snr < self.edges[at + 1]
            ]
            if inside:
                found[f"stretch {at}"] = Selection.of(steps=inside)
        return found

    def holds_of(self, manifest: Manifest) -> bool:
        """Whether a run is of the model and settings that these statistics are of, and not edited."""
        sampling, about = manifest.sampling, self.provenance
        weights = {each.path: each.sha256 for each in manifest.model.files}.get(WEIGHTS)
        return (
            manifest.model.id == about["model"]
            and weights == about["weights"]
            and sampling.scheduler.name == about["scheduler"]
            and sampling.guidance_scale == about["guidance_scale"]
            and sampling.negative_prompt is None
            and manifest.keep.branch == "cond"
        )


@lru_cache(maxsize=1)
def shipped() -> Reference:
    """The reference that ships with the package."""
    text = files("diffuscope.explain").joinpath(FILE).read_text(encoding="utf-8")
    return Reference(json.loads(text))


def reference_of(run: Run) -> Reference | None:
    """The reference that holds of a run, or None."""
    reference = shipped()
    return reference if reference.holds_of(run.manifest) else None
