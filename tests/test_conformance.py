"""Every family conforms, and the suite that says so finds what is planted."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from diffuscope.engine.capture.tap import SDPA
from diffuscope.testing import random_pipeline
from diffuscope.testing.conformance import CHECKS, ConformanceError, conform, failing, observe
from diffuscope.testing.faults import FAULTS

SMALL: dict[str, Any] = {"height": 16, "width": 32}
CALLS: dict[str, dict[str, Any]] = {
    "sd15": SMALL,
    "sd21": SMALL,
    "sdxl": SMALL,
    "pixart": {**SMALL, "use_resolution_binning": False, "clean_caption": False, "max_sequence_length": 24},
    "sd3": {**SMALL, "max_sequence_length": 24},
    "sd35": {**SMALL, "max_sequence_length": 24},
    "flux": {**SMALL, "max_sequence_length": 24},
}


@pytest.mark.parametrize("family", CALLS)
def test_the_family_conforms(family: str, tmp_path: Path) -> None:
    caught = conform(partial(random_pipeline, family), tmp_path, faults=False, **CALLS[family])
    assert caught == {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_every_fault_is_found(fault: Any, tmp_path: Path) -> None:
    with fault.planted():
        found = failing(observe(partial(random_pipeline, "sdxl"), tmp_path, steps=2, images=1, **SMALL))
    assert found
    assert torch.nn.functional.scaled_dot_product_attention is SDPA  # Planted, and gone again.


def test_a_pipeline_that_does_not_conform_is_told_why(tmp_path: Path) -> None:
    with pytest.raises(ConformanceError, match=r"peaked: .*too even"):
        conform(partial(random_pipeline, "sd15", peaked=False), tmp_path, images=1, steps=1, **SMALL)


def test_every_check_says_what_holds() -> None:
    assert all((check.__doc__ or "").strip() for check in CHECKS.values())
