"""What is drawn, on every family: guidance, batches, sizes, types, pictures as input.

See `ways` for what a proof is.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from models_page import PAGE, page, read_back, stands_in_the_page
from ways_tried import DRAWN, Way

pytestmark = pytest.mark.filterwarnings("ignore")


CELLS = [pytest.param(way, family, id=f"{way.name}, {family}") for way in DRAWN for family in way.families]


@pytest.mark.parametrize(("way", "family"), CELLS)
def test_the_way_is_proved_or_refused(way: Way, family: str, tmp_path: Path) -> None:
    found = way.proof(family, tmp_path) or "tested"
    assert stands_in_the_page(way, family, found), "run python tests/models_page.py"


def test_the_page_is_made_from_the_tests() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(read_back()), "run python tests/models_page.py"


def test_the_pages_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})
    assert len(list(tmp_path.glob("*.png"))) == len(list((tmp_path / "runs").iterdir())) == 4
