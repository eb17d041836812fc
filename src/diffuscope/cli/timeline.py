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
diffuscope timeline RUN --word circle --by grid --plot grids.png
diffuscope timeline RUN --received --plot received.png --style received
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
    received = "received"


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
        typer.Option(
            "--by",
            help="Each site, grid or head by itself: in files and JSON beside the whole, in a picture in its place.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="F.png", help="Draw them (--style).", show_default=False),
    ] = None,
    style: Annotated[
        Style,
        typer.Option(
            "--style",
            help="Heat strips, curves, hills, the drawing order, early-middle-late maps, paths over the picture, or "
            "what received attention.",
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
    received: Annotated[
        bool,
        typer.Option(
            "--received",
            metavar="",
            help="Also whether patches of high contrast receive more self-attention (keep level qk).",
        ),
    ] = False,
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
    a number.
    """
    opened = open_run(run)
    with spinner("reading the steps"):
        found = opened.timeline(word, steps, sites, heads, judge="auto" if judge else None)
        files = write_tables(found, [path for path in (csv, parquet) if path], by, received)
        if by is not None and not (files or plot or as_json):
            raise typer.BadParameter(
                "--by needs a place for its curves: give --csv, --parquet, --plot or --json"
            )
        if plot is not None:
            shown = found if by is None else parts_of(found, by, style)
            files.append(write_picture(draw(shown, style, measure, theme), with_suffix(plot, ".png")))
        facts = found.facts(received=received) if as_json else {}
        if as_json and by is not None:
            facts["parts"] = {
                label: {name: part.facts() for name, part in each.by(by.value).items()}
                for label, each in found.items()
            }
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
            *([("received", looked_at(found))] if received else []),
            *(("wrote", str(file)) for file in files),
        ]
    )
    typer.echo()
    print_table(("word", "kind", "mass", "peak [range]", "settled", "map there", "picture there"), rows)
    typer.echo(
        "\nNumbers are steps, 0 the noisiest; 'diffuscope timeline --help' says what each column means."
    )


def write_tables(
    found: "Timelines", paths: list[Path], by: PartChoice | None, received: bool = False
) -> list[Path]:
    """Write all curves to each file; with `by`, those of the parts below those of the whole; with `received`, those of
    the picture last.

    Raises:
        SelectionError: a file of another suffix.
        NotKeptError: `received` of a run without self-attention.
    """
    from diffuscope.analysis.timeline import definitions
    from diffuscope.analysis.timeline.tables import joined, write_table

    if not paths:
        return []
    tables = [found.table()]
    if by is not None:
        tables += [part.table() for each in found.values() for part in each.by(by.value).values()]
    if received:
        tables.append(found.run_table())
    table = joined(tables)
    return [write_table(table, path, definitions()) for path in paths]


def parts_of(found: "Timelines", by: PartChoice, style: Style) -> "Timelines":
    """A word's parts, for a picture.

    Raises:
        typer.BadParameter: several words, or a picture that is not of curves.
    """
    if len(found.words) != 1:
        raise typer.BadParameter("a picture --by site, grid or head is of one word: name it with --word")
    if style not in (Style.heat, Style.curves, Style.ridges, Style.order):
        raise typer.BadParameter(
            f"--by goes with the styles strip, curves, ridges and order, not {style.value}"
        )
    return found.parts(next(iter(found.words)), by.value)


def looked_at(found: "Timelines") -> str:
    """Received attention against contrast in a line: the planned phases, each with its chance level."""
    from diffuscope.analysis.measures.phases import planned

    curve = found.received_contrast
    said = [
        f"{name} {curve[first:end, 0].mean():+.2f} (chance to {curve[first:end, 1].mean():.2f})"
        for name, (first, end) in planned(len(found.steps)).items()
        if end > first
    ]
    return f"rank correlation with local contrast: {', '.join(said)}"


def draw(found: "Timelines", style: Style, measure: str, theme: ThemeChoice) -> "Image.Image":
    """The picture of a style."""
    from diffuscope.figures.timeline import curves, heat_strip, ridgelines
    from diffuscope.figures.timeline_order import order_chart
    from diffuscope.figures.timeline_pictures import paths, triptych
    from diffuscope.figures.timeline_regions import received_phases

    shown: Any = theme.value
    if style is Style.order:
        return order_chart(found, theme=shown)
    if style is Style.received:
        return received_phases(found, theme=shown)
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
