"""Attention probabilities from recorded queries and keys.

The kernel that drew the picture was never asked for its probabilities; they are computed here from what it
received. "Exact" means the softmax of those tensors: the values agree with a float64 softmax to 1e-6 absolute
and 1e-4 relative on any attention, peaked attention included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import RecordingError

Array = NDArray[np.generic]
Floats = NDArray[np.float32]


def probabilities(q: Array, k: Array, scale: float, mask: Array | None = None) -> Floats:
    """Softmax attention of one site in one call.

    Args:
        q: queries ``[head, query, dim]``, any float dtype (bfloat16 through ml_dtypes).
        k: keys ``[key_head, key, dim]``; with grouped heads ``key_head`` divides ``head`` and each key head
            serves ``head / key_head`` neighbouring query heads, as in
            ``F.scaled_dot_product_attention(enable_gqa=True)``.
        scale: what the kernel multiplied ``q·k`` with (mostly ``dim ** -0.5``).
        mask: what the kernel received, broadcastable to ``[head, query, key]``: booleans (True takes part) or
            numbers that are added to the logits.

    Returns:
        float32 ``[head, query, key]``; each row sums to 1 over the keys. A row whose keys are all masked is
        zero, as in torch's safe softmax.

    Raises:
        RecordingError: the shapes do not belong together, or the model had produced NaN or infinity.
    """
    return np.stack(list(_per_head(q, k, scale, mask)))


def head_mean(
    q: Array,
    k: Array,
    scale: float,
    *,
    heads: Sequence[int] | None = None,
    keys: Sequence[int] | slice | None = None,
    mask: Array | None = None,
) -> Floats:
    """Mean over heads of the probabilities at some keys: ``[key, query]``.

    The softmax runs over *all* keys; only then the asked ones are taken. One head at a time, so that memory
    stays at one ``[query, key]`` table.

    Args:
        q, k, scale, mask: as in `probabilities`.
        heads: indices to average over; all when None.
        keys: key positions (tokens, at a cross site) to return; all when None.

    Returns:
        float32 ``[key, query]``, a probability.
    """
    chosen = list(range(len(q))) if heads is None else list(heads)
    columns: Sequence[int] | slice = slice(None) if keys is None else keys
    total: NDArray[np.float64] | None = None
    for rows in _per_head(q, k, scale, mask, heads=chosen):
        part = rows[:, columns].astype(np.float64)
        total = part if total is None else total + part
    if total is None:
        raise RecordingError("no head was chosen to average over; choose at least one")
    return np.ascontiguousarray((total / len(chosen)).T, dtype=np.float32)


def weighted_heads(
    q: Array,
    k: Array,
    scale: float,
    *,
    keys: Sequence[int],
    weights: Sequence[float],
    heads: Sequence[int] | None = None,
    mask: Array | None = None,
) -> Floats:
    """Weighted sum over some keys of each head's probabilities: ``[head, query]``.

    The softmax runs over *all* keys; only then the asked ones are taken.

    Args:
        q, k, scale, mask: as in `probabilities`.
        keys: key positions to sum over.
        weights: of each of them.
        heads: indices of heads; all when None.

    Returns:
        float32 ``[head, query]``; with weights of 1 the probability mass that these keys get.
    """
    shares = np.asarray(weights, np.float64)
    return np.stack(
        [
            (rows[:, list(keys)].astype(np.float64) @ shares).astype(np.float32)
            for rows in _per_head(q, k, scale, mask, heads=heads)
        ]
    )


def attended_values(
    q: Array,
    k: Array,
    v: Array,
    scale: float,
    *,
    heads: Sequence[int],
    keys: Sequence[int] | None = None,
    mask: Array | None = None,
) -> Iterator[NDArray[np.float64]]:
    """``P V`` of each head in turn, float64 ``[query, dim]``, computed from the probabilities.

    Args:
        q, k, scale, mask: as in `probabilities`.
        v: values ``[key_head, key, dim]``.
        heads: indices of heads.
        keys: take these keys' part of the sum alone, without making their probabilities sum to 1; all when None.
    """
    group = len(q) // len(v)
    chosen: slice | list[int] = slice(None) if keys is None else list(keys)
    for head, rows in zip(heads, _per_head(q, k, scale, mask, heads=heads), strict=True):
        yield rows[:, chosen].astype(np.float64) @ v[head // group][chosen].astype(np.float64)


def attention_from(
    q: Array,
    k: Array,
    scale: float,
    queries: Sequence[int],
    *,
    heads: Sequence[int] | None = None,
    mask: Array | None = None,
) -> Floats:
    """What some queries look at: rows of the probabilities, mean over heads.

    Args:
        q, k, scale, mask: as in `probabilities`.
        queries: indices of queries.
        heads: indices to average over; all when None.

    Returns:
        float32 ``[query asked, key]``; each row sums to 1.
    """
    asked = list(queries)
    small = None if mask is None or mask.shape[-2] == 1 else mask[..., asked, :]
    return head_mean(q[:, asked], k, scale, heads=heads, mask=mask if small is None else small).T


def attention_to(
    q: Array,
    k: Array,
    scale: float,
    keys: Sequence[int],
    lse: Array,
    *,
    heads: Sequence[int] | None = None,
    mask: Array | None = None,
) -> Floats:
    """Who looks at some keys: columns of the probabilities, mean over heads, without the other columns.

    Args:
        q, k, scale, mask: as in `probabilities`.
        keys: indices of keys.
        lse: natural log-sum-exp of each row, ``[head, query]``: recorded, or of `log_sum_exp`.
        heads: indices to average over; all when None.

    Returns:
        float32 ``[key asked, query]``, a probability at each query.
    """
    asked = list(keys)
    small = None if mask is None or mask.shape[-1] == 1 else mask[..., asked]
    narrow = mask if small is None else small
    chosen = range(len(q)) if heads is None else heads
    total = np.zeros((q.shape[1], len(asked)))
    for head, logits in zip(chosen, _logits(q, k[:, asked], scale, narrow, heads=chosen), strict=True):
        with np.errstate(invalid="ignore"):  # A row that may attend to nothing: -inf less -inf.
            powers = np.exp(logits - lse[head].astype(np.float64)[:, None])
        total += np.nan_to_num(powers, nan=0.0)
    if not len(chosen):
        raise RecordingError("no head was chosen to average over; choose at least one")
    return np.ascontiguousarray((total / len(chosen)).T, dtype=np.float32)


def log_sum_exp(q: Array, k: Array, scale: float, mask: Array | None = None) -> NDArray[np.float64]:
    """Natural log-sum-exp over keys of the scaled and masked products, float64 ``[head, query]``.

    One head at a time, so that memory stays at one ``[query, key]`` table.
    """
    rows = []
    for logits in _logits(q, k, scale, mask):
        top = logits.max(axis=-1, keepdims=True)
        logits -= np.where(np.isneginf(top), 0.0, top)
        with np.errstate(divide="ignore"):
            rows.append(np.log(np.exp(logits.astype(np.float32)).sum(axis=-1, dtype=np.float64)) + top[:, 0])
    return np.stack(rows)


def _per_head(
    q: Array, k: Array, scale: float, mask: Array | None, heads: Sequence[int] | None = None
) -> Iterator[Floats]:
    """Probabilities ``[query, key]`` of each head in turn."""
    for logits in _logits(q, k, scale, mask, heads):
        yield _softmax(logits)


def _logits(
    q: Array, k: Array, scale: float, mask: Array | None, heads: Sequence[int] | None = None
) -> Iterator[NDArray[np.float64]]:
    """Scaled and masked products ``[query, key]`` of each head in turn."""
    if q.ndim != 3 or k.ndim != 3 or q.shape[2] != k.shape[2] or not len(k) or len(q) % len(k):
        raise RecordingError(
            f"queries {q.shape} and keys {k.shape} do not belong together; expected [head, query, dim] and "
            "[head, key, dim] with equal dim and a whole number of query heads for each key head"
        )
    group = len(q) // len(k)
    wide = None if mask is None else np.broadcast_to(mask, (len(q), q.shape[1], k.shape[1]))
    for head in range(len(q)) if heads is None else heads:
        # The product in float64: on peaked attention the logits reach the hundreds, where float32 sums are
        # off by more than the promised 1e-4 once exponentiated.
        logits = q[head].astype(np.float64) @ k[head // group].astype(np.float64).T
        logits *= scale
        if wide is not None:
            if wide.dtype == np.bool_:
                logits[~wide[head]] = -np.inf
            else:
                logits += wide[head].astype(np.float64)
        yield logits


def _softmax(logits: NDArray[np.float64]) -> Floats:
    """Row-wise softmax, float32.

    With the row's maximum taken off in float64, what is left is at most 0, and rounding it to float32 costs
    less than 1e-6 relative wherever the result is above 1e-7. The exponential can then run in float32, five
    times faster.
    """
    top = logits.max(axis=-1, keepdims=True)
    if np.isnan(top).any() or np.isposinf(top).any():
        raise RecordingError(
            "the recorded queries or keys hold NaN or infinity: the model produced invalid numbers; "
            "record it again in float32, or with another seed"
        )
    dead = np.isneginf(top)
    logits -= np.where(dead, 0.0, top)
    powers = np.exp(logits.astype(np.float32))
    total = powers.sum(axis=-1, keepdims=True, dtype=np.float64)
    total[dead] = 1.0
    powers /= total.astype(np.float32)
    return powers
