"""`diffuscope sweep`: many variations of a recorded run, and what each changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, print_table, progress_bar
from diffuscope.cli.edit import Device, Full, ModelNow, Scale, aim_of, open_lens
from diffuscope.cli.question import open_run

if TYPE_CHECKING:
    from diffuscope import Run
    from diffuscope.analysis.sweeps import Swept
    from diffuscope.edits import Edit

EXAMPLES = """[bold]Examples[/bold]

diffuscope sweep runs/RUN --scale 0 --each head --sites "cross:up.*"
diffuscope sweep runs/RUN --silence circle --each step
diffuscope sweep runs/RUN --edit variations.json --batch 8 --out sweeps/mine
diffuscope sweep runs/RUN --scale 0 --each site --json"""

SHOWN = 20
"""Rows of the table."""


def command(
    run: options.RunArgument,
    file: Annotated[
        Path | None,
        typer.Option(
            "--edit",
            "-e",
            metavar="FILE",
            help="Variations as JSON: a list, each an edit or a list of edits.",
            show_default=False,
        ),
    ] = None,
    scale: Scale = None,
    silence: Annotated[
        str | None,
        typer.Option("--silence", metavar="W", help="Take a word's own tokens out.", show_default=False),
    ] = None,
    each: Annotated[
        str | None,
        typer.Option(
            "--each",
            metavar="WHAT",
            help="Aim --scale or --silence at one 'head', 'site' or 'step' after the other.",
            show_default=False,
        ),
    ] = None,
    steps: options.Steps = None,
    sites: options.Sites = None,
    heads: options.Heads = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", metavar="N", help="Pictures drawn together, the unedited one too.", show_default=False
        ),
    ] = None,
    keep: Annotated[
        str, typer.Option("--keep", metavar="LEVEL", help="Record each: 'maps', 'cross', 'qk'; or 'none'.")
    ] = "none",
    full: Full = False,
    model: ModelNow = None,
    device: Device = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder of the sweep. Default: sweeps/ and the run's name.",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw many variations of a recorded run, several at a time, and say what each changed.

    Every batch holds the run once without the variations, and each is compared with that row. Steps before the first
    that is touched are taken from the recording. What is in the folder already is not drawn again: a sweep that was
    stopped goes on with the same command.
    """
    recording = open_run(run)
    items = _items(recording, file, scale, silence, each, aim_of(steps, sites, heads))
    folder = out if out is not None else Path("sweeps") / recording.id
    lens = open_lens(recording, model, device)
    with progress_bar("drawing", "calls") as on_step:
        made = list(
            lens.sweep(
                recording,
                items,
                batch=batch,
                keep=keep,  # type: ignore[arg-type]  # checked there
                out=folder,
                full=full,
                progress=on_step,
            )
        )
    made.sort(key=lambda swept: -swept.mean)
    if as_json:
        print_json(
            {
                "run": recording.id,
                "folder": str(folder),
                "variations": [_told(folder, swept) for swept in sorted(made, key=lambda swept: swept.index)],
            }
        )
        return
    drawn = sum(swept.made for swept in made)
    print_facts(
        [
            ("run", recording.id),
            ("variations", f"{len(made)}, {drawn} of them drawn now"),
            ("folder", str(folder)),
        ]
    )
    typer.echo()
    print_table(
        ["mean", "largest", "noticed", "variation"],
        (
            [f"{swept.mean:.3f}", f"{swept.largest:.1f}", f"{swept.noticed:.1%}", swept.describe()]
            for swept in made[:SHOWN]
        ),
    )
    if len(made) > SHOWN:
        typer.echo(f"and {len(made) - SHOWN} that changed less; --json prints all")


def _told(folder: Path, swept: "Swept") -> dict[str, Any]:
    from diffuscope.analysis.sweeps import SweepFolder, key_of

    entry = SweepFolder(folder).entries[key_of(swept.edits)]
    return {**swept.to_json(), "image": str(folder / entry["image"])}


def _items(
    run: "Run",
    file: Path | None,
    scale: float | None,
    silence: str | None,
    each: str | None,
    aim: dict[str, Any],
) -> "list[Edit | list[Edit]]":
    from diffuscope import edits
    from diffuscope.edits.files import read

    makers: list[Any] = []
    if scale is not None:
        makers.append(lambda **at: edits.Scale(scale, **at))
    if silence is not None:
        makers.append(lambda **at: edits.Silence(silence, **at))
    if not makers and (aim or each is not None):
        raise typer.BadParameter(
            "--each, --steps, --sites and --heads aim --scale or --silence: give one of these"
        )
    if makers and each is None:
        raise typer.BadParameter("say what is swept: --each head, --each site or --each step")
    found: list[Any] = []
    if file is not None:
        given = read(file)
        found += given if isinstance(given, list) else [given]
    for make in makers:
        kinds = (
            ("cross", "joint") if silence is not None and make is makers[-1] else ("cross", "self", "joint")
        )
        found += [make(**{**aim, **at}) for at in _aims(run, str(each), aim, kinds)]
    if not found:
        raise typer.BadParameter("no variation: give --edit FILE, or --scale or --silence with --each")
    return found


def _aims(run: "Run", each: str, aim: dict[str, Any], kinds: tuple[str, ...]) -> list[dict[str, str]]:
    """Where the variations of `--each` act, one after the other."""
    from diffuscope.selection import Selection

    chosen = Selection.of(sites=aim.get("sites"), heads=aim.get("heads"), steps=aim.get("steps"))
    steps = len(run.manifest.steps) if run.complete else run.manifest.sampling.steps
    if each == "step":
        return [{"steps": str(step)} for step in chosen.resolve_steps(steps)]
    able = [site for site in run.sites if site.kind in kinds]
    named = chosen.resolve_sites([site.name for site in run.sites])
    sites = [site for site in able if site.name in named]
    if not sites:
        raise typer.BadParameter(f"--sites {aim.get('sites')} names no site that this edit can act at")
    if each == "site":
        return [{"sites": site.name} for site in sites]
    if each == "head":
        return [
            {"sites": site.name, "heads": str(head)}
            for site in sites
            for head in chosen.resolve_heads(site.heads, site.name)
        ]
    raise typer.BadParameter(f"--each {each}: it is one of head, site, step")
