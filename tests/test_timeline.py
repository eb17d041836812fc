"""Timelines of a recording: the same numbers as its maps give, in arrays, tables and files, on the command line too."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image
from synthetic_run import make_run, tensors

import diffuscope as ds
from diffuscope.analysis.measures import measures
from diffuscope.analysis.timeline import Timeline, events
from diffuscope.errors import NotKeptError, SelectionError

STEPS = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "example", steps=STEPS, level="qk", self_sites=True)


@pytest.fixture(scope="module")
def run(folder: Path) -> ds.Run:
    return ds.open(folder)


def test_curves_are_those_of_the_words_own_maps(run: ds.Run) -> None:
    word, timeline = run.word("zeppelin"), run.word("zeppelin").timeline()
    np.testing.assert_array_equal(timeline.mass, word.mass())
    np.testing.assert_allclose(timeline.share, word.share(), rtol=1e-6)
    assert timeline.steps == tuple(range(STEPS))
    assert timeline.timesteps.tolist() == [step.timestep for step in run.steps]
    assert timeline.log_snr.tolist() == [step.log_snr for step in run.steps]
    for at, heatmap in enumerate(word.steps()):
        y, x = heatmap.on(heatmap.centroid, (128, 128))
        np.testing.assert_allclose(timeline.centroid[at], (y, x), rtol=1e-6)


def test_every_declared_measure_of_words_is_an_attribute(run: ds.Run) -> None:
    timeline = run.word("circle").timeline()
    for each in measures("word"):
        value = getattr(timeline, each.name)
        assert value is timeline[each.name]
        if each.axes:
            assert value.shape[0] == STEPS and value.ndim == len(each.axes)
            assert not each.components or value.shape[-1] == len(each.components)
            assert not value.flags.writeable
    assert {name for name in vars(Timeline) if name in {each.name for each in measures("run")}} == set()


def test_limits_are_those_of_the_maps(run: ds.Run) -> None:
    timeline = run.word("circle").timeline("2:", "cross:mid", "3,5")
    np.testing.assert_array_equal(timeline.mass, run.word("circle").mass("2:", "cross:mid", "3,5"))
    assert timeline.steps == tuple(range(2, STEPS))
    assert timeline.peak.at.step in timeline.steps
    assert timeline.peak.at.timestep == run.steps[timeline.peak.at.step].timestep


def test_parts_are_the_maps_of_each_site_grid_and_head(run: ds.Run) -> None:
    timeline = run.word("circle").timeline()
    sites, grids, heads = (timeline.by(part) for part in ("site", "grid", "head"))  # type: ignore[arg-type]
    assert list(sites) == ["cross:down.0.0", "cross:mid", "cross:up.0.0"]
    assert list(grids) == ["16x16", "8x8"]
    assert len(heads) == 3 + 8 + 3
    token = run.word("circle").tokens[0]
    words = sorted({index for word in run.words for index in word.tokens})
    made = tensors(steps=STEPS, self_sites=True)
    for step in (0, STEPS - 1):
        exact = made.probabilities("cross:mid", step)
        assert sites["cross:mid"].mass[step] == pytest.approx(exact[:, :, token].mean(), rel=1e-5)
        assert heads["cross:mid/5"].mass[step] == pytest.approx(exact[5, :, token].mean(), rel=1e-5)
        share = exact[5, :, token].sum() / exact[5][:, words].sum()
        assert heads["cross:mid/5"].share[step] == pytest.approx(share, rel=1e-5)
        np.testing.assert_allclose(
            timeline.maps[step]["cross:mid"][5].array, exact[5, :, token].reshape(8, 8), rtol=1e-4, atol=1e-7
        )
    assert sites["cross:mid"].stability.shape == (STEPS, 8, 8)
    with pytest.raises(SelectionError, match="there is no head 9 here"):
        timeline.maps[0]["cross:mid"][9]
    with pytest.raises(SelectionError, match="by site, grid and head"):
        timeline.by("layer")  # type: ignore[arg-type]


def test_a_run_has_its_content_words_and_controls_beside_them(run: ds.Run) -> None:
    found = run.timeline()
    assert list(found.words) == ["red", "circle", "blue", "zeppelin", "circle#2"]
    assert list(found.controls) == ["a", "left", "of", "a#2", "and", "a#3", "<start>", "<end>"]
    assert (
        found["a#2"].kind == "function"
        and found["<start>"].kind == "start"
        and found["red"].kind == "content"
    )
    total = sum(found[label].share for label in found if found[label].kind in ("content", "function"))
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert list(run.timeline(["red circle", "of"]).words) == ["red circle", "of"]
    with pytest.raises(SelectionError, match="no timeline of 'dog'"):
        found["dog"]


def test_received_attention_is_the_mean_row_of_self_attention(run: ds.Run) -> None:
    found = run.timeline()
    made = tensors(steps=STEPS, self_sites=True)
    for step in range(STEPS):
        expected = made.probabilities("self:mid", step).mean(axis=(0, 1)).reshape(8, 8)
        np.testing.assert_allclose(found.received[step], expected, rtol=1e-4)
    assert found.received_contrast.shape == (STEPS, 3)
    assert np.all(np.abs(found.received_contrast[:, 0]) <= 1)


def test_received_attention_of_a_run_without_self_attention_says_what_to_record(tmp_path: Path) -> None:
    found = ds.open(make_run(tmp_path / "run", steps=3, level="cross", self_sites=True)).timeline()
    with pytest.raises(NotKeptError, match="keep='qk'"):
        found.received  # noqa: B018
    assert found.run_phases.of["detail"][1].step == 2


def test_a_mask_of_ones_own_is_used_and_named(run: ds.Run) -> None:
    truth = run.word("circle").map(steps=4).array
    mask = np.kron(truth > 0.4 * truth.max(), np.ones((8, 8), bool))
    found = run.timeline(["circle"], masks={"circle": mask})["circle"]
    assert found.emergence_attention.against == "mask"
    assert found.overlap[4] > 0.7
    assert run.word("circle").timeline(mask=mask).emergence_attention == found.emergence_attention
    assert run.word("circle").timeline().emergence_attention.against == "own last mask"
    with pytest.raises(SelectionError, match="at least one pixel"):
        run.word("circle").timeline(mask=np.zeros((4, 4), bool)).overlap  # noqa: B018


def test_a_judge_of_ones_own_sees_each_predicted_picture(run: ds.Run) -> None:
    """The synthetic previews go from grey to the drawn picture: a judge of redness sees the circle grow."""

    def redness(picture: Any, labels: Any) -> list[float]:
        pixels = np.asarray(picture, float)
        score = float((pixels[..., 0] - pixels[..., 2]).max()) / 255
        return [score if label == "circle" else 0.0 if label == "blue" else float("nan") for label in labels]

    found = run.timeline(judge=redness)
    scores = [redness(run.preview(step), ["circle"])[0] for step in range(STEPS)]
    np.testing.assert_allclose(found["circle"].score, scores)
    image = found["circle"].emergence_image
    assert image is not None and image.at is not None and image.against == "redness"
    good = [score >= 0.9 * scores[-1] for score in scores]
    assert image.at.step == next(t for t in range(STEPS) if all(good[t:]))
    never = found["blue"].emergence_image
    assert never is not None and never.censored and never.seen_to.step == STEPS - 1
    assert found["red"].emergence_image is None and np.isnan(found["red"].score).all()
    with pytest.raises(SelectionError, match="one of 0 or more for each"):
        run.timeline(judge=lambda picture, labels: [-1.0])["circle"].score  # noqa: B018
    with pytest.raises(SelectionError, match="'auto', or None"):
        run.timeline(judge="clip")


def test_events_for_the_order_over_runs(run: ds.Run, tmp_path: Path) -> None:
    other = ds.open(make_run(tmp_path / "other", steps=STEPS, seed=4)).timeline()
    found = events([run.timeline(), other], which="emergence_attention", unit="id")
    assert {(row.unit, row.name) for row in found} == {
        (name, label) for name in (run.id, "other") for label in other.words
    }
    row = next(each for each in found if each.unit == "other" and each.name == "circle")
    at = other["circle"].emergence_attention.at
    assert row.censored == (at is None) and row.time == (STEPS - 1 if at is None else at.step)
    grouped = events(
        [other], {"thing": ["circle", "zeppelin", "moon"]}, which="emergence_attention", unit="id"
    )
    assert [each.name for each in grouped] == ["thing"]
    assert events([other], unit="id") == [], "no judge, no event in the picture"
    with pytest.raises(SelectionError, match="two runs"):
        events([other, other])


def test_tables_are_read_by_pandas_and_files_hold_the_same(run: ds.Run, tmp_path: Path) -> None:
    found = run.timeline()
    table = found.table()
    assert len(table["step"]) == STEPS * len(found)
    rows = list(csv.DictReader(found.save(tmp_path / "a.csv").read_text().splitlines()))
    assert [float(row["mass"]) for row in rows] == table["mass"]
    assert rows[0]["score"] == "" and rows[0]["word"] == "red"
    pandas, parquet = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.parquet")
    frame = pandas.DataFrame(table)
    assert frame.query("word == 'circle'")["focus"].tolist() == found["circle"].focus.tolist()
    stored = parquet.read_table(found.save(tmp_path / "a.parquet"))
    assert stored.column("mass").to_pylist() == table["mass"]
    assert b"nats" in stored.schema.metadata[b"entropy"]
    assert pandas.DataFrame(found.summary())["word"].tolist() == list(found)
    with pytest.raises(SelectionError, match=r"\.csv or \.parquet"):
        found.save(tmp_path / "a.xlsx")


def test_arrays_have_named_axes(run: ds.Run) -> None:
    pytest.importorskip("xarray")
    found = run.word("circle").timeline().to_xarray()
    assert found["stability"].dims == ("step", "y", "x")
    assert found["centroid"].sel(centroid_part="x").dims == ("step",)
    assert found["mass"].attrs["units"] == "probability"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


def test_the_command_prints_what_python_gives(
    cli: CommandLine, run: ds.Run, folder: Path, tmp_path: Path
) -> None:
    files = (tmp_path / "a.csv", tmp_path / "a.png")
    facts = cli("timeline", folder, "--word", "circle", "--csv", files[0], "--plot", files[1], "--json").json
    expected = run.timeline(["circle"])["circle"]
    assert facts["words"][0]["curves"]["mass"] == expected.mass.tolist()
    assert facts["words"][0]["moments"]["peak"]["step"] == expected.peak.at.step
    assert facts["files"] == [str(file) for file in files] and files[1].stat().st_size
    assert {each["name"] for each in facts["measures"]} == {each.name for each in measures()}
    shown = cli("timeline", folder).out
    assert str(expected.peak) in shown and "<start>" in shown


def test_the_help_says_what_each_measure_means(cli: CommandLine) -> None:
    said = " ".join(cli("timeline", "--help").out.split())
    for each in measures():
        assert " ".join(each.definition.split()[:6]) in said


def test_the_command_writes_parts_and_refuses_what_is_not_there(
    cli: CommandLine, folder: Path, tmp_path: Path
) -> None:
    assert (
        cli("timeline", folder, "--word", "circle", "--by", "head", "--csv", tmp_path / "h.csv").status == 0
    )
    rows = list(csv.DictReader((tmp_path / "h.csv").read_text().splitlines()))
    assert {row["selection"] for row in rows if "heads=" in row["selection"]} >= {
        "sites=cross:mid heads=5 word=circle"
    }
    assert "no curve" in cli.refuses("timeline", folder, "--plot", tmp_path / "a.png", "--measure", "box")
    assert "no word 'dog'" in cli.refuses("timeline", folder, "--word", "dog")
    assert "--by" in cli.refuses("timeline", folder, "--by", "site")
    plot = ("--by", "site", "--plot", tmp_path / "a.png")
    assert "one word" in cli.refuses("timeline", folder, *plot)
    assert "triptych" in cli.refuses("timeline", folder, "--word", "circle", *plot, "--style", "triptych")
    assert ".csv or .parquet" in cli.refuses("timeline", folder, "--csv", tmp_path / "a.txt")


def test_parts_stand_side_by_side_like_words(run: ds.Run) -> None:
    found = run.timeline(["circle"])
    sites = found.parts("circle", "site")
    assert list(sites.words) == list(found["circle"].by("site")) and not sites.controls
    for name, each in sites.words.items():
        assert each.label == name
        np.testing.assert_array_equal(each.focus, found["circle"].by("site")[name].focus)
    assert set(sites.table()["word"]) == set(sites.words)
    with pytest.raises(SelectionError, match="no timeline of 'dog'"):
        found.parts("dog", "site")


def test_controls_are_made_when_they_are_asked_for(run: ds.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffuscope.analysis.timeline import build

    made: list[str] = []
    whole = build.timeline_of

    def counted(view: Any, *choice: Any, **options: Any) -> Any:
        made.append(view.label)
        return whole(view, *choice, **options)

    monkeypatch.setattr(build, "timeline_of", counted)
    found = build.timelines_of(run, ["circle"])
    assert made == ["circle"] and "<end>" in found and len(found) > 2
    assert found["<end>"] is found["<end>"]
    assert made == ["circle", "<end>"]


def test_the_command_says_what_received_attention(
    cli: CommandLine, run: ds.Run, folder: Path, tmp_path: Path
) -> None:
    expected = run.timeline().received_contrast
    files = (tmp_path / "a.csv", tmp_path / "a.png")
    facts = cli(
        *(
            "timeline",
            folder,
            "--received",
            "--csv",
            files[0],
            "--plot",
            files[1],
            "--style",
            "received",
            "--json",
        )
    ).json
    assert facts["received_contrast"]["received_contrast_rho"] == expected[:, 0].tolist()
    rows = [row for row in csv.DictReader(files[0].read_text().splitlines()) if row["word"] == "<picture>"]
    assert [float(row["received_contrast_p"]) for row in rows] == expected[:, 2].tolist()
    assert Image.open(files[1]).width > 400
    assert "rank correlation with local contrast" in cli("timeline", folder, "--received").out
    assert "received" not in cli("timeline", folder, "--json").json.get("received_contrast", {})


def test_the_command_shows_the_parts_of_a_word(
    cli: CommandLine, run: ds.Run, folder: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "parts.png"
    facts = cli("timeline", folder, "--word", "circle", "--by", "grid", "--plot", plot, "--json").json
    expected = run.timeline(["circle"])["circle"].by("grid")
    assert list(facts["parts"]["circle"]) == list(expected)
    for name, part in expected.items():
        assert facts["parts"]["circle"][name]["curves"]["mass"] == part.mass.tolist()
    assert plot.stat().st_size
