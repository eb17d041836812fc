"""What the documentation shows works: its Python runs, on the shipped model, as it stands there."""

import re
from pathlib import Path

import pytest

from diffuscope.cli import app, main
from diffuscope.cli.doctor import MODEL, check_model

ROOT = Path(__file__).resolve().parent.parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md", "docs/scenes.md", "docs/regions.md"])
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(page)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {"__name__": page})
    assert len(list((tmp_path / "runs").iterdir())) == len(blocks)


def test_every_relative_link_of_the_pages_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_the_command_line_page_has_every_command_and_only_options_that_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE))
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    assert list(sections) == [command.name for command in app.registered_commands] + list(groups)
    for name, section in sections.items():
        inner = [command.name for command in groups[name].registered_commands] if name in groups else []
        for arguments in [[name], *([name, each] for each in inner)]:
            main([*arguments, "--help"])
        known = set(OPTION.findall(capsys.readouterr().out))
        assert set(OPTION.findall(section)) <= known, name


def test_the_shipped_model_is_whole() -> None:
    check = check_model(MODEL)
    assert check.state == "ok", check
