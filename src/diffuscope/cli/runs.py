"""`diffuscope runs`: recordings are large. See them, shrink them, share them, remove them, and take it back."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from diffuscope.cli import options
from diffuscope.cli.console import (
    command_line,
    print_facts,
    print_json,
    progress_bar,
    show_warnings,
)
from diffuscope.cli.runs_less import prune, restore, rm
from diffuscope.cli.shelf import (
    COLUMNS,
    Runs,
    count,
    date,
    describe,
    describe_trashed,
    other,
    plain,
    print_runs,
    row_of,
)

if TYPE_CHECKING:
    from diffuscope.recording.trash import Trash

EXAMPLES = """[bold]Examples[/bold]

diffuscope runs list
diffuscope runs pack RUN --out shared.diffuscope.zip
diffuscope runs unpack shared.diffuscope.zip
diffuscope runs prune RUN --keep cross --dry-run
diffuscope runs rm RUN
diffuscope runs restore RUN

Each has a --help of its own, and --json. Without one of them, the runs are listed."""


def show(context: typer.Context) -> None:
    """See the recorded runs, shrink them, share them, remove them.

    What is removed or pruned stays in the trash (a folder .trash among the runs) for 7 days, whole, and can be
    brought back; after that, the next rm, prune or restore deletes it.
    """
    if context.invoked_subcommand is None:
        list_()


def list_(
    runs: Runs = options.RUNS,
    trash: Annotated[
        bool, typer.Option("--trash", metavar="", help="List what is in the trash, and until when.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """List the runs in a folder, newest first: how large each is, what it kept, and whether it is whole.

    Folders that are no run are passed over. A run is shown as damaged when its manifest does not hold or a
    file is missing or of another size; what is in the files is checked by diffuscope verify.
    """
    from diffuscope.recording.shelf import list_runs
    from diffuscope.recording.trash import Trash

    if trash:
        show_trash(Trash(runs), as_json)
        return
    # Before the first recording there is no folder; one that was named must be there.
    found = [] if runs == options.RUNS and not runs.exists() else list_runs(runs)
    total, put_away = sum(run.bytes for run in found), Trash(runs).entries()
    in_trash = sum(run.bytes for run in put_away)
    if as_json:
        print_json(
            {
                "folder": str(runs),
                "runs": [describe(run) for run in found],
                "bytes": total,
                "trash": {"runs": len(put_away), "bytes": in_trash},
            }
        )
        return
    if found:
        print_runs(COLUMNS, map(row_of, found))
        typer.echo("")
    advice = f"; begin with: {command_line('demo')}" if not found and not put_away else ""
    typer.echo(f"{count(found, 'run')} in {runs}, {decimal(total)}{advice}")
    if put_away:
        typer.echo(
            f"{count(put_away, 'run')} in the trash, {decimal(in_trash)}; see: "
            f"{command_line('runs', 'list', '--trash', *other(runs))}"
        )
    show_warnings(f"{run.name} is damaged: {plain(run.problem)}" for run in found if run.state == "damaged")


def pack(
    run: options.RunArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Archive to write. Default: RUN.diffuscope.zip.",
            show_default=False,
        ),
    ] = None,
    runs: Runs = options.RUNS,
    as_json: options.AsJson = False,
) -> None:
    """Write a run into one file, to share it. Every file of the run is checked on the way.

    The file is an ordinary zip file without compression; the same run always gives the same bytes. What the
    recording does not name (a report in its folder, for example) is left out.
    """
    from diffuscope.recording.archive import pack_run
    from diffuscope.recording.shelf import locate

    with progress_bar("packing", unit="files") as on_file:
        packed = pack_run(locate(run, runs), out, on_file)
    if as_json:
        print_json(
            {
                "id": packed.id,
                "file": str(packed.file),
                "files": packed.files,
                "bytes": packed.bytes,
                "left_out": list(packed.left_out),
            }
        )
        return
    print_facts(
        [
            ("packed", plain(packed.id)),
            ("wrote", f"{packed.file} ({packed.files} files, {decimal(packed.bytes)})"),
            ("left out", ", ".join(packed.left_out) or "nothing"),
        ]
    )
    typer.echo(f"\nto open it elsewhere: {command_line('runs', 'unpack', packed.file)}")


def unpack(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Archive that `runs pack` wrote.", show_default=False)
    ],
    runs: Runs = options.RUNS,
    as_json: options.AsJson = False,
) -> None:
    """Make a run folder of an archive, bit for bit the one that was packed.

    Everything is checked before the folder gets its name: no file leads out of it, none is a link, and all are
    what the sealed manifest says. An archive that fails leaves nothing behind.
    """
    from diffuscope.recording.archive import unpack_run

    with progress_bar("unpacking", unit="files") as on_file:
        unpacked = unpack_run(file, runs, on_file)
    if as_json:
        print_json(
            {
                "id": unpacked.id,
                "path": str(unpacked.path),
                "files": unpacked.files,
                "bytes": unpacked.bytes,
            }
        )
        return
    print_facts([("unpacked", f"{unpacked.path} ({unpacked.files} files, {decimal(unpacked.bytes)})")])
    typer.echo(f"\nnext: {command_line('info', unpacked.path)}")


def show_trash(trash: "Trash", as_json: bool) -> None:
    """What is in the trash, and how long it stays."""
    entries = trash.entries()
    sizes = [run.bytes for run in entries]
    if as_json:
        listed = [
            {**describe_trashed(run), "bytes": bytes_} for run, bytes_ in zip(entries, sizes, strict=True)
        ]
        print_json({"folder": str(trash.folder), "trash": listed, "bytes": sum(sizes)})
        return
    if entries:
        print_runs(
            ("run", "was", "until", "size", "entry"),
            (
                (plain(run.name), run.kind, date(run.until), decimal(bytes_), run.entry)
                for run, bytes_ in zip(entries, sizes, strict=True)
            ),
        )
        typer.echo("")
    typer.echo(f"{count(entries, 'run')} in the trash, {decimal(sum(sizes))}")
    if entries:
        typer.echo(f"to bring one back: {command_line('runs', 'restore', 'RUN', *other(trash.runs))}")
        typer.echo(f"to free the space: {command_line('runs', 'rm', '--trash', *other(trash.runs))}")


ACTIONS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "list": (
        list_,
        [
            "diffuscope runs list",
            "diffuscope runs list --runs path/to/runs --json",
            "diffuscope runs list --trash",
        ],
    ),
    "pack": (
        pack,
        ["diffuscope runs pack RUN", "diffuscope runs pack RUN --out shared.diffuscope.zip --json"],
    ),
    "unpack": (
        unpack,
        [
            "diffuscope runs unpack shared.diffuscope.zip",
            "diffuscope runs unpack shared.diffuscope.zip --runs path/to/runs --json",
        ],
    ),
    "prune": (
        prune,
        [
            "diffuscope runs prune RUN --keep cross --dry-run",
            "diffuscope runs prune RUN RUN --keep maps --no-previews",
            "diffuscope runs prune runs/2026* --keep maps --now --json",
        ],
    ),
    "rm": (
        rm,
        ["diffuscope runs rm RUN", "diffuscope runs rm RUN RUN --now --json", "diffuscope runs rm --trash"],
    ),
    "restore": (
        restore,
        ["diffuscope runs restore RUN", "diffuscope runs restore RUN --runs path/to/runs --json"],
    ),
}
"""The commands of the group by name, with their examples."""
