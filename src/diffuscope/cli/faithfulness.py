"""`diffuscope faithfulness`: does the picture change where a word's map is bright?"""

from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli import options
from diffuscope.cli.console import note, print_facts, print_json, print_table, progress_bar
from diffuscope.cli.question import open_run, words_asked

EXAMPLES = """[bold]Examples[/bold]

diffuscope faithfulness runs/RUN --word circle
diffuscope faithfulness runs/RUN --word circle --word "red circle" --json
diffuscope faithfulness runs/RUN --all --report report.html"""


def command(
    run: options.RunArgument,
    word: Annotated[
        list[str] | None,
        typer.Option(
            "--word",
            "-w",
            metavar="W",
            help="A word or phrase of the prompt; may be repeated.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", metavar="", help="All content words of the prompt.")
    ] = False,
    orders: Annotated[int, typer.Option(help="Random orders beside the map's.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the random orders, the random word and the control.")] = 0,
    again: Annotated[
        bool, typer.Option("--again", metavar="", help="Draw anew what the run's cache has already.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="F.html", help="Write the run's report, tests included.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="M", help="The run's model, where it is now.", show_default=False
        ),
    ] = None,
    device: options.Device = None,
    as_json: options.AsJson = False,
) -> None:
    """Put words' maps to the test: does the picture change where a map is bright, when the word is taken away?

    Each word is silenced everywhere, left out of the prompt, and silenced patch by patch, in the order of its map and
    in random orders. Beside each overlap stand chance, another word's map, and a random change of equal norm. The
    results stay in the run's folder: the report and run.faithfulness() have them from there.
    """
    from diffuscope.analysis.cause.faithfulness import all_kept
    from diffuscope.figures.report import write_report

    opened = open_run(run)
    names = words_asked(opened, word, every)
    known = {} if again else all_kept(opened.recording)
    missing = [name for name in names if name not in known]
    if missing:
        from diffuscope import Lens
        from diffuscope.engine.models.reopening import reopen
        from diffuscope.engine.quiet import quiet_libraries

        quiet_libraries()
        loaded = reopen(opened.manifest, model, device)
        lens = Lens(loaded.pipe, loaded=loaded)
        for name in missing:
            with progress_bar(f"testing {name}") as on_step:
                known[name] = lens.faithfulness(opened, name, orders=orders, seed=seed, progress=on_step)
    found = [known[name] for name in names]
    if report is not None:
        note(f"wrote {write_report(opened, report)}")
    if as_json:
        print_json({"run": opened.id, "words": [each.to_json() for each in found]})
        return
    print_facts([("run", opened.id), ("prompt", opened.prompt)])
    typer.echo()
    print_table(
        [
            "word",
            "verdict",
            "noticed",
            "control",
            "IoU silenced",
            "chance",
            "moved maps",
            "IoU reworded",
            "area",
            "random",
        ],
        (
            [
                each.word,
                each.verdict,
                f"{each.silence.noticed:.1%}",
                f"{each.control.noticed:.1%}",
                f"{each.silence.iou:.3f}",
                f"{each.silence.chance:.3f}",
                f"{each.silence.shifted:.3f}",
                f"{each.reprompt.iou:.3f}",
                f"{each.curve.area:+.3f}",
                f"{max(each.curve.random_areas, default=0.0):+.3f}",
            ]
            for each in found
        ),
    )
