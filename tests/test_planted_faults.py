"""The checks that a recording is exact can fail: each fault that is planted is found, and nothing else is.

`python tests/test_planted_faults.py` writes what this proves to `docs/planted-faults.md`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from exactness_checks import CHECKS, Account, failing, observe
from planted_faults import FAULTS, Fault

from diffuscope.testing import random_pipeline

PAGE = Path(__file__).resolve().parent.parent / "docs" / "planted-faults.md"

CAUGHT: dict[str, list[str]] = {}
"""Fault to the checks that found it, as this session has seen it."""


def pipeline() -> Any:
    """One whose scheduler calls the denoiser twice in its first step, so that steps and calls differ."""
    from diffusers import PNDMScheduler

    pipe = random_pipeline("sd15")
    pipe.scheduler = PNDMScheduler.from_config(pipe.scheduler.config, skip_prk_steps=True)
    return pipe


def recorded(folder: Path) -> Account:
    """The run that faults are tried on: two calls in a step, two pictures, guidance, a grid that is not square."""
    return observe(pipeline(), folder, images=2)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Account:
    return recorded(tmp_path_factory.mktemp("right"))


def found(fault: Fault, right: Account, folder: Path) -> list[str]:
    """The checks that fail while a fault is planted."""
    with pytest.MonkeyPatch.context() as patch:
        fault.plant(patch)
        return failing(recorded(folder) if fault.records else right.reopened())


def test_without_a_fault_every_check_holds(right: Account) -> None:
    assert failing(right) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_is_found(fault: Fault, right: Account, tmp_path: Path) -> None:
    CAUGHT[fault.what] = found(fault, right, tmp_path)
    assert CAUGHT[fault.what]


def test_every_check_finds_some_fault() -> None:
    if len(CAUGHT) < len(FAULTS):
        pytest.skip("not all faults were planted in this session")
    assert {name for names in CAUGHT.values() for name in names} == set(CHECKS)


def test_the_page_says_what_was_found() -> None:
    if len(CAUGHT) < len(FAULTS):
        pytest.skip("not all faults were planted in this session")
    assert PAGE.read_text(encoding="utf-8") == page(CAUGHT), "run python tests/test_planted_faults.py"


def page(caught: dict[str, list[str]]) -> str:
    """`docs/planted-faults.md`."""
    lines = [
        "# Planted faults",
        "",
        "A test proves something only if it can fail. Here each fault is planted in one function of the package,",
        "silently: recording and mapping go through, and only the numbers are wrong. The checks are those that every",
        "recording is tested with (`tests/exactness_checks.py`); without a fault all of them hold. Faults that earlier",
        "tools had are named with the tool.",
        "",
        "This page is written by `python tests/test_planted_faults.py`, and the test suite holds it to what it finds.",
        "",
        "## The checks",
        "",
        "| check | what holds |",
        "|---|---|",
        *(f"| {name} | {summary(check)} |" for name, check in CHECKS.items()),
        "",
        f"## The {len(FAULTS)} faults",
        "",
        "| fault | known from | found by |",
        "|---|---|---|",
        *(f"| {fault.what} | {fault.known} | {', '.join(caught[fault.what])} |" for fault in FAULTS),
        "",
    ]
    return "\n".join(lines)


def summary(check: Callable[[Account], None]) -> str:
    """The first sentence of a check's docstring, on one line."""
    return " ".join((check.__doc__ or "").split())


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        right = recorded(folder / "right")
        assert failing(right) == []
        caught = {
            fault.what: found(fault, right, folder / str(number)) for number, fault in enumerate(FAULTS)
        }
    PAGE.write_text(page(caught), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
