"""`diffuscope explain`: a run, or what an edit changed, in words that can be checked."""

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffuscope.cli import options
from diffuscope.cli.console import command_line, note, print_facts, print_json, progress_bar, stdout
from diffuscope.cli.question import open_run, run_folder
from diffuscope.errors import InputError, RunFolderError

if TYPE_CHECKING:
    from diffuscope.explain import Diagnosis, Explanation, Remedy
    from diffuscope.run import Run

EXAMPLES = """[bold]Examples[/bold]

diffuscope explain runs/RUN
diffuscope explain runs/RUN --word circle
diffuscope explain runs/RUN --word circle --try reweight
diffuscope explain runs/RUN runs/EDITED --out edit.md
diffuscope explain runs/RUN --writer openai"""

WIDTH = 96
"""Columns of a paragraph."""
FILES = (".md", ".json")


def command(
    run: options.RunArgument,
    edited: Annotated[
        str | None,
        typer.Argument(metavar="EDITED", help="An edited run, to say what the edit did.", show_default=False),
    ] = None,
    word: Annotated[
        str | None,
        typer.Option(
            "--word",
            "-w",
            metavar="W",
            help="Give an account of this word of the prompt.",
            show_default=False,
        ),
    ] = None,
    what: Annotated[
        str | None,
        typer.Option(
            "--try",
            metavar="WHAT",
            help="Apply what the account of --word says to try, by its name: 'reweight', 'steer', 'order', ….",
            show_default=False,
        ),
    ] = None,
    writer: Annotated[
        str, typer.Option("--writer", metavar="NAME", help="'builtin', or 'openai': an endpoint.")
    ] = "builtin",
    quick: Annotated[
        bool, typer.Option("--quick", metavar="", help="Do not have every predicted picture judged.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write it as .md or .json.", show_default=False),
    ] = None,
    runs: Annotated[
        Path, typer.Option("--runs", metavar="DIR", help="For --try: folder that gets the new run.")
    ] = options.RUNS,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="D", help="For --try: 'cpu', 'cuda', 'mps'.", show_default=False),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Say in words what a run shows: what was asked and what came out, what stands out, why a word was ignored.

    Every sentence cites claims, numbers that can be computed again from the selections they name; --json and --out have
    them. A word that went wrong gets an account: its attention, where that went, what is unlike the usual, and what to
    try, each with the command that does it.

    --writer openai asks an OpenAI-compatible endpoint, as OPENAI_BASE_URL, OPENAI_API_KEY and DIFFUSCOPE_OPENAI_MODEL
    say. Its sentences are checked against the claims; where it fails, the built-in text is printed and a note says so.
    """
    if file is not None and file.suffix.lower() not in FILES:
        raise InputError(f"{file.name!r}: an explanation is written as {' or '.join(FILES)}")
    if what is not None and (word is None or edited is not None):
        raise typer.BadParameter("--try needs --word, and one run: which word is it for?")
    if edited is not None and word is not None:
        raise typer.BadParameter("--word asks about one run: leave out the second")
    opened = open_run(run)
    if edited is not None:
        from diffuscope.analysis.comparing import compare

        found = compare(opened, open_run(edited)).explain(writer, quick=quick)
    else:
        found = opened.explain(writer, word=word, quick=quick)
    if what is not None:
        _applied(opened, found, word or "", what, runs, device, as_json)
        return
    if file is not None:
        _save(found, file)
        note(f"wrote {file}")
    if as_json:
        print_json(found.to_json())
    elif file is None:
        _show(found)


def _show(found: "Explanation") -> None:
    from diffuscope.explain.explanation import CHECK, TITLES, capitalised

    console = stdout()
    for part, title in TITLES.items():
        for at, paragraph in enumerate(found.paragraphs(part)):
            if not at:
                console.print(title.upper(), style="dim")
            console.print(textwrap.fill(" ".join(each.text for each in paragraph), WIDTH) + "\n")
    for diagnosis in found.diagnoses:
        if diagnosis.remedies:
            console.print(f"WHAT TO TRY FOR “{diagnosis.word}”", style="dim")
        for remedy in diagnosis.remedies:
            console.print(f"{capitalised(remedy)}:\n  {_command(diagnosis, remedy)}")
        if diagnosis.remedies and not diagnosis.tested:
            check = command_line("faithfulness", diagnosis.folder, "--word", diagnosis.word)
            console.print(f"{CHECK}:\n  {check}")
        if diagnosis.remedies:
            console.print()
    for each in found.notes:
        note(each)


def _command(diagnosis: "Diagnosis", remedy: "Remedy") -> str:
    return command_line("explain", diagnosis.folder, "--word", diagnosis.word, "--try", remedy.what)


def _save(found: "Explanation", file: Path) -> None:
    text = found.to_markdown()
    if file.suffix.lower() == ".json":
        text = json.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot write {file}: {error.strerror or error}") from error


def _applied(
    run: "Run", found: "Explanation", word: str, what: str, runs: Path, device: str | None, as_json: bool
) -> None:
    """Draw what a diagnosis says to try, and say what came of it."""
    diagnosis = found.diagnosis(run.word(word).label)
    there = {} if diagnosis is None else {each.what: each for each in diagnosis.remedies}
    if what not in there:
        raise InputError(
            f"there is no {what!r} to try for {word!r}; there is: {', '.join(there) or 'nothing'}"
        )
    made = _drawn(run, there[what], runs, device)
    after = made.explain(quick=True)
    wrong = [each.word for each in after.diagnoses if each.came_true is False]
    judged = any(each.statistic == "parts_right" for each in after.claims)
    if as_json:
        remedy = there[what].to_json()
        print_json({"id": made.id, "path": str(made.path), "tried": remedy, "explanation": after.to_json()})
        return
    came = (
        ""
        if not judged
        else f"not true of the new picture: {', '.join(wrong)}"
        if wrong
        else "every word is true"
    )
    follow = command_line("explain", made.path)
    if there[what].edits:
        follow = command_line("explain", run_folder(str(run.path)), made.path)
    facts = [("tried", there[what].title), ("run", str(made.path)), ("judge", came), ("next", follow)]
    print_facts([fact for fact in facts if fact[1]])


def _drawn(run: "Run", remedy: "Remedy", runs: Path, device: str | None) -> "Run":
    from diffuscope import Lens
    from diffuscope.engine.models.reopening import reopen
    from diffuscope.engine.quiet import quiet_libraries

    quiet_libraries()
    loaded = reopen(run.manifest, None, device)
    lens = Lens(loaded.pipe, loaded=loaded)
    with progress_bar("drawing") as on_step:
        if remedy.edits:
            made: Run = lens.edit(run, *remedy.edits, out=runs, progress=on_step)
            return made
        asked = run.manifest.sampling
        made = lens.record(
            remedy.prompt or asked.prompt,
            negative_prompt=asked.negative_prompt,
            seed=(asked.seed or 0) if remedy.seed is None else remedy.seed,
            steps=asked.steps,
            guidance_scale=asked.guidance_scale,
            width=asked.width,
            height=asked.height,
            out=runs,
            progress=on_step,
        )
    return made
