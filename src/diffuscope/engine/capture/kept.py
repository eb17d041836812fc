"""What a keep level keeps of one attention call, and how much that is."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.engine.capture.tap import Attended


def to_numpy(tensor: torch.Tensor) -> NDArray[np.generic]:
    """A copy on the CPU, in the tensor's own dtype; bfloat16 through `ml_dtypes`, which NumPy itself lacks."""
    host = tensor.detach().to("cpu", copy=True).contiguous()
    if host.dtype == torch.bfloat16:
        import ml_dtypes

        return host.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return host.numpy()


@torch.no_grad()
def word_map(attended: Attended, row: int, tokens: int) -> NDArray[np.float32]:
    """Head-mean probability of the first `tokens` keys at each query of one row, float32 `[token, query]`.

    The softmax is of the recorded queries and keys over *all* keys of the call, mask included, in float32.
    """
    query, key = attended.query[row].float(), attended.key[row].float()
    scores = query @ key.transpose(-1, -2) * attended.scale
    if attended.mask is not None:
        mask = (
            attended.mask[min(row, attended.mask.shape[0] - 1)] if attended.mask.dim() == 4 else attended.mask
        )
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.float()
    mean = scores.softmax(dim=-1).mean(dim=0)
    return mean[:, :tokens].T.contiguous().cpu().numpy()
