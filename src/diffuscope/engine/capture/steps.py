"""Which scheduler step each entry of a scheduler's timetable belongs to."""

from __future__ import annotations

from collections.abc import Sequence


def steps_of(timesteps: Sequence[float]) -> list[int]:
    """The step, counted from 0, that each entry of `scheduler.timesteps` serves.

    Most schedulers have one entry a step. Two-stage ones list a timestep twice: Heun evaluates the end point of a
    step a second time to correct it, PNDM (skip_prk_steps) does so once, in its first step. There the timetable reads
    t0, t1, t1, t2, t2, …: the first t1 still serves the step from t0, the second begins the step from t1.
    """
    steps: list[int] = []
    for entry, timestep in enumerate(timesteps):
        corrects = entry > 0 and entry + 1 < len(timesteps) and timesteps[entry + 1] == timestep
        if not steps:
            steps.append(0)
        else:
            steps.append(steps[-1] if corrects else steps[-1] + 1)
    return steps
