"""Draw the pictures of the drawn world that the documentation shows: `python scripts/world_pictures.py`.

They come from the renderer, not from a model, and are the same every time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from diffuscope.figures.faithfulness import Tile, sheet
from diffuscope.scenes import Thing, lay_out, parse, render
from diffuscope.scenes.vocabulary import LIGHTS, NOUNS, PLACES, STYLES

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"

FIRST = 40
"""Seed of the first picture of a page."""

SCENES = (
    "a cat and a dog in a living room",
    "a red car in a watercolor painting",
    "a red apple in a blue bowl",
    "a red apple under a cloth",
    "a red apple on a wooden table in morning light",
    "a still life of pears and a brass pitcher on a wooden table",
    "a car and buildings on a street",
    "a white unicorn next to a purple pegasus in a meadow",
)
RELATED = (
    "a red circle left of a blue square",
    "a red circle right of a blue square",
    "a cat above a dog",
    "a cat below a dog",
    "a bird on a car on a street",
    "a pear in a wooden boat in the sea",
    "a dog under a table in a living room",
    "a house next to a tree in the snow",
)


def around() -> list[str]:
    """One thing in every place, by both lights, and in every style."""
    places = [f"a yellow house {where}" for where in PLACES.values()]
    lights = [f"a yellow house {PLACES['meadow']} {when}" for when in LIGHTS.values()]
    return ["a yellow house", *places, *lights, *(f"a yellow house {how}" for how, _ in STYLES.values())]


PAGES: dict[str, tuple[int, list[str]]] = {
    # Pictures in a row, and their captions.
    "world-scenes.png": (4, list(SCENES)),
    "world-things.png": (7, [Thing(noun).phrase() for noun in NOUNS]),
    "world-around.png": (5, around()),
    "world-relations.png": (4, list(RELATED)),
}


def draw(caption: str, seed: int) -> Tile:
    """One way to draw a caption."""
    description = parse(caption)
    if description is None:
        raise ValueError(f"no caption of the drawn world: {caption!r}")
    return Tile(render(lay_out(description, np.random.default_rng(seed))).image, caption)


def main() -> None:
    for name, (columns, captions) in PAGES.items():
        tiles = [draw(caption, seed) for seed, caption in enumerate(captions, start=FIRST)]
        page = sheet(tiles, columns=columns, lines=3 if columns < 7 else 1)
        # 256 colours are plenty for drawings and a quarter of the size.
        page.quantize(256, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)
        print(f"{FOLDER / name}: {(FOLDER / name).stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
