"""Real architectures with random weights: they exercise every line of loading and capture without a download."""

from __future__ import annotations

from typing import Any, Literal

import torch

Size = Literal["tiny", "full"]

PEAK = 6.0
"""Factor on the query and key projections of a peaked pipeline. Fresh weights attend almost evenly everywhere, and an
even map hides a wrong head, row or scale; with this factor most rows have one clear maximum."""


def random_pipeline(family: str = "sd15", size: Size = "tiny", *, peaked: bool = True, seed: int = 0) -> Any:
    """A pipeline of `family` with random weights, in float32 on the CPU.

    Args:
        family: `sd15` (Stable Diffusion 1.x).
        size: `tiny` (seconds to run, non-standard sizes on purpose) or `full` (the published architecture).
        peaked: scale up queries and keys, so that attention is peaked.
        seed: of the weights.

    Raises:
        ValueError: an unknown family or size.
    """
    if family != "sd15":
        raise ValueError(f"no random pipeline of family {family!r}; there is: sd15")
    if size not in ("tiny", "full"):
        raise ValueError(f"size={size!r}; it is 'tiny' or 'full'")
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    tiny = size == "tiny"
    length = 20 if tiny else 77
    tokenizer = byte_tokenizer(length)
    width = 32 if tiny else 768
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=2 if tiny else 12,
            num_attention_heads=4 if tiny else 12,
            max_position_embeddings=length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=16 if tiny else 64,
        block_out_channels=(16, 32) if tiny else (320, 640, 1280, 1280),
        layers_per_block=1 if tiny else 2,
        norm_num_groups=8 if tiny else 32,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D")
        if tiny
        else ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D")
        if tiny
        else ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=width,
        # Heads, not head size, in spite of the name (see UNet2DConditionModel.__init__). Different per grid when tiny.
        attention_head_dim=(2, 4) if tiny else 8,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16) if tiny else (128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * (2 if tiny else 4),
        up_block_types=("UpDecoderBlock2D",) * (2 if tiny else 4),
        layers_per_block=1 if tiny else 2,
        norm_num_groups=8 if tiny else 32,
        latent_channels=4,
        sample_size=32 if tiny else 512,
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    if peaked:
        _peak(unet)
    for part in (encoder, unet, vae):
        part.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def byte_tokenizer(length: int) -> Any:
    """A CLIP tokenizer that knows a few whole words ("red", "cat") and spells the others letter by letter."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    merges = [("r", "e"), ("re", "d</w>"), ("c", "a"), ("ca", "t</w>")]
    pieces = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in merges)]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)


@torch.no_grad()
def _peak(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith(("to_q.weight", "to_k.weight")):
            parameter.mul_(PEAK)
