"""The optimiser of every stage: Muon for what maps features to features, AdamW for the rest.

Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks") steps by the nearest orthogonal
matrix to a weight's momentum, so that every direction of a layer learns and not only the loudest; with steps as large
as AdamW's (Liu et al. 2025, "Muon is scalable for LLM training", section 2.2) one learning rate serves both.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch


def _matrix(tensor: torch.Tensor) -> torch.Tensor:
    """A convolution's `[out, in, y, x]` as `[out, y * x * in]`, which shares its memory where channels are innermost;
    a matrix as it is."""
    return tensor if tensor.dim() == 2 else tensor.permute(0, 2, 3, 1).reshape(len(tensor), -1)


class Optimiser:
    """Muon for matrices and convolutions that are at least `narrowest` wide both ways, AdamW for all other parameters.

    Args:
        parameters: what is trained. Convolutions must lie in memory with channels innermost.
        rate: learning rate, of both.
        beta2, weight_decay: AdamW's.
        narrowest: embeddings of pictures, read-outs and other thin layers are AdamW's.
        matrices: False trains everything with AdamW.
        cores: how many shares Muon's matrices are stepped in, side by side; what comes out is the same.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        *,
        rate: float,
        beta2: float,
        weight_decay: float,
        matrices: bool,
        narrowest: int = 12,
        cores: int = 1,
    ) -> None:
        parameters = list(parameters)
        self._convolved = [
            one for one in parameters if matrices and one.dim() in (2, 4) and min(one.shape[:2]) >= narrowest
        ]
        chosen = {id(one) for one in self._convolved}
        rest = [one for one in parameters if id(one) not in chosen]
        self._flat = [torch.nn.Parameter(_matrix(one.data)) for one in self._convolved]
        for flat, one in zip(self._flat, self._convolved, strict=True):
            if flat.data_ptr() != one.data_ptr():
                raise ValueError("a convolution's weights do not lie in memory with channels innermost")
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=rate, betas=(0.9, beta2), weight_decay=weight_decay, fused=True)
        ]
        # Work goes with the elements times the narrower side: dealt out from the largest on, shares are nearly equal.
        dealt = sorted(self._flat, key=lambda flat: flat.numel() * min(flat.shape), reverse=True)
        for share in range(min(cores, len(dealt))):
            self._parts.append(
                torch.optim.Muon(
                    dealt[share::cores], lr=rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
                )
            )
        self._pool = ThreadPoolExecutor(cores) if cores > 1 else None

    def step(self, rate: float) -> None:
        """One step at learning rate `rate`."""
        for flat, one in zip(self._flat, self._convolved, strict=True):
            flat.grad = None if one.grad is None else _matrix(one.grad)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate
        list((self._pool.map if self._pool else map)(lambda part: part.step(), self._parts))

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for one in (*self._flat, *self._convolved):
            one.grad = None
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """The exact state of both."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Go on from what `state_dict` gave."""
        for part, one in zip(self._parts, state, strict=True):
            part.load_state_dict(one)
            # The fused step walks through memory as it lies: moments have to lie as their weights do, which a file
            # does not keep.
            for parameter, kept in part.state.items():
                for name, value in kept.items():
                    if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                        kept[name] = torch.empty_like(parameter).copy_(value)
