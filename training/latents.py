"""Latents of the training scenes, computed once: what the denoiser learns to make."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from training import data


@torch.no_grad()
def latents(work: Path, vae: AutoencoderKL, count: int, seed: int, device: torch.device) -> torch.Tensor:
    """Latents of the first `count` training scenes, `[scene, 4, 16, 16]`, computed once and kept."""
    file = work / "latents.safetensors"
    done = load_file(file)["latents"] if file.exists() else torch.zeros(0, 4, 16, 16)
    while len(done) < count:
        part = range(len(done), min(len(done) + 4096, count))
        new = []
        for start in range(part.start, part.stop, 32):
            images = data.pictures(seed, range(start, min(start + 32, part.stop)))
            new.append(vae.encode(data.to_tensor(images).to(device)).latent_dist.mean.cpu())
        done = torch.cat([done, *new])
        save_file({"latents": done}, file)
        print(f"latents: {len(done)} of {count}", flush=True)
    return done[:count]
