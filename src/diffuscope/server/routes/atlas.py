"""The head atlas: its files, heads by a question, and how an edit's patches lie on every grid."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from diffuscope.analysis.head_query import parse as parse_question
from diffuscope.edits import PatchChoice
from diffuscope.maps.regions import Region, mask, parse
from diffuscope.run import Run
from diffuscope.server import atlas, shapes
from diffuscope.server.problems import Refusal
from diffuscope.server.resources import GROWING, Content
from diffuscope.server.routes import problems
from diffuscope.server.routes.files import Version, _of
from diffuscope.server.state import Server, TheServer, served
from diffuscope.server.tensors import MEDIA_TYPE

router = APIRouter(tags=["head atlas"], responses=problems(404, 409, 503))

LARGEST = 2**24
"""Cells of the plane that patches are given on."""

ContentName = Annotated[str, Path(pattern="^[a-z]{1,20}(-[0-9]{1,6})?$", examples=["word-1"])]
Slot = Annotated[str, Path(pattern="^([0-9]{4}|all|mean)$", examples=["all"])]


@router.get("/api/runs/{run}/atlas.json", summary="Head atlas", response_model=shapes.AtlasWhole)
def described(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """Every kept head and where it stands in the model, and what can be shown of each. It grows by jobs."""
    return _file(server, request, run, "atlas.json")


@router.get("/api/runs/{run}/rankings.json", summary="Rankings of heads", response_model=shapes.Rankings)
def rankings(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """Heads by what taking each of them out does, as jobs of kind `heads` have found, the newest first."""
    return _file(server, request, run, "rankings.json")


@router.get(
    "/api/runs/{run}/atlas/masses.safetensors", summary="Attention mass by head", **_of(MEDIA_TYPE, 400)
)
def masses(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """``mass [word, slot, cell]`` of every word at every head with words; slot 0 is the mean over the steps."""
    return _file(server, request, run, "atlas/masses.safetensors")


@router.get(
    "/api/runs/{run}/atlas/{content}/{slot}.safetensors",
    summary="Maps of every head",
    **_of(MEDIA_TYPE, 400, 422),
)
def plates(
    run: str, content: ContentName, slot: Slot, server: TheServer, request: Request, v: Version = None
) -> Response:
    """One content of every head: ``maps/7 [slot, head, y, x]`` of the site 7 and so on, a byte a patch, with exact
    ``min``, ``max`` and ``mean`` ``[slot, cell]``. `all` has the mean and every step at a resolution that keeps it
    small; `mean` and single steps have each site's own grid."""
    return _file(server, request, run, f"atlas/{content}/{slot}.safetensors")


@router.get(
    "/api/runs/{run}/places.safetensors",
    summary="A place's maps by head",
    **_of(MEDIA_TYPE, 400, 413, 422),
)
def places(
    run: str,
    region: Annotated[shapes.PrintableText, Query(max_length=100_000, examples=["pixel:40,52"])],
    server: TheServer,
    request: Request,
    direction: shapes.Direction = "to",
    slot: Annotated[str, Query(pattern="^([0-9]{1,6}|all|mean)$")] = "mean",
    v: Version = None,
) -> Response:
    """Each self-attention head's map of a part of the picture: who looks at it, or what it looks at. Of the form of the
    atlas's maps."""
    opened = server.shelf.open(run)

    def make() -> Content:
        with opened.lock:
            most = server.settings.limits.products
            return Content(atlas.places(opened.run, region, direction, slot, most), MEDIA_TYPE)

    key = (run, opened.version, "places", region, direction, slot)
    return served(request, server.answers.get(key, make), opened.version)


@router.post("/api/runs/{run}/pick", summary="Heads by a question", responses=problems(400, 413, 415, 422))
def pick(run: str, question: shapes.PickQuestion, server: TheServer) -> shapes.Picks:
    """The heads that a question names: ``cross:up.*/3``, ``top 10 for circle``, ``top 5 for circle by effect``."""
    opened = server.shelf.open(run)
    if any(part.count is not None for part in parse_question(question.query)):
        # Opened anew, so that quick questions to the run need not wait.
        with server.slowly():
            found = Run.open(opened.run.path).pick(question.query)
    else:
        with opened.lock:
            found = opened.run.pick(question.query)
    return shapes.Picks.model_validate(found.to_json())


@router.post("/api/patches/cover", summary="Patches on every grid", responses=problems(400, 413, 415, 422))
def cover(question: shapes.CoverQuestion) -> shapes.Covers:
    """How much of each patch of some grids an edit acts on, exactly as the engine takes it."""
    chosen = PatchChoice.of_json(dict(question.patches))
    height, width = question.size
    plane = chosen.grid or (height, width)
    if plane[0] * plane[1] > LARGEST:
        raise Refusal(413, f"a plane of {plane[0]}x{plane[1]} is larger than any picture that is drawn here")
    region: Region = mask(chosen.levels(), plane) if chosen.png is not None else parse(chosen.region, plane)
    return shapes.Covers.model_validate(
        {
            "patches": chosen.to_json(),
            "says": chosen.describe(),
            "area": region.area,
            "grids": [
                {"grid": grid, "cover": region.cover((grid[0], grid[1])).tolist()} for grid in question.grids
            ],
        }
    )


def _file(server: Server, request: Request, run: str, name: str) -> Response:
    opened, content = server.file(run, name)
    return served(request, content, None if name in GROWING else opened.version)
