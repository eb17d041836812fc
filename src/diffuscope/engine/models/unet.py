"""What all pipelines around diffusers' `UNet2DConditionModel` have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from diffuscope.engine.models.family import AttentionSite, DenoiserCall, ReadPrompt
from diffuscope.engine.models.tokens import one_encoder
from diffuscope.recording import SiteKind

IMAGE_PROMPTS = 64
"""Kernel calls for image prompts (IP-Adapter) that a site may make after the one for the text: one for each picture."""


class UNetPipelines:
    """What the adapters of UNet pipelines share; each says which pipelines it accepts."""

    name = "unet"

    def denoiser(self, pipe: Any) -> torch.nn.Module:
        return pipe.unet  # type: ignore[no-any-return]

    def sites(self, pipe: Any) -> tuple[AttentionSite, ...]:
        unet = pipe.unet
        found: list[AttentionSite] = []
        for index, block in enumerate(unet.down_blocks):
            found += _block_sites(block, f"down.{index}", f"down_blocks.{index}")
        if unet.mid_block is not None:
            found += _block_sites(unet.mid_block, "mid", "mid_block")
        for index, block in enumerate(unet.up_blocks):
            found += _block_sites(block, f"up.{index}", f"up_blocks.{index}")
        return tuple(found)

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> DenoiserCall:
        names = ("sample", "timestep", "encoder_hidden_states")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        return DenoiserCall(given["sample"], given["timestep"], given["encoder_hidden_states"])

    def embeddings(self, made: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
        # SDXL returns the pooled embeddings after these two.
        return made[0], made[1]

    def read_prompt(self, pipe: Any, prompt: str, options: Mapping[str, Any]) -> ReadPrompt:
        return one_encoder(pipe.tokenizer, prompt)

    def default_size(self, pipe: Any) -> tuple[int, int]:
        sample = pipe.unet.config.sample_size
        height, width = (sample, sample) if isinstance(sample, int) else sample
        return height * pipe.vae_scale_factor, width * pipe.vae_scale_factor

    def size_multiple(self, pipe: Any) -> int:
        # Pipelines of this form ask for multiples of 8 whatever the autoencoder's factor.
        return math.lcm(int(pipe.vae_scale_factor), 8)

    @torch.no_grad()
    def decode(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        scaled = latents / pipe.vae.config.scaling_factor
        return decoded(pipe, scaled)


def decoded(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    """Pictures in 0 to 1 of latents in the autoencoder's own scale, in float32 where half precision overflows."""
    vae = pipe.vae
    upcast = vae.dtype == torch.float16 and bool(getattr(vae.config, "force_upcast", False))
    dtype = vae.dtype
    if upcast:
        vae.to(torch.float32)
    try:
        # Under offloading the weights are elsewhere until they are used, and the hook brings the input to them.
        device = pipe._execution_device
        pictures: torch.Tensor = vae.decode(latents.to(device=device, dtype=vae.dtype)).sample
    finally:
        if upcast:
            vae.to(dtype)
    return (pictures.float() / 2 + 0.5).clamp(0, 1).cpu()


def image_prompts(module: torch.nn.Module) -> int:
    """How many kernel calls for image prompts may follow the text's."""
    return IMAGE_PROMPTS if hasattr(getattr(module, "processor", None), "to_k_ip") else 0


def _block_sites(block: torch.nn.Module, name: str, path: str) -> list[AttentionSite]:
    """Sites of one block: `attentions.J.transformer_blocks.K.attn1|attn2`; K is named only where there are several."""
    found: list[AttentionSite] = []
    attentions = getattr(block, "attentions", None) or ()
    for j, transformer in enumerate(attentions):
        # A mid block has one transformer: `self:mid`, not `self:mid.0`.
        here = name if name == "mid" and len(attentions) == 1 else f"{name}.{j}"
        blocks = getattr(transformer, "transformer_blocks", None)
        if blocks is None:
            # An attention without text (`AttnDownBlock2D`): self-attention over the feature map itself.
            found.append(
                AttentionSite(f"self:{here}", "self", f"{path}.attentions.{j}", transformer, transformer)
            )
            continue
        for k, inner in enumerate(blocks):
            at = f"{here}.{k}" if len(blocks) > 1 else here
            for attribute, kind in (("attn1", "self"), ("attn2", "cross")):
                module = getattr(inner, attribute, None)
                if module is None:
                    continue
                real: SiteKind = "self" if kind == "self" and not _crosses(inner, attribute) else "cross"
                label = at if real == kind else f"{at}.{attribute}"
                where = f"{path}.attentions.{j}.transformer_blocks.{k}.{attribute}"
                found.append(
                    AttentionSite(
                        f"{real}:{label}", real, where, module, transformer, after=image_prompts(module)
                    )
                )
    return found


def _crosses(block: torch.nn.Module, attribute: str) -> bool:
    """Whether the first attention of a transformer block is given the text (`only_cross_attention`)."""
    return attribute == "attn1" and bool(getattr(block, "only_cross_attention", False))
