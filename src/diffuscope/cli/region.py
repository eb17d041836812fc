"""`diffuscope region`: who looks at a part of the picture, and what it looks at."""

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, show_warnings
from diffuscope.cli.question import open_run
from diffuscope.errors import RegionError

if TYPE_CHECKING:
    from diffuscope.maps.heatmap import Heatmap, HeatmapSeries
    from diffuscope.run import RegionView

EXAMPLES = """[bold]Examples[/bold]

diffuscope region RUN --pixel 40,60
diffuscope region RUN --box 10,20,60,90 --direction from --out box.png
diffuscope region RUN --contour outline.geojson --steps 0:10 --npy outline.npy
diffuscope region RUN --mask mask.png --diffused
diffuscope region RUN --pixel 40,60 --each-step --out steps.png

Needs a recording of level qk: diffuscope record ... --keep qk"""


class Way(StrEnum):
    """Which way attention is followed."""

    to = "to"
    looked_at = "from"


def command(
    run: options.RunArgument,
    pixel: Annotated[
        list[str] | None,
        typer.Option(
            "--pixel", "-p", metavar="X,Y", help="A pixel of the picture; several where given again."
        ),
    ] = None,
    box: Annotated[
        str | None, typer.Option("--box", "-b", metavar="X0,Y0,X1,Y1", help="A box, both corners included.")
    ] = None,
    contour: Annotated[
        Path | None,
        typer.Option(
            "--contour",
            metavar="FILE",
            help="Polygons: GeoJSON, or a JSON list of points.",
            show_default=False,
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask", metavar="FILE", help="An image of the picture's size, not 0 inside.", show_default=False
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            "--region", metavar="TEXT", help="A region as maps print it: 'box:1,2,30,40', 'range:1,2;5,9'."
        ),
    ] = None,
    latent: Annotated[
        bool, typer.Option("--latent", metavar="", help="Coordinates count cells of the latent, not pixels.")
    ] = False,
    direction: Annotated[
        Way, typer.Option("--direction", help="Who looks at the region, or what is looked at from it.")
    ] = Way.to,
    diffused: Annotated[
        bool, typer.Option("--diffused", metavar="", help="Spread the map along attention, five times over.")
    ] = False,
    steps: options.Steps = None,
    sites: options.Sites = None,
    heads: options.Heads = None,
    each_step: Annotated[
        bool, typer.Option("--each-step", metavar="", help="Keep the steps apart: one map for each.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="F.png", help="Picture to write. Default: REGION.png.", show_default=False
        ),
    ] = None,
    npy: Annotated[
        Path | None,
        typer.Option("--npy", metavar="F.npy", help="Write the exact values: float32.", show_default=False),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Opacity over the picture: 0 only the picture, 1 only the map.")
    ] = 0.6,
    colormap: options.Colormap = "magma",
    smooth: Annotated[
        bool, typer.Option("--smooth", metavar="", help="Smooth between cells, for the eye only.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the self-attention of a part of the picture: who looks at it, or what it looks at.

    Values are attention probabilities per patch of the finest grid: at each patch, how much of its attention goes to a
    patch of the region (direction 'to'), or how much of the region's attention goes to it ('from').
    """
    from diffuscope.figures.regions import region_figure
    from diffuscope.maps.export import VALUES, suffix_of

    opened = open_run(run)
    if diffused and each_step:
        raise RegionError(
            "a diffused map is made of the mean over its steps; give --steps instead of --each-step"
        )
    named: dict[str, Any] = {
        "pixels": None
        if pixel is None or len(pixel) < 2
        else [_numbers(text, 2, "--pixel") for text in pixel],
        "pixel": None if pixel is None or len(pixel) != 1 else _numbers(pixel[0], 2, "--pixel"),
        "box": None if box is None else _numbers(box, 4, "--box"),
        "contour": contour,
        "mask": mask,
    }
    view = opened.region(
        region, latent=latent, **{name: value for name, value in named.items() if value is not None}
    )
    asked: dict[str, Any] = {"steps": steps, "sites": sites, "heads": heads, "direction": direction.value}
    found: Heatmap | HeatmapSeries
    if diffused:
        found = view.diffused(**asked)
    else:
        found = view.steps(**asked) if each_step else view.map(**asked)
    files = []
    if npy is not None:
        files.append(found.save(npy if suffix_of(npy) in VALUES else npy.with_suffix(".npy")))
    if out is not None or npy is None:
        path = out if out is not None else Path(_file_name(view))
        path = path if path.suffix else path.with_suffix(".png")
        if suffix_of(path) in VALUES:
            files.append(found.save(path))
        else:
            if opened.path and view.run._background() is None:
                show_warnings(["the run was stopped before its picture was drawn; the map is shown alone"])
            files.append(
                _save(region_figure(view, found, alpha=alpha, colormap=colormap, smooth=smooth), path)
            )
    facts = _describe(view, found, direction.value, diffused)
    if as_json:
        print_json({**facts, "files": [str(file) for file in files]})
        return
    print_facts(
        [
            ("map", f"{found.label}  ({facts['selection']})"),
            ("region", f"{100 * facts['area']:.3g} % of the picture"),
            ("values", f"{facts['min']:.4g} to {facts['max']:.4g}, mean {facts['mean']:.4g} ({found.unit})"),
            ("how", found.aggregation),
            *(("wrote", str(file)) for file in files),
        ]
    )


def _save(picture: Any, path: Path) -> Path:
    from diffuscope.errors import RunFolderError, SelectionError

    if path.suffix.lower() != ".png":
        raise SelectionError(f"{path.name!r}: a figure is written as .png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, "PNG")
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _describe(
    view: "RegionView", found: "Heatmap | HeatmapSeries", direction: str, diffused: bool
) -> dict[str, Any]:
    """What ``--json`` prints. Positions are [y, x] in cells, from the top left."""
    facts: dict[str, Any] = {
        "run": str(view.run.path),
        "region": view.region.text,
        "area": view.region.area,
        "direction": direction,
        "diffused": diffused,
        "selection": str(found.selection),
        "unit": found.unit,
        "aggregation": found.aggregation,
        "size": list(found.size),
        "min": float(found.array.min()),
        "max": float(found.array.max()),
        "mean": float(found.array.mean(dtype="float64")),
    }
    steps = getattr(found, "steps", None)
    if steps is not None:
        facts["steps"] = [
            {"step": step, "max": float(values.max())}
            for step, values in zip(steps, found.array, strict=True)
        ]
    else:
        facts |= {"peak": list(found.peak), "centroid": list(found.centroid)}  # type: ignore[union-attr]
    return facts


def _numbers(text: str, count: int, option: str) -> tuple[int, ...]:
    """Whole numbers from ``40,60``."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != count or not all(re.fullmatch(r"-?\d{1,9}", part) for part in parts):
        form = "X,Y" if count == 2 else "X0,Y0,X1,Y1"
        raise RegionError(f"{option} {text!r} is not of the form {form} in whole pixels")
    return tuple(map(int, parts))


def _file_name(view: "RegionView") -> str:
    """A file name for a region: ``box-10-20-60-90.png``; long ones are cut."""
    return (
        re.sub(r"[^0-9a-z]+", "-", view.region.text.lower()).strip("-")[:40].rstrip("-") or "region"
    ) + ".png"
