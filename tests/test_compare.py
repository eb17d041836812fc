"""What `compare` and its commands say of two runs, against plain computations."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

import diffuscope as ds
from diffuscope.analysis.comparing import correlation, delta_e, sf_iou
from diffuscope.cli.app import main
from diffuscope.edits import Silence
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
