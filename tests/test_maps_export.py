"""Maps in other programs' forms: the values come back as they were, with the names of their axes."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
from PIL import Image
from synthetic_run import make_run

from diffuscope.errors import MissingExtraError, RunFolderError, SelectionError
from diffuscope.maps.export import VALUES
from diffuscope.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return Run.open(make_run(tmp_path_factory.mktemp("runs") / "plain", steps=4))


@pytest.fixture(scope="module")
def heatmap(run):
    return run.word("circle").map(steps="1:")


@pytest.fixture(scope="module")
def series(run):
    return run.word("circle").steps(steps="1:")


def test_npz_says_what_the_array_is(series, tmp_path):
    with np.load(series.save(tmp_path / "new" / "a.npz"), allow_pickle=False) as file:
        np.testing.assert_array_equal(file["array"], series.array)
        assert list(file["axes"]) == ["step", "y", "x"] and list(file["step"]) == [1, 2, 3]
        assert str(file["selection"]) == str(series.selection) and str(file["unit"]) == series.unit


def test_csv_has_a_line_for_each_value(series, tmp_path):
    with series.save(tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["step", "y", "x", "value"] and len(rows) == series.array.size
    for step, y, x, value in rows[:: len(rows) // 7]:
        assert np.float32(value) == series.array[series.steps.index(int(step)), int(y), int(x)]


def test_sixteen_bit_pictures_hold_the_values_over_their_range(heatmap, tmp_path):
    with Image.open(heatmap.save(tmp_path / "a.16.png")) as picture:
        levels = np.asarray(picture).astype(np.float64)
        low, high = (float(picture.text[f"diffuscope:{name}"]) for name in ("low", "high"))
        assert picture.text["diffuscope:selection"] == str(heatmap.selection)
    assert levels.min() == 0 and levels.max() == 65535
    np.testing.assert_allclose(low + levels / 65535 * (high - low), heatmap.array, atol=(high - low) / 65535)


def test_tiff_holds_float_pages(heatmap, series, tmp_path):
    with Image.open(heatmap.save(tmp_path / "a.tif")) as picture:
        np.testing.assert_array_equal(np.asarray(picture), heatmap.array)
    with Image.open(series.save(tmp_path / "b.tiff")) as picture:
        assert picture.n_frames == 3
        for index, values in enumerate(series.array):
            picture.seek(index)
            np.testing.assert_array_equal(np.asarray(picture), values)
            assert f"step{series.steps[index]:04d}" in str(picture.tag_v2[270])


def test_exr_holds_float_channels(heatmap, series, tmp_path):
    exr = pytest.importorskip("OpenEXR")
    with exr.File(str(heatmap.save(tmp_path / "a.exr"))) as file:
        np.testing.assert_array_equal(file.channels()["Y"].pixels, heatmap.array)
        assert file.header()["diffuscope.unit"] == heatmap.unit
    with exr.File(str(series.save(tmp_path / "b.exr"))) as file:
        np.testing.assert_array_equal(file.channels()["step0002"].pixels, series.array[1])


def test_zarr_and_xarray_name_the_axes(run, series, tmp_path):
    zarr, xarray = pytest.importorskip("zarr"), pytest.importorskip("xarray")
    path = series.save(tmp_path / "a.zarr")
    opened = zarr.open_array(str(path), mode="r")
    np.testing.assert_array_equal(opened[:], series.array)
    assert opened.metadata.dimension_names == ("step", "y", "x")
    assert opened.attrs["coordinates"]["step"] == [1, 2, 3]
    assert series.save(path) == path, "an array that is there is replaced"
    labelled = series.to_xarray()
    assert isinstance(labelled, xarray.DataArray)
    np.testing.assert_array_equal(labelled.sel(step=2).values, series.array[1])
    heads = run.word("circle").heads(steps=[1, 3]).to_xarray()
    assert heads.dims == ("step", "site", "head", "y", "x")
    own = run.word("circle").heads(steps=3).per_site["cross:mid"][0, 6]
    ours = heads.sel(step=3, site="cross:mid", head=6).values
    assert ours.shape == (16, 16) and own.mean() == pytest.approx(ours.mean(), rel=1e-5)
    tokens = run.stack().to_xarray()
    np.testing.assert_array_equal(tokens.sel(token="3 circle").values, run.stack()["3 circle"].array)


def test_stacks_and_heads_are_written_too(run, tmp_path):
    for what in (run.stack(), run.word("circle").heads(steps=0), run.shares()):
        for suffix in VALUES:
            if suffix == ".16.png":
                with pytest.raises(SelectionError, match="one map"):
                    what.save(tmp_path / "a.16.png")
            else:
                assert what.save(tmp_path / f"b{suffix}").exists()
    rows = list(csv.reader((tmp_path / "b.csv").open(newline="")))
    assert rows[1][0] == "words"


def test_a_folder_that_is_no_array_is_left_alone(heatmap, tmp_path):
    pytest.importorskip("zarr")
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "letter.txt").write_text("dear")
    with pytest.raises(RunFolderError, match="no zarr array"):
        heatmap.save(tmp_path / "a.zarr")
    assert (tmp_path / "a.zarr" / "letter.txt").read_text() == "dear"


def test_other_suffixes_list_those_there_are(heatmap, run, tmp_path):
    with pytest.raises(SelectionError, match=r"\.npz.*\.zarr"):
        heatmap.save(tmp_path / "a.jpg")
    with pytest.raises(SelectionError, match=r"\.csv"):
        run.stack().save(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("module", "use"),
    [
        ("xarray", lambda heatmap, path: heatmap.to_xarray()),
        ("zarr", lambda heatmap, path: heatmap.save(path / "a.zarr")),
        ("OpenEXR", lambda heatmap, path: heatmap.save(path / "a.exr")),
    ],
)
def test_a_missing_package_names_the_extra(heatmap, tmp_path, monkeypatch, module, use):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"diffuscope\[export\]"):
        use(heatmap, tmp_path)


def test_an_unwritable_place_is_an_input_error(heatmap, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError):
        heatmap.save(tmp_path / "file" / "a.csv")
