"""The tap: sees the queries and keys that reach the fused attention kernel, and lets the kernel run.

A `torch.overrides.TorchFunctionMode` is entered around each attention module's forward. It sees the call of
`torch.nn.functional.scaled_dot_product_attention` with its final arguments, after normalisation, rotary embedding,
adapters and fused projections, and passes it on unchanged, so the output is the same to the bit. diffusers uses the
same mechanism in `hooks/layer_skip.py` (`AttentionScoreSkipFunctionMode`).

The fused kernels compute the log-sum-exp of each row on their way and the public function drops it. A
`TorchDispatchMode` around that one call sees the kernel itself return, and picks it up: nothing else is run.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from diffuscope.engine.capture.patches import Patches


@dataclass(frozen=True)
class Attended:
    """What one fused attention call was given, in the kernel's dtype.

    `query` `[row, head, query, dim]`, `key` and `value` `[row, head, key, dim]`; `mask` broadcastable to
    `[row, head, query, key]`, boolean (True = may attend) or additive, or None; `causal` whether a query sees only the
    keys up to its own index; `scale` multiplies `q·k`; `lse` float32 `[row, head, query]`, natural log-sum-exp of the
    scaled and masked products, where it was asked for and the kernel yielded it.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    causal: bool
    scale: float
    lse: torch.Tensor | None = None


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


# Where each fused kernel returns the log-sum-exp: the second of its outputs in all of them.
_KERNELS = (
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
)


class _Kernel(TorchDispatchMode):
    """Sees what the fused kernel returns below the public function."""

    def __init__(self) -> None:
        super().__init__()
        self.lse: torch.Tensor | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        # The efficient kernel leaves it empty where no gradient will be asked for.
        if func.overloadpacket.__name__ in _KERNELS and output[1].numel():
            self.lse = output[1]
        return output


def _with_lse(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, torch.Tensor | None]:
    kernel = _Kernel()
    with kernel:
        output = func(*args, **kwargs)
    # Some kernels pad the rows to a multiple of 32.
    return output, None if kernel.lse is None else kernel.lse[..., : output.shape[-2]]


class _Tap(TorchFunctionMode):
    """Hands every fused attention call made while it is entered to `see`, under one site's name."""

    def __init__(self, site: str, see: See, lse: bool) -> None:
        super().__init__()
        self.site = site
        self.see = see
        self.lse = lse

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        output, lse = _with_lse(func, args, kwargs) if self.lse else (func(*args, **kwargs), None)
        self.see(self.site, replace(_attended(*args, **kwargs), lse=lse))
        return output


def tap(patches: Patches, module: torch.nn.Module, site: str, see: See, *, lse: bool = False) -> None:
    """Put a tap on `module`, an attention module, until `patches` is left. `lse`: look for the log-sum-exp too."""
    forward = module.forward
    mode = _Tap(site, see, lse)

    # `wraps` keeps the signature visible: diffusers filters keyword arguments by it.
    @functools.wraps(forward)
    def tapped(*args: Any, **kwargs: Any) -> Any:
        with mode:
            return forward(*args, **kwargs)

    patches.replace(module, "forward", tapped)
