"""Runs, and runs in the trash, as the commands about them print them: plain values, lines, words."""

import shutil
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from diffuscope.cli import options
from diffuscope.cli.console import UNLIMITED, print_table

if TYPE_CHECKING:
    from diffuscope.recording.shelf import Shelved
    from diffuscope.recording.trash import Trashed

Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Folder of runs.")]

WIDEST = 60
"""Characters of a prompt in the list."""


def describe(run: "Shelved") -> dict[str, Any]:
    """A run of the list as plain values."""
    manifest = run.manifest
    return {
        "id": manifest.id if manifest else None,
        "name": run.name,
        "path": str(run.path),
        "state": run.state,
        "problem": run.problem,
        "created": run.created.isoformat(),
        "prompt": manifest.sampling.prompt if manifest else None,
        "seed": manifest.sampling.seed if manifest else None,
        "model": manifest.model.id if manifest else None,
        "keep": manifest.keep.level if manifest else None,
        "steps": len(manifest.steps) if manifest else None,
        "of": manifest.sampling.steps if manifest else None,
        "bytes": run.bytes,
    }


def describe_trashed(run: "Trashed") -> dict[str, Any]:
    """A run in the trash as plain values."""
    return {
        "entry": run.entry,
        "name": run.name,
        "path": str(run.path),
        "was": run.kind,
        "since": run.since.isoformat(),
        "until": run.until.isoformat(),
    }


COLUMNS = ("run", "recorded", "model", "kept", "steps", "state", "size", "prompt")


def row_of(run: "Shelved") -> tuple[str, ...]:
    """A run's line in the list: what `COLUMNS` name."""
    manifest = run.manifest
    if manifest is None:
        return (plain(run.name), date(run.created), "", "", "", run.state, decimal(run.bytes), "")
    steps = f"{len(manifest.steps)} of {manifest.sampling.steps}"
    prompt = plain(manifest.sampling.prompt)
    return (
        plain(run.name),
        date(run.created),
        plain(manifest.model.id),
        manifest.keep.level,
        steps,
        run.state,
        decimal(run.bytes),
        prompt if len(prompt) <= WIDEST else f"{prompt[: WIDEST - 1]}…",
    )


def other(runs: Path) -> list[str]:
    """The option that names a folder of runs, where it is not the usual one."""
    return [] if runs == options.RUNS else ["--runs", str(runs)]


def print_runs(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A table whose first column is the runs' names. A terminal that is too narrow gets each name on a line of its
    own above the rest, since a name that is broken in two cannot be copied."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(columns, *table, strict=True)]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED
    if sum(widths) + 2 * len(widths) <= room:
        print_table(columns, table)
        return
    for name, *cells in [columns, *table]:
        typer.echo(name)
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths[1:], strict=True)).rstrip()
        typer.echo(f"    {line if len(line) <= room - 4 else line[: room - 5] + '…'}")


def date(when: datetime) -> str:
    """To the minute, in local time."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M")


def count(things: list[Any], what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def plain(text: str | None) -> str:
    """On one line and without control characters: prompts and names may come from elsewhere."""
    return " ".join("".join(char if char.isprintable() else " " for char in text or "").split())
