"""`diffuscope objects`: the objects of recorded runs, or of new pictures, as masks, boxes and datasets."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diffuscope.cli import options
from diffuscope.cli.console import note, print_facts, print_json, print_table, progress_bar, show_warnings
from diffuscope.cli.shelf import plain
from diffuscope.errors import InputError

if TYPE_CHECKING:
    from diffuscope.analysis.objects.annotating import Summary
    from diffuscope.analysis.objects.annotation import Objects
    from diffuscope.analysis.objects.chain import Chain
    from diffuscope.datasets import Dataset, Info

EXAMPLES = """[bold]Examples[/bold]

diffuscope objects RUN
diffuscope objects runs/* --coco DIR --sheet sheet.png
diffuscope objects --prompts prompts.txt --seeds 4 --coco DIR
diffuscope objects --coco DIR --webdataset SHARDS --yolo BOXES
diffuscope objects --merge ONE --merge OTHER --coco DIR
diffuscope objects --read "a red car in a watercolor painting" --json

Exit status 0 when every run was read, 1 when some were left out: they are named."""

MOST_SHOWN = 24
"""Pictures on a contact sheet of runs."""


class Kept(StrEnum):
    """What stays on disk of runs that are drawn for a dataset."""

    none = "none"
    maps = "maps"
    cross = "cross"
    qk = "qk"


def command(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="Recordings, or their names in ./runs.", show_default=False),
    ] = None,
    coco: Annotated[
        Path | None,
        typer.Option(
            "--coco",
            metavar="DIR",
            help="COCO dataset: begun, or added to. What it has is not done again.",
            show_default=False,
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw these prompts into the dataset: one a line, or CSV with a column 'prompt'.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures of each prompt.")] = 1,
    read: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPT", help="Only read a prompt: which objects it names.", show_default=False
        ),
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Put datasets together into --coco; may be given several times.",
            show_default=False,
        ),
    ] = None,
    renumber: Annotated[
        bool, typer.Option("--renumber", metavar="", help="Of --merge: go by names where categories clash.")
    ] = False,
    chain: Annotated[
        str, typer.Option(metavar="NAME", help="How maps become masks; a wrong name lists those there are.")
    ] = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="OPTION=VALUE",
            help="Change one stage: 'threshold=0.4', 'map=word', 'overlap=keep'; may be given several times.",
            show_default=False,
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", metavar="", help="Annotate again what the dataset has.")
    ] = False,
    license_: Annotated[
        str | None,
        typer.Option("--license", metavar="NAME[=URL]", help="Of the pictures.", show_default=False),
    ] = None,
    description: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Of the dataset.", show_default=False)
    ] = None,
    webdataset: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also as tar shards with a Parquet table.", show_default=False),
    ] = None,
    shard: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures in a shard.")] = 1000,
    yolo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also boxes as YOLO reads them.", show_default=False)
    ] = None,
    voc: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also boxes as Pascal VOC has them.", show_default=False),
    ] = None,
    polygons: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also COCO with polygons for masks; holes are lost.", show_default=False
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="F.png", help="Contact sheet of the runs or the dataset.", show_default=False),
    ] = None,
    model: options.Model = "scenes",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of --prompts: scheduler steps.", show_default=False)
    ] = None,
    keep: Annotated[
        Kept, typer.Option("--keep", help="Of --prompts: what stays on disk of each run.")
    ] = Kept.none,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Of --prompts. Default: one for each device.", show_default=False
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of --prompts: draw on a Ray cluster, as in 'study run'.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", min=1, help="Of --prompts: drawn together.")] = 4,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", metavar="", help="Of --prompts: try again what failed.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Find the objects that prompts name: masks, boxes, scores, and COCO datasets of them.

    Objects are noun phrases ("a small red car"); styles and relations are kept apart. Their maps become masks by a
    chain
    of named stages: min-max, blur, threshold, overlap, components, specks, fragments, instances.

    With --coco the objects go into a dataset that pycocotools loads. It grows from call to call; a call that
    was interrupted goes on where it was.
    """
    from diffuscope.analysis.objects.chain import Chain

    chosen = Chain.of(chain, **_changes(set_ or []))
    told = _info(description, license_)
    _check(runs, coco, prompts, read, merge, [webdataset, yolo, voc, polygons])
    if read is not None:
        _read(read, chosen, as_json)
        return
    if coco is None:
        _show(runs or [], chosen, sheet, as_json)
        return
    from diffuscope.datasets import Dataset

    facts: dict[str, Any] = {}
    failed: list[tuple[str, str]] = []
    if merge:
        from diffuscope.datasets.merging import merge as put_together

        dataset = put_together(merge, coco, renumber=renumber)
        facts = {"path": str(dataset.path), "pictures": len(dataset)}
    elif prompts is not None:
        from diffuscope.cli.study import _executor
        from diffuscope.studies.object_dataset import draw_dataset

        with progress_bar("drawing", unit="pictures") as on_step:
            drawing = draw_dataset(
                prompts,
                coco,
                seeds=seeds,
                model=model,
                settings={} if steps is None else {"steps": steps},
                chain=chosen,
                keep=keep.value,
                info=told,
                executor=_executor(ray, workers),
                workers=workers,
                batch=batch,
                retry_errors=retry_errors,
                on_progress=lambda done, failed, total: on_step(done, total),
                on_note=note,
            )
        dataset, failed, facts = Dataset.open(coco), drawing.summary.failed, drawing.facts()
        if drawing.repeated:
            note(f"{drawing.repeated} prompts stood in the list before and were drawn once")
        _warn(drawing.summary)
    elif runs:
        from diffuscope import annotate
        from diffuscope.cli.question import run_folder

        with progress_bar("annotating", unit="runs") as on_step:
            summary = annotate([run_folder(run) for run in runs], chosen).to_coco(
                coco, info=told, replace=replace, on_run=lambda done, name: on_step(done, len(runs))
            )
        dataset, failed, facts = Dataset.open(coco), summary.failed, summary.facts()
        _warn(summary)
    else:
        dataset = Dataset.open(coco)
        facts = {"path": str(dataset.path), "pictures": len(dataset)}
    facts["files"] = [str(path) for path in _forms(dataset, webdataset, shard, yolo, voc, polygons, sheet)]
    _told(dataset, facts, failed, as_json)
    if failed:
        raise typer.Exit(1)


def _changes(given: list[str]) -> dict[str, Any]:
    """Options of a chain from ``name=value``."""
    import json

    found: dict[str, Any] = {}
    for each in given:
        name, sign, value = each.partition("=")
        if not sign or not name.strip():
            raise InputError(f"--set {each!r}: write OPTION=VALUE, as in threshold=0.4")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    for name in ("steps", "sites", "heads"):
        if name in found:
            found[name] = str(found[name])
    return found


def _info(description: str | None, license_: str | None) -> "Info | None":
    from diffuscope.datasets import Info

    if description is None and license_ is None:
        return None
    name, _, url = (license_ or "not stated").partition("=")
    text = Info().description if description is None else description
    return Info(text, license_name=name, license_url=url)


def _check(
    runs: list[str] | None,
    coco: Path | None,
    prompts: Path | None,
    read: str | None,
    merge: list[Path] | None,
    forms: list[Path | None],
) -> None:
    """Raises InputError where the arguments ask for nothing, or for two things at once."""
    asked = [bool(runs), prompts is not None, read is not None, bool(merge)]
    if sum(asked) > 1:
        raise InputError("give runs, --prompts, --merge or --read, one of them")
    if coco is None and (prompts is not None or merge or any(form is not None for form in forms)):
        raise InputError("a dataset is written to a folder: name it with --coco DIR")
    if coco is None and not any(asked):
        raise InputError("name at least one run, or --prompts FILE, or --coco of a dataset that is there")


def _read(prompt: str, chain: "Chain", as_json: bool) -> None:
    from diffuscope.analysis.objects.prompts import read_prompt

    reading = read_prompt(prompt, chain.reader)
    if as_json:
        print_json(reading.facts())
        return
    show_warnings(reading.warnings)
    print_facts(
        [
            ("read by", reading.reader),
            ("styles", ", ".join(map(plain, reading.styles)) or "none"),
            ("times", ", ".join(map(plain, reading.times)) or "none"),
        ]
    )
    if reading.objects:
        typer.echo("")
        print_table(
            ("object", "attributes", "number", "as it stands"),
            (
                (
                    plain(e.category),
                    ", ".join(e.adjectives),
                    "" if e.count is None else str(e.count),
                    plain(e.text),
                )
                for e in reading.objects
            ),
        )


def _show(runs: list[str], chain: "Chain", sheet: Path | None, as_json: bool) -> None:
    """Objects of some runs, printed."""
    from diffuscope import annotate
    from diffuscope.cli.question import open_run, run_folder

    # One run's objects in memory at a time, but for those that go on the sheet.
    shown: list[Objects] = []
    facts: list[dict[str, Any]] = []
    several = None if len(runs) == 1 else annotate([run_folder(run) for run in runs], chain)
    for each in [open_run(runs[0]).objects(chain)] if several is None else several:
        if as_json:
            facts.append(each.facts())
        else:
            _show_objects(each)
        if sheet is not None and len(shown) < MOST_SHOWN:
            shown.append(each)
    failed = [] if several is None else several.failed
    if as_json:
        print_json({"runs": facts, "failed": [{"run": name, "problem": problem} for name, problem in failed]})
    if sheet is not None:
        from diffuscope.figures.objects import sheet_of_runs

        _save(sheet_of_runs(shown), sheet)
        note(f"wrote {sheet}")
    _name_failed(failed)
    if failed:
        raise typer.Exit(1)


def _show_objects(objects: "Objects") -> None:
    show_warnings(objects.warnings)
    print_facts(
        [("run", objects.run.id), ("prompt", plain(objects.run.prompt)), ("chain", str(objects.chain))]
    )
    if len(objects):
        typer.echo("")
        print_table(
            ("object", "category", "box (x y w h)", "area", "score"),
            (
                (plain(e.text), plain(e.category), " ".join(map(str, e.box)), f"{e.area}", f"{e.score:.4f}")
                for e in objects
            ),
        )
    typer.echo("")


def _forms(
    dataset: "Dataset",
    webdataset: Path | None,
    shard: int,
    yolo: Path | None,
    voc: Path | None,
    polygons: Path | None,
    sheet: Path | None,
) -> list[Path]:
    """The dataset in the other forms that were asked for; paths of what was written."""
    written: list[Path] = []
    if webdataset is not None:
        from diffuscope.datasets.shards import write_shards

        written += write_shards(dataset, webdataset, shard)
    if yolo is not None or voc is not None:
        from diffuscope.datasets.converting import write_voc, write_yolo

        written += [write_yolo(dataset, yolo)] if yolo is not None else []
        written += [write_voc(dataset, voc)] if voc is not None else []
    if polygons is not None:
        from diffuscope.datasets.dataset import polygon_file

        written.append(polygon_file(dataset, polygons))
    if sheet is not None:
        from diffuscope.figures.objects import sheet_of_dataset

        written.append(_save(sheet_of_dataset(dataset), sheet))
    return written


def _told(dataset: "Dataset", facts: dict[str, Any], failed: list[tuple[str, str]], as_json: bool) -> None:
    from diffuscope.datasets.counts import counts

    found = counts(dataset)
    if as_json:
        print_json({**facts, "dataset": found.facts()})
    else:
        print_facts(
            [
                ("dataset", str(dataset.path)),
                ("pictures", f"{found.pictures}, {found.empty} of them without objects"),
                ("annotations", f"{found.annotations} of {len(found.categories)} categories"),
                *([("added", f"{facts['pictures']} pictures")] if "known" in facts else []),
                *([("known before", f"{facts['known']} pictures")] if facts.get("known") else []),
                *([("left out", f"{len(failed)}")] if failed else []),
                *(
                    [("speed", f"{facts['pictures_a_second']:.2f} pictures a second")]
                    if facts.get("pictures_a_second")
                    else []
                ),
            ]
        )
        if found.categories:
            typer.echo("")
            print_table(
                ("category", "objects", "pictures", "share of the picture", "score"),
                (
                    (plain(e.name), str(e.objects), str(e.pictures), f"{e.area[1]:.3f}", f"{e.score[1]:.4f}")
                    for e in found.categories[:40]
                ),
            )
        for path in facts.get("files", []):
            note(f"wrote {path}")
    _name_failed(failed)


def _name_failed(failed: list[tuple[str, str]]) -> None:
    show_warnings(f"left out: {name}: {problem}" for name, problem in failed)


def _warn(summary: "Summary") -> None:
    show_warnings(summary.warnings)
    if summary.more_warnings:
        note(f"and {summary.more_warnings} more warnings")


def _save(picture: Any, path: Path) -> Path:
    """Raises RunFolderError where it cannot be written."""
    from diffuscope.errors import RunFolderError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, "PNG")
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
    return path
