"""`diffuscope compare`: what changed between a run and an edited one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffuscope.cli import options
from diffuscope.cli.console import note, print_facts, print_json, print_table
from diffuscope.cli.question import open_run

if TYPE_CHECKING:
    from diffuscope.analysis.comparing import Comparison

EXAMPLES = """[bold]Examples[/bold]

diffuscope compare runs/RUN runs/EDITED
diffuscope compare runs/RUN runs/EDITED --html compare.html
diffuscope compare runs/RUN runs/EDITED --control runs/CONTROL --html compare.html
diffuscope compare runs/RUN runs/EDITED --json"""


def command(
    run: options.RunArgument,
    other: Annotated[str, typer.Argument(metavar="RUN", help="The edited run.", show_default=False)],
    control: Annotated[
        str | None,
        typer.Option(
            "--control",
            metavar="RUN",
            help="A run made with the control of the same edit ('edit --control'), shown beside.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="F.html", help="Write the comparison as one page.", show_default=False
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what an edit changed: in the picture, and in the attention to each word.

    Both runs must share seed, noise, prompt, settings, scheduler, model, device and versions; else the comparison is
    refused, and what differs is named. With --html the page then shows both pictures and says why.

    ACS is the relative change of the attention to a word in the edit's steps. P-ADC and L-ADC say how far attention
    and latent changed where the first run attended to the word (correlations). SF-IoU is how far the word's map and
    the changed part of the picture overlap, beside what chance and a random word give.
    """
    from diffuscope.analysis.comparing import compare
    from diffuscope.analysis.pairs import apart
    from diffuscope.figures.compare import write_comparison

    first, second = open_run(run), open_run(other)
    beside = None if control is None else open_run(control)
    if html is not None and apart(first, second):
        note(f"{write_comparison(first, second, html)} shows both and says why they are no pair")
    found = compare(first, second, control=beside)
    page = None if html is None else write_comparison(first, second, html, control=beside, found=found)
    if as_json:
        print_json({**found.to_json(), "html": None if page is None else str(page)})
        return
    _print(found)
    if page is not None:
        typer.echo()
        print_facts([("page", str(page))])


def _print(found: "Comparison") -> None:
    pairs = [("edit", found), *([] if found.control is None else [("control", found.control)])]
    print_facts(
        [
            ("run", found.run),
            ("other", found.other),
            ("edits", "; ".join(found.edits) or "none"),
            *((name, _change(pair)) for name, pair in pairs),
            *(
                (f"seen {when}", reading)
                for when, reading in zip(("before", "after"), found.readings or (), strict=False)
            ),
        ]
    )
    typer.echo()
    print_table(
        ["word", "", "ACS", "P-ADC", "L-ADC", "SF-IoU", "chance", "random word"],
        (
            [
                each.word if name == "edit" else "",
                name,
                *(_number(value) for value in (each.acs, each.p_adc, each.l_adc, each.sf_iou, each.chance)),
                "" if each.random_word is None else f"{_number(each.random_sf_iou)} ({each.random_word})",
            ]
            for of_pairs in zip(*(pair.words for _, pair in pairs), strict=True)
            for (name, _), each in zip(pairs, of_pairs, strict=True)
        ),
    )
    if not found.times:
        return
    typer.echo()
    print_table(
        ["word", "mass", "after", "peak", "after", "settled", "after", "emerged", "after"],
        (
            [
                each.word,
                *(f"{sum(mass) / len(mass):.4f}" for mass in each.mass),
                *(_step(step) for pair in (each.peak, each.stabilisation, each.emergence) for step in pair),
            ]
            for each in found.times
        ),
    )


def _change(found: "Comparison") -> str:
    change, told = found.to_json()["change"], found.perceptual
    look = f"not taken ({told.why})" if told.value is None else f"{told.value:.4f}"
    return (
        f"mean {change['mean']:.2f}, largest {change['largest']:.1f} delta-E (CIE76); {change['noticed']:.1%} of the "
        f"pixels by more than 2.3; {told.name}: {look}"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _step(value: int | None) -> str:
    return "–" if value is None else str(value)
