"""Jobs of the head atlas against a real server, a real worker and the shipped model."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load
from served import Served
from test_server_atlas import plates, values

import diffuscope as ds

BOX = "box:32,32,95,95"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "runs"


@pytest.fixture(scope="module")
def server(runs: Path) -> Iterator[Served]:
    with Served(runs) as made:
        yield made


@pytest.fixture(scope="module")
def recorded(server: Served) -> str:
    (run,) = server.done(kind="record", prompt="a red circle", steps=3, seed=7, keep="cross")["runs"]
    return str(run)


def test_a_ranking_fills_in_and_is_kept_with_the_run(server: Served, recorded: str) -> None:
    job = server.job(kind="heads", run=recorded, region=BOX, sites="cross:mid", seeds=2, top=1)
    events = [(name, data) for _, name, data in server.events(job)]
    effects = [data for name, data in events if name == "effect"]
    rankings = [data for name, data in events if name == "ranking"]
    assert {(each["site"], each["head"], each["seed"]) for each in effects} == {
        ("cross:mid", head, seed) for head in range(8) for seed in (7, 8)
    }
    assert [each["seeds"] for each in rankings] == [[7], [7, 8]]
    result = events[-1][1]["result"]
    (kept,) = server.get(f"/api/runs/{recorded}/rankings.json").json()["rankings"]
    assert kept == result and kept["heads"] == rankings[-1]["heads"]
    assert kept["where"] == kept["target"] == BOX and kept["word"] is None and kept["region"] == "given"
    for each in kept["heads"]:
        mine = [one["inside"] for one in effects if one["head"] == each["head"]]
        assert (
            each["effect"] == pytest.approx(np.mean(mine)) and each["low"] <= each["effect"] <= each["high"]
        )
        assert 1 <= each["rank_best"] <= each["rank"] <= each["rank_worst"] <= 8
    found = server.post(f"/api/runs/{recorded}/pick", {"query": f"top 2 for '{BOX}' by effect"}).json()
    assert [each["head"] for each in found["heads"]] == [each["head"] for each in kept["heads"][:2]]


def test_a_regions_own_picture_is_enough(server: Served, recorded: str) -> None:
    result = server.done(kind="heads", run=recorded, region="box:0,0,31,31", sites="cross:mid", window="0:1")
    assert result["seeds"] == [7] and result["window"] == "0:1"
    assert all(each["low"] is None and each["rank_worst"] == 8 for each in result["heads"])


def test_projections_give_contributions_their_sign(server: Served, recorded: str, runs: Path) -> None:
    path = f"/api/runs/{recorded}/atlas/signed/all.safetensors"
    assert server.get(path).status_code == 409
    result = server.done(kind="projections", run=recorded)
    assert result["sites"] >= 10 and result["bytes"] > 0
    told = server.get(f"/api/runs/{recorded}/atlas.json").json()
    assert {each["id"]: each for each in told["contents"]}["signed"]["available"]
    found, notes = plates(server.get(path).content)
    lens = ds.Lens.load("scenes")
    run = ds.open(runs / recorded)
    exact = run.contributions(steps=1, projections=lens.output_projections(run))
    for site in notes["sites"]:
        own = exact.per_site[site["name"]][0]
        room = float(np.ptp(own, axis=(1, 2)).max()) / 500 + 1e-5
        assert notes["signed"] == "true" and values(found, site)[2] == pytest.approx(own, abs=room)


def test_a_strip_of_strengths_and_one_of_seeds(server: Served, recorded: str, runs: Path) -> None:
    edits = [{"edit": "scale", "factor": 0, "sites": "cross:up.*"}]
    job = server.job(kind="strip", run=recorded, edits=edits, strengths=[0, 0.5, 1])
    drawn = [data for _, name, data in server.events(job) if name == "drawn"]
    assert sorted(each["strength"] for each in drawn) == [0, 0.5, 1] and all(
        each["seed"] is None for each in drawn
    )
    by_strength = {each["strength"]: each for each in drawn}
    assert by_strength[0]["change"]["mean"] < 0.05 < by_strength[0.5]["change"]["mean"]
    assert by_strength[0.5]["edits"] == [{"edit": "scale", "factor": 0.5, "sites": "cross:up.*"}]
    size = ds.open(runs / recorded).image.size
    for each in drawn:
        for name in ("base", "picture"):
            assert Image.open(io.BytesIO(server.get("/" + each[name]).content)).size == size
    strip = server.done(kind="strip", run=recorded, edits=edits, seeds=[7, 11])["strip"]
    assert [(each["index"], each["seed"], each["strength"]) for each in strip] == [
        (0, 7, None),
        (1, 11, None),
    ]
    bases = [server.get("/" + each["base"]).content for each in strip]
    assert bases[0] != bases[1] and all(each["change"]["mean"] > 0.05 for each in strip)


def test_several_layers_are_drawn_as_one_edit(server: Served, recorded: str, runs: Path) -> None:
    rle = {"size": [16, 16], "counts": [0, 128, 128]}
    layers = [
        {
            "edit": "encode",
            "text": "a blue square",
            "sites": "cross:up.*",
            "heads": "0",
            "patches": {"rle": rle, "grid": [16, 16]},
        },
        {"edit": "scale", "factor": 0.5, "sites": "cross:mid", "heads": "1,3", "steps": "1:"},
        {"edit": "patch", "donor": recorded, "sites": "cross:down.*", "heads": "2", "steps": "0"},
        {"edit": "silence", "word": "red", "steps": "2"},
    ]
    checked = server.post("/api/edits/check", {"run": recorded, "edits": layers}).json()
    (made,) = server.done(kind="edit", run=recorded, edits=layers)["runs"]
    told = json.loads(json.dumps(ds.open(runs / made).manifest.edits))
    assert [each["edit"] for each in told] == ["encode", "scale", "patch", "silence"]
    assert told[0]["patches"] == checked["edits"][0]["json"]["patches"]
    changed = np.asarray(ds.open(runs / made).image, int) - np.asarray(ds.open(runs / recorded).image, int)
    assert np.abs(changed[:, :64]).mean() > 0
    assert load(server.get(f"/api/runs/{made}/atlas/word-1/all.safetensors").content)["mean"].shape[0] == 4
