"""The head atlas as the server gives it: few small files, the same in a static site, and questions about heads."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.numpy import load
from synthetic_run import Layout, layouts, make_run
from test_atlas_heads import ranking

import diffuscope as ds
from diffuscope.analysis.atlas import Content, survey
from diffuscope.analysis.cause.importance import keep_ranking
from diffuscope.edits import PatchChoice
from diffuscope.maps.regions import parse
from diffuscope.server import orders, shapes
from diffuscope.server.app import create_app
from diffuscope.server.export_site import export_site
from diffuscope.server.settings import Limits, Settings

SITES = [*layouts(self_sites=True), Layout("self:up.0.0", (16, 16), 3, 16, kind="self")]
CIRCLE = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    make_run(runs / "whole", steps=3, level="qk", sites=SITES)
    make_run(runs / "maps", steps=2, level="maps")
    return runs


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(runs=folder)), base_url="http://localhost") as made:
        yield made


def plates(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors and metadata of a file, its JSON read."""
    size = int.from_bytes(content[:8], "little")
    notes = json.loads(content[8 : 8 + size])["__metadata__"]
    return load(content), {**notes, "sites": json.loads(notes["sites"]), "slots": json.loads(notes["slots"])}


def values(found: dict[str, np.ndarray], site: dict[str, Any]) -> np.ndarray:
    """``[slot, head, y, x]`` as the page reads it."""
    at = slice(site["first"], site["first"] + len(site["heads"]))
    low, high = (found[name][:, at, None, None].astype(np.float64) for name in ("min", "max"))
    return np.asarray(low + (high - low) * found[f"maps/{site['index']}"] / 255)


def test_the_atlas_says_where_every_head_stands_and_what_can_be_seen(
    client: TestClient, folder: Path
) -> None:
    told = client.get("/api/runs/whole/atlas.json").json()
    run = client.get("/api/runs/whole").json()
    assert (
        told["run"] == "whole"
        and told["layout"] == "u"
        and told["cells"] == 25
        and told["steps"] == [0, 1, 2]
    )
    assert [(each["index"], each["name"], each["heads"]) for each in told["sites"]] == [
        (each["index"], each["name"], each["kept_heads"]) for each in run["sites"]
    ]
    assert [each["first"] for each in told["sites"]] == [0, 3, 11, 14, 22]
    words = client.get("/api/runs/whole/words.json").json()["words"]
    assert told["words"] == [word["index"] for word in words]
    contents = {each["id"]: each for each in told["contents"]}
    word = contents[f"word-{CIRCLE}"]
    assert word["label"] == "circle" and word["word"] == CIRCLE and word["available"] and word["cells"] == 14
    assert word["overview"] == {"side": 16, "native": True, "slots": 4, "bytes": 4 * 2048}
    assert contents["received"]["kinds"] == ["self"] and not contents["contribution"]["available"]
    assert "output projection" in contents["signed"]["why"]
    small = client.get("/api/runs/maps/atlas.json").json()
    assert not any(each["available"] for each in small["contents"]) and all(
        each["why"] for each in small["contents"]
    )


def test_files_hold_every_heads_map(client: TestClient, folder: Path) -> None:
    run = ds.open(folder / "whole")
    for ident, content in ((f"word-{CIRCLE}", Content("word", "circle")), ("focus", Content("focus"))):
        path = f"/api/runs/whole/atlas/{ident}"
        for name, slots in (("all", ["mean", 0, 1, 2]), ("mean", ["mean"]), ("0001", [1])):
            answer = client.get(f"{path}/{name}.safetensors")
            assert answer.headers["content-type"] == "application/vnd.safetensors"
            found, notes = plates(answer.content)
            assert notes["slots"] == slots and notes["content"] == ident and notes["unit"] == content.unit
            assert notes["signed"] == "false" and notes["queries"] == "all"
            for at, slot in enumerate(slots):
                exact = run.atlas.mean(content) if slot == "mean" else run.atlas.at(content, int(slot))
                assert [site["name"] for site in notes["sites"]] == list(exact)
                for site in notes["sites"]:
                    mine = values(found, site)[at]
                    room = float(np.ptp(exact[site["name"]], axis=(1, 2)).max()) / 500 + 1e-6
                    assert site["stored"] == site["grid"] and mine == pytest.approx(
                        exact[site["name"]], abs=room
                    )
    word = client.get("/api/runs/whole/words.json").json()["words"][CIRCLE]
    assert word["label"] == "circle"


def test_masses_are_those_of_every_word(client: TestClient, folder: Path) -> None:
    found, notes = plates(client.get("/api/runs/whole/atlas/masses.safetensors").content)
    run = ds.open(folder / "whole")
    assert json.loads(notes["words"]) == list(range(13)) and found["mass"].shape == (13, 4, 14)
    for label in ("circle", "<start>"):
        index = [*(word.label for word in run.words), "<start>", "<end>"].index(label)
        one, _ = plates(client.get(f"/api/runs/whole/atlas/word-{index}/all.safetensors").content)
        assert np.array_equal(found["mass"][index], one["mean"])


def test_a_file_stays_small_and_may_be_kept_for_a_year(client: TestClient, folder: Path) -> None:
    version = client.get("/api/runs/whole").json()["version"]
    path = f"/api/runs/whole/atlas/word-{CIRCLE}/all.safetensors"
    answer = client.get(f"{path}?v={version}")
    assert "immutable" in answer.headers["cache-control"]
    assert client.get(path, headers={"if-none-match": answer.headers["etag"]}).status_code == 304
    cells, slots = 14, 4
    assert len(answer.content) <= survey.OVERVIEW_BYTES + 12 * cells * slots + 16384
    # What jobs add to is asked for again each time.
    for name in ("atlas.json", "rankings.json"):
        assert (
            client.get(f"/api/runs/whole/{name}?v={version}").headers["cache-control"] == "private, no-cache"
        )


def test_rankings_are_there_as_soon_as_they_are_kept(tmp_path: Path) -> None:
    make_run(tmp_path / "one", steps=1)
    with TestClient(create_app(Settings(runs=tmp_path)), base_url="http://localhost") as client:
        assert client.get("/api/runs/one/rankings.json").json() == {"rankings": []}
        asked = client.post("/api/runs/one/pick", json={"query": "top 2 for circle by effect"})
        assert asked.status_code == 409 and "ranked" in asked.json()["error"]["message"]
        keep_ranking(ds.open(tmp_path / "one").recording, ranking())
        (found,) = client.get("/api/runs/one/rankings.json").json()["rankings"]
        assert (
            found["target"] == found["word"] == "circle"
            and found["window"] == "0:2"
            and found["heads"][1]
            == {
                "rank": 2,
                "rank_best": 1,
                "rank_worst": 3,
                "site": "cross:up.0.0",
                "head": 1,
                "effect": 3.5,
                "low": 2.0,
                "high": 4.5,
                "outside": 0.5,
                "control": 1.0,
                "seeds": 4,
                "state": "open",
            }
        )
        asked = client.post("/api/runs/one/pick", json={"query": "top 1 for circle by effect"}).json()
        assert asked["heads"][0]["site"] == "cross:mid" and asked["heads"][0]["low"] == 4.0
        assert asked["aims"] == [{"sites": "cross:mid", "heads": "2"}]


def test_a_question_is_answered_as_python_answers_it(client: TestClient, folder: Path) -> None:
    for question in (
        "top 3 for 'red circle' sites=cross:mid",
        "cross:up.*/0; self:mid/1,2",
        "bottom 2 for circle",
    ):
        answer = client.post("/api/runs/whole/pick", json={"query": question})
        assert answer.json() == ds.open(folder / "whole").pick(question).to_json()
    for question, status in (("top 3 circle", 400), ("top 3 for dog", 400), ("", 422), ("cross:side", 400)):
        answer = client.post("/api/runs/whole/pick", json={"query": question})
        assert answer.status_code == status and answer.json()["error"]["status"] == status


@pytest.mark.parametrize("direction", ["to", "from"])
def test_a_place_at_every_head_is_its_row_or_column(client: TestClient, folder: Path, direction: str) -> None:
    run = ds.open(folder / "whole")
    path = f"/api/runs/whole/places.safetensors?region=pixel:40,52&direction={direction}"
    found, notes = plates(client.get(f"{path}&slot=all").content)
    assert notes["slots"] == ["mean", 0, 1, 2] and notes["region"] == "pixel:40,52"
    for site in notes["sites"]:
        height, width = site["grid"]
        cell = 52 * height // 128 * width + 40 * width // 128
        for step in range(3):
            matrices = np.stack(
                [run._self_attention.matrix(site["name"], step, heads=[head]) for head in site["heads"]]
            )
            exact = (matrices[:, :, cell] if direction == "to" else matrices[:, cell]).reshape(
                -1, height, width
            )
            room = float(np.ptp(exact, axis=(1, 2)).max()) / 500 + 1e-6
            assert values(found, site)[step + 1] == pytest.approx(exact, abs=room)
    one, _ = plates(client.get(f"{path}&slot=2").content)
    assert np.array_equal(one["maps/4"][0], found["maps/4"][3])
    mean, _ = plates(client.get(path).content)
    assert np.array_equal(mean["maps/4"][0], found["maps/4"][0])
    assert client.get(f"{path}&slot=9").status_code == 400
    with TestClient(
        create_app(Settings(runs=folder, limits=Limits(products=10))), base_url="http://localhost"
    ) as poor:
        assert poor.get(f"{path}&slot=all").status_code == 413


def test_what_is_not_there_says_so(client: TestClient) -> None:
    for path, status in (
        ("whole/atlas/norm/all", 404),
        ("whole/atlas/word-99/all", 404),
        ("whole/atlas/signed/all", 409),
        ("whole/atlas/contribution/mean", 409),
        (f"whole/atlas/word-{CIRCLE}/0009", 400),
        (f"maps/atlas/word-{CIRCLE}/all", 409),
        ("maps/atlas/masses", 409),
        ("gone/atlas/received/all", 404),
        ("whole/atlas/received/some", 422),
    ):
        answer = client.get(f"/api/runs/{path}.safetensors")
        assert answer.status_code == status and answer.json()["error"]["status"] == status, (
            path,
            answer.text,
        )


def test_patches_are_covered_as_the_engine_covers_them(client: TestClient) -> None:
    fixture = json.loads((Path(__file__).parent / "fixtures" / "atlas_patches.json").read_text("utf-8"))
    for case in fixture["cases"]:
        grids = [each["grid"] for each in case["grids"]]
        body = {"size": case["size"], "patches": case["patches"], "grids": grids}
        answer = client.post("/api/patches/cover", json=body)
        assert answer.status_code == 200, (case["name"], answer.text)
        assert answer.json()["grids"] == case["grids"] and answer.json()["patches"] == case["normal"]
        assert answer.json()["says"] == case["says"]
    for case in fixture["errors"]:
        body = {"size": case["size"], "patches": case["patches"], "grids": [case["grid"]]}
        answer = client.post("/api/patches/cover", json=body)
        assert answer.status_code == 400 and answer.json()["error"]["message"] == case["message"]
    large = {"region": "box:0,0,9,9", "grid": [32768, 32768]}
    assert (
        client.post(
            "/api/patches/cover", json={"size": [8, 8], "patches": large, "grids": [[8, 8]]}
        ).status_code
        == 413
    )
    area = client.post(
        "/api/patches/cover",
        json={"size": [128, 128], "patches": {"region": "box:0,0,63,31"}, "grids": [[4, 4]]},
    ).json()
    assert area["area"] == parse("box:0,0,63,31", (128, 128)).area == 0.125


def test_painted_layers_are_checked_as_one_list_of_edits(client: TestClient) -> None:
    painted = {"rle": {"size": [8, 8], "counts": [5, 2, 57]}, "grid": [8, 8]}
    layers = [
        {
            "edit": "encode",
            "text": "unicorn",
            "sites": "cross:mid",
            "heads": "0:3",
            "patches": painted,
            "steps": "1:",
        },
        {
            "edit": "scale",
            "factor": 0,
            "sites": "cross:up.*",
            "heads": "1",
            "patches": {"region": "box:0,0,63,63"},
        },
        *({"edit": "silence", "word": "circle", "steps": "2"} for _ in range(30)),
    ]
    told = client.post("/api/edits/check", json={"run": "whole", "edits": layers}).json()
    assert [each["steps"] for each in told["edits"]][:3] == [[1, 2], [0, 1, 2], [2]] and told[
        "first_step"
    ] == 0
    mask = np.zeros((8, 8))
    mask.T.ravel()[5:7] = 1
    mask[5, 0] = mask[6, 0] = 1
    assert told["edits"][0]["json"]["patches"] == PatchChoice.mask(mask, grid=(8, 8)).to_json()
    assert "a mask of the 8x8 grid" in told["edits"][0]["says"]


def test_jobs_are_refused_before_they_wait(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "check_model_of", lambda *given: None)
    server = client.app.state.server  # type: ignore[attr-defined]

    def order(**body: Any) -> dict[str, Any]:
        kinds = {"heads": shapes.HeadsJob, "strip": shapes.StripJob, "projections": shapes.ProjectionsJob}
        return orders.order(server, kinds[body["kind"]](run="whole", **body))

    silence, prompt = {"edit": "silence", "word": "circle"}, {"edit": "reprompt", "prompt": "x"}
    for wrong, said in (
        ({"kind": "strip", "edits": [silence]}, "one of the two"),
        ({"kind": "strip", "edits": [silence], "strengths": [0, 1], "seeds": [1, 2]}, "one of the two"),
        ({"kind": "strip", "edits": [prompt], "strengths": [0, 1]}, "no strength"),
        ({"kind": "heads"}, "one of word, region and mask_png"),
        ({"kind": "heads", "word": "circle", "region": "box:0,0,3,3"}, "one of word, region and mask_png"),
        ({"kind": "heads", "word": "dog"}, "dog"),
        ({"kind": "heads", "region": "box:0,0,300,3"}, "outside"),
        ({"kind": "heads", "word": "circle", "sites": "cross:side"}, "cross:side"),
        ({"kind": "heads", "word": "circle", "window": "0:9"}, "out of range"),
        ({"kind": "heads", "mask_png": "!"}, "no PNG"),
    ):
        with pytest.raises(ds.errors.DiffuscopeError, match=said):
            order(**wrong)
    assert order(kind="strip", edits=[prompt], seeds=[1, 2])["seeds"] == [1, 2]
    assert order(kind="projections")["run"] == "whole"
    file = io.BytesIO()
    Image.fromarray(np.pad(np.full((20, 30), 255, np.uint8), ((10, 98), (10, 88)))).save(file, "PNG")
    found = order(kind="heads", mask_png=base64.b64encode(file.getvalue()).decode())
    assert found["mask_png"] is None and found["region"].startswith("mask:")
    assert ds.open(server.shelf.path("whole")).region(found["region"]).region.area == 600 / 128**2


def test_a_static_site_has_the_atlas_where_it_was_asked_for(
    folder: Path, client: TestClient, tmp_path: Path
) -> None:
    made = export_site([folder / "whole", folder / "maps"], tmp_path / "site", atlas=True)
    files = {
        path.relative_to(made.folder / "api/runs/whole").as_posix()
        for path in (made.folder / "api/runs/whole").rglob("*")
        if path.is_file() and "atlas" in path.as_posix()
    }
    assert {"atlas.json", "atlas/masses.safetensors", "atlas/received/mean.safetensors"} <= files
    # All steps are in the overview, at full resolution: nothing more is written.
    assert len([name for name in files if name.startswith(f"atlas/word-{CIRCLE}/")]) == 2
    for name in [*sorted(files)[:12], "rankings.json"]:
        assert (made.folder / "api/runs/whole" / name).read_bytes() == client.get(
            f"/api/runs/whole/{name}"
        ).content
    assert (made.folder / "api/runs/maps/atlas.json").is_file()
    assert json.loads((made.folder / "api/site.json").read_text("utf-8"))["atlas"] is True
    without = export_site([folder / "maps"], tmp_path / "plain")
    assert not list(without.folder.rglob("atlas*"))
    assert json.loads((without.folder / "api/site.json").read_text("utf-8"))["atlas"] is False


def test_where_the_overview_is_reduced_every_step_is_written_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "run", steps=2)
    monkeypatch.setattr("diffuscope.server.atlas.OVERVIEW_BYTES", 3000)
    monkeypatch.setattr(survey, "OVERVIEW_BYTES", 3000)
    made = export_site([tmp_path / "run"], tmp_path / "site", atlas=True)
    names = sorted(path.name for path in (made.folder / f"api/runs/run/atlas/word-{CIRCLE}").iterdir())
    assert names == ["0000.safetensors", "0001.safetensors", "all.safetensors", "mean.safetensors"]
    _, notes = plates((made.folder / f"api/runs/run/atlas/word-{CIRCLE}/all.safetensors").read_bytes())
    assert notes["sites"][0]["grid"] == [16, 16] and notes["sites"][0]["stored"] == [8, 8]
