"""Stage 1: the picture's autoencoder (diffusers `AutoencoderKL`), pictures to 16x16 latents of four channels.

Trained in two parts. First encoder and decoder together. Then the encoder is frozen, so that latents stay what they
are, and the decoder alone goes on: its time can be spent after, or beside, the denoiser's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch.nn import functional

from training import data
from training.latents import latents
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


def fit(work: Path, minutes: float, seed: int, device: torch.device) -> AutoencoderKL:
    """Train (or go on training) encoder and decoder together; returns the autoencoder with averaged weights."""
    torch.manual_seed(seed)
    vae = build().to(device)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        target = data.to_tensor(data.pictures(seed, range(step * BATCH, (step + 1) * BATCH))).to(device)
        posterior = vae.encode(target).latent_dist
        output = vae.decode(posterior.sample()).sample
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        figures = {"psnr": float(psnr(output.detach(), target).mean()), "kl": float(divergence.detach())}
        return error(output, target) + 1e-4 * divergence, figures

    probe = build().to(device).eval()
    schedule = Schedule(minutes=minutes, peak=2e-3, hold=0.25, floor=0.01, average=0.998)
    look = _looker(work, "autoencoder", probe)
    weights = train("autoencoder", vae, loss, schedule, work, seed=seed, look=look)
    probe.load_state_dict(weights)
    return probe


def fit_decoder(
    work: Path, minutes: float, seed: int, device: torch.device, *, scenes: int = 20_000, jitter: float = 0.05
) -> AutoencoderKL:
    """Train the decoder alone, on kept latents: what the denoiser has learned to make stays what it is.

    Half of each batch is night scenes: dark things on a dark ground weigh little in a squared error, and the first
    part leaves some of them undrawn. A little noise (`jitter`, in standard deviations) is added to the latents, as
    the denoiser's are not exact either.
    """
    torch.manual_seed(seed)
    vae = load(work, device)
    kept = latents(work, vae, scenes, seed, device)
    nights = np.array([index for index in range(scenes) if data.scene(seed, index)[0].place == "night"])
    parts = (vae.post_quant_conv, vae.decoder)
    trained = [parameter for part in parts for parameter in part.parameters()]

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        rng = np.random.default_rng([seed, 55, step])
        indices = [*rng.integers(scenes, size=BATCH // 2), *rng.choice(nights, BATCH // 2)]
        drawn = np.concatenate([data.pictures(seed, range(i, i + 1)) for i in indices])
        target = data.to_tensor(drawn).to(device)
        latent = kept[indices].to(device)
        output = vae.decode(latent + jitter * torch.randn_like(latent)).sample
        return error(output, target), {"psnr": float(psnr(output.detach(), target).mean())}

    probe = build().to(device).eval()
    probe.register_to_config(scaling_factor=vae.config.scaling_factor)
    schedule = Schedule(minutes=minutes, peak=1.5e-3, hold=0.3, floor=0.01, average=0.998)
    look = _looker(work, "decoder", probe)
    weights = train("decoder", vae, loss, schedule, work, seed=seed, parameters=trained, look=look)
    probe.load_state_dict(weights)
    return probe


def _looker(
    work: Path, name: str, probe: AutoencoderKL
) -> Callable[[int, dict[str, torch.Tensor]], dict[str, float]]:
    """Measures the averaged weights and keeps a sheet of scenes above their reconstructions."""

    def look(step: int, weights: dict[str, torch.Tensor]) -> dict[str, float]:
        probe.load_state_dict(weights)
        value, target, output = evaluate(probe, next(probe.parameters()).device)
        sheet = np.concatenate(
            [np.concatenate(list(data.to_images(part)), axis=1) for part in (target, output)]
        )
        Image.fromarray(sheet).save(work / f"{name}-{step:06d}.png")
        print(f"{name}: step {step}, {value:.2f} dB on scenes not trained on", flush=True)
        return {"held_out_psnr": value}

    return look


@torch.no_grad()
def whiten(vae: AutoencoderKL, seed: int, device: torch.device, count: int = 512) -> None:
    """Give the latent channels mean 0 and covariance 1 over drawn scenes, without changing what is decoded.

    Diffusion adds noise of one size in every direction. Autoencoders leave directions in which pictures differ little
    and yet say something, colour above all; whitened (symmetrically, so that channels stay as alike to themselves as
    can be: ZCA, Kessy, Lewin & Strimmer 2018) none of them drowns in the noise. Pipelines offer one factor for all
    channels; the 1x1 convolutions on either side of the latent hold the whole affine map, and the factor becomes 1.
    The log-variances of the posterior, which only training uses, keep their channels.
    """
    images = data.to_tensor(data.pictures(seed, range(count))).to(device)
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in images.split(16)])
    points = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1]).double()
    mean = points.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov(points.T))
    forward = (vectors * values.rsqrt()) @ vectors.T
    back = (vectors * values.sqrt()) @ vectors.T
    channels = len(mean)
    before, after = vae.quant_conv, vae.post_quant_conv
    # z' = forward (z - mean), after the encoder; z = back z' + mean, in front of the decoder.
    weight, bias = before.weight[:channels].flatten(1).double(), before.bias[:channels].double()
    before.weight[:channels] = (forward @ weight).to(before.weight)[..., None, None]
    before.bias[:channels] = (forward @ (bias - mean)).to(before.bias)
    weight = after.weight.flatten(1).double()
    after.bias += (weight @ mean).to(after.bias)
    after.weight[:] = (weight @ back).to(after.weight)[..., None, None]
    vae.register_to_config(scaling_factor=1.0)


def load(work: Path, device: torch.device) -> AutoencoderKL:
    """The autoencoder as finished so far: `work/vae`."""
    return AutoencoderKL.from_pretrained(work / "vae").to(device).eval()
