"""`diffuscope evaluate steer`: how often steering does what it should, and nothing else."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from diffuscope.cli import options
from diffuscope.cli.console import note, print_facts, print_json, print_table, progress_bar
from diffuscope.cli.evaluate_maps import _written

if TYPE_CHECKING:
    from diffuscope.analysis.cause.steering import Kind, Rate, SteeringTable
    from diffuscope.analysis.cause.steering import Rows as Moved
    from diffuscope.analysis.cause.steering_rows import Rows

EXAMPLES = [
    "diffuscope evaluate steer",
    "diffuscope evaluate steer --steps 10 --page docs/findings",
    "diffuscope evaluate steer --page docs/findings --page-only",
    "diffuscope evaluate steer --triples 400 --csv steering.csv --json > steering.json",
    "diffuscope evaluate steer --kinds colour,place --rows tokens,phrase --strengths 1 --windows all,20%:100%",
]

QUICK = 6


def command(
    model: options.Model = "scenes",
    triples: Annotated[int, typer.Option(help="Triples of prompt, change and seed that are measured.")] = 400,
    choosing: Annotated[
        int, typer.Option(help="Other triples, on which the way of steering is chosen.")
    ] = 60,
    kinds: Annotated[
        str, typer.Option(metavar="LIST", help="What is changed.")
    ] = "colour,size,pattern,noun,place,light,style",
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="What is moved: noun, phrase, all, tokens; guidance, context. Compared by default: a list of ways.",
            show_default=False,
        ),
    ] = None,
    strengths: Annotated[
        str | None, typer.Option(metavar="LIST", help="Strengths.", show_default=False)
    ] = None,
    windows: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Windows: all, window, 2:10, 20%:100%.", show_default=False),
    ] = None,
    local: Annotated[
        bool,
        typer.Option("--local", metavar="", help="With --rows and the like: each where the thing is, too."),
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(help="Scheduler steps; the model's own number if not given.", show_default=False),
    ] = None,
    device: options.Device = None,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="F.jsonl",
            help="Keep every picture's row here, and go on from it when stopped; DIR/data/steering.jsonl with --page.",
            show_default=False,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="F.csv", help="Write all lines of both tables.", show_default=False),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write steering.md and its figures, from the table.",
            show_default=False,
        ),
    ] = None,
    page_only: Annotated[
        bool,
        typer.Option(
            "--page-only", metavar="", help="Draw nothing: tables and page of what --table holds so far."
        ),
    ] = False,
    quick: Annotated[
        bool,
        typer.Option("--quick", metavar="", help="A few triples of a few steps: a test that all of it runs."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure steering on the drawn world, whose judge says whether it hit, and whether all else was kept.

    Prompts are split in two. On one half a way of steering (space, strength, window) is chosen for each kind of change,
    by successive halving; on the other it is measured, beside noise of equal norm and the prompt changed throughout.
    Ways that act where the thing is, as a user would paint it, are chosen and measured apart. Only pictures count that
    the judge finds right before they are steered. Shares come with Wilson's 95% intervals.
    """
    from diffuscope.analysis.cause.steering_rows import Rows, table_so_far

    if page is not None and table is None:
        table = page / "data" / "steering.jsonl"
    if page_only:
        if table is None:
            raise typer.BadParameter("--page-only reads a table: name it with --table")
        every = Rows(table, None)
        found = every.result or table_so_far(every)
    else:
        found, every = _evaluated(
            model, device, steps, triples, choosing, kinds, (rows, strengths, windows), local, table, quick
        )
    if csv is not None:
        _written(csv, lambda path: _save(found, path))
        note(f"wrote {csv}")
    if page is not None:
        from diffuscope.findings.steering import steering

        own = every.about["settings"].get("steps")
        asked = ["diffuscope", "evaluate", "steer", *([f"--steps {own}"] if own else [])]
        for file in steering(found, every, " ".join(asked)).write(page):
            note(f"wrote {file}")
    if as_json:
        print_json(found.to_json())
        return
    _print(found)


def _evaluated(
    model: str,
    device: str | None,
    steps: int | None,
    triples: int,
    choosing: int,
    kinds: str,
    compared: tuple[str | None, str | None, str | None],
    local: bool,
    table: Path | None,
    quick: bool,
) -> "tuple[SteeringTable, Rows]":
    """Draw what is asked for."""
    from diffuscope import Lens
    from diffuscope.engine.cause.steering import evaluate, ways
    from diffuscope.engine.order import SHIPPED_STEPS
    from diffuscope.engine.quiet import quiet_libraries

    if quick:
        triples, choosing, steps = min(triples, QUICK), min(choosing, QUICK), steps or 4
    rows, strengths, windows = compared
    among = ways(
        None if rows is None else _moved(rows),
        None if strengths is None else _numbers(strengths),
        None if windows is None else _listed(windows),
        local=local,
        steps=steps or SHIPPED_STEPS,
    )
    quiet_libraries()
    lens = Lens.load(model, device=device)
    begun, drawn = time.perf_counter(), 0
    with progress_bar("steering", unit="pictures") as on_picture:

        def told(count: int) -> None:
            nonlocal drawn
            drawn += count
            on_picture(drawn, drawn)

        made = evaluate(
            lens,
            triples,
            choosing=choosing,
            kinds=cast("tuple[Kind, ...]", _listed(kinds)),
            among=among,
            settings={} if steps is None else {"steps": steps},
            table=table,
            on_picture=told,
        )
    note(f"{drawn} pictures in {time.perf_counter() - begun:.0f} s")
    return made


def _print(found: "SteeringTable") -> None:
    print_facts(
        [
            ("model", f"{found.model}, {found.steps} steps"),
            ("left out", f"{found.refused} of {found.drawn} unedited pictures, which the judge found wrong"),
            *((f"chosen for {kind}", way) for kind, way in found.chosen.items()),
            *((f"chosen for {kind}, where it is", way) for kind, way in found.local.items()),
            ("took", f"{found.seconds:.0f} s"),
        ]
    )
    columns = ["kind", "way", "n", "hit", "kept", "success", "things kept", "background"]
    for rows in (found.rates, found.choosing):
        typer.echo()
        print_table(columns, (_line(row) for row in rows))


def _line(row: "Rate") -> list[str]:
    def share(three: tuple[float, float, float]) -> str:
        return f"{100 * three[0]:.1f}% ({100 * three[1]:.0f} to {100 * three[2]:.0f})" if row.n else "–"

    background = "–" if row.background is None else f"{row.background:.2f}"
    return [
        row.kind,
        row.way,
        str(row.n),
        share(row.hit),
        share(row.kept),
        share(row.success),
        share(row.things),
        background,
    ]


def _save(found: "SteeringTable", path: Path) -> object:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        shares = ("hit", "kept", "success", "things")
        ends = [f"{name}{end}" for name in shares for end in ("", "_low", "_high")]
        writer.writerow(("half", "kind", "way", "n", *ends, "background"))
        for half, rows in (("measured", found.rates), ("choosing", found.choosing)):
            for row in rows:
                values = [value for name in shares for value in getattr(row, name)]
                writer.writerow(
                    (
                        half,
                        row.kind,
                        row.way,
                        row.n,
                        *values,
                        "" if row.background is None else row.background,
                    )
                )
    return path


def _listed(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise typer.BadParameter(f"{text!r} lists nothing")
    return found


def _moved(text: str) -> "tuple[Moved, ...]":
    from typing import get_args

    from diffuscope.analysis.cause.steering import Rows as Moved

    found = _listed(text)
    unknown = [each for each in found if each not in get_args(Moved)]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not moved; choose from {', '.join(get_args(Moved))}")
    return cast("tuple[Moved, ...]", found)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in _listed(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 1,2,3") from None
