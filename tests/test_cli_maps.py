"""`heatmap` and `steps` with all their options, against the same questions asked in Python."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.maps.refinement import Refinement, model_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "example", steps=3)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_values_go_to_files_of_any_suffix(cli: CommandLine, run: Path) -> None:
    names = ("a.npy", "a.npz", "a.csv", "a.16.png", "a.tif", "a.png")
    outs = [part for name in names for part in ("--out", name)]
    assert cli("heatmap", run, "--word", "circle", *outs, "--json").json["files"] == list(names)
    expected = ds.open(run).word("circle").map().array
    np.testing.assert_array_equal(np.load("a.npy"), expected)
    np.testing.assert_array_equal(np.load("a.npz")["array"], expected)
    rows = list(csv.DictReader(Path("a.csv").read_text().splitlines()))
    assert np.float32(rows[-1]["value"]) == expected[-1, -1]
    with Image.open("a.16.png") as picture:
        assert picture.size == (16, 16)


def test_weights_sums_and_phrases_are_those_of_python(cli: CommandLine, run: Path) -> None:
    options = ("--weights", "16x16=2", "--combine", "sum", "--reduce", "mean", "--steps", "1:")
    facts = cli("heatmap", run, "--phrase", "red + zeppelin", *options, "--npy", "a.npy", "--json").json
    expected = (
        ds.open(run).phrase("red + zeppelin").map(steps="1:", reduce="mean", weights="16x16=2", combine="sum")
    )
    np.testing.assert_array_equal(np.load("a.npy"), expected.array)
    assert (facts["unit"], facts["word"]) == (expected.unit, "red + zeppelin")


def test_refined_maps_are_those_of_python(cli: CommandLine, run: Path, tmp_path: Path) -> None:
    facts = cli("heatmap", run, "--word", "circle", "--refine", "object", "--npy", "a.npy", "--json").json
    expected = ds.open(run).refined("circle", "object")
    np.testing.assert_array_equal(np.load("a.npy"), expected.array)
    assert facts["unit"] == expected.unit and "along the picture's edges" in facts["aggregation"]
    cli("heatmap", run, "--word", "circle", "--refine", "edges", "--steps", "1", "--npy", "b.npy")
    edges = ds.open(run).refined("circle", Refinement(steps="1", floor=True, edges=1 / 8))
    np.testing.assert_array_equal(np.load("b.npy"), edges.array)
    assert "no refinement 'glow'" in cli.refuses("heatmap", run, "--word", "circle", "--refine", "glow")
    for options in (("--heads", "1"), ("--size", "8"), ("--style", "heads"), ("--preset", "daam")):
        assert "leave" in cli.refuses("heatmap", run, "--word", "circle", "--refine", "object", *options)
    tuned = Refinement(floor=True, model=model_of(ds.open(run).recording)).save(tmp_path / "tuned.json")
    assert cli("heatmap", run, "--word", "circle", "--refine", tuned).status == 0
    assert "tuned" in cli.refuses("heatmap", run, "--word", "circle", "--refine", tuned, "--steps", "1")


@pytest.mark.parametrize("style", ["relief", "heads", "steps"])
def test_styles_are_pictures(cli: CommandLine, run: Path, style: str) -> None:
    assert cli("heatmap", run, "--word", "circle", "--style", style, "--out", "a.png").status == 0
    with Image.open("a.png") as picture:
        assert min(picture.size) > 200
    if style != "relief":
        assert "share" in cli.refuses("heatmap", run, "--word", "circle", "--style", style, "--scale", "0:1")


def test_raw_colours_are_another_picture(cli: CommandLine, run: Path) -> None:
    for scale in ("map", "raw", "0:0.5"):
        cli("heatmap", run, "--word", "circle", "--scale", scale, "--out", f"{scale[0]}.png")
    assert len({Path(f"{name}.png").read_bytes() for name in "mr0"}) == 3


def test_steps_take_the_same_options(cli: CommandLine, run: Path) -> None:
    options = ("--weights", "cross:mid=0", "--scale", "step", "--values", "v.npz", "--values", "v.csv")
    facts = cli("steps", run, "--phrase", "red circle", *options, "--out", "there", "--json").json
    expected = ds.open(run).phrase("red circle").steps(weights="cross:mid=0")
    np.testing.assert_array_equal(np.load("v.npz")["array"], expected.array)
    assert facts["values"] == ["v.npz", "v.csv"]
    np.testing.assert_allclose([step["mass"] for step in facts["steps"]], expected.mass, rtol=1e-6)


def test_steps_move_as_a_film(cli: CommandLine, run: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    facts = cli(
        "steps", run, "--word", "circle", "--moving", "mp4", "--fps", "4", "--out", "there", "--json"
    ).json
    frames, seconds = ffmpeg.count_frames_and_secs(facts["animation"])
    assert frames == 3 + 5, "three steps, the last held for a second and a half"
    assert seconds == pytest.approx(2, abs=0.3)


def test_a_word_that_the_run_lacks_is_refused_everywhere(cli: CommandLine, run: Path) -> None:
    assert "zeppelin" in cli.refuses("steps", run, "--phrase", "red zepelin", "--out", "there")
    assert "one of --word" in cli.refuses("steps", run, "--word", "red", "--concept", "dog", "--out", "there")


# Concepts, on a run of a model that can be opened again.


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    pytest.importorskip("torch")
    from diffuscope.engine.lens import Lens
    from diffuscope.testing import random_pipeline

    folder = tmp_path_factory.mktemp("models")
    random_pipeline("sd15", "tiny").save_pretrained(folder / "tiny")
    lens = Lens.load(folder / "tiny", device="cpu")
    run = lens.record("a red cat", steps=2, out=folder / "runs")
    return folder / "tiny", run.path


def test_a_concept_opens_the_model_once(
    cli: CommandLine, recorded: tuple[Path, Path], tmp_path: Path
) -> None:
    model, path = recorded
    here = tmp_path / "run"
    shutil.copytree(path, here)
    facts = cli("heatmap", here, "--concept", "a blue hat", "--npy", "a.npy", "--json").json
    assert (facts["concept"], facts["selection"]) == ("a blue hat", 'concept="a blue hat"')
    expected = ds.open(here).concept("a blue hat").map().array
    np.testing.assert_array_equal(np.load("a.npy"), expected)
    moved = model.rename(model.with_name("elsewhere"))
    try:
        again = cli("heatmap", here, "--selection", facts["selection"], "--json")
        assert again.status == 0, "the run's cache answers without the model"
        line = cli.refuses("heatmap", here, "--concept", "dog")
        assert "--model" in line
        assert cli("heatmap", here, "--concept", "dog", "--model", moved, "--json").status == 0
        steps = cli("steps", here, "--concept", "dog", "--out", "there", "--json").json
        assert steps["concept"] == "dog" and len(steps["steps"]) == 2
    finally:
        moved.rename(model)


def test_a_concept_of_word_maps_alone_is_refused_before_a_model_is_opened(
    cli: CommandLine, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "small", steps=2, level="maps")
    assert "keep='cross'" in cli.refuses("heatmap", run, "--concept", "dog")
