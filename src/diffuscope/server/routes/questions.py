"""Questions whose answers are computed when they are asked: maps of any selection, regions, heads, concepts."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from diffuscope.errors import RegionError, SelectionError
from diffuscope.maps.choosing import chosen_steps
from diffuscope.maps.heatmap import Heatmap, HeatmapSeries
from diffuscope.maps.region_view import chosen_self_sites
from diffuscope.maps.words import find
from diffuscope.run import RegionView, Run, WordView
from diffuscope.selection import Selection
from diffuscope.server import shapes
from diffuscope.server.masks import region_of_mask
from diffuscope.server.problems import Refusal
from diffuscope.server.resources import JSON, Content, packed
from diffuscope.server.routes import problems
from diffuscope.server.state import Server, TheServer, served
from diffuscope.server.tensors import MEDIA_TYPE, as_json, plain

router = APIRouter(tags=["questions"], responses=problems(400, 404, 409, 422))

_MAP: dict[str, Any] = {
    "response_model": shapes.MapValues,
    "responses": {
        200: {
            "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
            "description": "The map: float32 in a tensor file, or as JSON where that was asked for.",
        },
        **problems(400, 404, 409, 413, 415, 422),
    },
}


@router.post("/api/runs/{run}/map", summary="A map of any selection", **_MAP)
def ask_map(run: str, question: shapes.MapQuestion, server: TheServer, request: Request) -> Response:
    """The exact map of a word, phrase, concept or region at any steps, sites and heads."""
    return _map(run, question, server, request)


@router.get("/api/runs/{run}/map", summary="A map of any selection", **_MAP)
def read_map(
    run: str,
    selection: shapes.PrintableText,
    server: TheServer,
    request: Request,
    each_step: bool = False,
    format: shapes.Format = "safetensors",
    v: str | None = None,
) -> Response:
    """The same by an address that can be kept and shared."""
    if len(selection) > 100_000:
        raise Refusal(413, "the selection is too long for an address; send it in a body: POST")
    question = shapes.MapQuestion(selection=selection, each_step=each_step, format=format)
    return _map(run, question, server, request)


@router.post("/api/runs/{run}/regions", summary="Attention of a part of the picture", **_MAP)
def ask_region(run: str, question: shapes.RegionQuestion, server: TheServer, request: Request) -> Response:
    """Who looks at a pixel, box, contour or mask, or what it looks at; on request spread along attention."""
    opened = server.shelf.open(run)

    def make() -> Content:
        with opened.lock:
            view = _region(opened.run, question, server)
            found = _of_region(view, question, server)
        return _content(found, question.format, region=view.region.text, area=view.region.area)

    key = (run, opened.version, "regions", question.model_dump_json())
    return served(request, server.answers.get(key, make), opened.version)


@router.post("/api/runs/{run}/heads", summary="Heads by their attention to a word", responses=problems(415))
def ask_heads(run: str, question: shapes.HeadQuestion, server: TheServer) -> shapes.HeadTable:
    """Every head of every kept site, by its mean attention to a word: a ranking of looks, not of effects."""
    opened = server.shelf.open(run)
    with opened.lock:
        view = WordView(opened.run, find(opened.run.manifest.text, question.word))
        found = view.heads(question.steps)
    rows: list[dict[str, Any]] = []
    for site, array in found.per_site.items():
        maps = array.mean(axis=0, dtype=np.float64)
        for head, values in zip(found.heads[site], maps, strict=True):
            y, x = np.unravel_index(int(values.argmax()), values.shape)
            rows.append(
                {
                    "site": site,
                    "head": head,
                    "mass": float(values.mean()),
                    "focus": _focus(values),
                    "peak": [int(y), int(x)],
                }
            )
    rows.sort(key=lambda row: -float(row["mass"]))
    return shapes.HeadTable.model_validate({"word": view.label, "unit": found.unit, "heads": rows})


@router.get("/api/runs/{run}/concepts", summary="Concepts that need no model")
def concepts(run: str, server: TheServer) -> shapes.Concepts:
    """Labels of the concepts whose keys the run's cache has; new ones are made by a job."""
    return shapes.Concepts(concepts=server.shelf.open(run).run.concepts)


def _map(run: str, question: shapes.MapQuestion, server: Server, request: Request) -> Response:
    opened = server.shelf.open(run)
    chosen = Selection.parse(question.selection)

    def make() -> Content:
        with opened.lock:
            found = _of_selection(opened.run, chosen, question, server)
        return _content(found, question.format)

    size = str(question.size)
    key = (
        run,
        opened.version,
        "map",
        str(chosen),
        str(question.each_step),
        question.reduce,
        size,
        question.format,
    )
    return served(request, server.answers.get(key, make), opened.version)


def _of_selection(
    run: Run, chosen: Selection, question: shapes.MapQuestion, server: Server
) -> Heatmap | HeatmapSeries:
    how = (chosen.steps, chosen.sites, chosen.heads)
    if chosen.region is not None and chosen.word is None and chosen.concept is None:
        region = run.region(chosen.region)
        _check_cost(run, chosen, server, whole=False)
        return (
            region.steps(*how, size=question.size)
            if question.each_step
            else region.map(*how, size=question.size)
        )
    if (chosen.word is None) == (chosen.concept is None):
        raise SelectionError("the selection names no word, concept or region; add one, as in word=circle")
    if chosen.concept is not None:
        view: WordView = run.concept(chosen.concept)
    else:
        view = WordView(run, find(run.manifest.text, chosen.word or ""))
    if question.each_step:
        return view.steps(*how, question.reduce, question.size)
    return view.map(*how, question.reduce, question.size)


def _region(run: Run, question: shapes.RegionQuestion, server: Server) -> RegionView:
    if (question.region is None) == (question.mask_png is None):
        raise RegionError("name the region by its text form, or give a mask: one of region and mask_png")
    if question.region is not None:
        return run.region(question.region)
    assert question.mask_png is not None
    return region_of_mask(run, question.mask_png, read_only=server.settings.read_only)


def _of_region(view: RegionView, question: shapes.RegionQuestion, server: Server) -> Heatmap | HeatmapSeries:
    how = (question.steps, question.sites, question.heads)
    _check_cost(view.run, Selection.of(*how), server, whole=question.diffused)
    if question.diffused:
        if question.each_step:
            raise RegionError(
                "a diffused map is made of the mean over its steps; name one step instead of each_step"
            )
        return view.diffused(
            *how,
            direction=question.direction,
            iterations=question.iterations,
            threshold=question.threshold,
        )
    if question.each_step:
        return view.steps(*how, direction=question.direction)
    return view.map(*how, direction=question.direction)


def _check_cost(run: Run, chosen: Selection, server: Server, *, whole: bool) -> None:
    """Refuse what would take many seconds. A region costs its rows or columns, and where no log-sum-exp was recorded
    all of them once; a diffused map all of them."""
    sites = chosen_self_sites(run.recording, chosen)
    steps = len(chosen_steps(run.recording, chosen))
    cost = 0.0
    for site in sites:
        cells = float(site.grid[0] * site.grid[1])
        cost += cells * (cells if whole else 64.0) * site.heads * site.head_dim
    if cost * steps > server.settings.limits.products:
        raise Refusal(
            413,
            f"{steps} steps of {len(sites)} sites are too much to be answered at once; choose fewer of them",
        )


def _content(found: Heatmap | HeatmapSeries, form: shapes.Format, **more: Any) -> Content:
    if form == "safetensors":
        return Content(packed(found, exact=True, **more), MEDIA_TYPE)
    values = found.array
    single = isinstance(found, Heatmap)
    return Content(
        as_json(
            {
                "label": found.label,
                "selection": str(found.selection),
                "unit": found.unit,
                "aggregation": found.aggregation,
                "size": list(found.size),
                "min": float(values.min()),
                "max": float(values.max()),
                "mean": float(values.mean(dtype=np.float64)),
                "peak": list(found.peak) if isinstance(found, Heatmap) else None,
                "centroid": list(found.centroid) if isinstance(found, Heatmap) else None,
                "steps": None if single else list(getattr(found, "steps", ())),
                "values": plain(values),
                **more,
            }
        ),
        JSON,
    )


def _focus(values: np.ndarray[Any, Any]) -> float:
    """``1 - H(q) / log n`` of a map brought to sum 1; 0 of one without mass or with one cell."""
    total = values.sum()
    if not total > 0 or values.size < 2:
        return 0.0
    q = values.ravel() / total
    q = q[q > 0]
    return float(1 + (q * np.log(q)).sum() / np.log(values.size))
