"""The example of docs/morph.md runs as it stands."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "morph.md"


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), {"__name__": "morph"})
    assert (tmp_path / "poster.png").stat().st_size > 0
    assert len(list((tmp_path / "frames").iterdir())) == 8
    assert len(list((tmp_path / "points").iterdir())) == 8
