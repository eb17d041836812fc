"""`diffuscope runs prune`, `rm`, `restore`: less on the disk, and the way back."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from diffuscope.cli import options
from diffuscope.cli.console import (
    command_line,
    print_facts,
    print_json,
    progress_bar,
    show_warnings,
    spinner,
)
from diffuscope.cli.shelf import Runs, count, describe_trashed, other, plain, print_runs
from diffuscope.errors import DiffuscopeError, RunNotFoundError

if TYPE_CHECKING:
    from diffuscope.recording import Level
    from diffuscope.recording.pruning import Pruning
    from diffuscope.recording.trash import Trash


class Lower(StrEnum):
    """A level that a run can be shrunk to."""

    maps = "maps"
    cross = "cross"


SeveralRuns = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN", help="Folders of recordings, or their names in --runs.", show_default=False
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force", metavar="", help="Take a run, too, that looks as if it were being recorded."),
]


def prune(
    run: SeveralRuns,
    keep: Annotated[
        Lower | None,
        typer.Option(
            help="What stays: word maps; or queries of cross-attention and text as well.", show_default=False
        ),
    ] = None,
    no_previews: Annotated[
        bool,
        typer.Option("--no-previews", metavar="", help="Leave out the predicted clean picture of each step."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Only say how much it would free.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", metavar="", help="Free the space at once; it cannot be undone.")
    ] = False,
    force: Force = False,
    runs: Runs = options.RUNS,
    as_json: options.AsJson = False,
) -> None:
    """Shrink runs to a lower level, where they stand. What stays reads exactly as before.

    The whole run stays in the trash for 7 days: diffuscope runs restore RUN undoes it, and until then the space
    is not free, unless with --now. After that, the next rm, prune or restore deletes it.
    """
    from diffuscope.recording.pruning import Pruning
    from diffuscope.recording.shelf import locate

    if keep is None and not no_previews:
        raise typer.BadParameter("say what to leave out: --keep maps, --keep cross or --no-previews")
    level: Level | None = None if keep is None else keep.value
    folders = unique(locate(name, runs) for name in run)
    # All are looked at before the first is changed.
    plans = [Pruning.plan(folder, level, previews=not no_previews, force=force) for folder in folders]
    done: list[dict[str, Any]] = []
    with naming(done, "pruned"):
        for plan in plans:
            done.append(one_pruned(plan, dry_run=dry_run, now=now))
    expired = [] if dry_run else expire(folders)
    if as_json:
        print_json({"dry_run": dry_run, "runs": done, "expired": expired})
        return
    print_runs(
        ("run", "was", "is" if not dry_run else "would be", "before", "after", "frees"),
        (
            (
                plain(facts["name"]),
                facts["was"],
                facts["keep"],
                decimal(facts["before"]),
                decimal(facts["after"]),
                decimal(facts["frees"]) if facts["changed"] else "nothing",
            )
            for facts in done
        ),
    )
    changed = [folder for folder, facts in zip(folders, done, strict=True) if facts["changed"]]
    if dry_run or not changed:
        typer.echo("\nnothing was changed")
    elif now:
        typer.echo("\nfreed at once")
    else:
        say_undo(changed, "the space is free")
    say_expired(expired)


def rm(
    run: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN", help="Folders of recordings, or their names in --runs.", show_default=False
        ),
    ] = None,
    now: Annotated[
        bool, typer.Option("--now", metavar="", help="Free the space at once; it cannot be undone.")
    ] = False,
    trash: Annotated[
        bool,
        typer.Option("--trash", metavar="", help="Empty the trash of --runs at once; it cannot be undone."),
    ] = False,
    force: Force = False,
    runs: Runs = options.RUNS,
    as_json: options.AsJson = False,
) -> None:
    """Remove runs, or empty the trash.

    They go to the trash for 7 days: diffuscope runs restore RUN brings one back, and until then the space is
    not free, unless with --now. After that, the next rm, prune or restore deletes it.
    """
    from diffuscope.recording.shelf import file_sizes, locate, refuse_while_written
    from diffuscope.recording.trash import Trash

    if trash and (run or now):
        raise typer.BadParameter("--trash empties the trash; give it alone")
    if trash:
        empty(Trash(runs), as_json)
        return
    if not run:
        raise typer.BadParameter("name the runs to remove, or --trash to empty the trash")
    folders = unique(locate(name, runs) for name in run)
    if not force:
        for folder in folders:
            refuse_while_written(folder)
    done: list[dict[str, Any]] = []
    with spinner("removing"), naming(done, "removed"):
        for folder in folders:
            facts = {"name": folder.name, "path": str(folder), "bytes": sum(file_sizes(folder).values())}
            put = Trash(folder.parent)
            if now:
                put.delete(folder)
                done.append({**facts, "trash": None})
            else:
                done.append({**facts, "trash": describe_trashed(put.put(folder))})
    expired = expire(folders)
    if as_json:
        print_json({"removed": done, "expired": expired})
        return
    freed = sum(facts["bytes"] for facts in done)
    print_facts([("removed", f"{facts['path']} ({decimal(facts['bytes'])})") for facts in done])
    if now:
        typer.echo(f"\nfreed {decimal(freed)} at once")
    else:
        say_undo(folders, f"{decimal(freed)} is free")
    say_expired(expired)


def restore(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="Name of a run that was removed or pruned, or an entry.", show_default=False
        ),
    ],
    runs: Runs = options.RUNS,
    as_json: options.AsJson = False,
) -> None:
    """Bring back a run that was removed, or what a run was before it was pruned.

    The name means what came into the trash last under it; diffuscope runs list --trash shows entries, which
    mean one exactly. What pruning had made goes to the trash in exchange.
    """
    from diffuscope.recording.trash import Trash

    path = Path(name)
    if len(path.parts) > 1:  # As rm printed it.
        runs, name = path.parent, path.name
    restored = Trash(runs).restore(name)
    expired = expire([restored.path])
    if as_json:
        aside = describe_trashed(restored.aside) if restored.aside else None
        print_json(
            {
                "name": restored.taken.name,
                "path": str(restored.path),
                "was": restored.taken.kind,
                "aside": aside,
                "expired": expired,
            }
        )
        return
    facts = [("restored", str(restored.path)), ("was", restored.taken.kind)]
    if restored.aside is not None:
        facts.append(("in exchange", f"{restored.aside.entry} in the trash"))
    print_facts(facts)
    say_expired(expired)


# Doing it.


def one_pruned(plan: "Pruning", *, dry_run: bool, now: bool) -> dict[str, Any]:
    """Prune one run, unless it is a dry run, and say what that made of it."""
    from diffuscope.recording.shelf import file_sizes
    from diffuscope.recording.trash import Trash

    folder, was = plan.recording.path, plan.recording.manifest.keep.level
    before = sum(file_sizes(folder).values())
    old = None
    if not dry_run:
        with progress_bar(f"pruning {folder.name}", unit="files") as on_file:
            old = plan.apply(on_file)
    after = before - plan.frees if dry_run else sum(file_sizes(folder).values())
    if old is not None and now:
        Trash(folder.parent).discard(old)
    return {
        "id": plan.recording.manifest.id,
        "name": folder.name,
        "path": str(folder),
        "was": was,
        "keep": plan.keep,
        "changed": not plan.nothing,
        "before": before,
        "after": after,
        "frees": before - after,
        "trash": describe_trashed(old) if old is not None and not now else None,
    }


def empty(trash: "Trash", as_json: bool) -> None:
    """Delete everything in the trash."""
    if not trash.runs.is_dir():
        raise RunNotFoundError(f"there is no folder {trash.runs}; name the folder of your runs with --runs")
    freed = sum(run.bytes for run in trash.entries())
    gone = trash.empty()
    if as_json:
        print_json({"emptied": [describe_trashed(run) for run in gone], "bytes": freed})
    else:
        typer.echo(f"freed {decimal(freed)}: {count(gone, 'run')} that had been in the trash")


@contextmanager
def naming(done: list[dict[str, Any]], what: str) -> Iterator[None]:
    """Where one of several runs fails, say which were done before it."""
    try:
        yield
    except DiffuscopeError:
        show_warnings(f"{facts['path']} was {what} before this failed" for facts in done)
        raise


def expire(folders: Iterable[Path]) -> list[str]:
    """Delete what has been in the trash for its time, beside each of these runs; the names of what went."""
    from diffuscope.recording.trash import Trash

    return [run.name for runs in unique(folder.parent for folder in folders) for run in Trash(runs).expire()]


def unique(paths: Iterable[Path]) -> list[Path]:
    """Without those that were named twice."""
    return list({path.resolve(): path for path in paths}.values())


def say_undo(folders: list[Path], free: str) -> None:
    """How to take it back, and until when."""
    for runs in unique(folder.parent for folder in folders):
        typer.echo(
            f"\n{free} in 7 days, or at once with: {command_line('runs', 'rm', '--trash', *other(runs))}"
        )
    for folder in folders:
        typer.echo(f"to undo: {command_line('runs', 'restore', folder.name, *other(folder.parent))}")


def say_expired(names: list[str]) -> None:
    """Nothing is deleted without a word."""
    for name in names:
        typer.echo(f"deleted from the trash, after 7 days: {plain(name)}")
