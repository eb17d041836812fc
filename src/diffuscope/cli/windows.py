"""`diffuscope windows`: in which steps does taking a word away count?"""

from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli import options
from diffuscope.cli.console import note, print_facts, print_json, print_table, progress_bar
from diffuscope.cli.question import open_run, words_asked
from diffuscope.errors import RunFolderError

EXAMPLES = """[bold]Examples[/bold]

diffuscope windows runs/RUN --word circle
diffuscope windows runs/RUN --all --seeds 3 --report report.html
diffuscope windows runs/RUN --word "red circle" --parts 4 --figure window.png --json"""


def command(
    run: options.RunArgument,
    word: Annotated[
        list[str] | None,
        typer.Option(
            "--word", "-w", metavar="W", help="A word or phrase; may be repeated.", show_default=False
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", metavar="", help="All content words of the prompt.")
    ] = False,
    parts: Annotated[int, typer.Option(help="Into how many parts the run is cut.")] = 5,
    seeds: Annotated[int, typer.Option(help="How many seeds; the run's own comes first.")] = 6,
    again: Annotated[
        bool, typer.Option("--again", metavar="", help="Draw anew what the run's cache has already.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure", metavar="F.png", help="Write the chart of the (first) word.", show_default=False
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="F.html", help="Write the run's report, windows included.", show_default=False
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
    """Find the steps in which a word counts: silence it in every window of the run, and see how much changes.

    The recommended window is the shortest in which silencing the word changes the final picture by at least half of
    what it does throughout, with the range that resampled seeds recommend. The results stay in the run's folder, and
    the report marks the window on the word's curve.
    """
    from diffuscope.analysis.cause.windows import all_kept

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
            with progress_bar(f"windows of {name}", unit="seeds") as on_seed:
                known[name] = lens.windows(opened, name, parts=parts, seeds=seeds, progress=on_seed)
    found = [known[name] for name in names]
    if figure is not None:
        from diffuscope.figures.cause_windows import window_chart

        mass = opened.word(names[0]).mass()
        try:
            figure.parent.mkdir(parents=True, exist_ok=True)
            window_chart(found[0], mass=[float(value) for value in mass]).save(figure)
        except (OSError, ValueError) as error:
            raise RunFolderError(f"cannot write {figure}: {error}") from error
        note(f"wrote {figure}")
    if report is not None:
        from diffuscope.figures.report import write_report

        note(f"wrote {write_report(opened, report)}")
    if as_json:
        print_json({"run": opened.id, "words": [each.to_json() for each in found]})
        return
    print_facts([("run", opened.id), ("prompt", opened.prompt)])
    typer.echo()
    lines = []
    for each in found:
        best, until = each.recommended, each.matters_until
        lines.append(
            [
                each.word or "",
                "–" if best is None else f"{best.start}:{best.stop}",
                "–" if best is None else f"{best.share:.0%}",
                "–" if best is None else f"{best.starts[0]} to {best.starts[1]}",
                "–" if best is None else f"{best.stops[0]} to {best.stops[1]}",
                "to the end" if until is None else f"step {until}",
                str(len(each.seeds)),
            ]
        )
    print_table(["word", "window", "of the effect", "starts", "stops", "matters until", "seeds"], lines)
