"""The commands that run a model: record and demo, on a tiny pipeline with random weights."""

from pathlib import Path

import pytest
from command_line import CommandLine
from PIL import Image, ImageChops

import diffuscope as ds
from diffuscope.cli import demo
from diffuscope.engine.models import loading
from diffuscope.testing import random_pipeline

FAST = ("--steps", "2", "--no-previews")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with random weights as a folder in diffusers layout."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    random_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys)


def test_record_writes_a_run_that_the_other_commands_read(cli: CommandLine, model: Path) -> None:
    outcome = cli("record", "a red cat", "--model", model, "--seed", "3", *FAST, "--json")
    assert outcome.status == 0
    (facts,) = outcome.json["runs"]
    assert Path(facts["path"]).parent == Path("runs")
    assert (facts["complete"], facts["steps"], facts["words"]) == (True, 2, ["a", "red", "cat"])
    assert cli("info", facts["path"], "--json").json["sampling"]["seed"] == 3
    assert cli("heatmap", facts["path"], "--word", "cat", "--json").status == 0


def test_record_says_where_it_is_and_what_to_try(cli: CommandLine, model: Path) -> None:
    outcome = cli("record", "a red cat", "--model", model, *FAST, "--keep", "maps", "--out", "some where")
    assert outcome.status == 0
    (folder,) = Path("some where").iterdir()
    assert str(folder) in outcome.out and "maps" in outcome.out
    assert f"diffuscope heatmap '{folder}' --word red" in outcome.out


def test_one_run_folder_for_each_picture(cli: CommandLine, model: Path) -> None:
    runs = cli("record", "a cat", "--model", model, *FAST, "--images", "2", "--json").json["runs"]
    pictures = [Image.open(run["image"]).convert("RGB") for run in runs]
    assert len(pictures) == 2 and ImageChops.difference(*pictures).getbbox() is not None


def test_the_options_reach_the_recording(cli: CommandLine, model: Path) -> None:
    options = (
        "--guidance",
        "2.5",
        "--negative",
        "red",
        "--keep",
        "cross",
        "--sites",
        "cross:*",
        "--width",
        "64",
        "--set",
        "guidance_rescale=0.25",
    )
    (facts,) = cli("record", "a cat", "--model", model, *FAST, *options, "--json").json["runs"]
    manifest = ds.open(facts["path"]).manifest
    sampling, keep = manifest.sampling, manifest.keep
    assert (sampling.guidance_scale, sampling.negative_prompt, sampling.width) == (2.5, "red", 64)
    assert sampling.options["guidance_rescale"] == 0.25
    assert keep.level == "cross" and all(site.startswith("cross:") for site in keep.sites)


def test_a_prompt_that_does_not_fit_is_recorded_with_a_warning(cli: CommandLine, model: Path) -> None:
    outcome = cli("record", " ".join(["cat"] * 100), "--model", model, *FAST, "--json")
    assert outcome.status == 0 and outcome.json["runs"][0]["cut"]
    assert "\nwarning: " in outcome.err and "cut" in outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("",), "empty"),
        (("a cat", "--width", "33"), "width"),
        (("a cat", "--steps", "0"), "steps"),
        (("a cat", "--sites", "side:*"), "cross:"),
        (("a cat", "--out", "file"), "file"),
        (("a cat", "--device", "abacus"), "abacus"),
        (("a cat", "--set", "clip_skip"), "NAME=VALUE"),
        (("a cat", "--set", "seed=3"), "option of its own"),
        (("a cat", "--set", "clip_skp=1"), "clip_skip"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_left(
    cli: CommandLine, model: Path, options: tuple[str, ...], said: str
) -> None:
    Path("file").write_text("in the way")
    assert said in cli.refuses("record", *options, "--model", model)
    assert not list(Path("runs").glob("*/manifest.json"))


def test_an_unknown_model_is_refused(cli: CommandLine) -> None:
    assert "scenes" in cli.refuses("record", "a cat", "--model", "no-such-model")


def test_what_was_recorded_before_an_interruption_is_kept(
    cli: CommandLine, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("diffuscope.engine.drawing.RunWriter.finish", interrupt)
    outcome = cli("record", "a cat", "--model", model, *FAST)
    (folder,) = Path("runs").iterdir()
    assert outcome.status == 130 and str(folder) in outcome.err
    facts = cli("info", folder, "--json").json
    assert (facts["complete"], facts["steps"]) == (False, 2)


def test_demo_writes_a_report_and_says_what_to_try_next(
    cli: CommandLine, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "shipped_folder", lambda: model)
    monkeypatch.setattr(demo, "PROMPT", "a cat")
    outcome = cli("demo", "--seed", "5")
    assert outcome.status == 0
    (folder,) = Path("runs").iterdir()
    assert str(folder / "report.html") in outcome.out
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    assert outcome.out.count("\n  diffuscope ") == 3
    facts = cli("demo", "--json").json
    assert Path(facts["report"]).is_file() and facts["seed"] == demo.SEED


def test_the_model_is_opened_as_asked(cli: CommandLine, model: Path) -> None:
    (facts,) = cli("record", "a cat", "--model", model, *FAST, "--dtype", "bfloat16", "--json").json["runs"]
    assert ds.open(facts["path"]).manifest.model.dtype == "bfloat16"
    assert "revision" in cli.refuses("record", "a cat", "--model", model, "--revision", "main")
    assert "hf download" in cli.refuses("record", "a cat", "--model", "no/such", "--offline")
