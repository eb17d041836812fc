"""The tap: sees the queries and keys that reach the fused attention kernel, and lets the kernel run.

A `torch.overrides.TorchFunctionMode` is entered around each attention module's forward. It sees the call of
`torch.nn.functional.scaled_dot_product_attention` with its final arguments, after normalisation, rotary embedding,
adapters and fused projections, and passes it on unchanged, so the output is the same to the bit. diffusers uses the
same mechanism in `hooks/layer_skip.py` (`AttentionScoreSkipFunctionMode`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from diffuscope.engine.capture.patches import Patches


@dataclass(frozen=True)
class Attended:
    """What one fused attention call was given, in the kernel's dtype.

    `query` `[row, head, query, dim]`, `key` and `value` `[row, head, key, dim]`; `mask` broadcastable to
    `[row, head, query, key]`, boolean (True = may attend) or additive, or None; `scale` multiplies `q·k`.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    causal: bool
    scale: float


See = Callable[[str, Attended], None]


def _attended(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Attended:
    """The arguments by name. The parameters are those of `scaled_dot_product_attention`, in its order."""
    used = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        # Grouped heads: each key head serves a run of query heads; recorded as the kernel applies them.
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], dim=-3)
    return Attended(query, key, value, attn_mask, is_causal, used)


class _Tap(TorchFunctionMode):
    """Hands every fused attention call made while it is entered to `see`, under one site's name."""

    def __init__(self, site: str, see: See) -> None:
        super().__init__()
        self.site = site
        self.see = see

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is functional.scaled_dot_product_attention:
            self.see(self.site, _attended(*args, **(kwargs or {})))
        return output


def tap(patches: Patches, module: torch.nn.Module, site: str, see: See) -> None:
    """Put a tap on `module`, an attention module, until `patches` is left."""
    forward = module.forward
    mode = _Tap(site, see)

    # `wraps` keeps the signature visible: diffusers filters keyword arguments by it.
    @functools.wraps(forward)
    def tapped(*args: Any, **kwargs: Any) -> Any:
        with mode:
            return forward(*args, **kwargs)

    patches.replace(module, "forward", tapped)
