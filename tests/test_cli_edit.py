"""The commands edit, sweep and compare, on a tiny pipeline with random weights; and edited runs drawn again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine

import diffuscope as ds
from diffuscope.analysis.sweeps import read_sweep
from diffuscope.edits import Custom, Reweight, Scale, Silence, control, from_json, save
from diffuscope.engine.rerun import rerun
from diffuscope.errors import InputError, RunNotFoundError
from diffuscope.run import Run
from diffuscope.testing import random_pipeline

PROMPT = "a red cat by a tree"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with random weights as a folder in diffusers layout."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    random_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def lens(model: Path) -> ds.Lens:
    return ds.Lens.load(model, device="cpu")


@pytest.fixture(scope="module")
def run(lens: ds.Lens, tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = lens.record(
        PROMPT, seed=3, steps=3, width=32, height=16, previews=False, out=tmp_path_factory.mktemp("runs")
    )
    assert isinstance(made, Run)
    return made


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lens: ds.Lens
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    # The model is opened once for all of these tests.
    monkeypatch.setattr("diffuscope.engine.models.reopening.load", lambda *_, **__: lens.loaded)
    return CommandLine(capsys)


def test_edit_draws_and_records(cli: CommandLine, run: Run) -> None:
    told = cli("edit", run.path, "--silence", "cat", "--scale", "0.5", "--steps", "1:3", "--json")
    assert told.status == 0, told.err
    made = ds.open(told.json["path"])
    assert told.json["parent"] == made.manifest.parent == run.id
    assert from_json(told.json["edits"]) == [Scale(0.5, steps="1:3"), Silence("cat", steps="1:3")]
    assert Path(told.json["path"]).parent == Path("runs")
    shown = cli("edit", run.path, "--encode", "a dog", "--patches", "box:0,0,15,15", "--heads", "0")
    assert shown.status == 0 and "compare" in shown.out and "encodes 'a dog'" in shown.out


def test_edits_of_a_file_come_first_and_controls_take_their_place(cli: CommandLine, run: Run) -> None:
    save("edits.json", [Reweight("cat", 2.0, steps="2")])
    told = cli(
        "edit", run.path, "--edit", "edits.json", "--scale", "0", "--steps", "2", "--control", "--json"
    )
    assert from_json(told.json["edits"]) == [
        control(Reweight("cat", 2.0, steps="2")),
        control(Scale(0, steps="2")),
    ]


def test_the_word_is_found(cli: CommandLine, run: Run) -> None:
    told = cli("edit", run.path, "--steer", "blue", "--word", "auto", "--steps", "2", "--json")
    (edit,) = from_json(told.json["edits"])
    assert (edit.word, edit.toward) == ("cat", "blue cat")
    assert "takes the place of 'red'" in told.err


def test_suggest_draws_nothing(cli: CommandLine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "diffuscope.engine.models.reopening.load", lambda *_, **__: pytest.fail("a model was opened")
    )
    found = cli("edit", run.path, "--suggest", "--json").json["targets"]
    assert {"cat", "tree", None} == {each["word"] for each in found}
    where = cli("edit", run.path, "--suggest", "--steer", "blue", "--json").json["targets"]
    assert [each["word"] for each in where] == ["cat", "tree"]
    assert "blue cat" in cli("edit", run.path, "--suggest", "--steer", "blue").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no edit"),
        (("--steps", "0:2"), "--steps aim"),
        (("--word", "cat"), "--word is for --steer"),
        (("--silence", "zebra"), "no word 'zebra'"),
        (("--silence", "cat", "--steps", "7"), "7"),
        (("--silence", "cat", "--sites", "self:mid"), "cross-attention"),
        (("--scale", "0", "--heads", "40"), "head"),
        (("--scale", "0", "--patches", "box:40,0,50,9"), "box"),
        (("--edit", "nowhere.json"), "nowhere.json"),
        (("--steer", "red cat", "--word", "cat", "--steps", "x"), "steps"),
    ],
)
def test_bad_edits_are_refused_in_one_line(
    cli: CommandLine, run: Run, arguments: tuple[str, ...], said: str
) -> None:
    assert said in cli.refuses("edit", run.path, *arguments)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_files_that_hold_no_edits_are_refused(cli: CommandLine, run: Run) -> None:
    for content, said in (
        ("{", "no JSON"),
        ('{"edit": "scail", "factor": 0}', "scale"),
        ('[[{"edit": "scale", "factor": 0}]]', "variations for a sweep"),
    ):
        Path("edits.json").write_text(content)
        assert said in cli.refuses("edit", run.path, "--edit", "edits.json")
    assert "nowhere" in cli.refuses("edit", "nowhere", "--silence", "cat")


def test_sweep_draws_each_once(cli: CommandLine, run: Run) -> None:
    arguments = ("sweep", run.path, "--scale", "0", "--each", "head", "--sites", "cross:mid", "--steps", "2")
    told = cli(*arguments, "--json")
    assert told.status == 0, told.err
    found = told.json["variations"]
    heads = run.recording.site("cross:mid").heads
    assert [from_json(each["edits"]) for each in found] == [
        [Scale(0, steps="2", sites="cross:mid", heads=str(head))] for head in range(heads)
    ]
    assert all(each["made"] and Path(each["image"]).is_file() for each in found)
    assert len(read_sweep(told.json["folder"])) == heads and told.json["folder"] == f"sweeps/{run.id}"
    again = cli(*arguments)
    assert "0 of them drawn now" in again.out and "takes heads' output out" in again.out


def test_variations_of_a_file(cli: CommandLine, run: Run) -> None:
    items: list[Any] = [Scale(0, steps="2").to_json(), [Silence("cat", steps="2").to_json()], []]
    Path("many.json").write_text(json.dumps(items))
    told = cli("sweep", run.path, "--edit", "many.json", "--out", "here", "--batch", "3", "--json").json
    assert [len(each["edits"]) for each in told["variations"]] == [1, 1, 0]
    assert told["variations"][2]["change"]["mean"] == 0
    each = cli("sweep", run.path, "--silence", "cat", "--each", "step", "--out", "steps", "--json").json
    assert [from_json(one["edits"])[0].steps for one in each["variations"]] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no variation"),
        (("--scale", "0"), "--each head"),
        (("--each", "head"), "aim --scale"),
        (("--scale", "0", "--each", "hat"), "head, site, step"),
        (("--scale", "0", "--each", "head", "--sites", "cross:nowhere"), "nowhere"),
        (("--silence", "cat", "--each", "site", "--sites", "self:*"), "no site"),
        (("--silence", "zebra", "--each", "step"), "zebra"),
        (("--scale", "0", "--each", "step", "--batch", "1"), "2 or more"),
        (("--scale", "0", "--each", "step", "--keep", "some"), "none, maps"),
    ],
)
def test_bad_sweeps_are_refused_in_one_line(
    cli: CommandLine, run: Run, arguments: tuple[str, ...], said: str
) -> None:
    assert said in cli.refuses("sweep", run.path, *arguments)


def test_compare_shows_the_control_beside_and_writes_a_page(
    cli: CommandLine, run: Run, lens: ds.Lens
) -> None:
    edit = Silence("cat", steps="1:3")
    edited, beside = (lens.edit(run, each, out="runs").path for each in (edit, control(edit)))
    told = cli("compare", run.path, edited, "--control", beside, "--html", "a page.html", "--json").json
    assert told["window"] == [1, 2] and told["control"]["other"] == beside.name
    assert told["perceptual"]["name"].startswith("FLIP") and told["perceptual"]["value"] > 0
    assert {each["word"] for each in told["times"]} >= {"red", "cat", "tree", "<start>"}
    assert "</html>" in Path(told["html"]).read_text(encoding="utf-8")
    shown = cli("compare", run.path, edited, "--control", beside)
    assert shown.status == 0 and shown.out.count("control") >= 6 and "SF-IoU" in shown.out


def test_compare_refuses_what_is_no_pair_and_the_page_says_why(
    cli: CommandLine, run: Run, lens: ds.Lens
) -> None:
    other = lens.record(PROMPT, seed=4, steps=3, width=32, height=16, previews=False, out="runs")
    assert "seed (3 and 4)" in cli.refuses("compare", run.path, other.path)
    outcome = cli("compare", run.path, other.path, "--html", "why.html")
    assert (outcome.status, outcome.out) == (2, "")
    assert "seed" in outcome.err and "no pair" in Path("why.html").read_text(encoding="utf-8")
    assert "nowhere" in cli.refuses("compare", run.path, "nowhere")
    assert "seed (3 and 4)" in cli.refuses("compare", run.path, run.path, "--control", other.path)


# Edited runs, drawn again from their manifests alone.


def test_an_edited_run_is_drawn_again(run: Run, lens: ds.Lens, cli: CommandLine, tmp_path: Path) -> None:
    first = lens.edit(run, Scale(0.0, steps="1", heads="0"), out=tmp_path)
    both = lens.edit(first, control(Silence("cat", steps="2")), out=tmp_path)
    for each in (first, both):
        found = rerun(each.recording, lens)
        assert found.identical, found.difference
    again = cli("verify", both.path, "--rerun", "--json")
    assert again.status == 0 and again.json["rerun"]["verdict"] == "identical"


def test_a_variation_is_drawn_again(run: Run, lens: ds.Lens, tmp_path: Path) -> None:
    edit = control(Silence("cat", steps="1:3"))
    (made,) = lens.sweep(run, [edit], keep="cross", out=tmp_path / "sweep")
    assert made.run is not None and made.baseline is not None
    # Its first step was taken over from a run that was drawn alone, whose rows round differently.
    for path in (made.run, made.baseline):
        assert rerun(path, lens).verdict == "within tolerance"
    alone = lens.edit(run, edit, out=tmp_path)
    assert np.abs(np.asarray(alone.image, int) - np.asarray(made.image, int)).max() <= 1


def test_what_cannot_be_drawn_again_is_told(run: Run, lens: ds.Lens, tmp_path: Path) -> None:
    custom = lens.edit(run, Custom(lambda q, k, v, out, context: 0 * out, steps="2"), out=tmp_path)
    with pytest.raises(InputError, match="a function, which no file holds"):
        rerun(custom.recording, lens)
    from diffuscope.edits import Patch
    from diffuscope.engine.apply import Donor

    donor = Donor("somewhere", 3)
    with pytest.raises(InputError, match="donor somewhere"):
        lens.edit(run, Patch("somewhere", steps="2"), donors={"somewhere": donor}, out=tmp_path)
    with pytest.raises(RunNotFoundError):
        lens.edit(run, Patch("nowhere", steps="2"), out=tmp_path)
