"""`diffuscope verify`: is a recording still what was written?"""

from dataclasses import asdict

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, print_table
from diffuscope.cli.question import run_folder

EXAMPLES = """[bold]Examples[/bold]

diffuscope verify runs/RUN
diffuscope verify runs/RUN --json

Exit status 0: every file that the manifest names is there and unchanged. 1: something is not."""


def command(run: options.RunArgument, as_json: options.AsJson = False) -> None:
    """Check every file of a recording against the size and hash that were written down with it.

    A run that was stopped can be whole all the same: up to its last whole step.
    """
    from diffuscope.recording.verify import verify

    found = verify(run_folder(run))
    if as_json:
        print_json({**asdict(found), "whole": found.whole})
    else:
        steps = f"{found.steps} of {found.of} steps"
        print_facts(
            [
                ("run", f"{found.id} ({'complete' if found.complete else 'stopped'}, {steps})"),
                ("checked", f"{found.files} files, {found.bytes / 1e6:.1f} MB"),
                (
                    "result",
                    "whole: as it was written" if found.whole else f"damaged: {len(found.damage)} file(s)",
                ),
                ("unnamed", ", ".join(found.unnamed) or "none"),
            ]
        )
        if found.damage:
            print_table(["file", "problem"], [[item.file, item.problem] for item in found.damage])
    if not found.whole:
        raise typer.Exit(1)
