"""Stage 1: the picture's autoencoder (diffusers `AutoencoderKL`), pictures to 16x16 latents of eight channels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import nn
from torch.nn import functional

from training import checkpoint, data
from training.loop import Schedule, train

BATCH = 8

CHANNELS = 8
"""Latent channels. Four are too few for what a patch of 8 by 8 pixels says in this world (outline, paint, pattern,
style) once neighbouring values have to lie further apart than the denoiser's errors."""


def build() -> AutoencoderKL:
    """The architecture. Few channels at full resolution, where nearly all of the time goes on a CPU."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(12, 32, 64, 96),
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=4,
        sample_size=128,
        mid_block_add_attention=False,
    )


def error(output: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean absolute error keeps edges sharp, squared error is what the signal-to-noise ratio counts. `weights`
    `[picture, y, x]`: how much each pixel weighs."""
    difference = output - target
    each = (0.25 * difference.abs() + difference.square()).mean(dim=1)
    return (each * weights).sum() / weights.sum()


def psnr(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB of each picture `[picture]`, both in -1 to 1, output clipped."""
    squared = (output.clamp(-1, 1) - target).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / squared)


@torch.no_grad()
def evaluate(
    vae: AutoencoderKL, store: data.Store, device: torch.device, count: int = 64
) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Mean PSNR over `count` scenes that are held back, and the first of them with their reconstructions."""
    target = data.to_tensor(store.images[-count:]).to(device)
    output = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in target.split(16)])
    return float(psnr(output, target).mean()), target[:8], output[:8]


READ = 0.01
"""Weight of reading the patches from their latents, beside the error of the picture."""


class Coder(nn.Module):
    """The autoencoder, and a linear reading of each patch from its latent: noun, paint and pattern."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        self.kinds = (len(data.NOUNS) + 1, len(data.PAINT_NAMES) + 1, len(data.PATTERN_NAMES) + 1)
        self.reading = nn.Conv2d(CHANNELS, sum(self.kinds), 1)

    def misread(self, latent: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Cross-entropy of reading `labels` `[picture, y, x, kind]` from `latent` `[picture, channel, y, x]` in
        standard deviations, and the share of the things' patches whose noun and paint are read right. Things weigh
        ten times as much as the backdrop."""
        told = self.reading(latent).split(self.kinds, dim=1)
        thing = labels[..., 0] > 0
        weights = torch.where(thing, 1.0, 0.1)
        errors = [
            (functional.cross_entropy(one, labels[..., kind], reduction="none") * weights).sum()
            / weights.sum()
            for kind, one in enumerate(told)
        ]
        right = (told[0].argmax(1) == labels[..., 0]) & (told[1].argmax(1) == labels[..., 1])
        return torch.stack(errors).sum(), float(right[thing].float().mean()) if thing.any() else 1.0


NOISE = 0.3
"""Most noise added to latents in training, in standard deviations of each channel."""


def fit(
    work: Path,
    minutes: float,
    seed: int,
    device: torch.device,
    scenes: int,
    *,
    start: Path | None = None,
    peak: float = 2e-3,
) -> AutoencoderKL:
    """Train (or go on training) the autoencoder and return it with averaged weights.

    The denoiser will not make latents exactly. So latents get noise of a random size here, up to `NOISE`: what
    matters in a picture must lie further apart than that. Without it the encoder puts yellow and orange a quarter of
    a deviation apart, which the decoder can read and the denoiser blends. For the same reason a patch's noun, paint and
    pattern are to be read from its noisy latent by one linear layer: latents that say what they show are learned faster
    by a denoiser (Yao, Yang & Wang 2025, section 3, align them with features of an image encoder to that end; here the
    truth is known). Things weigh four times as much as backdrops: they are what is asked for, and cover a tenth of a
    picture.

    Args:
        work: folder of the stage's state and logs.
        minutes, seed, device: as in every stage.
        scenes: how many scenes are stored to train on.
        start: folder of an earlier autoencoder to begin with, as far as its shapes fit; fresh weights when None.
        peak: learning rate.
    """
    torch.manual_seed(seed)
    vae = build().to(device)
    if start is not None:
        checkpoint.take_over(vae, AutoencoderKL.from_pretrained(start, torch_dtype=torch.float32))
    coder = Coder(vae).to(device)
    store, kinds = data.store(work, scenes, seed), data.labels(work, scenes, seed)

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        chosen = np.sort(np.random.default_rng([seed, 33, step]).integers(0, scenes - data.HELD_BACK, BATCH))
        target = data.to_tensor(store.images[chosen]).to(device)
        weights = torch.from_numpy(1 + 3 * (store.things[chosen].astype(np.float32) / 255)).to(device)
        side = target.shape[-1] // 8
        size = torch.rand(BATCH, 1, 1, 1) * NOISE
        noise = (torch.randn(BATCH, CHANNELS, side, side) * size).to(device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=coarse):
            posterior = vae.encode(target.contiguous(memory_format=torch.channels_last)).latent_dist
            latent = posterior.sample()
            deviation = latent.std(dim=(0, 2, 3), keepdim=True)
            noisy = latent + noise * deviation
            output = vae.decode(noisy).sample.float()
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        labels = torch.from_numpy(kinds[chosen].astype(np.int64)).to(device)
        misread, right = coder.misread((noisy / deviation).float(), labels)
        figures = {
            "psnr": float(psnr(output.detach(), target).mean()),
            "kl": float(divergence.detach()),
            "misread": float(misread.detach()),
            "read right": right,
        }
        return error(output, target, weights) + READ * misread + 1e-4 * divergence, figures

    probe = build().to(device).eval()
    schedule = Schedule(
        minutes=minutes, peak=peak, hold=0.25, floor=0.01, average=0.998, warmup=300, matrices=True
    )
    look = looker(work, "autoencoder", probe, store, _own)
    coder.to(memory_format=torch.channels_last)
    # Half as fast again in bfloat16. Near the end the errors are as small as its steps: the last part is float32.
    coarse = True
    train("autoencoder", coder, loss, schedule, work, seed=seed, look=look, until=0.7)
    coarse = False
    weights = train("autoencoder", coder, loss, schedule, work, seed=seed, look=look)
    probe.load_state_dict(_own(weights))
    return probe


def _own(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The autoencoder's own weights among a coder's."""
    return {name.removeprefix("vae."): value for name, value in weights.items() if name.startswith("vae.")}


def looker(
    work: Path,
    name: str,
    probe: AutoencoderKL,
    store: data.Store,
    own: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
) -> Callable[[int, dict[str, torch.Tensor]], dict[str, float]]:
    """Measures the averaged weights, of which `own` makes an autoencoder's, and keeps a sheet of scenes above their
    reconstructions."""

    def look(step: int, weights: dict[str, torch.Tensor]) -> dict[str, float]:
        probe.load_state_dict(own(weights))
        value, target, output = evaluate(probe, store, next(probe.parameters()).device)
        sheet = np.concatenate(
            [np.concatenate(list(data.to_images(part)), axis=1) for part in (target, output)]
        )
        Image.fromarray(sheet).save(work / f"{name}-{step:06d}.png")
        print(f"{name}: step {step}, {value:.2f} dB on scenes not trained on", flush=True)
        return {"held_out_psnr": value}

    return look


@torch.no_grad()
def whiten(vae: AutoencoderKL, store: data.Store, device: torch.device, count: int = 512) -> None:
    """Give the latent channels mean 0 and covariance 1 over drawn scenes, without changing what is decoded.

    Diffusion adds noise of one size in every direction. Autoencoders leave directions in which pictures differ little
    and yet say something, colour above all; whitened (symmetrically, so that channels stay as alike to themselves as
    can be: ZCA, Kessy, Lewin & Strimmer 2018) none of them drowns in the noise. Pipelines offer one factor for all
    channels; the 1x1 convolutions on either side of the latent hold the whole affine map, and the factor becomes 1.
    The log-variances of the posterior, which only training uses, keep their channels.
    """
    images = data.to_tensor(store.images[:count]).to(device)
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in images.split(16)])
    points = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1]).double()
    mean = points.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov(points.T))
    # A direction that hardly anything is said in stays small: blown up to full size it would be noise to learn.
    values = values.clamp(min=0.2 * float(values.mean()))
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
