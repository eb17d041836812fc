"""`diffuscope timeline`: when words peak, settle and emerge."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.analysis.measures import measures
from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, print_table, spinner
from diffuscope.cli.heatmap import with_suffix, write_picture
from diffuscope.cli.question import open_run

if TYPE_CHECKING:
    from PIL import Image

    from diffuscope.analysis.timeline import Timeline, Timelines


def _glossary() -> str:
    """What is measured, from the declarations themselves."""
    said = [f"[bold]{each.name}[/bold] ({each.unit}): {each.definition}" for each in measures()]
    return "\n\n".join(["[bold]Measures[/bold]", *said])


EXAMPLES = f"""[bold]Examples[/bold]

diffuscope timeline RUN
diffuscope timeline RUN --word circle --word "blue square" --plot circle.png
diffuscope timeline RUN --plot order.png --style order --csv curves.csv
diffuscope timeline RUN --by site --csv sites.csv --no-judge
diffuscope timeline RUN --json

{_glossary()}"""


class Style(StrEnum):
    """What the picture shows."""

    heat = "strip"
    curves = "curves"
    ridges = "ridges"
    order = "order"
    triptych = "triptych"
    paths = "paths"


class ThemeChoice(StrEnum):
    """Colours of the sheet."""

    light = "light"
    dark = "dark"


class PartChoice(StrEnum):
    """What curves are written of, beside the whole."""

    site = "site"
    grid = "grid"
    head = "head"


def command(
    run: options.RunArgument,
    word: Annotated[
        list[str] | None,
        typer.Option(
            "--word",
            "-w",
            metavar="W",
            help="A word or phrase of the prompt, again for more. Default: all content words.",
            show_default=False,
        ),
    ] = None,
    steps: options.Steps = None,
    sites: options.Sites = None,
    heads: options.Heads = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="F.csv", help="Write all curves: a row a word and step.", show_default=False
        ),
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Option(
            "--parquet",
            metavar="F.parquet",
            help="The same as Parquet (extra 'analysis').",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        PartChoice | None,
        typer.Option("--by", help="In the files, curves of each site, grid or head too.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="F.png", help="Draw them (--style).", show_default=False),
    ] = None,
    style: Annotated[
        Style,
        typer.Option(
            "--style",
            help="Heat strips, curves, hills, the drawing order, early-middle-late maps, or paths over the picture.",
        ),
    ] = Style.heat,
    measure: Annotated[
        str,
        typer.Option(
            "--measure",
            metavar="NAME",
            help="Of strips, curves and hills: any measure below with one value a step.",
        ),
    ] = "mass",
    theme: Annotated[ThemeChoice, typer.Option("--theme", help="Light or dark sheet.")] = ThemeChoice.light,
    judge: Annotated[
        bool,
        typer.Option(
            "--judge/--no-judge",
            help="On runs of the shipped model: the drawn world's judge gives true masks and emergence in the picture.",
        ),
    ] = True,
    as_json: options.AsJson = False,
) -> None:
    """Show when words peak, settle and emerge: their attention over the steps, in numbers, tables and charts.

    Function words, the start and the end token stand beside as controls. What never came is said to be so, not given
    a number. Measures of self-attention (received attention) are in the Python API.
    """
    opened = open_run(run)
    with spinner("reading the steps"):
        found = opened.timeline(word, steps, sites, heads, judge="auto" if judge else None)
        files = write_tables(found, [path for path in (csv, parquet) if path], by)
        if plot is not None:
            files.append(write_picture(draw(found, style, measure, theme), with_suffix(plot, ".png")))
        facts = found.facts() if as_json else {}
        rows = [] if as_json else [line(each, found) for each in found.values()]
    if as_json:
        print_json({**facts, "files": [str(file) for file in files]})
        return
    print_facts(
        [
            ("run", f"{opened.id}"),
            ("prompt", opened.prompt),
            ("steps", f"{len(found.steps)}, planned phases: {found.run_phases}"),
            (
                "breaks",
                f"{found.run_change_points} (change points of all words, along {found.run_change_points.axis})",
            ),
            *(("wrote", str(file)) for file in files),
        ]
    )
    typer.echo()
    print_table(("word", "kind", "mass", "peak [range]", "settled", "map there", "picture there"), rows)
    typer.echo(
        "\nNumbers are steps, 0 the noisiest; 'diffuscope timeline --help' says what each column means."
    )


def write_tables(found: "Timelines", paths: list[Path], by: PartChoice | None) -> list[Path]:
    """Write all curves to each file; with `by`, those of the parts below those of the whole.

    Raises:
        SelectionError: `by` without a file, or a file of another suffix.
    """
    from diffuscope.analysis.timeline import definitions
    from diffuscope.analysis.timeline.tables import joined, write_table

    if not paths:
        if by is not None:
            raise typer.BadParameter("--by says what stands in the files: give --csv or --parquet with it")
        return []
    tables = [found.table()]
    if by is not None:
        tables += [part.table() for each in found.values() for part in each.by(by.value).values()]
    table = joined(tables)
    return [write_table(table, path, definitions()) for path in paths]


def draw(found: "Timelines", style: Style, measure: str, theme: ThemeChoice) -> "Image.Image":
    """The picture of a style."""
    from diffuscope.figures.timeline import curves, heat_strip, ridgelines
    from diffuscope.figures.timeline_order import order_chart
    from diffuscope.figures.timeline_pictures import paths, triptych

    shown: Any = theme.value
    if style is Style.order:
        return order_chart(found, theme=shown)
    if style is Style.triptych:
        return triptych(found, theme=shown)
    if style is Style.paths:
        return paths(found, theme=shown)
    chart = {Style.heat: heat_strip, Style.curves: curves, Style.ridges: ridgelines}[style]
    return chart(found, measure, theme=shown)


def line(each: "Timeline", found: "Timelines") -> tuple[str, ...]:
    """A word in one row."""
    seen, image = each.emergence_attention, each.emergence_image
    last = seen.seen_to.step
    return (
        each.label,
        each.kind,
        f"{each.mass.mean():.3g}",
        str(each.peak),
        str(each.stabilisation),
        f"{f'not by {last}' if seen.at is None else seen.at.step} ({seen.against})",
        "-" if image is None else f"not by {last}" if image.at is None else str(image.at.step),
    )
