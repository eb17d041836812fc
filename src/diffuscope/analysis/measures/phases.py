"""Phases of a run: the plan of 20, 40 and 40 per cent, and where the run's own curves break."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffuscope.analysis.measures.spatial import Floats, Wide

PLAN: tuple[tuple[str, float], ...] = (("noise", 0.0), ("structure", 0.2), ("detail", 0.6))
"""Name of each phase and the share of the steps at which it begins: of 50, steps 0-9, 10-29 and 30-49."""

MOST_BREAKS = 2
"""As many as the plan has."""
SHORTEST = 3
"""Steps that a segment has at least: a line through two would fit them whatever they are."""


@dataclass(frozen=True)
class Breaks:
    """Where curves break.

    Attributes:
        at: positions that begin a new segment, ascending; empty where no break pays.
        cost: residual sum of squares with no break, one, …, ``[break count]``, of standardised curves.
        criterion: Liu, Wu & Zidek's of the same.
        axis: what the lines run along: ``log-SNR`` or ``step``.
    """

    at: tuple[int, ...]
    cost: tuple[float, ...]
    criterion: tuple[float, ...]
    axis: str


def planned(steps: int) -> dict[str, tuple[int, int]]:
    """Name to ``(first, end)``, end excluded, of the plan scaled to a number of steps. Short runs may leave one
    empty."""
    starts = [round(share * steps) for _, share in PLAN]
    return {
        name: (start, end) for (name, _), start, end in zip(PLAN, starts, [*starts[1:], steps], strict=True)
    }


def change_points(curves: Floats, log_snr: Floats | None, most: int = MOST_BREAKS) -> Breaks:
    """Where several curves break together, piecewise linear in log-SNR.

    Each segment has a line of its own for every curve, fitted by least squares; the places of a given number of
    breaks are the best of all (dynamic programming: Bai & Perron 2003, J. Appl. Econometrics 18:1), and their number
    has the least criterion of Liu, Wu & Zidek (1997, Statistica Sinica 7:497), which finds fewer breaks in noise
    than BIC does. Errors count as independent, which those of neighbouring steps are not: a break describes the
    curves and tests nothing.

    Args:
        curves: ``[step, curve]``; each is standardised first, and constant ones count for nothing.
        log_snr: ``[step]``. Where a value is not finite (the ends of some schedules), or None is given, lines run
            along the step's position instead.
        most: breaks at most.
    """
    values = np.asarray(curves, np.float64)
    values = values.reshape(len(values), -1)
    deviation = values.std(axis=0)
    moving = deviation > 1e-12 * np.maximum(np.abs(values).max(axis=0, initial=0.0), 1e-300)
    values = (values[:, moving] - values[:, moving].mean(axis=0)) / deviation[moving]
    along, axis = np.arange(len(values), dtype=np.float64), "step"
    if log_snr is not None and np.isfinite(log_snr).all():
        along, axis = np.asarray(log_snr, np.float64), "log-SNR"
    steps, count = values.shape
    if not count or steps < 2 * SHORTEST:
        return Breaks((), (0.0,), (0.0,), axis)
    cost = _costs(along, values)
    # best[k][end]: least cost of the first `end` steps in k + 1 segments, and where the last of them begins.
    best = [{end: (cost[0, end], 0) for end in range(SHORTEST, steps + 1)}]
    for _ in range(most):
        before, row = best[-1], {}
        for end in range(SHORTEST, steps + 1):
            found = [
                (before[at][0] + cost[at, end], at)
                for at in range(SHORTEST, end - SHORTEST + 1)
                if at in before
            ]
            if found:
                row[end] = min(found)
        if steps not in row:
            break
        best.append(row)
    totals = [row[steps][0] for row in best]
    samples = steps * count
    # Two numbers a line and curve, and the place of each break.
    sizes = [2 * count * (k + 1) + k for k in range(len(totals))]
    penalty = 0.299 * float(np.log(samples)) ** 2.1 / samples
    criterion = [
        float(np.log(max(total, 1e-12) / (samples - size))) + size * penalty
        if size < samples
        else float("inf")
        for total, size in zip(totals, sizes, strict=True)
    ]
    chosen, at, end = int(np.argmin(criterion)), [], steps
    for k in range(chosen, 0, -1):
        end = best[k][end][1]
        at.append(end)
    return Breaks(tuple(reversed(at)), tuple(map(float, totals)), tuple(criterion), axis)


def _costs(along: Wide, values: Wide) -> dict[tuple[int, int], float]:
    """Residual sum of squares of a line a curve over every stretch of at least `SHORTEST` steps, by (first, end)."""
    out = {}
    for first in range(len(along)):
        for end in range(first + SHORTEST, len(along) + 1):
            x, y = along[first:end] - along[first:end].mean(), values[first:end]
            y = y - y.mean(axis=0)
            square = float(x @ x)
            slope = (x @ y) / square if square > 0 else np.zeros(y.shape[1])
            out[first, end] = float(((y - x[:, None] * slope) ** 2).sum())
    return out
