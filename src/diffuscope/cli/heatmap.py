"""`diffuscope heatmap`: where the model looked for a word."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, show_warnings
from diffuscope.cli.question import Question, open_run
from diffuscope.errors import NotKeptError

if TYPE_CHECKING:
    from PIL import Image

    from diffuscope.maps.heatmap import Heatmap
    from diffuscope.run import Run

EXAMPLES = """[bold]Examples[/bold]

diffuscope heatmap RUN --word circle
diffuscope heatmap RUN --word "red circle" --steps 0:10 --out early.png
diffuscope heatmap RUN --word circle --sites "cross:up.*" --heads 3 --npy circle.npy
diffuscope heatmap RUN --selection "steps=0:10 word=circle" --json

diffuscope info RUN lists the words and sites there are."""


def command(
    run: options.RunArgument,
    word: options.Word = None,
    steps: options.Steps = None,
    sites: options.Sites = None,
    heads: options.Heads = None,
    selection: options.SelectionText = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="F.png", help="Picture to write. Default: WORD.png.", show_default=False
        ),
    ] = None,
    npy: Annotated[
        Path | None,
        typer.Option(
            "--npy",
            metavar="F.npy",
            help="Write the exact values: float32, rows from the top, columns.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="S",
            help="Cells of the map: 'finest' (kept grid, default), 'native', 'image', longer side, or 'HxW'.",
            show_default=False,
        ),
    ] = None,
    reduce: options.Reduce = options.Reduction.sum,
    alpha: Annotated[
        float, typer.Option(help="Opacity over the picture: 0 only the picture, 1 only the map.")
    ] = 0.6,
    colormap: options.Colormap = "magma",
    smooth: Annotated[
        bool, typer.Option("--smooth", metavar="", help="Smooth between cells, for the eye only.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a word's map over the picture: where the model looked at the word while it drew.

    Values are attention probabilities, averaged over heads, then sites, then steps. The picture's colours go
    from the map's smallest to its largest value, and its scale says so; --npy holds the values themselves.
    """
    opened = open_run(run)
    question = Question.of(opened, word, steps, sites, heads, selection)
    asked = question.selection
    heatmap = question.view.map(
        asked.steps, asked.sites, asked.heads, reduce=reduce.value, size=read_size(size)
    )
    files = []
    if npy is not None:
        files.append(heatmap.save(with_suffix(npy, ".npy")))
    if out is not None or npy is None:
        path = with_suffix(out, ".png") if out is not None else Path(file_name(heatmap.label, ".png"))
        picture = finished_picture(opened)
        files.append(heatmap.save(path, over=picture, alpha=alpha, colormap=colormap, smooth=smooth))
    facts = describe(opened, heatmap)
    (y, x), (height, width) = heatmap.peak, heatmap.size
    if as_json:
        print_json({**facts, "files": [str(file) for file in files]})
        return
    print_facts(
        [
            ("map", f"{heatmap.label}  ({facts['selection']})"),
            (
                "values",
                f"{facts['min']:.4g} to {facts['max']:.4g}, mean {facts['mean']:.4g} ({facts['unit']})",
            ),
            ("peak", f"x {x}, y {y} of {width} x {height} cells"),
            ("how", facts["aggregation"]),
            *(("wrote", str(file)) for file in files),
        ]
    )


def describe(run: "Run", heatmap: "Heatmap") -> dict[str, Any]:
    """The map in numbers: what ``--json`` prints. Positions are [y, x] in cells, from the top left."""
    return {
        "run": str(run.path),
        "word": heatmap.label,
        "selection": str(heatmap.selection),
        "unit": heatmap.unit,
        "aggregation": heatmap.aggregation,
        "size": list(heatmap.size),
        "min": float(heatmap.array.min()),
        "max": float(heatmap.array.max()),
        "mean": heatmap.mean,
        "peak": list(heatmap.peak),
        "centroid": list(heatmap.centroid),
    }


def finished_picture(run: "Run") -> "Image.Image | None":
    """The picture to draw over; None, with a warning, where the run was stopped before it had one."""
    try:
        return run.image
    except NotKeptError as error:
        show_warnings([f"{error}; the map is shown alone"])
        return None


def read_size(text: str | None) -> Any:
    """What `WordView.map` takes as size, from text: a name, a number, or HxW. It refuses other names."""
    if text is None:
        return None
    sides = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if sides is None:
        return text
    return int(sides[1]) if sides[2] is None else (int(sides[1]), int(sides[2]))


def with_suffix(path: Path, suffix: str) -> Path:
    """The path as given, with the suffix where it has none."""
    return path if path.suffix else path.with_suffix(suffix)


def file_name(label: str, suffix: str) -> str:
    """A file name for a word or phrase: letters, digits and dashes ("circle#2" -> "circle-2.png")."""
    return (re.sub(r"\W+", "-", label).strip("-") or "map") + suffix
