"""`diffuscope heads`: which heads draw a thing, by taking each of them out."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from diffuscope.cli import options
from diffuscope.cli.console import note, print_facts, print_json, print_table, progress_bar
from diffuscope.cli.question import open_run, run_folder
from diffuscope.errors import InputError, RunFolderError

EXAMPLES = """[bold]Examples[/bold]

diffuscope heads runs/RUN --word circle
diffuscope heads runs/RUN --object "red circle" --seeds 16 --top 8 --csv heads.csv --figure heads.png
diffuscope heads "a red circle in the snow" --word circle --sites "cross:up.*" --json
diffuscope heads runs/RUN --region box:16,16,48,48 --window 0:10
diffuscope heads runs/RUN --word circle --atlas atlas.png
diffuscope heads runs/RUN --show contribution --window 3 --atlas step3.png
diffuscope heads runs/RUN --pick "top 10 for 'red circle' sites=cross:up.*"
diffuscope heads runs/RUN --pick "top 5 for circle by effect" --word circle --atlas atlas.png"""


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|PROMPT", help="Folder of a recording, or a prompt to draw.", show_default=False
        ),
    ],
    word: options.Word = None,
    object: Annotated[
        str | None,
        typer.Option(
            "--object", metavar="PHRASE", help="A phrase of the prompt: 'red circle'.", show_default=False
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            "--region", metavar="R", help="A part of the picture: box:16,16,48,48.", show_default=False
        ),
    ] = None,
    sites: options.Sites = None,
    window: Annotated[
        str,
        typer.Option(
            "--window", metavar="A:B", help="Steps at which a head is taken out, or that an atlas shows."
        ),
    ] = "all",
    steps: Annotated[
        int | None, typer.Option("--steps", help="Scheduler steps, for a prompt.", show_default=False)
    ] = None,
    factor: Annotated[
        float, typer.Option(metavar="F", help="What a head's output is multiplied with.")
    ] = 0.0,
    seeds: Annotated[int, typer.Option(help="Seeds at most; the run's own comes first.")] = 12,
    top: Annotated[int, typer.Option(help="How many heads are sought.")] = 5,
    error: Annotated[float, typer.Option(help="Probability that anything is settled wrongly.")] = 0.05,
    bound: Annotated[
        str, typer.Option(help="'student', or 'bernstein' for effects of any distribution.")
    ] = "student",
    full: Annotated[
        bool, typer.Option("--full", metavar="", help="Draw every head with every seed; settle none early.")
    ] = False,
    shown: Annotated[int, typer.Option(help="Lines of the table.")] = 15,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="F.csv", help="Write the whole table.", show_default=False)
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", metavar="F.png", help="Write the ranking as a picture.", show_default=False),
    ] = None,
    atlas: Annotated[
        Path | None,
        typer.Option(
            "--atlas",
            metavar="F.png",
            help="Write every head's map, layers across and heads down; nothing is drawn anew.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            "--show",
            metavar="WHAT",
            help="What an atlas shows: word, contribution, signed, received, focus, or effect (ranked before).",
            show_default=False,
        ),
    ] = None,
    scale: Annotated[
        str, typer.Option("--scale", help="Colours of an atlas: shared, map (each its own), or raw (0 to 1).")
    ] = "shared",
    pick: Annotated[
        str | None,
        typer.Option(
            "--pick",
            metavar="QUESTION",
            help='List the heads that a question names, or frame them in the atlas: "top 10 for circle by effect".',
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="M", help="Of a prompt; or where the run's is now.", show_default=False
        ),
    ] = None,
    device: options.Device = None,
    as_json: options.AsJson = False,
) -> None:
    """Rank attention heads by what taking each of them out does to the thing that a word names.

    Every head of the chosen sites (cross-attention by default) is taken out by itself, over several seeds, and the
    change inside the thing's own pixels is measured, beside what the other heads of its site do. Heads whose place is
    certain are drawn no more: the best are right with probability 1 - error. The ranking is kept with the run.

    With --atlas or --pick nothing is drawn: every head's own map, or a list of heads, from what was recorded.
    """
    from diffuscope import Lens, Run
    from diffuscope.analysis.cause.importance import Bound
    from diffuscope.engine.models.reopening import reopen
    from diffuscope.engine.quiet import quiet_libraries

    if atlas is not None or pick is not None:
        from diffuscope.cli.heads_atlas import show_atlas, show_picked, write_atlas

        run = open_run(what)
        if atlas is None:
            show_picked(run, pick or "", as_json=as_json)
            return
        how = {"show": show, "word": word or object, "sites": sites, "window": window, "scale": scale}
        drawn = write_atlas(run, atlas, pick=pick, model=model, device=device, **how)  # type: ignore[arg-type]
        show_atlas(drawn, as_json=as_json)
        return
    if sum(each is not None for each in (word, object, region)) != 1:
        raise InputError("say what is looked at: one of --word, --object and --region")
    quiet_libraries()
    folder = run_folder(what)
    start: Run | str = what
    if folder.is_dir():
        start = Run.open(folder)
        loaded = reopen(start.manifest, model, device)
        lens = Lens(loaded.pipe, loaded=loaded)
    else:
        lens = Lens.load(model or "scenes", device=device)
    with progress_bar("taking heads out", unit="pictures") as on_picture:
        found = lens.heads(
            start,
            word,
            object=object,
            region=region,
            sites=sites,
            window=window,
            factor=factor,
            seeds=seeds,
            top=top,
            error=error,
            bound=cast("Bound", bound),
            stop=not full,
            progress=on_picture,
            **cast("dict[str, Any]", {} if steps is None else {"steps": steps}),
        )
    for path, write in ((csv, found.save_csv), (figure, lambda path: _figure(found, path))):
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write(path)
            except OSError as failed:
                raise RunFolderError(f"cannot write {path}: {failed.strerror or failed}") from failed
            note(f"wrote {path}")
    if as_json:
        print_json(found.to_json())
        return
    where = {"judge": "as the judge sees it", "given": "as given", "change": "where silencing it acts"}
    settled = (
        f"the best {found.top} are settled (error {found.error:g}, {found.bound})"
        if found.settled
        else f"the best {found.top} are not settled yet: more seeds would"
    )
    print_facts(
        [
            ("prompt", found.prompt),
            ("target", f"{found.target}, {where[found.region]}"),
            ("seeds", f"{len(found.seeds)}, and {len(found.skipped)} without the target"),
            ("drawn", f"{found.drawn} pictures of {found.full}"),
            ("ranking", settled),
        ]
    )
    typer.echo()
    print_table(
        ["rank", "site", "head", "effect", "95%", "outside", "other heads there", "seeds", ""],
        (
            [
                str(rank),
                each.site,
                str(each.head),
                f"{each.effect:.2f}",
                f"{each.low:.2f} to {each.high:.2f}" if each.seeds > 1 else "–",
                f"{each.outside:.2f}",
                "–" if each.control is None else f"{each.control:.2f}",
                str(each.seeds),
                {"top": "settled", "rest": "", "open": "open"}[each.state],
            ]
            for rank, each in enumerate(found.heads[:shown], start=1)
        ),
    )
    note("effect: mean CIE76 delta-E inside the target")


def _figure(found: object, path: Path) -> object:
    from diffuscope.figures.cause_heads import head_effects

    head_effects(found).save(path, "PNG")  # type: ignore[arg-type]
    return path
