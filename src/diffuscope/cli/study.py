"""`diffuscope study`: prompts x seeds x conditions, every row kept, and a report with intervals and controls."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from diffuscope.cli import options
from diffuscope.cli.console import (
    command_line,
    note,
    print_facts,
    print_json,
    print_table,
    progress_bar,
    spinner,
)
from diffuscope.cli.shelf import plain

if TYPE_CHECKING:
    from diffuscope.studies.execution import Executor
    from diffuscope.studies.study import Study

EXAMPLES = """[bold]Examples[/bold]

diffuscope study run examples/study.yaml
diffuscope study status STUDY
diffuscope study report STUDY

Each has a --help of its own, and --json."""

STUDIES = Path("studies")

StudyArgument = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="Folder of a study, or its name in ./studies.", show_default=False),
]
Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--measures-from",
        metavar="MODULE",
        help="An importable module that declares measures of your own. It is run: trust it.",
        show_default=False,
    ),
]


def show(context: typer.Context) -> None:
    """Run prompts x seeds x conditions, keep every row, and report with intervals and controls.

    A study lies in a folder of its name under --out. Run the same command again after any interruption: what is
    committed is never drawn again.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(
    plan: Annotated[
        Path,
        typer.Argument(
            metavar="PLAN",
            help="The plan: a YAML file, or the name of one that ships (diffuscope study plans).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of studies.")] = STUDIES,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="How many. Default: one for each device.", show_default=False),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Work on a Ray cluster: HOST:PORT, ray://HOST:PORT, 'auto', or 'local' for one of its own.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures that are drawn together.")] = 4,
    fork: Annotated[
        bool,
        typer.Option(
            "--fork", metavar="", help="The plan has changed: begin a study that takes over what is the same."
        ),
    ] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", metavar="", help="Try units again that ended as error rows.")
    ] = False,
    reserve: Annotated[
        str, typer.Option(metavar="SIZE", help="What stays free on the study's disk.")
    ] = "1GB",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Only check the plan, and say what it comes to.")
    ] = False,
    modules: Modules = None,
    as_json: options.AsJson = False,
) -> None:
    """Run a study, or go on with it.

    Every picture is a unit, known by its model, prompt, seed, settings and edits. Rows are on disk before they
    count, so Ctrl-C, a kill, or a full disk loses what was in hand and nothing else.
    """
    from diffuscope.studies.leading import prepare
    from diffuscope.studies.leading import run as run_study
    from diffuscope.studies.plan import bytes_of
    from diffuscope.studies.plans import found_plan

    free = bytes_of(reserve, "--reserve")
    checked = prepare(found_plan(plan), modules or ())
    if dry_run:
        _show_plan(checked, as_json)
        return
    executor = _executor(ray, workers)
    with progress_bar(checked.study, unit="runs") as on_step:
        outcome = run_study(
            checked,
            out,
            executor=executor,
            workers=workers,
            batch=batch,
            modules=modules or (),
            fork=fork,
            retry_errors=retry_errors,
            reserve=free,
            on_progress=lambda done, failed, total: on_step(done, total),
            on_note=note,
        )
    if as_json:
        facts = {name: value for name, value in vars(outcome).items() if name != "folder"}
        print_json({"folder": str(outcome.folder), **facts})
        return
    print_facts(
        [
            ("study", str(outcome.folder)),
            ("runs", f"{outcome.total} in all, {outcome.committed} now, {outcome.failed} failed"),
            *([("taken over", str(outcome.carried))] if outcome.carried else []),
            ("took", f"{outcome.seconds:.0f} s"),
        ]
    )
    typer.echo(f"\nnext: {command_line('study', 'report', outcome.folder)}")


def status(study: StudyArgument, as_json: options.AsJson = False) -> None:
    """How far a study is, what failed, and what it takes. Needs no torch, and may be asked while it runs."""
    opened = _open(study)
    found = opened.status()
    if as_json:
        print_json({"study": str(opened.folder), **found.facts(), "sessions": opened.sessions()})
        return
    seconds = "" if found.seconds is None else f"{found.seconds:.3g} s a run"
    left = (
        ""
        if found.seconds is None
        else f", {found.pending * found.seconds / 3600:.2g} hours of one worker to come"
    )
    print_facts(
        [
            ("study", str(opened.folder)),
            ("drawn", f"{found.done} of {found.total}"),
            ("failed", str(found.failed)),
            ("to come", f"{found.pending}"),
            ("took", f"{seconds}{left}" or "nothing was drawn yet"),
            ("kept", f"{decimal(found.kept_bytes)} of recordings, {decimal(found.table_bytes)} of tables"),
        ]
    )
    typer.echo("")
    print_table(
        ("condition", "drawn", "failed", "planned"),
        ((plain(name), *map(str, counts)) for name, counts in found.by_condition.items()),
    )
    if found.errors:
        typer.echo("")
        print_table(("error", "runs"), ((plain(kind), str(number)) for kind, number in found.errors.items()))


def rows(
    study: StudyArgument,
    values: Annotated[
        bool, typer.Option("--values", metavar="", help="The measured values; without it, the runs.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="A .parquet or .csv file; without it, the first rows.",
            show_default=False,
        ),
    ] = None,
    first: Annotated[int, typer.Option(metavar="N", min=1, help="How many rows are printed.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """The rows of a study: printed, or written as one Parquet or CSV file. Pictures are left out of CSV.

    The parts under tables/ are Parquet already, and polars, pandas and DuckDB read them where they lie; rows of a study
    that was killed and not run again are in here too.
    """
    from diffuscope.studies.exporting import write_rows

    opened = _open(study)
    table = opened.values() if values else opened.runs()
    if out is not None:
        number = write_rows(table, out)
        if as_json:
            print_json({"file": str(out), "rows": number})
        else:
            print_facts([("wrote", f"{out} ({number} rows)")])
        return
    shown = [
        "measure",
        "target",
        "component",
        "step",
        "value",
        "censored",
        "condition",
        "prompt_index",
        "seed",
    ]
    if not values:
        shown = ["status", "condition", "prompt", "seed", "draw_seconds", "run", "error"]
    if as_json:
        plain_rows = table.slice(0, first).drop_columns([] if values else ["thumbnail"]).to_pylist()
        print_json({"rows": plain_rows, "of": table.num_rows})
        return
    print_table(
        shown,
        (
            tuple(_cell(row[name]) for name in shown)
            for row in table.slice(0, first).select(shown).to_pylist()
        ),
    )
    typer.echo(f"\n{min(first, table.num_rows)} of {table.num_rows} rows")


def report(
    study: StudyArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The page. Default: report.html in the study.",
            show_default=False,
        ),
    ] = None,
    modules: Modules = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the report: one HTML file, and its figures in a folder beside it. From the tables alone, without a
    model."""
    from diffuscope.studies.report import findings, write_report

    opened = _open(study)
    with spinner("computing intervals"):
        found = findings(opened, modules or ())
        written = write_report(found, out or opened.folder / "report.html")
    if as_json:
        print_json({"report": str(written.page), "figures": str(written.figures), **found.facts()})
        return
    print_facts(
        [
            ("report", str(written.page)),
            ("figures", f"{written.figures} ({written.number} charts, effects.csv)"),
            ("runs", f"{found.status.done} of {found.status.total}, {found.status.failed} failed"),
        ]
    )


def measures(modules: Modules = None, as_json: options.AsJson = False) -> None:
    """List what can be measured, with its unit and meaning."""
    from diffuscope.studies.measuring import quantities

    known = quantities(modules or ())
    if as_json:
        print_json({"measures": [each.described() for each in known.values()]})
        return
    print_table(
        ("measure", "of", "unit", "meaning"),
        ((each.name, each.scope, each.unit, each.definition) for each in known.values()),
    )


def plans(as_json: options.AsJson = False) -> None:
    """List the plans that come with diffuscope, and the findings that 'study reproduce' writes of them."""
    from diffuscope.findings import FINDINGS
    from diffuscope.studies.plans import shipped, shipped_plan
    from diffuscope.studies.prompts import expand

    found = {name: shipped_plan(name) for name in shipped()}
    pages = {name: [each.name for each in FINDINGS.values() if each.plan == name] for name in found}
    runs = {name: len(expand(plan)) * len(plan.seeds) * len(plan.conditions) for name, plan in found.items()}
    if as_json:
        rows = [
            {
                "name": name,
                "question": plan.question,
                "runs": runs[name],
                "findings": pages[name],
                "file": str(shipped()[name]),
            }
            for name, plan in found.items()
        ]
        print_json({"plans": rows})
        return
    print_table(
        ("plan", "runs", "findings", "question"),
        ((name, str(runs[name]), ", ".join(pages[name]), plan.question) for name, plan in found.items()),
    )


def reproduce(
    finding: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Of the finding, which is that of its plan: see 'study plans'.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where NAME.md and its images go.")
    ] = Path("findings"),
    folder: Annotated[
        Path, typer.Option("--studies", metavar="DIR", help="Folder of studies; what is drawn there stays.")
    ] = STUDIES,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="How many. Default: one for each device.", show_default=False),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures that are drawn together.")] = 4,
    fork: Annotated[
        bool,
        typer.Option(
            "--fork", metavar="", help="The plan has changed: begin a study that takes over what is the same."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Draw an experiment that ships, or what is missing of it, and write its result: a page with figures.

    Every number of the page, and every sentence that takes a side, is made from the study's tables. Interrupted, the
    same command goes on.
    """
    from diffuscope.findings import find_finding
    from diffuscope.findings import reproduce as make

    find_finding(finding)
    with progress_bar(finding, unit="runs") as on_step:
        done = make(
            finding,
            studies=folder,
            out=out,
            workers=workers,
            batch=batch,
            fork=fork,
            on_progress=lambda drawn, failed, total: on_step(drawn, total),
            on_note=note,
        )
    if as_json:
        print_json(
            {
                "study": str(done.study),
                "page": str(done.files[0]),
                "figures": [str(file) for file in done.files[1:]],
                "drawn": done.runs,
                "runs": done.total,
                "seconds": done.seconds,
            }
        )
        return
    print_facts(
        [
            ("page", str(done.files[0])),
            ("figures", f"{len(done.files) - 1} in {done.files[0].parent / 'images'}"),
            ("runs", f"{done.total} in all, {done.runs} drawn now, in {done.study}"),
            ("took", f"{done.seconds:.0f} s"),
        ]
    )


def _open(study: str) -> "Study":
    from diffuscope.studies.study import FILE, Study

    folder = Path(study)
    return Study.open(
        folder if (folder / FILE).exists() or not (STUDIES / study / FILE).exists() else STUDIES / study
    )


def _executor(ray: str | None, workers: int | None) -> "Executor | None":
    if ray is None:
        return None
    from diffuscope.studies.execution.on_ray import RayExecutor

    return RayExecutor(ray, workers)


def _show_plan(plan: Any, as_json: bool) -> None:
    from diffuscope.studies.prompts import expand

    number = len(expand(plan))
    total = number * len(plan.seeds) * len(plan.conditions)
    if as_json:
        print_json({"plan": plan.plain(), "sha256": plan.sha256, "prompts": number, "runs": total})
        return
    print_facts(
        [
            ("study", plan.study),
            (
                "runs",
                f"{number} prompts x {len(plan.seeds)} seeds x {len(plan.conditions)} conditions = {total}",
            ),
            ("measures", ", ".join(choice.name for choice in plan.measures)),
            ("keep", plan.keep),
        ]
    )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else plain(str(value))


ACTIONS: dict[str, tuple[Callable[..., None], list[str]]] = {
    "run": (
        run,
        [
            "diffuscope study run examples/study.yaml --dry-run",
            "diffuscope study run prepositions --workers 2",
            "diffuscope study run examples/study.yaml --ray head:6379",
        ],
    ),
    "status": (status, ["diffuscope study status STUDY", "diffuscope study status STUDY --json"]),
    "rows": (
        rows,
        ["diffuscope study rows STUDY --values --first 5", "diffuscope study rows STUDY --out runs.parquet"],
    ),
    "report": (
        report,
        ["diffuscope study report STUDY", "diffuscope study report STUDY --out colours.html --json"],
    ),
    "measures": (measures, ["diffuscope study measures", "diffuscope study measures --json"]),
    "plans": (plans, ["diffuscope study plans", "diffuscope study plans --json"]),
    "reproduce": (
        reproduce,
        [
            "diffuscope study reproduce prepositions",
            "diffuscope study reproduce attribute-and-noun --out docs/findings --batch 8",
        ],
    ),
}
"""The commands of the group by name, with their examples."""
