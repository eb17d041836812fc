"""`diffuscope steps`: how a word's map comes to be, step by step."""

from pathlib import Path
from typing import Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, progress_bar
from diffuscope.cli.question import Question, open_run
from diffuscope.errors import RunFolderError

EXAMPLES = """[bold]Examples[/bold]

diffuscope steps RUN --word circle --out circle-steps
diffuscope steps RUN --word "red circle" --steps 0:12 --out early
diffuscope steps RUN --word circle --sites "cross:up.*" --out up --json"""

SHEET = "all-steps.png"
ANIMATION = "all-steps.gif"


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
    colormap: options.Colormap = "magma",
    fps: Annotated[float, typer.Option(help="Steps a second in the GIF.")] = 6.0,
    as_json: options.AsJson = False,
) -> None:
    """Write a word's map at every step: one PNG a step, all of them on one sheet, and a GIF.

    All steps share one range of colours, so they can be compared. Behind each map is the clean picture that
    the model predicted at that step.
    """
    from diffuscope.figures.animation import frames, write_animation
    from diffuscope.figures.strip import write_strip

    opened = open_run(run)
    question = Question.of(opened, word, steps, sites, heads, selection)
    asked, view = question.selection, question.view
    chosen: dict[str, Any] = {
        "steps": asked.steps,
        "sites": asked.sites,
        "heads": asked.heads,
        "colormap": colormap,
    }
    series = view.steps(asked.steps, asked.sites, asked.heads)
    make_folder(out)
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
        animation = write_animation(view, out / ANIMATION, fps=fps, **chosen)
        on_file(total, total)
    if as_json:
        print_json(
            {
                "run": str(opened.path),
                "word": view.label,
                "selection": str(series.selection),
                "unit": series.unit,
                "steps": [
                    {"step": step, "mass": float(mass), "file": str(path)}
                    for step, mass, path in zip(series.steps, series.mass, pictures, strict=True)
                ],
                "sheet": str(sheet),
                "animation": str(animation),
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
        ]
    )


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
