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

EXAMPLES = [
    "diffuscope evaluate steer",
    "diffuscope evaluate steer --triples 400 --csv steering.csv --json > steering.json",
    "diffuscope evaluate steer --kinds colour,place --rows phrase --strengths 1 --windows window",
]

QUICK = 6


def command(
    model: options.Model = "scenes",
    triples: Annotated[int, typer.Option(help="Triples of prompt, change and seed that are measured.")] = 400,
    choosing: Annotated[
        int, typer.Option(help="Other triples, on which the way of steering is chosen.")
    ] = 100,
    kinds: Annotated[
        str, typer.Option(metavar="LIST", help="What is changed.")
    ] = "colour,size,noun,place,light",
    rows: Annotated[
        str,
        typer.Option(metavar="LIST", help="Spaces: embedding of noun, phrase or all tokens; guidance."),
    ] = "noun,phrase,all,guidance",
    strengths: Annotated[str, typer.Option(metavar="LIST", help="Strengths.")] = "1,2,3",
    windows: Annotated[str, typer.Option(metavar="LIST", help="Windows of steps.")] = "window,all",
    steps: Annotated[
        int | None,
        typer.Option(help="Scheduler steps; the model's own number if not given.", show_default=False),
    ] = None,
    device: options.Device = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="F.csv", help="Write all lines of both tables.", show_default=False),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", metavar="", help="A few triples of a few steps: a test that all of it runs."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure steering on the drawn world, whose judge says whether it hit, and whether all else was kept.

    Prompts are split in two. On one half a way of steering (space, strength, window) is chosen for each kind of change,
    by successive halving; on the other it is measured, beside noise of equal norm and the prompt changed throughout.
    Only pictures count that the judge finds right before they are steered. Shares come with Wilson's 95% intervals.
    """
    from diffuscope import Lens
    from diffuscope.engine.cause.steering import evaluate, ways
    from diffuscope.engine.quiet import quiet_libraries

    among = ways(_listed(rows), _numbers(strengths), _listed(windows))  # type: ignore[arg-type]
    if quick:
        triples, choosing, steps = min(triples, QUICK), min(choosing, QUICK), steps or 4
    quiet_libraries()
    lens = Lens.load(model, device=device)
    begun, drawn = time.perf_counter(), 0
    with progress_bar("steering", unit="pictures") as on_picture:

        def told(count: int) -> None:
            nonlocal drawn
            drawn += count
            on_picture(drawn, drawn)

        found = evaluate(
            lens,
            triples,
            choosing=choosing,
            kinds=cast("tuple[Kind, ...]", _listed(kinds)),
            among=among,
            settings={} if steps is None else {"steps": steps},
            on_picture=told,
        )
    note(f"{drawn} pictures in {time.perf_counter() - begun:.0f} s")
    if csv is not None:
        _written(csv, lambda path: _save(found, path))
        note(f"wrote {csv}")
    if as_json:
        print_json(found.to_json())
        return
    _print(found)


def _print(found: "SteeringTable") -> None:
    print_facts(
        [
            ("model", f"{found.model}, {found.steps} steps"),
            ("left out", f"{found.refused} of {found.drawn} unedited pictures, which the judge found wrong"),
            *((f"chosen for {kind}", way) for kind, way in found.chosen.items()),
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


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in _listed(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 1,2,3") from None
