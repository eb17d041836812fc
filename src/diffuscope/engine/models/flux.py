"""Flux.1: joint attention of text and picture in double- and single-stream blocks, with rotary embedding.

The sequence is [text, picture]: T5's tokens (CLIP gives one pooled embedding and no keys), then the latent in patches
of 2 x 2. In the single-stream blocks both go through the same projections as one sequence, so where the text ends is
known from what the transformer was given, not from the block. Guidance is distilled into an embedding of its scale;
with `true_cfg_scale` and a negative prompt the pipeline runs a second forward a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from diffuscope.engine.models.family import AttentionSite, DenoiserCall, ReadPrompt
from diffuscope.engine.models.stable_diffusion_3 import shifted
from diffuscope.engine.models.tokens import one_encoder
from diffuscope.errors import InputError

T5_LENGTH = 512
"""T5 tokens that the pipeline reads where the call does not say (`max_sequence_length`)."""


class Flux:
    """Adapter for pipelines around diffusers' `FluxTransformer2DModel`."""

    name = "flux"

    def accepts(self, pipe: Any) -> bool:
        from diffusers import FluxTransformer2DModel

        return isinstance(getattr(pipe, "transformer", None), FluxTransformer2DModel) and hasattr(
            pipe, "tokenizer_2"
        )

    def denoiser(self, pipe: Any) -> torch.nn.Module:
        return pipe.transformer  # type: ignore[no-any-return]

    def sites(self, pipe: Any) -> tuple[AttentionSite, ...]:
        transformer = pipe.transformer
        found: list[AttentionSite] = []
        for kind in ("transformer_blocks", "single_transformer_blocks"):
            for index, block in enumerate(getattr(transformer, kind)):
                name, path = f"joint:{len(found)}", f"{kind}.{index}.attn"
                found.append(AttentionSite(name, "joint", path, block.attn, None, text_first=True))
        return tuple(found)

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> DenoiserCall:
        names = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep", "img_ids")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        return DenoiserCall(
            given["hidden_states"],
            given["timestep"],
            given["encoder_hidden_states"],
            positions=given["img_ids"],
            divisor=1000.0,
        )

    def embeddings(self, made: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
        # The negative prompt is encoded by a call of its own.
        return made[0], None

    def read_prompt(self, pipe: Any, prompt: str, options: Mapping[str, Any]) -> ReadPrompt:
        if options.get("prompt_2") not in (None, prompt):
            raise InputError(
                "prompt_2 differs from the prompt: it alone has text keys here, so words of the prompt would have no "
                "map; record with one prompt"
            )
        return one_encoder(pipe.tokenizer_2, prompt, int(options.get("max_sequence_length") or T5_LENGTH))

    def default_size(self, pipe: Any) -> tuple[int, int]:
        side = int(pipe.default_sample_size * pipe.vae_scale_factor)
        return side, side

    def size_multiple(self, pipe: Any) -> int:
        return int(2 * pipe.vae_scale_factor)

    @torch.no_grad()
    def decode(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        return shifted(pipe, latents)
