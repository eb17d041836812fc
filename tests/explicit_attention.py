"""Attention computed a second time, by other means than the tap: what exactness tests compare a recording with.

Plain forward hooks on the projections `to_q` and `to_k` note their outputs while the pipeline runs. From these the
probabilities are computed here in float64, with heads cut out of the channels by this file's own arithmetic. Nothing
of the package's capture or map code is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def watched_projections(unet: torch.nn.Module) -> Iterator[dict[str, list[dict[str, np.ndarray]]]]:
    """Module path of each attention -> one `{"q", "k"}` a call, float64 `[row, position, channel]`."""
    seen: dict[str, list[dict[str, np.ndarray]]] = {}
    handles = []

    def note(path: str, which: str) -> Any:
        def hook(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            calls = seen.setdefault(path, [])
            if which == "q":
                calls.append({})
            calls[-1][which] = output.detach().double().numpy().copy()

        return hook

    for path, module in unet.named_modules():
        if path.endswith(("attn1", "attn2")):
            handles.append(module.to_q.register_forward_hook(note(path, "q")))
            handles.append(module.to_k.register_forward_hook(note(path, "k")))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def explicit(q: np.ndarray, k: np.ndarray, heads: int, bias: np.ndarray | None = None) -> np.ndarray:
    """Softmax probabilities float64 `[head, query, key]` of one row's `q`, `k` `[position, channel]`; `bias`
    `[query, key]` is added to the products, -inf where a key is left out."""
    dim = q.shape[-1] // heads
    found = []
    for head in range(heads):
        part = slice(head * dim, (head + 1) * dim)
        scores = q[:, part] @ k[:, part].T / np.sqrt(dim)
        if bias is not None:
            scores = scores + bias
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(weights / weights.sum(axis=1, keepdims=True))
    return np.stack(found)
