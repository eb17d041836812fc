"""Datasets: grown, resumed, merged, converted; pycocotools reads and scores them."""

from __future__ import annotations

import json
import os
import tarfile
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from command_line import CommandLine
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.datasets import Annotation, Dataset, Info, Picture
from diffuscope.datasets.categories import COCO as COCO_NUMBERS
from diffuscope.datasets.categories import numbered, own_number
from diffuscope.datasets.converting import write_voc, write_yolo
from diffuscope.datasets.counts import counts
from diffuscope.datasets.dataset import polygon_file
from diffuscope.datasets.merging import merge
from diffuscope.datasets.records import LARGEST_ID, Records, number_of
from diffuscope.datasets.shards import write_shards
from diffuscope.errors import CorruptRecordingError, InputError, RunFolderError, RunNotFoundError

IMAGE = Image.new("RGB", (40, 30), (90, 120, 150))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    prompts = ("a red circle left of a blue zeppelin, and a circle", "a circle on a zeppelin", "running fast")
    return [make_run(folder / f"run-{index}", steps=1, prompt=prompt) for index, prompt in enumerate(prompts)]


def mask(x: int, y: int, wide: int = 8, high: int = 6) -> np.ndarray:
    found = np.zeros((30, 40), bool)
    found[y : y + high, x : x + wide] = True
    return found


def picture(key: str, *names: str) -> Picture:
    notes = tuple(
        Annotation.of(name, mask(3 + 10 * at, 5), 0.1 * (at + 1), phrase=name)
        for at, name in enumerate(names)
    )
    return Picture(key, f"{key}.png", 40, 30, f"a picture of {' and '.join(names)}", notes)


def filled(folder: Path, *pictures: Picture) -> Dataset:
    dataset = Dataset(folder)
    for each in pictures:
        dataset.add(each, IMAGE)
    dataset.write()
    return dataset


def quiet_coco(path: Path, capsys: pytest.CaptureFixture[str]) -> COCO:
    found = COCO(str(path))
    capsys.readouterr()
    return found


def test_pycocotools_loads_it_and_its_evaluator_scores_it(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = ds.annotate(runs, "default").to_coco(tmp_path / "coco")
    assert (summary.pictures, summary.empty, summary.failed) == (3, 1, [])
    coco = quiet_coco(summary.path, capsys)
    found = list(ds.annotate(runs, "default"))
    assert len(coco.imgs) == 3 and len(coco.anns) == sum(map(len, found)) == summary.annotations
    by_image = {image["run_id"]: number for number, image in coco.imgs.items()}
    for objects in found:
        notes = coco.imgToAnns[by_image[objects.run.id]]
        for each, note in zip(objects, notes, strict=True):
            assert (coco.annToMask(note).astype(bool) == each.mask).all()
            assert coco.cats[note["category_id"]]["name"] == each.category
            assert note["area"] == each.mask.sum() and tuple(note["bbox"]) == each.box
            assert objects.run.map(note["selection"]).array.max() > 0  # leads back to its map
            assert note["phrase"] == " + ".join(each.words)
    image = coco.imgs[by_image["run-0"]]
    assert (tmp_path / "coco" / image["run"]).resolve() == runs[0].resolve()
    results = [
        {name: note[name] for name in ("image_id", "category_id", "segmentation", "bbox", "score")}
        for note in coco.anns.values()
    ]
    for kind in ("segm", "bbox"):
        evaluator = COCOeval(coco, coco.loadRes(results), kind)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
        assert evaluator.stats[0] == pytest.approx(1.0)
    captions = json.loads((tmp_path / "coco" / "captions.json").read_text())
    assert {each["caption"] for each in captions["annotations"]} == {each.run.prompt for each in found}


def test_it_grows_and_what_is_there_is_not_done_again(runs: list[Path], tmp_path: Path) -> None:
    first = ds.annotate(runs[:1]).to_coco(tmp_path / "coco")
    before = json.loads(first.path.read_text())
    second = ds.annotate([*runs, runs[1]]).to_coco(tmp_path / "coco")
    assert (second.pictures, second.known) == (2, 2)
    after = json.loads(second.path.read_text())
    assert (
        after["images"][:1] == before["images"]
        and after["annotations"][: len(before["annotations"])] == before["annotations"]
    )
    assert {each["name"]: each["id"] for each in before["categories"]}.items() <= {
        each["name"]: each["id"] for each in after["categories"]
    }.items()
    again = ds.annotate(runs).to_coco(tmp_path / "other")
    assert json.loads(again.path.read_text())["annotations"] == after["annotations"]


def test_one_dataset_has_one_chain_unless_it_is_to_be_replaced(runs: list[Path], tmp_path: Path) -> None:
    ds.annotate(runs[:1], "default").to_coco(tmp_path / "coco")
    with pytest.raises(InputError, match=r"another chain \(threshold\); give the same options"):
        ds.annotate(runs, "default", threshold=0.7).to_coco(tmp_path / "coco")
    done = ds.annotate(runs, "default", threshold=0.7).to_coco(tmp_path / "coco", replace=True)
    assert done.pictures == 3 and len(Dataset.open(tmp_path / "coco")) == 3
    wanted = {each.area for each in ds.open(runs[0]).objects("default", threshold=0.7)}
    assert {each.area for each in next(iter(Dataset.open(tmp_path / "coco"))).annotations} == wanted


def test_a_record_that_was_cut_short_is_taken_off(tmp_path: Path) -> None:
    dataset = filled(tmp_path / "coco", picture("one", "cat"), picture("two", "dog"))
    path = dataset.records.path
    whole = path.read_bytes()
    path.write_bytes(whole[:-25])
    opened = Dataset(tmp_path / "coco")
    assert "one" in opened and "two" not in opened and path.read_bytes() == whole.splitlines(keepends=True)[0]
    path.write_bytes(b"what is this\n" + whole)
    with pytest.raises(CorruptRecordingError, match="line 1"):
        Dataset(tmp_path / "coco")
    path.write_bytes(b"x" * 200_000)
    assert len(Records(tmp_path / "coco").keys()) == 0


def test_a_picture_that_is_added_again_counts_once(tmp_path: Path) -> None:
    dataset = filled(
        tmp_path / "coco", picture("one", "cat"), picture("two", "dog"), picture("one", "bird", "bird")
    )
    assert [each.key for each in dataset] == ["two", "one"] and len(dataset) == 2
    told = json.loads(dataset.path.read_text())
    assert len(told["annotations"]) == 3 and len({each["id"] for each in told["annotations"]}) == 3


def test_an_empty_dataset_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = filled(tmp_path / "coco", picture("one"))
    coco = quiet_coco(dataset.path, capsys)
    assert len(coco.imgs) == 1 and coco.anns == {} and counts(dataset).empty == 1


def test_numbers_follow_from_names() -> None:
    assert numbered(["person", "traffic light", "zebra"]) == {"person": 1, "traffic light": 10, "zebra": 24}
    assert COCO_NUMBERS["toothbrush"] == 90 and len(COCO_NUMBERS) == 80
    assert own_number("zeppelin") == own_number("zeppelin") >= 1000
    assert numbered(["a", "b"]) == {**numbered(["b"]), **numbered(["a"])}
    assert 1 <= number_of("anything") < LARGEST_ID and float(number_of("x")) == number_of("x")
    taken = numbered(["b"], {"other": own_number("b")})
    assert taken["b"] == own_number("b") + 1


def test_a_target_that_cannot_be_written_or_is_something_else(
    tmp_path: Path, cli: CommandLine, runs: list[Path]
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("…")
    assert "holds 'thesis.tex'" in cli.refuses("objects", runs[0], "--coco", tmp_path / "taken")
    (tmp_path / "file").write_text("…")
    assert "cannot write" in cli.refuses("objects", runs[0], "--coco", tmp_path / "file" / "coco")
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(RunFolderError, match="cannot write"):
            Dataset(tmp_path / "locked" / "coco")


def test_datasets_are_put_together(tmp_path: Path) -> None:
    filled(tmp_path / "a", picture("one", "cat"), picture("both", "dog"))
    filled(tmp_path / "b", picture("two", "zeppelin"), picture("both", "dog", "dog"))
    result = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "whole")
    assert sorted(each.key for each in result) == ["both", "one", "two"]
    assert counts(result).annotations == 4
    assert all((result.images / each.file_name).is_file() for each in result)


def foreign(folder: Path, number: int, name: str) -> Path:
    """A dataset of someone else's."""
    (folder / "images").mkdir(parents=True)
    IMAGE.save(folder / "images" / "p.jpg")
    told = {
        "images": [{"id": 7, "file_name": "p.jpg", "width": 40, "height": 30}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": number, "segmentation": [[3, 3, 9, 3, 9, 9, 3, 9]]},
        ],
        "categories": [{"id": number, "name": name}],
    }
    (folder / "annotations.json").write_text(json.dumps(told))
    return folder


def test_datasets_whose_categories_clash_are_refused_and_renumbered_on_request(
    tmp_path: Path, cli: CommandLine
) -> None:
    ours = filled(tmp_path / "ours", picture("one", "cat")).folder
    same_name, same_number = foreign(tmp_path / "x", 3, "cat"), foreign(tmp_path / "y", 17, "sofa")
    line = cli.refuses("objects", "--merge", ours, "--merge", same_name, "--coco", tmp_path / "out")
    assert "'cat' has the number 17" in line and "and 3 in" in line
    with pytest.raises(InputError, match=r"the number 17 is 'cat' in .* and 'sofa'"):
        merge([ours, same_number], tmp_path / "out")
    result = merge([ours, same_name, same_number], tmp_path / "out", renumber=True)
    assert result.categories == numbered(["cat", "sofa"]) and len(result) == 3
    kept = merge([foreign(tmp_path / "z", 5, "sofa")], tmp_path / "kept")
    assert kept.categories == {"sofa": 5}  # no clash: its own numbers stay
    with pytest.raises(RunNotFoundError):
        merge([tmp_path / "nowhere"], tmp_path / "out")


def test_shards_and_their_table(tmp_path: Path) -> None:
    dataset = filled(
        tmp_path / "coco", picture("one", "cat", "dog"), picture("v1.5-two"), picture("three", "bird")
    )
    files = write_shards(dataset, tmp_path / "shards", pictures=2)
    assert [path.name for path in files] == ["shard-000000.tar", "shard-000001.tar", "annotations.parquet"]
    with tarfile.open(files[0]) as tar:
        names = tar.getnames()
        assert names == ["one.png", "one.json", "v1_5-two.png", "v1_5-two.json"]
        told = json.load(tar.extractfile("one.json"))
        assert [each["category"] for each in told["annotations"]] == ["cat", "dog"]
        assert tar.extractfile("one.png").read() == (dataset.images / "one.png").read_bytes()
    rows = parquet.read_table(files[-1]).to_pylist()
    assert [(row["shard"], row["category"]) for row in rows] == [
        ("shard-000000.tar", "cat"),
        ("shard-000000.tar", "dog"),
        ("shard-000001.tar", "bird"),
    ]
    whole = {path.name: path.read_bytes() for path in files[:2]}
    assert {path.name: path.read_bytes() for path in write_shards(dataset, tmp_path / "s2", 2)[:2]} == whole


def test_boxes_for_yolo_and_pascal_voc(tmp_path: Path) -> None:
    dataset = filled(tmp_path / "coco", picture("one", "dog", "cat"))
    yolo = write_yolo(dataset, tmp_path / "yolo")
    names = (yolo / "classes.txt").read_text().split()
    assert names == ["cat", "dog"]
    boxes = [line.split() for line in (yolo / "one.txt").read_text().splitlines()]
    assert [names[int(each[0])] for each in boxes] == ["dog", "cat"]
    assert [float(value) for value in boxes[0][1:5]] == pytest.approx([7 / 40, 8 / 30, 8 / 40, 6 / 30])
    voc = xml.parse(write_voc(dataset, tmp_path / "voc") / "one.xml").getroot()
    box = voc.find("object/bndbox")
    assert [float(box.find(name).text) for name in ("xmin", "ymin", "xmax", "ymax")] == [3, 5, 11, 11]


def test_polygons_in_place_of_run_lengths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = filled(tmp_path / "coco", picture("one", "dog", "cat"))
    coco = quiet_coco(polygon_file(dataset, tmp_path / "polygons.json"), capsys)
    for at, note in enumerate(coco.anns.values()):
        assert isinstance(note["segmentation"], list)
        assert (coco.annToMask(note).astype(bool) == mask(3 + 10 * at, 5)).all()


def test_counts(tmp_path: Path) -> None:
    found = counts(
        filled(tmp_path / "coco", picture("one", "cat", "dog"), picture("two", "cat"), picture("three"))
    )
    assert (found.pictures, found.annotations, found.empty, found.per_picture) == (
        3,
        3,
        1,
        {2: 1, 1: 1, 0: 1},
    )
    cats = found.categories[0]
    assert (cats.name, cats.objects, cats.pictures) == ("cat", 2, 2) and cats.area[1] == pytest.approx(
        48 / 1200
    )
    assert found.together == {("cat", "dog"): 1}


def test_info_and_licence(tmp_path: Path) -> None:
    dataset = Dataset(
        tmp_path / "coco", Info("circles", license_name="CC0", license_url="https://example.org/cc0")
    )
    dataset.add(picture("one", "cat"), IMAGE)
    told = json.loads(dataset.write().read_text())
    assert told["info"]["description"] == "circles" and told["licenses"] == [
        {"id": 1, "name": "CC0", "url": "https://example.org/cc0"}
    ]
    assert json.loads(Dataset(tmp_path / "coco").write().read_text()) == told  # kept when it is opened again


def test_a_corrupted_run_among_many_is_left_out_and_named(
    cli: CommandLine, runs: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    outcome = cli("objects", *runs, broken, "--coco", tmp_path / "coco", "--json")
    assert outcome.status == 1 and [each["run"] for each in outcome.json["failed"]] == [str(broken)]
    assert outcome.json["pictures"] == 3 and f"left out: {broken}" in outcome.err
    assert "names no object" in outcome.err
    assert cli("objects", *runs, "--coco", tmp_path / "coco").status == 0


def test_the_command_prints_objects_and_reads_prompts(
    cli: CommandLine, runs: list[Path], tmp_path: Path
) -> None:
    outcome = cli(
        "objects", runs[0], "--set", "threshold=0.5", "--chain", "default", "--sheet", tmp_path / "s.png"
    )
    assert outcome.status == 0 and "a blue zeppelin" in outcome.out and (tmp_path / "s.png").is_file()
    told = cli("objects", *runs[:2], "--json").json
    assert [each["run"] for each in told["runs"]] == ["run-0", "run-1"] and told["failed"] == []
    reading = cli("objects", "--read", "two small cats in a watercolor painting", "--json").json
    assert reading["objects"][0]["category"] == "cat" and reading["styles"] == ["watercolor painting"]
    assert "watercolor painting" in cli("objects", "--read", "a cat in a watercolor painting").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name at least one run"),
        (("--prompts", "p.txt"), "name it with --coco DIR"),
        (("RUN", "--read", "a cat"), "one of them"),
        (("RUN", "--set", "threshold"), "write OPTION=VALUE"),
        (("RUN", "--set", "treshold=1"), "its options: threshold"),
        (("RUN", "--chain", "titn"), "there are: titan"),
        (("RUN", "--yolo", "boxes"), "name it with --coco DIR"),
        (("--coco", "nowhere"), "there is no dataset in nowhere"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    cli: CommandLine,
    runs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in cli.refuses("objects", *(runs[0] if each == "RUN" else each for each in arguments))
    assert list(tmp_path.iterdir()) == []
