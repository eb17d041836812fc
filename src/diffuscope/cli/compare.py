"""`diffuscope compare`: what changed between a run and an edited one."""

from typing import Annotated

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, print_table
from diffuscope.cli.question import open_run

EXAMPLES = """[bold]Examples[/bold]

diffuscope compare runs/RUN runs/EDITED
diffuscope compare runs/RUN runs/EDITED --json"""


def command(
    run: options.RunArgument,
    other: Annotated[str, typer.Argument(metavar="RUN", help="The edited run.", show_default=False)],
    as_json: options.AsJson = False,
) -> None:
    """Say what an edit changed: in the picture, and in the attention to each word.

    Both runs must share seed, noise, prompt, settings, scheduler, model, device and versions; else the comparison is
    refused, and what differs is named.

    ACS is the relative change of the attention to a word in the edit's steps. P-ADC and L-ADC say how far attention
    and latent changed where the first run attended to the word (correlations). SF-IoU is how far the word's map and
    the changed part of the picture overlap, beside what chance and a random word give.
    """
    from diffuscope.analysis.comparing import compare

    found = compare(open_run(run), open_run(other))
    facts = found.to_json()
    if as_json:
        print_json(facts)
        return
    change = facts["change"]
    print_facts(
        [
            ("run", found.run),
            ("other", found.other),
            ("edits", "; ".join(found.edits) or "none"),
            ("change", f"mean {change['mean']:.2f}, largest {change['largest']:.1f} delta-E (CIE76)"),
            ("noticed", f"{change['noticed']:.1%} of the pixels changed by more than 2.3"),
        ]
    )
    typer.echo()
    print_table(
        ["word", "ACS", "P-ADC", "L-ADC", "SF-IoU", "chance", "random word"],
        (
            [
                each.word,
                *(_number(value) for value in (each.acs, each.p_adc, each.l_adc, each.sf_iou, each.chance)),
                "" if each.random_word is None else f"{_number(each.random_sf_iou)} ({each.random_word})",
            ]
            for each in found.words
        ),
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
