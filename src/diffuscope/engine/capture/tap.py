"""The tap: sees the queries and keys that reach the fused attention kernel, and lets the kernel run.

While any tap is on, a function of our own stands in place of `torch.nn.functional.scaled_dot_product_attention`. It
calls torch's, with the arguments that it was given, and returns what that returns, so the output is the same to the
bit. What it was given (after normalisation, rotary embedding, adapters and fused projections) belongs to the attention
module whose forward is under way on the same thread; calls from anywhere else pass by.

Where a `torch.overrides.TorchFunctionMode` is active, or the function was replaced by somebody else, the tap is such a
mode itself, entered around the module's forward, as in diffusers' own `hooks/layer_skip.py`
(`AttentionScoreSkipFunctionMode`). That is the surer way to the kernel and the dearer one: Python is then called for
every operation of the module, 20 times more often.

The fused kernels compute the log-sum-exp of each row on their way and the public function drops it. A
`TorchDispatchMode` around that one call sees the kernel itself return, and picks it up: nothing else is run.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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

SDPA = torch._C._nn.scaled_dot_product_attention
"""What `torch.nn.functional.scaled_dot_product_attention` is where nobody has replaced it."""


def _attended(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    lse: torch.Tensor | None = None,
) -> Attended:
    """The arguments by name. The parameters are those of `scaled_dot_product_attention`, in its order, and `lse`."""
    used = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        # Grouped heads: each key head serves a run of query heads; recorded as the kernel applies them.
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], dim=-3)
    return Attended(query, key, value, attn_mask, is_causal, used, lse)


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


class Interposed(TorchFunctionMode):
    """Something that is handed the fused attention calls of one module's forward: `attend` stands in their place.

    As a mode, while it is entered, it sees those of its thread by itself.
    """

    def attend(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the model gets in place of `func(*args, **kwargs)`; `func` is torch's function or stands for it."""
        raise NotImplementedError

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return self.attend(func, *args, **(kwargs or {})) if func is SDPA else func(*args, **(kwargs or {}))


class _Tap(Interposed):
    """Hands the fused attention calls of one module's forward to `see`, under one site's name."""

    def __init__(self, site: str, see: See, lse: bool) -> None:
        super().__init__()
        self.site = site
        self.see = see
        self.lse = lse

    def attend(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Let `func`, torch's function, run, and see what it was given."""
        output, lse = _with_lse(func, args, kwargs) if self.lse else (func(*args, **kwargs), None)
        self.see(self.site, _attended(*args, **{**kwargs, "lse": lse}))
        return output


# In place of torch's function.


class _Here(threading.local):
    """Of one thread: the taps of the attention module whose forward is under way, the outermost first."""

    taps: tuple[Interposed, ...] = ()


_here = _Here()
_lock = threading.Lock()
_taps_on: set[object] = set()


@functools.wraps(SDPA)
def _watched(*args: Any, **kwargs: Any) -> Any:
    if torch._C._len_torch_function_stack():
        # A mode that waits for this function knows it by its name; if ours is among them, it sees the call there.
        with _under_its_name():
            return SDPA(*args, **kwargs)
    func: Callable[..., Any] = SDPA
    for tap in _here.taps:
        func = functools.partial(tap.attend, func)
    return func(*args, **kwargs)


def _replace(tap: object) -> None:
    with _lock:
        _taps_on.add(tap)
        if functional.scaled_dot_product_attention is SDPA:
            functional.scaled_dot_product_attention = _watched


def _restore(tap: object) -> None:
    """The last tap that goes puts torch's function back; several recordings may be under way in several threads."""
    with _lock:
        _taps_on.discard(tap)
        if not _taps_on and functional.scaled_dot_product_attention is _watched:
            functional.scaled_dot_product_attention = SDPA


@contextmanager
def _under_its_name() -> Iterator[None]:
    replaced = functional.scaled_dot_product_attention is _watched
    if replaced:
        functional.scaled_dot_product_attention = SDPA
    try:
        yield
    finally:
        with _lock:
            if replaced and _taps_on:
                functional.scaled_dot_product_attention = _watched


def tap(patches: Patches, module: torch.nn.Module, site: str, see: See, *, lse: bool = False) -> None:
    """Put a tap on `module`, an attention module, until `patches` is left. `lse`: look for the log-sum-exp too."""
    interpose(patches, module, _Tap(site, see, lse))


def interpose(patches: Patches, module: torch.nn.Module, mode: Interposed) -> None:
    """Hand the fused attention calls of `module`'s forward to `mode`, until `patches` is left.

    Of several on one module, the one that was put on first is handed a call first, and what it calls is the next: what
    it changes is what the others see.
    """
    forward = module.forward

    # `wraps` keeps the signature visible: diffusers filters keyword arguments by it.
    @functools.wraps(forward)
    def tapped(*args: Any, **kwargs: Any) -> Any:
        if torch._C._len_torch_function_stack() or functional.scaled_dot_product_attention is not _watched:
            with mode:
                return forward(*args, **kwargs)
        outer = _here.taps
        _here.taps = (*outer, mode)
        try:
            return forward(*args, **kwargs)
        finally:
            _here.taps = outer

    patches.do(functools.partial(_replace, mode), functools.partial(_restore, mode))
    patches.replace(module, "forward", tapped)
