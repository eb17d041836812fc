"""Runs: the list, everything about one, removing and bringing back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from diffuscope.errors import DiffuscopeError
from diffuscope.recording.shelf import refuse_while_written
from diffuscope.server import describing, shapes
from diffuscope.server.problems import Refusal
from diffuscope.server.resources import JSON, Content
from diffuscope.server.routes import problems
from diffuscope.server.shelf import is_name, version_of
from diffuscope.server.state import Server, TheServer, served
from diffuscope.server.tensors import as_json

router = APIRouter(tags=["runs"], responses=problems())


@router.get("/api/runs/index.json", summary="List of runs", response_model=shapes.RunList)
@router.get("/api/runs", summary="List of runs", response_model=shapes.RunList)
def index(server: TheServer, request: Request) -> Response:
    """Every recording, newest first, damaged ones too; and what can be brought back from the trash."""
    return served(request, Content(as_json(listed(server)), JSON))


@router.get(
    "/api/runs/{run}/run.json", summary="A run", response_model=shapes.RunWhole, responses=problems(404, 409)
)
@router.get("/api/runs/{run}", summary="A run", response_model=shapes.RunWhole, responses=problems(404, 409))
def whole(run: str, server: TheServer, request: Request) -> Response:
    """Everything about a run that is not a tensor: steps, sites, what was kept, edits, and what can be asked of it."""
    return served(request, Content(as_json(described(server, run)), JSON))


@router.delete("/api/runs/{run}", summary="Remove a run", responses=problems(404, 409))
def remove(run: str, server: TheServer) -> shapes.Removed:
    """Move a run to the trash, where it stays for a week."""
    server.refuse_changes()
    path = server.shelf.path(run)
    refuse_while_written(path)
    entry = server.shelf.trash.put(path)
    server.shelf.let_go(run)
    return shapes.Removed(entry=entry.entry)


@router.post("/api/trash/{entry}/restore", summary="Bring a run back", responses=problems(404, 409, 415))
def restore(entry: str, server: TheServer) -> shapes.Restored:
    """Bring a run back from the trash to where it stood."""
    server.refuse_changes()
    if not is_name(entry) or all(entry != each.entry for each in server.shelf.trashed()):
        raise Refusal(404, f"there is no {entry[:80]!r} in the trash; GET /api/runs lists what there is")
    return shapes.Restored(run=server.shelf.trash.restore(entry).path.name)


def listed(server: Server) -> dict[str, Any]:
    """`shapes.RunList`."""
    runs = []
    for shelved in server.shelf.every():
        try:
            version = version_of(shelved.path)
        except DiffuscopeError:
            continue  # Removed meanwhile.
        runs.append(describing.summary(shelved, version))
    return {"runs": runs, "trash": [describing.trashed(each) for each in server.shelf.trashed()]}


def described(server: Server, ident: str) -> dict[str, Any]:
    """`shapes.RunWhole`."""
    opened = server.shelf.open(ident)
    every = server.shelf.every()
    children = [
        each.name for each in every if each.manifest is not None and each.manifest.parent == opened.run.id
    ]
    line = next((each for each in every if each.name == ident), None)
    if line is None:
        raise Refusal(404, f"the run {ident!r} is gone")
    about = describing.summary(line, opened.version)
    return describing.whole(opened.run, about, children, server.settings.limits.region_cells)
