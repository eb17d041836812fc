"""`diffuscope info`: what a recording holds."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, print_table
from diffuscope.cli.question import open_run

if TYPE_CHECKING:
    from diffuscope.run import Run

EXAMPLES = """[bold]Examples[/bold]

diffuscope info runs/RUN
diffuscope info runs/RUN --json

The words and site names listed here are those that --word and --sites take."""


def command(run: options.RunArgument, as_json: options.AsJson = False) -> None:
    """Show what a recording holds: prompt, words, model, steps, attention sites.

    Works without torch, and on a run that was interrupted.
    """
    opened = open_run(run)
    facts = describe(opened)
    if as_json:
        print_json(facts)
    else:
        show(opened, facts)


def describe(run: "Run") -> dict[str, Any]:
    """The facts of a recording as plain values: what ``--json`` prints."""
    manifest = run.manifest
    return {
        "id": manifest.id,
        "path": str(run.path),
        "created": manifest.created,
        "complete": manifest.complete,
        "stopped": manifest.stopped,
        "bytes": sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file()),
        "model": manifest.model.model_dump(exclude={"files"}),
        "sampling": manifest.sampling.model_dump(exclude={"scheduler": {"config"}}),
        "words": [{"label": word.label, "tokens": word.tokens} for word in manifest.text.words],
        "tokens": [token.text for token in manifest.text.tokens if token.kind != "padding"],
        "cut": manifest.text.cut,
        "keep": manifest.keep.model_dump(),
        "steps": len(manifest.steps),
        "rounding": max(
            (step.rounding for step in manifest.steps if step.rounding is not None), default=None
        ),
        "calls": sum(len(step.calls) for step in manifest.steps),
        "sites": [
            {"name": site.name, "kind": site.kind, "grid": site.grid, "heads": site.heads, "keys": site.keys}
            for site in manifest.sites
        ],
        "software": manifest.software,
    }


def show(run: "Run", facts: dict[str, Any]) -> None:
    """The same for a reader."""
    sampling, model, keep = facts["sampling"], facts["model"], facts["keep"]
    state = "complete" if facts["complete"] else f"incomplete: {facts['stopped'] or 'interrupted'}"
    kinds = Counter(site["kind"] for site in facts["sites"])
    sampled = (
        f"{facts['steps']} of {sampling['steps']} steps, {facts['calls']} calls, "
        f"{sampling['scheduler']['name']}, guidance {sampling['guidance_scale']:g}, seed {sampling['seed']}"
    )
    rows = [
        ("run", f"{facts['id']} ({state})"),
        ("prompt", sampling["prompt"]),
        ("words", "  ".join(word["label"] for word in facts["words"])),
        ("model", f"{model['id']} ({model['family']}, {model['dtype']})"),
        ("sampling", sampled),
        ("picture", f"{sampling['width']} x {sampling['height']}"),
        ("kept", f"{keep['level']} as {keep['dtype']}, {facts['bytes'] / 1e6:.1f} MB"),
        ("recorded", facts["created"]),
    ]
    limits = [f"{name} {keep[name]}" for name in ("steps", "heads") if keep[name] != "all"]
    if limits:
        rows.insert(-1, ("limits", ", ".join(limits)))
    if facts["rounding"] is not None:
        rows.insert(-1, ("rounding", f"changes a probability by at most {facts['rounding']:.1e}"))
    if sampling["negative_prompt"]:
        rows.insert(2, ("negative", sampling["negative_prompt"]))
    if facts["cut"]:
        rows.insert(2, ("cut off", f"{facts['cut']!r} did not fit into the text encoder"))
    print_facts(rows)
    typer.echo(f"\nattention sites: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    kept = set(keep["sites"])
    print_table(
        ("site", "grid", "heads", "keys", "kept"),
        (
            (
                site["name"],
                f"{site['grid'][0]}x{site['grid'][1]}",
                str(site["heads"]),
                str(site["keys"]),
                "yes" if site["name"] in kept else "no",
            )
            for site in facts["sites"]
        ),
    )
