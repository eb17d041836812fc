"""What a report holds, before a browser shows it."""

import json
import re

import numpy as np
import pytest
from synthetic_run import PROMPT, make_run

from diffuscope.errors import InputError, RunFolderError
from diffuscope.figures.report import report_data, write_report
from diffuscope.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run.open(make_run(tmp_path_factory.mktemp("runs") / "run", steps=25))


@pytest.fixture(scope="module")
def data(run):
    return report_data(run)


def test_a_run_of_25_steps_stays_small(run, tmp_path):
    path = write_report(run, tmp_path / "new folder" / "report.html")
    assert path == tmp_path / "new folder" / "report.html"
    assert path.stat().st_size < 1_500_000
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_report_says_nothing_about_the_machine_it_was_written_on(run, tmp_path):
    text = write_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    assert str(run.path.parent) not in text and str(tmp_path) not in text


def test_words_stand_in_the_prompts_order_between_start_and_end(run, data):
    assert [word["label"] for word in data["words"]] == [
        "<start>",
        *(word.label for word in run.words),
        "<end>",
    ]
    assert [word["kind"] for word in data["words"]][0::12] == ["start", "end"]
    shown = [piece["text"] for piece in data["prompt"]][1:-1]
    assert "".join(shown) == PROMPT.replace(" ", "")
    split = next(word for word in data["words"] if word["label"] == "zeppelin")
    assert split["note"] == "2 tokens, summed: zep · pelin"


def test_it_opens_on_the_first_word_that_names_something(data):
    assert data["words"][data["first"]]["label"] == "red"


def test_masses_are_the_runs_own(run, data):
    for word in data["words"]:
        series = run.word(word["label"]).steps()
        np.testing.assert_allclose(word["mass"][1:], series.mass, rtol=1e-5)
        assert word["mass"][0] == pytest.approx(run.word(word["label"]).map().mean, rel=1e-5)


def test_the_definition_says_unit_branch_and_how_maps_were_averaged(data):
    said = " ".join(data["definition"])
    for part in ("softmax probability", "Mean over all heads", "Conditional branch", "All steps", "float16"):
        assert part in said
    assert data["unit"] == "attention probability"


def test_facts_name_what_a_reader_needs_to_make_it_again(data):
    facts = dict(data["facts"])
    wanted = {
        "model": "synthetic",
        "seed": "7",
        "scheduler": "DDIMScheduler",
        "steps": "25",
        "guidance scale": "7.5",
    }
    assert {name: facts[name] for name in wanted} == wanted
    assert "cross" in facts["kept"] and "diffuscope" in facts["software"]


def test_the_data_is_plain_json(data):
    json.loads(json.dumps(data, allow_nan=False))


def test_no_map_leaves_without_its_picture_and_its_colours(data):
    assert data["picture"]["source"].startswith("data:image/png;base64,")
    assert len(data["previews"]) == 25 and all(re.match("data:image/", each) for each in data["previews"])
    assert next(iter(data["colours"])) == "magma" and "viridis" in data["colours"]


def test_an_interrupted_run_is_reported_up_to_its_last_whole_step(tmp_path):
    data = report_data(Run.open(make_run(tmp_path / "run", steps=9, stop_after=3)))
    assert len(data["steps"]) == 3 and data["maps"]["shape"][1] == 4
    assert "3 of 9 steps" in data["notices"][0] and "stopped by a test" in data["notices"][0]


def test_a_run_that_was_stopped_before_its_first_step_has_no_report(tmp_path):
    run = Run.open(make_run(tmp_path / "run", steps=9, stop_after=0))
    with pytest.raises(InputError, match="first step"):
        write_report(run, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_path_that_cannot_be_written_is_one_clear_error_and_leaves_nothing(run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFolderError, match="Cannot write the report"):
        write_report(run, tmp_path / "file" / "report.html")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(RunFolderError):
        write_report(run, tmp_path / "report.html")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "report.html"]
