"""The commands that read a recording: info, heatmap, steps. The run is written by the public writer."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image
from synthetic_run import PROMPT, make_run

import diffuscope as ds


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "example", steps=4)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "interrupted", steps=4, stop_after=2)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_info_tells_what_a_recording_holds(cli: CommandLine, run: Path) -> None:
    outcome = cli("info", run)
    assert outcome.status == 0 and outcome.err == ""
    for text in (PROMPT, "complete", "circle#2", "zeppelin", "cross:up.0.0", "16x16"):
        assert text in outcome.out


def test_info_as_json_lists_words_and_sites_as_other_commands_take_them(cli: CommandLine, run: Path) -> None:
    facts = cli("info", run, "--json").json
    assert (facts["complete"], facts["steps"], facts["calls"]) == (True, 4, 4)
    for word in facts["words"]:
        assert cli("heatmap", run, "--word", word["label"], "--json").status == 0
    for site in facts["sites"]:
        assert cli("heatmap", run, "--word", "circle", "--sites", site["name"], "--json").status == 0


def test_info_opens_an_interrupted_run(cli: CommandLine, interrupted: Path) -> None:
    facts = cli("info", interrupted, "--json").json
    assert (facts["complete"], facts["steps"], facts["stopped"]) == (False, 2, "stopped by a test")
    assert "incomplete: stopped by a test" in cli("info", interrupted).out


def test_a_run_is_found_by_its_name_below_runs(cli: CommandLine, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "runs" / "example")
    assert cli("info", "example", "--json").json["path"] == str(Path("runs/example"))


def test_heatmap_writes_the_exact_values_and_a_picture(cli: CommandLine, run: Path) -> None:
    options = ("--steps", "1:3", "--sites", "cross:up.*", "--heads", "0,2")
    outcome = cli(
        "heatmap", run, "--word", "circle", *options, "--out", "a.png", "--npy", "deep/a.npy", "--json"
    )
    expected = ds.open(run).word("circle").map(steps="1:3", sites="cross:up.*", heads=[0, 2])
    np.testing.assert_array_equal(np.load("deep/a.npy"), expected.array)
    with Image.open("a.png") as picture:
        assert min(picture.size) > 128
    facts = outcome.json
    assert facts["files"] == [str(Path("deep/a.npy")), "a.png"]
    assert facts["selection"] == str(expected.selection) == "steps=1:3 sites=cross:up.* heads=0,2 word=circle"
    assert (facts["peak"], facts["unit"]) == (list(expected.peak), "attention probability")
    assert facts["mean"] == pytest.approx(expected.mean)


def test_heatmap_takes_the_selection_that_it_prints(cli: CommandLine, run: Path) -> None:
    first = cli("heatmap", run, "--word", "circle", "--steps", "1:3", "--heads", "0", "--json").json
    again = cli("heatmap", run, "--selection", first["selection"], "--json").json
    assert again == first


def test_heatmap_maps_a_phrase_as_the_sum_of_its_words(cli: CommandLine, run: Path) -> None:
    cli("heatmap", run, "--word", "red circle", "--npy", "phrase.npy")
    opened = ds.open(run)
    total = opened.word("red").map().array + opened.word("circle").map().array
    np.testing.assert_allclose(np.load("phrase.npy"), total, atol=1e-6)


def test_heatmap_names_its_file_after_the_word(cli: CommandLine, run: Path) -> None:
    outcome = cli("heatmap", run, "--word", "circle#2")
    assert Path("circle-2.png").is_file() and "circle-2.png" in outcome.out


def test_heatmap_of_an_interrupted_run_is_drawn_without_the_picture(
    cli: CommandLine, interrupted: Path
) -> None:
    outcome = cli("heatmap", interrupted, "--word", "circle", "--json")
    assert outcome.status == 0 and outcome.json["files"] == ["circle.png"]
    assert outcome.err.startswith("warning: ") and outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("size", "shape"), [("image", (128, 128)), ("32", (32, 32)), ("20x10", (20, 10)), ("finest", (16, 16))]
)
def test_heatmap_size(cli: CommandLine, run: Path, size: str, shape: tuple[int, int]) -> None:
    cli("heatmap", run, "--word", "circle", "--size", size, "--npy", "sized.npy")
    assert np.load("sized.npy").shape == shape


def test_steps_writes_a_picture_for_each_step_a_sheet_and_a_moving_picture(
    cli: CommandLine, run: Path
) -> None:
    facts = cli("steps", run, "--word", "circle", "--steps", "1:", "--out", "some/where", "--json").json
    assert [step["step"] for step in facts["steps"]] == [1, 2, 3]
    np.testing.assert_allclose(
        [step["mass"] for step in facts["steps"]], ds.open(run).word("circle").mass(steps="1:"), rtol=1e-6
    )
    for file in [step["file"] for step in facts["steps"]] + [facts["sheet"]]:
        with Image.open(file) as picture:
            assert picture.format == "PNG"
    with Image.open(facts["animation"]) as moving:
        assert getattr(moving, "n_frames", 1) == 3


def test_steps_says_where_the_pictures_are(cli: CommandLine, run: Path) -> None:
    outcome = cli("steps", run, "--word", "circle", "--out", "there")
    assert outcome.status == 0 and outcome.err == ""
    assert "4 pictures in there" in outcome.out


def test_an_unknown_word_lists_the_words_there_are(cli: CommandLine, run: Path) -> None:
    for command in (("heatmap",), ("steps", "--out", "there")):
        line = cli.refuses(command[0], run, *command[1:], "--word", "circl")
        assert "'circl'" in line and "circle" in line and "zeppelin" in line
    assert not Path("there").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--steps", "9"), "0 to 3"),
        (("--steps", "2:9"), "0 to 3"),
        (("--steps", "3:1"), "empty"),
        (("--steps", "soon"), "0:10"),
        (("--sites", "cross:side.*"), "cross:mid"),
        (("--heads", "99"), "0 to "),
        (("--size", "0"), "0"),
        (("--size", "huge"), "finest"),
        (("--alpha", "7"), "between 0"),
        (("--colormap", "jet"), "viridis"),
        (("--out", "picture.jpg"), ".png"),
        (("--scale", "wide"), "0:0.2"),
        (("--scale", "2:1"), "smaller"),
        (("--weights", "7x7=1"), "16x16"),
        (("--preset", "daam", "--size", "image"), "leave them out"),
        (("--phrase", "red circle"), "--concept"),
        (("--concept", "dog"), "--phrase"),
        (("--selection", "word=circle"), "--selection"),
    ],
)
def test_bad_options_are_refused_with_what_would_be_right(
    cli: CommandLine, run: Path, options: tuple[str, ...], said: str
) -> None:
    assert said in cli.refuses("heatmap", run, "--word", "circle", *options)


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ("word=", "word"),
        ("steps=0:2", "--word"),
        ("colour=red", "colour"),
        ("word=circle region=pixel:1,1", "region"),
    ],
)
def test_bad_selections_are_refused(cli: CommandLine, run: Path, selection: str, said: str) -> None:
    assert said in cli.refuses("heatmap", run, "--selection", selection)


def test_no_word_at_all_is_refused_with_the_words_there_are(cli: CommandLine, run: Path) -> None:
    assert "zeppelin" in cli.refuses("heatmap", run)


@pytest.mark.parametrize("command", ["info", "heatmap", "steps"])
def test_a_missing_run_folder_is_refused(cli: CommandLine, command: str) -> None:
    options = () if command == "info" else ("--word", "circle")
    more = ("--out", "there") if command == "steps" else ()
    assert "runs/nowhere" in cli.refuses(command, "runs/nowhere", *options, *more)
    assert not Path("there").exists()


def test_a_folder_that_is_no_run_is_refused(cli: CommandLine, tmp_path: Path) -> None:
    assert str(tmp_path) in cli.refuses("info", tmp_path)


def test_an_output_that_cannot_be_written_is_refused(cli: CommandLine, run: Path) -> None:
    Path("file").write_text("in the way")
    assert "file" in cli.refuses("heatmap", run, "--word", "circle", "--out", "file/a.png")
    assert "file" in cli.refuses("steps", run, "--word", "circle", "--out", "file")


def test_what_the_level_did_not_keep_is_refused_with_the_level_that_would(
    cli: CommandLine, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "small", steps=2, level="maps")
    assert cli("heatmap", run, "--word", "circle").status == 0
    assert "cross" in cli.refuses("heatmap", run, "--word", "circle", "--heads", "1")


def test_a_damaged_recording_fails_with_one_line_and_status_1(cli: CommandLine, tmp_path: Path) -> None:
    run = make_run(tmp_path / "damaged", steps=2)
    (run / "manifest.json").write_text("{")
    outcome = cli("info", run)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1


def test_json_is_valid_where_a_number_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    from diffuscope.cli.console import print_json

    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": (2, "é")}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": {"d": [2, "é"]}}


def test_text_of_a_prompt_is_never_markup(cli: CommandLine, tmp_path: Path) -> None:
    run = make_run(tmp_path / "marked", prompt="a [bold]circle[/red]", steps=2)
    assert "a [bold]circle[/red]" in cli("info", run).out
