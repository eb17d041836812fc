"""`diffuscope evaluate`: how well a model draws what it is told, and how well its maps find what it drew."""

from collections.abc import Callable

import typer

from diffuscope.cli import evaluate_maps, evaluate_objects, evaluate_steer

EXAMPLES = """[bold]Examples[/bold]

diffuscope evaluate maps
diffuscope evaluate maps --prompts 20 --json > maps.json
diffuscope evaluate objects --quick
diffuscope evaluate steer --triples 100"""

ACTIONS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "maps": (evaluate_maps.command, evaluate_maps.EXAMPLES),
    "objects": (evaluate_objects.command, evaluate_objects.EXAMPLES),
    "steer": (evaluate_steer.command, evaluate_steer.EXAMPLES),
}
"""Name to function and examples."""


def show(context: typer.Context) -> None:
    """Measure a model or its maps against known truth."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
