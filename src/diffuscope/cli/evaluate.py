"""`diffuscope evaluate`: how well a model draws what it is told, and how well its maps find what it drew."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli import evaluate_maps, evaluate_objects, evaluate_steer, options
from diffuscope.cli.evaluate_model import evaluate_model

EXAMPLES = """[bold]Examples[/bold]

diffuscope evaluate --quick
diffuscope evaluate --prompts 200 --seeds 3 --out evaluation
diffuscope evaluate --guidance 2 --json

diffuscope evaluate maps --prompts 20 --json > maps.json

diffuscope evaluate objects --quick

diffuscope evaluate steer --triples 100"""


def show(
    context: typer.Context,
    model: options.Model = "scenes",
    prompts: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Held-out prompts; a third as many each are added for unseen pairs, horses and the "
            "training side. Default: 200.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Pictures of each prompt. Default: 2.", show_default=False),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Denoising steps. Default: 25.", show_default=False),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option("--guidance", metavar="G", help="Guidance scale. Default: 4.", show_default=False),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", metavar="", help="6 prompts, 1 seed, 8 steps where they are not given.")
    ] = False,
    device: options.Device = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for the figure, sheets of the pictures and evaluation.json.",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure how often a model of the drawn world draws what it is told, part by part, on held-out prompts.

    A judge reads every picture without seeing its prompt. Beside the model's shares stand two ceilings: what the judge
    reads right in faultless drawings of the same prompts, and in those after the model's autoencoder. Intervals
    are 95 per cent. The CLIP score is a second opinion, by a pair of encoders that knows nothing of the judge.
    """
    if context.invoked_subcommand is None:
        evaluate_model(
            model=model,
            device=device,
            prompts=prompts,
            seeds=seeds,
            steps=steps,
            guidance=guidance,
            quick=quick,
            out=out,
            as_json=as_json,
        )


ACTIONS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "maps": (evaluate_maps.command, evaluate_maps.EXAMPLES),
    "objects": (evaluate_objects.command, evaluate_objects.EXAMPLES),
    "steer": (evaluate_steer.command, evaluate_steer.EXAMPLES),
}
"""Further things to evaluate: name to function and examples."""
