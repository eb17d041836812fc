"""When a curve peaks, and when a map stops changing. Positions are places in the series; faces turn them into
steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffuscope.analysis.measures.spatial import Floats, Wide, distribution

NEAR_PEAK = 0.1
"""The peak's range: within this share of (max - min) of the maximum."""
FLAT = 0.05
"""A curve is flat where (max - min) / mean stays below this."""
SETTLED = 0.05
"""Jensen-Shannon divergence, base 2, up to which two maps count as the same."""


@dataclass(frozen=True)
class Peak:
    """Where a curve is highest.

    Attributes:
        at: position of the maximum of the smoothed curve, the first of several.
        near: positions, ascending, within 10% of (max - min) of the maximum; they may leave gaps.
        flat: (max - min) / mean of the smoothed curve is below 0.05: the peak says nothing.
        boundary: it lies at the first or last position, so the curve's true peak may lie outside.
        value: the smoothed curve there.
    """

    at: int
    near: tuple[int, ...]
    flat: bool
    boundary: bool
    value: float


def smoothed(curve: Floats) -> Wide:
    """Centred mean over three neighbours; at both ends over the two that there are."""
    values = np.asarray(curve, np.float64)
    padded = np.concatenate([[0.0], values, [0.0]])
    count = np.convolve(np.ones(len(values)), np.ones(3), "full")[1:-1]
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / count)


def peak(curve: Floats) -> Peak:
    """The peak of a curve ``[step]`` after a centred 3-step mean."""
    smooth = smoothed(curve)
    low, high, mean = float(smooth.min()), float(smooth.max()), float(smooth.mean())
    at = int(smooth.argmax())
    near = tuple(int(each) for each in np.flatnonzero(smooth >= high - NEAR_PEAK * (high - low)))
    flat = not mean > 0 or (high - low) / mean < FLAT
    return Peak(at, near, flat, at in (0, len(smooth) - 1), high)


def divergence_from_last(maps: Floats) -> Wide:
    """Jensen-Shannon divergence (base 2, 0 to 1) of each step's ``q`` from the last step's, ``[step]``.

    ``JSD(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2`` (Lin 1991, IEEE Trans. Inf. Theory 37:145).
    """
    q = distribution(maps)
    last = q[-1]
    return np.clip(_entropy2((q + last) / 2) - (_entropy2(q) + _entropy2(last[None])) / 2, 0.0, 1.0)


def stabilisation(maps: Floats) -> int:
    """Smallest position from which on the map stays within `SETTLED` of the last one. The last one itself always
    does."""
    apart = np.flatnonzero(divergence_from_last(maps) > SETTLED)
    return int(apart[-1]) + 1 if len(apart) else 0


def _entropy2(q: Wide) -> Wide:
    logs = np.log2(q, out=np.zeros_like(q), where=q > 0)
    return np.asarray(-(q * logs).sum(axis=1))
