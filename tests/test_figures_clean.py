"""Predicted clean pictures and their differences, in Python and from `steps`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.errors import NotKeptError
from diffuscope.figures.clean import clean_sheet, differences
from diffuscope.maps.colormap import colormap


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run", steps=4)


def test_differences_are_distances_in_lab() -> None:
    black, white = (Image.new("RGB", (3, 2), colour) for colour in ("black", "white"))
    found = differences([black, white, white])
    assert found.shape == (2, 2, 3)
    assert found[0] == pytest.approx(100, abs=0.5) and not found[1].any()
    # CIE 15: sRGB red has L*a*b* (53.24, 80.09, 67.20).
    red = differences([black, Image.new("RGB", (1, 1), (255, 0, 0)).resize((3, 2))])
    assert red == pytest.approx(np.sqrt(53.24**2 + 80.09**2 + 67.2**2), abs=0.5)
    assert differences([black]).shape == (0, 2, 3)


def test_steps_writes_clean_pictures_their_differences_and_a_sheet(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, out = CommandLine(capsys), tmp_path / "out"
    facts = cli(
        "steps", run, "--global", "--clean", "--out", out, "--values", tmp_path / "a.npy", "--json"
    ).json
    opened = ds.open(run)
    names = [Path(file).name for file in facts["clean"]]
    assert names == [
        "clean-0000.png",
        *(f"{kind}-000{step}.png" for step in (1, 2, 3) for kind in ("clean", "difference")),
        "all-clean.png",
    ]
    for step in range(4):
        with Image.open(out / f"clean-000{step}.png") as picture:
            assert np.array_equal(np.asarray(picture), np.asarray(opened.preview(step)))
    apart = differences([opened.preview(step) for step in range(4)])
    with Image.open(out / "difference-0002.png") as shown:
        level = (apart[1] - apart.min()) / (apart.max() - apart.min())
        expected = colormap("magma")[np.rint(level * 255).astype(int)]
        assert np.abs(np.asarray(shown).astype(int) - expected).max() <= 2
    everything = sum(opened.word(word.label).steps().array.astype(float) for word in opened.words)
    np.testing.assert_allclose(np.load(tmp_path / "a.npy"), everything, rtol=1e-4)
    assert "--global" in cli.refuses("steps", run, "--global", "--word", "circle", "--out", out)


def test_a_run_without_previews_says_so(tmp_path: Path) -> None:
    bare = ds.open(make_run(tmp_path / "bare", steps=2, previews=False))
    with pytest.raises(NotKeptError, match="previews=True"):
        clean_sheet(bare, [0, 1])
