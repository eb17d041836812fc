"""Flux: joint attention in double and single blocks, [text, picture], rotary embedding; distilled and true guidance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from joint_checks import CHECKS, Account, observe

from diffuscope.testing import random_pipeline

KINDS: dict[str, dict[str, Any]] = {
    "distilled guidance": {},
    "true guidance": {"guidance": "separate", "steps": 3},
    "the negative prompt is the prompt": {
        "guidance": "separate",
        "negative_prompt": "a cattle dog, a red cat, cats",
    },
    "two pictures": {"images": 2},
    "two pictures, true guidance": {"images": 2, "guidance": "separate"},
    "tall": {"width": 16, "height": 40},
}


@pytest.fixture(scope="module")
def pipe() -> Any:
    return random_pipeline("flux")


@pytest.fixture(scope="module", params=KINDS)
def account(request: pytest.FixtureRequest, pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Account:
    return observe("flux", pipe, tmp_path_factory.mktemp("runs"), **KINDS[request.param])


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_recordings_are_exact(account: Account, check: Callable[[Account], None]) -> None:
    check(account)


def test_the_attention_is_so_peaked_that_a_mistake_shows(account: Account) -> None:
    for module in account.projections:
        table = account.probabilities(module, 0, 0)
        assert np.median(table.max(axis=-1)) > 5 / table.shape[-1]
    assert max(account.probabilities(module, 0, 0).max() for module in account.projections) > 0.5


def test_double_and_single_blocks_are_sites_in_the_models_order(account: Account) -> None:
    (run, *_) = account.runs
    blocks = [site.module for site in run.sites]
    assert blocks == [f"transformer_blocks.{n}.attn" for n in range(2)] + [
        f"single_transformer_blocks.{n}.attn" for n in range(3)
    ]
    # The single blocks have no output projection of their own, and so no Gram matrix.
    recording = run.recording
    assert recording.gram("joint:1").shape == (2, 16, 16)
    with pytest.raises(Exception, match="joint:2"):
        recording.gram("joint:2")
