"""What the pages docs/findings/faithfulness.md and patch-explorer.md measure: JSON lines of every prompt and picture.

    python benchmarks/cause.py faithfulness [--prompts 100] [--steps 10] [--out faithfulness.jsonl]
    python benchmarks/cause.py part [--seeds 60] [--search 4] [--steps 10] [--out part.jsonl]

`faithfulness`: held-out prompts that name a place, one seed and one word each; kinds of words in turn. `part`: a ring
is a circle with a hole. Heads are ranked by what taking each out changes in the hole (`--search` seeds, which count in
no rate of heads taken out), then the best five, and five random others, are taken out or get the other text; and the
other text is encoded in the hole's patches, in random patches of that size, everywhere, and in some steps alone. The
judge says what stands there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope import Lens, Run, scenes
from diffuscope.edits import Edit, Encode, PatchChoice, Scale
from diffuscope.engine.many import draw_many
from diffuscope.engine.quiet import quiet_libraries

KINDS = ("noun", "colour", "place", "phrase", "function")
RING, CIRCLE = "a big red ring in the snow", "a big red circle in the snow"
BATCH, BEST = 8, 5
Picture = tuple[Image.Image, scenes.Reading]
Make = Callable[[scenes.Found, np.random.Generator], Sequence[Edit]]


def faithfulness(lens: Lens, prompts: int, steps: int, write: Callable[[dict[str, Any]], None]) -> None:
    """One word of each prompt put to the test."""
    for index, prompt in enumerate(scenes.standard_prompts(prompts, places=True)):
        description = prompt.description
        text, thing, kind = description.caption(), description.things[0], KINDS[index % len(KINDS)]
        if kind in ("colour", "phrase") and thing.colour is None:
            kind = "noun"
        word = {
            "noun": thing.noun,
            "colour": str(thing.colour),
            "place": str(description.place),
            "phrase": f"{thing.colour} {thing.noun}",
            "function": "a",
        }[kind]
        with tempfile.TemporaryDirectory() as out:
            run = lens.record(text, seed=index, keep="maps", previews=False, out=out, steps=steps)
            labels = [each.label for each in run.words]
            if kind != "phrase" and word not in labels:  # the first of several
                word = next(each.label for each in run.words if each.text == word)
            found = lens.faithfulness(run, word, shares=(0.25, 0.5), orders=2, seed=index)
            right = scenes.score(scenes.read(run.image), description).all
            write({"kind": kind, "prompt": text, "seed": index, "right": right, **found.to_json()})


def part(lens: Lens, seeds: int, search: int, steps: int, write: Callable[[dict[str, Any]], None]) -> None:
    """The hole of a ring, taken out and put in."""
    settings = {"steps": steps}

    def draw(jobs: Sequence[tuple[str, int, Sequence[Edit]]]) -> list[Image.Image]:
        made: list[Image.Image] = []
        for first in range(0, len(jobs), BATCH):
            some = jobs[first : first + BATCH]
            made += draw_many(lens, [(p, s) for p, s, _ in some], settings, [edits for *_, edits in some])
        return made

    def accepted(prompt: str) -> dict[int, Picture]:
        told = scenes.parse(prompt)
        assert told is not None
        pictures = draw([(prompt, seed, []) for seed in range(seeds)])
        read = {seed: (image, scenes.read(image)) for seed, image in enumerate(pictures)}
        return {seed: each for seed, each in read.items() if scenes.score(each[1], told).all}

    rings, circles = accepted(RING), accepted(CIRCLE)
    write({"condition": "accepted", "rings": len(rings), "circles": len(circles), "seeds": seeds})

    def measure(name: str, prompt: str, pictures: dict[int, Picture], make: Make) -> None:
        jobs = [
            (prompt, seed, make(read.objects[0], np.random.default_rng([seed, 7])))
            for seed, (_, read) in pictures.items()
        ]
        for (_, seed, _), image in zip(jobs, draw(jobs), strict=True):
            stood = pictures[seed][1].objects[0]
            things = scenes.read(image).objects
            near = max(things, key=lambda each: int((each.mask & stood.mask).sum()), default=None)
            write({"condition": name, "seed": seed, "noun": None if near is None else near.noun})

    def middle(found: scenes.Found, _: np.random.Generator) -> list[Edit]:
        return [Encode(RING, patches=PatchChoice.mask(disc(found, 0.6)))]

    def elsewhere(found: scenes.Found, random: np.random.Generator) -> list[Edit]:
        while True:
            moved = np.roll(disc(found, 0.6), tuple(random.integers(-scenes.SIDE, scenes.SIDE, 2)), (0, 1))
            if not (moved & disc(found, 0.75)).any():
                return [Encode(RING, patches=PatchChoice.mask(moved))]

    measure("circle, ring encoded in its middle", CIRCLE, circles, middle)
    measure("circle, ring encoded in random patches", CIRCLE, circles, elsewhere)
    tenths = [("all", "everywhere")] + [
        (f"{round(a * steps)}:{round(b * steps)}", f"everywhere at {a:.0%} to {b:.0%} of the steps")
        for a, b in ((0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 1.0), (0.0, 0.6), (0.4, 1.0))
    ]
    for window, said in tenths:
        measure(
            f"circle, ring encoded {said}", CIRCLE, circles, lambda *_, at=window: [Encode(RING, steps=at)]
        )

    def hole(run: Run) -> NDArray[np.bool_]:
        ring = scenes.read(run.image).find("ring", "red")
        return np.zeros((scenes.SIDE, scenes.SIDE), bool) if ring is None else disc(ring, 0.45)

    searched = list(rings)[:search]
    ranking = lens.heads(RING, region=hole, seeds=searched, per_round=max(2, search), top=BEST, **settings)
    write({"condition": "heads", **ranking.to_json()})
    order = [(each.site, each.head) for each in ranking.heads]
    best, rest = order[:BEST], order[len(order) // 4 :]
    left = {seed: each for seed, each in rings.items() if seed not in searched}

    def drawn(random: np.random.Generator) -> list[tuple[str, int]]:
        return [rest[at] for at in random.choice(len(rest), BEST, replace=False)]

    def out(heads: Sequence[tuple[str, int]]) -> list[Edit]:
        return [Scale(0, sites=site, heads=str(head)) for site, head in heads]

    def told(heads: Sequence[tuple[str, int]]) -> list[Edit]:
        return [Encode(RING, sites=site, heads=str(head)) for site, head in heads]

    measure("ring, best 5 heads out", RING, left, lambda _, random: out(best))
    measure("ring, random 5 heads out", RING, left, lambda _, random: out(drawn(random)))
    measure("circle, ring encoded by best 5 heads", CIRCLE, circles, lambda _, random: told(best))
    measure("circle, ring encoded by random 5 heads", CIRCLE, circles, lambda _, random: told(drawn(random)))


def disc(found: scenes.Found, share: float) -> NDArray[np.bool_]:
    """Pixels within a share of a thing's radius."""
    y, x = np.mgrid[: scenes.SIDE, : scenes.SIDE] + 0.5
    return np.asarray((x - found.x) ** 2 + (y - found.y) ** 2 < (share * found.radius) ** 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("faithfulness", "part"))
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--search", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    quiet_libraries()
    lens = Lens.load("scenes")
    with (given.out or Path(f"{given.what}.jsonl")).open("w", encoding="utf-8") as file:

        def write(row: dict[str, Any]) -> None:
            file.write(json.dumps(row) + "\n")
            file.flush()

        if given.what == "faithfulness":
            faithfulness(lens, given.prompts, given.steps, write)
        else:
            part(lens, given.seeds, given.search, given.steps, write)


if __name__ == "__main__":
    main()
