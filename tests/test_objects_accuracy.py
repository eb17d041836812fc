"""Scoring chains: against counts made here, pycocotools, and a dataset whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.analysis.objects.chain import Chain
from diffuscope.datasets import Annotation, Dataset, Picture
from diffuscope.datasets.records import encode
from diffuscope.errors import InputError, RunNotFoundError
from diffuscope.scenes import Prompt, Rendered, lay_out, read, render, standard_prompts
from diffuscope.scenes.split import split_of
from diffuscope.studies.object_accuracy.of_dataset import OWN, of_dataset
from diffuscope.studies.object_accuracy.precision import SUMMARY, ap50_of, average_precision, evaluated
from diffuscope.studies.object_accuracy.scores import PictureScores, score
from diffuscope.studies.object_accuracy.scoring import Evaluation
from diffuscope.studies.object_accuracy.table import ScoreTable
from diffuscope.studies.object_accuracy.truth import Marked, Truth, coco, judged, orders


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, whose truth is what the default chain finds."""
    folder = tmp_path_factory.mktemp("truth")
    runs = [make_run(folder / f"run-{seed}", steps=1, seed=seed) for seed in range(2)]
    ds.annotate(runs, "default").to_coco(folder / "coco")
    return folder / "coco"


def picture_of_scene(rendered: Rendered) -> Image.Image:
    return Image.fromarray(rendered.image)


def box(x: int, wide: int) -> np.ndarray:
    found = np.zeros((20, 60), bool)
    found[5:15, x : x + wide] = True
    return found


def note(image: int, mask: np.ndarray, **more: object) -> dict:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    bbox = [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    return {"image_id": image, "segmentation": encode(mask), "bbox": bbox, "area": int(mask.sum()), **more}


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_average_precision_of_a_case_that_can_be_counted(kind: str) -> None:
    truths = [
        note(1, box(5, 20), id=1, category_id=1, iscrowd=0),
        note(1, box(35, 20), id=2, category_id=1, iscrowd=0),
    ]
    # The surest is wrong, the second is right with IoU 0.8: precision 1/2 up to recall 1/2, nothing beyond.
    results = [note(1, box(28, 6), category="cat", score=0.9), note(1, box(5, 16), category="cat", score=0.5)]
    images = [{"id": 1, "width": 60, "height": 20}]
    told = average_precision(images, truths, results, {"cat": 1}, kind)
    found = told.metrics
    half = 0.5 * 51 / 101  # COCO's 101 levels of recall
    assert found["AP50"] == pytest.approx(half) and told.by_class["cat"] == pytest.approx(half)
    assert found["AP"] == pytest.approx(half * 7 / 10)  # right at IoU 0.5 to 0.8 of 0.5 to 0.95
    # The evaluator's own words, and the same as numbers.
    lines = told.text.splitlines()
    assert len(lines) == len(SUMMARY) == 12 and lines[1].endswith(f"= {found['AP50']:.3f}")
    assert told.summary["AR 100"] == pytest.approx(0.5 * 7 / 10)
    assert average_precision(images, truths, [], {"cat": 1}, kind).metrics["AP"] == 0
    others = [*results, note(1, box(0, 60), category="sky", score=1.0)]
    assert average_precision(images, truths, others, {"cat": 1}, kind).metrics == found


def copied(notes: list[dict], times: list[int]) -> list[dict]:
    """Annotations of images that stand so many times, each copy an image of its own."""
    first = np.concatenate([[0], np.cumsum(times)])
    return [
        {**each, "image_id": int(first[each["image_id"] - 1]) + copy + 1}
        for each in notes
        for copy in range(times[each["image_id"] - 1])
    ]


def test_images_that_count_several_times_are_as_copies_of_them() -> None:
    random = np.random.default_rng(3)
    truths, results = [], []
    for image in range(1, 9):
        for category in range(1, 1 + random.integers(1, 4)):
            x = int(random.integers(0, 30))
            truths.append(note(image, box(x, 20), category_id=category, iscrowd=0))
            off, named = int(random.integers(-9, 9)), "abc"[category - 1]
            score = float(random.random())
            results.append(note(image, box(max(0, x + off), 20), category=named, score=score))
            results.append(note(image, box(int(random.integers(0, 30)), 9), category=named, score=score / 2))
    numbers = {"a": 1, "b": 2, "c": 3}

    def evaluator(times: list[int]) -> Any:
        true = [{**each, "id": at + 1} for at, each in enumerate(copied(truths, times))]
        images = [{"id": at + 1, "width": 60, "height": 20} for at in range(sum(times))]
        return evaluated(images, true, copied(results, times), numbers, "segm")

    def ap50(of: Any) -> float:
        values = of.eval["precision"][0, :, :, 0, -1]
        return float(values[values > -1].mean())

    once = evaluator([1] * 8)
    draws = [[1] * 8, *random.multinomial(8, [1 / 8] * 8, size=5).tolist()]
    found = ap50_of(once, np.array(draws))
    assert found[0] == pytest.approx(ap50(once)) and 0 < found[0] < 1
    assert found == pytest.approx([ap50(evaluator(times)) for times in draws])
    assert len(set(found.round(6))) > 3


def test_a_chain_scored_on_its_own_masks_is_perfect(dataset: Path) -> None:
    study = Evaluation({"default": Chain(), "blurred": Chain(blur=0.06), "titan": Chain.of("titan")})
    seen: list[int] = []
    study.add(coco(dataset, lambda done, total: seen.append(done)))
    found = study.findings()
    row = found.row("default")
    assert row.iou.value == 1 and row.segm["AP"] == pytest.approx(1) == row.bbox["AP"] and row.missed == 0
    assert row.ap50_segm.value == row.ap50_segm.low == row.segm["AP50"]
    assert row.segm_all == row.segm and row.share is not None and found.unmarked == 0
    assert found.row("blurred").iou.value < 1 and found.pictures == len(seen) == 2
    assert found.row("titan").iou.value < 1 and {each.name for each in row.classes} == {"circle", "zeppelin"}
    assert all(each.iou == 1 for each in row.classes)
    assert found.ceiling is not None and 0 < found.ceiling.value < 1
    assert max(row.curve) <= 1 and len(row.curve) == len(found.thresholds)


def test_iou_is_the_mean_over_classes_and_nothing_found_counts_zero(tmp_path: Path) -> None:
    run = ds.open(make_run(tmp_path / "run", steps=1))
    truth = [Marked(each.category, each.mask) for each in run.objects("default")]
    shape = truth[0].mask.shape
    absent = np.zeros(shape, bool)
    absent[:4, :4] = True
    study = Evaluation({"default": Chain()})
    study.add([Truth(run, (*truth, Marked("dog", absent)), "one")])
    found = study.findings().row("default")
    assert found.iou.value == pytest.approx(2 / 3) and found.missed == 1
    half = truth[1].mask.copy()
    half[: np.nonzero(half)[0].mean().astype(int)] = False
    study = Evaluation({"default": Chain()})
    study.add([Truth(run, (Marked(truth[1].category, half),), "one")])
    own = next(each.mask for each in run.objects("default") if each.category == truth[1].category)
    both = [each.mask for each in run.objects("default") if each.category == truth[1].category]
    union = np.any(both, axis=0)
    assert own.any() and study.findings().row("default").iou.value == pytest.approx(
        (union & half).sum() / (union | half).sum()
    )


def test_bad_truth_is_refused(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(RunNotFoundError):
        list(coco(tmp_path))
    (tmp_path / "annotations.json").write_text('{"images": []}')
    with pytest.raises(InputError, match="no COCO file"):
        list(coco(tmp_path))
    with pytest.raises(InputError, match="at least one chain"):
        Evaluation({})
    with pytest.raises(InputError, match="no picture shows"):
        Evaluation({"default": Chain()}).findings()


def test_what_a_picture_does_not_show_is_an_error_of_all_alone(tmp_path: Path) -> None:
    run = ds.open(make_run(tmp_path / "run", steps=1))
    found = [Marked(each.category, each.mask) for each in run.objects("default")]
    first = tuple(each for each in found if each.category == found[0].category)
    second = tuple(each for each in found if each.category != found[0].category)
    name = second[0].category
    study = Evaluation({"default": Chain()})
    unclear = Truth(run, first, "2", 2, unclear=frozenset({name}))
    study.add([Truth(run, first, "0", 0), Truth(run, (*first, *second), "1", 1), unclear])
    told = study.findings()
    row = told.row("default")
    assert row.segm["AP"] == pytest.approx(1)
    # Of the annotations of the second category, of equal scores, those that count first are wrong: precision 1/2.
    assert row.segm_all["AP50"] == pytest.approx((1 + 1 / 2) / 2)
    assert (told.pictures, told.prompts, told.objects) == (3, 3, 3 * len(first) + len(second))
    assert told.unmarked == told.unscored == len(second)


def test_scores_are_kept_and_come_back_as_they_were(tmp_path: Path) -> None:
    run = ds.open(make_run(tmp_path / "run", steps=1))
    chains = {"default": Chain(), "edges": Chain.of("edges")}
    marked = tuple(Marked(each.category, each.mask) for each in run.objects("default"))
    scores = [score(Truth(run, marked, f"{at}", at, missing=at), chains) for at in range(2)]
    assert PictureScores.from_line(scores[0].line()).line() == scores[0].line()
    about = {"chains": {name: each.plain() for name, each in chains.items()}, "steps": None}
    path = tmp_path / "scores.jsonl"
    table = ScoreTable(path, about)
    for each in scores:
        table.add(each)
    content = path.read_bytes()
    path.write_bytes(content + content.splitlines()[-1][:99])  # Killed while it wrote.
    again = ScoreTable(path, about)
    assert path.read_bytes() == content and len(again) == 2 and "1" in again and "2" not in again

    def table_of(found: list[PictureScores]) -> dict:
        study = Evaluation(chains)
        for each in found:
            study.take(each)
        return study.findings().as_json()

    assert table_of(list(again)) == table_of(scores)
    with pytest.raises(InputError, match=r"another question \(steps differ\)"):
        ScoreTable(path, {**about, "steps": 4})
    path.write_bytes(b"{}\n[]\n")
    with pytest.raises(InputError, match="holds no scores"):
        ScoreTable(path, {})
    path.write_bytes(b'{"half')
    assert len(ScoreTable(path, about)) == 0 and path.read_bytes().endswith(b"\n")


def test_chains_are_told_on_prompts_that_none_was_settled_on() -> None:
    held_out, train = orders(300, 2), orders(300, 1, "train")
    assert [each.seed for each in held_out] == [0] * 300 + [1] * 300
    assert len({each.key for each in held_out}) == 600
    assert {each.number for each in held_out[300:]} == set(range(300))
    assert all(split_of(each.prompt.description) == "held-out" for each in held_out)
    assert not {each.prompt.text for each in held_out} & {each.prompt.text for each in train}


def world(number: int) -> list[tuple[Prompt, Rendered]]:
    """Prompts of the drawn world, rendered as they say."""
    random = np.random.default_rng(number)
    return [(prompt, render(lay_out(prompt.description, random))) for prompt in standard_prompts(4)]


def test_the_judge_says_what_is_unclear_and_what_is_missing() -> None:
    prompt, rendered = next(each for each in world(1) if len(each[0].description.things) == 2)
    image = picture_of_scene(rendered)
    nouns = [thing.noun for thing in prompt.description.things]
    objects, unclear, missing = judged(image, nouns, 2)
    there = [str(each.noun) for each in read(image).objects]
    assert {each.category for each in objects} == {noun for noun in nouns if there.count(noun) == 1}
    assert missing == 2 - len(objects) and unclear == {noun for noun in there if there.count(noun) > 1}
    # The prompt names one of them twice: nobody could say which is meant.
    twice, unclear, missing = judged(image, [nouns[0], f"{nouns[0]}#2"], 2)
    assert twice == () and nouns[0] in unclear and missing == 2
    assert judged(image, ["zeppelin"], 1) == ((), frozenset(unclear) - {nouns[0]}, 1)


def test_a_dataset_is_scored_by_the_judge_or_by_other_masks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = Dataset(tmp_path / "coco")
    true = 0
    for at, (prompt, rendered) in enumerate(world(2)):
        image = picture_of_scene(rendered)
        objects, _, _ = judged(image, [thing.noun for thing in prompt.description.things], 2)
        true += len(objects)
        notes = tuple(Annotation.of(each.category, each.mask, 0.9) for each in objects)
        wrong = Annotation.of("zeppelin", objects[0].mask, 0.99)
        dataset.add(Picture(f"p{at}", f"p{at}.png", *image.size, prompt.text, (*notes, wrong)), image)
    dataset.write()
    study = Evaluation({OWN: Chain()})
    for scores in of_dataset(Dataset.open(tmp_path / "coco")):
        study.take(scores)
    found = study.findings()
    assert found.row(OWN).segm["AP"] == pytest.approx(1) == found.row(OWN).iou.value
    assert (found.objects, found.ceiling, found.unscored) == (true, None, 4)
    cli = CommandLine(capsys)
    told = cli("evaluate", "objects", "--dataset", tmp_path / "coco")
    assert told.status == 0 and "Average Precision  (AP) @[ IoU=0.50:0.95" in told.out
    # Held against its own file every annotation is right, those of the zeppelin too.
    own = ("--coco", tmp_path / "coco")
    rows = cli("evaluate", "objects", "--dataset", tmp_path / "coco", *own, "--json").json["rows"]
    assert rows[0]["segm"]["AP50"] == pytest.approx(1) and "zeppelin" in {
        e["name"] for e in rows[0]["classes"]
    }
    assert "annotations that are there" in cli.refuses(
        "evaluate", "objects", "--dataset", tmp_path / "coco", "--chain", "titan"
    )
    assert "no dataset in" in cli.refuses("evaluate", "objects", "--dataset", tmp_path / "none")


def test_a_dataset_of_other_pictures_needs_true_masks(dataset: Path) -> None:
    with pytest.raises(InputError, match=r"give .*true masks with --coco"):
        list(of_dataset(Dataset.open(dataset)))
    scores = list(of_dataset(Dataset.open(dataset), dataset))
    assert [each.chains[OWN].iou for each in scores] == [[1.0, 1.0]] * 2


def test_the_command_scores_a_dataset(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = CommandLine(capsys)
    outcome = cli(
        "evaluate", "objects", "--coco", dataset, "--chain", "default", "--figure", tmp_path / "c.png"
    )
    assert outcome.status == 0 and "100" not in outcome.err and (tmp_path / "c.png").is_file()
    assert "class by class" in outcome.out and "zeppelin" in outcome.out
    told = cli("evaluate", "objects", "--coco", dataset, "--chain", "default", "--json").json
    assert told["rows"][0]["iou"]["value"] == 1
    assert "there are: titan" in cli.refuses("evaluate", "objects", "--coco", dataset, "--chain", "titn")
