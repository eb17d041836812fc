"""A poster and a short film of how a picture comes to be, on the shipped model.

    python examples/morph_poster.py [FOLDER]

Needs ``pip install "diffuscope[models,export]"``. Writes into FOLDER (default: ``morph``).
"""

import sys
from pathlib import Path

import diffuscope as ds
from diffuscope.morph.field import Morph
from diffuscope.morph.film import Shot, write_film, write_poster


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "morph")
    run = ds.Lens.load("scenes").record("a yellow house in a meadow", seed=4, out=folder / "runs")
    morph = Morph.of(run, ["house"])
    print(write_poster(morph, folder / "house.png", Shot(size=(1080, 1080)), time=0.5))
    print(write_film(morph, folder / "house.mp4", Shot(size=(480, 480), fps=12, seconds=8)))


if __name__ == "__main__":
    main()
