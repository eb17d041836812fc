"""Attention computed a second time, by other means than the recording's: what a recording is compared with.

While a pipeline draws by itself, PyTorch's `scaled_dot_product_attention` is exchanged for a function that notes the
probabilities, computed in float64 by this file's own arithmetic, and returns what the kernel returns. Which module a
call belongs to is told by plain hooks. Nothing of the package's capture or map code is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional


@dataclass
class Noted:
    """What was noted of one drawing.

    Attributes:
        calls: for each forward of the denoiser, path of each attention module to what its first kernel call computed:
            float64 `[row, head, query, key]`.
        outputs: what each forward of the denoiser gave.
        order: paths of the modules in the order in which they ran first.
    """

    calls: list[dict[str, np.ndarray]] = field(default_factory=list)
    outputs: list[torch.Tensor] = field(default_factory=list)
    order: list[str] = field(default_factory=list)


@contextmanager
def noting(denoiser: torch.nn.Module, *, attention: bool = True) -> Iterator[Noted]:
    """Note the forwards of a denoiser, and with `attention` what every kernel call within computes."""
    noted, open_modules, handles = Noted(), list[str](), list[Any]()
    kernel = functional.scaled_dot_product_attention

    def begin(*_: Any) -> None:
        noted.calls.append({})

    def end(_module: Any, _args: Any, output: Any) -> None:
        noted.outputs.append((output[0] if isinstance(output, tuple) else output.sample).detach().clone())

    handles.append(denoiser.register_forward_pre_hook(begin))
    handles.append(denoiser.register_forward_hook(end))

    def noted_kernel(*args: Any, **kwargs: Any) -> torch.Tensor:
        output: torch.Tensor = kernel(*args, **kwargs)
        if open_modules and noted.calls and open_modules[-1] not in noted.calls[-1]:
            path = open_modules[-1]
            noted.calls[-1][path] = explicit(*args, **kwargs)
            if path not in noted.order:
                noted.order.append(path)
        return output

    if attention:
        for path, module in denoiser.named_modules():
            if hasattr(module, "to_q"):
                handles.append(
                    module.register_forward_pre_hook(lambda *_, path=path: open_modules.append(path))
                )
                handles.append(module.register_forward_hook(lambda *_: open_modules.pop() and None))
        functional.scaled_dot_product_attention = noted_kernel
    try:
        yield noted
    finally:
        functional.scaled_dot_product_attention = kernel
        for handle in handles:
            handle.remove()


def explicit(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> np.ndarray:
    """The softmax that PyTorch documents for the kernel, in float64: `[row, head, query, key]`."""
    q, k = (tensor.detach().double().cpu().numpy() for tensor in (query, key))
    if enable_gqa:
        k = np.repeat(k, q.shape[-3] // k.shape[-3], axis=-3)
    scores = np.einsum("bhqd,bhkd->bhqk", q, k) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if attn_mask is not None:
        mask = attn_mask.detach().cpu()
        scores = (
            np.where(mask.numpy(), scores, -np.inf)
            if mask.dtype == torch.bool
            else scores + mask.double().numpy()
        )
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:]).astype(bool), scores, -np.inf)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    found: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return found


@contextmanager
def around_the_kernel(module: torch.nn.Module) -> Iterator[None]:
    """A module whose attention is computed without PyTorch's kernel, as other backends do: nobody can see it there."""
    forward = module.forward
    kernel = functional.scaled_dot_product_attention

    def by_hand(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if attn_mask is not None:
            scores = scores + attn_mask
        return scores.softmax(dim=-1) @ value

    def blind(*args: Any, **kwargs: Any) -> Any:
        functional.scaled_dot_product_attention = by_hand
        try:
            return forward(*args, **kwargs)
        finally:
            functional.scaled_dot_product_attention = kernel

    module.forward = blind
    try:
        yield
    finally:
        del module.forward
