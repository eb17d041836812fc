"""Random pipelines with joint attention: Stable Diffusion 3 and 3.5, and Flux.

The denoiser and the autoencoder are diffusers' own classes, at the published sizes with `full`. Text encoders have the
published widths and few layers: T5-XXL alone would be larger than the denoiser, and attention in the denoiser does not
depend on how deep they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch

JointFamily = Literal["sd3", "sd35", "flux"]

PEAK, PEAK_NORMED = 6.0, 2.0
"""Factors on query and key projections, and on the gains of query and key norms where there are any: behind a norm the
size of a projection's output does not matter. Fresh weights attend almost evenly, which hides a wrong head or row."""


def random_joint(
    family: str, size: str = "tiny", *, peaked: bool = True, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Any:
    """A pipeline of `family` with random weights, on the CPU.

    Args:
        family: `sd3` (Stable Diffusion 3 medium), `sd35` (3.5 medium: query and key norms, dual attention), `flux`
            (Flux.1 dev: double and single blocks, rotary embedding, distilled guidance).
        size: `tiny` (a second to run, no two sizes alike on purpose) or `full` (the published denoiser: 2.0, 2.2 and
            11.9 thousand million parameters).
        peaked: scale queries and keys up, so that attention is peaked.
        seed: of the weights.
        dtype: of the weights; a full Flux takes 48 GB in float32.

    Raises:
        ValueError: an unknown family or size.
    """
    if family not in get_args(JointFamily):
        known = ", ".join(get_args(JointFamily))
        raise ValueError(f"no random pipeline of family {family!r} with joint attention; there are: {known}")
    if size not in ("tiny", "full"):
        raise ValueError(f"size={size!r}; it is 'tiny' or 'full'")
    torch.manual_seed(seed)
    tiny = size == "tiny"
    with _default_dtype(dtype):
        pipe = _flux(tiny) if family == "flux" else _stable_diffusion_3(tiny, newer=family == "sd35")
    if peaked:
        _peak(pipe.transformer)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _stable_diffusion_3(tiny: bool, *, newer: bool) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    length = 20 if tiny else 77
    clip, clip_wide = clip_tokenizer(length), clip_tokenizer(length)
    widths, wide = ((16, 24), 48) if tiny else ((768, 1280), 4096)
    if newer:
        options = {
            "qk_norm": "rms_norm",
            "dual_attention_layers": (0, 1) if tiny else tuple(range(13)),
            "pos_embed_max_size": 40 if tiny else 384,
        }
    else:
        options = {"pos_embed_max_size": 40 if tiny else 192}
    transformer = SD3Transformer2DModel(
        sample_size=16 if tiny else 128,
        in_channels=4 if tiny else 16,
        out_channels=4 if tiny else 16,
        num_layers=3 if tiny else 24,
        attention_head_dim=8 if tiny else 64,
        num_attention_heads=3 if tiny else 24,
        caption_projection_dim=24 if tiny else 1536,
        joint_attention_dim=wide,
        pooled_projection_dim=sum(widths),
        **options,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_autoencoder(tiny, scaling=1.5305, shift=0.0609),
        text_encoder=_clip(CLIPTextModelWithProjection, clip, widths[0]),
        tokenizer=clip,
        text_encoder_2=_clip(CLIPTextModelWithProjection, clip_wide, widths[1]),
        tokenizer_2=clip_wide,
        text_encoder_3=_t5(wide),
        tokenizer_3=t5_tokenizer(),
    )


def _flux(tiny: bool) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel

    clip, width, wide = clip_tokenizer(20 if tiny else 77), 16 if tiny else 768, 48 if tiny else 4096
    transformer = FluxTransformer2DModel(
        in_channels=16 if tiny else 64,
        num_layers=2 if tiny else 19,
        num_single_layers=3 if tiny else 38,
        attention_head_dim=16 if tiny else 128,
        num_attention_heads=2 if tiny else 24,
        joint_attention_dim=wide,
        pooled_projection_dim=width,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6) if tiny else (16, 56, 56),
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )
    return FluxPipeline(
        transformer=transformer,
        scheduler=scheduler,
        vae=_autoencoder(tiny, scaling=0.3611, shift=0.1159),
        text_encoder=_clip(CLIPTextModel, clip, width),
        tokenizer=clip,
        text_encoder_2=_t5(wide),
        tokenizer_2=t5_tokenizer(),
    )


def _autoencoder(tiny: bool, *, scaling: float, shift: float) -> Any:
    from diffusers import AutoencoderKL

    blocks = 2 if tiny else 4
    return AutoencoderKL(
        block_out_channels=(8, 16) if tiny else (128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1 if tiny else 2,
        norm_num_groups=8 if tiny else 32,
        latent_channels=4 if tiny else 16,
        sample_size=32 if tiny else 1024,
        scaling_factor=scaling,
        shift_factor=shift,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def _clip(kind: Any, tokenizer: Any, width: int) -> Any:
    from transformers import CLIPTextConfig

    return kind(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            projection_dim=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _t5(width: int) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=len(t5_tokenizer()),
            d_model=width,
            d_kv=max(8, width // 64),
            d_ff=2 * width,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            is_encoder_decoder=False,
            use_cache=False,
        )
    )


def clip_tokenizer(length: int) -> Any:
    """A CLIP tokenizer that knows "red" and "cat" and spells other words letter by letter."""
    from diffuscope.testing.random_pipeline import byte_tokenizer

    return byte_tokenizer(length)


def t5_tokenizer() -> Any:
    """A T5 tokenizer (sentence pieces) that knows a few words and beginnings of words, and spells the rest."""
    from transformers import T5Tokenizer

    pieces = ["▁", "▁a", "▁red", "▁ca", "▁do", "tt", "le", "ts", "▁cat"]
    letters = [chr(code) for code in range(33, 127)]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary = [*special, *((piece, -2.0) for piece in pieces), *((letter, -6.0) for letter in letters)]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=512)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def _peak(model: torch.nn.Module) -> None:
    projections = ("to_q.weight", "to_k.weight", "add_q_proj.weight", "add_k_proj.weight")
    norms = ("norm_q.weight", "norm_k.weight", "norm_added_q.weight", "norm_added_k.weight")
    for name, parameter in model.named_parameters():
        if name.endswith(projections):
            parameter.mul_(PEAK)
        elif name.endswith(norms):
            parameter.mul_(PEAK_NORMED)
