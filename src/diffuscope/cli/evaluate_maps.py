"""`diffuscope evaluate maps`: segmentation accuracy of every way of making a map."""

import time
from collections.abc import Callable
from pathlib import Path
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
    "diffuscope evaluate maps --preset-out scenes.json",
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
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", metavar="", help="A few pictures of a few steps: a test that all of it runs."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure how well maps find objects: IoU with true masks, for words, phrases, sites, steps, refinements, regions.

    Prompts of the drawn world are drawn, and its judge says where each object is. Half of the pictures choose
    thresholds and heads; the numbers are those of the other half, with 95% intervals from resampling pictures.
    """
    from diffuscope.studies.map_accuracy.samples import Counts, checked_prompt_count, coco_folder, scenes
    from diffuscope.studies.map_accuracy.study import Study

    if quick:
        prompts, seeds, steps = min(prompts, QUICK_PROMPTS), 1, steps or QUICK_STEPS
    checked_prompt_count(prompts, seeds)
    study, counts, begun = Study(), Counts(), time.perf_counter()
    with progress_bar("scoring maps", unit="pictures") as on_picture:
        if coco is not None:
            study.add(coco_folder(coco, counts, on_picture))
        else:
            from diffuscope import Lens

            lens = Lens.load(model, device=device)
            study.add(scenes(lens, prompts, seeds, steps, counts, on_picture))
    found = study.findings(counts.missing, time.perf_counter() - begun)
    files = []
    if preset_out is not None and found.preset is not None:
        files.append(_written(preset_out, found.preset.save))
    if figure is not None and study.example is not None:
        files.append(_written(figure, lambda path: _figure(study, found, path)))
    if as_json:
        print_json({**found.as_json(), "files": [str(file) for file in files]})
        return
    _print(found)
    for file in files:
        note(f"wrote {file}")


def _print(found: "Findings") -> None:
    print_facts(
        [
            ("model", f"{found.model}, {found.steps} steps"),
            ("scored", f"{found.objects} objects of {found.classes} classes in {found.pictures} pictures"),
            ("tuned on", f"{found.tuned_on[1]} objects in {found.tuned_on[0]} other pictures"),
            ("left out", f"{found.missing} things that were named and not found, or named twice"),
            ("preset", str(found.preset) if found.preset is not None else "none"),
            ("took", f"{found.seconds:.0f} s"),
        ]
    )
    print_table(
        ["map", "IoU at 0.4", "IoU at best", "at", "of ceiling", "pixels right", "AP", "ahead of DAAM"],
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
            ]
            for row in found.rows
        ],
    )


def _figure(study: "Study", found: "Findings", path: Path) -> object:
    from diffuscope.figures.map_accuracy import side_by_side
    from diffuscope.studies.map_accuracy.methods import DAAM, DEFAULT, PHRASE

    example = study.example
    assert example is not None
    refined = max(
        (row for row in found.rows if row.group == "refined" and row.name in example.maps),
        key=lambda row: row.best.value,
    )
    names = {
        "DAAM preset": DAAM,
        "default, word": DEFAULT,
        "default, phrase": PHRASE,
        "refined, phrase": refined.name,
    }
    maps = {caption: example.maps[name] for caption, name in names.items() if name in example.maps}
    picture = side_by_side(example.image, maps, example.target.mask, example.prompt, example.target.phrase)
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
