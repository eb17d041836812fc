"""From cells that vote to things: which cells belong together, and what they say together.

Cells of one thing vote for one centre and one size, though parts of it may be hidden and other things stand in front.
So things are clumps of votes, found one after the other, the densest first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.scenes.judge_network import CELL, Evidence, Floats

Mask = NDArray[np.bool_]

NEAR, NEAR_FLOOR = 0.3, 3.0
"""Votes for one thing lie within this share of its radius, and this many pixels, of each other..."""
ALIKE = 0.35
"""...and within this of each other in the logarithm of the radius."""
AGREE = 0.2
"""Probability that two cells are of one noun, from which on their votes count as one thing's."""
FRAGMENT = 0.3
"""Share of the cells of a thing below which a clump that votes for about the same is a part of it, misread."""
FILLED = 0.09
"""Share of its unit box that a thing's cells fill at least. Where things touch, cells between them vote for a middle of
both: a clump that is too small for what it votes for, and part of what it touches."""
LEAST_CELLS = 4.0
"""Cells (of 4 x 4 pixels) below which a clump is a speck, and no thing."""


@dataclass(frozen=True)
class Clump:
    """Cells of one thing and their common answer. `cells` bool `[row, column]`; `mass` the number of cells, each as far
    as it is no backdrop; `x`, `y`, `radius` in pixels; probabilities `noun` (the nouns, then no noun), `paint`,
    `pattern` `[class]`; `mask` bool and `cover` float32 `[y, x]` (share of each pixel); `parts` bool `[detail, y, x]`.
    """

    cells: Mask
    mass: float
    x: float
    y: float
    radius: float
    noun: Floats
    paint: Floats
    pattern: Floats
    mask: Mask
    cover: Floats
    parts: Mask


def find_things(evidence: Evidence) -> tuple[list[Clump], int]:
    """The things that the cells vote for, largest first, and how many specks were left out."""
    backdrop = evidence.noun[..., 0]
    shown = backdrop < 0.5
    groups = _grown_together(evidence, _groups(evidence, shown))
    owners = np.zeros(shown.shape, np.int32)
    specks, number = 0, 0
    mass = 1 - backdrop
    for cells in sorted(groups, key=lambda one: -float(mass[one].sum())):
        if mass[cells].sum() < LEAST_CELLS:
            specks += 1
            continue
        number += 1
        owners[cells] = number
    masks = _masks(evidence, owners, number)
    clumps = [_asked(evidence, owners == one + 1, masks[one]) for one in range(number)]
    return sorted(clumps, key=lambda clump: -clump.mass), specks


def _close(
    x: Floats,
    y: Floats,
    size: Floats,
    other_x: Floats,
    other_y: Floats,
    other_size: Floats,
    factor: float = 1.0,
) -> Mask:
    """Whether votes (pixels; `size` the logarithm of the radius) may be for one thing."""
    reach = factor * (NEAR * np.exp(np.minimum(size, other_size)) + NEAR_FLOOR)
    away = (x - other_x) ** 2 + (y - other_y) ** 2
    return np.asarray((away < reach * reach) & (np.abs(size - other_size) < factor * ALIKE))


def _groups(evidence: Evidence, shown: Mask) -> list[Mask]:
    """Cells `[row, column]` of each clump of votes of one noun, in the order in which they are found."""
    rows, columns = np.nonzero(shown)
    noun = evidence.noun[rows, columns, 1:]
    mass = noun.sum(axis=1)
    noun = noun / mass[:, None]
    x, y = evidence.x[rows, columns], evidence.y[rows, columns]
    size = np.log(evidence.radius[rows, columns])
    close = _close(x[:, None], y[:, None], size[:, None], x, y, size)
    density = (close * (noun @ noun.T)) @ mass
    free = np.ones(len(rows), bool)
    groups = []
    while free.any():
        seed = int(np.argmax(np.where(free, density, -1)))
        members = free & close[seed] & (noun @ noun[seed] > AGREE)
        for _ in range(3):
            weight = mass[members]
            if not members.any():
                break
            at_x, at_y, at_size = (votes[members] @ weight / weight.sum() for votes in (x, y, size))
            mean = weight @ noun[members] / weight.sum()
            members = (
                free
                & _close(x, y, size, at_x, at_y, at_size, factor=1.3)
                & (noun @ mean > AGREE * mean.max())
            )
        if not members.any():
            members = np.arange(len(free)) == seed
        free &= ~members
        cells = np.zeros(shown.shape, bool)
        cells[rows[members], columns[members]] = True
        groups.append(cells)
    return groups


def _grown_together(evidence: Evidence, groups: list[Mask]) -> list[Mask]:
    """The groups, where those that are of one thing are one.

    Two groups of any nouns that vote for the same centre and size are one thing: half cat, half dog. A small group
    beside a large one is a misread part of it where it votes for about the same; what is too small for a thing always
    is.
    """
    mass = 1 - evidence.noun[..., 0]

    def middle(cells: Mask) -> tuple[float, float, float]:
        share = mass[cells] / mass[cells].sum()
        return (
            float(evidence.x[cells] @ share),
            float(evidence.y[cells] @ share),
            float(np.log(evidence.radius[cells]) @ share),
        )

    kept: list[Mask] = []
    for cells in sorted(groups, key=lambda one: -float(mass[one].sum())):
        x, y, size = middle(cells)
        own = float(mass[cells].sum())
        around = _swollen(cells)
        home, best = None, 0.0
        for number, other in enumerate(kept):
            other_x, other_y, other_size = middle(other)
            whole = float(mass[other].sum())
            away = float(np.hypot(x - other_x, y - other_y)) / float(np.exp(max(size, other_size)))
            same = away < 0.2 and abs(size - other_size) < 0.2
            fragment = own < FRAGMENT * whole and away < 0.5 and abs(size - other_size) < 0.6
            touches = float((around & other).sum())
            thin = own * CELL * CELL < FILLED * (2 * float(np.exp(size))) ** 2
            speck = (thin or own < LEAST_CELLS) and touches > 0
            worth = 3.0 * same + 2.0 * (fragment and touches > 0) + speck * (1 + touches / 100)
            if worth > best:
                home, best = number, worth
        if home is None:
            kept.append(cells)
        else:
            kept[home] = kept[home] | cells
    return kept


def _swollen(cells: Mask) -> Mask:
    """The cells and those around them."""
    padded = np.pad(cells, 1)
    rows, columns = cells.shape
    return np.asarray(
        np.any([padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0)
    )


def _enlarged(values: Floats) -> Floats:
    """Cells `[row, column]` as pixels `[y, x]`, smoothly."""
    rows, columns = values.shape
    small = Image.fromarray(values.astype(np.float32))
    return np.asarray(small.resize((columns * CELL, rows * CELL), Image.Resampling.BILINEAR), np.float32)


def _masks(evidence: Evidence, owners: NDArray[np.int32], number: int) -> list[tuple[Mask, Floats]]:
    """Mask and cover of each of `number` things: every pixel that shows a thing goes to the nearest one's cells."""
    if not number:
        return []
    near = np.stack([_enlarged((owners == one + 1).astype(np.float32)) for one in range(number)])
    winner = near.argmax(axis=0)
    any_near = near.max(axis=0) > 0.05
    masks = []
    for one in range(number):
        cover = np.where((winner == one) & any_near, evidence.cover, 0).astype(np.float32)
        masks.append((cover >= 0.5, cover))
    return masks


def _asked(evidence: Evidence, cells: Mask, shape: tuple[Mask, Floats]) -> Clump:
    """What the cells of one thing say together. Cells at its rim, which show other things too, count less."""
    own = 1 - evidence.noun[..., 0]
    inside = cells & ~_swollen(~cells)
    weight = np.where(inside, 1.0, 0.35)[cells] * own[cells]
    weight = (weight / weight.sum()).astype(np.float32)
    noun = weight @ evidence.noun[cells][:, 1:]
    mask, cover = shape
    parts = np.stack(
        [
            mask & (_enlarged(np.where(cells, evidence.detail[..., one], 0)) >= 0.5)
            for one in range(evidence.detail.shape[-1])
        ]
    )
    return Clump(
        cells=cells,
        mass=float(own[cells].sum()),
        x=float(weight @ evidence.x[cells]),
        y=float(weight @ evidence.y[cells]),
        radius=float(np.exp(weight @ np.log(evidence.radius[cells]))),
        noun=noun / noun.sum(),
        paint=weight @ evidence.paint[cells],
        pattern=weight @ evidence.pattern[cells],
        mask=mask,
        cover=cover,
        parts=parts,
    )
