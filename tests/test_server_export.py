"""A static site has the very bytes that a server gives, under the same paths."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from fastapi.testclient import TestClient
from synthetic_run import Layout, layouts, make_run

from diffuscope.errors import InputError, RunNotFoundError
from diffuscope.server import export_site as exporting
from diffuscope.server.app import create_app
from diffuscope.server.export_site import Site, export_site
from diffuscope.server.settings import Settings


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "runs"
    sites = [*layouts(self_sites=True), Layout("self:up.0.0", (16, 16), 3, 16, kind="self")]
    make_run(folder / "whole", steps=2, level="qk", sites=sites)
    make_run(folder / "maps", steps=2, level="maps")
    make_run(folder / "stopped", steps=3, stop_after=1)
    return folder


@pytest.fixture(scope="module")
def site(runs: Path) -> Site:
    return export_site([runs / "whole", runs / "maps", runs / "stopped"], runs.parent / "site", heads=True)


@pytest.fixture(scope="module")
def client(runs: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(runs=runs, read_only=True)), base_url="http://localhost") as made:
        yield made


def without_sizes(value: Any) -> Any:
    """JSON without how large folders are: answers that are kept in them make them grow."""
    if isinstance(value, dict):
        return {name: without_sizes(each) for name, each in value.items() if name != "bytes"}
    return [without_sizes(each) for each in value] if isinstance(value, list) else value


def test_every_file_is_what_a_server_gives_at_its_path(site: Site, client: TestClient) -> None:
    files = [path for path in (site.folder / "api" / "runs").rglob("*") if path.is_file()]
    assert len(files) > 100
    for path in files:
        answer = client.get("/" + path.relative_to(site.folder).as_posix())
        assert answer.status_code == 200, path
        if path.suffix == ".json":
            assert without_sizes(json.loads(path.read_bytes())) == without_sizes(answer.json()), path
        else:
            assert path.read_bytes() == answer.content, path


def test_it_has_what_each_run_can_show_and_says_so(site: Site) -> None:
    def about(run: str) -> dict[str, bool]:
        found: dict[str, bool] = json.loads((site.folder / f"api/runs/{run}/run.json").read_text("utf-8"))[
            "can"
        ]
        return found

    folder = site.folder / "api" / "runs"
    for run in site.runs:
        assert about(run)["region_files"] == (folder / run / "self/to/all.safetensors").is_file()
        assert about(run)["heads"] == bool(list((folder / run).glob("maps/*/heads/*.safetensors")))
        assert about(run)["clean"] == bool(list((folder / run).glob("previews/*.webp")))
    assert about("whole")["region_files"] and not about("maps")["heads"]
    assert not (folder / "stopped" / "image.png").exists()
    told = json.loads((site.folder / "api" / "site.json").read_text("utf-8"))
    assert told["static"] and told["example"] == "whole"
    assert site.files == sum(path.is_file() for path in site.folder.rglob("*"))


def test_the_built_page_lies_beside_the_data(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("the page")
    (static / "assets" / "index-1.js").write_text("1")
    monkeypatch.setattr(exporting, "STATIC", static)
    made = export_site([runs / "maps"], tmp_path / "site")
    assert made.has_page and (made.folder / "index.html").read_text() == "the page"
    (static / "assets" / "index-1.js").rename(static / "assets" / "index-2.js")
    export_site([runs / "maps"], tmp_path / "site")
    assert [path.name for path in (made.folder / "assets").iterdir()] == ["index-2.js"]


def test_what_is_no_site_is_not_overwritten(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="no site"):
        export_site([runs / "maps"], tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(InputError, match="two runs"):
        export_site([runs / "maps", runs / "maps"], tmp_path / "new")
    with pytest.raises(RunNotFoundError):
        export_site([runs / "nothing"], tmp_path / "new")


def test_the_command_says_what_it_wrote(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = CommandLine(capsys)
    outcome = cli("export", str(runs / "maps"), "--site", str(tmp_path / "site"), "--json")
    facts = json.loads(outcome.out)
    assert outcome.status == 0 and facts["runs"] == ["maps"] and facts["files"] > 10


def test_the_description_of_the_api_is_written_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = CommandLine(capsys)
    assert cli("serve", "--openapi", str(tmp_path / "openapi.json")).status == 0
    found = json.loads((tmp_path / "openapi.json").read_text("utf-8"))
    assert "/api/jobs" in found["paths"]
    assert "needs a token" in cli.refuses("serve", "--host", "0.0.0.0")
    assert "cannot be read" in cli.refuses("serve", "--config", str(tmp_path / "none.toml"))
