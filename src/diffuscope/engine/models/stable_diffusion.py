"""Stable Diffusion 1.x and 2.x, Turbo and LCM variants, and every pipeline of the form: one CLIP encoder and a UNet."""

from __future__ import annotations

from typing import Any

from diffuscope.engine.models.unet import UNetPipelines

_FORMS = ("StableDiffusion", "LatentConsistencyModel")


class StableDiffusion(UNetPipelines):
    """Adapter for pipelines of diffusers' `StableDiffusionPipeline` form."""

    name = "stable-diffusion"

    def accepts(self, pipe: Any) -> bool:
        from diffusers import UNet2DConditionModel

        unet = getattr(pipe, "unet", None)
        one_encoder = hasattr(pipe, "text_encoder") and getattr(pipe, "text_encoder_2", None) is None
        return (
            isinstance(unet, UNet2DConditionModel)
            and one_encoder
            and any(form in type(pipe).__name__ for form in _FORMS)
            and "XL" not in type(pipe).__name__
        )
