"""The files of a run: words, pictures, maps, timelines. The same paths are the files of a static export."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from diffuscope.server import shapes
from diffuscope.server.resources import GROWING
from diffuscope.server.routes import problems
from diffuscope.server.state import Server, TheServer, served
from diffuscope.server.tensors import MEDIA_TYPE

router = APIRouter(tags=["files of a run"], responses=problems(404, 409, 503))

Version = Annotated[
    str | None,
    Query(
        description="The run's version: the answer may then be kept for a year.",
        examples=["9f3c21aa04be7d10"],
    ),
]
Step = Annotated[str, Path(pattern="^[0-9]{4}$", examples=["0003"])]
StepOrAll = Annotated[str, Path(pattern="^([0-9]{4}|all)$", examples=["0003"])]
Number = Annotated[int, Path(ge=0, lt=10**6, examples=[1])]
Grid = Annotated[str, Path(pattern="^[0-9]{1,4}x[0-9]{1,4}$", examples=["16x16"])]

_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _of(media_type: str, *more: int) -> dict[str, Any]:
    """What OpenAPI says of a route that gives a file."""
    return {
        "response_class": Response,
        "responses": {
            200: {"content": {media_type: _BINARY}, "description": "The file."},
            **problems(404, 409, *more),
        },
    }


@router.get("/api/runs/{run}/words.json", summary="Tokens and words", response_model=shapes.Words)
def words(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """The prompt as the model read it. A word's `index` is its number in the paths of maps."""
    return _file(server, request, run, "words.json")


@router.get("/api/runs/{run}/timeline.json", summary="Timelines", response_model=dict[str, Any])
def timeline(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """Every measure over the steps, of each content word, of controls, and of the run."""
    return _file(server, request, run, "timeline.json")


@router.get("/api/runs/{run}/objects.json", summary="Objects", response_model=dict[str, Any])
def objects(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """The objects that the prompt names, each with mask (COCO's uncompressed run lengths), box and score."""
    return _file(server, request, run, "objects.json")


@router.get("/api/runs/{run}/explanation.json", summary="Explanation", response_model=dict[str, Any])
def explanation(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """The run in words: every sentence cites claims, and every claim a selection that it can be computed from again."""
    return _file(server, request, run, "explanation.json")


@router.get("/api/runs/{run}/faithfulness.json", summary="Tests of maps", response_model=dict[str, Any])
def faithfulness(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """The tests of its words' maps that were made so far: does the picture change where the map is bright when the word
    is taken away? Jobs make them."""
    return _file(server, request, run, "faithfulness.json")


@router.get("/api/runs/{run}/image.webp", summary="Picture", **_of("image/webp"))
def image(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """The finished picture, for the eye."""
    return _file(server, request, run, "image.webp")


@router.get("/api/runs/{run}/image.png", summary="Picture, exact", **_of("image/png"))
def exact_image(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """The finished picture, pixel for pixel."""
    return _file(server, request, run, "image.png")


@router.get("/api/runs/{run}/thumbnail.webp", summary="Thumbnail", **_of("image/webp"))
def thumbnail(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """The picture with a longer side of at most 256 pixels."""
    return _file(server, request, run, "thumbnail.webp")


@router.get(
    "/api/runs/{run}/previews/{step}.webp", summary="Predicted clean picture", **_of("image/webp", 400, 422)
)
def preview(run: str, step: Step, server: TheServer, request: Request, v: Version = None) -> Response:
    """What the model expected the picture to be at a step."""
    return _file(server, request, run, f"previews/{step}.webp")


@router.get("/api/runs/{run}/maps/all.safetensors", summary="Maps of all words", **_of(MEDIA_TYPE))
def all_maps(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """``maps [word, y, x]``: the mean over all steps of every word."""
    return _file(server, request, run, "maps/all.safetensors")


@router.get("/api/runs/{run}/maps/{word}.safetensors", summary="Maps of a word", **_of(MEDIA_TYPE, 400, 422))
def word_maps(run: str, word: Number, server: TheServer, request: Request, v: Version = None) -> Response:
    """``maps [step, y, x]``: one word at every step, all kept sites and heads."""
    return _file(server, request, run, f"maps/{word}.safetensors")


@router.get(
    "/api/runs/{run}/maps/{word}/grids/{grid}.safetensors",
    summary="Maps of a word on one grid",
    **_of(MEDIA_TYPE, 400, 422),
)
def grid_maps(
    run: str, word: Number, grid: Grid, server: TheServer, request: Request, v: Version = None
) -> Response:
    """``maps [step, y, x]`` from the sites of one grid, on that grid."""
    return _file(server, request, run, f"maps/{word}/grids/{grid}.safetensors")


@router.get(
    "/api/runs/{run}/maps/{word}/sites/{site}.safetensors",
    summary="Maps of a word at one site",
    **_of(MEDIA_TYPE, 400, 422),
)
def site_maps(
    run: str, word: Number, site: Number, server: TheServer, request: Request, v: Version = None
) -> Response:
    """``maps [step, y, x]`` of one site, on its own grid."""
    return _file(server, request, run, f"maps/{word}/sites/{site}.safetensors")


@router.get(
    "/api/runs/{run}/maps/{word}/heads/{site}.safetensors",
    summary="Maps of a word by head",
    **_of(MEDIA_TYPE, 400, 422),
)
def head_maps(
    run: str, word: Number, site: Number, server: TheServer, request: Request, v: Version = None
) -> Response:
    """``maps [step, head, y, x]`` of one site: a tile of the head atlas."""
    return _file(server, request, run, f"maps/{word}/heads/{site}.safetensors")


@router.get("/api/runs/{run}/shares.safetensors", summary="Who holds each patch", **_of(MEDIA_TYPE))
def shares(run: str, server: TheServer, request: Request, v: Version = None) -> Response:
    """``maps [kind, y, x]``: the shares of the prompt's words, its other tokens, start, end and padding."""
    return _file(server, request, run, "shares.safetensors")


@router.get(
    "/api/runs/{run}/self/{direction}/{step}.safetensors",
    summary="Maps of every cell as a region",
    **_of(MEDIA_TYPE, 400, 413, 422),
)
def cell_maps(
    run: str,
    direction: shapes.Direction,
    step: StepOrAll,
    server: TheServer,
    request: Request,
    v: Version = None,
) -> Response:
    """``maps [cell, y, x]``: the region map of each cell of the finest grid. The map of any region is the mean of
    these, weighed by the area that it covers of each cell."""
    return _file(server, request, run, f"self/{direction}/{step}.safetensors")


def _file(server: Server, request: Request, run: str, name: str) -> Response:
    opened, content = server.file(run, name)
    return served(request, content, None if name in GROWING else opened.version)
