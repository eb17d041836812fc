"""A pipeline of no known family whose attention can be seen: taken with a warning.

Known by its form alone: a denoiser with attention modules `attn1` (over the picture) and `attn2` (over the text), the
layout of diffusers' `BasicTransformerBlock`, on a grid that can be read off a feature map. What cannot be known from
the form, such as how the words of the prompt lie among the text keys, is left out rather than guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from diffuscope.engine.models.family import AttentionSite, DenoiserCall, ReadPrompt
from diffuscope.engine.models.tokens import one_encoder
from diffuscope.engine.models.unet import UNetPipelines, decoded, image_prompts
from diffuscope.recording import SiteKind


class Generic(UNetPipelines):
    """Adapter for pipelines that have the form and no adapter of their own."""

    name = "generic"

    def accepts(self, pipe: Any) -> bool:
        parts = (getattr(pipe, part, None) for part in ("tokenizer", "text_encoder", "scheduler", "vae"))
        whole = all(part is not None for part in parts) and callable(getattr(pipe, "encode_prompt", None))
        return whole and _denoiser(pipe) is not None and bool(self.sites(pipe))

    def denoiser(self, pipe: Any) -> torch.nn.Module:
        found = _denoiser(pipe)
        assert found is not None
        return found

    def sites(self, pipe: Any) -> tuple[AttentionSite, ...]:
        from diffusers import UNet2DConditionModel

        denoiser = self.denoiser(pipe)
        if isinstance(denoiser, UNet2DConditionModel):
            return super().sites(pipe)
        embed = getattr(denoiser, "pos_embed", None)
        patch = getattr(denoiser.config, "patch_size", None)
        if not isinstance(embed, torch.nn.Module) or not isinstance(patch, int):
            return ()
        found = []
        for path, module in denoiser.named_modules():
            place, _, last = path.rpartition(".")
            if last in ("attn1", "attn2") and hasattr(module, "to_q"):
                kind: SiteKind = "self" if last == "attn1" else "cross"
                found.append(
                    AttentionSite(f"{kind}:{place}", kind, path, module, embed, patch, image_prompts(module))
                )
        return tuple(found)

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> DenoiserCall:
        sample = kwargs.get("sample", kwargs.get("hidden_states"))
        if sample is None and args:
            sample, args = args[0], args[1:]
        timestep = kwargs["timestep"] if "timestep" in kwargs else args[0]
        return DenoiserCall(sample, timestep, kwargs["encoder_hidden_states"])

    def embeddings(self, made: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
        # Pooled embeddings and masks have fewer axes.
        text = [each for each in made if isinstance(each, torch.Tensor) and each.dim() == 3]
        return text[0], text[1] if len(text) > 1 else None

    def read_prompt(self, pipe: Any, prompt: str, options: Mapping[str, Any]) -> ReadPrompt:
        length = options.get("max_sequence_length")
        read = one_encoder(pipe.tokenizer, prompt, length)
        return ReadPrompt(
            read.text,
            (
                f"{type(pipe).__name__} is of no family that diffuscope was tested with: it is recorded by its form",
                *read.warnings,
            ),
        )

    def default_size(self, pipe: Any) -> tuple[int, int]:
        config: Any = self.denoiser(pipe).config
        sample = config.sample_size
        height, width = (sample, sample) if isinstance(sample, int) else sample
        return height * pipe.vae_scale_factor, width * pipe.vae_scale_factor

    @torch.no_grad()
    def decode(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        return decoded(pipe, latents / pipe.vae.config.scaling_factor)


def _denoiser(pipe: Any) -> torch.nn.Module | None:
    for name in ("unet", "transformer"):
        found = getattr(pipe, name, None)
        if isinstance(found, torch.nn.Module) and hasattr(found, "config"):
            return found
    return None
