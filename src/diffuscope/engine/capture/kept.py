"""What is kept of one attention call."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import torch

from diffuscope.engine.capture.tap import Attended
from diffuscope.errors import CaptureError
from diffuscope.ranges import Ranges
from diffuscope.recording import Level

ROWS_TRIED = 8
"""Queries of a large site at which a rounding or the kernel's log-sum-exp is tried against exact values."""

TOGETHER = 2**18
"""Products of a call up to which word maps are computed together with those of others: 2 MiB in float64."""

HALF = (torch.float16, torch.bfloat16)
"""Types of half precision."""

LSE_ERROR = 1e-5
"""Largest error (`lse_error`) of a kernel's log-sum-exp that is kept: probabilities from it are then off by that much
relatively."""

LSE_LARGE = 32.0
"""Size from which on an error counts in proportion to the log-sum-exp: near 70 float32 numbers lie 8e-6 apart, so a sum
rounded as well as any is off by more than `LSE_ERROR`. What is promised of maps relatively, 1e-4, holds up to 320."""

LSE_ERROR_HALF = 1e-4
"""The same for word maps of joint sites at half precision: what is promised of maps relatively. CPU kernels take faster
exponentials there: of the worst of some thousand rows 1e-5 to 7e-5, for log-sum-exps up to 30. To sum every row anew
would cost more than the step itself."""


@dataclass(frozen=True)
class Keeping:
    """What a recording keeps of its attention. The fields are those of `recording.Keep`."""

    level: Level
    sites: frozenset[str]
    steps: Ranges
    heads: Ranges
    float16: bool = False
    values: bool = False

    def heads_of(self, heads: int) -> list[int] | None:
        """Which of a site's heads are kept; None for all, so that nothing need be gathered."""
        kept = self.heads.within(heads)
        return None if len(kept) == heads else list(kept)


def rounded(tensor: torch.Tensor, site: str) -> torch.Tensor:
    """The tensor in float16.

    Raises:
        CaptureError: it holds values that float16 does not.
    """
    small = tensor.to(torch.float16)
    if not torch.isfinite(small).all():
        raise CaptureError(
            f"{site} has queries or keys beyond float16's range (65504); record without store='float16'"
        )
    return small


def row_mask(attended: Attended, row: int) -> torch.Tensor | None:
    """The mask of one row of the batch, `[head or 1, query or 1, key or 1]`, causal masks not included."""
    mask = attended.mask
    if mask is None:
        return None
    if mask.dim() == 4:
        mask = mask[row if mask.shape[0] > 1 else 0]
    return mask.reshape((1,) * (3 - mask.dim()) + mask.shape)


@torch.no_grad()
def logits(attended: Attended, row: int, queries: torch.Tensor | None = None) -> torch.Tensor:
    """Scaled and masked products of one row of the batch, float64 `[head, query, key]`; float32 on devices
    that have no float64 (MPS).

    In float64, since on peaked attention products reach the hundreds, where a float32 is off by more than the promised
    precision once it is exponentiated.

    Args:
        attended: what the kernel was given.
        row: of the batch.
        queries: indices of queries; all when None.
    """
    wide = torch.float32 if attended.query.device.type == "mps" else torch.float64
    query, key = attended.query[row].to(wide), attended.key[row].to(wide)
    if queries is not None:
        query = query[:, queries]
    # Keys first, which makes the wider matrix the second one: half as fast again on a CPU.
    scores = ((key * attended.scale) @ query.mT).mT
    mask = row_mask(attended, row)
    if mask is not None:
        if queries is not None and mask.shape[-2] > 1:
            mask = mask[:, queries]
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.to(wide)
    if attended.causal:
        # As the kernel has it: query i sees keys 0 to i, counted from the top left.
        asked = torch.arange(attended.query.shape[-2], device=key.device) if queries is None else queries
        later = torch.arange(key.shape[-2], device=key.device) > asked[:, None]
        scores = scores.masked_fill(later, -torch.inf)
    return scores


@torch.no_grad()
def word_maps(calls: Sequence[Attended], rows: Sequence[int], tokens: int) -> list[list[torch.Tensor]]:
    """Head-mean probability of the first `tokens` keys at each query, float32 `[token, query]`: for each of the calls
    a list, one of each of the batch's `rows`.

    The softmax is of the recorded queries and keys over *all* keys of the call, mask included.

    Small calls of one shape are computed together: in a small model it is the number of operations that takes time, and
    not their size.
    """
    together: dict[Hashable, list[int]] = {}
    maps: list[list[torch.Tensor]] = [[] for _ in calls]
    for index, call in enumerate(calls):
        heads, queries, _ = call.query.shape[-3:]
        if call.mask is None and heads * queries * call.key.shape[-2] <= TOGETHER:
            form = (call.query.shape, call.key.shape, call.query.dtype, call.scale, call.causal)
            together.setdefault(form, []).append(index)
        else:
            maps[index] = [_probabilities(call, row)[:, :tokens].mean(dim=0) for row in rows]
    for indices in together.values():
        first, parts = calls[indices[0]], (len(indices), len(rows), calls[indices[0]].query.shape[-3])
        # As one call with the heads of all.
        query = torch.cat([calls[index].query[row] for index in indices for row in rows])[None]
        key = torch.cat([calls[index].key[row] for index in indices for row in rows])[None]
        probable = _probabilities(replace(first, query=query, key=key), 0)
        means = probable[:, :tokens].unflatten(0, parts).mean(dim=2)
        for index, each in zip(indices, means, strict=True):
            maps[index] = list(each)
    return maps


def _probabilities(attended: Attended, row: int) -> torch.Tensor:
    """Softmax of one row of the batch, float32 `[head, key, query]`."""
    scores = logits(attended, row).mT
    # What is left below the row's greatest needs no more than float32, whose exponential is five times as fast.
    probable = scores.sub_(scores.amax(dim=-2, keepdim=True)).float().softmax(dim=-2)
    # A row that may attend to nothing is 0, as the kernel makes it.
    return probable if attended.mask is None else probable.nan_to_num_(0.0)


@torch.no_grad()
def rounding(exact: Attended, small: Attended, row: int, *, every_query: bool) -> float:
    """Largest change of a probability that storing `small` in place of `exact` makes, over all heads and keys.

    Args:
        exact, small: the call as the kernel had it and as it is stored.
        row: of the batch.
        every_query: whether to try every query, or only `ROWS_TRIED` spread over the grid.
    """
    queries = None if every_query else spread(exact)
    before, after = (logits(each, row, queries).softmax(dim=-1) for each in (exact, small))
    return float((before - after).abs().nan_to_num_(0.0).max())


@torch.no_grad()
def lse_error(attended: Attended, row: int) -> float:
    """How far the kernel's log-sum-exp is from the one of its queries and keys, tried at some rows, as of one no larger
    than `LSE_LARGE`; infinite where it gives none.

    Kernels differ in what they return: base, padding, precision of the sum.
    """
    if attended.lse is None or attended.lse.shape[:-1] != attended.query.shape[:2]:
        return math.inf
    queries = spread(attended)
    exact = logits(attended, row, queries).double().logsumexp(dim=-1)
    given = attended.lse[row][:, queries].double()
    # Rows that may attend to nothing have -inf on both sides, whose difference is no number.
    apart = torch.where(given == exact, 0.0, (given - exact).abs())
    large = (exact.abs().nan_to_num_(posinf=0.0) / LSE_LARGE).clamp(min=1.0)
    return float((apart.nan_to_num_(math.inf, posinf=math.inf) / large).max())


def spread(attended: Attended) -> torch.Tensor:
    """`ROWS_TRIED` query indices from first to last."""
    last = attended.query.shape[-2] - 1
    return torch.linspace(0, last, min(ROWS_TRIED, last + 1)).long().to(attended.query.device)


def _as_it_is(weight: torch.Tensor) -> bool:
    """Whether a weight is plain numbers, here: neither elsewhere (offloading) nor quantised."""
    return type(weight) is torch.nn.Parameter and not weight.is_meta


@torch.no_grad()
def head_gram(
    module: torch.nn.Module, heads: int, dim: int, dtype: torch.dtype = torch.float32
) -> torch.Tensor | None:
    """Gram matrices of the output projection's part of each head, float32 `[head, dim, dim]`; None without one.

    With `W_h` the columns `h*dim` to `(h+1)*dim` of the projection's weight, the norm of what head h adds to the
    output at a patch is `sqrt(o W_h^T W_h o)`, `o` its row of `P V`. A projection that is no plain linear layer
    is asked for its matrix by its answer to unit vectors of `dtype`, the type that attention computes in, so that
    adapters on it (LoRA), quantised weights and weights that are elsewhere until they are used (offloading) count.
    """
    projection = getattr(module, "to_out", None)
    linear = projection[0] if isinstance(projection, torch.nn.ModuleList) else projection
    if linear is None:
        return None
    if type(linear) is torch.nn.Linear and _as_it_is(linear.weight):
        weight = linear.weight.T.float()  # [head * dim, channel]
    else:
        like = next(linear.parameters(), torch.empty(0))
        # What offloads weights brings the input to them.
        unit = torch.eye(heads * dim, device="cpu" if like.is_meta else like.device, dtype=dtype)
        weight = (linear(unit) - linear(torch.zeros_like(unit[:1]))).float()
    parts = weight.unflatten(0, (heads, dim))
    gram: torch.Tensor = parts @ parts.transpose(-1, -2)
    return gram
