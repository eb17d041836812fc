"""What the server gives of a run is what the Python API gives, by addresses that browsers may keep."""

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

import diffuscope as ds
from diffuscope.server.app import create_app
from diffuscope.server.findings import run_lengths
from diffuscope.server.resources import cell_maps
from diffuscope.server.settings import Limits, Settings
from diffuscope.server.tensors import pack, plain

LOCAL = "http://localhost"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    make_run(runs / "cross", steps=4)
    sites = [*layouts(self_sites=True), Layout("self:up.0.0", (16, 16), 3, 16, kind="self")]
    make_run(runs / "whole", steps=3, level="qk", sites=sites)
    return runs


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(runs=folder)), base_url=LOCAL) as made:
        yield made


def tensors(content: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """Tensors and metadata of a safetensors file, values multiplied with the scale."""
    size = int.from_bytes(content[:8], "little")
    notes = json.loads(content[8 : 8 + size])["__metadata__"]
    found: dict[str, Any] = load(content)
    found["maps"] = found["maps"].astype(np.float64) * float(notes["scale"])
    return found, notes


def get(client: TestClient, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.safetensors"
    return tensors(answer.content)


def test_a_words_maps_are_those_of_the_api_with_their_ranges(client: TestClient, folder: Path) -> None:
    run = ds.open(folder / "cross")
    words = client.get("/api/runs/cross/words.json").json()["words"]
    assert [word["label"] for word in words] == [*(word.label for word in run.words), "<start>", "<end>"]
    for word in words:
        found, notes = get(client, f"/api/runs/cross/maps/{word['index']}.safetensors")
        series = run.word(word["label"]).steps()
        assert found["maps"] == pytest.approx(series.array, abs=0)
        assert found["min"] == pytest.approx(series.array.min(axis=(1, 2)), abs=0)
        assert found["max"] == pytest.approx(series.array.max(axis=(1, 2)), abs=0)
        assert found["mean"] == pytest.approx(run.word(word["label"]).mass(), rel=1e-6)
        assert (notes["label"], notes["unit"]) == (word["label"], "attention probability")
        assert json.loads(notes["steps"]) == [0, 1, 2, 3] and notes["grid"] == "16x16"


def test_grids_sites_heads_and_all_words_are_those_of_the_api(client: TestClient, folder: Path) -> None:
    run = ds.open(folder / "cross")
    view, place = run.word("zeppelin"), [word.label for word in run.words].index("zeppelin")
    found, _ = get(client, f"/api/runs/cross/maps/{place}/grids/8x8.safetensors")
    assert found["maps"] == pytest.approx(view.steps(sites="cross:mid", size="native").array, abs=0)
    found, notes = get(client, f"/api/runs/cross/maps/{place}/sites/2.safetensors")
    assert notes["site"] == run.sites[2].name
    assert found["maps"] == pytest.approx(view.steps(sites=notes["site"], size="native").array, abs=0)
    found, notes = get(client, f"/api/runs/cross/maps/{place}/heads/2.safetensors")
    assert found["maps"] == pytest.approx(view.heads(sites=notes["site"]).per_site[notes["site"]], abs=0)
    assert json.loads(notes["heads"]) == [0, 1, 2]
    found, notes = get(client, "/api/runs/cross/maps/all.safetensors")
    for label, array in zip(json.loads(notes["words"]), found["maps"], strict=True):
        assert array == pytest.approx(run.word(label).map().array, rel=1e-5, abs=1e-8)
    found, _ = get(client, "/api/runs/cross/shares.safetensors")
    assert found["maps"].sum(axis=0) == pytest.approx(np.ones((16, 16)), abs=1e-5)


def test_pictures(client: TestClient, folder: Path) -> None:
    run = ds.open(folder / "cross")
    exact = Image.open(io.BytesIO(client.get("/api/runs/cross/image.png").content))
    assert np.array_equal(np.asarray(exact), np.asarray(run.image))
    for path in ("image.webp", "previews/0002.webp", "thumbnail.webp"):
        answer = client.get(f"/api/runs/cross/{path}")
        assert answer.headers["content-type"] == "image/webp"
        shown = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"), int)
        meant = np.asarray(run.preview(2) if "previews" in path else run.image, int)
        assert shown.shape == meant.shape and np.abs(shown - meant).mean() < 8


@pytest.mark.parametrize("direction", ["to", "from"])
def test_cells_give_the_map_of_any_region_by_a_weighted_mean(
    client: TestClient, folder: Path, direction: str
) -> None:
    run = ds.open(folder / "whole")
    found, notes = get(client, f"/api/runs/whole/self/{direction}/0001.safetensors")
    height, width = client.get("/api/runs/whole").json()["self_grid"]
    assert found["maps"].shape == (height * width, height, width)
    for text in ("box:3,5,40,60", "pixel:17,2", "contour:2,2;60,10;30,55"):
        view = run.region(text)
        cover = view.region.cover((height, width)).ravel()
        mine = np.tensordot(cover / cover.sum(), found["maps"], axes=1)
        theirs = view.map(1, direction=direction)
        assert mine == pytest.approx(theirs.array, rel=1e-3, abs=1e-7)
        assert notes["unit"] == theirs.unit
    whole, _ = get(client, f"/api/runs/whole/self/{direction}/all.safetensors")
    each = [
        get(client, f"/api/runs/whole/self/{direction}/{step:04d}.safetensors")[0]["maps"]
        for step in range(3)
    ]
    assert whole["maps"] == pytest.approx(np.mean(each, axis=0), rel=1e-3, abs=1e-6)
    exact = cell_maps(run, direction, 1)[0]  # type: ignore[arg-type]
    assert found["maps"] == pytest.approx(exact, rel=2**-11, abs=0)


def test_large_maps_go_as_float16_to_eleven_bits_with_exact_ranges() -> None:
    rng = np.random.default_rng(0)
    maps = (10.0 ** rng.uniform(-9, -1, size=(20, 64, 64))).astype(np.float32)
    stored = load(pack(maps, {}))
    assert stored["maps"].dtype == np.float16
    found, notes = tensors(pack(maps, {}))
    assert np.log2(float(notes["scale"])).is_integer()
    assert np.abs(found["maps"] / maps - 1)[maps > maps.max() * 2.0**-28].max() <= 2**-11
    assert np.array_equal(found["max"], maps.max(axis=(1, 2)))
    assert load(pack(maps, {}, exact=True))["maps"].dtype == np.float32
    assert plain({"a": [float("nan"), np.float32(2), np.inf]}) == {"a": [None, 2.0, None]}


def test_files_are_kept_for_a_year_by_their_version_and_else_asked_again(
    client: TestClient, folder: Path
) -> None:
    version = client.get("/api/runs/cross/run.json").json()["version"]
    path = "/api/runs/cross/maps/1.safetensors"
    kept = client.get(f"{path}?v={version}")
    assert "immutable" in kept.headers["cache-control"] and "private" in kept.headers["cache-control"]
    plain_answer = client.get(path)
    assert plain_answer.headers["cache-control"] == "private, no-cache"
    assert "immutable" not in client.get(f"{path}?v=0000000000000000").headers["cache-control"]
    again = client.get(path, headers={"If-None-Match": plain_answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    manifest = folder / "cross" / "manifest.json"
    assert version == client.get("/api/runs").json()["runs"][0]["version"] or manifest.exists()


def test_the_list_and_a_run_say_what_the_manifest_says(client: TestClient, folder: Path) -> None:
    listed = {run["id"]: run for run in client.get("/api/runs/index.json").json()["runs"]}
    assert set(listed) == {"cross", "whole"} and client.get("/api/runs").json()["runs"]
    run, about = ds.open(folder / "whole"), client.get("/api/runs/whole").json()
    assert about == client.get("/api/runs/whole/run.json").json()
    assert {name: about[name] for name in listed["whole"]} == listed["whole"]
    assert about["prompt"] == run.prompt and about["seed"] == run.manifest.sampling.seed
    assert [site["name"] for site in about["sites"]] == [site.name for site in run.sites]
    assert [step["log_snr"] for step in about["timetable"]] == [step.log_snr for step in run.steps]
    assert about["can"] == {
        "words": True,
        "heads": True,
        "regions": True,
        "region_files": True,
        "concepts": True,
        "clean": True,
    }
    assert not client.get("/api/runs/cross").json()["can"]["regions"]
    assert str(folder) not in json.dumps([about, listed, client.get("/api/runs/whole/timeline.json").json()])


def test_exact_values_are_given_on_request(client: TestClient, folder: Path) -> None:
    run = ds.open(folder / "whole")
    selection = "steps=1:3 sites=cross:mid heads=2 word=circle#2"
    body = {"selection": selection, "format": "json"}
    found = client.post("/api/runs/whole/map", json=body).json()
    heatmap = run.map(selection)
    assert np.array_equal(np.array(found["values"], np.float32), heatmap.array)
    assert (found["peak"], found["unit"]) == (list(heatmap.peak), heatmap.unit)
    answer = client.get("/api/runs/whole/map", params={"selection": selection})
    assert np.array_equal(load(answer.content)["maps"], heatmap.array)
    steps = client.post("/api/runs/whole/map", json={**body, "each_step": True}).json()
    assert steps["steps"] == [1, 2] and len(steps["values"]) == 2
    region = client.post(
        "/api/runs/whole/regions", json={"region": "box:3,5,40,60", "steps": "1", "format": "json"}
    )
    view = run.region("box:3,5,40,60")
    assert np.array_equal(np.array(region.json()["values"], np.float32), view.map(1).array)
    assert region.json()["area"] == pytest.approx(view.region.area)
    spread = client.post("/api/runs/whole/regions", json={"region": "box:3,5,40,60", "diffused": True})
    assert np.array_equal(load(spread.content)["maps"], view.diffused().array)


def test_a_painted_mask_is_a_region(client: TestClient, folder: Path) -> None:
    import base64

    run = ds.open(folder / "whole")
    sampling = run.manifest.sampling
    mask = np.zeros((sampling.height, sampling.width), np.uint8)
    mask[5:20, 8:30] = 255
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    body = {"mask_png": base64.b64encode(file.getvalue()).decode(), "format": "json"}
    found = client.post("/api/runs/whole/regions", json=body).json()
    assert np.array_equal(np.array(found["values"], np.float32), run.region(mask=mask).map().array)
    again = client.post("/api/runs/whole/regions", json={"region": found["region"], "format": "json"}).json()
    assert again["values"] == found["values"] and found["region"].startswith("mask:")


def test_heads_are_ranked_by_mass(client: TestClient, folder: Path) -> None:
    rows = client.post("/api/runs/cross/heads", json={"word": "circle"}).json()["heads"]
    assert len(rows) == 3 + 8 + 3 and [row["mass"] for row in rows] == sorted(
        (row["mass"] for row in rows), reverse=True
    )
    run, first = ds.open(folder / "cross"), rows[0]
    alone = run.word("circle").map(sites=first["site"], heads=first["head"], size="native")
    assert first["mass"] == pytest.approx(alone.mean, rel=1e-5) and first["peak"] == list(alone.peak)


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/api/runs/nobody", 404, "RunNotFoundError"),
        ("/api/runs/cross/maps/99.safetensors", 404, "NotFound"),
        ("/api/runs/cross/maps/1/grids/5x5.safetensors", 404, "NotFound"),
        ("/api/runs/cross/previews/0099.webp", 400, "SelectionError"),
        ("/api/runs/cross/self/to/all.safetensors", 400, "SelectionError"),
        ("/api/runs/whole/self/sideways/all.safetensors", 422, "ValidationError"),
        ("/api/runs/whole/maps/1/sites/3.safetensors", 400, "SelectionError"),
        ("/api/runs/cross/map?selection=word%3Dcirc", 400, "UnknownWordError"),
        ("/api/compare/cross/whole/comparison.json", 409, "Conflict"),
        ("/api/nothing", 404, "NotFound"),
        ("/nothing.js", 404, "NotFound"),
        ("/api/jobs/nothing", 422, "ValidationError"),
        ("/api/studies/none/study.json", 404, "RunNotFoundError"),
    ],
)
def test_every_error_has_one_form(client: TestClient, path: str, status: int, kind: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"class", "code", "message", "status", "details"}
    assert (error["class"], error["status"]) == (kind, status)
    assert error["message"] and "\n" not in error["message"]


def test_an_unknown_word_comes_with_those_there_are(client: TestClient) -> None:
    error = client.post("/api/runs/cross/map", json={"selection": "word=cirlce"}).json()["error"]
    assert error["details"]["words"][0] == "circle" and error["code"] == "unknown-word"


def test_large_regions_are_asked_for_one_by_one(folder: Path) -> None:
    limits = Limits(region_cells=16, products=1e4)
    with TestClient(create_app(Settings(runs=folder, limits=limits)), base_url=LOCAL) as small:
        assert small.get("/api/runs/whole/self/to/all.safetensors").status_code == 413
        about = small.get("/api/runs/whole").json()
        assert about["self_grid"] is None and about["can"]["regions"] and not about["can"]["region_files"]
        answer = small.post("/api/runs/whole/regions", json={"region": "pixel:1,1", "diffused": True})
        assert answer.status_code == 413 and "choose fewer" in answer.json()["error"]["message"]


def test_objects_and_the_explanation_are_those_of_the_api(client: TestClient, folder: Path) -> None:
    run = ds.open(folder / "whole")
    found = client.get("/api/runs/whole/objects.json").json()
    objects = run.objects()
    assert found["available"] and len(found["objects"]) == len(objects)
    for told, each in zip(found["objects"], objects, strict=True):
        assert (told["label"], told["box"], told["area"]) == (each.text, list(each.box), each.area)
        lengths = told["rle"]["counts"]
        flat = np.repeat(np.arange(len(lengths)) % 2, lengths)
        assert np.array_equal(flat.reshape(told["rle"]["size"], order="F"), each.mask)
    told = client.get("/api/runs/whole/explanation.json").json()
    assert told["available"] and told["parts"]["setup"] and str(folder) not in json.dumps(told)
    claims = {claim["id"] for claim in told["claims"]}
    for sentences in told["parts"].values():
        assert all(set(sentence["cites"]) <= claims for sentence in sentences)
    assert client.get("/api/runs/whole/faithfulness.json").json() == {"tests": {}}
    assert "immutable" not in client.get("/api/runs/whole/explanation.json?v=x").headers["cache-control"]


def test_run_lengths_begin_with_what_is_outside() -> None:
    assert run_lengths(np.array([[1, 0], [1, 1]], bool)) == {"size": [2, 2], "counts": [0, 2, 1, 1]}
    assert run_lengths(np.zeros((2, 3), bool)) == {"size": [2, 3], "counts": [6]}


def test_edits_are_checked_and_said_in_words(client: TestClient) -> None:
    body = {"run": "cross", "edits": [{"edit": "silence", "word": "circle", "steps": "2:"}]}
    found = client.post("/api/edits/check", json=body).json()
    assert found["first_step"] == 2 and found["edits"][0]["steps"] == [2, 3]
    assert found["edits"][0]["json"] == {"edit": "silence", "word": "circle", "steps": "2:"}
    assert "circle" in found["edits"][0]["says"]
    for edits in (
        [{"edit": "silence"}],
        [{"edit": "nothing"}],
        [{"edit": "silence", "word": "a", "steps": "9"}],
    ):
        assert client.post("/api/edits/check", json={"run": "cross", "edits": edits}).status_code == 400
    donor = [{"edit": "patch", "donor": "../elsewhere", "sites": "cross:mid"}]
    assert client.post("/api/edits/check", json={"run": "cross", "edits": donor}).status_code == 404


def test_a_run_is_removed_and_brought_back(tmp_path: Path) -> None:
    make_run(tmp_path / "one", steps=2)
    with TestClient(create_app(Settings(runs=tmp_path)), base_url=LOCAL) as client:
        assert client.get("/api/runs/one/words.json").status_code == 200
        entry = client.delete("/api/runs/one").json()["entry"]
        assert client.get("/api/runs/one/words.json").status_code == 404
        listed = client.get("/api/runs").json()
        assert listed["runs"] == [] and [each["run"] for each in listed["trash"]] == ["one"]
        assert client.post(f"/api/trash/{entry}/restore").json() == {"run": "one"}
        assert client.get("/api/runs/one/words.json").status_code == 200
        assert client.post(f"/api/trash/{entry}/restore").status_code == 404
        assert client.delete("/api/runs/one").status_code == 200


def test_damaged_runs_are_listed_and_answered_in_the_one_form(tmp_path: Path) -> None:
    make_run(tmp_path / "bad", steps=2)
    (tmp_path / "bad" / "manifest.json").write_text("{")
    with TestClient(create_app(Settings(runs=tmp_path)), base_url=LOCAL) as client:
        (line,) = client.get("/api/runs").json()["runs"]
        assert line["state"] == "damaged" and line["problem"] and line["prompt"] is None
        answer = client.get("/api/runs/bad")
        assert answer.status_code == 409 and answer.json()["error"]["class"] == "CorruptRecordingError"
