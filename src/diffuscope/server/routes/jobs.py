"""Jobs: what takes a model. Ask, watch by server-sent events, look in while it draws, cancel."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import StreamingResponse

from diffuscope.recording.shelf import look
from diffuscope.run import Run
from diffuscope.server import describing, orders, resources, shapes
from diffuscope.server.job import PICTURES, PREVIEWS, Job
from diffuscope.server.problems import Refusal
from diffuscope.server.resources import JSON, WEBP, Content
from diffuscope.server.routes import problems
from diffuscope.server.state import Server, TheServer, served
from diffuscope.server.tensors import MEDIA_TYPE, as_json

router = APIRouter(tags=["jobs"], responses=problems(404))

Ident = Annotated[str, Path(pattern="^[0-9a-f-]{1,40}$", examples=["20261121-101500-1f2e3d4c"])]
Step = Annotated[str, Path(pattern="^[0-9]{4}$", examples=["0003"])]

WAIT = 2.0
"""Seconds that a step which has been drawn may take to be on disk."""


@router.post(
    "/api/jobs",
    summary="Start a job",
    status_code=202,
    responses=problems(400, 409, 413, 415, 422, 429),
    response_model_by_alias=True,
)
async def start(request: shapes.JobRequest, server: TheServer) -> shapes.Job:
    """Put a job into the queue. `kind` says what it does: record, estimate, edit, concept, study,
    faithfulness, windows, heads, sweep."""
    checked = await anyio.to_thread.run_sync(orders.order, server, request)
    return shapes.Job.model_validate(server.queue.described(server.queue.submit(checked)))


@router.get("/api/jobs", summary="Jobs")
async def index(server: TheServer) -> shapes.Jobs:
    """All jobs that are remembered, newest first."""
    jobs = [server.queue.described(job) for job in reversed(server.queue.jobs.values())]
    return shapes.Jobs.model_validate({"jobs": jobs})


@router.get("/api/jobs/{job}", summary="A job", responses=problems(422))
async def state(job: Ident, server: TheServer) -> shapes.Job:
    """How a job stands."""
    return shapes.Job.model_validate(server.queue.described(server.queue.get(job)))


@router.delete("/api/jobs/{job}", summary="Cancel a job", responses=problems(422))
async def cancel(job: Ident, server: TheServer) -> shapes.Job:
    """Take it out of the queue, or stop it at its next step; what was drawn until then is kept as a stopped run. A job
    that is over stays as it is."""
    server.refuse_changes()
    found = server.queue.get(job)
    server.queue.cancel(found)
    return shapes.Job.model_validate(server.queue.described(found))


@router.get(
    "/api/jobs/{job}/events",
    summary="What happens, as it happens",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Server-sent events; see docs/server.md for their names.",
        },
        **problems(404, 422, 429),
    },
)
async def events(
    job: Ident,
    server: TheServer,
    last_event_id: Annotated[
        str | None, Header(description="Number of the last event that was received.")
    ] = None,
) -> StreamingResponse:
    """Server-sent events from the first one, or from the one after `Last-Event-ID`. Ends when the job is over."""
    found = server.queue.get(job)
    limit = server.settings.limits.listeners
    if server.queue.listeners >= limit:
        raise Refusal(429, f"{limit} listeners are connected already; ask GET /api/jobs/{job} instead")
    after = int(last_event_id) if last_event_id and re.fullmatch("[0-9]{1,9}", last_event_id) else 0
    return StreamingResponse(
        server.queue.events(found, after),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get(
    "/api/jobs/{job}/run.json",
    summary="The run that is drawn",
    response_model=shapes.RunWhole,
    responses=problems(409, 422),
)
def drawn(job: Ident, server: TheServer) -> Response:
    """As of a run, of the one that the job draws."""
    _, run = _drawn(server, job)
    line = describing.summary(look(run.path), None)
    body = as_json(describing.whole(run, line, [], server.settings.limits.region_cells))
    return Response(body, media_type=JSON, headers={"Cache-Control": "no-store"})


@router.get(
    "/api/jobs/{job}/words.json",
    summary="Words of the run that is drawn",
    response_model=shapes.Words,
    responses=problems(409, 422),
)
def words(job: Ident, server: TheServer) -> Response:
    """As of a run, of the one that the job draws."""
    _, run = _drawn(server, job)
    body = as_json(describing.words(run))
    return Response(body, media_type=JSON, headers={"Cache-Control": "no-store"})


def _file(media_type: str) -> dict[str, Any]:
    return {
        "response_class": Response,
        "responses": {
            200: {
                "content": {media_type: {"schema": {"type": "string", "format": "binary"}}},
                "description": "It.",
            },
            **problems(400, 404, 409, 422),
        },
    }


@router.get(
    "/api/jobs/{job}/previews/{step}.webp", summary="Predicted clean picture while drawing", **_file(WEBP)
)
def preview(job: Ident, step: Step, server: TheServer, request: Request) -> Response:
    """What the model expects the picture to be, of steps whose event names it."""
    found = server.queue.get(job)
    try:
        body = (found.folder / PREVIEWS / f"{step}.webp").read_bytes()
    except OSError:
        raise Refusal(404, f"step {int(step)} has no preview; its event names the one there is") from None
    return served(request, Content(body, WEBP))


@router.get("/api/jobs/{job}/pictures/{step}.webp", summary="Picture of a sweep", **_file(WEBP))
def picture(job: Ident, step: Step, server: TheServer, request: Request) -> Response:
    """A variation's picture, of those that the job's events or result name."""
    found = server.queue.get(job)
    try:
        body = (found.folder / PICTURES / f"{step}.webp").read_bytes()
    except OSError:
        raise Refusal(404, f"there is no picture {int(step)} of this job") from None
    return served(request, Content(body, WEBP))


@router.get("/api/jobs/{job}/maps/{step}.safetensors", summary="Word maps while drawing", **_file(MEDIA_TYPE))
def maps(job: Ident, step: Step, server: TheServer, request: Request) -> Response:
    """``maps [word, y, x]`` of one step, as soon as its event has come."""
    found, number = server.queue.get(job), int(step)
    key = ("job", job, step)

    def make() -> Content:
        return resources.word_maps(_with_step(server, found, number), number)

    return served(request, server.answers.get(key, make))


def _drawn(server: Server, ident: str) -> tuple[Job, Run]:
    job = server.queue.get(ident)
    folder = server.queue.drawn(job)
    if folder is None:
        raise Refusal(404, "this job draws no run, or has not begun to")
    return job, Run.open(folder)


def _with_step(server: Server, job: Job, step: int) -> Run:
    """The run of a job as soon as a step of it is on disk: steps are written behind the drawing."""
    until = time.monotonic() + WAIT
    while True:
        _, run = _drawn(server, job.id)
        if any(each.index == step for each in run.manifest.steps):
            return run
        known = job.progress is not None and step < job.progress["step"]
        if not known or time.monotonic() > until:
            raise Refusal(404, f"step {step} is not drawn yet")
        time.sleep(0.02)
