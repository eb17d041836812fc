"""Probabilities from queries and keys: exact on peaked attention, and masks and grouped heads as the kernel
had them.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from diffuscope.errors import RecordingError
from diffuscope.maps.attention import head_mean, probabilities

ABSOLUTE, RELATIVE = 1e-6, 1e-4
SCALE = 24**-0.5


def peaked(
    heads: int = 3, queries: int = 60, keys: int = 11, dim: int = 24, gain: float = 9.0, seed: int = 0
):
    """Queries and keys whose softmax puts most of each row on one key; every head is different."""
    rng = np.random.default_rng(seed)
    q = gain * rng.normal(size=(heads, queries, dim))
    k = rng.normal(size=(heads, keys, dim))
    return q.astype(np.float32), k.astype(np.float32)


def reference(q, k, scale, mask=None):
    """Row by row in float64, with the plain formula and none of the package's code."""
    q, k = q.astype(np.float64), k.astype(np.float64)
    out = np.empty((len(q), q.shape[1], k.shape[1]))
    for head in range(len(q)):
        for row in range(q.shape[1]):
            logits = np.array([float(np.sum(q[head, row] * key)) * scale for key in k[head]])
            if mask is not None:
                logits = logits + mask[head, row]
            powers = [np.exp(value - logits.max()) for value in logits]
            out[head, row] = np.array(powers) / sum(powers)
    return out


def agrees(ours, expected) -> bool:
    error = np.abs(ours.astype(np.float64) - expected)
    return bool((error <= ABSOLUTE).all() and (error <= RELATIVE * expected + 1e-30).all())


def test_the_test_attention_is_peaked():
    q, k = peaked()
    assert np.median(reference(q, k, SCALE).max(axis=-1)) > 0.9


@pytest.mark.parametrize("gain", [0.1, 3.0, 9.0, 60.0])
def test_probabilities_equal_a_float64_softmax_within_both_tolerances(gain):
    q, k = peaked(gain=gain)
    ours = probabilities(q, k, SCALE)
    assert ours.dtype == np.float32 and ours.shape == (3, 60, 11)
    assert agrees(ours, reference(q, k, SCALE))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_any_stored_dtype_is_read_as_it_is(dtype):
    q, k = (array.astype(dtype) for array in peaked())
    assert agrees(probabilities(q, k, SCALE), reference(q, k, SCALE))


@pytest.mark.parametrize(
    "fault",
    [
        lambda q, k, s: (q[[1, 0, 2]], k, s),
        lambda q, k, s: (q, k[[0, 2, 1]], s),
        lambda q, k, s: (np.roll(q, 1, axis=1), k, s),
        lambda q, k, s: (q, np.roll(k, 1, axis=1), s),
        lambda q, k, s: (q, k, 1.0),
        lambda q, k, s: (q, k, s * 1.01),
        lambda q, k, s: (q.astype(np.float16), k.astype(np.float16), s),
    ],
    ids=[
        "wrong head",
        "wrong key head",
        "shifted grid",
        "shifted key",
        "no scale",
        "scale off by 1%",
        "dtype",
    ],
)
def test_planted_faults_are_caught(fault):
    q, k = peaked()
    assert not agrees(probabilities(*fault(q, k, SCALE)), reference(q, k, SCALE))


def test_logits_far_beyond_float32_range_of_exp_stay_finite():
    q, k = peaked(gain=500.0)
    ours = probabilities(q, k, SCALE)
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours.sum(axis=-1), 1, atol=1e-6)


def test_additive_and_boolean_masks_take_keys_out():
    q, k = peaked()
    keep = np.ones((1, 1, 11), dtype=bool)
    keep[..., [2, 5]] = False
    added = np.where(keep, 0.0, -np.inf)
    expected = reference(q, k, SCALE, np.broadcast_to(added, (3, 60, 11)))
    assert agrees(probabilities(q, k, SCALE, keep), expected)
    assert agrees(probabilities(q, k, SCALE, added.astype(np.float32)), expected)
    assert (probabilities(q, k, SCALE, keep)[..., [2, 5]] == 0).all()


def test_a_causal_mask_is_applied_for_each_query():
    q, k = peaked(queries=11)
    causal = np.tril(np.ones((11, 11), dtype=bool))
    ours = probabilities(q, k, SCALE, causal)
    assert agrees(ours, reference(q, k, SCALE, np.broadcast_to(np.where(causal, 0.0, -np.inf), (3, 11, 11))))
    assert (ours[:, 0, 1:] == 0).all()


def test_a_row_without_any_key_is_zero_as_in_torch():
    q, k = peaked()
    mask = np.ones((60, 11), dtype=bool)
    mask[7] = False
    ours = probabilities(q, k, SCALE, mask)
    assert (ours[:, 7] == 0).all()
    np.testing.assert_allclose(ours[:, 8].sum(axis=-1), 1, atol=1e-6)


def test_grouped_key_heads_serve_neighbouring_query_heads():
    q, _ = peaked(heads=6)
    _, k = peaked(heads=2, seed=4)
    assert agrees(probabilities(q, k, SCALE), reference(q, np.repeat(k, 3, axis=0), SCALE))


def test_head_mean_takes_heads_and_keys_after_the_softmax_over_all_keys():
    q, k = peaked(heads=5)
    expected = reference(q, k, SCALE)[[4, 1]].mean(axis=0)[:, [7, 2]].T
    ours = head_mean(q, k, SCALE, heads=[4, 1], keys=[7, 2])
    assert ours.shape == (2, 60) and ours.dtype == np.float32
    assert agrees(ours, expected)
    assert agrees(head_mean(q, k, SCALE), reference(q, k, SCALE).mean(axis=0).T)


def test_nan_from_the_model_is_an_error_and_not_a_map():
    q, k = peaked()
    q[1, 3, 0] = np.nan
    with pytest.raises(RecordingError, match="NaN"):
        probabilities(q, k, SCALE)


@pytest.mark.parametrize("shape", [(3, 11, 8), (2, 11, 24), (3, 11)])
def test_queries_and_keys_that_do_not_belong_together_are_refused(shape):
    q, _ = peaked()
    with pytest.raises(RecordingError, match="do not belong together"):
        probabilities(q, np.zeros(shape, np.float32), SCALE)
