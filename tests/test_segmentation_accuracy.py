"""Segmentation accuracy against counts made here, and the evaluation of maps from end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image
from synthetic_run import Layout, make_run

import diffuscope as ds
from diffuscope.analysis.objects.segmentation_accuracy import (
    SHARES,
    Objects,
    average_precision,
    best_share,
    coverage,
    outcome,
    overlaps,
)
from diffuscope.errors import InputError, SizeError
from diffuscope.maps.refinement import named
from diffuscope.maps.resize import resize
from diffuscope.scenes import read
from diffuscope.studies.map_accuracy.methods import centre, step_ranges
from diffuscope.studies.map_accuracy.samples import _from_rle, coco_folder, orders, scenes

RNG = np.random.default_rng(0)


def a_mask(size=(40, 30)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[10:25, 5:22] = True
    return mask


def test_iou_and_pixel_accuracy_are_counted_pixel_by_pixel():
    mask, values = a_mask(), RNG.random((8, 6)) + 0.2
    found = outcome(values, mask)
    plane = resize(values, mask.shape, "bilinear")
    for share, iou, accuracy in zip(SHARES, found.iou, found.accuracy, strict=True):
        predicted = plane > share * plane.max()
        assert iou == pytest.approx((predicted & mask).sum() / (predicted | mask).sum())
        assert accuracy == pytest.approx((predicted == mask).mean())


def test_many_maps_are_held_against_a_mask_as_one_is():
    mask = a_mask()
    planes = np.stack([RNG.random((8, 6)), np.zeros((8, 6)), coverage(mask, (8, 6)), np.ones((8, 6))])
    found = overlaps(planes, mask)
    for plane, iou in zip(planes, found, strict=True):
        np.testing.assert_allclose(iou, outcome(plane, mask).iou, atol=1e-12)
    assert not found[1].any()


def test_average_precision_is_the_sum_over_thresholds_of_precision_times_new_recall():
    scores, mask = RNG.integers(0, 12, 300) / 12, RNG.random(300) < 0.3
    total, before = 0.0, 0.0
    for level in sorted(set(scores), reverse=True):
        predicted = scores >= level
        recall = (predicted & mask).sum() / mask.sum()
        total += (recall - before) * (predicted & mask).sum() / predicted.sum()
        before = recall
    assert average_precision(scores[mask], scores[~mask]) == pytest.approx(total)
    assert average_precision(np.ones(3), np.zeros(9)) == 1
    assert average_precision(np.ones(3), np.ones(9)) == pytest.approx(0.25)


@pytest.mark.parametrize("nothing", [None, np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_no_prediction_counts_as_none_right(nothing):
    found = outcome(nothing, a_mask())
    assert not found.iou.any() and found.ap == 0
    np.testing.assert_allclose(found.accuracy, 1 - a_mask().mean())


def test_the_mask_itself_is_found_whole_and_the_ceiling_is_what_the_grid_allows():
    mask = a_mask()
    assert outcome(mask.astype(float), mask).iou == pytest.approx(1)
    coarse = outcome(coverage(mask, (4, 3)), mask)
    assert (
        0.5 < coarse.iou.max() < 0.95 and coarse.iou.max() < outcome(coverage(mask, (20, 15)), mask).iou.max()
    )


def test_an_empty_mask_is_refused():
    with pytest.raises(SizeError, match="at least one pixel"):
        outcome(np.ones((4, 4)), np.zeros((4, 4), bool))


def test_every_class_counts_the_same_and_halves_are_apart():
    objects = Objects(["cat", "cat", "cat", "dog"], [3, 5, 7, 7])
    everything = np.ones(4, bool)
    assert objects.mean(np.array([1.0, 1.0, 0.4, 0.2]), everything) == pytest.approx((0.8 + 0.2) / 2)
    # Every second picture in their order, whatever their numbers; objects of one picture stay together.
    assert objects.tuning.tolist() == [True, False, True, True]


def test_pictures_of_one_prompt_stay_together():
    objects = Objects(["cat"] * 6, [0, 1, 2, 3, 4, 5], groups=[0, 0, 1, 1, 2, 2])
    assert objects.tuning.tolist() == [True, True, False, False, True, True]
    # Two prompts with twelve pictures each, alike within: the interval is that of two, not of twenty-four.
    groups = np.repeat([1, 3], 12)
    scores = np.where(groups == 1, 0.2, 0.8)
    found = Objects(["cat"] * 24, range(24), groups=groups).estimate(scores)
    assert (found.low, found.high) == pytest.approx((0.2, 0.8))
    alone = Objects(["cat"] * 24, range(24)).estimate(scores, np.ones(24, bool))
    assert alone.high - alone.low < 0.3


def test_the_threshold_is_chosen_on_the_tuning_half_alone():
    objects = Objects(["a"] * 4, [0, 1, 2, 3])
    iou = np.zeros((4, len(SHARES)))
    iou[objects.tuning, 3] = 0.5
    iou[~objects.tuning, 9] = 0.9
    assert best_share(objects, iou) == 3


def test_the_interval_is_that_of_pictures_drawn_anew():
    classes, pictures = ["a", "b"] * 60, list(np.repeat(np.arange(60), 2))
    objects = Objects(classes, pictures)
    scores = RNG.random(120)
    found = objects.estimate(scores)
    reported = ~objects.tuning
    per_picture = scores[reported].reshape(-1, 2).mean(axis=1)
    spread = 1.96 * per_picture.std() / np.sqrt(len(per_picture))
    assert found.value == pytest.approx(per_picture.mean())
    assert found.high - found.low == pytest.approx(2 * spread, rel=0.1)
    # Two objects of a picture go together: drawing objects instead would make the interval narrower.
    twins = np.repeat(per_picture, 2)
    whole = np.zeros(120)
    whole[reported] = twins
    wide = objects.estimate(whole)
    assert wide.high - wide.low == pytest.approx(2 * spread, rel=0.1)


def test_run_lengths_are_read_in_both_of_cocos_forms():
    # 3 rows, 4 columns; columns first: 2 zeros, 3 ones, 4 zeros, 3 ones.
    expected = np.array([0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1], bool).reshape(4, 3).T
    np.testing.assert_array_equal(_from_rle({"size": [3, 4], "counts": [2, 3, 4, 3]}), expected)
    # Packed: 2, 3, 4, and 3 as its difference 0 to the 3 two before.
    np.testing.assert_array_equal(_from_rle({"size": [3, 4], "counts": "2340"}), expected)
    # 40 takes two characters: 8 with "more follows", then 1.
    long = _from_rle({"size": [10, 10], "counts": "X1l1"})
    assert long.T.ravel()[:40].sum() == 0 and long.T.ravel()[40:].all()
    with pytest.raises(ValueError, match="run lengths"):
        _from_rle({"size": [3, 4], "counts": [2, 3]})


def test_the_centre_lies_in_the_object_where_the_centre_of_mass_does_not():
    y, x = np.mgrid[:41, :41]
    ring = abs(np.hypot(y - 20, x - 20) - 15) < 3
    at = centre(ring)
    assert ring[at[1], at[0]] and not ring[20, 20]


def test_phases_are_the_20_40_40_of_any_number_of_steps():
    assert step_ranges(50) == {"noise": "0:10", "structure": "10:30", "detail": "30:50", "late": "18:50"}
    assert "noise" not in step_ranges(1)


def test_drawn_scenes_come_with_the_judges_masks_and_leave_nothing_behind():
    folders, asked = [], orders(2, 2)
    assert [(each.picture, each.group, each.seed) for each in asked] == [
        (0, 0, 0),
        (1, 0, 1),
        (2, 1, 0),
        (3, 1, 1),
    ]
    for sample, order in zip(scenes(ds.Lens.load("scenes"), asked, 6, batch=3), asked, strict=True):
        folders.append(sample.run.path)
        assert (sample.picture, sample.group, sample.run.prompt) == (order.picture, order.group, order.prompt)
        assert sample.run.manifest.keep.level == "qk" and sample.lens is not None
        reading = read(sample.run.image)
        assert sample.missing == max(0, order.things - len(sample.targets))
        for target in sample.targets:
            assert [each.noun for each in reading.objects].count(target.category) == 1
            np.testing.assert_array_equal(target.mask, reading.mask_of(target.category))
            assert sample.run.phrase(target.phrase).label.endswith(target.word)
    assert len(folders) == 4
    assert not any(folder.exists() for folder in folders)


# A folder in COCO's form.

SITES = [
    Layout("cross:down.0.0", (16, 16), 3, 16),
    Layout("cross:up.0.0", (8, 8), 8, 8),
    Layout("self:up.0.0", (16, 16), 2, 8, kind="self"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs whose masks are where their words' maps are largest."""
    place = tmp_path_factory.mktemp("coco")
    images, annotations = [], []
    for index in range(4):
        run = ds.open(make_run(place / f"run{index}", sites=SITES, level="qk", steps=3, seed=index))
        images.append({"id": index, "file_name": f"run{index}/image.png"})
        heat = resize(run.word("zeppelin").map(sites="cross:down.0.0").array, (128, 128), "bilinear")
        Image.fromarray(heat > 0.5 * heat.max()).save(place / f"mask{index}.png")
        annotations.append(
            {
                "id": 2 * index,
                "image_id": index,
                "category_id": 1,
                "mask": f"mask{index}.png",
                "phrase": "blue zeppelin",
            }
        )
        annotations.append(
            {
                "id": 2 * index + 1,
                "image_id": index,
                "category_id": 2,
                "segmentation": [[10, 10, 60, 10, 60, 60, 10, 60]],
            }
        )
    annotations.append(
        {
            "id": 99,
            "image_id": 0,
            "category_id": 3,
            "segmentation": {"size": [128, 128], "counts": [5, 16379]},
        }
    )
    names = {1: "zeppelin", 2: "circle", 3: "unicorn"}
    told = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in names.items()],
    }
    (place / "annotations.json").write_text(json.dumps(told))
    return place


def test_a_coco_folder_gives_runs_with_their_masks(folder):
    samples = list(coco_folder(folder))
    assert [sample.missing for sample in samples] == [1, 0, 0, 0]
    zeppelin, circle = samples[0].targets
    assert (zeppelin.word, zeppelin.phrase, circle.phrase) == ("zeppelin", "blue zeppelin", "circle")
    assert 2500 <= circle.mask.sum() <= 51 * 51 and circle.mask[20, 20] and not circle.mask[70, 20]


def test_an_evaluation_of_a_folder_tells_every_method_and_finds_what_is_there(
    folder, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    cli = CommandLine(capsys)
    outcome = cli(
        "evaluate",
        "maps",
        "--coco",
        folder,
        "--figure",
        "f.png",
        "--preset-out",
        "p.json",
        "--json",
        "--markdown",
        "t.md",
    )
    assert outcome.status == 0, outcome.err
    found = outcome.json
    assert (found["pictures"], found["objects"], found["classes"], found["missing"]) == (2, 4, 2, 1)
    rows = {row["name"]: row for row in found["rows"]}
    for name in (
        "DAAM preset, word",
        "default, phrase",
        "phrase at cross:up.0.0",
        "phrase at 8x8",
        "click at the centre, to",
        "box, from",
    ):
        assert rows[name]["none"] == 0
    assert rows["the mask at the finest grid"]["share"] == 1
    assert "open-vocabulary noun" not in rows  # no model is loaded
    for row in rows.values():
        for part in ("iou", "best", "ap"):
            assert 0 <= row[part]["low"] <= row[part]["value"] <= row[part]["high"] <= 1
    assert rows["DAAM preset, word"]["ahead"]["value"] == 0
    # One class of the two has phrases.
    assert found["coloured"] == 2 and rows["default, phrase"]["coloured"] != rows["default, phrase"]["best"]
    assert named("p.json").model and named("p.json") != ds.open(folder / "run0")
    with Image.open("f.png") as picture:
        assert picture.width > 1000
    lines = Path("t.md").read_text().splitlines()
    assert f"**{found['general']}**" in "".join(lines) and f"| {found['general']} |" not in lines
    cells = next(line for line in lines if line.startswith("| default, phrase |")).split(" | ")
    assert cells[3] == f"{rows['default, phrase']['threshold']:.2f}" and len(lines) == 6 + len(rows)
    assert lines[-1].startswith("Control: in the 2 reported pictures")
    assert (
        found["control"]["own"]["value"] > found["control"]["other"]["value"]
        and found["control"]["pictures"] == 2
    )
    text = cli("evaluate", "maps", "--coco", folder, "--scores", "scores").out
    assert "DAAM preset, word" in text and "tuned on" in text and "best general" in text
    assert len(list(Path("scores").iterdir())) == 4
    outcome = cli("evaluate", "maps", "--coco", folder, "--scores", "scores", "--json")
    assert outcome.status == 0, outcome.err
    again = outcome.json
    assert again["rows"] == found["rows"]


def test_a_folder_of_another_form_is_refused(folder, capsys, tmp_path):
    cli = CommandLine(capsys)
    assert "annotations.json" in cli.refuses("evaluate", "maps", "--coco", tmp_path)
    (tmp_path / "annotations.json").write_text("[]")
    assert "COCO" in cli.refuses("evaluate", "maps", "--coco", tmp_path)
    assert "at least 2 prompts" in cli.refuses("evaluate", "maps", "--prompts", "1")
    told = json.loads((folder / "annotations.json").read_text())
    told["annotations"] = [{"id": 1, "image_id": 0, "category_id": 1}]
    told["images"][0]["run"] = str(folder / "run0")
    (tmp_path / "annotations.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="no mask"):
        list(coco_folder(tmp_path))
