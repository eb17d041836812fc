"""Objects on the drawn world: a dataset of many prompts with what it costs and how good it is; a chain settled anew.

    python benchmarks/objects.py [--parts dataset] [--pictures 1000] [--seeds 2] [--out DIR] [--model scenes]
                                 [--json FILE]
    python benchmarks/objects.py --parts settle [--pictures 40] [--json FILE]

`dataset`: held-out prompts, each drawn with so many seeds, through the study's executor (`draw_dataset`) into a COCO
dataset, which pycocotools then scores against the judge's masks. With `--out` the same call goes on where it was.
Processor time is that of the leader and its workers together.

`settle`: which chain is best on prompts of the *training* side, one stage at a time, twice through all stages, from
the default chain. The preset `scenes` of `analysis/objects/chain.py` was settled on such prompts; no held-out prompt is
looked at.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from measuring import describe_machine, machine, megabytes, parser_of, say, table, write_json

from diffuscope.analysis.objects.chain import PRESETS, Chain
from diffuscope.datasets import Dataset
from diffuscope.engine.lens import Lens
from diffuscope.errors import InputError
from diffuscope.figures.objects import sheet_of_dataset
from diffuscope.scenes import standard_prompts
from diffuscope.studies.object_accuracy.of_dataset import OWN, of_dataset
from diffuscope.studies.object_accuracy.scores import score
from diffuscope.studies.object_accuracy.scoring import Evaluation
from diffuscope.studies.object_accuracy.truth import Truth, drawn, orders
from diffuscope.studies.object_dataset import draw_dataset

PARTS = ("dataset", "settle")
STAGES: dict[str, tuple[Any, ...]] = {
    "map": ("phrase", "word"),
    "steps": ("all", "late"),
    "sites": ("all", "finest"),
    "refine": ("", "floor", "edges"),
    "threshold": ("otsu", 0.3, 0.4, 0.5, 0.6, 0.7),
    "overlap": ("argmax", "smaller"),
}
"""What `settle` tries, in this order."""


def _used() -> tuple[float, int]:
    """Processor seconds of this process and of those that it has waited for, and the peak memory of the latter."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    spent = sum(each.ru_utime + each.ru_stime for each in (own, children))
    return spent, children.ru_maxrss * 1024


# A dataset.


def dataset(
    folder: Path, pictures: int, seeds: int, model: str, workers: int | None, steps: int | None = None
) -> dict[str, Any]:
    """Draw it, score it, and say what it took. What `folder` has already is not drawn again."""
    texts = [prompt.text for prompt in standard_prompts(-(-pictures // seeds))]
    before, began = _used()[0], time.perf_counter()

    def progress(done: int, failed: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            say(f"{done} of {total} pictures, {failed} failed, {time.perf_counter() - began:.0f} s")

    drawing = draw_dataset(
        texts,
        folder,
        seeds=seeds,
        model=model,
        settings={} if steps is None else {"steps": steps},
        workers=workers,
        on_progress=progress,
    )
    spent, peak = _used()
    committed = drawing.outcome.committed
    study, opened = Evaluation({OWN: Chain.of(Dataset.open(folder).made_by)}), Dataset.open(folder)
    for scores in of_dataset(opened):
        study.take(scores)
    sheet_of_dataset(opened).save(folder.with_name(f"{folder.name}-sheet.png"))
    return {
        "pictures": len(opened),
        "annotations": sum(len(each.annotations) for each in opened),
        "drawn_now": committed,
        "failed": len(drawing.summary.failed),
        "seconds": drawing.outcome.seconds,
        "start_seconds": drawing.outcome.start_seconds,
        "pictures_a_second": drawing.pictures_a_second,
        "processor_seconds_a_picture": (spent - before) / committed if committed else None,
        "peak_of_leader": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "peak_of_worker": peak,
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "findings": study.findings().as_json(),
    }


def print_dataset(told: dict[str, Any]) -> None:
    """What it took, and pycocotools' own summary."""
    each = told["processor_seconds_a_picture"]
    found = told["findings"]
    print(
        f"\n{told['pictures']} pictures, {told['annotations']} annotations, {told['failed']} failed; "
        f"{told['bytes'] / max(1, told['pictures']) / 1000:.1f} kB a picture\n"
        f"drawn now: {told['drawn_now']}, {told['pictures_a_second']:.2f} a second after a start of "
        f"{told['start_seconds']:.0f} s"
        + (f"; {each:.2f} s of processor time a picture" if each else "")
        + "\n"
        f"peak memory: leader {megabytes(told['peak_of_leader'])}, worker {megabytes(told['peak_of_worker'])}\n"
        f"scored: {found['objects']} objects; {found['missing']} things named and not shown, or twice; "
        f"{found['unmarked']} annotations of things that are not shown; {found['unscored']} of places"
    )
    row = found["rows"][0]
    iou = row["iou"]
    print(f"IoU {iou['value']:.3f} ({iou['low']:.3f} to {iou['high']:.3f}), {row['missed']} missed")
    for kind, said in row["said"].items():
        print(f"\n{kind}\n{said}")
    print(
        "\nwith annotations of things that are not shown as errors: "
        + ", ".join(f"{kind} AP50 {row[f'{kind}_all']['AP50']:.3f}" for kind in ("segm", "bbox"))
    )


# A chain.


def settle(truths: Sequence[Truth]) -> list[dict[str, Any]]:
    """Stage by stage from the default chain, twice through: what was tried and how good it was, in order."""
    chosen, tried = Chain(), dict[str, dict[str, Any]]()
    for _ in range(2):
        for name, options in STAGES.items():
            rows = []
            for option in options:
                chain = Chain.of(chosen, **{name: option})
                if str(chain) not in tried:
                    tried[str(chain)] = _tried(chain, truths)
                rows.append((tried[str(chain)]["iou"], chain))
            chosen = max(rows, key=lambda each: each[0])[1]
        say(f"settled so far: {chosen}")
    for name, preset in PRESETS.items():
        tried.setdefault(str(preset), _tried(preset, truths))
        tried[str(preset)]["preset"] = name
    tried[str(chosen)]["settled"] = True
    return sorted(tried.values(), key=lambda each: -each["iou"])


def _tried(chain: Chain, truths: Sequence[Truth]) -> dict[str, Any]:
    study = Evaluation({"tried": chain})
    for truth in truths:
        study.take(score(truth, {"tried": chain}))
    row = study.findings().row("tried")
    return {"chain": str(chain), "iou": row.iou.value, "ap50": row.segm["AP50"], "ap75": row.segm["AP75"]}


def print_settled(told: dict[str, Any], shown: int = 15) -> None:
    print(f"\n{told['objects']} objects in {told['pictures']} pictures of training prompts\n")
    rows = [
        [
            each["chain"],
            *(f"{each[name]:.3f}" for name in ("iou", "ap50", "ap75")),
            " ".join(["settled"] * each.get("settled", False) + [each.get("preset", "")]).strip(),
        ]
        for at, each in enumerate(told["tried"])
        if at < shown or each.get("settled") or each.get("preset")
    ]
    print(table(["chain", "IoU", "AP50", "AP75", ""], rows), flush=True)


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--parts", default="dataset", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--pictures", type=int, help="by default 1000 of a dataset, 40 to settle on")
    parser.add_argument("--seeds", type=int, default=2, help="pictures of each prompt of the dataset")
    parser.add_argument("--model", default="scenes")
    parser.add_argument("--steps", type=int, help="of the scheduler; the model's own by default")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--out", type=Path, help="folder of the dataset; one for a while by default")
    options = parser.parse_args()
    parts, where = options.parts.split(","), machine()
    print(describe_machine(where), flush=True)
    steps = options.steps or (2 if options.quick else None)
    results: dict[str, Any] = {}
    assert {field.name for field in fields(Chain)} >= set(STAGES)
    with tempfile.TemporaryDirectory() as temporary:
        if "dataset" in parts:
            folder = options.out or Path(temporary) / "dataset"
            pictures = 3 if options.quick else options.pictures or 1000
            results["dataset"] = dataset(
                folder, pictures, options.seeds, options.model, options.workers, steps
            )
            print_dataset(results["dataset"])
    if "settle" in parts:
        lens, truths = Lens.load(options.model), []
        asked = orders(4 if options.quick else options.pictures or 40, 1, "train")
        # Recordings lie in a folder that goes with its batch: all of them in one.
        for truth in drawn(lens, asked, steps, level="maps", batch=len(asked)):
            truths.append(truth)
            if len(truths) == len(asked):
                shown = [each for each in truths if each.objects]
                if not shown:
                    raise InputError("no picture shows a thing that was asked for; draw more")
                tried = settle(shown)
                objects = sum(len(each.objects) for each in shown)
                results["settle"] = {"tried": tried, "pictures": len(truths), "objects": objects}
                print_settled(results["settle"])
    write_json(options.json, "objects", where, results)


if __name__ == "__main__":
    main()
