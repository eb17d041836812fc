"""What cannot be recorded, told before anything runs: the reason, and what to do instead.

Whatever gets past these checks meets the count of sites at every call (`capture/watch.py`), so that nothing is ever
recorded in part; here the message can say more.
"""

from __future__ import annotations

from typing import Any

import torch

from diffuscope.engine.models.family import AttentionSite
from diffuscope.errors import InputError, UnsupportedAttentionError, UnsupportedModelError, listed

PARTS = ("unet", "transformer", "prior")
"""Where pipelines hold their denoiser."""

CACHES = (
    "faster_cache",
    "pyramid_attention_broadcast",
    "fbc_",
    "mag_cache",
    "sea_cache",
    "taylorseer_cache",
    "text_kv_cache",
)
"""Beginnings of the names of diffusers' hooks that leave out attention and reuse earlier outputs."""

LINEAR = ("LinearAttn", "SanaMultiscale")
"""Parts of the names of attention processors that have no softmax, hence no attention probabilities."""


def refuse_model(pipe: Any) -> None:
    """Refuse a pipeline whose attention can never be seen.

    Raises:
        UnsupportedModelError: its denoiser is compiled, or its attention is linear.
    """
    for name in PARTS:
        part = getattr(pipe, name, None)
        if not isinstance(part, torch.nn.Module):
            continue
        if _compiled(part):
            raise UnsupportedModelError(
                f"the pipeline's {name} is compiled (torch.compile), and compiled code runs past the tap; record "
                f"with the module it was made from (pipe.{name} = pipe.{name}._orig_mod, or load the pipeline again)"
            )
        for path, module in part.named_modules():
            kind = type(_own(module, "processor")).__name__
            if any(mark in kind for mark in LINEAR):
                raise UnsupportedModelError(
                    f"{path} of {type(pipe).__name__} is linear attention ({kind}): it has no softmax, so there are "
                    "no attention probabilities to record; use a model with softmax attention"
                )


def refuse_state(pipe: Any, denoiser: torch.nn.Module, sites: tuple[AttentionSite, ...]) -> None:
    """Refuse a pipeline that is set up so that its attention cannot be seen now, or that cannot run.

    Raises:
        UnsupportedModelError: its parts are of two families.
        UnsupportedAttentionError: an attention backend or a caching hook goes around the tap.
        InputError: the pipeline's parts are on different devices.
    """
    refuse_model(pipe)
    _refuse_misfit(pipe)
    _refuse_backends(sites)
    _refuse_caches(denoiser)
    _refuse_devices(pipe)


def _compiled(part: torch.nn.Module) -> bool:
    # `torch.compile(module)` wraps it; `module.compile()` and diffusers' `compile_repeated_blocks` mark it.
    return any(
        _own(module, "_orig_mod") is not None or _own(module, "_compiled_call_impl") is not None
        for module in part.modules()
    )


def _refuse_misfit(pipe: Any) -> None:
    """The UNets of Stable Diffusion read the text encoders' embeddings as they are, side by side: sizes must agree."""
    config = getattr(getattr(pipe, "unet", None), "config", None)
    reads = getattr(config, "cross_attention_dim", None)
    if not isinstance(reads, int) or getattr(config, "encoder_hid_dim", None) is not None:
        return
    encoders = (getattr(pipe, name, None) for name in ("text_encoder", "text_encoder_2"))
    found = [getattr(each.config, "hidden_size", None) for each in encoders if each is not None]
    widths = [width for width in found if isinstance(width, int)]
    if widths and len(widths) == len(found) and sum(widths) != reads:
        raise UnsupportedModelError(
            f"the UNet reads text embeddings of {reads} numbers and the text encoders make {sum(widths)}: parts of "
            "two families in one pipeline; load the folder of one model"
        )


def _refuse_backends(sites: tuple[AttentionSite, ...]) -> None:
    """Backends are set on processors (`ModelMixin.set_attention_backend`); the native ones call PyTorch's function."""
    for site in sites:
        backend = getattr(getattr(site.module, "processor", None), "_attention_backend", None)
        name = str(getattr(backend, "value", backend))
        if backend is not None and not name.lstrip("_").startswith("native"):
            raise UnsupportedAttentionError(
                f"{site.name} uses the attention backend {name!r}, which goes around PyTorch's "
                "scaled_dot_product_attention; call reset_attention_backend() on the denoiser and record again"
            )


def _refuse_caches(denoiser: torch.nn.Module) -> None:
    found = set()
    for module in denoiser.modules():
        registry = _own(module, "_diffusers_hook")
        for name in getattr(registry, "hooks", {}):
            if name.startswith(CACHES):
                found.add(name)
    if found:
        raise UnsupportedAttentionError(
            f"the denoiser skips attention and reuses earlier outputs ({listed(sorted(found))}), so a recording "
            "would have gaps; call disable_cache() on it and record again"
        )


def _refuse_devices(pipe: Any) -> None:
    """Parts on different devices fail in the middle of a run, unless hooks of accelerate move what they need."""
    devices: dict[str, list[str]] = {}
    for name, part in pipe.components.items():
        if not isinstance(part, torch.nn.Module) or _moved_by_hooks(part):
            continue
        first = next(part.parameters(), None)
        if first is not None:
            devices.setdefault(str(first.device), []).append(name)
    if len(devices) > 1:
        where = "; ".join(f"{listed(names)} on {device}" for device, names in devices.items())
        raise InputError(
            f"the pipeline's parts are on different devices ({where}); bring it to one with pipe.to(...)"
        )


def _moved_by_hooks(part: torch.nn.Module) -> bool:
    return any(
        _own(module, "_hf_hook") is not None or _own(module, "_diffusers_hook") is not None
        for module in part.modules()
    )


def _own(module: torch.nn.Module, name: str) -> Any:
    """An attribute that a module may have, or None. Asking a module of torch for one that it has not is slow, and this
    is asked of every module before every recording."""
    own = vars(module)
    return own[name] if name in own else own["_modules"].get(name)
