"""Scoring chains: against counts made here, pycocotools, and a dataset whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.analysis.objects.chain import Chain
from diffuscope.datasets.records import encode
from diffuscope.errors import InputError, RunNotFoundError
from diffuscope.studies.map_accuracy.samples import Counts
from diffuscope.studies.object_accuracy.scoring import Evaluation, average_precision
from diffuscope.studies.object_accuracy.truth import Marked, Truth, coco


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, whose truth is what the default chain finds."""
    folder = tmp_path_factory.mktemp("truth")
    runs = [make_run(folder / f"run-{seed}", steps=1, seed=seed) for seed in range(2)]
    ds.annotate(runs, "default").to_coco(folder / "coco")
    return folder / "coco"


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
    found, by_class = average_precision(images, truths, results, {"cat": 1}, kind)
    half = 0.5 * 51 / 101  # COCO's 101 levels of recall
    assert found["AP50"] == pytest.approx(half) and by_class["cat"] == pytest.approx(half)
    assert found["AP"] == pytest.approx(half * 7 / 10)  # right at IoU 0.5 to 0.8 of 0.5 to 0.95
    assert average_precision(images, truths, [], {"cat": 1}, kind)[0]["AP"] == 0
    others = [*results, note(1, box(0, 60), category="sky", score=1.0)]
    assert average_precision(images, truths, others, {"cat": 1}, kind)[0] == found


def test_a_chain_scored_on_its_own_masks_is_perfect(dataset: Path) -> None:
    study = Evaluation({"default": Chain(), "blurred": Chain(blur=0.06), "titan": Chain.of("titan")})
    counts = Counts()
    study.add(coco(dataset, counts))
    found = study.findings()
    row = found.row("default")
    assert row.iou.value == 1 and row.segm["AP"] == pytest.approx(1) == row.bbox["AP"] and row.missed == 0
    assert found.row("blurred").iou.value < 1 and found.pictures == counts.pictures == 2
    assert found.row("titan").iou.value < 1 and {each.name for each in row.classes} == {"circle", "zeppelin"}
    assert all(each.iou == 1 for each in row.classes) and 0 < found.ceiling.value < 1
    assert max(row.curve) <= 1 and len(row.curve) == len(found.thresholds)


def test_iou_is_the_mean_over_classes_and_nothing_found_counts_zero(tmp_path: Path) -> None:
    run = ds.open(make_run(tmp_path / "run", steps=1))
    truth = [Marked(each.category, each.mask) for each in run.objects("default")]
    shape = truth[0].mask.shape
    absent = np.zeros(shape, bool)
    absent[:4, :4] = True
    study = Evaluation({"default": Chain()})
    study.add([Truth(run, (*truth, Marked("dog", absent)), 0)])
    found = study.findings().row("default")
    assert found.iou.value == pytest.approx(2 / 3) and found.missed == 1
    half = truth[1].mask.copy()
    half[: np.nonzero(half)[0].mean().astype(int)] = False
    study = Evaluation({"default": Chain()})
    study.add([Truth(run, (Marked(truth[1].category, half),), 0)])
    own = next(each.mask for each in run.objects("default") if each.category == truth[1].category)
    both = [each.mask for each in run.objects("default") if each.category == truth[1].category]
    union = np.any(both, axis=0)
    assert own.any() and study.findings().row("default").iou.value == pytest.approx(
        (union & half).sum() / (union | half).sum()
    )


def test_bad_truth_is_refused(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(RunNotFoundError):
        list(coco(tmp_path, Counts()))
    (tmp_path / "annotations.json").write_text('{"images": []}')
    with pytest.raises(InputError, match="no COCO file"):
        list(coco(tmp_path, Counts()))
    with pytest.raises(InputError, match="at least one chain"):
        Evaluation({})
    with pytest.raises(InputError, match="no picture shows"):
        Evaluation({"default": Chain()}).findings()


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
