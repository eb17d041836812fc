"""Pictures sent through the autoencoder and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

BATCH = 10
"""Pictures that are drawn together: more are no faster on a CPU."""

Picture = NDArray[np.uint8]


@torch.no_grad()
def round_trip(pipe: Any, images: Sequence[Picture], batch: int = BATCH) -> Iterator[Picture]:
    """The pictures encoded to latents (their mean) and decoded again: what the best denoiser could show of them."""
    vae = pipe.vae
    for start in range(0, len(images), batch):
        pixels = (
            torch.from_numpy(np.stack(images[start : start + batch])).permute(0, 3, 1, 2).float() / 127.5 - 1
        )
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mean
        decoded = vae.decode(latents).sample.float().clamp(-1, 1)
        yield from ((decoded + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
