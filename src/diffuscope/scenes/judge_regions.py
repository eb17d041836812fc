"""The parts of a picture that are not the place: which pixels belong together, and which of them are one thing.

Each pixel is named after the nearest of the eight colours, the detail's brown and the backdrop behind it. What
survives a thin erosion is the core of an area of one name; the rest, among it the mixed pixels along every edge, is
handed to the area it touches. Then areas are joined to things: brown joins what it touches, since doors, trunks and
flower centres are brown; so does what is too small for a thing; and two large areas are one thing of uneven colour
where their union has a better shape than they have apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from diffuscope.scenes.judge_shapes import shape_of
from diffuscope.scenes.lab import Floats, dot, to_lab
from diffuscope.scenes.shapes import BROWN
from diffuscope.scenes.vocabulary import COLOURS

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]

PALETTE: tuple[str, ...] = (*COLOURS, "brown")
"""Names of the labels 1, 2, … of a pixel; 0 is the backdrop."""
DETAIL = len(PALETTE)
PALETTE_LAB = to_lab(np.array([*COLOURS.values(), BROWN]))

MIN_AREA = 100
"""Pixels below which a thing is a mere speck. The smallest that is drawn (a small moon or star) covers about 200."""
FRAGMENT = 150
"""Pixels below which an area that touches another is part of it."""
MIN_CORE = 6
NEAR = 4
"""Pixels over which a brown area is still joined to a thing."""


@dataclass(frozen=True)
class Region:
    """One thing's pixels, bool `[y, x]`: `mask` all of them, `core` those of its own colour away from edges, `detail`
    those of another colour (brown, or what stands for it)."""

    mask: Mask
    core: Mask
    detail: Mask


def find_regions(image: NDArray[np.uint8], backdrop: Floats) -> tuple[list[Region], int]:
    """Things of at least `MIN_AREA` pixels, largest first, and the number of specks that were left out.

    `image` is uint8 sRGB `[y, x, channel]`, `backdrop` float32 of the same axes and units.
    """
    smooth = np.asarray(Image.fromarray(image).filter(ImageFilter.BoxBlur(1)))
    names = _nearest(to_lab(smooth), to_lab(backdrop))
    core = _eroded(names)
    ids = components(np.where(core, names, 0))
    sizes = np.bincount(ids.ravel())
    ids[(sizes < MIN_CORE)[ids]] = 0
    of_label = np.zeros(len(sizes), np.int32)
    of_label[ids.ravel()] = names.ravel()
    ids = _grow(ids, names, of_label)
    parent = _join(ids, of_label)
    areas = np.bincount(ids.ravel(), minlength=len(parent))
    regions, specks = [], 0
    for root in sorted({int(parent[i]) for i in np.flatnonzero(areas) if i > 0}):
        members = [i for i in np.flatnonzero(parent == root) if i > 0 and areas[i]]
        mask = np.isin(ids, members)
        if np.count_nonzero(mask) < MIN_AREA:
            specks += 1
            continue
        # Its own colour is that of the largest area and of those that are not much smaller.
        tinted = [i for i in members if of_label[i] != DETAIL] or members
        largest = max(areas[i] for i in tinted)
        own = np.isin(ids, [i for i in tinted if areas[i] >= 0.3 * largest])
        regions.append(Region(mask, own & core, mask & ~own))
    regions.sort(key=lambda region: -np.count_nonzero(region.mask))
    return regions, specks


def _nearest(lab: Floats, behind: Floats) -> Labels:
    """Label of every pixel: 0 for the backdrop, else index in `PALETTE` plus 1."""
    # |a - b|^2 less |a|^2, which is the same for all labels of a pixel.
    colours = lab @ (-2 * PALETTE_LAB.T) + np.einsum("kc,kc->k", PALETTE_LAB, PALETTE_LAB)
    place = dot(behind - 2 * lab, behind)
    nearest = colours.argmin(axis=-1).astype(np.int32)
    return np.where(colours.min(axis=-1) < place, nearest + 1, 0).astype(np.int32)


def _eroded(names: Labels) -> Mask:
    """Pixels whose four neighbours bear the same label, backdrop excluded; the frame does not erode."""
    padded = np.pad(names, 1, mode="edge")
    inner = names > 0
    for ring in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        inner &= ring == names
    return inner


def components(labels: Labels) -> Labels:
    """Number the 4-connected areas of equal non-zero label 1, 2, …; 0 stays 0. `[y, x]` to `[y, x]`.

    Runs along rows are found at once; only their joints between rows go through union-find (Rosenfeld and Pfaltz 1966).
    """
    height, width = labels.shape
    starts = np.ones(labels.shape, bool)
    starts[:, 1:] = labels[:, 1:] != labels[:, :-1]
    runs = np.cumsum(starts.ravel()).reshape(height, width) - 1
    joined = (labels[1:] == labels[:-1]) & (labels[1:] > 0)
    pairs = np.unique(runs[:-1][joined].astype(np.int64) * (runs[-1, -1] + 1) + runs[1:][joined])
    parent = list(range(int(runs[-1, -1]) + 1))
    for pair in pairs.tolist():
        a, b = divmod(pair, len(parent))
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        parent[max(a, b)] = min(a, b)
    # A parent's number is never above its child's: one pass in order flattens the forest.
    for index, above in enumerate(parent):
        parent[index] = parent[above]
    solid = labels > 0
    _, numbered = np.unique(np.array(parent)[runs[solid]], return_inverse=True)
    out = np.zeros(labels.shape, np.int32)
    out[solid] = numbered + 1
    return out


_SIDES = (
    ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
    ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
)


def _grow(ids: Labels, names: Labels, of_label: Labels) -> Labels:
    """Hand the pixels that no core claims to the area beside them, those of the area's own label first."""
    ids = ids.copy()
    for own_label in (True, True, False, False, False):
        free = (ids == 0) & (names > 0)
        fresh = ids.copy()
        for here, there in _SIDES:
            take = free[here] & (fresh[here] == 0) & (ids[there] > 0)
            if own_label:
                take &= of_label[ids[there]] == names[here]
            fresh[here][take] = ids[there][take]
        ids = fresh
    return ids


def _join(ids: Labels, of_label: Labels) -> NDArray[np.intp]:
    """The thing that each area belongs to, `[area id]`, named by one of its areas."""
    count = len(of_label)
    areas = np.bincount(ids.ravel(), minlength=count)
    contact = np.zeros((count, count), np.int64)
    for here, there in _SIDES[::2]:
        a, b = ids[here], ids[there]
        differ = a != b
        np.add.at(contact, (a[differ], b[differ]), 1)
    contact += contact.T
    contact[:, 0] = contact[0] = 0
    parent = np.arange(count)

    def join(one: int, other: int) -> None:
        """Make `one` part of `other`: their areas and contacts add up."""
        parent[parent == one] = other
        areas[other] += areas[one]
        contact[other] += contact[one]
        contact[:, other] += contact[:, one]
        contact[one] = contact[:, one] = 0
        contact[other, other] = 0

    # Small ones first, so that shreds join each other and then the thing they lie on.
    for one in sorted((int(i) for i in np.flatnonzero(areas) if i > 0), key=lambda i: int(areas[i])):
        other = int(contact[one].argmax())
        if contact[one, other] == 0 and of_label[one] == DETAIL:
            other = _nearest_area(ids, one, parent)
        if other and (areas[one] < FRAGMENT or of_label[one] == DETAIL):
            join(one, other)
    for group in _groups(contact):
        if len(group) > 2 and _one_thing([parent[ids] == one for one in group]):
            for one in group[1:]:
                join(one, group[0])
    while contact.any():
        one, other = (int(i) for i in np.unravel_index(int(contact.argmax()), contact.shape))
        if _one_thing([parent[ids] == one, parent[ids] == other]):
            join(one, other)
        else:
            contact[one, other] = contact[other, one] = 0
    return parent


def _one_thing(parts: list[Mask]) -> bool:
    """Whether touching parts have a better shape together than apart (mean over their pixels)."""
    apart = np.average([shape_of(part).explained for part in parts], weights=[part.sum() for part in parts])
    return bool(shape_of(np.any(parts, axis=0)).explained > apart)


def _groups(contact: NDArray[np.int64]) -> list[list[int]]:
    """Sets of areas that touch, directly or through others."""
    groups, left = [], {int(i) for i in np.flatnonzero(contact.any(axis=0))}
    while left:
        group, fresh = [], [left.pop()]
        while fresh:
            one = fresh.pop()
            group.append(one)
            fresh += [i for i in np.flatnonzero(contact[one]).tolist() if i in left]
            left -= set(fresh)
        groups.append(group)
    return groups


def _nearest_area(ids: Labels, one: int, parent: NDArray[np.intp]) -> int:
    """The thing with most pixels within `NEAR` pixels of area `one`'s box; 0 if there is none."""
    rows, columns = np.nonzero(ids == one)
    window = ids[
        max(int(rows.min()) - NEAR, 0) : int(rows.max()) + NEAR + 1,
        max(int(columns.min()) - NEAR, 0) : int(columns.max()) + NEAR + 1,
    ]
    counts = np.bincount(parent[window].ravel(), minlength=2)
    counts[[0, parent[one]]] = 0
    return int(counts.argmax()) if counts.any() else 0
