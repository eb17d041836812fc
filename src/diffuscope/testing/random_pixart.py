"""Random pipelines of PixArt-alpha (Chen et al. 2023): a transformer over patches that reads T5."""

from __future__ import annotations

from typing import Any

from diffuscope.testing.random_joint import t5_tokenizer
from diffuscope.testing.random_unet import autoencoder


def pixart(tiny: bool) -> Any:
    """PixArt-alpha at 512x512 (`full`) or a few patches. Its text encoder has T5-XXL's width and two layers: attention
    in the denoiser does not depend on how deep it is."""
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    tokenizer, width = t5_tokenizer(), 24 if tiny else 4096
    encoder = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=width,
            d_kv=8 if tiny else 64,
            d_ff=2 * width,
            num_layers=2,
            num_heads=3 if tiny else 64,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
        )
    )
    transformer = PixArtTransformer2DModel(
        # The pipelines know sizes of 32, 64 and 128 only.
        sample_size=32 if tiny else 64,
        num_attention_heads=4 if tiny else 16,
        attention_head_dim=8 if tiny else 72,
        num_layers=2 if tiny else 28,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=32 if tiny else 1152,
        caption_channels=width,
        norm_num_groups=8 if tiny else 32,
    )
    return PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=autoencoder(tiny, sample_size=64 if tiny else 512),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear"),
    )
