"""SDXL: two text encoders whose embeddings lie side by side in each text key, and a pooled one.

A text key holds the channels of both encoders' token at its place (Podell et al. 2023, section 2.1), so a word is
found where either tokenizer has it. The two share one vocabulary and differ in padding only; where another pair does
not, the word's keys are those of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from diffuscope.engine.models.family import ReadPrompt
from diffuscope.engine.models.tokens import cut_warning, read_prompt
from diffuscope.engine.models.unet import UNetPipelines, decoded
from diffuscope.errors import InputError
from diffuscope.recording import TextInfo


class StableDiffusionXL(UNetPipelines):
    """Adapter for pipelines of diffusers' `StableDiffusionXLPipeline` form, Turbo included."""

    name = "stable-diffusion-xl"

    def accepts(self, pipe: Any) -> bool:
        from diffusers import UNet2DConditionModel

        return (
            isinstance(getattr(pipe, "unet", None), UNet2DConditionModel)
            and getattr(pipe, "text_encoder_2", None) is not None
            and "StableDiffusionXL" in type(pipe).__name__
        )

    def read_prompt(self, pipe: Any, prompt: str, options: Mapping[str, Any]) -> ReadPrompt:
        second = options.get("prompt_2")
        if second is not None and second != prompt:
            raise InputError(
                "prompt_2 differs from the prompt, so that a text key stands for two words at once and a word's map "
                "would be of both; record with one prompt"
            )
        # The refiner has the second encoder only.
        readers = [each for each in (pipe.tokenizer, pipe.tokenizer_2) if each is not None]
        texts = [read_prompt(reader, prompt, reader.model_max_length) for reader in readers]
        text = texts[0] if len(texts) == 1 else joined(*texts)
        return ReadPrompt(text, cut_warning(text))

    @torch.no_grad()
    def decode(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        config = pipe.vae.config
        mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        scaled = latents / config.scaling_factor
        if mean is not None and std is not None:
            spread, centre = (torch.tensor(each).to(latents).view(1, -1, 1, 1) for each in (std, mean))
            scaled = scaled * spread + centre
        return decoded(pipe, scaled)


def joined(first: TextInfo, second: TextInfo) -> TextInfo:
    """One reading of two: tokens are the first tokenizer's, a word's keys are those that either gives it.

    Raises:
        InputError: the two encoders take different numbers of tokens, so that their keys cannot lie side by side.
    """
    if first.length != second.length:
        raise InputError(
            f"the pipeline's tokenizers take {first.length} and {second.length} tokens; keys of both cannot lie side "
            "by side"
        )
    theirs = {word.label: word.tokens for word in second.words}
    words = [
        word.model_copy(update={"tokens": sorted({*word.tokens, *theirs[word.label]})})
        for word in first.words
        if word.label in theirs
    ]
    # A token that is padding for one and text for the other is text.
    tokens = [
        mine if mine.kind != "padding" else mine.model_copy(update={"kind": other.kind})
        for mine, other in zip(first.tokens, second.tokens, strict=True)
    ]
    cuts = [text.cut for text in (first, second) if text.cut]
    cut = max(cuts, key=len) if cuts else None
    return TextInfo(tokens=tokens, words=words, cut=cut, length=first.length)
