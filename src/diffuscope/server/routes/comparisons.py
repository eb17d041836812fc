"""Pairs of runs: what an edit changed in the picture and in the attention to each word."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from diffuscope.errors import InputError, NotKeptError
from diffuscope.run import Run
from diffuscope.server import comparing, shapes
from diffuscope.server.problems import Refusal
from diffuscope.server.resources import Content
from diffuscope.server.routes import problems
from diffuscope.server.state import Server, TheServer, served
from diffuscope.server.tensors import MEDIA_TYPE

router = APIRouter(tags=["comparisons"], responses=problems(404, 409, 503))


@router.get(
    "/api/compare/{run}/{other}/comparison.json",
    summary="Two runs compared",
    response_model=shapes.Comparison,
)
def comparison(run: str, other: str, server: TheServer, request: Request) -> Response:
    """For each word how much its attention changed, and how that goes with what changed in the picture."""
    return _pair(server, request, run, other, "comparison.json")


@router.get(
    "/api/compare/{run}/{other}/explanation.json", summary="What the edit did", response_model=dict[str, Any]
)
def explanation(run: str, other: str, server: TheServer, request: Request) -> Response:
    """What the edit did, in words that can be checked."""
    return _pair(server, request, run, other, "explanation.json")


@router.get(
    "/api/compare/{run}/{other}/change.safetensors",
    summary="Change of the picture",
    response_class=Response,
    responses={
        200: {
            "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
            "description": "``maps [y, x]``, delta-E of each pixel.",
        }
    },
)
def change(run: str, other: str, server: TheServer, request: Request) -> Response:
    """How far each pixel's colour moved."""
    return _pair(server, request, run, other, "change.safetensors")


def _pair(server: Server, request: Request, run: str, other: str, name: str) -> Response:
    first, second = server.shelf.open(run), server.shelf.open(other)
    control = None
    if name == "comparison.json":
        every = {each.name: each.manifest for each in server.shelf.every() if each.manifest is not None}
        found = comparing.control_of(first.run.manifest, second.run.manifest, every.values())
        control = next((name for name, each in every.items() if each.id == found), None)

    def make() -> Content:
        # Opened anew: other questions to these runs need not wait.
        with server.slowly():
            paths = [
                first.run.path,
                second.run.path,
                *([] if control is None else [server.shelf.path(control)]),
            ]
            opened = [Run.open(path) for path in paths]
            return _read(opened[0], opened[1], name, opened[2] if control is not None else None)

    version = f"{first.version}{second.version}{control}"
    return served(request, server.answers.get((run, other, version, name), make))


def _read(run: Run, other: Run, name: str, control: Run | None) -> Content:
    try:
        return comparing.read_pair(run, other, name, control)
    except NotKeptError:
        raise
    except InputError as error:  # Each of them is a good run: it is the two together that are no pair.
        raise Refusal(409, str(error)) from error
