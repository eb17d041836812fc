"""Damage to a file's bytes, as disks, editors and fuzzers do it."""

from __future__ import annotations

import random


def mutated(content: bytes, rng: random.Random) -> bytes:
    """One to three of: a byte changed, bytes cut out, bytes put in, the end cut off, two stretches swapped."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at, size = rng.randrange(len(data) or 1), rng.randint(1, 16)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = rng.randbytes(size)
            case 3:
                del data[at:]
            case 4:
                other = rng.randrange(len(data) or 1)
                low, high = sorted((at, other))
                size = min(size, high - low)
                data[low : low + size], data[high : high + size] = (
                    data[high : high + size],
                    data[low : low + size],
                )
    return bytes(data)
