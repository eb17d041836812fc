"""The examples of docs/atlas.md run, one after the other, on the shipped model; its commands' options exist."""

import re
from pathlib import Path

import pytest

from diffuscope.cli import main

PAGE = Path(__file__).resolve().parent.parent / "docs" / "atlas.md"


def test_the_examples_of_the_page_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) >= 4
    names: dict[str, object] = {"__name__": "atlas"}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    assert (tmp_path / "circle.png").stat().st_size > 0


def test_its_commands_have_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    lines = re.findall(
        r"^diffuscope (heads|export) (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert len(lines) >= 6
    for command, rest in lines:
        main([command, "--help"])
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known
