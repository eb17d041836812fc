"""What `compare` and its commands say of two runs, against plain computations."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import diffuscope as ds
from diffuscope.analysis.comparing import correlation, delta_e, sf_iou
from diffuscope.analysis.pairs import apart
from diffuscope.analysis.perceptual import Perceptual, perceptual
from diffuscope.cli.app import main
from diffuscope.edits import Silence, Steer, control
from diffuscope.engine import Lens
from diffuscope.errors import InputError
from diffuscope.run import Run
from diffuscope.testing import random_pipeline


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run, Run]:
    """A run, the same with a word silenced in its last step, and one of another seed."""
    out, lens = tmp_path_factory.mktemp("runs"), Lens(random_pipeline("sd15"))
    settings: Any = {"steps": 2, "width": 32, "height": 32, "out": out, "previews": False}
    run = lens.record("a cat by a tree", seed=1, **settings)
    return (
        run,
        lens.edit(run, Silence("cat", steps="1"), out=out),
        lens.record("a cat by a tree", seed=2, **settings),
    )


def test_measures_are_the_plain_ones(runs: tuple[Run, Run, Run]) -> None:
    run, other, _ = runs
    found = ds.compare(run, other)
    assert found.window == (1,) and [each.word for each in found.words] == [each.label for each in run.words]
    assert found.edits == (Silence("cat", steps="1").describe(),)
    tree = next(each for each in found.words if each.word == "tree")
    one, two = (each.word("tree").map(steps=1).array.astype(float) for each in (run, other))
    assert tree.acs == pytest.approx(two.mean() / one.mean() - 1, abs=1e-9)
    if np.abs(two - one).std():
        assert tree.p_adc == pytest.approx(
            np.corrcoef(one.ravel(), np.abs(two - one).ravel())[0, 1], abs=1e-6
        )
    assert tree.random_word not in (None, "tree")


def test_a_run_compared_with_itself_has_not_changed(runs: tuple[Run, Run, Run]) -> None:
    found = ds.compare(runs[0], runs[0])
    assert not found.change.any() and all(each.acs == 0 and each.p_adc is None for each in found.words)


def test_other_seeds_are_refused(runs: tuple[Run, Run, Run]) -> None:
    with pytest.raises(InputError, match="seed"):
        ds.compare(runs[0], runs[2])


def test_overlap_and_chance() -> None:
    grid = np.arange(16.0).reshape(4, 4)
    assert sf_iou(grid, grid) == (1.0, pytest.approx(1 / 7))
    assert sf_iou(grid, grid[::-1])[0] == 0.0
    assert correlation(grid, 3 - grid) == pytest.approx(-1) and correlation(grid, 0 * grid) is None


def test_black_and_white_are_a_hundred_apart() -> None:
    black, white = (Image.new("RGB", (2, 2), colour) for colour in ("black", "white"))
    assert delta_e(black, white) == pytest.approx(np.full((2, 2), 100.0), abs=0.1)


def test_commands(runs: tuple[Run, Run, Run], capsys: pytest.CaptureFixture[str]) -> None:
    run, other, third = (str(each.path) for each in runs)
    assert main(["compare", run, other, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["window"] == [1]
    assert main(["compare", run, other]) == 0 and "SF-IoU" in capsys.readouterr().out
    assert main(["compare", run, third]) == 2 and "seed" in capsys.readouterr().err
    assert main(["edit", run]) == 2 and "no edit" in capsys.readouterr().err
    assert main(["edit", run, "--silence", "cat"]) == 2 and "--model" in capsys.readouterr().err


def test_words_are_compared_step_by_step(runs: tuple[Run, Run, Run]) -> None:
    run, other, _ = runs
    times = {each.word: each for each in ds.compare(run, other).times}
    assert {"cat", "tree", "<start>", "<end>"} == times.keys()
    for pair, one in zip(times["tree"].mass, (run, other), strict=True):
        means = [one.word("tree").map(steps=step).array.astype(float).mean() for step in (0, 1)]
        assert pair == pytest.approx(means, rel=1e-6)
    # The edit acts in the last step alone.
    assert times["cat"].mass[0][0] == times["cat"].mass[1][0]
    line = run.timeline(judge=None)["tree"]
    assert times["tree"].stabilisation[0] == line.stabilisation.at.step
    assert times["tree"].peak[0] == (None if line.peak.flat else line.peak.at.step)
    assert ds.compare(run, other, timelines=False).times == ()


def test_the_perceptual_distance_is_named_and_its_absence_too(
    runs: tuple[Run, Run, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other, _ = runs
    told = ds.compare(run, other).perceptual
    assert "FLIP (no weights" in told.name and 0 < (told.value or 0) < 1
    assert ds.compare(run, run).perceptual.value == 0
    black, white = (Image.new("RGB", (32, 32), colour) for colour in ("black", "white"))
    near = Image.new("RGB", (32, 32), (8, 8, 8))
    assert perceptual(black, white).value > 0.5 > perceptual(black, near).value > 0

    def mine(one: Image.Image, two: Image.Image) -> float:
        return 0.25

    assert perceptual(black, white, mine) == Perceptual("mine", 0.25)
    with pytest.raises(InputError, match="gave nan"):
        perceptual(black, white, lambda one, two: float("nan"))
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    absent = ds.compare(run, other).perceptual
    assert absent.value is None and "not installed" in absent.why


def test_a_judge_reads_both_pictures(runs: tuple[Run, Run, Run]) -> None:
    run, other, _ = runs

    def brightness(picture: Image.Image, labels: Any) -> list[float]:
        return [float(np.asarray(picture).mean()) if label == "cat" else float("nan") for label in labels]

    found = ds.compare(run, other, judge=brightness)
    judged = {each.word: each for each in found.judged}
    assert found.judge == "brightness" and found.readings is None
    assert judged["cat"].before == np.asarray(run.image).mean()
    assert judged["cat"].after == np.asarray(other.image).mean() and judged["tree"].before is None
    assert ds.compare(run, other).judge is None  # No run of the drawn world.
    with pytest.raises(InputError, match="judge='nobody'"):
        ds.compare(run, other, judge="nobody")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no score"):
        ds.compare(run, other, judge=lambda picture, labels: [1.0])


def test_what_keeps_two_runs_apart_is_named(runs: tuple[Run, Run, Run]) -> None:
    run, other, third = runs
    assert apart(run, other) == []
    assert [each.what for each in apart(run, third)] == ["seed"]
    sampling = run.manifest.sampling.model_copy(update={"steps": 9, "guidance_scale": 1.0})
    software = {**run.manifest.software, "torch": "0.0.1"}
    changed = Run.open(run.path)
    changed.recording.manifest = run.manifest.model_copy(update={"sampling": sampling, "software": software})
    found = {each.what: (each.one, each.other) for each in apart(run, changed)}
    assert found.keys() == {"steps", "guidance_scale", "torch"}
    assert found["steps"] == ("2", "9") and found["torch"][1] == "0.0.1"


def test_a_window_by_default_is_the_edits_own(runs: tuple[Run, Run, Run], tmp_path: Path) -> None:
    lens = Lens(random_pipeline("sd15"))
    run = lens.record("a cat", steps=5, width=16, height=16, keep="maps", previews=False, out=tmp_path)
    steered = lens.edit(run, Steer("dog", word="cat"), out=tmp_path)
    beside = lens.edit(run, control(Steer("dog", word="cat")), out=tmp_path)
    assert ds.compare(run, steered).window == ds.compare(run, beside).window == (1, 2)
