"""Which scheduler step each entry of a scheduler's timetable belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

RUNGE_KUTTA_CALLS = 4


def steps_of(scheduler: Any, timesteps: Sequence[float]) -> list[int]:
    """The step, counted from 0, that each entry of `scheduler.timesteps` serves, after `set_timesteps`.

    Most schedulers have one entry a step. Two-stage ones (Heun, KDPM2) evaluate every step but the last twice, PNDM its
    first step (`skip_prk_steps`) or, four times each, its first three (Runge-Kutta; Liu et al. 2022, section 3.3). The
    number of steps asked for says which it is; timesteps alone cannot, since spacings that are dense at the end
    (Karras) round two steps to one.
    """
    entries = len(timesteps)
    steps = getattr(scheduler, "num_inference_steps", None)
    if steps == entries:
        return list(range(entries))
    if steps is not None and entries == 2 * steps - 1:
        return [entry // 2 for entry in range(entries)]
    runge_kutta = getattr(scheduler, "prk_timesteps", None)
    early = 0 if runge_kutta is None else len(runge_kutta)
    if early and early < entries:
        first = early // RUNGE_KUTTA_CALLS
        return [
            entry // RUNGE_KUTTA_CALLS if entry < early else first + entry - early for entry in range(entries)
        ]
    return _by_repetition(timesteps)


def _by_repetition(timesteps: Sequence[float]) -> list[int]:
    """A timetable t0, t1, t1, t2, …: the first t1 still serves the step from t0, the second begins the next."""
    found: list[int] = []
    for entry, timestep in enumerate(timesteps):
        corrects = entry > 0 and entry + 1 < len(timesteps) and timesteps[entry + 1] == timestep
        found.append(found[-1] + (not corrects) if found else 0)
    return found
