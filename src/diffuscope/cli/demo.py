"""`diffuscope demo`: from nothing to a page that shows what the model looked at."""

from typing import Annotated

import typer

from diffuscope.cli import options
from diffuscope.cli.console import command_line, print_json, spinner
from diffuscope.cli.record import describe, record

PROMPT = "a red circle left of a blue square"
SEED = 7
WORD = "circle"

EXAMPLES = """[bold]Examples[/bold]

diffuscope demo
diffuscope demo --seed 11 --out somewhere/else"""


def command(
    seed: Annotated[int, typer.Option(help="Seed of the noise: another seed draws another picture.")] = SEED,
    device: options.Device = None,
    out: options.Out = options.RUNS,
    as_json: options.AsJson = False,
) -> None:
    """Record the demo prompt on the shipped model and write its report.

    Needs no download and no GPU. Prints the path of the report, a single file to open in a browser, and three
    things to try next.
    """
    run = record(PROMPT, model="scenes", source={"device": device}, seed=seed, out=out)[0]
    from diffuscope import write_report

    with spinner("writing the report"):
        report = write_report(run, run.path / "report.html")
    if as_json:
        print_json({**describe(run), "prompt": PROMPT, "seed": seed, "report": str(report)})
        return
    typer.echo(f"""\
drew    "{PROMPT}" (seed {seed})
report  {report}

Open the report in a browser: click a word, move the step slider. Then try
  {command_line("heatmap", run.path, "--word", WORD, "--out", f"{WORD}.png")}
  {command_line("steps", run.path, "--word", WORD, "--out", f"{WORD}-steps")}
  {command_line("record", "a yellow star above a green house", "--seed", "3")}""")
