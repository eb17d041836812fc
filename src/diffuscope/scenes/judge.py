"""Reads a picture of the drawn world back: place, light and style, and every thing with its noun, colour, pattern,
size and pixels.

The judge sees the picture alone, never a caption. It is free to answer "not found" (None) and "ambiguous" (the part is
listed in `ambiguous`), and it reports every thing that it sees, so a missing or a doubled thing shows in the count.
It works on numpy and Pillow alone.

Steps: `judge_network` says of each cell of the picture what it shows, `judge_things` puts the cells of one thing
together, this module turns probabilities into words, where they are clear enough, and `judge_relations` says how things
stand to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import SizeError
from diffuscope.scenes.judge_network import CLASSES, UNKNOWN, Floats, look
from diffuscope.scenes.judge_relations import relation_of, relations_of, stands
from diffuscope.scenes.judge_things import Clump, Mask, find_things
from diffuscope.scenes.layout import SIDE
from diffuscope.scenes.vocabulary import MADE_OF, SIZES

__all__ = ["Found", "Reading", "read", "relation_of", "relations_of", "size_of", "stands"]

CLEAR = 0.45
"""Probability that the best word needs, else the part is not found."""
MARGIN = 0.1
"""By how much the best word's probability must exceed the second's, else the part is ambiguous."""
SIZE_MARGIN = 0.25
"""Pixels around the border between two sizes within which a size is ambiguous."""


@dataclass(frozen=True)
class Found:
    """A thing that the judge sees.

    `noun`, `colour` (a key of `PAINTS`), `pattern` ("plain" among them) and `size` are words of the vocabulary, or
    None where not found or ambiguous; `ambiguous` names the parts with a close runner-up, and `runner_up` is the second
    best noun. `x`, `y` (centre) and `radius` (half of the longer side) are of the whole thing, hidden parts included,
    in pixels with the origin at the top left, as in `Placed`; `size` is the word for that radius among as many things
    as are seen (`size_of`). `mask` is bool `[y, x]`, what is to be seen of it; `cover` float32 `[y, x]`, the
    probability of each pixel to show it; `parts` masks of its details (door, horn...). `confidence`, 0 to 1, is the
    probability of the best noun.
    """

    noun: str | None
    colour: str | None
    pattern: str | None
    size: str | None
    x: float
    y: float
    radius: float
    mask: Mask
    cover: Floats
    confidence: float
    ambiguous: frozenset[str] = frozenset()
    runner_up: str | None = None
    parts: Mapping[str, Mask] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [
            word or ("?" if part in self.ambiguous else "-")
            for part, word in (
                ("size", self.size),
                ("pattern", self.pattern),
                ("colour", self.colour),
                ("noun", self.noun),
            )
            if word not in ("plain", "medium")
        ]
        return f"{' '.join(words)} at ({self.x:.0f}, {self.y:.0f}) radius {self.radius:.1f} ({self.confidence:.2f})"


@dataclass(frozen=True)
class Reading:
    """What a picture shows. `place`, `light` and `style` are words of the vocabulary ("plain" among them), or None
    (not found, or ambiguous if in `ambiguous`); `confidence` has the probability of each one's best word. `objects` are
    the things seen, largest first; `notes` say in words what was doubtful or left out."""

    place: str | None
    light: str | None
    style: str | None
    objects: tuple[Found, ...]
    notes: tuple[str, ...] = ()
    ambiguous: frozenset[str] = frozenset()
    confidence: Mapping[str, float] = field(default_factory=dict)

    def find(self, noun: str, colour: str | None = None) -> Found | None:
        """The surest thing with this noun (and colour); None if there is none."""
        fitting = [o for o in self.objects if o.noun == noun and (colour is None or o.colour == colour)]
        return max(fitting, key=lambda found: found.confidence, default=None)

    def mask_of(self, noun: str, colour: str | None = None) -> Mask | None:
        """Pixels bool `[y, x]` of all things with this noun (and colour); None if there is none."""
        masks = [o.mask for o in self.objects if o.noun == noun and (colour is None or o.colour == colour)]
        return np.any(masks, axis=0) if masks else None

    def __str__(self) -> str:
        things = "; ".join(str(found) for found in self.objects) or "nothing"
        around = [
            f"{part} {getattr(self, part) or ('?' if part in self.ambiguous else '-')}"
            for part in ("place", "light", "style")
        ]
        return f"{', '.join(around)}: {things}"


def read(image: NDArray[np.uint8] | Image.Image) -> Reading:
    """Read a picture of the drawn world: uint8 sRGB `[y, x, channel]`, or an image, of 128 x 128 pixels.

    Raises `SizeError` (a `ValueError`) for another size, number of channels or type.
    """
    pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if pixels.shape != (SIDE, SIDE, 3) or pixels.dtype != np.uint8:
        raise SizeError(
            f"the judge reads uint8 pictures of shape ({SIDE}, {SIDE}, 3), got {pixels.dtype} {pixels.shape}"
        )
    evidence = look(pixels)
    clumps, specks = find_things(evidence)
    objects = tuple(_found(clump, len(clumps)) for clump in clumps)
    words: dict[str, str | None] = {}
    ambiguous = set()
    for part in ("place", "light", "style"):
        words[part], doubtful = _word(getattr(evidence, part), CLASSES[part])
        if doubtful:
            ambiguous.add(part)
    return Reading(
        place=words["place"],
        light=words["light"],
        style=words["style"],
        objects=objects,
        notes=tuple(_notes(words, ambiguous, objects, specks)),
        ambiguous=frozenset(ambiguous),
        confidence={part: float(getattr(evidence, part).max()) for part in ("place", "light", "style")},
    )


def size_of(radius: float, number: int) -> str | None:
    """The size word of a radius in pixels among `number` things; None close to the border between two of them."""
    sizes = SIZES[min(max(number, 1), max(SIZES))]
    borders = [(sizes[a][1] + sizes[b][0]) / 2 for a, b in pairwise(sizes)]
    if any(abs(radius - border) < SIZE_MARGIN for border in borders):
        return None
    return list(sizes)[sum(radius > border for border in borders)]


def _word(probabilities: Floats, words: Sequence[str]) -> tuple[str | None, bool]:
    """The word that is clear enough, or None; and whether that is because of a close runner-up."""
    second, first = (int(one) for one in np.argsort(probabilities)[-2:])
    if probabilities[first] - probabilities[second] < MARGIN:
        return None, True
    return (words[first] if probabilities[first] >= CLEAR else None), False


def _of_colours(probabilities: Floats, noun: str | None) -> Floats:
    """Probabilities of paints without the materials that this noun is never made of: a cat is brown, not wooden."""
    allowed = [noun is None or noun in MADE_OF.get(paint, (noun,)) for paint in CLASSES["paint"]]
    left = np.where(allowed, probabilities, 0)
    return np.asarray(left / max(float(left.sum()), 1e-9), np.float32)


def _found(clump: Clump, number: int) -> Found:
    ambiguous = set()
    order = np.argsort(clump.noun)[::-1]
    words: dict[str, str | None] = {}
    for part, name in (("noun", "noun"), ("colour", "paint"), ("pattern", "pattern")):
        probabilities = getattr(clump, name)
        known = (*CLASSES["noun"], "") if name == "noun" else CLASSES[name]
        if part == "colour":
            probabilities = _of_colours(probabilities, words["noun"])
        word, doubtful = _word(probabilities, known)
        words[part] = word or None
        if doubtful:
            ambiguous.add(part)
    size = size_of(clump.radius, number)
    if size is None:
        ambiguous.add("size")
    runner_up = next(int(one) for one in order[1:] if one != UNKNOWN)
    return Found(
        noun=words["noun"],
        colour=words["colour"],
        pattern=words["pattern"],
        size=size,
        x=clump.x,
        y=clump.y,
        radius=clump.radius,
        mask=clump.mask,
        cover=clump.cover,
        confidence=float(clump.noun[:UNKNOWN].max()),
        ambiguous=frozenset(ambiguous),
        runner_up=CLASSES["noun"][runner_up],
        parts={name: mask for name, mask in zip(CLASSES["detail"], clump.parts, strict=True) if mask.any()},
    )


def _notes(
    words: Mapping[str, str | None], ambiguous: set[str], objects: tuple[Found, ...], specks: int
) -> list[str]:
    notes = []
    for part, word in words.items():
        if word is None:
            notes.append(f"the {part} is ambiguous" if part in ambiguous else f"no known {part} fits")
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
