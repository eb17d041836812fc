"""The examples of docs/timelines.md run, one after the other, and its table is that of the declarations."""

import re
from pathlib import Path

import pytest

from diffuscope.analysis.measures import measures

PAGE = Path(__file__).resolve().parent.parent / "docs" / "timelines.md"


def test_the_examples_of_the_page_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("scipy")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, object] = {"__name__": "timelines"}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    for file in re.findall(r'"([\w-]+\.(?:png|csv))"', "".join(blocks)):
        assert (tmp_path / file).stat().st_size > 0, file


def test_the_table_of_the_page_is_that_of_the_declarations() -> None:
    """Write what is missing from `measures_table`."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(r"<!-- measures -->\n(.*?)<!-- /measures -->", text, flags=re.DOTALL)
    assert found is not None and found[1] == measures_table()


def measures_table() -> str:
    """The table of all measures, in Markdown."""
    rows = ["| name | what | unit | source |", "|---|---|---|---|"]
    for each in measures():
        said = each.definition.replace("|", "\\|")
        rows.append(f"| `{each.name}` | {said} | {each.unit} | {each.source} |")
    return "\n".join(rows) + "\n"
