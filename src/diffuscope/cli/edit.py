"""`diffuscope edit`: draw a recorded run again with something changed in the model."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import command_line, note, print_facts, print_json, print_table, progress_bar
from diffuscope.cli.question import open_run

if TYPE_CHECKING:
    from diffuscope import Lens, Run
    from diffuscope.edits import Edit, Steer

EXAMPLES = """[bold]Examples[/bold]

diffuscope edit runs/RUN --silence circle
diffuscope edit runs/RUN --scale 0 --sites cross:mid --heads 3 --steps 5:20
diffuscope edit runs/RUN --encode "a pink square" --sites "cross:up.*"
diffuscope edit runs/RUN --steer blue --word auto
diffuscope edit runs/RUN --suggest
diffuscope edit runs/RUN --silence circle --control
diffuscope edit runs/RUN --edit edits.json"""

AUTO = "auto"

Scale = Annotated[
    float | None,
    typer.Option("--scale", metavar="F", help="Multiply the heads' output; 0 ablates.", show_default=False),
]
Silence = Annotated[
    list[str] | None,
    typer.Option(
        "--silence", metavar="W", help="Take a word's own tokens out; may be repeated.", show_default=False
    ),
]
Patches = Annotated[
    str | None,
    typer.Option(
        "--patches",
        metavar="REGION",
        help="Where in the picture, in pixels: 'box:0,0,63,63'.",
        show_default=False,
    ),
]
Full = Annotated[
    bool, typer.Option("--full", metavar="", help="Compute all steps, also those before the edit.")
]
ModelNow = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="M", help="The run's model, where it is now.", show_default=False),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="D", help="'cpu', 'cuda', 'mps'.", show_default=False)
]


def command(
    run: options.RunArgument,
    file: Annotated[
        Path | None,
        typer.Option(
            "--edit", "-e", metavar="FILE", help="Edits as JSON: one, or a list.", show_default=False
        ),
    ] = None,
    scale: Scale = None,
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
            "--word",
            "-w",
            metavar="W",
            help="For --steer: the word that moves; 'auto' finds it.",
            show_default=False,
        ),
    ] = None,
    silence: Silence = None,
    steps: options.Steps = None,
    sites: options.Sites = None,
    heads: options.Heads = None,
    patches: Patches = None,
    control: Annotated[
        bool,
        typer.Option("--control", metavar="", help="Draw the edits' controls: random changes of their size."),
    ] = False,
    suggest: Annotated[
        bool,
        typer.Option(
            "--suggest",
            metavar="",
            help="Draw nothing: say what can be steered or, with --steer, what that would act on.",
        ),
    ] = False,
    full: Full = False,
    model: ModelNow = None,
    device: Device = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of runs.")] = options.RUNS,
    as_json: options.AsJson = False,
) -> None:
    """Draw a recorded run again with something changed, and record that too.

    Until the first step that an edit acts at, what the denoiser put out is taken from the recording: an edit of the
    last quarter of a run costs a quarter of it. The picture is the one of a whole run with the same edits.

    --steps, --sites, --heads and --patches aim the edits given as options; edits of a file say for themselves where
    they act. Edits of the file come first, then scale, encode, steer, silence. A control is a random change on the same
    selection with the norm of the edit's own, for 'compare' to show beside it.
    """
    recording = open_run(run)
    if suggest:
        _suggest(recording, steer, as_json)
        return
    if word is not None and steer is None:
        raise typer.BadParameter("--word is for --steer: say toward what")
    named = None if word == AUTO else word
    chosen = _chosen(file, scale, encode, steer, named, silence or [], aim_of(steps, sites, heads, patches))
    lens = open_lens(recording, model, device)
    if word == AUTO:
        chosen = [_at_its_word(recording, lens, each) for each in chosen]
    if control:
        chosen = [_control(each) for each in chosen]
    with progress_bar("drawing") as on_step:
        made = lens.edit(recording, *chosen, out=out, full=full, progress=on_step)
    if as_json:
        print_json(
            {"id": made.id, "path": str(made.path), "parent": recording.id, "edits": made.manifest.edits}
        )
        return
    print_facts(
        [
            ("run", str(made.path)),
            ("parent", recording.id),
            *(("edit", each.describe()) for each in chosen),
            ("next", command_line("compare", recording.path, made.path)),
        ]
    )


def open_lens(run: "Run", model: str | None, device: str | None) -> "Lens":
    """The run's model, opened where its manifest says, or where the user does."""
    from diffuscope import Lens
    from diffuscope.engine.models.reopening import reopen
    from diffuscope.engine.quiet import quiet_libraries

    quiet_libraries()
    loaded = reopen(run.manifest, model, device)
    return Lens(loaded.pipe, loaded=loaded)


def aim_of(
    steps: str | None, sites: str | None, heads: str | None, patches: str | None = None
) -> dict[str, Any]:
    """Where the edits of the options act."""
    given = (("steps", steps), ("sites", sites), ("heads", heads), ("patches", patches))
    return {name: value for name, value in given if value is not None}


def _chosen(
    file: Path | None,
    scale: float | None,
    encode: str | None,
    steer: str | None,
    word: str | None,
    silence: list[str],
    aim: dict[str, Any],
) -> "list[Edit]":
    from diffuscope import edits

    mine: list[Edit] = []
    if scale is not None:
        mine.append(edits.Scale(scale, **aim))
    if encode is not None:
        mine.append(edits.Encode(encode, **aim))
    if steer is not None:
        mine.append(edits.Steer(steer, word=word, **aim))
    mine += [edits.Silence(each, **aim) for each in silence]
    if aim and not mine:
        raise typer.BadParameter(
            f"--{', --'.join(aim)} aim --scale, --encode, --steer or --silence: give one of these"
        )
    found = [*(edits.load(file) if file is not None else []), *mine]
    if not found:
        raise typer.BadParameter("no edit: give --edit FILE, --scale, --encode, --steer or --silence")
    return found


def _control(edit: "Edit") -> "Edit":
    from diffuscope import edits

    return edit if isinstance(edit, edits.Control) else edits.control(edit)


# Which word is meant.


def _at_its_word(run: "Run", lens: "Lens", edit: "Edit") -> "Edit":
    """A `Steer` of the options, at the word that it would act on; said aloud."""
    from diffuscope import edits

    if not isinstance(edit, edits.Steer) or edit.word is not None:
        return edit
    first, *others = lens.targets(run, edit.toward)
    beside = [each.word or "" for each in others if each.score == first.score]
    also = f"; --word {' or --word '.join(beside)} would be as good" if beside else ""
    note(f"steering {_named(first.word)} toward {first.toward!r}: {first.why}{also}")
    found: Steer = replace(edit, toward=first.toward, word=first.word)
    return found


def _suggest(run: "Run", concept: str | None, as_json: bool) -> None:
    found = run.suggestions() if concept is None else run.targets(concept)
    if as_json:
        print_json({"run": run.id, "prompt": run.prompt, "targets": [each.to_json() for each in found]})
        return
    print_facts([("prompt", run.prompt)])
    typer.echo()
    print_table(
        ["word", "toward", "kind", "score", "why"],
        ([_named(each.word), each.toward, each.role, f"{each.score:g}", each.why] for each in found),
    )


def _named(word: str | None) -> str:
    return "(all)" if word is None else word
