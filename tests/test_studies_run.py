"""Studies of a real pipeline with random weights: rows are what recording each picture by itself gives."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image

import diffuscope as ds
from diffuscope import edits as ds_edits
from diffuscope import studies
from diffuscope.errors import InputError, ModelNotFoundError
from diffuscope.studies.execution.on_ray import RayExecutor
from diffuscope.studies.measuring import Chosen, Drawn
from diffuscope.studies.plan import MeasureChoice
from diffuscope.studies.study import Study
from diffuscope.studies.study_worker import StudyWorker
from diffuscope.studies.tables import RUNS, TABLE_VERSION, VALUES
from diffuscope.testing import save_random_pipeline

STEPS = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def given(model: Path) -> dict[str, Any]:
    return {
        "study": "words",
        "question": "Is <b>guidance</b> heard?",
        "model": str(model),
        "prompts": {
            "template": "a {colour} {shape}",
            "factors": {"colour": ["red", "blue"], "shape": ["cat", "dog"]},
        },
        "seeds": "3:5",
        "settings": {"steps": STEPS},
        "conditions": {
            "baseline": {},
            "weak": {"settings": {"guidance_scale": 1.5}},
            "swapped": {"prompt": "a {shape} {colour}", "control_of": "weak"},
        },
        "measures": [
            {"name": "mass", "series": True},
            {"name": "emergence_attention", "words": ["{shape}"]},
            {"name": "brightness", "chance": 0.5},
        ],
        "keep": "none",
    }


@pytest.fixture(scope="module")
def study(given: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    out = tmp_path_factory.mktemp("studies")
    outcome = studies.run(given, out, batch=4, reserve=0)
    assert (outcome.committed, outcome.failed) == (24, 0)
    yield studies.open(out / "words")


@pytest.fixture(scope="module")
def lens(model: Path) -> ds.Lens:
    return ds.Lens.load(model)


def test_values_are_those_of_a_recording_of_each_picture(study: Study, lens: ds.Lens, tmp_path: Path) -> None:
    values = study.values().to_pylist()
    for prompt, seed, guidance, condition in (
        ("a red dog", 4, 7.5, "baseline"),
        ("a blue cat", 3, 1.5, "weak"),
        ("a cat red", 3, 7.5, "swapped"),
    ):
        run = lens.record(prompt, seed=seed, steps=STEPS, guidance_scale=guidance, keep="maps", out=tmp_path)
        index = {"a red dog": 1, "a blue cat": 2, "a cat red": 0}[prompt]
        rows = [
            row
            for row in values
            if (row["prompt_index"], row["seed"], row["condition"], row["measure"])
            == (index, seed, condition, "mass")
        ]
        assert {row["target"] for row in rows} == {"{colour}", "{shape}"}
        for target in ("{colour}", "{shape}"):
            there = {row["step"]: row["value"] for row in rows if row["target"] == target}
            word = next(row["word"] for row in rows if row["target"] == target)
            # Drawn alone here and with others there: the last bits differ.
            expected = [heatmap.mean for heatmap in run.word(word).steps()]
            assert [there[step] for step in range(STEPS)] == pytest.approx(expected, rel=2e-3)
            assert there[None] == pytest.approx(np.mean(expected), rel=2e-3)


def test_the_picture_is_the_one_that_is_drawn_without_a_study(
    study: Study, lens: ds.Lens, tmp_path: Path
) -> None:
    run = lens.record("a red cat", seed=3, steps=STEPS, keep="maps", out=tmp_path)
    row = next(
        row
        for row in study.runs().to_pylist()
        if (row["prompt"], row["seed"], row["condition"]) == ("a red cat", 3, "baseline")
    )
    drawn = run.image.convert("RGB")
    assert (row["width"], row["height"]) == drawn.size
    # WebP keeps brightness well, and of noise no colours.
    small, large = (
        np.asarray(each.convert("L"), float).ravel()
        for each in (Image.open(io.BytesIO(row["thumbnail"])), drawn)
    )
    assert np.corrcoef(small, large)[0, 1] > 0.9


def test_a_step_that_never_came_is_censored(study: Study) -> None:
    rows = [
        row
        for row in study.values().to_pylist()
        if row["measure"] == "emergence_attention" and row["component"] == ""
    ]
    assert len(rows) == 24
    for row in rows:
        assert row["censored"] == (row["value"] is None) and row["seen_to"] == STEPS - 1


def test_what_is_committed_is_not_drawn_again(study: Study, given: dict[str, Any]) -> None:
    outcome = studies.run(given, study.folder.parent, reserve=0)
    assert (outcome.committed, outcome.workers) == (0, 0) and outcome.seconds < 60
    assert not (study.folder / "work").exists()


def test_the_parts_are_read_by_polars_pandas_and_duckdb(study: Study) -> None:
    polars = pytest.importorskip("polars")
    pandas = pytest.importorskip("pandas")
    duckdb = pytest.importorskip("duckdb")
    runs, values = (str(study.folder / "tables" / name / "*.parquet") for name in ("runs", "values"))
    assert polars.read_parquet(runs).filter(polars.col("status") == "ok").height == 24
    assert len(pandas.read_parquet(study.folder / "tables" / "values")) == study.values().num_rows
    mean = duckdb.sql(
        f"select avg(value) from '{values}' v join '{runs}' r using (unit) "
        "where measure = 'brightness' and r.condition = 'weak'"
    ).fetchall()[0][0]
    own = [
        row["value"]
        for row in study.values().to_pylist()
        if (row["measure"], row["condition"]) == ("brightness", "weak")
    ]
    assert mean == pytest.approx(np.mean(own)) and len(own) == 8


def test_a_part_explains_itself(study: Study) -> None:
    import pyarrow.parquet as parquet

    for name, columns in (("runs", RUNS), ("values", VALUES)):
        shape = parquet.read_schema(next((study.folder / "tables" / name).glob("*.parquet")))
        assert shape.names == list(columns)
        assert shape.metadata[b"diffuscope.version"] == str(TABLE_VERSION).encode()
        assert all(
            shape.field(column).metadata[b"meaning"].decode() == told for column, (_, told) in columns.items()
        )


def test_the_page_documents_every_column() -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "studies.md").read_text(encoding="utf-8")
    for columns in (RUNS, VALUES):
        for column, (kind, _) in columns.items():
            assert f"| `{column}` | {kind} |" in text, column


@pytest.mark.parametrize("keep", ["maps", "cross", "qk"])
def test_what_is_kept_opens_as_a_run_of_that_level(keep: str, model: Path, tmp_path: Path) -> None:
    worker = StudyWorker(
        folder=str(tmp_path),
        model={"id": str(model)},
        measures=[{"name": "mass", "words": ["cat"]}],
        keep=keep,
    )
    rows = worker.work([job("1" * 64, 5), job("2" * 64, 6)])
    for row, seed in zip(rows, (5, 6), strict=True):
        run = ds.open(tmp_path / row["run"])
        assert (run.manifest.keep.level, run.manifest.sampling.seed, run.complete) == (keep, seed, True)
        assert row["kept_bytes"] == sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
        assert row["values"][0]["value"] == pytest.approx(
            float(np.mean([each.mean for each in run.word("cat").steps()]))
        )
    assert not (tmp_path / "work" / "left").exists() and not list((tmp_path / "work").glob("*"))


def test_more_is_recorded_for_a_measure_than_is_kept(model: Path, tmp_path: Path) -> None:
    worker = StudyWorker(
        folder=str(tmp_path), model={"id": str(model)}, measures=[{"name": "received_contrast"}], keep="maps"
    )
    (row,) = worker.work([job("3" * 64, 5)])
    assert row["status"] == "ok", row
    assert ds.open(tmp_path / row["run"]).manifest.keep.level == "maps"
    assert {value["component"] for value in row["values"]} == {"rho", "chance", "p"}


def test_edits_are_those_of_the_lens(model: Path, lens: ds.Lens, tmp_path: Path) -> None:
    edits = [{"edit": "silence", "word": "cat"}]
    worker = StudyWorker(
        folder=str(tmp_path),
        model={"id": str(model)},
        measures=[{"name": "mass", "words": ["cat"]}],
        keep="maps",
    )
    plain, (silenced,) = worker.work([job("8" * 64, 5)]), worker.work([{**job("9" * 64, 5), "edits": edits}])
    run = lens.record("a red cat", seed=5, steps=2, keep="maps", out=tmp_path / "runs alone", previews=False)
    alone = lens.edit(run, *ds_edits.from_json(edits), out=tmp_path / "runs alone")
    assert silenced["status"] == "ok", silenced
    assert np.array_equal(np.asarray(ds.open(tmp_path / silenced["run"]).image), np.asarray(alone.image))
    assert plain[0]["picture_sha256"] != silenced["picture_sha256"]
    assert ds.open(tmp_path / silenced["run"]).manifest.edits == list(alone.manifest.edits)


def test_measures_of_the_picture_alone_record_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = StudyWorker(folder=str(tmp_path), model={"id": str(model)}, measures=[{"name": "brightness"}])
    monkeypatch.setattr("diffuscope.engine.many.record_many", None)
    (row,) = worker.work([job("4" * 64, 5)])
    assert row["status"] == "ok" and row["run"] is None and row["kept_bytes"] == 0
    assert not list(tmp_path.iterdir()) or not any(tmp_path.rglob("manifest.json"))


def test_one_picture_that_cannot_be_measured_leaves_its_neighbours_alone(model: Path, tmp_path: Path) -> None:
    worker = StudyWorker(
        folder=str(tmp_path), model={"id": str(model)}, measures=[{"name": "mass", "words": "{shape}"}]
    )
    jobs = [job("5" * 64, 1), {**job("6" * 64, 2), "factors": {"shape": "unicorn"}}]
    first, second = worker.work(jobs)
    assert (first["status"], second["status"], second["error_kind"]) == ("ok", "error", "unknown-word")
    assert second["final"] and "unicorn" in second["error"]


def test_settings_that_the_pipeline_does_not_take_are_an_error_row(model: Path, tmp_path: Path) -> None:
    worker = StudyWorker(folder=str(tmp_path), model={"id": str(model)}, measures=[{"name": "brightness"}])
    (row,) = worker.work([{**job("7" * 64, 1), "settings": {"steps": 2, "options": {"clip_skipp": 1}}}])
    assert row["status"] == "error" and "clip_skip" in row["error"]


def test_a_model_that_is_not_there_is_the_same_line_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'giraffe'"):
        studies.run(
            {"study": "s", "model": "giraffe", "prompts": ["a cat"], "measures": ["brightness"]},
            tmp_path,
            reserve=0,
        )


def test_a_measure_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_measures.py").write_text(
        "from diffuscope.studies import Quantity, Value, register\n"
        "register(Quantity('own_width', 'width', 'pixels', 'Of the picture.', 'this test', 'picture',\n"
        "    lambda drawn, word, steps: [Value(float(drawn.image.width))]))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    chosen = Chosen.of([MeasureChoice(name="own_width")], ["own_measures"])
    (row,) = chosen.measure(Drawn(Image.new("RGB", (7, 5)), "a cat"), {})
    assert (row["measure"], row["value"]) == ("own_width", 7.0)
    with pytest.raises(InputError, match="'no_such_module' of measures cannot be imported"):
        Chosen.of([MeasureChoice(name="own_width")], ["no_such_module"])


def test_on_a_ray_cluster_the_rows_are_the_same(given: dict[str, Any], study: Study, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install diffuscope[ray]")
    small = {**given, "seeds": [3], "conditions": {"baseline": {}}}
    outcome = studies.run(small, tmp_path, executor=RayExecutor("local", 1), batch=2, reserve=0)
    assert (outcome.committed, outcome.failed) == (4, 0)
    here = {row["unit"]: row for row in study.runs().to_pylist()}
    for row in studies.open(tmp_path / "words").runs().to_pylist():
        assert here[row["unit"]]["prompt"] == row["prompt"]


# The command line.


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys)


def test_status_and_rows(cli: CommandLine, study: Study) -> None:
    facts = cli("study", "status", study.folder, "--json").json
    assert (facts["total"], facts["done"], facts["pending"], facts["by_condition"]["weak"]) == (
        24,
        24,
        0,
        [8, 0, 8],
    )
    assert facts["sessions"][0]["executor"] == "local"
    assert "24 of 24" in cli("study", "status", study.folder).out
    rows = cli("study", "rows", study.folder, "--values", "--first", 2, "--json").json
    assert len(rows["rows"]) == 2 and rows["of"] == study.values().num_rows
    assert "a red cat" in cli("study", "rows", study.folder).out
    assert cli("study", "rows", study.folder, "--out", "runs.csv", "--json").json["rows"] == 24
    assert Path("runs.csv").read_text().count("\n") == 25
    assert cli("study", "rows", study.folder, "--values", "--out", "values.parquet").status == 0
    assert ".parquet or .csv" in cli.refuses("study", "rows", study.folder, "--out", "rows.xlsx")
    assert "there is no study" in cli.refuses("study", "status", "elsewhere")


def test_a_plan_is_checked_without_a_model(cli: CommandLine) -> None:
    Path("plan.yaml").write_text("study: s\nprompts: [a cat]\nseeds: 0:5\nmeasures: [brightness]\n")
    assert cli("study", "run", "plan.yaml", "--dry-run", "--json").json["runs"] == 5
    Path("plan.yaml").write_text("study: s\nprompts: [a cat]\nmeasures: [brigtness]\n")
    assert "there are: brightness" in cli.refuses("study", "run", "plan.yaml")


def test_an_unreachable_cluster_is_one_line(cli: CommandLine) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install diffuscope[ray]")
    Path("plan.yaml").write_text("study: s\nprompts: [a cat]\nmeasures: [brightness]\n")
    line = cli.refuses("study", "run", "plan.yaml", "--ray", "127.0.0.1:1", "--reserve", "0")
    assert "no Ray cluster answers at '127.0.0.1:1'" in line


def test_measures_are_listed_with_their_meaning(cli: CommandLine) -> None:
    listed = {each["name"]: each for each in cli("study", "measures", "--json").json["measures"]}
    assert {"mass", "focus", "emergence_attention", "brightness", "judge_all"} <= set(listed)
    assert all(each["definition"] and each["unit"] and each["source"] for each in listed.values())


def job(key: str, seed: int) -> dict[str, Any]:
    return {
        "key": key,
        "prompt": "a red cat",
        "factors": {"shape": "cat"},
        "seed": seed,
        "settings": {"steps": 2},
        "edits": [],
    }
