"""Annotated pictures: masks, boxes and names over a picture, and contact sheets of many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffuscope.datasets import Dataset, Picture
from diffuscope.errors import CorruptRecordingError, InputError
from diffuscope.maps.picture import INK, MARGIN, PAPER, QUIET, text_width, wrapped, write
from diffuscope.maps.segments import COLOURS

if TYPE_CHECKING:
    from diffuscope.analysis.objects.annotation import Objects

SIDE = 240
"""Longer side in pixels of a picture on a sheet."""
COLUMNS = 6
MOST = 24
"""Pictures on a sheet."""
BLEND = 0.45
Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Shown:
    """An object as it is drawn: category, mask ``[y, x]`` of the picture's size, and score."""

    category: str
    mask: NDArray[np.bool_]
    score: float


def shown_of(objects: Objects) -> list[Shown]:
    """The objects of a run."""
    return [Shown(each.category, each.mask, each.score) for each in objects]


def colours_of(categories: Iterable[str]) -> dict[str, Colour]:
    """A colour for each category, in their order; the palette comes round again, darker."""
    found = {}
    for at, name in enumerate(dict.fromkeys(categories)):
        shade = 0.6 ** (at // len(COLOURS))
        red, green, blue = (round(value * shade) for value in COLOURS[at % len(COLOURS)])
        found[name] = (red, green, blue)
    return found


def overlay(
    image: Image.Image, objects: Sequence[Shown], colours: Mapping[str, Colour] | None = None, side: int = 512
) -> Image.Image:
    """The picture with every object's mask in its category's colour, outlined, and its box and name. RGB.

    Args:
        colours: of the categories; `colours_of` by default.
        side: longer side of the result in pixels; small pictures are enlarged.
    """
    chosen = colours or colours_of(each.category for each in objects)
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    base = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC), np.float64)
    edges: list[tuple[NDArray[np.bool_], Colour]] = []
    for each in objects:
        mask = _enlarged(each.mask, size)
        base[mask] = (1 - BLEND) * base[mask] + BLEND * np.array(chosen[each.category])
        edges.append((_edge(mask), chosen[each.category]))
    for edge, colour in edges:
        base[edge] = colour
    drawn = Image.fromarray(base.round().astype(np.uint8))
    draw = ImageDraw.Draw(drawn)
    for each in objects:
        _box(draw, each, chosen[each.category], scale, size)
    return drawn


def sheet_of_runs(found: Sequence[Objects]) -> Image.Image:
    """A contact sheet of runs with their objects.

    Raises:
        InputError: there is no run.
    """
    pictures = [(each.run.image, shown_of(each), each.run.prompt) for each in found[:MOST]]
    return sheet(pictures, f"{len(found)} runs")


def sheet_of_dataset(dataset: Dataset, pictures: int = MOST) -> Image.Image:
    """A contact sheet of a dataset: pictures spread evenly over it.

    Raises:
        InputError: it has no picture.
        CorruptRecordingError: a picture's file is missing.
    """
    chosen = set(
        np.linspace(0, max(0, len(dataset) - 1), min(pictures, max(1, len(dataset)))).round().astype(int)
    )
    found = [_read(dataset.images, picture) for at, picture in enumerate(dataset) if at in chosen]
    return sheet(found, f"{len(found)} of {len(dataset)} pictures of {dataset.folder.name}")


def sheet(pictures: Sequence[tuple[Image.Image, Sequence[Shown], str]], title: str) -> Image.Image:
    """Pictures in rows, each with its objects and its caption below; one colour for each category, named at the
    foot. RGB.

    Raises:
        InputError: there is none.
    """
    if not pictures:
        raise InputError("there is no picture to put on a sheet")
    colours = colours_of(each.category for _, objects, _ in pictures for each in objects)
    columns = min(COLUMNS, len(pictures))
    panels = [overlay(image, objects, colours, SIDE) for image, objects, _ in pictures]
    captions = [wrapped(caption, 12, SIDE)[:3] for _, _, caption in pictures]
    rows = [list(range(at, min(at + columns, len(panels)))) for at in range(0, len(panels), columns)]
    heights = [
        max(panels[at].height for at in row) + 17 * max(len(captions[at]) for at in row) + 14 for row in rows
    ]
    width = columns * SIDE + (columns - 1) * 12 + 2 * MARGIN
    places, x, line = [], 0.0, 0
    for name in colours:
        taken = 34 + text_width(name, 13)
        if x and x + taken > width - 2 * MARGIN:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += taken
    foot = 24 * (line + 1) + 12 if colours else 0
    paper = Image.new("RGB", (width, MARGIN + 40 + sum(heights) + foot + MARGIN), PAPER)
    draw = ImageDraw.Draw(paper)
    write(draw, (MARGIN, MARGIN - 6), title, INK, 20)
    y = MARGIN + 34
    for row, height in zip(rows, heights, strict=True):
        for column, at in enumerate(row):
            left = MARGIN + column * (SIDE + 12)
            paper.paste(panels[at], (left, y))
            for number, text in enumerate(captions[at]):
                write(draw, (left, y + panels[at].height + 4 + 17 * number), text, QUIET, 12)
        y += height
    for (name, colour), (x, line) in zip(colours.items(), places, strict=True):
        at_x, at_y = MARGIN + x, y + 8 + 24 * line
        draw.rectangle((at_x, at_y + 2, at_x + 14, at_y + 16), fill=colour)
        write(draw, (at_x + 20, at_y), name, INK, 13)
    return paper


def _read(folder: Path, picture: Picture) -> tuple[Image.Image, list[Shown], str]:
    try:
        with Image.open(folder / picture.file_name) as opened:
            image = opened.convert("RGB")
    except OSError as error:
        raise CorruptRecordingError(f"{folder / picture.file_name} cannot be read: {error}") from error
    objects = [Shown(each.category, each.mask, each.score) for each in picture.annotations]
    return image, objects, picture.caption


def _enlarged(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    shown = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
    return np.asarray(shown) > 0


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask that touch what is outside it."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return np.asarray(mask & ~inner)


def _box(draw: ImageDraw.ImageDraw, each: Shown, colour: Colour, scale: float, size: tuple[int, int]) -> None:
    rows, columns = np.flatnonzero(each.mask.any(axis=1)), np.flatnonzero(each.mask.any(axis=0))
    if not len(rows):
        return
    left, top = columns[0] * scale, rows[0] * scale
    right, bottom = (columns[-1] + 1) * scale - 1, (rows[-1] + 1) * scale - 1
    draw.rectangle((left, top, right, bottom), outline=colour)
    # Above the box where there is room, else inside it; never beyond the picture.
    wide = text_width(each.category, 12) + 6
    x = min(max(0.0, left), max(0.0, size[0] - wide))
    y = top - 17 if top >= 17 else top
    draw.rectangle((x, y, x + wide, y + 16), fill=colour)
    light = sum(value * weight for value, weight in zip(colour, (0.299, 0.587, 0.114), strict=True)) > 150
    write(draw, (x + 3, y), each.category, (20, 20, 24) if light else (255, 255, 255), 12)
