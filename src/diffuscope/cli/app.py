"""The command `diffuscope`: its commands put together, and what an error looks like to the user."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from diffuscope import __version__
from diffuscope.cli import (
    compare,
    demo,
    doctor,
    edit,
    evaluate,
    explain,
    export,
    faithfulness,
    heads,
    heatmap,
    info,
    morph,
    objects,
    record,
    region,
    runs,
    serve,
    steps,
    study,
    sweep,
    timeline,
    verify,
    windows,
)
from diffuscope.cli.console import show_error
from diffuscope.errors import DiffuscopeError, InputError

# click is a part of recent versions of typer and apart from earlier ones: this finds its UsageError in both.
_UsageError: type[Any] = typer.BadParameter.__bases__[0]

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of the signal."""

app = typer.Typer(
    name="diffuscope",
    help="See what a text-to-image model looked at while it drew.",
    epilog="Start with: diffuscope demo",
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def reflowed(command: Callable[..., None]) -> str:
    """A command's docstring, each paragraph on one line: help is wrapped to the terminal's width."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


for module, name in (
    (demo, "demo"),
    (record, "record"),
    (info, "info"),
    (heatmap, "heatmap"),
    (steps, "steps"),
    (timeline, "timeline"),
    (region, "region"),
    (objects, "objects"),
    (morph, "morph"),
    (edit, "edit"),
    (sweep, "sweep"),
    (compare, "compare"),
    (explain, "explain"),
    (faithfulness, "faithfulness"),
    (heads, "heads"),
    (windows, "windows"),
    (verify, "verify"),
    (doctor, "doctor"),
    (serve, "serve"),
    (export, "export"),
):
    app.command(name, help=reflowed(module.command), epilog=module.EXAMPLES)(module.command)

for group, name in ((runs, "runs"), (evaluate, "evaluate"), (study, "study")):
    grouped = typer.Typer(rich_markup_mode="rich")
    grouped.callback(invoke_without_command=True, help=reflowed(group.show), epilog=group.EXAMPLES)(
        group.show
    )
    for action, (function, examples) in group.ACTIONS.items():
        epilog = "\n\n".join(["[bold]Examples[/bold]", *examples])
        grouped.command(action, help=reflowed(function), epilog=epilog)(function)
    app.add_typer(grouped, name=name)


@app.callback(invoke_without_command=True)
def show_help_without_command(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", metavar="", help="Print the version and leave.")
    ] = False,
) -> None:
    """See what a text-to-image model looked at while it drew."""
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status.

    0: done. 1: something failed on our side or on the machine's. 2: the input was wrong; one line on stderr
    says what and what would be right. 130: interrupted with Ctrl-C; what was recorded until then is kept.
    """
    try:
        status = app(arguments, prog_name="diffuscope", standalone_mode=False)
    except InputError as error:
        show_error(str(error))
        return 2
    except DiffuscopeError as error:
        show_error(str(error))
        return 1
    except _UsageError as error:
        show_error(f"{error.format_message()} ({usage_hint(error)})")
        return 2
    except typer.Abort:
        status = INTERRUPTED
    if status == INTERRUPTED:  # typer's own answer to Ctrl-C, which says nothing
        show_error("interrupted")
    return status if isinstance(status, int) else 0


def usage_hint(error: Exception) -> str:
    """Where the options of the command that was called are listed."""
    context = getattr(error, "ctx", None)
    return f"see: {context.command_path if context else 'diffuscope'} --help"
