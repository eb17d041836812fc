"""`diffuscope evaluate`: how well a model draws what it is told, and how well its maps find what it drew."""

from collections.abc import Callable

import typer

from diffuscope.cli import evaluate_maps

EXAMPLES = """[bold]Examples[/bold]

diffuscope evaluate maps
diffuscope evaluate maps --prompts 20 --json > maps.json"""

ACTIONS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "maps": (evaluate_maps.command, evaluate_maps.EXAMPLES)
}
"""Name to function and examples."""


def show(context: typer.Context) -> None:
    """Measure a model or its maps against known truth."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
