"""Stage 6: the denoiser (diffusers `UNet2DConditionModel`), trained on latents with the denoising loss alone.

v-prediction (Salimans & Ho 2022, section 4 and appendix D), timesteps drawn by importance. Captions are phrased afresh
each time a latent is seen; one in ten is empty, for classifier-free guidance (Ho & Salimans 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from torch import nn
from torch.nn import functional
from transformers import CLIPTextModel, CLIPTokenizer

from training import checkpoint, data
from training.autoencoder import CHANNELS
from training.latents import coverage, latents
from training.loop import Schedule, train
from training.parts import Parts
from training.text import tokenise

BATCH = 48

PEAK = 2.5e-3
AGAIN = 8e-4
"""Learning rate at its highest, from random weights and from an earlier model's.

In the first 150 seconds of one core Muon at 1e-3, 3e-3 and 6e-3 with 32 a batch came to a loss of 0.446, 0.394 and
0.387 after 3,900 samples; AdamW at 7e-4 with 16 a batch to 0.396 after 4,600. A second round began at 1.5e-3: outlines
blurred again and sharpened only from 9e-4 on, most of all around 3e-4.
"""

OWN = 5.0
"""How much a patch weighs that lies within `AROUND` patches of one that things cover whole, in the first part of the
training: things are what is asked for and cover a tenth of a picture. Trained to the end like this a model would draw a
little too much of them wherever it is unsure, so the last part, `EVEN`, weighs all patches alike."""

AROUND = 1
"""Patches. Were only what things cover to weigh more, a patch that may or may not be theirs would be drawn as theirs,
and every outline filled up to a blob."""

EVEN = 0.25
"""Share of the budget, at its end, in which all patches weigh the same."""

SHEET = (
    "a red circle left of a blue square",
    "a cat and a dog in a living room",
    "a red car in a watercolor painting",
    "a red apple in a blue bowl",
    "a red apple on a wooden table in morning light",
    "a white unicorn in a meadow",
    "a car and buildings on a street at night",
    "a yellow star as a neon sign",
    "a still life of pears and a brass pitcher on a wooden table",
    "a big purple fish in the sea",
)


def build() -> UNet2DConditionModel:
    """Three grids (16, 8, 4), cross-attention at every one, 4 heads at the widest and 8 at the others."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        cross_attention_dim=128,
        # In diffusers this argument is the number of heads (see the note in UNet2DConditionModel.__init__).
        attention_head_dim=(4, 8, 8),
        norm_num_groups=16,
    )


def scheduler() -> DDIMScheduler:
    """Noise schedule. It ends at a signal share of 1 % of the amplitude: with Stable Diffusion's own end (7 %) the mean
    of a 16x16 latent would still shine through the noise that a picture is started from."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.022,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=0,
    )


def importance(alphas: torch.Tensor) -> torch.Tensor:
    """How often each timestep is trained on, `[timestep]`, sum 1; the loss itself is the plain v error.

    Min-SNR weighting (Hang et al. 2023, section 3.4) would spend most of the effort where the signal is about five
    times the noise. But a thing covers some 25 patches of eight channels, so where it is and what colour it has is
    settled when the signal of a single value is a twentieth of the noise or less: that is where text must be learned.
    So the low end is at an SNR of 1/20. The high end is at 1.5: a model half trained, given true latents noised to an
    SNR of 1, finished 40 of 40 single things so that the judge named them, from 1/2 35, from 1/5 33, from 1/20 28 and
    from pure noise 27.
    """
    snr = alphas / (1 - alphas)
    weight = (20 * snr / (20 * snr + 1)) / (1 + snr / 1.5)
    # A tenth is spread evenly: sampling passes through the ends too.
    return 0.9 * weight / weight.sum() + 0.1 / len(weight)


class SinglePrecisionAttention:
    """Attention of diffusers' `Attention` in float32 while the rest trains in bfloat16.

    On a CPU the backward pass of the fused kernel is five times slower in bfloat16 than in float32, everything else
    is faster. Same parameters and the same result as the default processor, for training alone.
    """

    def __call__(
        self,
        attn: nn.Module,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states

        def heads(states: torch.Tensor) -> torch.Tensor:
            return states.unflatten(-1, (attn.heads, -1)).transpose(1, 2).float()

        query, key, value = (
            heads(attn.to_q(hidden_states)),
            heads(attn.to_k(context)),
            heads(attn.to_v(context)),
        )
        with torch.autocast(query.device.type, enabled=False):
            output = functional.scaled_dot_product_attention(query, key, value)
        return attn.to_out[0](output.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Painter(nn.Module):
    """The denoiser and the text encoder that speaks to it."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder


def pipeline(painter: Painter, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """The parts as an ordinary Stable Diffusion pipeline."""
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=painter.text_encoder,
        tokenizer=tokenizer,
        unet=painter.unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _captions(seed: int, again: int, count: int, step: int) -> Iterator[tuple[int, str]]:
    rng = np.random.default_rng([seed, 99 + again, step])
    for _ in range(BATCH):
        index = int(rng.integers(count))
        if rng.random() < 0.1:
            yield index, ""
        else:
            description, _, _ = data.scene(seed, index)
            yield index, description.caption(rng)


def fit(
    work: Path,
    minutes: float,
    seed: int,
    device: torch.device,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    scenes: int,
    *,
    start: Path | None = None,
    again: int = 0,
) -> Painter:
    """Train and return the denoiser and text encoder with averaged weights.

    `again` counts trainings of one seed that begin with the last one's weights (`start`): each draws batches and noise
    of its own.

    Weights are float32, the passes bfloat16 but for attention and the loss. Not through `torch.compile`: on a CPU, with
    torch 2.13, it left some gradients out without a word (`tests/test_training.py` compares gradients of both types).
    """
    torch.manual_seed(seed)
    unet = build()
    if start is not None:
        checkpoint.take_over(unet, UNet2DConditionModel.from_pretrained(start, torch_dtype=torch.float32))
    painter = Painter(unet, text_encoder).to(device)
    # The text encoder stays as it learned to read: trained along, it forgets within an hour (see REPORT.md).
    painter.text_encoder.requires_grad_(False)
    store = data.store(work, scenes, seed)
    kept, covered = latents(work, vae, store, device), coverage(store)
    covered = functional.max_pool2d(covered[:, None], 2 * AROUND + 1, stride=1, padding=AROUND)[:, 0]
    painter.unet.set_attn_processor(SinglePrecisionAttention())
    # Convolutions in bfloat16 are faster with channels innermost.
    painter.unet.to(memory_format=torch.channels_last)
    # A part of the batch on every core of its own; an accelerator takes the batch whole.
    cores = torch.get_num_threads()
    parts = Parts(painter.unet, cores if device.type == "cpu" else 1)
    alphas = scheduler().alphas_cumprod.to(device)
    reach = torch.cat([torch.zeros(1), importance(alphas.cpu()).cumsum(0)])

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        indices, captions = zip(*_captions(seed, again, len(kept) - data.HELD_BACK, step), strict=True)
        clean = kept[list(indices)].to(device)
        ids = tokenise(tokenizer, list(captions)).to(device)
        noise = torch.randn(clean.shape).to(device)
        weights = 1 + (own - 1) * covered[list(indices)].to(device)
        weights /= weights.sum()
        # One draw from each of BATCH equal strata of the importance: the same distribution with less variance.
        strata = (torch.arange(BATCH) + torch.rand(BATCH)) / BATCH
        timesteps = (torch.searchsorted(reach, strata, right=True) - 1).clamp(0, 999).to(device)
        alpha = alphas[timesteps].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        plain = [0.0] * len(parts)

        def share(unet: nn.Module, part: int) -> torch.Tensor:
            mine = slice(part, None, len(parts))
            with torch.no_grad():
                states = painter.text_encoder(ids[mine]).last_hidden_state
            with torch.autocast(device.type, dtype=torch.bfloat16):
                output = unet(noisy[mine], timesteps[mine], states).sample
            error = (output.float() - target[mine]).square().mean(dim=1)
            plain[part] = float(error.detach().sum())
            return (error * weights[mine]).sum()

        total = parts.gradients(share)
        return torch.tensor(total), {"plain": sum(plain) / weights.numel()}

    probe = Painter(build(), text_encoder).to(device).eval()
    pipe = pipeline(probe, vae, tokenizer)

    def look(step: int, weights: dict[str, torch.Tensor]) -> dict[str, float]:
        probe.unet.load_state_dict(weights)
        torch.set_num_threads(cores)
        rows = []
        for number in range(2):
            generator = torch.Generator("cpu").manual_seed(number)
            made = pipe(
                list(SHEET), num_inference_steps=20, guidance_scale=4.0, generator=generator, output_type="np"
            )
            rows.append(np.concatenate(list((made.images * 255).round().astype(np.uint8)), axis=1))
        Image.fromarray(np.concatenate(rows)).save(work / f"denoiser-{step:06d}.png")
        print(f"denoiser: step {step}", flush=True)
        torch.set_num_threads(cores // len(parts))
        return {}

    schedule = Schedule(
        minutes=minutes,
        peak=AGAIN if again else PEAK,
        hold=0.1 if again else 0.3,
        floor=0.02,
        average=0.999,
        warmup=200,
        matrices=True,
    )

    def learn(until: float) -> dict[str, torch.Tensor]:
        torch.set_num_threads(cores // len(parts))
        try:
            return train(
                "denoiser",
                painter.unet,
                loss,
                schedule,
                work,
                seed=seed + 1000 * again,
                look=look,
                look_minutes=12.0,
                until=until,
                cores=cores,
            )
        finally:
            torch.set_num_threads(cores)

    own = OWN
    learn(1 - EVEN)
    own = 1.0
    weights = learn(1.0)
    probe.unet.load_state_dict(weights)
    return probe
