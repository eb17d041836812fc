"""`diffuscope edit`: draw a recorded run again with something changed in the model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import command_line, print_facts, print_json, progress_bar
from diffuscope.cli.question import run_folder

if TYPE_CHECKING:
    from diffuscope.edits import Edit

EXAMPLES = """[bold]Examples[/bold]

diffuscope edit runs/RUN --silence circle
diffuscope edit runs/RUN --scale 0 --sites cross:mid --heads 3 --steps 5:20
diffuscope edit runs/RUN --encode "a green square" --sites "cross:up.*"
diffuscope edit runs/RUN --steer blue --word circle --steps window
diffuscope edit runs/RUN --edit edits.json"""


def command(
    run: options.RunArgument,
    file: Annotated[
        Path | None,
        typer.Option(
            "--edit", "-e", metavar="FILE", help="Edits as JSON: one, or a list.", show_default=False
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale", metavar="F", help="Multiply the heads' output; 0 ablates.", show_default=False
        ),
    ] = None,
    encode: Annotated[
        str | None,
        typer.Option("--encode", metavar="TEXT", help="Give the heads another text.", show_default=False),
    ] = None,
    steer: Annotated[
        str | None,
        typer.Option("--steer", metavar="TOWARD", help="Move the text toward this.", show_default=False),
    ] = None,
    word: Annotated[
        str | None,
        typer.Option(
            "--word", "-w", metavar="W", help="For --steer: the word that moves.", show_default=False
        ),
    ] = None,
    silence: Annotated[
        list[str] | None,
        typer.Option(
            "--silence",
            metavar="W",
            help="Take a word's own tokens out; may be repeated.",
            show_default=False,
        ),
    ] = None,
    steps: options.Steps = None,
    sites: options.Sites = None,
    heads: options.Heads = None,
    full: Annotated[
        bool, typer.Option("--full", metavar="", help="Compute all steps, also those before the edit.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="M", help="The run's model, where it is now.", show_default=False
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="D", help="'cpu', 'cuda', 'mps'.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of runs.")] = options.RUNS,
    as_json: options.AsJson = False,
) -> None:
    """Draw a recorded run again with something changed, and record that too.

    Until the first step that an edit acts at, what the denoiser put out is taken from the recording: an edit of the
    last quarter of a run costs a quarter of it. The picture is the one of a whole run with the same edits.

    --steps, --sites and --heads aim the edits given as options; edits of a file say for themselves where they act.
    Edits of the file come first, then scale, encode, steer, silence.
    """
    from diffuscope import Lens
    from diffuscope.engine.models.reopening import reopen
    from diffuscope.engine.quiet import quiet_libraries
    from diffuscope.recording import Recording

    chosen = _chosen(file, scale, encode, steer, word, silence or [], steps, sites, heads)
    recording = Recording.open(run_folder(run))
    quiet_libraries()
    loaded = reopen(recording.manifest, model, device)
    lens = Lens(loaded.pipe, loaded=loaded)
    with progress_bar("drawing") as on_step:
        made = lens.edit(recording, *chosen, out=out, full=full, progress=on_step)
    if as_json:
        print_json(
            {
                "id": made.id,
                "path": str(made.path),
                "parent": recording.manifest.id,
                "edits": made.manifest.edits,
            }
        )
        return
    print_facts(
        [
            ("run", str(made.path)),
            ("parent", recording.manifest.id),
            *(("edit", each.describe()) for each in chosen),
            ("next", command_line("compare", recording.path, made.path)),
        ]
    )


def _chosen(
    file: Path | None,
    scale: float | None,
    encode: str | None,
    steer: str | None,
    word: str | None,
    silence: list[str],
    steps: str | None,
    sites: str | None,
    heads: str | None,
) -> "list[Edit]":
    from diffuscope.edits import Encode, Scale, Silence, Steer, load

    given = (("steps", steps), ("sites", sites), ("heads", heads))
    aim: dict[str, Any] = {name: value for name, value in given if value is not None}
    if word is not None and steer is None:
        raise typer.BadParameter("--word is for --steer: say toward what")
    mine: list[Edit] = []
    if scale is not None:
        mine.append(Scale(scale, **aim))
    if encode is not None:
        mine.append(Encode(encode, **aim))
    if steer is not None:
        mine.append(Steer(steer, word=word, **aim))
    mine += [Silence(each, **aim) for each in silence]
    if aim and not mine:
        raise typer.BadParameter(
            "--steps, --sites and --heads aim --scale, --encode, --steer or --silence: give one"
        )
    found = [*(load(file) if file is not None else []), *mine]
    if not found:
        raise typer.BadParameter("no edit: give --edit FILE, --scale, --encode, --steer or --silence")
    return found
