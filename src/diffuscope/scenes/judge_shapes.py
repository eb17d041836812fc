"""Which noun a region shows: every shape's template laid over it, the squared error decides.

Over a backdrop g, a thing of colour c with a detail of colour b is drawn as g + B(c - g) + T(b - g), where B and T
are the visible shares of body and detail (`renderer.render`). With d = picture - g, u = c - g, v = b - g, the error
  sum |d - Bu - Tv|^2 = sum d.d - 2 sum (B d.u + T d.v) + sum (B^2 u.u + T^2 v.v + 2BT u.v)
is linear in five maps of the picture, so a bank of templates is one matrix product. The error of the outline alone,
sum (a - B - T)^2 with a the share of each pixel that the region covers, has the same form (d.u and d.v become a, the
rest 1) and counts as much: it does not suffer when a decoder has lost a detail or shifted a colour. The best few
nouns are then fitted on the pixels themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import log

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from diffuscope.scenes.lab import Floats, dot
from diffuscope.scenes.shapes import SHAPES
from diffuscope.scenes.vocabulary import SIZES

REACH = 3.2
"""Half width of a stored template in units of a thing's radius; wide enough for every window laid over it."""
SCALE = 48
"""Template pixels per unit, more than any thing's radius in pixels; outlines are filled four times as finely."""
FINER = 4
GRID = 20
FRAME = 1.2
"""Half width of the coarse window in units of the square root of a thing's area."""
SHIFTS = (-0.09, 0.0, 0.09)
SCALES = (0.9, 1.0, 1.1)
FADES = (1.0, 0.3)
"""How strongly a detail may show: a decoder often leaves a dark stain where a small brown detail was."""
WEAR = 0.13
"""How far, in units of the radius, corners may be worn down: a decoder rounds the points of a star."""
POINTED = ("star", "cross", "moon", "heart", "tree")
"""Nouns that wear changes much, and to nothing that another noun looks like (a worn flower is nearly a circle)."""
RADII = (min(low for low, _ in SIZES.values()) - 1, max(high for _, high in SIZES.values()) + 2)
ODD_SIZE = 0.25
"""What a fit loses for each factor e by which its radius lies outside `RADII`: nothing is drawn so small or large,
and the core of a blurred star is more likely a star than a tiny house."""
CLOSE = 0.08
"""Nouns whose coarse fit is within this share of the best are fitted finely."""


@dataclass(frozen=True)
class Template:
    """A shape at high resolution: visible `body` and `detail` as float images, its area and centroid in units."""

    body: Image.Image
    detail: Image.Image | None
    area: float
    x: float
    y: float


@dataclass(frozen=True)
class Fit:
    """A noun laid over a region: centre and radius in pixels; `explained` is the share, up to 1, of the region's
    squared difference from the backdrop, and of its covered pixels, that the drawing accounts for (their mean, less
    `ODD_SIZE`).
    `fade` is how strongly the detail shows, of `FADES`; `wear` how far corners are worn, 0 or `WEAR`."""

    noun: str
    x: float
    y: float
    radius: float
    explained: float
    fade: float = 1.0
    wear: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """The five maps of a window, float32 `[map, y, x]`: d.u, u.u, d.v, v.v, u.v, scaled so that errors are shares; and
    where the window's first pixel lies in the picture."""

    maps: Floats
    left: int
    top: int


@lru_cache(maxsize=1)
def templates() -> dict[tuple[str, float], Template]:
    """Every noun's template by noun and wear, painted in the order of the renderer's layers."""
    fine = SCALE * FINER
    side = round(2 * REACH * fine)
    done = {}
    for noun, layers in SHAPES.items():
        body, detail = Image.new("L", (side, side)), Image.new("L", (side, side))
        behind = [layer for layer in layers if layer.name == "trunk"]
        for layer in [*behind, *(layer for layer in layers if layer not in behind)]:
            points = [
                ((float(x) + REACH) * fine - 0.5, (float(y) + REACH) * fine - 0.5) for x, y in layer.outline
            ]
            ImageDraw.Draw(body).polygon(points, fill=255 if layer.kind == "body" else 0)
            ImageDraw.Draw(detail).polygon(points, fill=255 if layer.kind == "detail" else 0)
        shares = [np.asarray(image.reduce(FINER), np.float32) / np.float32(255) for image in (body, detail)]
        for wear in (0.0, WEAR) if noun in POINTED else (0.0,):
            done[noun, wear] = _template(_worn(shares[0] + shares[1], wear), shares[1])
    return done


def _worn(whole: Floats, wear: float) -> Floats:
    """The outline with its corners rounded: blurred, then cut again where half is covered."""
    if wear == 0:
        return whole
    blurred = Image.fromarray((whole * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(wear * SCALE))
    return np.clip((np.asarray(blurred, np.float32) / 255 - 0.5) * 8 + 0.5, 0, 1).astype(np.float32)


def _template(whole: Floats, detail: Floats) -> Template:
    """Outline and detail, both shares `[y, x]`, as a template."""
    area = float(whole.sum())
    centres = (np.arange(whole.shape[0]) + 0.5) / SCALE - REACH
    return Template(
        body=Image.fromarray(np.maximum(whole - detail, 0)),
        detail=Image.fromarray(detail) if detail.any() else None,
        area=area / SCALE**2,
        x=float(whole.sum(axis=0) @ centres) / area,
        y=float(whole.sum(axis=1) @ centres) / area,
    )


def _cut(image: Image.Image, box: tuple[float, float, float, float], size: tuple[int, int]) -> Floats:
    """The part `box` (left, top, right, bottom in units) of a template, averaged onto `size` (width, height) pixels."""
    left, top, right, bottom = (min(max((edge + REACH) * SCALE, 0.0), image.width) for edge in box)
    return np.asarray(image.resize(size, Image.Resampling.BOX, box=(left, top, right, bottom)), np.float32)


Pose = tuple[str, float, float, float, float, float]


@dataclass(frozen=True)
class Bank:
    """Coarse templates: `rows` `[template, maps x grid x grid]`, whose product with a window's maps is the error, and
    each one's noun, wear, fade, shift x, shift y and scale, relative to a region's centroid and root of its area."""

    rows: Floats
    poses: list[Pose]


@lru_cache(maxsize=1)
def _banks() -> tuple[Bank, Bank]:
    """Templates without a detail, which need the maps d.u and u.u only, and those with one, which need all five."""
    banks: list[tuple[list[Floats], list[Pose]]] = [([], []), ([], [])]
    for (noun, wear), template in templates().items():
        root = template.area**0.5
        for scale, dx, dy in product(SCALES, SHIFTS, SHIFTS):
            x, y = template.x - dx * root / scale, template.y - dy * root / scale
            half = FRAME * root / scale
            box = (x - half, y - half, x + half, y + half)
            body = _cut(template.body, box, (GRID, GRID)).ravel()
            if template.detail is None:
                banks[0][0].append(np.concatenate([-2 * body, body * body]))
                banks[0][1].append((noun, wear, 1.0, dx, dy, scale))
                continue
            detail = _cut(template.detail, box, (GRID, GRID)).ravel()
            for fade in FADES:
                b, t = body + (1 - fade) * detail, fade * detail
                banks[1][0].append(np.concatenate([-2 * b, b * b, -2 * t, t * t, 2 * b * t]))
                banks[1][1].append((noun, wear, fade, dx, dy, scale))
    plain, detailed = (Bank(np.stack(rows), poses) for rows, poses in banks)
    return plain, detailed


def gather(
    difference: Floats, own: Floats, other: Floats, cover: Floats, weight: Floats, left: int, top: int
) -> Evidence:
    """The window's evidence. `difference` (d), `own` (u) and `other` (v) are float32 `[y, x, channel]` in sRGB units;
    `cover` (a) and `weight` are `[y, x]`; the weight is 0 where the pixel belongs to something else."""
    along = 0.5 / max(float((dot(difference, difference) * weight).sum()), 1.0)
    outline = 0.5 / max(float((cover * cover * weight).sum()), 1.0)
    # Each map of the colours, and what the outline adds to it.
    seen, all_of_it = cover * weight * outline, weight * outline
    pairs = (
        (difference, own, seen),
        (own, own, all_of_it),
        (difference, other, seen),
        (other, other, all_of_it),
    )
    maps = [dot(a, b) * weight * along + rest for a, b, rest in (*pairs, (own, other, all_of_it))]
    return Evidence(np.stack(maps), left, top)


def shape_of(mask: NDArray[np.bool_]) -> Fit:
    """The noun whose outline comes closest to `mask` `[y, x]`, coarsely; `explained` is about the outline alone."""
    rows, columns = np.nonzero(mask)
    left, top = int(columns.min()), int(rows.min())
    window = mask[top : int(rows.max()) + 1, left : int(columns.max()) + 1]
    # Around the box there is nothing of the region, but a template that reaches out there errs.
    margin = int(0.5 * len(rows) ** 0.5) + 2
    cover = np.pad(window, margin).astype(np.float32) / len(rows)
    ones = np.full_like(cover, 1 / len(rows))
    evidence = Evidence(np.stack([cover, ones, cover, ones, ones]), left - margin, top - margin)
    return _coarse(evidence, float(columns.mean()) + 0.5, float(rows.mean()) + 0.5, float(len(rows)))[0]


def match(evidence: Evidence, x: float, y: float, area: float) -> list[Fit]:
    """Fits of all nouns, best first, to the region with this centroid (pixels, in the picture) and area (pixels)."""
    fits = _coarse(evidence, x, y, area)
    fine = [_refine(evidence, fit) for fit in fits if fit.explained > fits[0].explained - CLOSE]
    return sorted(fine, key=lambda fit: -fit.explained) + fits[len(fine) :]


def _coarse(evidence: Evidence, x: float, y: float, area: float) -> list[Fit]:
    """The best pose in the bank for every noun, best first."""
    root = area**0.5
    half = FRAME * root
    features = _resample(evidence, x - evidence.left - half, y - evidence.top - half, 2 * half)
    best: dict[str, Fit] = {}
    for bank in _banks():
        errors = bank.rows @ features[: bank.rows.shape[1]]
        for error, (noun, wear, fade, dx, dy, scale) in zip(errors.tolist(), bank.poses, strict=True):
            template = templates()[noun, wear]
            radius = scale * root / template.area**0.5
            explained = -error - _oddness(radius)
            if noun not in best or explained > best[noun].explained:
                centre = (x + dx * root - template.x * radius, y + dy * root - template.y * radius)
                best[noun] = Fit(noun, *centre, radius, explained, fade, wear)
    return sorted(best.values(), key=lambda fit: -fit.explained)


def _oddness(radius: float) -> float:
    """What a fit of this radius loses (see `ODD_SIZE`)."""
    return ODD_SIZE * max(0.0, log(RADII[0] / radius), log(radius / RADII[1]))


def _resample(evidence: Evidence, left: float, top: float, side: float) -> Floats:
    """The maps on the coarse grid, flattened; each cell the sum over the pixels that it stands for."""
    _, height, width = evidence.maps.shape
    pad = int(max(0.0, -left, -top, left + side - width, top + side - height)) + 2
    box = (left + pad, top + pad, left + side + pad, top + side + pad)
    flat = []
    for values in np.pad(evidence.maps, ((0, 0), (pad, pad), (pad, pad))):
        small = Image.fromarray(values).resize((GRID, GRID), Image.Resampling.BILINEAR, box=box)
        flat.append(np.asarray(small, np.float32).ravel())
    return np.concatenate(flat) * np.float32((side / GRID) ** 2)


def _explained(evidence: Evidence, fit: Fit) -> float:
    """Share of what the window shows that the noun at this pose accounts for (see `Fit`)."""
    du, uu, dv, vv, uv = evidence.maps
    height, width = du.shape
    left, top = (evidence.left - fit.x) / fit.radius, (evidence.top - fit.y) / fit.radius
    box = (left, top, left + width / fit.radius, top + height / fit.radius)
    template = templates()[fit.noun, fit.wear]
    body = _cut(template.body, box, (width, height))
    error = 0.0
    if template.detail is not None:
        detail = _cut(template.detail, box, (width, height))
        body, detail = body + (1 - fit.fade) * detail, fit.fade * detail
        error = float(np.vdot(detail, detail * vv - 2 * dv + 2 * body * uv))
    return -error - float(np.vdot(body, body * uu - 2 * du)) - _oddness(fit.radius)


def _refine(evidence: Evidence, fit: Fit) -> Fit:
    """Climb from a coarse pose to the best one near it: the top of a parabola along x, y and log radius, twice."""

    def moved(start: Fit, axis: int, step: float) -> Fit:
        reach = step * start.radius
        pose = (start.x, start.y, start.radius)
        x, y, radius = (value + reach * (index == axis) for index, value in enumerate(pose))
        trial = replace(start, x=x, y=y, radius=radius)
        return replace(trial, explained=_explained(evidence, trial))

    best = replace(fit, explained=_explained(evidence, fit))
    for step in (0.05, 0.02):
        for axis in range(3):
            down, up = moved(best, axis, -step), moved(best, axis, step)
            bend = down.explained + up.explained - 2 * best.explained
            top = 0.5 * (down.explained - up.explained) / bend if bend < 0 else 0.0
            peak = moved(best, axis, step * float(np.clip(top, -2, 2)))
            best = max(best, down, up, peak, key=lambda trial: trial.explained)
    return best
