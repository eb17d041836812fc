"""Studies: how far each is, and its report. Running one is a job."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from diffuscope.errors import DiffuscopeError, RunNotFoundError
from diffuscope.server import shapes
from diffuscope.server.problems import Refusal
from diffuscope.server.routes import problems
from diffuscope.server.shelf import is_name
from diffuscope.server.state import Server, TheServer
from diffuscope.server.tensors import plain
from diffuscope.studies.study import Study

router = APIRouter(tags=["studies"], responses=problems(409))

REPORT = "report.html"

SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'self'"
)
"""A report is a page of its own with scripts inside: it may run them, and reach nothing of this site."""


@router.get("/api/studies/index.json", summary="List of studies")
def index(server: TheServer) -> shapes.StudyList:
    """Every study in the studies' folder."""
    found = []
    try:
        names = sorted((path.name for path in server.settings.studies.iterdir()), reverse=True)
    except OSError:
        names = []
    for name in names:
        try:
            found.append(_line(name, _study(server, name)))
        except DiffuscopeError:
            continue
    return shapes.StudyList(studies=found)


@router.get("/api/studies/{study}/study.json", summary="A study", responses=problems(404))
def whole(study: str, server: TheServer) -> dict[str, Any]:
    """Its plan, and how far it is."""
    found = _study(server, study)
    facts: dict[str, Any] = plain(
        {"name": study, "plan": found.plan.plain(), "model": found.model, "status": found.status().facts()}
    )
    return facts


@router.get("/api/studies/{study}/runs.json", summary="Runs of a study", responses=problems(404, 422))
def runs(
    study: str,
    server: TheServer,
    offset: Annotated[int, Query(ge=0, lt=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 48,
) -> shapes.StudyRuns:
    """What was drawn so far, by prompt, condition and seed: a part of it, each with its small picture."""
    table = _study(server, study).runs()
    ordered = table.sort_by([(name, "ascending") for name in ("prompt_index", "condition", "seed", "unit")])
    found = [_run(row) for row in ordered.slice(offset, limit).to_pylist()]
    return shapes.StudyRuns(total=table.num_rows, offset=offset, runs=found)


@router.get(
    "/api/studies/{study}/report.html",
    summary="Report of a study",
    response_class=Response,
    responses={
        200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "A page."},
        **problems(404),
    },
)
def report(study: str, server: TheServer) -> Response:
    """The report as it was written last. To be shown in a sandboxed frame."""
    path = _study(server, study).folder / REPORT
    try:
        body = path.read_bytes()
    except OSError:
        raise Refusal(404, f"no report was written yet: diffuscope study report {study}") from None
    headers = {
        "Content-Security-Policy": SANDBOX,
        "X-Frame-Options": "SAMEORIGIN",
    }
    return Response(body, media_type="text/html", headers=headers)


def _study(server: Server, name: str) -> Study:
    folder = server.settings.studies / name
    try:
        if is_name(name) and not folder.is_symlink() and folder.is_dir():
            return Study.open(folder)
    except (OSError, ValueError):
        pass
    raise RunNotFoundError(
        f"there is no study {name[:80]!r}; GET /api/studies/index.json lists those there are"
    )


def _run(row: dict[str, Any]) -> shapes.StudyRun:
    picture = row["thumbnail"]
    seconds = [row[name] for name in ("draw_seconds", "measure_seconds") if row[name] is not None]
    return shapes.StudyRun(
        unit=row["unit"],
        ok=row["status"] == "ok",
        error=row["error"],
        prompt=row["prompt"],
        condition=row["condition"],
        seed=row["seed"],
        seconds=sum(seconds) if seconds else None,
        picture=None if picture is None else f"data:image/webp;base64,{base64.b64encode(picture).decode()}",
    )


def _line(name: str, study: Study) -> shapes.StudyLine:
    status = study.status()
    state = "complete" if status.pending == 0 else "unfinished"
    return shapes.StudyLine(
        name=name,
        title=study.plan.question or study.plan.study,
        state=state,
        done=status.done,
        failed=status.failed,
        total=status.total,
        report=(study.folder / REPORT).is_file(),
    )
