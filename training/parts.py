"""A batch in equal parts side by side, one thread of one core each.

Within one step torch shares each operation between cores and waits for the slower of them, and what is not shared
(Python, small operations, the optimiser) leaves all cores but one idle. Whole parts of a batch need no such waiting.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn


class Parts:
    """`count` models of one set of weights, each with gradients of its own.

    Args:
        model: the first of them; the others share its parameters' memory.
        count: how many; 1 runs in the caller's thread.
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        self._models = [model]
        for _ in range(count - 1):
            twin = copy.deepcopy(model)
            for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
                theirs.data = ours.data
            self._models.append(twin)
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def __len__(self) -> int:
        return len(self._models)

    def gradients(self, share: Callable[[nn.Module, int], torch.Tensor]) -> float:
        """Run `share(model, part)` for every part, each returning its share of the loss, and leave the gradient of
        their sum in the first model; the sum."""

        def run(part: int) -> float:
            value = share(self._models[part], part)
            value.backward()  # type: ignore[no-untyped-call]
            return float(value.detach())

        total = sum((self._pool.map if self._pool else map)(run, range(len(self))))
        first = [one for one in self._models[0].parameters() if one.grad is not None]
        for model in self._models[1:]:
            others = [one for one in model.parameters() if one.grad is not None]
            torch._foreach_add_([one.grad for one in first], [one.grad for one in others])
            for one in others:
                one.grad = None
        return total
