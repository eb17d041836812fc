"""What moves a particle: closed formulas of its number, a seed and the time. Nothing accumulates.

Everything here is a pure function of its arguments, so that the same moment looks the same whether it is reached
forwards, backwards or alone. Numbers of particles are turned to chance by integers modulo 2**32, which any language and
any graphics card reproduces bit for bit; the rest is float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_PLASTIC = (3242174889, 2447445414)
"""2**32 / p and 2**32 / p**2, p the plastic number: steps of the R2 sequence (Roberts 2018, "The Unreasonable
Effectiveness of Quasirandom Sequences")."""

LOOPS = 3
"""Fastest turn of the wind: times around in one film. Whole numbers of turns make the film a loop."""


def chance(ids: NDArray[np.uint32], seed: int, stream: int) -> Floats:
    """A number in [0, 1) for each particle, float32 ``[particle]``; another for each stream and seed.

    The hash is Wellons' lowbias32 (2018, "Prospecting for Hash Functions").
    """
    start = (seed * 0x9E3779B9 + stream * 0x85EBCA6B) & 0xFFFFFFFF
    x = _mixed(ids.astype(np.uint32) ^ _mixed(np.array([start], np.uint32)))
    # 24 bits: as many as float32 holds.
    return ((x >> np.uint32(8)).astype(np.float64) / 2**24).astype(np.float32)


def _mixed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return np.asarray(x ^ (x >> np.uint32(16)))


def homes(count: int) -> Floats:
    """Where particles live in the picture, ``[particle, 2]`` of (right, down) in [0, 1).

    An R2 sequence: any first part of it covers the picture evenly, so fewer particles are the same film, coarser.
    """
    ids = np.arange(count, dtype=np.uint64)
    turns = [
        ((ids * np.uint64(step) + np.uint64(2**31)) & np.uint64(0xFFFFFFFF)) >> np.uint64(8)
        for step in _PLASTIC
    ]
    return np.stack([(turn.astype(np.float64) / 2**24).astype(np.float32) for turn in turns], axis=1)


def smoothstep(low: float, high: float, x: NDArray[np.floating] | float) -> Floats:
    """0 below `low`, 1 above `high`, ``3 x**2 - 2 x**3`` between."""
    at = np.clip((np.asarray(x, np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(at * at * (3 - 2 * at), np.float32)


def wind(place: Floats, luck: Floats, time: float, character: Floats) -> Floats:
    """Where the wind has blown particles, ``[particle, 3]``, about 1 at most along each axis.

    Sums of sines over the particle's place, so neighbours drift together, with a part of chance. It comes back to where
    it was when `time` goes from 0 to 1.

    Args:
        place: ``[particle, 3]`` where the particles are without it.
        luck: ``[particle, 3]`` in [0, 1).
        time: place in the film, 0 to 1.
        character: ``[particle, 2]``: angle that a word's wind is turned by, and how fine its eddies are.
    """
    turn = np.float32(2 * np.pi)
    angle, fine = character[:, :1], character[:, 1:]
    x, y, z = (place[:, axis : axis + 1] * fine for axis in range(3))
    t = np.float32(time) * turn
    along = np.sin(2.1 * y + 1.3 * z + angle + t) + 0.5 * np.sin(4.7 * y - 2.9 * x + 2 * t + 1.7 * angle)
    up = np.sin(1.9 * z + 1.7 * x + 1.9 * angle - t) + 0.5 * np.sin(5.3 * x + 3.1 * z - 2 * t)
    deep = np.sin(2.3 * x + 1.1 * y + 0.7 * angle + t) + 0.5 * np.sin(4.3 * y + 3.7 * x + LOOPS * t)
    eddies = np.concatenate([along, up, deep], axis=1) / 1.5
    own = np.sin(turn * luck + t * np.float32(1.0) + angle)
    return np.asarray(0.72 * eddies + 0.28 * own, np.float32)


@dataclass(frozen=True)
class Moment:
    """A place in the flow.

    Attributes:
        progress: 0 at the run's first step, 1 at its last.
        focus: 0 for the whole picture, 1 for the words.
        time: 0 to 1, what the wind and the camera go by; 1 is 0 again.
    """

    progress: float
    focus: float
    time: float


BEGIN, END, DISSOLVE = 0.04, 0.68, 0.84
"""Of the film: when the steps begin to run, when the last is reached, when the picture falls apart again."""


def moment(time: float, *, words: bool) -> Moment:
    """The film's flow: noise, structure, detail, on the way into the words and back out, and apart again.

    Args:
        time: 0 to 1; 1 is the same moment as 0, so the film is a loop. Others count modulo 1.
        words: whether it goes into the words.
    """
    time = time % 1.0
    run = min(max((time - BEGIN) / (END - BEGIN), 0.0), 1.0)
    forward = 0.5 * run + 0.5 * float(smoothstep(0, 1, run))
    progress = forward * (1.0 - float(smoothstep(DISSOLVE, 1.0, time)))
    focus = float(smoothstep(0.22, 0.36, time) * (1 - smoothstep(0.61, 0.73, time))) if words else 0.0
    return Moment(progress, focus, time)
