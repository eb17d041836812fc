"""`diffuscope evaluate objects`: how well chains find objects, against true masks."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from diffuscope.cli import options
from diffuscope.cli.console import note, print_facts, print_json, print_table, progress_bar
from diffuscope.errors import InputError

if TYPE_CHECKING:
    from diffuscope.recording import Level
    from diffuscope.studies.object_accuracy.scoring import Findings

EXAMPLES = [
    "diffuscope evaluate objects",
    "diffuscope evaluate objects --prompts 100 --seeds 3 --figure curves.png --json > objects.json",
    "diffuscope evaluate objects --chain scenes --chain titan",
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

    IoU is the mean over classes of the mean over objects, 0 where nothing was found; AP is computed by pycocotools.
    """
    from diffuscope.analysis.objects.chain import Chain
    from diffuscope.studies.map_accuracy.samples import Counts
    from diffuscope.studies.measuring import LEVELS
    from diffuscope.studies.object_accuracy.scoring import Evaluation
    from diffuscope.studies.object_accuracy.truth import coco as from_coco
    from diffuscope.studies.object_accuracy.truth import drawn
    from diffuscope.studies.object_dataset.worker import needs_of

    names = list(dict.fromkeys(chain or CHAINS))
    study, counts, begun = Evaluation({name: Chain.of(name) for name in names}), Counts(), time.perf_counter()
    if quick:
        prompts, seeds, steps = min(prompts, QUICK_PROMPTS), 1, steps or QUICK_STEPS
    with progress_bar("scoring chains", unit="pictures") as on_picture:
        if coco is not None:
            truths = from_coco(coco, counts, on_picture)
        else:
            from diffuscope import Lens

            lens = Lens.load(model, device=device)
            level = max((needs_of(Chain.of(name).resolved(model)) for name in names), key=LEVELS.index)
            truths = drawn(lens, prompts, seeds, steps, counts, on_picture, level=cast("Level", level))
        for truth in truths:
            study.add([truth])
            if seconds is not None and time.perf_counter() - begun > seconds:
                break
    found = study.findings(counts.missing, time.perf_counter() - begun)
    files = []
    if figure is not None:
        from diffuscope.cli.objects import _save
        from diffuscope.figures.objects_curves import curves

        files.append(
            _save(
                curves(
                    {row.name: row.curve for row in found.rows},
                    found.thresholds,
                    found.ceiling.value,
                    _title(found),
                ),
                figure,
            )
        )
    if as_json:
        print_json({**found.as_json(), "files": [str(file) for file in files]})
        return
    _print(found)
    for file in files:
        note(f"wrote {file}")


def _title(found: "Findings") -> str:
    return f"{found.objects} objects in {found.pictures} pictures of {found.model}"


def _print(found: "Findings") -> None:
    if not found.rows:
        raise InputError("nothing was scored")
    print_facts(
        [
            ("model", found.model),
            ("scored", f"{found.objects} objects in {found.pictures} pictures"),
            (
                "left out",
                f"{found.missing} things that were named and not found in the picture, or named twice",
            ),
            (
                "not scored",
                f"{found.unscored} annotations a chain of categories without a true mask in their picture",
            ),
            ("read by", found.reader),
            ("ceiling", f"{found.ceiling} at threshold {found.ceiling_threshold:.2f}"),
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
            "AP bbox",
            "AP50 bbox",
            "missed",
            "s",
        ],
        [
            [
                row.name,
                str(row.iou),
                f"{100 * row.share:.0f} %",
                *(f"{row.segm[name]:.3f}" for name in ("AP", "AP50", "AP75")),
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
