"""A recording is exact: every check of `exactness_checks`, on every kind of run that changes the layout of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from exactness_checks import ABSOLUTE, CHECKS, PROMPT, RELATIVE, Account, observe

from diffuscope.maps.attention import probabilities
from diffuscope.testing import random_pipeline

KINDS: dict[str, dict[str, Any]] = {
    "guidance": {},
    "no guidance": {"guidance": 1.0},
    "negative prompt": {"negative_prompt": "a dog"},
    "negative prompt is the prompt": {"negative_prompt": PROMPT},
    "three pictures": {"images": 3},
    "two pictures without guidance": {"images": 2, "guidance": 1.0},
    "tall": {"width": 24, "height": 40},
    "four cells high": {"width": 72, "height": 8},
    "square": {"width": 32, "height": 32},
    "one step": {"steps": 1},
}


@pytest.fixture(scope="module")
def pipe() -> Any:
    return random_pipeline("sd15")


@pytest.fixture(scope="module", params=KINDS)
def account(request: pytest.FixtureRequest, pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Account:
    return observe(pipe, tmp_path_factory.mktemp("runs"), **KINDS[request.param])


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_recordings_are_exact(account: Account, check: Callable[[Account], None]) -> None:
    if account.steps < 3 and check is CHECKS["maps"]:
        pytest.skip("its questions name three steps")
    check(account)


def test_the_attention_is_so_peaked_that_a_mistake_shows(account: Account) -> None:
    """Even attention would hide a wrong head, row or scale."""
    for module in account.projections:
        table = account.probabilities(module, 0, 0)
        assert np.median(table.max(axis=-1)) > 2 / table.shape[-1]
    assert max(account.probabilities(module, 0, 0).max() for module in account.projections) > 0.5


# Attention so peaked that float32 products are not enough: logits in the hundreds.


@pytest.fixture(scope="module")
def sharp(tmp_path_factory: pytest.TempPathFactory) -> Account:
    pipe = random_pipeline("sd15")
    for name, parameter in pipe.unet.named_parameters():
        if name.endswith("to_q.weight"):
            parameter.mul_(8)
    return observe(pipe, tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("check", ["attention", "word maps"])
def test_recordings_of_very_peaked_attention_are_exact(sharp: Account, check: str) -> None:
    CHECKS[check](sharp)


# The dtype in which the model runs. "Exact" is the softmax, in float64, of the tensors as they were recorded.


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16, torch.float16], ids=str)
def typed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Account:
    pipe = random_pipeline("sd15").to(request.param)
    return observe(pipe, tmp_path_factory.mktemp("runs"), steps=2)


@pytest.mark.parametrize(
    "check", ["undisturbed", "no trace", "sites", "steps", "rows", "attention", "word maps", "words"]
)
def test_recordings_of_every_dtype_are_exact(typed: Account, check: str) -> None:
    CHECKS[check](typed)


def test_tensors_are_kept_in_the_dtype_that_the_kernel_received(typed: Account) -> None:
    (run,) = typed.runs
    dtype = str(typed.calls[0].output.dtype).removeprefix("torch.")
    assert run.manifest.keep.dtype == dtype and run.manifest.model.dtype == dtype
    for site in run.sites:
        query, keys = run.recording.query(site.name, 1), run.recording.keys(site.name, 1)
        assert (query.dtype.name, keys.dtype.name) == (dtype, dtype)
        seen = typed.projections[site.module][1]
        for found, expected in ((query, seen["q"][1]), (keys, seen["k"][1])):
            flat = found.astype(np.float64).transpose(1, 0, 2).reshape(expected.shape)
            assert np.array_equal(flat, expected), "kept to the bit"


def test_maps_of_every_dtype_equal_a_float64_softmax_of_what_was_recorded(typed: Account) -> None:
    (run,) = typed.runs
    compared = 0
    for site in run.sites:
        query, keys = (
            array.astype(np.float64)
            for array in (run.recording.query(site.name, 1), run.recording.keys(site.name, 1))
        )
        logits = np.einsum("hqd,hkd->hqk", query, keys) * site.head_dim**-0.5
        exact = np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))
        found = probabilities(run.recording.query(site.name, 1), run.recording.keys(site.name, 1), site.scale)
        assert np.abs(found - exact).max() <= ABSOLUTE
        assert (np.abs(found - exact) <= RELATIVE * exact + 1e-30).all()
        if site.kind == "cross":
            for head in range(site.heads):
                for word in run.words:
                    ours = run.word(word.label).map(steps=1, sites=site.name, heads=head, size="native").array
                    column = exact[head][:, word.tokens].sum(axis=1)
                    assert np.abs(ours.ravel() - column).max() <= ABSOLUTE
                    compared += 1
    assert compared >= 50
