"""The command `region`, and its figures."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image
from synthetic_run import Layout, make_run

import diffuscope as ds
from diffuscope.figures.regions import comparison, region_figure
from diffuscope.maps.outline import DARK, LIGHT, outlined

SITES = [
    Layout("self:down.0.0", (16, 16), 3, 16, kind="self"),
    Layout("self:mid", (8, 8), 8, 8, kind="self"),
    Layout("cross:mid", (8, 8), 8, 8),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "example", sites=SITES, level="qk", steps=4)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys)


def test_region_writes_the_exact_values_and_a_picture(cli, run):
    options = ("--steps", "1:3", "--sites", "self:down.*", "--heads", "0,2", "--direction", "from")
    outcome = cli(
        "region", run, "--box", "10,20,60,90", *options, "--out", "a.png", "--npy", "deep/a.npy", "--json"
    )
    expected = ds.open(run).region(box=(10, 20, 60, 90)).map("1:3", "self:down.*", [0, 2], direction="from")
    np.testing.assert_array_equal(np.load("deep/a.npy"), expected.array)
    facts = outcome.json
    assert facts["selection"] == "steps=1:3 sites=self:down.* heads=0,2 region=box:10,20,60,90"
    assert (facts["direction"], facts["region"], facts["size"]) == ("from", "box:10,20,60,90", [16, 16])
    assert facts["area"] == pytest.approx(51 * 71 / 128**2)
    with Image.open("a.png") as picture:
        assert picture.width > 2 * 384


def test_every_way_of_naming_a_region_works(cli, run, tmp_path):
    Image.fromarray(np.eye(128, dtype=bool)).save("mask.png")
    Path("ring.json").write_text(json.dumps({"type": "Polygon", "coordinates": [[[9, 9], [60, 9], [9, 60]]]}))
    for named, text in (
        (("--pixel", "3,4"), "pixel:3,4"),
        (("--pixel", "3,4", "--pixel", "5,6"), "pixels:3,4;5,6"),
        (("--contour", "ring.json"), "contour:9,9;60,9;9,60"),
        (("--mask", "mask.png"), "mask:"),
        (("--region", "range:3,4;9,7"), "range:3,4;9,7"),
        (("--pixel", "0,1", "--latent"), "box:0,64,63,127"),
    ):
        assert cli("region", run, *named, "--json").json["region"].startswith(text)
    assert Path("pixel-3-4.png").is_file()


def test_diffused_and_each_step(cli, run):
    diffused = cli("region", run, "--pixel", "64,64", "--diffused", "--npy", "d.npy", "--json").json
    assert diffused["diffused"] and "Diffused 5 times" in diffused["aggregation"]
    np.testing.assert_array_equal(np.load("d.npy"), ds.open(run).region(pixel=(64, 64)).diffused().array)
    facts = cli(
        "region", run, "--pixel", "64,64", "--each-step", "--npy", "s.npy", "--out", "s.png", "--json"
    ).json
    assert np.load("s.npy").shape == (4, 16, 16) and [each["step"] for each in facts["steps"]] == [0, 1, 2, 3]
    assert "who looks at pixel 64, 64" in cli("region", run, "--pixel", "64,64").out


def test_bad_input_is_one_line(cli, run, tmp_path):
    for named, said in (
        ((), "none was given"),
        (("--pixel", "3"), "X,Y"),
        (("--pixel", "3,200"), "outside the picture"),
        (("--box", "9,9,3,3"), "empty"),
        (("--box", "1,2,3"), "X0,Y0,X1,Y1"),
        (("--mask", "missing.png"), "cannot be read"),
        (("--pixel", "3,4", "--box", "1,2,3,4"), "pixel and box"),
        (("--pixel", "3,4", "--diffused", "--each-step"), "--each-step"),
        (("--pixel", "3,4", "--sites", "cross:mid"), "keys are text"),
        (("--region", "circle:3,4"), "bad region"),
        (("--pixel", "3,4", "--out", "a.jpg"), "png"),
    ):
        assert said in cli.refuses("region", run, *named)
    less = make_run(tmp_path / "less", sites=SITES, level="cross", steps=1)
    assert "keep='qk'" in cli.refuses("region", less, "--pixel", "3,4")


def test_the_outline_lies_around_the_region_and_hides_nothing_of_it(run):
    view = ds.open(run).region(box=(32, 40, 95, 103))
    picture = ds.open(run).image
    drawn, plain = (
        np.asarray(outlined(picture, view.region)),
        np.asarray(picture.resize((512, 512), Image.Resampling.BICUBIC)),
    )
    changed = (drawn != plain).any(axis=-1)
    inside = np.zeros((512, 512), bool)
    inside[160:416, 128:384] = True
    assert changed.any() and not changed[inside].any()
    ys, xs = np.nonzero(changed)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (156, 419, 124, 387)
    assert {tuple(colour) for colour in drawn[changed]} == {LIGHT, DARK}


def test_a_single_pixel_gets_a_ring_that_can_be_seen(run):
    view = ds.open(run).region(pixel=(64, 64))
    plain = ds.open(run).image.resize((512, 512), Image.Resampling.BICUBIC)
    changed = (np.asarray(outlined(ds.open(run).image, view.region)) != np.asarray(plain)).any(axis=-1)
    assert changed.sum() > 100 and not changed[256:260, 256:260].any()


def test_figures_show_the_picture_beside_the_map_and_several_maps_together(run):
    opened = ds.open(run)
    box, pixel = opened.region(box=(10, 20, 60, 90)), opened.region(pixel=(64, 64))
    pair = region_figure(box, box.map(), smooth=True)
    row = comparison([(box, box.map()), (pixel, pixel.diffused()), (box, box.map(direction="from"))])
    assert row.width > pair.width > 2 * 384
    assert box._repr_png_().startswith(b"\x89PNG") and opened.parts(3)._repr_png_().startswith(b"\x89PNG")


def test_a_run_without_a_picture_shows_the_map_alone(cli, tmp_path):
    stopped = make_run(tmp_path / "stopped", sites=SITES, level="qk", steps=4, stop_after=2)
    outcome = cli("region", stopped, "--pixel", "3,4", "--out", "a.png")
    assert outcome.status == 0 and "shown alone" in outcome.err
