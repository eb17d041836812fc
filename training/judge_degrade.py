"""What happens to pictures on their way to the judge: soft edges, wobbling outlines, shifted colours, blocks, noise.

All act on float32 `[picture, channel, y, x]` in -1 to 1 and draw from torch's generator. They stay within what leaves
the colours of the vocabulary distinguishable.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional


def blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur, `sigma` in pixels."""
    reach = max(1, math.ceil(2.5 * sigma))
    weights = torch.exp(-(torch.arange(-reach, reach + 1).float() ** 2) / (2 * sigma**2))
    kernel = (weights / weights.sum()).expand(3, 1, 1, -1)
    wide = functional.pad(images, (reach, reach, 0, 0), mode="replicate")
    once = functional.conv2d(wide, kernel, groups=3)
    tall = functional.pad(once, (0, 0, reach, reach), mode="replicate")
    return functional.conv2d(tall, kernel.transpose(2, 3), groups=3)


def shrunk(images: torch.Tensor, side: int) -> torch.Tensor:
    """Down to `side` pixels and up again."""
    small = functional.interpolate(images, size=(side, side), mode="area")
    return functional.interpolate(small, size=images.shape[-2:], mode="bicubic", align_corners=False)


def _cosines() -> torch.Tensor:
    """The 8 x 8 discrete cosine transform (DCT-II, orthonormal)."""
    row, column = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
    matrix = torch.cos((2 * column + 1) * row * math.pi / 16) * 0.5
    matrix[0] /= math.sqrt(2)
    return matrix


_STEPS = 1.0 + torch.arange(8.0)[:, None] + torch.arange(8.0)[None]
"""Coarseness of each frequency, about as JPEG's tables."""


def blocky(images: torch.Tensor, coarseness: float) -> torch.Tensor:
    """Frequencies of blocks of 8 x 8 pixels rounded, as JPEG does it; `coarseness` 0.02 is light, 0.08 heavy."""
    count, channels, height, width = images.shape
    cosines = _cosines()
    blocks = images.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    steps = coarseness * _STEPS
    rounded = (cosines @ blocks @ cosines.T / steps).round() * steps
    return (cosines.T @ rounded @ cosines).transpose(3, 4).reshape(images.shape)


def wobbling(images: torch.Tensor, pixels: float) -> torch.Tensor:
    """Outlines bent by a smooth field of displacements of `pixels` standard deviation."""
    count, _, height, width = images.shape
    coarse = torch.randn(count, 2, 9, 9) * (2 * pixels / width)
    bend = functional.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=True)
    line = (torch.arange(width) + 0.5) * 2 / width - 1
    still = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
    return functional.grid_sample(
        images, still + bend.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
    )


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Another brightness, contrast and tint for each picture, and a tint that drifts across it."""
    count = len(images)
    gain = 1 + 0.06 * torch.randn(count, 1, 1, 1) + 0.025 * torch.randn(count, 3, 1, 1)
    offset = 0.04 * torch.randn(count, 1, 1, 1) + 0.025 * torch.randn(count, 3, 1, 1)
    drift = functional.interpolate(
        0.025 * torch.randn(count, 3, 4, 4), size=images.shape[-2:], mode="bilinear", align_corners=True
    )
    return images * gain + offset + drift


def degraded(images: torch.Tensor) -> torch.Tensor:
    """Each quarter of the batch in its own way, the first hardly at all."""
    count = len(images)
    images = images.clone()
    quarter = count // 4
    draw = torch.rand(6).tolist()
    second, third, fourth = (slice(quarter * part, quarter * (part + 1)) for part in (1, 2, 3))
    images[second] = blurred(images[second], 0.4 + 1.3 * draw[0])
    images[third] = shrunk(wobbling(images[third], 0.3 + 1.2 * draw[1]), int(40 + 80 * draw[2]))
    images[fourth] = blocky(wobbling(images[fourth], 0.2 + 0.6 * draw[3]), 0.01 + 0.06 * draw[4])
    # Half of all get another tint, a third noise.
    tinted = torch.rand(count) < 0.6
    images[tinted] = shifted(images[tinted])
    size = torch.where(torch.rand(count) < 0.4, torch.rand(count) * 0.09, torch.zeros(count))
    return (images + size[:, None, None, None] * torch.randn(images.shape)).clamp(-1, 1)
