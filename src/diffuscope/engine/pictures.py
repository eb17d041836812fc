"""Many pictures at once, without a recording: drawn from prompts, or sent through the autoencoder and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

BATCH = 10
"""Pictures that are drawn together: more are no faster on a CPU."""

Picture = NDArray[np.uint8]


def draw(
    pipe: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int,
    guidance: float,
    batch: int = BATCH,
) -> Iterator[Picture]:
    """Draw a picture of each prompt from its own seed, in batches; uint8 sRGB `[y, x, channel]`, in order."""
    for start in range(0, len(prompts), batch):
        part = slice(start, start + batch)
        made = pipe(
            list(prompts[part]),
            num_inference_steps=steps,
            guidance_scale=guidance,
            # On the CPU, so that a seed is the same noise on every device.
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds[part]],
        )
        for image in made.images:
            yield np.asarray(image.convert("RGB"))


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
