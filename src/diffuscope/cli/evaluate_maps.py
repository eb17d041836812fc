"""`diffuscope evaluate maps`: segmentation accuracy of every way of making a map."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from diffuscope.cli import options
from diffuscope.cli.console import note, print_facts, print_json, print_table, progress_bar
from diffuscope.errors import RunFolderError

if TYPE_CHECKING:
    from diffuscope.studies.map_accuracy.study import Findings, Study

EXAMPLES = [
    "diffuscope evaluate maps",
    "diffuscope evaluate maps --prompts 100 --seeds 3 --figure maps.png --json > maps.json",
    "diffuscope evaluate maps --scores scores --workers 2 --preset-out scenes.json",
    "diffuscope evaluate maps --coco FOLDER",
]

QUICK_PROMPTS, QUICK_STEPS = 6, 4


def command(
    model: options.Model = "scenes",
    prompts: Annotated[int, typer.Option(help="Held-out prompts of the drawn world.")] = 100,
    seeds: Annotated[int, typer.Option(help="Pictures of each prompt.")] = 3,
    steps: Annotated[
        int | None,
        typer.Option(help="Scheduler steps; the model's own number if not given.", show_default=False),
    ] = None,
    device: options.Device = None,
    coco: Annotated[
        Path | None,
        typer.Option(
            "--coco",
            metavar="DIR",
            help="Score recorded runs with masks instead of drawing.",
            show_default=False,
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            metavar="DIR",
            help="Write each picture's scores here as they are made; the same command goes on from there.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=1, help="Processes that draw and score."),
    ] = 1,
    preset_out: Annotated[
        Path | None,
        typer.Option(
            "--preset-out", metavar="F.json", help="Write the preset that was tuned.", show_default=False
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure", metavar="F.png", help="Write maps of one prompt beside its mask.", show_default=False
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="F.md", help="Write the table as Markdown.", show_default=False),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", metavar="", help="A few pictures of a few steps: a test that all of it runs."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure how well maps find objects: IoU with true masks, for words, phrases, sites, steps, refinements, regions.

    Prompts of the drawn world are drawn, and its judge says where each object is. Half of the prompts choose
    thresholds and heads; the numbers are those of the other half, with 95% intervals from resampling prompts.
    """
    from diffuscope.studies.execution.local import LocalExecutor
    from diffuscope.studies.map_accuracy.evaluating import evaluate, scored
    from diffuscope.studies.map_accuracy.markdown import markdown as told
    from diffuscope.studies.map_accuracy.samples import coco_folder, orders
    from diffuscope.studies.map_accuracy.study import Study

    if quick:
        prompts, seeds, steps = min(prompts, QUICK_PROMPTS), 1, steps or QUICK_STEPS
    asked = orders(prompts, seeds)
    study, begun = Study(), time.perf_counter()
    with progress_bar("scoring maps", unit="pictures") as on_picture, TemporaryDirectory() as temporary:
        if coco is not None:
            study.add(scored(coco_folder(coco, on_picture), scores))
        else:
            study.add(
                evaluate(
                    asked,
                    scores or Path(temporary),
                    model=model,
                    steps=steps,
                    device=device,
                    executor=LocalExecutor(workers) if workers > 1 else None,
                    on_picture=on_picture,
                )
            )
        found = study.findings(time.perf_counter() - begun)
        files = []
        if preset_out is not None and found.preset is not None:
            files.append(_written(preset_out, found.preset.save))
        if markdown is not None:
            files.append(_written(markdown, lambda path: path.write_text(told(found), encoding="utf-8")))
        if figure is not None and study.examples:
            files.append(_written(figure, lambda path: _figure(study, found, path)))
    if as_json:
        print_json({**found.as_json(), "files": [str(file) for file in files]})
        return
    _print(found)
    for file in files:
        note(f"wrote {file}")


def _print(found: "Findings") -> None:
    scored = (
        f"{found.objects} objects ({found.coloured} with a colour word) of {found.classes} classes in "
        f"{found.pictures} pictures of {found.prompts} prompts"
    )
    tuned = "{2} objects in {1} pictures of {0} other prompts".format(*found.tuned_on)
    control = "no reported picture shows several things"
    if found.control is not None:
        control = (
            f"IoU {found.control.own} with its own thing, {found.control.other} with another of the picture "
            f"({found.control.pictures} pictures)"
        )
    print_facts(
        [
            ("model", f"{found.model.split(' ')[0]}, {found.steps} steps"),
            ("scored", scored),
            ("tuned on", tuned),
            ("left out", f"{found.missing} things that were named and not found, or stand twice"),
            ("best general", f"{found.general}: {100 * found.row(found.general).share:.0f} % of the ceiling"),
            ("control", control),
            ("preset", str(found.preset) if found.preset is not None else "none"),
            ("took", f"{found.seconds:.0f} s"),
        ]
    )
    print_table(
        [
            "map",
            "IoU at 0.4",
            "IoU at best",
            "at",
            "of ceiling",
            "pixels right",
            "AP",
            "ahead of DAAM",
            "of its phrase",
        ],
        [
            [
                row.name,
                str(row.iou),
                str(row.best),
                f"{row.threshold:.2f}",
                f"{100 * row.share:.0f} %",
                f"{row.accuracy.value:.3f}",
                str(row.ap),
                str(row.ahead),
                str(row.ahead_phrase),
            ]
            for row in found.rows
        ],
    )


def _figure(study: "Study", found: "Findings", path: Path) -> object:
    from diffuscope.figures.map_accuracy import side_by_side
    from diffuscope.studies.map_accuracy.methods import DAAM_PHRASE, PHRASE

    example = study.examples[0]
    assert example.material is not None
    names = {"DAAM preset": DAAM_PHRASE, "default": PHRASE, "refined": found.general}
    maps = {caption: example.shown[name] for caption, name in names.items() if name in example.shown}
    picture = side_by_side(
        example.material.picture, maps, example.material.masks[0], example.prompt, example.objects[0].phrase
    )
    picture.save(path, "PNG")
    return path


def _written(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file by a function of its path.

    Raises:
        RunFolderError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
    return path
