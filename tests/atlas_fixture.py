"""Writes `fixtures/atlas_patches.json`, which holds the page's masks, head sets and strips to the engine's:
``python tests/atlas_fixture.py``.

Every cover is what `engine.apply.places.cover` gives an edit at a site of that grid. The page's own tests
(`ui/src/views/atlas`) compare theirs with it patch by patch; `test_atlas_patches.py` says whether it is current.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffuscope.analysis.atlas import Cells
from diffuscope.analysis.atlas.cells import CellSite
from diffuscope.edits import (
    Edit,
    Encode,
    Inject,
    Patch,
    PatchChoice,
    Reweight,
    Scale,
    Silence,
    Steer,
    at_strength,
)
from diffuscope.engine.apply.places import cover
from diffuscope.errors import RegionError

FIXTURE = Path(__file__).parent / "fixtures" / "atlas_patches.json"
SQUARE, TALL = (128, 128), (192, 128)


def grid_of(text: str) -> tuple[int, int]:
    """``16x8`` in numbers."""
    height, width = text.split("x")
    return int(height), int(width)


def runs_of(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed run lengths, counted one cell after another."""
    counts, inside = [0], False
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if bool(mask[row, column]) != inside:
                counts.append(0)
                inside = not inside
            counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def stroke(size: tuple[int, int], seed: int) -> np.ndarray:
    """A brush stroke: round dabs along a line."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[: size[0], : size[1]] + 0.5
    (y0, y1), (x0, x1) = rng.uniform(0.1, 0.9, (2, 2)) * np.array([[size[0]], [size[1]]])
    mask = np.zeros(size, bool)
    for part in np.linspace(0, 1, 12):
        y, x = y0 + part * (y1 - y0), x0 + part * (x1 - x0)
        mask |= (yy - y) ** 2 + (xx - x) ** 2 <= (0.08 * max(size)) ** 2
    return mask


def given() -> list[tuple[str, tuple[int, int], dict[str, Any], list[str]]]:
    """Name, picture, patches and grids of each case."""
    soft = PatchChoice.mask(np.outer(np.arange(8), np.arange(8) + 1), grid=(8, 8))
    checker = np.indices((8, 8)).sum(axis=0) % 2
    fine = {"rle": runs_of(stroke((64, 64), 5)), "grid": [64, 64]}
    nested, tall, odd = ["16x16", "8x8", "4x4"], ["24x16", "12x8", "6x4"], ["7x5", "16x16", "3x10"]
    return [
        ("box of the picture", SQUARE, {"region": "box:10,20,60,90"}, nested),
        ("box of the picture, odd grids", SQUARE, {"region": "box:10,20,60,90"}, odd),
        ("box of a tall picture", TALL, {"region": "box:0,100,127,191"}, tall),
        ("box of a grid", SQUARE, {"region": "box:3,4,7,9", "grid": [16, 16]}, [*nested, "32x32"]),
        ("one patch of a coarse grid", SQUARE, {"region": "pixel:1,2", "grid": [4, 4]}, [*nested, "64x64"]),
        ("patches one by one", SQUARE, {"region": "pixels:0,0;3,1;7,7", "grid": [8, 8]}, [*nested, "7x5"]),
        (
            "a range in reading order",
            SQUARE,
            {"region": "range:6,1;2,4", "grid": [8, 8]},
            [*nested, "7x5"],
        ),
        (
            "a stroke on a grid",
            SQUARE,
            {"rle": runs_of(stroke((16, 16), 1)), "grid": [16, 16]},
            [*nested, "32x32"],
        ),
        (
            "a stroke on a coarse grid",
            SQUARE,
            {"rle": runs_of(stroke((8, 8), 2)), "grid": [8, 8]},
            [*nested, "7x5"],
        ),
        ("a stroke on the picture", SQUARE, {"rle": runs_of(stroke(SQUARE, 3))}, [*nested, "7x5"]),
        ("a stroke on a tall picture", TALL, {"rle": runs_of(stroke(TALL, 4))}, tall),
        (
            "a stroke on a fine grid",
            (512, 512),
            fine,
            [*nested, "32x32"],
        ),
        ("a chequered mask", SQUARE, {"rle": runs_of(checker), "grid": [8, 8]}, [*nested, "7x5", "11x3"]),
        ("all of it", SQUARE, {"rle": {"size": [8, 8], "counts": [0, 64]}, "grid": [8, 8]}, nested),
        ("weights between", SQUARE, soft.to_json(), nested),
        ("a lasso", SQUARE, {"region": "contour:10,10;100.5,20;60.25,110"}, [*nested, "7x5"]),
        (
            "a lasso with a hole, and another",
            SQUARE,
            {"region": "contour:4,4;60,4;60,60;4,60/20,20;20,40;40,40;40,20|80,80;120,80;100,120"},
            nested,
        ),
        ("a lasso on a grid", SQUARE, {"region": "contour:1,1;7.5,2;3.25,6.125", "grid": [8, 8]}, nested),
    ]


def contents() -> dict[str, Any]:
    """Everything that the fixture holds."""
    like = torch.zeros((), dtype=torch.float64)
    cases = []
    for name, size, patches, grids in given():
        chosen = PatchChoice.of_json(patches)
        covers = []
        for text in grids:
            grid = grid_of(text)
            covers.append({"grid": list(grid), "cover": cover(chosen, size, grid, like).tolist()})
        cases.append(
            {
                "name": name,
                "size": list(size),
                "patches": patches,
                "normal": chosen.to_json(),
                "says": chosen.describe(),
                "grids": covers,
            }
        )
    return {"cases": cases, "errors": _errors(like), "aims": _aims(), "strengths": _strengths()}


def _errors(like: torch.Tensor) -> list[dict[str, Any]]:
    found = []
    for name, size, patches, text in (
        ("nothing painted", SQUARE, {"rle": {"size": [8, 8], "counts": [64]}, "grid": [8, 8]}, "8x8"),
        ("counts that do not fill the size", SQUARE, {"rle": {"size": [8, 8], "counts": [5, 5]}}, "8x8"),
        (
            "painted on another grid",
            SQUARE,
            {"rle": {"size": [8, 8], "counts": [0, 64]}, "grid": [4, 4]},
            "8x8",
        ),
        ("a box outside", SQUARE, {"region": "box:0,0,16,3", "grid": [16, 16]}, "16x16"),
        ("a picture's mask of another size", SQUARE, {"rle": {"size": [8, 8], "counts": [0, 64]}}, "8x8"),
    ):
        grid = grid_of(text)
        try:
            cover(PatchChoice.of_json(patches), size, grid, like)
        except RegionError as error:
            line = {"name": name, "size": list(size), "patches": patches, "grid": list(grid)}
            found.append({**line, "message": str(error)})
        else:
            raise AssertionError(f"{name} is no error")
    return found


def _aims() -> dict[str, Any]:
    """Sets of heads and the (sites, heads) pairs that they become."""
    sites, first = [], 0
    for column, (name, heads) in enumerate(
        (("cross:down.0.0", 4), ("cross:mid", 8), ("cross:up.0.0", 8), ("cross:up.0.1", 4), ("self:mid", 8))
    ):
        kept = tuple(range(heads))
        sites.append(
            CellSite(column, name, name[:5].rstrip(":"), (8, 8), kept, heads, "mid", name, column, 0, first)
        )
        first += heads
    cells = Cells(tuple(sites), "u", ((8, 8),))
    found = []
    for chosen in (
        [("cross:mid", 3)],
        [("cross:mid", 3), ("cross:mid", 0), ("cross:up.0.0", 0), ("cross:up.0.0", 3)],
        [("cross:mid", head) for head in range(8)] + [("cross:down.0.0", head) for head in range(4)],
        [("cross:up.0.1", head) for head in (0, 1, 2)]
        + [("cross:up.0.0", 5), ("cross:up.0.0", 7), ("cross:up.0.0", 6)],
        [("self:mid", 1), ("cross:down.0.0", 1), ("cross:mid", 2)],
        list(cells),
    ):
        aims = [{"sites": names, "heads": heads} for names, heads in cells.aims(chosen)]
        found.append({"heads": [list(each) for each in chosen], "aims": aims})
    return [
        {"sites": [{"name": site.name, "heads": list(site.heads), "total": site.total} for site in sites]},
        *found,
    ]


def _strengths() -> list[dict[str, Any]]:
    edits: list[Edit] = [
        Scale(0.0, sites="cross:mid", heads="3"),
        Scale(-2.0),
        Encode("unicorn", 0.8),
        Patch("donor"),
        Inject("donor", "self"),
        Reweight("circle", 3.0),
        Silence("circle", steps="0:3"),
        Steer("blue", word="circle"),
    ]
    return [
        {"edit": edit.to_json(), "strength": share, "made": at_strength(edit, share).to_json()}
        for edit in edits
        for share in (0.0, 0.25, 1.0, 1.5)
    ]


if __name__ == "__main__":
    FIXTURE.write_text(json.dumps(contents(), ensure_ascii=False) + "\n", encoding="utf-8")
    print(FIXTURE)
