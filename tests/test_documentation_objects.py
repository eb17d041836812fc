"""The examples of docs/objects.md run, one after the other, on the shipped model."""

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "objects.md"


def test_the_examples_of_the_page_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "objects"}
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    ):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    told = json.loads((tmp_path / "dataset" / "annotations.json").read_text())
    assert len(told["images"]) == 1 and {each["name"] for each in told["categories"]} >= {"circle", "square"}
