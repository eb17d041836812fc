"""`diffuscope verify`: is a recording still what was written, and does it come out the same again?"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffuscope.cli import options
from diffuscope.cli.console import print_facts, print_json, print_table, progress_bar, show_warnings
from diffuscope.cli.question import run_folder

if TYPE_CHECKING:
    from diffuscope.engine.rerun import Rerun
    from diffuscope.recording.difference import Change, Difference, TensorDifference
    from diffuscope.recording.verify import Verification

EXAMPLES = """[bold]Examples[/bold]

diffuscope verify runs/RUN
diffuscope verify runs/RUN --json
diffuscope verify runs/RUN --rerun
diffuscope verify runs/RUN --rerun --model path/to/moved/pipeline

Exit status 0: every file that the manifest names is there and unchanged; with --rerun, the same picture and tensors
came out, bit for bit. 1: something is not."""


def command(
    run: options.RunArgument,
    rerun: Annotated[
        bool,
        typer.Option(
            "--rerun", metavar="", help="Draw the run again from its manifest alone and compare the two."
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="M",
            help="For --rerun: the run's model, where it is now. Default: as the manifest names it.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="D",
            help="For --rerun: 'cpu', 'cuda', 'mps'. Default: the run's, or the best there is.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="For --rerun: keep the new recording in this folder.",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Check every file of a recording against the size and hash that were written down with it.

    A run that was stopped can be whole all the same: up to its last whole step.

    With --rerun the run is drawn again from its manifest alone, and the picture and every tensor are compared bit by
    bit. Where they differ: by how much, where first, and which versions, files or settings are not the same.
    """
    from diffuscope.recording.verify import verify

    if not rerun and any(option is not None for option in (model, device, out)):
        raise typer.BadParameter("--model, --device and --out are for --rerun: give it as well")
    folder = run_folder(run)
    found = verify(folder)
    # A damaged run is nothing to compare with.
    again = draw_again(folder, model=model, device=device, out=out) if rerun and found.whole else None
    if as_json:
        facts = {**asdict(found), "whole": found.whole}
        print_json({**facts, "rerun": again and again.to_json()} if rerun else facts)
    else:
        show(found)
        if again is not None:
            show_rerun(again)
    if not found.whole or (again is not None and not again.identical):
        raise typer.Exit(1)


def draw_again(folder: Path, *, model: str | None, device: str | None, out: Path | None) -> "Rerun":
    """Draw a run again, with progress and warnings on stderr."""
    from diffuscope import Lens  # noqa: F401 - says what to install where torch is not
    from diffuscope.engine.quiet import quiet_libraries
    from diffuscope.engine.rerun import rerun

    quiet_libraries()
    with progress_bar("drawing again") as on_step:
        return rerun(
            folder,
            model=model,
            device=device,
            out=out,
            progress=on_step,
            notice=lambda line: show_warnings([line]),
        )


def show(found: "Verification") -> None:
    """The state of the files for a reader."""
    steps = f"{found.steps} of {found.of} steps"
    print_facts(
        [
            ("run", f"{found.id} ({'complete' if found.complete else 'stopped'}, {steps})"),
            ("checked", f"{found.files} files, {found.bytes / 1e6:.1f} MB"),
            (
                "result",
                "whole: as it was written" if found.whole else f"damaged: {len(found.damage)} file(s)",
            ),
            ("unnamed", ", ".join(found.unnamed) or "none"),
        ]
    )
    if found.damage:
        print_table(["file", "problem"], [[item.file, item.problem] for item in found.damage])


def show_rerun(again: "Rerun") -> None:
    """The comparison for a reader: the verdict, what is apart, and what was not the same to begin with."""
    found = again.difference
    facts = [
        ("rerun", verdict(again)),
        ("picture", picture(found)),
        ("tensors", f"{sum(kind.compared for kind in found.tensors)} of {found.steps} steps"),
    ]
    if found.first is not None:
        facts.append(("part at", str(found.first)))
    if again.folder is not None:
        facts.append(("kept in", str(again.folder)))
    typer.echo()
    print_facts(facts)
    if found.first is not None:
        typer.echo()
        print_table(
            ["tensors", "compared", "differ", "largest", "relative", "first"], map(row, found.tensors)
        )
    for title, changes in (
        ("software", found.software),
        ("model", found.model),
        ("setting", found.settings),
        ("course", found.course),
    ):
        if changes:
            typer.echo()
            show_changes(title, changes)


def verdict(again: "Rerun") -> str:
    """What came out, in one line."""
    found, limit = again.difference, again.tolerance
    if again.verdict == "identical":
        return "identical: every bit is the same"
    if again.verdict == "within tolerance":
        return (
            f"the same within {limit:g}: the largest relative difference of a tensor is {found.relative:.2g}"
        )
    if found.course:
        return "different: its steps or calls are not the same"
    if found.relative > limit:
        apart = _size(found.relative)
        return f"different: the largest relative difference of a tensor is {apart}, tolerance {limit:g}"
    return f"different: tensors are the same within {limit:g}, the picture is not"


def picture(found: "Difference") -> str:
    """How far the pictures are apart, in words."""
    apart = found.picture
    if apart is None:
        return "none: the run was stopped before it was drawn"
    if not apart.pixels:
        return "the same"
    noise = "of another size" if math.isnan(apart.psnr) else f"PSNR {apart.psnr:.1f} dB"
    return f"{apart.pixels} of {apart.of} pixels differ, by at most {apart.largest} of 255, {noise}"


def row(kind: "TensorDifference") -> list[str]:
    """A line of the table of tensors."""
    if not kind.differing:
        return [kind.kind, str(kind.compared), "0", "", "", ""]
    count = f"{kind.differing}" + (f" ({kind.missing} missing)" if kind.missing else "")
    place = str(kind.first).rpartition(": ")[0]
    return [kind.kind, str(kind.compared), count, _size(kind.largest), _size(kind.relative), place]


def show_changes(title: str, changes: "tuple[Change, ...]", most: int = 20) -> None:
    """A table of what is named differently; what is beyond `most` lines is counted."""
    print_table([title, "run", "rerun"], [[each.name, each.recorded, each.again] for each in changes[:most]])
    if len(changes) > most:
        typer.echo(f"and {len(changes) - most} more; --json lists all")


def _size(number: float) -> str:
    return f"{number:.2g}" if math.isfinite(number) else "more than can be measured"
