"""Reads a picture of the drawn world back: the place, and every thing with its noun, colour, size and pixels.

The judge knows the world's vocabulary and how it is drawn, and nothing about captions. It is free to answer "not
found" (None) and "ambiguous" (the part is listed in `ambiguous`), and it reports every thing that it sees, so a
missing or a doubled thing shows in the count. It works on numpy and Pillow alone.

Steps: `judge_places` fits the empty place, `judge_regions` finds what stands in front of it, `judge_shapes` lays
each noun's drawing over each region.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import SizeError
from diffuscope.scenes.grammar import SIDE
from diffuscope.scenes.judge_places import Setting, fit_place
from diffuscope.scenes.judge_regions import DETAIL, PALETTE, PALETTE_LAB, Mask, Region, find_regions
from diffuscope.scenes.judge_shapes import Fit, gather, match
from diffuscope.scenes.lab import Floats, dot, to_lab
from diffuscope.scenes.shapes import BROWN
from diffuscope.scenes.vocabulary import SIZES

EXPLAINED = 0.72
"""Share of a region that the best drawing must account for, else the noun is not found."""
NOUN_MARGIN = 0.02
"""By how much the best noun's share must exceed the second's, else the noun is ambiguous."""
COLOUR_REACH = 34.0
"""Lab distance from the nearest colour above which a thing's colour is none of them."""
COLOUR_MARGIN = 4.0
"""By how many Lab units the nearest colour must be nearer than the second, else the colour is ambiguous."""
SIZE_MARGIN = 0.5
"""Pixels around the border between two sizes within which a size is ambiguous."""
MIN_DETAIL = 6
"""Pixels of another colour that a region needs for that colour to be taken as its detail's, in place of brown."""
RELATION_RATIO = 0.8
"""Ratio of the lesser to the greater offset of two things above which their relation is ambiguous."""


@dataclass(frozen=True)
class Found:
    """A thing that the judge sees.

    `noun`, `colour` and `size` are vocabulary words, or None where not found or ambiguous; `ambiguous` names the
    parts whose margin was too small. `x`, `y` (centre) and `radius` (half height) are in pixels with the origin at
    the top left, as in `Placed`. `mask` is bool `[y, x]`, `cover` float32 `[y, x]`, the share of each pixel that the
    thing covers, 0 to 1. `confidence`, 0 to 1, is the share of the region that the noun's drawing accounts for
    (`judge_shapes.Fit`), and `runner_up` the second best noun.
    """

    noun: str | None
    colour: str | None
    size: str | None
    x: float
    y: float
    radius: float
    mask: Mask
    cover: Floats
    confidence: float
    ambiguous: frozenset[str] = frozenset()
    runner_up: str | None = None

    def __str__(self) -> str:
        words = [
            word or ("?" if part in self.ambiguous else "-")
            for part, word in (("size", self.size), ("colour", self.colour), ("noun", self.noun))
        ]
        return f"{' '.join(words)} at ({self.x:.0f}, {self.y:.0f}) radius {self.radius:.1f} ({self.confidence:.2f})"


@dataclass(frozen=True)
class Reading:
    """What a picture shows. `place` is a vocabulary word or None (not found, or ambiguous if so marked);
    `objects` are the things seen, largest first; `notes` say in words what was doubtful or left out."""

    place: str | None
    objects: tuple[Found, ...]
    notes: tuple[str, ...] = ()
    place_ambiguous: bool = False
    place_confidence: float = 1.0

    def find(self, noun: str, colour: str | None = None) -> Found | None:
        """The surest thing with this noun (and colour); None if there is none."""
        fitting = [o for o in self.objects if o.noun == noun and (colour is None or o.colour == colour)]
        return max(fitting, key=lambda found: found.confidence, default=None)

    def mask_of(self, noun: str, colour: str | None = None) -> NDArray[np.bool_] | None:
        """Pixels bool `[y, x]` of the surest thing with this noun (and colour); None if there is none."""
        found = self.find(noun, colour)
        return None if found is None else found.mask

    def __str__(self) -> str:
        things = "; ".join(str(found) for found in self.objects) or "nothing"
        return f"place {self.place or ('?' if self.place_ambiguous else '-')}: {things}"


def relation_of(first: Found, second: Found) -> str | None:
    """How `first` stands to `second`: "left of", "right of", "above" or "below"; None where two of them fit alike."""
    dx, dy = first.x - second.x, first.y - second.y
    if min(abs(dx), abs(dy)) > RELATION_RATIO * max(abs(dx), abs(dy)):
        return None
    if abs(dx) > abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"


def read(image: NDArray[np.uint8] | Image.Image) -> Reading:
    """Read a picture of the drawn world: uint8 sRGB `[y, x, channel]`, or an image, of 128 x 128 pixels.

    Raises `SizeError` (a `ValueError`) for another size, number of channels or type.
    """
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if pixels.shape != (SIDE, SIDE, 3) or pixels.dtype != np.uint8:
        raise SizeError(
            f"the judge reads uint8 pictures of shape ({SIDE}, {SIDE}, 3), got {pixels.dtype} {pixels.shape}"
        )
    setting = fit_place(pixels)
    regions, specks = find_regions(pixels, setting.backdrop)
    busy = np.zeros((SIDE, SIDE), np.int32)
    for number, region in enumerate(regions, start=1):
        busy[region.mask] = number
    objects = tuple(
        _identify(pixels, setting, region, busy, number) for number, region in enumerate(regions, start=1)
    )
    return Reading(
        place=setting.place,
        objects=objects,
        notes=tuple(_notes(setting, objects, specks)),
        place_ambiguous=setting.ambiguous,
        place_confidence=setting.confidence,
    )


def _identify(
    pixels: NDArray[np.uint8], setting: Setting, region: Region, busy: NDArray[np.int32], number: int
) -> Found:
    """Noun, colour, size, pose and pixels of one region; `busy` `[y, x]` holds the region number of every pixel."""
    rows, columns = np.nonzero(region.mask)
    area = float(len(rows))
    reach = int(0.35 * area**0.5) + 4
    top, bottom = max(int(rows.min()) - reach, 0), min(int(rows.max()) + reach + 1, SIDE)
    left, right = max(int(columns.min()) - reach, 0), min(int(columns.max()) + reach + 1, SIDE)
    window = (slice(top, bottom), slice(left, right))
    behind = setting.backdrop[window]
    mask, detail = region.mask[window], region.detail[window]
    part = pixels[window].astype(np.float32)
    own_colour = np.median(pixels[region.core], axis=0).astype(np.float32)
    other_colour = np.asarray(BROWN, np.float32)
    if np.count_nonzero(detail) >= MIN_DETAIL:
        other_colour = np.median(part[detail], axis=0).astype(np.float32)
    difference, own, other = part - behind, own_colour - behind, other_colour - behind
    share = _cover(difference, own, other, mask, region.core[window], detail)
    elsewhere = _swollen((busy[window] > 0) & (busy[window] != number)) & ~mask
    evidence = gather(difference, own, other, share, (~elsewhere).astype(np.float32), left, top)
    fits = match(evidence, float(columns.mean()) + 0.5, float(rows.mean()) + 0.5, area)
    cover = np.zeros((SIDE, SIDE), np.float32)
    cover[window] = share
    return _name(own_colour, fits, cover)


def _name(own_colour: Floats, fits: list[Fit], cover: Floats) -> Found:
    """Turn colour (sRGB `[channel]`) and fits into words, where their margins allow."""
    best, second = fits[0], fits[1]
    ambiguous = set()
    noun: str | None = best.noun if best.explained >= EXPLAINED else None
    if noun and best.explained - second.explained < NOUN_MARGIN:
        noun = None
        ambiguous.add("noun")
    distances = np.sqrt(((PALETTE_LAB - to_lab(own_colour)) ** 2).sum(axis=-1))
    order = np.argsort(distances)
    nearest = int(order[0])
    colour: str | None = None
    if nearest + 1 != DETAIL and distances[nearest] < COLOUR_REACH:
        colour = PALETTE[nearest]
        if distances[order[1]] - distances[nearest] < COLOUR_MARGIN:
            colour = None
            ambiguous.add("colour")
    size = _size(best.radius)
    if size is None:
        ambiguous.add("size")
    return Found(
        noun=noun,
        colour=colour,
        size=size,
        x=best.x,
        y=best.y,
        radius=best.radius,
        mask=cover >= 0.5,
        cover=cover,
        confidence=float(np.clip(best.explained, 0, 1)),
        ambiguous=frozenset(ambiguous),
        runner_up=second.noun,
    )


def _size(radius: float) -> str | None:
    """The size word of a radius in pixels; None close to the border between two of them."""
    names = list(SIZES)
    borders = [(SIZES[a][1] + SIZES[b][0]) / 2 for a, b in pairwise(names)]
    if any(abs(radius - border) < SIZE_MARGIN for border in borders):
        return None
    return names[sum(radius > border for border in borders)]


def _cover(difference: Floats, own: Floats, other: Floats, mask: Mask, core: Mask, detail: Mask) -> Floats:
    """Share of each pixel of the window that the region covers: how far it has gone from backdrop to colour.

    `difference`, `own` and `other` are the picture, the thing's colour and its detail's, less the backdrop.
    """

    def towards(colour: Floats) -> Floats:
        share = dot(difference, colour) / np.maximum(dot(colour, colour), 1)
        return np.asarray(np.clip(share, 0, 1), np.float32)

    share = towards(own)
    share = np.where(_swollen(detail), np.maximum(share, towards(other)), share)
    near = _swollen(_swollen(_swollen(mask)))
    inside = core | detail | (mask & ~_swollen(_swollen(~mask)))
    return np.where(near, np.where(inside, 1, share), 0).astype(np.float32)


def _swollen(mask: Mask) -> Mask:
    """The mask grown by one pixel to all four sides."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _notes(setting: Setting, objects: tuple[Found, ...], specks: int) -> list[str]:
    notes = []
    if setting.place is None:
        notes.append("the place is ambiguous" if setting.ambiguous else "no known place fits")
    for index, found in enumerate(objects, start=1):
        for part in sorted(found.ambiguous):
            notes.append(f"the {part} of thing {index} is ambiguous")
        if found.noun is None and "noun" not in found.ambiguous:
            notes.append(f"thing {index} has no known shape")
        if found.colour is None and "colour" not in found.ambiguous:
            notes.append(f"thing {index} has no known colour")
    if specks:
        notes.append(f"{specks} speck{'s' if specks > 1 else ''} too small for a thing")
    return notes
