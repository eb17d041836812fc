"""The page of explanations: its Python runs as it stands, and its examples are what they say."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from diffuscope import Lens
from diffuscope.explain.reference import shipped

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted(path for path in (ROOT / "docs" / "explanations").glob("*.md") if path.name != "README.md")


@pytest.fixture(scope="module")
def making() -> ModuleType:
    """The script that makes the pages."""
    spec = importlib.util.spec_from_file_location("explanation_pages", ROOT / "scripts/explanation_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_page_says_how_it_is_made(making: ModuleType) -> None:
    for path in EXAMPLES:
        text = path.read_text(encoding="utf-8")
        made = making.recipe(text)
        assert f"The prompt: {made.prompt}. Made by" in text
        assert made.options["keep"] == "cross" and "seed" in made.options
        assert ("diffuscope edit" in made.head) == bool(made.edits), path.name
        assert ("diffuscope faithfulness" in made.head) == bool(made.tested), path.name


def test_a_page_is_made_from_its_own_head(making: ModuleType, tmp_path: Path) -> None:
    page = """# One thing

The prompt: a red circle. Made by

    diffuscope record "a red circle" --seed 2 --keep cross --steps 3 --guidance 2
    diffuscope edit runs/RUN --edit edits.json   # [{"edit": "silence", "word": "circle"}]
    diffuscope explain runs/RUN runs/EDITED

## Setup

What stood here before.
"""
    made = making.page_of(Lens.load("scenes"), making.recipe(page), "Reads well.", tmp_path)
    assert made.startswith(page.partition("## Setup")[0])
    assert "in 3 steps from seed 2, guidance 2" in made and "## Comparison" in made
    assert "## Reading it\n\nReads well.\n\n## Evidence\n\n| |" in made
    assert "What stood here before" not in made
    # Again, with the run that is there.
    assert making.page_of(Lens.load("scenes"), making.recipe(made), "Reads well.", tmp_path) == made
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 3


def test_a_page_that_records_with_something_unknown_is_refused(making: ModuleType) -> None:
    with pytest.raises(ValueError, match="--size"):
        making.recipe('# A\n\n    diffuscope record "a cat" --size 64\n\n## Setup\n')


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
