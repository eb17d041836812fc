"""Stable Diffusion's original checkpoint layout, for tests of single files: a diffusers pipeline's weights under the
names that CompVis gave them (`ldm/modules/diffusionmodules`), as `from_single_file` reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def save_checkpoint(pipe: Any, path: Path) -> Path:
    """All weights of a Stable Diffusion 1.x pipeline in one file."""
    unet = {
        f"model.diffusion_model.{_unet(name, pipe.unet.config)}": value
        for name, value in pipe.unet.state_dict().items()
    }
    vae = {}
    for name, value in pipe.vae.state_dict().items():
        renamed = _vae(name, len(pipe.vae.config.block_out_channels))
        # The original's attention projections are convolutions of one cell.
        cells = bool(re.search(r"attn_1\.(q|k|v|proj_out)\.weight$", renamed))
        vae[f"first_stage_model.{renamed}"] = value[:, :, None, None] if cells else value
    text = {}
    for name, value in pipe.text_encoder.state_dict().items():
        inner = name if name.startswith("text_model.") else f"text_model.{name}"
        text[f"cond_stage_model.transformer.{inner}"] = value
    weights = {**unet, **vae, **text}
    save_file({name: value.contiguous().clone() for name, value in weights.items()}, path)
    return path


def _unet(name: str, config: Any) -> str:
    for theirs, ours in OUTSIDE.items():
        if name.startswith(f"{theirs}."):
            return name.replace(theirs, ours, 1)
    layers = config.layers_per_block
    match = re.match(
        r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name
    )
    if match:
        side, block, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
        if side == "down":
            at = block * (layers + 1) + (layer if kind in ("resnets", "attentions") else layers) + 1
            place = f"input_blocks.{at}"
            part = {"resnets": "0", "attentions": "1", "downsamplers": "0.op"}[kind]
        else:
            at = block * (layers + 1) + (layer if kind in ("resnets", "attentions") else layers)
            place = f"output_blocks.{at}"
            part = {"resnets": "0", "attentions": "1", "upsamplers": "2"}[kind]
        rest = rest.removeprefix("conv.") if kind == "downsamplers" else rest
        return f"{place}.{part}.{_resnet(rest) if kind == 'resnets' else rest}"
    match = re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name)
    assert match, name
    if match[1] == "attentions":
        return f"middle_block.1.{match[3]}"
    return f"middle_block.{2 * int(match[2])}.{_resnet(match[3])}"


def _resnet(rest: str) -> str:
    part, _, leaf = rest.partition(".")
    return f"{RESNET[part]}.{leaf}"


def _vae(name: str, blocks: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    match = re.match(r"(.+)\.mid_block\.attentions\.0\.(.+)\.(weight|bias)$", name)
    if match:
        return f"{match[1]}.mid.attn_1.{VAE_ATTENTION[match[2]]}.{match[3]}"
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda found: f"up.{blocks - 1 - int(found[1])}.block", name)
    return re.sub(
        r"up_blocks\.(\d+)\.upsamplers\.0", lambda found: f"up.{blocks - 1 - int(found[1])}.upsample", name
    )


def save_pickle(pipe: Any, path: Path) -> Path:
    """The same as a pickle."""
    from safetensors.torch import load_file

    safe = save_checkpoint(pipe, path.with_suffix(".safetensors"))
    torch.save({"state_dict": load_file(safe)}, path)
    safe.unlink()
    return path
