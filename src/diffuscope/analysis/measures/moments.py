"""Answers that are moments of a run: a step, with its timestep and log-SNR, and what is to be said beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class At:
    """A step of a run.

    Attributes:
        step: its index, 0 is the noisiest.
        timestep: as the scheduler counts.
        log_snr: ``2 ln(alpha / sigma)``; None where it is infinite or unknown. Comparable between schedulers.
    """

    step: int
    timestep: float
    log_snr: float | None

    def facts(self) -> dict[str, Any]:
        return {"step": self.step, "timestep": self.timestep, "log_snr": self.log_snr}


@dataclass(frozen=True)
class PeakStep:
    """See the measure ``peak``.

    Attributes:
        at: the step.
        near: steps of the peak's range, ascending.
        flat: the curve hardly moves: the peak says nothing.
        boundary: the peak is the first or last step.
        value: the smoothed mass there.
    """

    at: At
    near: tuple[int, ...]
    flat: bool
    boundary: bool
    value: float

    def facts(self) -> dict[str, Any]:
        return {
            **self.at.facts(),
            "near": list(self.near),
            "flat": self.flat,
            "boundary": self.boundary,
            "value": self.value,
        }

    def __str__(self) -> str:
        flags = [name for name in ("flat", "boundary") if getattr(self, name)]
        said = f" ({', '.join(flags)})" if flags else ""
        gaps = "" if len(self.near) == self.near[-1] - self.near[0] + 1 else ", with gaps"
        return f"{self.at.step} [{self.near[0]}-{self.near[-1]}{gaps}]{said}"


@dataclass(frozen=True)
class SettledStep:
    """See the measure ``stabilisation``.

    Attributes:
        at: the step.
        moved: whether the map was ever further from its last than the threshold. A map that is spread over the
            picture
            from first to last never is, and its step 0 says nothing.
    """

    at: At
    moved: bool

    def facts(self) -> dict[str, Any]:
        return {**self.at.facts(), "moved": self.moved}

    def __str__(self) -> str:
        return f"{self.at.step}" + ("" if self.moved else " (never moved)")


@dataclass(frozen=True)
class EmergenceStep:
    """See the measures ``emergence_attention`` and ``emergence_image``.

    Attributes:
        at: the step, or None: censored, not there in any step that was seen.
        seen_to: the last step that was seen.
        threshold: what the curve had to reach.
        against: what it was measured against.
    """

    at: At | None
    seen_to: At
    threshold: float
    against: str

    @property
    def censored(self) -> bool:
        return self.at is None

    def facts(self) -> dict[str, Any]:
        where = self.at.facts() if self.at else {"step": None, "timestep": None, "log_snr": None}
        return {
            **where,
            "censored": self.censored,
            "seen_to": self.seen_to.step,
            "threshold": self.threshold,
            "against": self.against,
        }

    def __str__(self) -> str:
        return f"{'never' if self.at is None else self.at.step} (against {self.against})"


@dataclass(frozen=True)
class Phases:
    """See the measure ``phases``. Name to first and last step; phases that have no step are left out."""

    of: dict[str, tuple[At, At]]

    def facts(self) -> dict[str, Any]:
        return {
            name: {"first": first.facts(), "last": last.facts()} for name, (first, last) in self.of.items()
        }

    def __str__(self) -> str:
        return ", ".join(f"{name} {first.step}-{last.step}" for name, (first, last) in self.of.items())


@dataclass(frozen=True)
class BreakSteps:
    """See the measure ``change_points``.

    Attributes:
        at: the steps that begin a new segment.
        axis: what the lines run along, ``log-SNR`` or ``step``.
        criterion: Liu, Wu & Zidek's with no break, one, two; the least was taken.
    """

    at: tuple[At, ...]
    axis: str
    criterion: tuple[float, ...]

    def facts(self) -> dict[str, Any]:
        return {
            "at": [each.facts() for each in self.at],
            "axis": self.axis,
            "criterion": list(self.criterion),
        }

    def __str__(self) -> str:
        return ", ".join(str(each.step) for each in self.at) or "none"
