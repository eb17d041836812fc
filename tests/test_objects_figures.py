"""Annotated pictures, contact sheets, curves, and objects in the report."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.datasets import Dataset
from diffuscope.errors import CorruptRecordingError, InputError
from diffuscope.figures.objects import Shown, colours_of, overlay, sheet, sheet_of_dataset, sheet_of_runs
from diffuscope.figures.objects_curves import curves
from diffuscope.figures.objects_report import objects_data
from diffuscope.figures.page import bundle
from diffuscope.figures.report import report_data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ds.Run:
    return ds.open(make_run(tmp_path_factory.mktemp("runs") / "run", steps=1))


def test_a_mask_is_drawn_where_it_is() -> None:
    mask = np.zeros((32, 64), bool)
    mask[20:28, 30:50] = True
    drawn = np.asarray(
        overlay(Image.new("RGB", (64, 32)), [Shown("cat", mask, 0.5)], {"cat": (200, 0, 0)}, 256)
    )
    assert drawn.shape == (128, 256, 3)
    assert tuple(drawn[96, 160]) == (90, 0, 0) and tuple(drawn[80, 140]) == (200, 0, 0)  # inside; outline
    assert not drawn[120:, :40].any() and not drawn[:40].any()


def test_every_category_has_a_colour_of_its_own() -> None:
    names = [f"thing {number}" for number in range(14)]
    assert len(set(colours_of(names).values())) == len(names)


def test_sheets(run: ds.Run, tmp_path: Path) -> None:
    one = sheet_of_runs([run.objects("default")])
    many = sheet_of_runs([run.objects("default")] * 8)
    assert many.width > one.width and many.height > one.height
    dataset = Dataset(tmp_path / "coco")
    ds.annotate(run).to_coco(dataset.folder)
    assert sheet_of_dataset(Dataset.open(dataset.folder)).size[0] == one.size[0]
    next((dataset.folder / "images").iterdir()).unlink()
    with pytest.raises(CorruptRecordingError, match="cannot be read"):
        sheet_of_dataset(Dataset.open(dataset.folder))
    with pytest.raises(InputError, match="no picture"):
        sheet([], "nothing")
    picture = sheet([(Image.new("RGB", (30, 20)), [], "a prompt without objects")], "one")
    assert picture.width > 240


def test_the_report_outlines_the_objects_with_their_holes(run: ds.Run) -> None:
    told = report_data(run)["objects"]
    found = run.objects()
    assert [each["category"] for each in told["found"]] == [each.category for each in found]
    assert set(told["colours"]) == set(found.categories)
    for shown, each in zip(told["found"], found, strict=True):
        rings = [
            [tuple(map(int, point.split())) for point in ring.split("L")]
            for ring in re.findall(r"M([^Z]*)Z", shown["path"])
        ]
        # The shoelace formula over all rings, holes counted off, gives the area of the mask.
        area = sum(
            x0 * y1 - x1 * y0
            for ring in rings
            for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True)
        )
        assert area / 2 == each.mask.sum()
    assert "showObjects" in bundle()


def test_a_report_without_objects_has_no_such_section(tmp_path: Path) -> None:
    assert objects_data(ds.open(make_run(tmp_path / "run", steps=1, prompt="running fast"))) is None


def test_curves_are_drawn() -> None:
    drawn = curves({"a": [0.0, 0.9], "b": [0.5, 0.5]}, (0.1, 0.9), 0.8, "two chains")
    colours = colours_of(["a", "b"])
    pixels = {tuple(map(int, each)) for each in np.asarray(drawn).reshape(-1, 3)}
    assert set(colours.values()) <= pixels
