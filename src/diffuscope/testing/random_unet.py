"""Random pipelines around a UNet: Stable Diffusion 1.x, 2.x, SDXL. Full sizes are the published configurations, but for
the vocabulary."""

from __future__ import annotations

from typing import Any

from diffuscope.testing.tokenizers import byte_tokenizer

SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
"""The noise schedule of Stable Diffusion (Rombach et al. 2022)."""


def stable_diffusion(tiny: bool, *, second: bool = False) -> Any:
    """Stable Diffusion 1.x; `second`: 2.x, whose UNet predicts v, takes its attention's products in float32 and has
    heads of one size."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    length = 20 if tiny else 77
    tokenizer = byte_tokenizer(length)
    width = 32 if tiny else 1024 if second else 768
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=2 if tiny else 23 if second else 12,
            num_attention_heads=4 if tiny else width // 64,
            max_position_embeddings=length,
            hidden_act="gelu" if second else "quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=16 if tiny else 96 if second else 64,
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
        attention_head_dim=(2, 4) if tiny else (5, 10, 20, 20) if second else 8,
        use_linear_projection=second,
        upcast_attention=second or None,
    )
    vae = autoencoder(tiny, sample_size=32 if tiny else 768 if second else 512)
    prediction = {"prediction_type": "v_prediction"} if second else {}
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(**SCHEDULE, **prediction),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl(tiny: bool) -> Any:
    """SDXL (Podell et al. 2023): two text encoders, a pooled embedding, and picture sizes as conditions."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    length = 20 if tiny else 77
    first, second = byte_tokenizer(length), byte_tokenizer(length, pad="!")

    def text(tokenizer: Any, width: int, layers: int, heads: int) -> Any:
        return CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            projection_dim=width,
            max_position_embeddings=length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    widths = (16, 32) if tiny else (768, 1280)
    encoder = CLIPTextModel(text(first, widths[0], 2 if tiny else 12, 4 if tiny else 12))
    encoder_2 = CLIPTextModelWithProjection(text(second, widths[1], 2 if tiny else 32, 4 if tiny else 20))
    unet = UNet2DConditionModel(
        sample_size=16 if tiny else 128,
        block_out_channels=(16, 32) if tiny else (320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D")[-2 if tiny else 0 :],
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")[: 2 if tiny else 3],
        layers_per_block=1 if tiny else 2,
        norm_num_groups=8 if tiny else 32,
        transformer_layers_per_block=(1, 2) if tiny else (1, 2, 10),
        attention_head_dim=(2, 4) if tiny else (5, 10, 20),
        cross_attention_dim=sum(widths),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8 if tiny else 256,
        projection_class_embeddings_input_dim=widths[1] + 6 * (8 if tiny else 256),
    )
    return StableDiffusionXLPipeline(
        vae=autoencoder(
            tiny, sample_size=32 if tiny else 1024, scaling_factor=0.13025, force_upcast=not tiny
        ),
        text_encoder=encoder,
        text_encoder_2=encoder_2,
        tokenizer=first,
        tokenizer_2=second,
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
    )


def autoencoder(tiny: bool, **config: Any) -> Any:
    """An autoencoder of Stable Diffusion's form: factor 8, or 2 when tiny, and 4 latent channels."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 16) if tiny else (128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * (2 if tiny else 4),
        up_block_types=("UpDecoderBlock2D",) * (2 if tiny else 4),
        layers_per_block=1 if tiny else 2,
        norm_num_groups=8 if tiny else 32,
        latent_channels=4,
        **config,
    )
