"""A made-up run as a static site: an atlas of any size, of known maps, without a model and without a recording.

`write_site(folder, sites)` writes the files that the page asks for, in the form in which the server and an export write
them. Each map is a bump whose place and height follow from its site, head and step, so that a test knows what it sees.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

RUN = "made-up"
WORDS = ("a", "horn", "on", "horse")
LIMIT = 6 * 2**20
"""Bytes of the maps of an overview."""


@dataclass(frozen=True)
class MadeSite:
    """A site: name, ``(height, width)`` of its grid, number of heads."""

    name: str
    grid: tuple[int, int]
    heads: int

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def block(self) -> str:
        return ".".join(self.name.partition(":")[2].split(".")[:2])


def scenes() -> list[MadeSite]:
    """The 10 cross-attention sites of the shipped model: 68 cells."""
    return [
        MadeSite(f"cross:{name}", (side, side), heads)
        for name, side, heads in [
            ("down.0.0", 16, 4),
            ("down.1.0", 8, 8),
            ("down.2.0", 4, 8),
            ("mid", 4, 8),
            *(
                (f"up.{b}.{i}", side, heads)
                for b, side, heads in ((0, 4, 8), (1, 8, 8), (2, 16, 4))
                for i in range(2)
            ),
        ]
    ]


def stable_diffusion_15() -> list[MadeSite]:
    """The 16 cross-attention sites of Stable Diffusion 1.5 at 512 pixels, 8 heads each: 128 cells."""
    sites = [
        MadeSite(f"cross:down.{b}.{i}", (side, side), 8)
        for b, side in enumerate((64, 32, 16))
        for i in range(2)
    ]
    sites.append(MadeSite("cross:mid", (8, 8), 8))
    return sites + [
        MadeSite(f"cross:up.{b}.{i}", (side, side), 8)
        for b, side in ((1, 16), (2, 32), (3, 64))
        for i in range(3)
    ]


def stable_diffusion_xl() -> list[MadeSite]:
    """The 70 cross-attention sites of Stable Diffusion XL at 1024 pixels: 1300 cells."""

    def block(name: str, count: int, depth: int, side: int, heads: int) -> list[MadeSite]:
        return [
            MadeSite(f"cross:{name}.{i}.{d}" if count else f"cross:{name}.{d}", (side, side), heads)
            for i in range(max(1, count))
            for d in range(depth)
        ]

    return [
        *block("down.1", 2, 2, 64, 10),
        *block("down.2", 2, 10, 32, 20),
        *block("mid", 0, 10, 32, 20),
        *block("up.0", 3, 10, 32, 20),
        *block("up.1", 3, 2, 64, 10),
    ]


def value_range(cell: int, slot: int, word: int) -> tuple[float, float]:
    """Least and greatest value of a cell's map: wide apart between cells, growing over the steps."""
    high = 0.02 + 0.9 * ((cell * 37 + word * 11) % 101) / 100
    return 0.01 * high, high * (0.4 + 0.6 * slot / max(1, slot + 3))


def bytes_of(grid: tuple[int, int], cell: int, slot: int) -> np.ndarray:
    """A cell's map as it is stored, uint8 ``[y, x]``: a bump, 255 at its top."""
    height, width = grid
    y, x = 0.15 + 0.7 * ((cell * 13) % 29) / 28, 0.15 + 0.7 * ((cell * 7 + slot) % 31) / 30
    down = ((np.arange(height) + 0.5) / height - y)[:, None]
    right = ((np.arange(width) + 0.5) / width - x)[None, :]
    bump = np.exp(-(down**2 + right**2) / 0.03)
    low, high = bump.min(), bump.max()
    return np.rint((bump - low) / (high - low or 1) * 255).astype(np.uint8)


def _file(
    folder: Path,
    content: dict[str, Any],
    sites: list[dict[str, Any]],
    stored: list[tuple[int, int]],
    slots: list[Any],
) -> None:
    numbers = list(range(len(slots)))
    maps, first = {}, 0
    about = []
    for site, size in zip(sites, stored, strict=True):
        heads = site["heads"]
        maps[f"maps/{site['index']}"] = np.stack(
            [[bytes_of(size, site["first"] + head, slot) for head in heads] for slot in numbers]
        )
        about.append(
            {
                "index": site["index"],
                "name": site["name"],
                "heads": heads,
                "grid": site["grid"],
                "stored": list(size),
                "first": first,
            }
        )
        first += len(heads)
    cells = [site["first"] + head for site in sites for head in site["heads"]]
    ends = np.array(
        [[value_range(cell, slot, content["word"]) for cell in cells] for slot in numbers], np.float32
    )
    tensors = {**maps, "min": ends[..., 0], "max": ends[..., 1], "mean": ends.mean(axis=-1)}
    metadata = {
        "content": content["id"],
        "label": content["label"],
        "unit": content["unit"],
        "signed": "false",
        "aggregation": "Made up.",
        "selection": f"word={content['label']}",
        "slots": json.dumps(slots),
        "sites": json.dumps(about),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "all.safetensors").write_bytes(
        save({key: np.ascontiguousarray(value) for key, value in tensors.items()}, metadata)
    )


def overview_side(sites: Sequence[MadeSite], slots: int) -> int | None:
    """The largest side that keeps an overview within its limit; None: as they are."""
    for side in (None, 32, 16, 8, 4):
        total = sum(
            site.heads * min(site.grid[0], side or 10**9) * min(site.grid[1], side or 10**9) for site in sites
        )
        if total * slots <= LIMIT:
            return side
    return 4


def write_site(folder: Path, made: Sequence[MadeSite], *, steps: int = 50, details: bool = True) -> str:
    """Write ``api/`` of a made-up run into a folder; the id of the run.

    Args:
        folder: where; the built page goes beside it.
        made: the attention sites.
        steps: how many.
        details: also the native maps of the mean and of some steps, where the overview is reduced.
    """
    grids = sorted({site.grid for site in made}, key=lambda grid: -grid[0] * grid[1])
    sites, first = [], 0
    columns: dict[str, int] = {}
    for index, site in enumerate(made):
        place = site.name.partition(":")[2]
        sites.append(
            {
                "index": index,
                "name": site.name,
                "kind": site.kind,
                "grid": list(site.grid),
                "heads": list(range(site.heads)),
                "stage": site.block.partition(".")[0],
                "block": site.block,
                "column": columns.setdefault(place, len(columns)),
                "depth": grids.index(site.grid),
                "first": first,
            }
        )
        first += site.heads
    slots: list[Any] = ["mean", *range(steps)]
    side = overview_side(made, len(slots))
    contents = [
        {
            "id": f"word-{word}",
            "family": "word",
            "word": word,
            "label": WORDS[word],
            "unit": "probability",
            "signed": False,
            "kinds": sorted({site.kind for site in made}),
            "cells": first,
            "available": True,
            "why": None,
            "overview": {
                "side": side or max(grids[0]),
                "native": side is None,
                "slots": len(slots),
                "bytes": 0,
            },
            "detail": {"bytes": 0},
        }
        for word in (1,)
    ]
    root = folder / "api" / "runs" / RUN
    reduced = [(min(site.grid[0], side or 10**9), min(site.grid[1], side or 10**9)) for site in made]
    for content in contents:
        at = root / "atlas" / content["id"]
        _file(at, content, sites, reduced, slots)
        if details and side is not None:
            for name, slot in [("mean", "mean"), *((f"{step:04d}", step) for step in (0, steps // 2))]:
                _detail(at / f"{name}.safetensors", content, sites, slot, slots.index(slot))
    _write(
        root / "atlas.json",
        {
            "run": RUN,
            "version": 1,
            "layout": "u",
            "grids": [list(grid) for grid in grids],
            "steps": list(range(steps)),
            "sites": sites,
            "cells": first,
            "words": [1],
            "contents": contents,
        },
    )
    mass = np.array(
        [[[sum(value_range(cell, slot, 1)) / 2 for cell in range(first)] for slot in range(len(slots))]],
        np.float32,
    )
    about = [
        {
            "index": site["index"],
            "name": site["name"],
            "heads": site["heads"],
            "grid": site["grid"],
            "stored": site["grid"],
            "first": site["first"],
        }
        for site in sites
    ]
    (root / "atlas" / "masses.safetensors").write_bytes(
        save({"mass": mass}, {"words": "[1]", "slots": json.dumps(slots), "sites": json.dumps(about)})
    )
    ranked = sorted(range(first), key=lambda cell: -((cell * 53) % 211))
    where = {site["first"] + head: (site["name"], head) for site in sites for head in site["heads"]}
    _write(
        root / "rankings.json",
        {
            "rankings": [
                {
                    "target": "horn",
                    "word": "horn",
                    "where": None,
                    "unit": "mean CIE76 delta-E inside the target",
                    "seeds": [0],
                    "heads": [
                        {
                            "rank": place + 1,
                            "rank_best": 1,
                            "rank_worst": first,
                            "site": where[cell][0],
                            "head": where[cell][1],
                            "effect": 9 - 8 * place / first,
                            "low": None,
                            "high": None,
                            "seeds": 1,
                            "state": "open",
                        }
                        for place, cell in enumerate(ranked)
                    ],
                }
            ]
        },
    )
    _about_the_run(folder, made, steps)
    return RUN


def _detail(path: Path, content: dict[str, Any], sites: list[dict[str, Any]], slot: Any, number: int) -> None:
    """The native maps of one slot."""
    about, maps, first = [], {}, 0
    for site in sites:
        grid = (site["grid"][0], site["grid"][1])
        maps[f"maps/{site['index']}"] = np.stack(
            [[bytes_of(grid, site["first"] + head, number) for head in site["heads"]]]
        )
        about.append(
            {
                "index": site["index"],
                "name": site["name"],
                "heads": site["heads"],
                "grid": site["grid"],
                "stored": site["grid"],
                "first": first,
            }
        )
        first += len(site["heads"])
    ends = np.array(
        [[value_range(site["first"] + head, number, 1) for site in sites for head in site["heads"]]],
        np.float32,
    )
    tensors = {**maps, "min": ends[..., 0], "max": ends[..., 1], "mean": ends.mean(axis=-1)}
    path.write_bytes(
        save(
            {key: np.ascontiguousarray(value) for key, value in tensors.items()},
            {
                "content": content["id"],
                "label": content["label"],
                "unit": content["unit"],
                "signed": "false",
                "slots": json.dumps([slot]),
                "sites": json.dumps(about),
            },
        )
    )


def _about_the_run(folder: Path, made: Sequence[MadeSite], steps: int) -> None:
    prompt = " ".join(WORDS)
    summary = {
        "id": RUN,
        "prompt": prompt,
        "negative_prompt": None,
        "created": "2026-01-01T00:00:00+00:00",
        "state": "complete",
        "problem": None,
        "bytes": 1,
        "model": "made up",
        "seed": 0,
        "steps": steps,
        "steps_recorded": steps,
        "guidance_scale": 7.5,
        "width": 512,
        "height": 512,
        "keep": "cross",
        "parent": None,
        "edits": [],
        "words": list(WORDS),
        "version": "0" * 16,
        "has_image": False,
    }
    whole = {
        **summary,
        "sampling": {"scheduler": "DDIMScheduler", "options": {}, "images_per_prompt": 1, "image_index": 0},
        "model_info": {},
        "software": {},
        "edits_json": [],
        "children": [],
        "timetable": [
            {
                "index": step,
                "timestep": 1000.0 - 20 * step,
                "sigma": None,
                "log_snr": None,
                "attended": True,
                "preview": False,
            }
            for step in range(steps)
        ],
        "sites": [
            {
                "index": index,
                "name": site.name,
                "kind": site.kind,
                "grid": list(site.grid),
                "heads": site.heads,
                "head_dim": 40,
                "kept": True,
                "kept_heads": list(range(site.heads)),
            }
            for index, site in enumerate(made)
        ],
        "kept": {
            "level": "cross",
            "dtype": "float16",
            "sites": None,
            "steps": None,
            "heads": None,
            "branch": "conditional",
        },
        "grid": list(made[0].grid),
        "self_grid": None,
        "can": {
            "words": False,
            "heads": True,
            "regions": False,
            "region_files": False,
            "concepts": False,
            "clean": False,
        },
    }
    words = [
        {
            "index": index,
            "label": word,
            "text": word,
            "tokens": [index + 1],
            "start": prompt.index(word),
            "end": prompt.index(word) + len(word),
            "kind": "content" if len(word) > 2 else "function",
        }
        for index, word in enumerate(WORDS)
    ]
    api = folder / "api"
    _write(
        api / "site.json",
        {
            "name": "diffuscope",
            "version": "0",
            "static": True,
            "read_only": True,
            "needs_token": False,
            "example": RUN,
            "heads": False,
            "atlas": True,
            "limits": None,
        },
    )
    _write(api / "runs" / "index.json", {"runs": [summary], "trash": []})
    _write(api / "runs" / RUN / "run.json", whole)
    _write(api / "runs" / RUN / "words.json", {"prompt": prompt, "cut": None, "tokens": [], "words": words})


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
