"""PixArt-alpha and PixArt-sigma: a transformer over patches with cross-attention to T5's tokens.

Text keys of padding are masked by adding -10000 to their products (`PixArtTransformer2DModel.forward` of diffusers);
the mask reaches the kernel and is recorded with the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from diffuscope.engine.models.family import AttentionSite, DenoiserCall, ReadPrompt
from diffuscope.engine.models.tokens import one_encoder
from diffuscope.engine.models.unet import decoded

LENGTHS = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300}
"""Text tokens that a pipeline reads where the call does not say (`max_sequence_length`)."""


class PixArt:
    """Adapter for `PixArtAlphaPipeline` and `PixArtSigmaPipeline`."""

    name = "pixart"

    def accepts(self, pipe: Any) -> bool:
        from diffusers import PixArtTransformer2DModel

        return type(pipe).__name__ in LENGTHS and isinstance(
            getattr(pipe, "transformer", None), PixArtTransformer2DModel
        )

    def denoiser(self, pipe: Any) -> torch.nn.Module:
        return pipe.transformer  # type: ignore[no-any-return]

    def sites(self, pipe: Any) -> tuple[AttentionSite, ...]:
        transformer = pipe.transformer
        patch, embed = int(transformer.config.patch_size), transformer.pos_embed
        found = []
        for index, block in enumerate(transformer.transformer_blocks):
            path = f"transformer_blocks.{index}"
            found.append(AttentionSite(f"self:{index}", "self", f"{path}.attn1", block.attn1, embed, patch))
            found.append(AttentionSite(f"cross:{index}", "cross", f"{path}.attn2", block.attn2, embed, patch))
        return tuple(found)

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> DenoiserCall:
        names = ("hidden_states", "encoder_hidden_states", "timestep")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        return DenoiserCall(given["hidden_states"], given["timestep"], given["encoder_hidden_states"])

    def embeddings(self, made: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
        # The second and fourth are masks.
        return made[0], made[2]

    def read_prompt(self, pipe: Any, prompt: str, options: Mapping[str, Any]) -> ReadPrompt:
        length = int(options.get("max_sequence_length") or LENGTHS[type(pipe).__name__])
        # The pipeline's own `_text_preprocessing` puts prompts in lower case, and cleans them where it can.
        (read,) = pipe._text_preprocessing(prompt, clean_caption=bool(options.get("clean_caption", True)))
        found = one_encoder(pipe.tokenizer, prompt, length, lower=True)
        if read == prompt.lower().strip():
            return found
        cleaned = one_encoder(pipe.tokenizer, read, length)
        return ReadPrompt(
            # Its words stand elsewhere in the prompt, if they stand there at all.
            cleaned.text,
            (
                *cleaned.warnings,
                f"the pipeline cleans the prompt before it reads it; words are those of {read!r}",
            ),
        )

    def default_size(self, pipe: Any) -> tuple[int, int]:
        side = int(pipe.transformer.config.sample_size * pipe.vae_scale_factor)
        return side, side

    def size_multiple(self, pipe: Any) -> int:
        # Pipelines of this form ask for multiples of 8 whatever the autoencoder's factor.
        return math.lcm(int(pipe.vae_scale_factor * pipe.transformer.config.patch_size), 8)

    @torch.no_grad()
    def decode(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        return decoded(pipe, latents / pipe.vae.config.scaling_factor)
