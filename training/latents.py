"""Latents of the stored scenes, computed once: what the denoiser learns to make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from training import data


@torch.no_grad()
def latents(work: Path, vae: AutoencoderKL, store: data.Store, device: torch.device) -> torch.Tensor:
    """Latents of all stored scenes, `[scene, channel, 16, 16]`, computed once and kept."""
    file = work / "latents.safetensors"
    count = len(store.images)
    channels = vae.config["latent_channels"]
    # Nearly twice as fast on a CPU.
    vae.to(memory_format=torch.channels_last)
    done = load_file(file)["latents"] if file.exists() else torch.zeros(0, channels, 16, 16)
    while len(done) < count:
        new = []
        for start in range(len(done), min(len(done) + 4096, count), 32):
            images = data.to_tensor(store.images[start : min(start + 32, count)]).to(device)
            new.append(vae.encode(images).latent_dist.mean.cpu())
        done = torch.cat([done, *new])
        save_file({"latents": done}, file)
        print(f"latents: {len(done)} of {count}", flush=True)
    return done


def coverage(store: data.Store) -> torch.Tensor:
    """How much of each latent patch things cover, float32 0 to 1 `[scene, 16, 16]`."""
    side, size = store.things.shape[-1] // data.PATCH, data.PATCH
    shares = [
        part.reshape(len(part), side, size, side, size).mean(axis=(2, 4), dtype=np.float32)
        for part in np.array_split(store.things, max(1, len(store.things) // 1000))
    ]
    return torch.from_numpy(np.concatenate(shares) / 255)
