"""Stable Diffusion 3 and 3.5: joint attention of picture and text (MMDiT; Esser et al. 2024, section 4).

The sequence is [picture, text]. The text is CLIP's tokens, whose two encoders' channels lie side by side in one key,
followed by T5's, so a word has keys in both parts. Version 3.5 norms queries and keys, and 3.5 medium has a second
attention in its first blocks, of the picture to itself alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from diffuscope.engine.models.family import AttentionSite, DenoiserCall, ReadPrompt
from diffuscope.engine.models.stable_diffusion_xl import joined
from diffuscope.engine.models.tokens import read_prompt
from diffuscope.engine.models.unet import decoded
from diffuscope.errors import InputError
from diffuscope.recording import Encoder, TextInfo, Token

T5_LENGTH = 256
"""T5 tokens that the pipeline reads where the call does not say (`max_sequence_length`)."""


class StableDiffusion3:
    """Adapter for pipelines around diffusers' `SD3Transformer2DModel`."""

    name = "stable-diffusion-3"

    def accepts(self, pipe: Any) -> bool:
        from diffusers import SD3Transformer2DModel

        return isinstance(getattr(pipe, "transformer", None), SD3Transformer2DModel) and hasattr(
            pipe, "tokenizer_3"
        )

    def denoiser(self, pipe: Any) -> torch.nn.Module:
        return pipe.transformer  # type: ignore[no-any-return]

    def sites(self, pipe: Any) -> tuple[AttentionSite, ...]:
        transformer = pipe.transformer
        patch, embed = int(transformer.config.patch_size), transformer.pos_embed
        found = []
        for index, block in enumerate(transformer.transformer_blocks):
            path = f"transformer_blocks.{index}"
            found.append(AttentionSite(f"joint:{index}", "joint", f"{path}.attn", block.attn, embed, patch))
            if block.attn2 is not None:
                # Dual attention: of the picture to itself, beside the joint one of the same block.
                found.append(
                    AttentionSite(f"self:{index}", "self", f"{path}.attn2", block.attn2, embed, patch)
                )
        return tuple(found)

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> DenoiserCall:
        names = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        return DenoiserCall(given["hidden_states"], given["timestep"], given["encoder_hidden_states"])

    def embeddings(self, made: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
        # The pooled embeddings come after these two.
        return made[0], made[1]

    def read_prompt(self, pipe: Any, prompt: str, options: Mapping[str, Any]) -> ReadPrompt:
        for name in ("prompt_2", "prompt_3"):
            if options.get(name) not in (None, prompt):
                raise InputError(
                    f"{name} differs from the prompt, so that a word's keys would be those of two texts at once; "
                    "record with one prompt"
                )
        length = pipe.tokenizer_max_length
        clip = joined(*(read_prompt(each, prompt, length) for each in (pipe.tokenizer, pipe.tokenizer_2)))
        room = int(options.get("max_sequence_length") or T5_LENGTH)
        if pipe.text_encoder_3 is None:
            # The pipeline puts zeros in its place: keys that stand for no word.
            zeros = [Token(index=index, id=0, text="[zero]", kind="padding") for index in range(room)]
            t5 = TextInfo(tokens=zeros, words=[], cut=None, length=room)
        else:
            t5 = read_prompt(pipe.tokenizer_3, prompt, room)
        text = appended({"clip": clip, "t5": t5})
        cuts = {each.name: each.cut for each in text.encoders if each.cut}
        return ReadPrompt(
            text,
            tuple(
                f"the {name} text encoder cut this part of the prompt: {cut!r}" for name, cut in cuts.items()
            ),
        )

    def default_size(self, pipe: Any) -> tuple[int, int]:
        side = int(pipe.default_sample_size * pipe.vae_scale_factor)
        return side, side

    def size_multiple(self, pipe: Any) -> int:
        return int(pipe.vae_scale_factor * pipe.patch_size)

    @torch.no_grad()
    def decode(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        return shifted(pipe, latents)


def appended(texts: Mapping[str, TextInfo]) -> TextInfo:
    """One reading of encoders whose keys follow one another: tokens numbered through, a word's keys those of all.

    Args:
        texts: name of each encoder to what it read, in the order of the keys.
    """
    tokens: list[Token] = []
    words: dict[tuple[int, int], Any] = {}
    encoders: list[Encoder] = []
    for name, text in texts.items():
        first = len(tokens)
        encoders.append(Encoder(name=name, start=first, stop=first + text.length, cut=text.cut))
        tokens += [token.model_copy(update={"index": first + token.index}) for token in text.tokens]
        for word in text.words:
            at = (word.start, word.end)
            before = words[at].tokens if at in words else []
            words[at] = word.model_copy(
                update={"tokens": [*before, *(first + token for token in word.tokens)]}
            )
    # What no encoder read: each cuts the prompt's end.
    cuts = [text.cut or "" for text in texts.values() if text.words or text.cut]
    cut = min(cuts, key=len, default="") or None
    seen: dict[str, int] = {}
    in_order = []
    for at in sorted(words):
        # Numbered anew: an encoder that left a word out counted the later ones otherwise.
        plain = words[at].text.lower()
        number = seen[plain] = seen.get(plain, 0) + 1
        in_order.append(words[at].model_copy(update={"label": plain if number == 1 else f"{plain}#{number}"}))
    return TextInfo(tokens=tokens, words=in_order, cut=cut, length=len(tokens), encoders=encoders)


def shifted(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    """Pictures of latents of an autoencoder with a shift (`vae.config.shift_factor`)."""
    config = pipe.vae.config
    return decoded(pipe, latents / config.scaling_factor + (config.shift_factor or 0.0))
