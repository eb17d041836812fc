"""Stable Diffusion 1.x and 2.x, and every pipeline of the same form: one CLIP text encoder and a UNet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from diffuscope.engine.models.family import AttentionSite, DenoiserCall
from diffuscope.recording import SiteKind


class StableDiffusion:
    """Adapter for pipelines of diffusers' `StableDiffusionPipeline` form."""

    name = "stable-diffusion"

    def accepts(self, pipe: Any) -> bool:
        from diffusers import UNet2DConditionModel

        unet = getattr(pipe, "unet", None)
        one_encoder = hasattr(pipe, "text_encoder") and getattr(pipe, "text_encoder_2", None) is None
        return (
            isinstance(unet, UNet2DConditionModel)
            and one_encoder
            and "StableDiffusion" in type(pipe).__name__
        )

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

    def default_size(self, pipe: Any) -> tuple[int, int]:
        sample = pipe.unet.config.sample_size
        height, width = (sample, sample) if isinstance(sample, int) else sample
        return height * pipe.vae_scale_factor, width * pipe.vae_scale_factor

    def size_multiple(self, pipe: Any) -> int:
        # Pipelines of this form ask for multiples of 8 whatever the autoencoder's factor.
        return math.lcm(int(pipe.vae_scale_factor), 8)

    @torch.no_grad()
    def decode(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        scaled = (latents / pipe.vae.config.scaling_factor).to(device=pipe.vae.device, dtype=pipe.vae.dtype)
        pictures: torch.Tensor = pipe.vae.decode(scaled).sample
        return (pictures.float() / 2 + 0.5).clamp(0, 1).cpu()


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
                found.append(AttentionSite(f"{real}:{label}", real, where, module, transformer))
    return found


def _crosses(block: torch.nn.Module, attribute: str) -> bool:
    """Whether the first attention of a transformer block is given the text (`only_cross_attention`)."""
    return attribute == "attn1" and bool(getattr(block, "only_cross_attention", False))
