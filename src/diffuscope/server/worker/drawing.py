"""Jobs that make recordings: draw, edit, estimate, and studies of many."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.server.job import DRAWN

if TYPE_CHECKING:
    from diffuscope.recording import Recording
    from diffuscope.run import Run
    from diffuscope.server.worker.desk import Desk


def record(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draw and record."""
    from diffuscope.server.worker.views import Watcher

    lens = desk.models.named(request["model"])
    watcher = Watcher(desk.event, desk.poll, lens, folder)
    made = lens.record(
        request["prompt"],
        **settings_of(request),
        out=folder / DRAWN,
        progress=watcher.step,
        on_estimate=watcher.estimate,
    )
    desk.warn(lens)
    return {"runs": keep(desk, folder, made if isinstance(made, list) else [made])}


def estimate(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """How large a recording would be."""
    lens = desk.models.named(request["model"])
    found: dict[str, Any] = lens.estimate(request["prompt"], **settings_of(request)).to_json()
    desk.warn(lens)
    return found


def edit(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draw a run again with edits, and with their controls."""
    from diffuscope import edits as values
    from diffuscope.run import Run
    from diffuscope.server.worker.views import Watcher

    run = Run.open(desk.runs / request["run"])
    lens = desk.models.of(run.manifest)
    chosen = values.from_json(request["edits"])
    sets = [chosen, [values.control(each) for each in chosen]] if request["control"] else [chosen]
    donors = donors_for(desk, run, request["edits"])
    ids = []
    for number, each in enumerate(sets):
        watcher = Watcher(desk.event, desk.poll, lens, folder, opened=number == 0)
        made = lens.edit(
            run,
            *each,
            out=folder / DRAWN,
            donors=donors,
            full=request["full"],
            progress=watcher.step,
        )
        ids += keep(desk, folder, [made])
    desk.warn(lens)
    return {"runs": ids[:1], "control": ids[1] if len(ids) > 1 else None}


def study(desk: Desk, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run a study, or what is missing of it."""
    from diffuscope.studies.leading import run as run_study
    from diffuscope.studies.plan_file import read_plan

    def progress(done: int, failed: int, total: int) -> None:
        desk.event("work", done=done, of=total, failed=failed)
        desk.poll()

    plan = read_plan(request["plan"])
    run_study(
        plan,
        desk.studies,
        workers=1,
        on_progress=progress,
        on_note=lambda said: desk.event("note", message=said),
    )
    return {"study": plan.study}


def donors_for(desk: Desk, run: Run, edits: Sequence[Any]) -> dict[str, Recording]:
    """The runs that edits take something from, those of the run's own edits included, by id."""
    from diffuscope.edits import donor_names
    from diffuscope.recording import Recording
    from diffuscope.server.shelf import is_name

    names = [name for name in donor_names([*edits, *run.manifest.edits]) if is_name(name)]
    return {name: Recording.open(desk.runs / name) for name in names if (desk.runs / name).is_dir()}


def keep(desk: Desk, folder: Path, made: Sequence[Any]) -> list[str]:
    """Move whole recordings to the runs."""
    ids = []
    for run in made:
        name = Path(run.path).name
        os.rename(folder / DRAWN / name, desk.runs / name)
        ids.append(name)
    return ids


def settings_of(request: dict[str, Any]) -> dict[str, Any]:
    """What of a request is told to the lens."""
    names = ("negative_prompt", "seed", "steps", "guidance_scale", "width", "height", "keep")
    return {**{name: request[name] for name in names}, "images_per_prompt": request["images"]}
