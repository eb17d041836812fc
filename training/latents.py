"""Latents of the stored scenes, computed once: what the denoiser learns to make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch.nn import functional

from training import data


@torch.no_grad()
def latents(work: Path, vae: AutoencoderKL, store: data.Store, device: torch.device) -> torch.Tensor:
    """Latents of all stored scenes, `[scene, channel, 16, 16]`, computed once and kept."""
    file = work / "latents.safetensors"
    count = len(store.images)
    channels = vae.config["latent_channels"]
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


def cover(store: data.Store) -> torch.Tensor:
    """How much of each latent patch things cover, 0 to 1, `[scene, 1, 16, 16]`."""
    parts = [
        functional.avg_pool2d(torch.from_numpy(store.things[start : start + 1024].astype(np.float32) / 255)[:, None], 8)
        for start in range(0, len(store.things), 1024)
    ]
    return torch.cat(parts)
