"""Batches of drawn scenes, each a function of its number alone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.scenes.grammar import Description, Scene, lay_out, sample_split
from diffuscope.scenes.renderer import render


def scene(seed: int, index: int) -> tuple[Description, Scene, np.random.Generator]:
    """The `index`-th training scene of a seed, and the generator that goes on to phrase its caption."""
    rng = np.random.default_rng([seed, index])
    description = sample_split(rng, "train")
    return description, lay_out(description, rng), rng


def pictures(seed: int, indices: range) -> NDArray[np.uint8]:
    """Drawn training scenes `[picture, y, x, channel]`."""
    return np.stack([render(scene(seed, index)[1]).image for index in indices])


def weighed(seed: int, indices: range) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Drawn training scenes `[picture, y, x, channel]` and how much each pixel weighs, `[picture, y, x]`, mean about
    1.3: 1 on the backdrop, 4 on things. They are what is asked for, and cover a tenth of a picture."""
    drawn = [render(scene(seed, index)[1]) for index in indices]
    weights = [1 + 3 * each.masks.max(axis=0) for each in drawn]
    return np.stack([each.image for each in drawn]), np.stack(weights)


def to_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 `[picture, y, x, channel]` to float32 `[picture, channel, y, x]` in -1 to 1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous()


def to_images(tensor: torch.Tensor) -> NDArray[np.uint8]:
    """The inverse of `to_tensor`, clipped."""
    array = (tensor.clamp(-1, 1) + 1).mul(127.5).round().to(torch.uint8)
    return array.permute(0, 2, 3, 1).cpu().numpy()
