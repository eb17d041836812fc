"""Real architectures with random weights: they exercise every line of loading and capture without a download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from diffuscope.testing.tokenizers import byte_tokenizer

__all__ = ["FAMILIES", "FamilyId", "Size", "byte_tokenizer", "random_pipeline", "save_random_pipeline"]

Size = Literal["tiny", "full"]
FamilyId = Literal["sd15", "sd21", "sdxl", "pixart", "sd3", "sd35", "flux"]

FAMILIES: tuple[str, ...] = get_args(FamilyId)
"""What `random_pipeline` builds."""

PEAK = 6.0
"""Factor on the query and key projections of a peaked pipeline. Fresh weights attend almost evenly everywhere, and an
even map hides a wrong head, row or scale; with this factor most rows have one clear maximum."""


def random_pipeline(
    family: str = "sd15",
    size: str = "tiny",
    *,
    peaked: bool = True,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Any:
    """A pipeline of `family` with random weights, on the CPU.

    Args:
        family: `sd15` (Stable Diffusion 1.x), `sd21` (2.x: v-prediction, upcast attention), `sdxl` (two text
            encoders), `pixart` (PixArt-alpha), `sd3`, `sd35`, `flux` (joint attention).
        size: `tiny` (seconds to run, non-standard sizes on purpose) or `full` (the published architecture).
        peaked: scale up queries and keys, so that attention is peaked.
        seed: of the weights.
        dtype: of the weights.

    Raises:
        ValueError: an unknown family or size.
    """
    if family not in FAMILIES:
        raise ValueError(f"no random pipeline of family {family!r}; there are: {', '.join(FAMILIES)}")
    if size not in get_args(Size):
        raise ValueError(f"size={size!r}; it is 'tiny' or 'full'")
    if family in ("sd3", "sd35", "flux"):
        from diffuscope.testing.random_joint import random_joint

        return random_joint(family, size, peaked=peaked, seed=seed, dtype=dtype)
    torch.manual_seed(seed)
    pipe = _builder(family)(size == "tiny")
    if peaked:
        _peak(pipe.unet if hasattr(pipe, "unet") else pipe.transformer)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
            if dtype != torch.float32:
                part.to(dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save_random_pipeline(
    folder: str | Path, family: str = "sd15", size: str = "tiny", **options: Any
) -> Path:
    """`random_pipeline` as a folder in diffusers layout, to be loaded as users load theirs; `options` as there."""
    place = Path(folder)
    random_pipeline(family, size, **options).save_pretrained(place)
    return place


def _builder(family: str) -> Callable[[bool], Any]:
    from diffuscope.testing import random_pixart, random_unet

    return {
        "sd15": random_unet.stable_diffusion,
        "sd21": lambda tiny: random_unet.stable_diffusion(tiny, second=True),
        "sdxl": random_unet.stable_diffusion_xl,
        "pixart": random_pixart.pixart,
    }[family]


@torch.no_grad()
def _peak(model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith(("to_q.weight", "to_k.weight")):
            parameter.mul_(PEAK)
