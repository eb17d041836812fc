"""The head atlas as files: what it has (``atlas.json``), and its maps, few requests whatever the model's size.

    atlas.json  rankings.json  atlas/masses.safetensors
    atlas/word-4/all.safetensors  atlas/word-4/mean.safetensors  atlas/word-4/0003.safetensors

A content is named by its family and, where it is of a word, the word's place in ``words.json``: ``word-4``,
``received``, ``focus``, ``contribution``, ``contribution-4``, ``signed``, ``signed-4``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.atlas import MEAN, Atlas, CellSite, Content, Plates
from diffuscope.analysis.atlas.contents import Family, contents_of
from diffuscope.analysis.atlas.plates import Slot, cell_bytes, plates_of, side_for
from diffuscope.analysis.atlas.survey import DETAIL_BYTES, OVERVIEW_BYTES
from diffuscope.errors import NotKeptError, SelectionError
from diffuscope.maps.heatmap import UNIT
from diffuscope.maps.self_attention import Direction
from diffuscope.recording.tensors import safetensors_parts
from diffuscope.run import Run
from diffuscope.selection import Selection
from diffuscope.server.describing import word_entries
from diffuscope.server.problems import Refusal
from diffuscope.server.tensors import as_json, plain

VERSION = 1


def described(run: Run) -> dict[str, Any]:
    """``atlas.json``: cells, their places, and what can be shown of them."""
    atlas = run.atlas
    cells = atlas.cells
    names = {content: ident for ident, content in idents(run).items()}
    return {
        "run": run.path.name,
        "version": VERSION,
        "layout": cells.shape,
        "grids": [list(grid) for grid in cells.grids],
        "steps": list(atlas.steps),
        "sites": [
            {
                "index": site.index,
                "name": site.name,
                "kind": site.kind,
                "grid": list(site.grid),
                "heads": list(site.heads),
                "total": site.total,
                "stage": site.stage,
                "block": site.block,
                "column": site.column,
                "depth": site.depth,
                "first": site.first,
            }
            for site in cells.sites
        ],
        "cells": len(cells),
        "words": [index for index, entry in enumerate(word_entries(run.manifest)) if entry["tokens"]],
        "contents": [_content(atlas, content, ident) for content, ident in names.items()],
    }


def idents(run: Run) -> dict[str, Content]:
    """Every content that a run could have, by its name in paths."""
    entries = word_entries(run.manifest)
    places = {entry["label"]: index for index, entry in enumerate(entries) if entry["tokens"]}
    return {
        content.family if content.word is None else f"{content.family}-{places[content.word]}": content
        for content in contents_of(list(places))
    }


def names(run: Run) -> Iterator[str]:
    """Names of the atlas's files, for a static export. Steps in full are there where the overview has less."""
    atlas = run.atlas
    yield "atlas.json"
    yield "rankings.json"
    if atlas.words and atlas.why_not(Content("word", atlas.words[0])) is None:
        yield "atlas/masses.safetensors"
    for ident, content in idents(run).items():
        if atlas.why_not(content) is not None:
            continue
        sites = atlas.sites(content)
        slots = atlas.overview_slots(content, sites)
        yield f"atlas/{ident}/all.safetensors"
        yield f"atlas/{ident}/mean.safetensors"
        if side_for(sites, len(slots), OVERVIEW_BYTES) and content.family == "word":
            yield from (f"atlas/{ident}/{int(step):04d}.safetensors" for step in slots[1:])


def rankings(run: Run) -> dict[str, Any]:
    """``rankings.json``: the rankings of heads by effect that were made of the run, the newest first."""
    return {"rankings": [plain(each.to_json()) for each in run.rankings]}


def file(run: Run, ident: str, slot: str) -> bytes:
    """The maps of one content: ``all``, ``mean``, or a step in four digits.

    Raises:
        Refusal: no such content (404). SelectionError: no such step. NotKeptError: the run did not keep it.
    """
    content = idents(run).get(ident)
    if content is None:
        known = ", ".join([*get_args(Family)[1:3], *("word-0", "contribution", "signed")])
        raise Refusal(
            404, f"the atlas has no {ident[:40]!r}; it has {known} and more, which atlas.json lists"
        )
    atlas = run.atlas
    plates = (
        atlas.overview(content)
        if slot == "all"
        else atlas.detail(content, MEAN if slot == MEAN else int(slot))
    )
    return packed(plates, atlas, {"content": ident})


def masses(run: Run) -> bytes:
    """``mass [word, slot, cell]`` of every word; see `Atlas.masses`."""
    atlas = run.atlas
    labels = list(atlas.words)
    if not labels:
        raise NotKeptError("the prompt has no word with a map")
    slots, values = atlas.masses(labels)
    entries = [entry["label"] for entry in word_entries(run.manifest)]
    sites = atlas.sites(Content("word", labels[0]))
    about = {
        "label": "attention mass",
        "unit": UNIT,
        "aggregation": "Mean over patches of each head's map. Slot mean: over the steps.",
        "words": [entries.index(label) for label in labels],
        "slots": list(slots),
        "sites": _sites(sites, {}),
    }
    return b"".join(
        safetensors_parts({"mass": values}, {name: _text(value) for name, value in about.items()})
    )


def places(run: Run, region: str, direction: Direction, slot: str, most: float) -> bytes:
    """Each self-attention cell's map of a part of the picture: who looks at it, or what it looks at.

    Args:
        region: its text form, in pixels.
        direction: ``to`` or ``from``.
        slot: ``all``, ``mean``, or a step in four digits.
        most: products that may be computed.

    Raises:
        Refusal: more would be (413). RegionError: no part of the picture. NotKeptError: self-attention was not kept.
    """
    atlas, view = run.atlas, run.region(region)
    content = Content("received")
    sites = atlas.sites(content)
    steps = atlas.steps if slot in ("all", MEAN) else (int(slot),)
    if steps[0] not in atlas.steps:
        raise SelectionError(f"attention of step {steps[0]} was not kept")
    share = max(view.region.area, 1 / 4096)
    cost = sum(
        (site.grid[0] * site.grid[1]) ** 2 * share * len(site.heads) * run.recording.site(site.name).head_dim
        for site in sites
    )
    if cost * len(steps) > most:
        raise Refusal(
            413, f"{len(steps)} steps of {len(sites)} sites are too much to be answered at once; name a step"
        )
    made: list[dict[str, NDArray[np.float32]]] = []
    for step in steps:
        one = {}
        for site in sites:
            weights = view.region.cover(site.grid)
            found = run._self_attention.of_region(site.name, step, weights, direction)
            one[site.name] = found.reshape(-1, *site.grid)
        made.append(one)
        run.recording.let_go(step)
    mean: dict[str, NDArray[np.float32]] = {
        site.name: np.asarray(
            np.mean([each[site.name] for each in made], axis=0, dtype=np.float64), np.float32
        )
        for site in sites
    }
    slots: tuple[Slot, ...] = (MEAN, *steps) if slot == "all" else (MEAN,) if slot == MEAN else steps
    shown = [mean, *made] if slot == "all" else [mean] if slot == MEAN else made
    plates = plates_of(content, sites, slots, shown, OVERVIEW_BYTES if slot == "all" else DETAIL_BYTES)
    said = {
        "to": "Who looks at the region: at each patch the probability that it gives to a patch of it.",
        "from": "What the region looks at: at each patch the probability that it gets, mean over the region.",
    }[direction]
    more = {
        "region": view.region.text,
        "direction": direction,
        "aggregation": said,
        "label": view.region.label,
    }
    return packed(plates, atlas, {**more, "content": "place", "selection": f"region={view.region.text}"})


def packed(plates: Plates, atlas: Atlas, more: dict[str, Any] | None = None) -> bytes:
    """Plates as a tensor file with all that is to be said of them."""
    content = plates.content
    stride = set(atlas.stride(content).values()) if content.family in ("received", "focus") else {1}
    about: dict[str, Any] = {
        "content": content.text,
        "label": content.label,
        "unit": content.unit,
        "signed": json_bool(content.signed),
        "aggregation": f"{content.said} Each head by itself. Conditional branch, last call of each step.",
        "selection": str(Selection(word=content.word)),
        "slots": list(plates.slots),
        "queries": "all"
        if stride == {1}
        else f"at most one of every {max(stride)} in y and x, at sites with many",
        "sites": _sites(plates.sites, {name: maps.shape[2:] for name, maps in plates.maps.items()}),
        **(more or {}),
    }
    return b"".join(
        safetensors_parts(plates.tensors(), {name: _text(value) for name, value in about.items()})
    )


def json_bool(value: bool) -> str:
    """As JSON writes it."""
    return "true" if value else "false"


def _content(atlas: Atlas, content: Content, ident: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "id": ident,
        "family": content.family,
        "word": None if content.word is None else int(ident.rpartition("-")[2]),
        "label": content.label,
        "said": content.said,
        "unit": content.unit,
        "signed": content.signed,
        "kinds": list(content.kinds),
    }
    try:
        sites = atlas.sites(content)
    except NotKeptError as error:
        return {
            **facts,
            "cells": 0,
            "available": False,
            "why": str(error),
            "overview": None,
            "detail": None,
        }
    slots = atlas.overview_slots(content, sites)
    side = side_for(sites, len(slots), OVERVIEW_BYTES)
    detail = side_for(sites, 1, DETAIL_BYTES)
    finest = max(max(site.grid) for site in sites)
    return {
        **facts,
        "kinds": sorted({site.kind for site in sites}),
        "cells": sum(len(site.heads) for site in sites),
        "available": True,
        "why": None,
        "overview": {
            "side": side or finest,
            "native": side == 0,
            "slots": len(slots),
            "bytes": len(slots) * cell_bytes(sites, side),
        },
        "detail": {"side": detail or finest, "native": detail == 0, "bytes": cell_bytes(sites, detail)},
    }


def _sites(sites: tuple[CellSite, ...], stored: dict[str, Any]) -> list[dict[str, Any]]:
    found, first = [], 0
    for site in sites:
        line = {
            "index": site.index,
            "name": site.name,
            "heads": list(site.heads),
            "grid": list(site.grid),
            "first": first,
        }
        if site.name in stored:
            line["stored"] = list(stored[site.name])
        found.append(line)
        first += len(site.heads)
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value).decode()
