"""Activation patching: how far one run goes to another when a part of the other's activations is put into it.

(Causal tracing; Meng et al. 2022, section 2. Path of a feature by patching heads: Wang et al. 2022, section 3.)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.scenes.lab import to_lab

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PatchingGrid:
    """What each part carries from a donor into a run.

    Attributes:
        run, donor: their prompts.
        rows: what was patched: sites, or (site, head) as ``site head 3``; `columns`: in which steps.
        carried: ``[row, column]``, mean over pairs of runs: 0 the picture stays, 1 it becomes the donor's.
        low, high: of its bootstrap 95% interval; NaN of one pair.
        control: ``[row, column]``, the same with a random change of equal norm in place of the donor's; empty where
            none was drawn.
        whole: carried when all of it is patched at all steps.
        seeds: of the pairs.
    """

    run: str
    donor: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    carried: tuple[tuple[float, ...], ...]
    low: tuple[tuple[float, ...], ...]
    high: tuple[tuple[float, ...], ...]
    control: tuple[tuple[float, ...], ...]
    whole: float
    seeds: tuple[int, ...]

    def ranked(self) -> list[tuple[float, str, str]]:
        """``(carried, row, column)`` of every cell, the largest first."""
        cells = [
            (value, row, column)
            for row, values in zip(self.rows, self.carried, strict=True)
            for column, value in zip(self.columns, values, strict=True)
        ]
        return sorted(cells, reverse=True)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def carried(
    patched: Image.Image, run: Image.Image, donor: Image.Image, mask: NDArray[np.bool_] | None = None
) -> float:
    """How far a picture has gone from the run's to the donor's: its difference to the run's projected on the donor's
    difference to the run's, in CIELAB, over pixels of a mask. 0 at the run, 1 at the donor; 0 where the two are one."""
    here, there, end = (_lab(each) for each in (run, patched, donor))
    way, gone = end - here, there - here
    if mask is not None:
        way, gone = way[mask], gone[mask]
    length = float((way * way).sum())
    return float((way * gone).sum() / length) if length else 0.0


def where_apart(run: Image.Image, donor: Image.Image, least: float = 10.0) -> NDArray[np.bool_]:
    """Pixels ``[y, x]`` at which two pictures differ by more than `least` delta-E."""
    return np.asarray(np.sqrt(((_lab(run) - _lab(donor)) ** 2).sum(axis=-1)) > least)


def _lab(image: Image.Image) -> Floats:
    return np.asarray(to_lab(np.asarray(image.convert("RGB"))), np.float64)
