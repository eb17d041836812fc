"""Stage 2: the autoencoder's decoder alone, on latents that stay as they are.

While encoder and decoder learn together, latents move and the decoder follows. Once they lie still it can be taught
longer, for half the time a step; what was learned from the latents, the denoiser above all, stays right.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn

from training import data
from training.autoencoder import error, looker, psnr
from training.latents import latents
from training.loop import Schedule, train
from training.parts import Parts

BATCH = 16

NOISE = 0.15
"""Most noise on a latent, in standard deviations: half of what the encoder was kept apart by. What a denoiser leaves is
to be decoded cleanly, and fine lines as well."""

PEAK = 1e-3


class Decoder(nn.Module):
    """What of an autoencoder turns latents into pictures."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv = vae.post_quant_conv
        self.decoder = vae.decoder

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Latents `[picture, channel, y, x]` to pictures `[picture, 3, 8 y, 8 x]` in -1 to 1."""
        return self.decoder(self.post_quant_conv(latent))  # type: ignore[no-any-return]


def fit(
    work: Path, minutes: float, seed: int, device: torch.device, vae: AutoencoderKL, scenes: int
) -> AutoencoderKL:
    """Go on training the decoder of `vae`, in place, and return it with averaged weights.

    The error is that of `autoencoder.fit`, without its other terms. Things weigh twice as much as backdrops.

    Args:
        work: folder of the stage's state and logs.
        minutes, seed, device: as in every stage.
        vae: as the stage before left it, whitened.
        scenes: how many scenes are stored to train on.
    """
    store = data.store(work, scenes, seed)
    kept = latents(work, vae, store, device)
    vae.requires_grad_(False)
    decoder = Decoder(vae).to(memory_format=torch.channels_last).requires_grad_(True)
    cores = torch.get_num_threads()
    parts = Parts(decoder, cores if device.type == "cpu" else 1)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        chosen = np.sort(np.random.default_rng([seed, 44, step]).integers(0, scenes - data.HELD_BACK, BATCH))
        target = data.to_tensor(store.images[chosen]).to(device)
        weights = torch.from_numpy(1 + store.things[chosen].astype(np.float32) / 255).to(device)
        clean = kept[chosen].to(device)
        noisy = clean + (torch.randn(clean.shape) * torch.rand(BATCH, 1, 1, 1) * NOISE).to(device)
        told = [0.0] * len(parts)

        def share(model: nn.Module, part: int) -> torch.Tensor:
            mine = slice(part, None, len(parts))
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=coarse):
                output = model(noisy[mine].contiguous(memory_format=torch.channels_last)).float()
            told[part] = float(psnr(output.detach(), target[mine]).sum())
            return error(output, target[mine], weights[mine]) * (weights[mine].sum() / weights.sum())

        return torch.tensor(parts.gradients(share)), {"psnr": sum(told) / BATCH}

    schedule = Schedule(
        minutes=minutes, peak=PEAK, hold=0.1, floor=0.01, average=0.998, warmup=200, matrices=True
    )
    probe = AutoencoderKL.from_config(vae.config).to(device).eval()
    rest = vae.state_dict()

    def whole(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {**rest, **weights}

    look = looker(work, "decoder", probe, store, whole)

    def learn(until: float) -> dict[str, torch.Tensor]:
        torch.set_num_threads(cores // len(parts))
        try:
            return train(
                "decoder", decoder, loss, schedule, work, seed=seed, look=look, until=until, cores=cores
            )
        finally:
            torch.set_num_threads(cores)

    # As in the stage before: the last part in float32, where errors are as small as bfloat16's steps.
    coarse = True
    learn(0.7)
    coarse = False
    vae.load_state_dict(whole(learn(1.0)))
    return vae.eval()
