"""Stage 1: the picture's autoencoder (diffusers `AutoencoderKL`), pictures to 16x16 latents of four channels.

Trained in two parts. First encoder and decoder together. Then the encoder is frozen, so that latents stay what they
are, and the decoder alone goes on: its time can be spent after, or beside, the denoiser's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from training import data
from training.loop import Schedule, train

BATCH = 8


def build() -> AutoencoderKL:
    """The architecture. Few channels at full resolution, where nearly all of the time goes on a CPU."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(12, 32, 64, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=128,
        mid_block_add_attention=False,
    )


def error(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error keeps edges sharp, squared error is what the signal-to-noise ratio counts."""
    return 0.25 * functional.l1_loss(output, target) + functional.mse_loss(output, target)


def psnr(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB of each picture `[picture]`, both in -1 to 1, output clipped."""
    squared = (output.clamp(-1, 1) - target).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / squared)


@torch.no_grad()
def evaluate(
    vae: AutoencoderKL, device: torch.device, count: int = 64
) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Mean PSNR over `count` scenes that training never sees, and the first of them with their reconstructions."""
    target = data.to_tensor(data.pictures(10_000_019, range(count))).to(device)
    output = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in target.split(16)])
    return float(psnr(output, target).mean()), target[:8], output[:8]


def fit(
    work: Path, minutes: float, seed: int, device: torch.device, *, decoder_only: bool = False
) -> AutoencoderKL:
    """Train (or go on training) and return the autoencoder with averaged weights."""
    torch.manual_seed(seed)
    vae = build().to(device)
    name = "decoder" if decoder_only else "autoencoder"
    if decoder_only:
        vae = load(work, device)
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        target = data.to_tensor(data.pictures(seed, range(step * BATCH, (step + 1) * BATCH))).to(device)
        if decoder_only:
            with torch.no_grad():
                latent = vae.encode(target).latent_dist.sample()
            divergence = torch.zeros(())
        else:
            posterior = vae.encode(target).latent_dist
            latent = posterior.sample()
            divergence = posterior.kl().mean() / latent[0].numel()
        output = vae.decode(latent).sample
        figures = {"psnr": float(psnr(output.detach(), target).mean()), "kl": float(divergence.detach())}
        return error(output, target) + 1e-4 * divergence, figures

    probe = build().to(device).eval()

    def look(step: int, weights: dict[str, torch.Tensor]) -> dict[str, float]:
        probe.load_state_dict(weights)
        value, target, output = evaluate(probe, device)
        sheet = np.concatenate(
            [np.concatenate(list(data.to_images(part)), axis=1) for part in (target, output)]
        )
        from PIL import Image

        Image.fromarray(sheet).save(work / f"{name}-{step:06d}.png")
        print(f"{name}: step {step}, {value:.2f} dB on held-out scenes", flush=True)
        return {"held_out_psnr": value}

    rate = 1e-3 if decoder_only else 2e-3
    schedule = Schedule(minutes=minutes, peak=rate, hold=0.25, floor=0.01, average=0.998)
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    weights = train(name, vae, loss, schedule, work, seed=seed, parameters=trained, look=look)
    probe.load_state_dict(weights)
    return probe


@torch.no_grad()
def normalise(vae: AutoencoderKL, seed: int, device: torch.device, count: int = 512) -> None:
    """Give every latent channel mean 0 and standard deviation 1 over drawn scenes, without changing what is decoded.

    Diffusion needs latents of unit variance; pipelines offer one factor for all channels. The 1x1 convolutions on
    either side of the latent can hold the whole affine map, so the factor becomes 1.
    """
    images = data.to_tensor(data.pictures(seed, range(count))).to(device)
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in images.split(16)])
    mean = latents.mean(dim=(0, 2, 3))
    deviation = latents.std(dim=(0, 2, 3))
    before, after = vae.quant_conv, vae.post_quant_conv
    # z' = (z - mean) / deviation; the second half of the channels is the log-variance of z.
    before.weight[:4] /= deviation.view(-1, 1, 1, 1)
    before.bias[:4] = (before.bias[:4] - mean) / deviation
    before.bias[4:] -= 2 * deviation.log()
    # z = deviation z' + mean, in front of the decoder.
    after.bias += (after.weight.flatten(1) * mean).sum(dim=1)
    after.weight *= deviation.view(1, -1, 1, 1)
    vae.register_to_config(scaling_factor=1.0)


def load(work: Path, device: torch.device) -> AutoencoderKL:
    """The autoencoder as finished so far: `work/vae`."""
    return AutoencoderKL.from_pretrained(work / "vae").to(device).eval()
