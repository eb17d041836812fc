"""What a study's tables hold, as events and numbers of its runs. Runs of one prompt form a cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.timeline.events import Event, middle_event
from diffuscope.errors import InputError
from diffuscope.studies.statistics import Interval, clustered
from diffuscope.studies.study import Study

Floats = NDArray[np.float64]
Unit = tuple[int, int]
"""Which prompt (its index) and which seed."""


@dataclass(frozen=True)
class Evidence:
    """A study, to be asked.

    Attributes:
        study: it.
    """

    study: Study

    @cached_property
    def _values(self) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
        """Rows of the table of values by condition, measure and target."""
        found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for row in self.study.values().to_pylist():
            found.setdefault((row["condition"], row["measure"], row["target"]), []).append(row)
        return found

    @cached_property
    def runs(self) -> list[dict[str, Any]]:
        """Rows of the table of runs that were drawn, without their small pictures."""
        table = self.study.runs()
        rows: list[dict[str, Any]] = table.drop_columns(["thumbnail"]).to_pylist()
        return [row for row in rows if row["status"] == "ok"]

    @property
    def baseline(self) -> str:
        return self.study.plan.baseline

    def rows(self, measure: str, target: str = "", condition: str | None = None) -> list[dict[str, Any]]:
        """Rows of one measure, of one target, under one condition (the baseline by default).

        Raises:
            InputError: the study has no such measure: it is another plan's.
        """
        if measure not in {choice.name for choice in self.study.plan.measures}:
            raise InputError(
                f"the study {self.study.plan.study!r} has not measured {measure!r}; this finding is of another plan"
            )
        return self._values.get((condition or self.baseline, measure, target), [])

    def events(
        self, measure: str, names: Mapping[str, Sequence[str]], condition: str | None = None
    ) -> list[Event]:
        """One event a run and name; of several targets the lower median. Steps of maps that never moved, and peaks of
        flat curves, are no events.

        Args:
            measure: one whose answers are steps.
            names: name to its targets.
        """
        found = []
        for name, targets in names.items():
            times: dict[Unit, list[tuple[float, bool]]] = {}
            for target in targets:
                for unit, (time, censored) in self._steps(measure, target, condition).items():
                    times.setdefault(unit, []).append((time, censored))
            for (prompt, seed), known in times.items():
                event = middle_event(f"{prompt}/{seed}", name, known)
                found.append(Event(event.unit, name, event.time, event.censored, str(prompt)))
        return found

    def _steps(self, measure: str, target: str, condition: str | None) -> dict[Unit, tuple[float, bool]]:
        empty: set[Unit] = set()
        times: dict[Unit, tuple[float, bool]] = {}
        for row in self.rows(measure, target, condition):
            unit = (row["prompt_index"], row["seed"])
            if (row["component"] == "moved" and not row["value"]) or (
                row["component"] == "flat" and row["value"]
            ):
                empty.add(unit)
            if row["component"] or row["step"] is not None:
                continue
            if row["censored"]:
                times[unit] = (float(row["seen_to"]), True)
            elif row["value"] is not None:
                times[unit] = (float(row["value"]), False)
        return {unit: time for unit, time in times.items() if unit not in empty}

    def numbers(
        self, measure: str, target: str = "", component: str = "", condition: str | None = None
    ) -> dict[Unit, float]:
        """The one number of each run that has it."""
        return {
            (row["prompt_index"], row["seed"]): float(row["value"])
            for row in self.rows(measure, target, condition)
            if row["component"] == component and row["step"] is None and row["value"] is not None
        }

    def components(self, measure: str) -> list[str]:
        """Names of a measure's parts, in the order in which they stand."""
        return list(dict.fromkeys(row["component"] for row in self.rows(measure)))

    def curves(
        self, measure: str, target: str = "", component: str = "", condition: str | None = None
    ) -> dict[Unit, Floats]:
        """``[step]`` of each run, where the steps were kept; NaN where a step has no value."""
        found: dict[Unit, dict[int, float]] = {}
        for row in self.rows(measure, target, condition):
            if row["component"] == component and row["step"] is not None:
                value = np.nan if row["value"] is None else float(row["value"])
                found.setdefault((row["prompt_index"], row["seed"]), {})[row["step"]] = value
        return {unit: np.array([steps[at] for at in sorted(steps)]) for unit, steps in found.items()}

    def factors(self) -> dict[int, dict[str, str]]:
        """Factors of each prompt, by its index."""
        return {row["prompt_index"]: json.loads(row["factors"]) for row in self.runs}


def mean_of(numbers: Mapping[Unit, float]) -> Interval:
    """Mean with its interval, whole prompts drawn again.

    Raises:
        InputError: there is no number.
    """
    if not numbers:
        raise InputError("no run of the study has a value to take the mean of; run it first")
    return clustered(list(numbers.values()), [prompt for prompt, _ in numbers])


def difference_of(first: Mapping[Unit, float], second: Mapping[Unit, float]) -> Interval:
    """Mean of second - first over runs of one prompt and seed, with its interval, whole prompts drawn again."""
    return mean_of({unit: second[unit] - value for unit, value in first.items() if unit in second})


def banded(curves: Mapping[Unit, Floats], resamples: int = 400) -> tuple[Floats, Floats, Floats]:
    """Mean curve ``[step]`` and its 95% interval at each step, whole prompts drawn again (percentiles)."""
    prompts = sorted({prompt for prompt, _ in curves})
    per = [np.stack([curve for (prompt, _), curve in curves.items() if prompt == own]) for own in prompts]
    sums, counts = np.stack([each.sum(axis=0) for each in per]), np.array([len(each) for each in per])
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(resamples):
        chosen = random.integers(len(prompts), size=len(prompts))
        drawn.append(sums[chosen].sum(axis=0) / counts[chosen].sum())
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    return sums.sum(axis=0) / counts.sum(), low, high
