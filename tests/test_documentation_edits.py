"""The page of edits: what it shows of the values runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from diffuscope.edits import KINDS

PAGE = (Path(__file__).parents[1] / "docs" / "edits.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## The edits", 1)[1].split("\n## ", 1)[0]


def test_the_examples_of_the_edits_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/edits.md", "exec"), {})


def test_the_examples_of_the_page_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.split("\n## Replay", 1)[1], re.DOTALL):
        exec(compile(block, "docs/edits.md", "exec"), space)
    assert (tmp_path / "compare.html").is_file() and (tmp_path / "sweeps/mid/sweep.jsonl").is_file()


def test_every_edit_has_its_row() -> None:
    rows = {name.lower() for name in re.findall(r"^\| `(\w+)\(", SECTION, re.MULTILINE)}
    assert rows == KINDS.keys()
