"""`diffuscope steps`: how a word's map comes to be, step by step."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, progress_bar
from diffuscope.cli.question import Question, open_run
from diffuscope.errors import RunFolderError

if TYPE_CHECKING:
    from diffuscope.run import Run

EXAMPLES = """[bold]Examples[/bold]

diffuscope steps RUN --word circle --out circle-steps
diffuscope steps RUN --phrase "red circle" --steps 0:12 --out early
diffuscope steps RUN --concept roof --out roof --values roof.npz
diffuscope steps RUN --global --clean --out all-words
diffuscope steps RUN --word circle --sites "cross:up.*" --out up --json"""

SHEET = "all-steps.png"
CLEAN_SHEET = "all-clean.png"
ANIMATION = "all-steps.gif"


class Moving(StrEnum):
    """File of the moving picture."""

    gif = "gif"
    mp4 = "mp4"


class ScaleOfSteps(StrEnum):
    """Range of colours of the steps' maps."""

    shared = "shared"
    step = "step"
    raw = "raw"


def command(
    run: options.RunArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the pictures.", show_default=False)
    ],
    word: options.Word = None,
    steps: options.Steps = None,
    sites: options.Sites = None,
    heads: options.Heads = None,
    selection: options.SelectionText = None,
    phrase: options.Phrase = None,
    concept: options.Concept = None,
    weights: options.Weights = None,
    combine: options.Combine = options.Combination.mean,
    reduce: options.Reduce = options.Reduction.sum,
    against: options.Against = options.Softmax.own,
    model: options.RunModel = None,
    every: Annotated[
        bool,
        typer.Option("--global", metavar="", help="All words of the prompt together, in place of one."),
    ] = False,
    clean: Annotated[
        bool,
        typer.Option(
            "--clean",
            metavar="",
            help="Also the predicted clean picture of each step, and what changed since the step before.",
        ),
    ] = False,
    values: Annotated[
        list[Path] | None,
        typer.Option(
            "--values",
            metavar="F",
            help="File of all steps' values, again for more: .npy, .npz, .csv, .tif, .exr, .zarr.",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        ScaleOfSteps,
        typer.Option("--scale", help="Range of colours: one for all steps, each step's own, or 0 to 1."),
    ] = ScaleOfSteps.shared,
    moving: Annotated[
        Moving, typer.Option("--moving", help="The moving picture: a GIF, or an MP4 (extra 'export').")
    ] = Moving.gif,
    colormap: options.Colormap = "magma",
    fps: Annotated[float, typer.Option(help="Steps a second in the moving picture.")] = 6.0,
    as_json: options.AsJson = False,
) -> None:
    """Write a word's map at every step: one PNG a step, all of them on one sheet, and a moving picture.

    All steps share one range of colours, so they can be compared (--scale). Behind each map is the clean picture that
    the model predicted at that step.
    """
    from diffuscope.figures.animation import frames, write_animation
    from diffuscope.figures.strip import write_strip
    from diffuscope.maps.export import save_values

    opened = open_run(run)
    if every:
        if any(each is not None for each in (word, phrase, concept, selection)):
            raise typer.BadParameter(
                "--global stands for all words: leave out --word, --phrase, --concept, --selection"
            )
        phrase = " + ".join(each.label for each in opened.words)
    question = Question.of(
        opened,
        word,
        steps,
        sites,
        heads,
        selection,
        phrase=phrase,
        concept=concept,
        against=against.value,
        model=model,
    )
    asked, view = question.selection, question.view
    together: dict[str, Any] = {"reduce": reduce.value, "weights": weights, "combine": combine.value}
    chosen: dict[str, Any] = {
        "steps": asked.steps,
        "sites": asked.sites,
        "heads": asked.heads,
        "colormap": colormap,
        "scale": scale.value,
        **together,
    }
    series = view.steps(asked.steps, asked.sites, asked.heads, **together)
    make_folder(out)
    written = [save_values(series.labelled(), path) for path in values or []]
    pictures = []
    with progress_bar("drawing", unit="files") as on_file:
        total = len(series) + 2
        on_file(0, total)
        for done, (step, frame) in enumerate(zip(series.steps, frames(view, **chosen), strict=True), start=1):
            path = out / f"step-{step:04d}.png"
            frame.save(path)
            pictures.append(path)
            on_file(done, total)
        sheet = write_strip(view, out / SHEET, **chosen)
        on_file(total - 1, total)
        animation = write_animation(
            view, (out / ANIMATION).with_suffix(f".{moving.value}"), fps=fps, **chosen
        )
        on_file(total, total)
    cleaned = write_clean(opened, series.steps, out, colormap) if clean else []
    if as_json:
        print_json(
            {
                "run": str(opened.path),
                "word": view.label,
                "concept": series.selection.concept,
                "selection": str(series.selection),
                "unit": series.unit,
                "steps": [
                    {"step": step, "mass": float(mass), "file": str(path)}
                    for step, mass, path in zip(series.steps, series.mass, pictures, strict=True)
                ],
                "sheet": str(sheet),
                "animation": str(animation),
                "values": [str(path) for path in written],
                "clean": [str(path) for path in cleaned],
            }
        )
        return
    mass = series.mass
    ends = (mass[0], mass[-1]) if len(mass) > 1 else (mass[0],)
    peak = series.steps[int(mass.argmax())]
    print_facts(
        [
            ("map", f"{view.label}  ({series.selection})"),
            (
                "mass",
                f"{' … '.join(f'{value:.4g}' for value in ends)}, most at step {peak}: {mass.max():.4g}",
            ),
            ("", f"(mean {series.unit} over the picture, first … last step)"),
            ("wrote", f"{len(pictures)} pictures in {out}"),
            ("sheet", str(sheet)),
            ("moving", str(animation)),
            *(("values", str(path)) for path in written),
            *([("clean", f"{len(cleaned)} files in {out}")] if cleaned else []),
        ]
    )


def write_clean(run: "Run", steps: tuple[int, ...], out: Path, colormap: str) -> list[Path]:
    """Write the predicted clean picture of each step, its difference from the step before, and all on one sheet.

    Raises:
        NotKeptError: the run was recorded without previews.
    """
    from diffuscope.figures.clean import clean_sheet, differences, predicted
    from diffuscope.maps.colormap import DisplayScale
    from diffuscope.maps.picture import paint

    pictures = predicted(run, steps)
    apart = differences(pictures)
    files = []
    for at, (step, picture) in enumerate(zip(steps, pictures, strict=True)):
        files.append(out / f"clean-{step:04d}.png")
        picture.save(files[-1])
        if at:
            files.append(out / f"difference-{step:04d}.png")
            size = picture.height, picture.width
            paint(apart[at - 1], size, DisplayScale.of(apart), colormap).save(files[-1])
    files.append(out / CLEAN_SHEET)
    clean_sheet(run, steps, colours=colormap).save(files[-1])
    return files


def make_folder(path: Path) -> None:
    """Make a folder for pictures.

    Raises:
        RunFolderError: it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial = path / f"{ANIMATION}.part"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise RunFolderError(
            f"cannot write to {path}: {error.strerror or error}; name another folder with --out"
        ) from error
