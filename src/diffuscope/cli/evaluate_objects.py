"""`diffuscope evaluate objects`: how well chains find objects, against true masks."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from diffuscope.cli import options
from diffuscope.cli.console import note, print_facts, print_json, print_table, progress_bar
from diffuscope.errors import InputError

if TYPE_CHECKING:
    from diffuscope.analysis.objects.chain import Chain
    from diffuscope.engine.lens import Lens
    from diffuscope.recording import Level
    from diffuscope.studies.object_accuracy.scoring import Evaluation, Findings

EXAMPLES = [
    "diffuscope evaluate objects",
    "diffuscope evaluate objects --prompts 100 --seeds 3 --figure curves.png --json > objects.json",
    "diffuscope evaluate objects --chain scenes --chain titan",
    "diffuscope evaluate objects --prompts 300 --seeds 1 --table scores.jsonl",
    "diffuscope evaluate objects --dataset DIR",
    "diffuscope evaluate objects --coco FOLDER",
]

CHAINS = ("scenes", "default", "edges", "titan")
QUICK_PROMPTS, QUICK_STEPS = 4, 4


def command(
    model: options.Model = "scenes",
    prompts: Annotated[int, typer.Option(min=1, help="Held-out prompts of the drawn world.")] = 100,
    seeds: Annotated[int, typer.Option(min=1, help="Pictures of each prompt.")] = 3,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Scheduler steps; the model's own number if not given.", show_default=False),
    ] = None,
    device: options.Device = None,
    coco: Annotated[
        Path | None,
        typer.Option(
            "--coco",
            metavar="DIR",
            help="Score recorded runs against a COCO dataset that names them, instead of drawing.",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(
            "--dataset",
            metavar="DIR",
            help="Score the annotations of a dataset that 'objects' made, against --coco or the drawn world's judge.",
            show_default=False,
        ),
    ] = None,
    chain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Chains to compare; may be given several times.", show_default=False
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="S", min=1, help="Stop drawing after so long and score what there is.", show_default=False
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            metavar="F.jsonl",
            help="Keep each picture's scores there; the same call goes on where it was.",
            show_default=False,
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure", metavar="F.png", help="Write the curves over thresholds.", show_default=False
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", metavar="", help="A few pictures of a few steps: a test that all of it runs."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure how well chains find objects: IoU and COCO's average precision against true masks, class by class.

    Prompts of the drawn world are drawn, and its judge says where each object is. Beside the chains stands TITAN's
    own, on the DAAM preset, and the ceiling: the true mask itself, averaged over the finest grid's cells.

    IoU is the mean over classes of the mean over objects, 0 where nothing was found; AP is computed by pycocotools, of
    things that the picture shows ("all": what was found of things that it does not show is an error, too).
    """
    from diffuscope.analysis.objects.chain import Chain
    from diffuscope.studies.object_accuracy.scoring import Evaluation

    begun = time.perf_counter()
    if dataset is not None and (table is not None or chain or figure is not None):
        raise InputError(
            "--dataset scores annotations that are there; --chain, --table and --figure are of maps"
        )
    if coco is not None and table is not None:
        raise InputError("--table is for pictures that are drawn; --coco reads its runs again at once")
    names = list(dict.fromkeys(chain or CHAINS))
    chains = {name: Chain.of(name) for name in names}
    if quick:
        prompts, seeds, steps = min(prompts, QUICK_PROMPTS), 1, steps or QUICK_STEPS
    if dataset is not None:
        study = _of_dataset(dataset, coco)
    elif coco is not None:
        from diffuscope.studies.object_accuracy.truth import coco as from_coco

        study = Evaluation(chains)
        with progress_bar("scoring chains", unit="pictures") as on_picture:
            study.add(from_coco(coco, on_picture))
    else:
        from diffuscope import Lens

        until = None if seconds is None else begun + seconds
        study = _drawn(Lens.load(model, device=device), chains, prompts, seeds, steps, table, until)
    found = study.findings(time.perf_counter() - begun)
    files = []
    if figure is not None and found.ceiling is not None:
        from diffuscope.cli.objects import _save
        from diffuscope.figures.objects_curves import curves

        rows = {row.name: row.curve for row in found.rows}
        files.append(_save(curves(rows, found.thresholds, found.ceiling.value, _title(found)), figure))
    if as_json:
        print_json({**found.as_json(), "files": [str(file) for file in files]})
        return
    _print(found)
    if dataset is not None:
        _print_summary(found)
    for file in files:
        note(f"wrote {file}")


def _drawn(
    lens: "Lens",
    chains: "Mapping[str, Chain]",
    prompts: int,
    seeds: int,
    steps: int | None,
    table: Path | None,
    until: float | None,
) -> "Evaluation":
    """Held-out prompts, drawn and scored; those that the table has are not drawn again."""
    from diffuscope.studies.measuring import LEVELS
    from diffuscope.studies.object_accuracy.scores import score
    from diffuscope.studies.object_accuracy.scoring import Evaluation
    from diffuscope.studies.object_accuracy.table import ScoreTable
    from diffuscope.studies.object_accuracy.truth import drawn, orders
    from diffuscope.studies.object_dataset.worker import needs_of

    about = {
        "model": lens.loaded.id,
        "weights": _fingerprint({file.path: file.sha256 for file in lens.loaded.files}),
        "steps": steps,
        "chains": {name: each.plain() for name, each in chains.items()},
    }
    scores = ScoreTable(table, about)
    asked = orders(prompts, seeds)
    left = [each for each in asked if each.key not in scores]
    if len(left) < len(asked):
        note(f"{len(asked) - len(left)} of {len(asked)} pictures were scored before")
    levels = (needs_of(each.resolved(lens.loaded.id)) for each in chains.values())
    level = max(levels, key=LEVELS.index)
    with progress_bar("scoring chains", unit="pictures") as on_picture:
        for truth in drawn(lens, left, steps, on_picture, level=cast("Level", level)):
            scores.add(score(truth, chains))
            if until is not None and time.perf_counter() > until:
                break
    study = Evaluation(chains)
    for each in asked:
        if each.key in scores:
            study.take(scores[each.key])
    return study


def _of_dataset(folder: Path, truth: Path | None) -> "Evaluation":
    """The annotations of a dataset, by what is true of its pictures."""
    from diffuscope.analysis.objects.chain import Chain
    from diffuscope.datasets import Dataset
    from diffuscope.studies.object_accuracy.of_dataset import OWN, of_dataset
    from diffuscope.studies.object_accuracy.scoring import Evaluation

    opened = Dataset.open(folder)
    study = Evaluation({OWN: Chain.of(opened.made_by)})
    with progress_bar("scoring annotations", unit="pictures") as on_picture:
        for scores in of_dataset(opened, truth, on_picture):
            study.take(scores)
    return study


def _fingerprint(files: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:32]


def _title(found: "Findings") -> str:
    return f"{found.objects} objects in {found.pictures} pictures of {found.model}"


def _print_summary(found: "Findings") -> None:
    """What pycocotools says, as it says it."""
    for kind, said in found.rows[0].said.items():
        typer.echo(f"\n{kind}\n{said}")


def _print(found: "Findings") -> None:
    if not found.rows:
        raise InputError("nothing was scored")
    print_facts(
        [
            ("model", found.model),
            ("scored", f"{found.objects} objects in {found.pictures} pictures of {found.prompts} prompts"),
            (
                "left out",
                f"{found.missing} things that were named and not found in the picture, or named twice",
            ),
            (
                "errors of 'all'",
                f"{found.unmarked} annotations a chain of things that their picture does not show",
            ),
            (
                "not scored",
                f"{found.unscored} annotations a chain of what has no true mask anywhere (places)",
            ),
            ("read by", found.reader),
            *(
                [("ceiling", f"{found.ceiling} at threshold {found.ceiling_threshold:.2f}")]
                if found.ceiling is not None
                else []
            ),
            ("took", f"{found.seconds:.0f} s"),
        ]
    )
    typer.echo("")
    print_table(
        [
            "chain",
            "IoU",
            "of ceiling",
            "AP segm",
            "AP50 segm",
            "AP75 segm",
            "AP50 segm, all",
            "AP bbox",
            "AP50 bbox",
            "missed",
            "s",
        ],
        [
            [
                row.name,
                str(row.iou),
                "" if row.share is None else f"{100 * row.share:.0f} %",
                *(f"{row.segm[name]:.3f}" for name in ("AP", "AP50", "AP75")),
                f"{row.segm_all['AP50']:.3f}",
                *(f"{row.bbox[name]:.3f}" for name in ("AP", "AP50")),
                str(row.missed),
                f"{row.seconds:.2f}",
            ]
            for row in found.rows
        ],
    )
    best = max(found.rows, key=lambda row: row.iou.value)
    typer.echo(f"\n{best.name}, class by class")
    print_table(
        ["class", "objects", "IoU", "AP50 segm", "AP50 bbox"],
        [
            [
                each.name,
                str(each.objects),
                f"{each.iou:.3f}",
                _number(each.ap50_segm),
                _number(each.ap50_bbox),
            ]
            for each in best.classes
        ],
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
