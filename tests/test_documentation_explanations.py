"""The page of explanations: its Python runs as it stands, and its examples are what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from diffuscope.explain.reference import shipped

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted(path for path in (ROOT / "docs" / "explanations").glob("*.md") if path.name != "README.md")


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "explanations.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "docs/explanations.md", "exec"), {"__name__": "page"})


def test_the_counts_of_what_helped_are_those_of_the_reference() -> None:
    page = " ".join((ROOT / "docs" / "explanations.md").read_text(encoding="utf-8").split())
    said = {
        "seed": "another seed helped in",
        "reweight": "more weight in",
        "steer": "a steer in",
        "order": "another order in",
    }
    for what, words in said.items():
        tried = shipped().tried("noun", what)
        assert tried is not None and f"{words} {tried.helped} of {tried.n}" in page
    assert f"{shipped().provenance['runs']} runs" in page


def test_there_are_twenty_examples_each_with_a_note_of_its_reader() -> None:
    index = (ROOT / "docs" / "explanations" / "README.md").read_text(encoding="utf-8")
    assert len(EXAMPLES) == 20
    for path in EXAMPLES:
        text = path.read_text(encoding="utf-8")
        assert f"({path.name})" in index
        for title in ("## Setup", "## Insight", "## Reading it", "## Evidence"):
            assert title in text, (path.name, title)
        assert "/tmp" not in text


def test_examples_cite_what_stands_in_their_evidence() -> None:
    for path in EXAMPLES:
        text = path.read_text(encoding="utf-8")
        rows = set(re.findall(r"^\| (c\d+) \|", text, flags=re.MULTILINE))
        cited = {each for group in re.findall(r"\\\[(c[^\\]*)\\\]", text) for each in group.split(", ")}
        assert cited and cited == rows, path.name


def test_examples_do_not_say_the_same_sentence_twice() -> None:
    for path in EXAMPLES:
        text = re.sub(r" \\\[c[^\\]*\\\]", "", path.read_text(encoding="utf-8").partition("## Reading it")[0])
        sentences = [each.strip() for each in re.split(r"(?<=[.])\s+", text) if len(each.strip()) > 25]
        assert len(sentences) == len(set(sentences)), path.name
