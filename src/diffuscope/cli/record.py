"""`diffuscope record`: generate a picture and keep what every attention head looked at."""

import json
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from diffuscope.cli import options
from diffuscope.cli.console import (
    command_line,
    note,
    print_facts,
    print_json,
    progress_bar,
    show_warnings,
    spinner,
)
from diffuscope.errors import InputError

if TYPE_CHECKING:
    from diffuscope import Lens
    from diffuscope.engine.estimate import Estimate
    from diffuscope.run import Run

EXAMPLES = """[bold]Examples[/bold]

diffuscope record "a red circle left of a blue square"
diffuscope record "a big yellow star at night" --seed 3 --steps 50
diffuscope record "a cat on a mat" --model path/to/pipeline --keep cross --sites "cross:up.*"
diffuscope record "a red circle" --keep-steps 0:10 --grids 16x16 --estimate
diffuscope record "a cat" --model path/to/flux --set true_cfg_scale=4 --set max_sequence_length=256

What was recorded answers questions later: diffuscope heatmap RUN --word circle"""


class Store(StrEnum):
    """In which type tensors are written."""

    kernel = "kernel"
    float16 = "float16"


class Branch(StrEnum):
    """Whose attention is written."""

    cond = "cond"
    uncond = "uncond"


class Level(StrEnum):
    """How much of the attention is written."""

    maps = "maps"
    cross = "cross"
    qk = "qk"


def command(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to draw.", show_default=False)],
    model: options.Model = "scenes",
    seed: Annotated[int, typer.Option(help="Seed of the noise: the same seed draws the same picture.")] = 0,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Denoising steps. Default: the model's own.", show_default=False),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            "--guidance", metavar="G", help="Guidance scale. Default: the model's own.", show_default=False
        ),
    ] = None,
    negative: Annotated[
        str | None, typer.Option("--negative", metavar="TEXT", help="Negative prompt.", show_default=False)
    ] = None,
    branch: Annotated[
        Branch, typer.Option(help="Whose attention to keep: the prompt's, or the negative prompt's.")
    ] = Branch.cond,
    further: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A further argument of the model's pipeline, its value as JSON: 'true_cfg_scale=4'. Repeatable.",
            show_default=False,
        ),
    ] = None,
    width: Annotated[int | None, typer.Option(metavar="PIXELS", show_default=False)] = None,
    height: Annotated[int | None, typer.Option(metavar="PIXELS", show_default=False)] = None,
    images: Annotated[
        int, typer.Option(metavar="N", help="Pictures of the prompt; one run folder each.", min=1)
    ] = 1,
    keep: Annotated[
        Level | None,
        typer.Option(
            help="What to write: word maps; all of cross-attention; self-attention too. "
            "Default: the most that fits --budget.",
            show_default=False,
        ),
    ] = None,
    sites: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Keep these sites only, e.g. 'cross:up.*'.", show_default=False),
    ] = None,
    grids: Annotated[
        str | None,
        typer.Option(metavar="HxW", help="Keep sites of these grids only: '16x16,8x8'.", show_default=False),
    ] = None,
    keep_steps: Annotated[
        str | None,
        typer.Option(metavar="A:B", help="Keep attention at these steps only: '0:10'.", show_default=False),
    ] = None,
    keep_heads: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Keep queries and keys of these heads only: '0:4'.", show_default=False
        ),
    ] = None,
    values: Annotated[bool, typer.Option("--values", help="Keep values of self-attention too.")] = False,
    store: Annotated[
        Store, typer.Option(help="Tensors as the kernel had them, or rounded (the error is written down).")
    ] = Store.kernel,
    budget: Annotated[
        str, typer.Option(metavar="SIZE", help="What a run may take on disk where --keep is not given.")
    ] = "2GB",
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only say how much would be written; draws nothing.")
    ] = False,
    previews: Annotated[bool, typer.Option(help="Write the predicted clean picture of every step.")] = True,
    device: options.Device = None,
    dtype: options.DtypeOption = None,
    revision: options.Revision = None,
    config: options.Config = None,
    offline: options.Offline = False,
    allow_pickle: options.AllowPickle = False,
    out: options.Out = options.RUNS,
    as_json: options.AsJson = False,
) -> None:
    """Generate a picture and record its attention.

    The picture is bit for bit the one that the model draws without recording. The recording goes to a folder
    of its own under --out; stop with Ctrl-C and what was recorded until then still opens.
    """
    settings: dict[str, Any] = {
        "negative_prompt": negative,
        "seed": seed,
        "steps": steps,
        "guidance_scale": guidance,
        "width": width,
        "height": height,
        "images_per_prompt": images,
        "keep": keep.value if keep else None,
        "sites": sites,
        "grids": grids,
        "keep_steps": keep_steps,
        "keep_heads": keep_heads,
        "values": values,
        "store": store.value,
        "budget": budget,
        "previews": previews,
        "branch": branch.value,
    }
    settings |= read_further(further or [], settings)
    source = {
        "device": device,
        "dtype": dtype.value if dtype else None,
        "revision": revision,
        "config": config,
        "offline": offline,
        "allow_pickle": allow_pickle,
    }
    if estimate:
        show_estimate(open_lens(model, **source).estimate(prompt, **settings), as_json)
        return
    runs = record(prompt, model=model, source=source, out=out, **settings)
    if as_json:
        print_json({"runs": [describe(run) for run in runs]})
        return
    for run in runs:
        print_facts(
            [
                ("recorded", str(run.path)),
                ("picture", str(run.path / "image.png")),
                ("kept", run.manifest.keep.level),
                ("words", ", ".join(word.label for word in run.words)),
            ]
        )
    typer.echo(f"\nnext: {command_line('heatmap', runs[0].path, '--word', example_word(runs[0]))}")


def read_further(given: list[str], settings: dict[str, Any]) -> dict[str, Any]:
    """What `--set` says: names to values, which are JSON, or else text as it stands.

    Raises:
        InputError: no name and value, or a name that has an option of its own.
    """
    further: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not (equals and name.isidentifier()):
            raise InputError(f"--set {each}: write NAME=VALUE, as in --set true_cfg_scale=4")
        if name in settings or name in ("prompt", "out", "progress", "on_estimate"):
            raise InputError(f"--set {each}: {name} has an option of its own; see diffuscope record --help")
        try:
            further[name] = json.loads(value)
        except json.JSONDecodeError:
            further[name] = value
    return further


def record(prompt: str, *, model: str, source: dict[str, Any], out: Path, **settings: Any) -> "list[Run]":
    """Load the model and record, with progress and warnings on stderr; `source` are further arguments of `Lens.load`,
    `settings` are `Lens.record`'s."""
    lens = open_lens(model, **source)
    before = run_folders(out)
    try:
        with progress_bar("recording") as on_step:
            recorded = lens.record(prompt, out=out, progress=on_step, on_estimate=say, **settings)
    except KeyboardInterrupt:
        show_warnings(f"what was recorded until now is in {folder}" for folder in run_folders(out) - before)
        raise
    show_warnings(lens.warnings)
    return recorded if isinstance(recorded, list) else [recorded]


def open_lens(model: str, **source: Any) -> "Lens":
    """Load a model, with a spinner; `source` are further arguments of `Lens.load`."""
    from diffuscope import Lens  # only here: everything but recording works without torch
    from diffuscope.engine.quiet import quiet_libraries

    quiet_libraries()
    on_disk = "/" not in model or Path(model).exists() or source.get("offline", False)
    with spinner(f"loading {model}") if on_disk else nullcontext():  # a download shows its own bars
        return Lens.load(model, **source)


def say(estimate: "Estimate") -> None:
    """How much will be written, on stderr: before it is."""
    note(f"writing {estimate}")
    if not estimate.fits:
        show_warnings([f"even word maps alone do not fit the budget of {decimal(estimate.budget or 0)}"])


def show_estimate(estimate: "Estimate", as_json: bool) -> None:
    """The answer to ``--estimate``."""
    if as_json:
        print_json(estimate.to_json())
        return
    print_facts(
        [
            ("level", estimate.level),
            *((f"keep={level}", f"{decimal(size)} a run") for level, size in estimate.bytes.items()),
            ("together", f"{decimal(estimate.total)}, {estimate.pictures} run(s) of {estimate.steps} steps"),
        ]
    )


def run_folders(out: Path) -> set[Path]:
    """The recordings in a folder."""
    return {manifest.parent for manifest in out.glob("*/manifest.json")}


def describe(run: "Run") -> dict[str, Any]:
    """What ``--json`` says about a fresh recording."""
    return {
        "id": run.manifest.id,
        "path": str(run.path),
        "image": str(run.path / "image.png"),
        "complete": run.manifest.complete,
        "keep": run.manifest.keep.level,
        "steps": len(run.manifest.steps),
        "words": [word.label for word in run.words],
        "cut": run.manifest.text.cut,
    }


def example_word(run: "Run") -> str:
    """A word worth a first look: the longest, since articles and prepositions say little."""
    return max((word.label for word in run.words), key=len, default="<start>")
