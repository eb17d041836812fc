"""Random changes of a given norm, the same on every device and in every order of computing."""

from __future__ import annotations

import hashlib

import torch


def random_like(
    delta: torch.Tensor, place: tuple[object, ...], weight: torch.Tensor | None = None
) -> torch.Tensor:
    """A random tensor of the shape and Euclidean norm of `delta`, in its type.

    Args:
        delta: the change that it is the control of.
        place: what it is random for (seed, site, step, …): the same place gives the same direction.
        weight: times this before it is brought to the norm, so that it is 0 where this is.
    """
    digest = hashlib.sha256(repr(place).encode()).digest()
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:7], "big"))
    noise = torch.randn(delta.shape, generator=generator).to(delta)
    if weight is not None:
        noise = noise * weight
    norm = noise.norm()
    return noise * (delta.norm() / norm) if float(norm) > 0 else torch.zeros_like(noise)
