"""Jobs that draw many pictures of which none is kept as a recording: sweeps, and strips of strengths and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.server.job import PICTURES
from diffuscope.server.tensors import plain
from diffuscope.server.worker.drawing import donors_for

if TYPE_CHECKING:
    from PIL.Image import Image

    from diffuscope.analysis.sweeps import Swept
    from diffuscope.run import Run
    from diffuscope.server.worker.desk import Desk


def strip(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same edits at several strengths, or on several seeds, each beside the unedited picture."""
    from diffuscope import edits as values
    from diffuscope.engine.cause.baselines import baseline
    from diffuscope.run import Run

    run = Run.open(desk.runs / request["run"])
    chosen = values.from_json(request["edits"])
    donors = donors_for(desk, run, request["edits"])
    lens, rows = desk.models.of(run.manifest), []

    def draw(start: Run, items: Sequence[Any], names: list[dict[str, Any]], done: int) -> None:
        for made in lens.sweep(start, items, donors=donors):
            at = done + made.index
            row = shown(made, folder, at, 2 * at + 1)
            row |= {"base": put_picture(folder, 2 * at, made.unedited), **names[made.index]}
            rows.append(row)
            desk.event("drawn", **row)
            desk.work(len(rows), of)

    if request["strengths"] is not None:
        of = len(request["strengths"])
        items = [[values.at_strength(each, share) for each in chosen] for share in request["strengths"]]
        draw(run, items, [{"strength": share, "seed": None} for share in request["strengths"]], 0)
    else:
        of = len(request["seeds"])
        for done, seed in enumerate(request["seeds"]):
            with baseline(lens, run, seed) as start:
                draw(start, [chosen], [{"strength": None, "seed": seed}], done)
    return {"strip": sorted(rows, key=lambda row: int(row["index"]))}


def sweep(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Many variations of one run."""
    from diffuscope import edits as values
    from diffuscope.run import Run

    run = Run.open(desk.runs / request["run"])
    items = [values.from_json(each) for each in request["variations"]]
    donors = donors_for(desk, run, [edit for each in request["variations"] for edit in each])
    rows = []
    lens = desk.models.of(run.manifest)
    for made in lens.sweep(run, items, donors=donors, progress=desk.work):
        rows.append(shown(made, folder, made.index, made.index))
        desk.event("drawn", **rows[-1])
    return {"variations": sorted(rows, key=lambda row: int(row["index"]))}


def shown(made: Swept, folder: Path, index: int, picture: int) -> dict[str, Any]:
    """A variation as plain JSON, its picture put beside the job."""
    row = {
        key: value for key, value in plain(made.to_json()).items() if key not in ("run", "baseline", "made")
    }
    address = put_picture(folder, picture, made.image)
    return {**row, "index": index, "says": made.describe(), "picture": address}


def put_picture(folder: Path, number: int, image: Image) -> str:
    """Put a picture beside the job; its address."""
    from diffuscope.server.resources import as_webp

    pictures = folder / PICTURES
    pictures.mkdir(exist_ok=True)
    (pictures / f"{number:04d}.webp").write_bytes(as_webp(image))
    return f"api/jobs/{folder.name}/pictures/{number:04d}.webp"
