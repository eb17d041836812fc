"""`diffuscope heatmap`: where the model looked for a word."""

import re
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, show_warnings
from diffuscope.cli.question import Question, open_run
from diffuscope.errors import NotKeptError, RunFolderError, SelectionError

if TYPE_CHECKING:
    from PIL import Image

    from diffuscope.maps.heatmap import Heatmap, Scale
    from diffuscope.run import Run, WordView

EXAMPLES = """[bold]Examples[/bold]

diffuscope heatmap RUN --word circle
diffuscope heatmap RUN --phrase "red circle" --steps 0:10 --out early.png
diffuscope heatmap RUN --concept "a roof" --out roof.png --out roof.exr
diffuscope heatmap RUN --word circle --preset daam --out daam.npz
diffuscope heatmap RUN --phrase "red circle" --refine object --out where.png
diffuscope heatmap RUN --word circle --style heads --steps 12 --out atlas.png
diffuscope heatmap RUN --selection "steps=0:10 word=circle" --json

diffuscope info RUN lists the words and sites there are."""


class Preset(StrEnum):
    """How a map is put together, by name."""

    default = "default"
    daam = "daam"


class Style(StrEnum):
    """What a picture shows."""

    overlay = "overlay"
    relief = "relief"
    heads = "heads"
    steps = "steps"


def command(
    run: options.RunArgument,
    word: options.Word = None,
    phrase: options.Phrase = None,
    concept: options.Concept = None,
    steps: options.Steps = None,
    sites: options.Sites = None,
    heads: options.Heads = None,
    selection: options.SelectionText = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            metavar="F",
            help="File to write, again for more. A picture: .png. Values: .npy, .npz, .csv, .16.png, .tif, .exr, "
            ".zarr. Default: WORD.png.",
            show_default=False,
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
    preset: Annotated[
        Preset, typer.Option("--preset", help="'daam' computes what DAAM does; 'default' has no parameters.")
    ] = Preset.default,
    refine: Annotated[
        str | None,
        typer.Option(
            "--refine",
            metavar="NAME",
            help="Change the map so that it covers its object: 'object', 'edges', 'spread', …, or a preset's file.",
            show_default=False,
        ),
    ] = None,
    weights: options.Weights = None,
    combine: options.Combine = options.Combination.mean,
    reduce: options.Reduce = options.Reduction.sum,
    against: options.Against = options.Softmax.own,
    model: options.RunModel = None,
    style: Annotated[
        Style,
        typer.Option(
            "--style",
            help="Of the picture: over the drawn one, a landscape, all heads of all sites, all sites over the steps.",
        ),
    ] = Style.overlay,
    scale: Annotated[
        str,
        typer.Option(
            "--scale", metavar="S", help="Range of colours: 'map' (its own), 'raw' (0 to 1), or 'LOW:HIGH'."
        ),
    ] = "map",
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
    from the map's smallest to its largest value, and its scale says so; files of values hold them exactly.
    """
    from diffuscope.maps.export import suffix_of

    opened = open_run(run)
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
    where = (asked.steps, asked.sites, asked.heads)
    colours = read_scale(scale)
    if preset is Preset.daam:
        if weights is not None or size is not None or combine.value != "mean":
            raise typer.BadParameter("--preset daam fixes --weights, --combine and --size: leave them out")
        if refine is not None:
            raise typer.BadParameter("--preset daam is a map of its own: leave out --refine")
        heatmap = view.daam(*where)
    elif refine is not None:
        if asked.heads != "all" or (weights, size, combine.value, reduce.value) != (
            None,
            None,
            "mean",
            "sum",
        ):
            raise typer.BadParameter(
                "--refine fixes --heads, --weights, --combine, --reduce and --size: leave them out"
            )
        if style in (Style.heads, Style.steps):
            raise typer.BadParameter(f"--style {style.value} shows maps as they are: leave out --refine")
        heatmap = refined_map(opened, view, refine, asked.steps, asked.sites)
    else:
        heatmap = view.map(
            *where, reduce=reduce.value, size=read_size(size), weights=weights, combine=combine.value
        )
    wanted = [with_suffix(npy, ".npy")] if npy is not None else []
    wanted += [with_suffix(path, ".png") for path in out or []]
    if not wanted:
        wanted = [Path(file_name(heatmap.label, ".png"))]
    files = []
    for path in wanted:
        if suffix_of(path) == ".png" and style is not Style.overlay:
            drawn = draw(style, view, heatmap, where, finished_picture(opened), colours, colormap)
            files.append(write_picture(drawn, path))
        elif suffix_of(path) == ".png":
            picture = finished_picture(opened)
            files.append(
                heatmap.save(path, over=picture, alpha=alpha, colormap=colormap, smooth=smooth, scale=colours)
            )
        else:
            files.append(heatmap.save(path))
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


def refined_map(run: "Run", view: "WordView", name: str, steps: str, sites: str) -> "Heatmap":
    """A refined map, with steps and sites in place of the refinement's own where they are named.

    Raises:
        SelectionError: there is none of that name, or it was tuned and keeps its own.
    """
    from diffuscope.maps.refinement import named

    how = named(name)
    if how.model and (steps, sites) != ("all", "all"):
        raise SelectionError(
            f"{name!r} was tuned with its own steps and sites: leave out --steps and --sites"
        )
    own = replace(
        how, steps=how.steps if steps == "all" else steps, sites=how.sites if sites == "all" else sites
    )
    return run.refined(view, own)


def draw(
    style: Style,
    view: "WordView",
    heatmap: "Heatmap",
    where: tuple[str, str, str],
    picture: "Image.Image | None",
    colours: "Scale",
    colormap: str,
) -> "Image.Image":
    """The picture of a style other than the overlay.

    Raises:
        SelectionError: two numbers as scale, which pictures of many maps do not take.
        NotKeptError: single heads were not kept.
    """
    from diffuscope.figures.atlas import atlas, step_atlas
    from diffuscope.figures.relief import relief
    from diffuscope.maps.colormap import DisplayScale

    steps, sites, heads = where
    if style is Style.relief:
        ends = (0.0, 1.0) if colours == "raw" else colours if isinstance(colours, tuple) else None
        return relief(heatmap, picture, colormap=colormap, scale=DisplayScale(*ends) if ends else None)
    if isinstance(colours, tuple):
        raise SelectionError("an atlas shares its colours over all maps ('map') or shows them 'raw'")
    shown: Any = "raw" if colours == "raw" else "shared"
    if style is Style.heads:
        return atlas(view, steps=steps, sites=sites, heads=heads, scale=shown, colormap=colormap)
    return step_atlas(view, steps=steps, sites=sites, heads=heads, scale=shown, colormap=colormap)


def write_picture(picture: "Image.Image", path: Path) -> Path:
    """Write a PNG. Raises RunFolderError where that cannot be done."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, "PNG")
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def read_scale(text: str) -> "Scale":
    """A range of colours from its text: a name, or two numbers.

    Raises:
        SelectionError: it is neither.
    """
    if text in ("map", "raw"):
        return text  # type: ignore[return-value]
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError:
        raise SelectionError(f"--scale {text!r}: write 'map', 'raw', or two numbers like 0:0.2") from None


def describe(run: "Run", heatmap: "Heatmap") -> dict[str, Any]:
    """The map in numbers: what ``--json`` prints. Positions are [y, x] in cells, from the top left."""
    return {
        "run": str(run.path),
        "word": heatmap.label,
        "concept": heatmap.selection.concept,
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
