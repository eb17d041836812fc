"""Whether the judge sees what people see in generated pictures.

    python benchmarks/judge_labels.py sheets --out labelling --pictures 200      (makes pictures; needs torch)
    python benchmarks/judge_labels.py compare --pictures labelling/pictures --labels tests/data/labels.json

`sheets` makes pictures for the standard held-out prompts with the shipped model, and contact sheets of them *without*
the judge's answers or the prompts, each picture under its number. Someone looks at the sheets and writes down what is
to be seen. `compare` holds the judge's readings of the same pictures against those labels, part by part.

Labels are a JSON object by picture number:

    {"12": {"things": ["red apple", "striped blue bowl"], "place": "street", "light": "plain", "style": "pencil",
            "relation": "in"}}

A thing is `[pattern] [colour] noun`; "?" stands for a colour or noun that the eye cannot settle, and counts nowhere.
Parts left out count nowhere either. `relation` is that of the first thing to the last, or of the first two to the last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffuscope.scenes.judge import Found, Reading, read, stands
from diffuscope.scenes.prompts import standard_prompts
from diffuscope.scenes.scoring import Row, as_text, tally
from diffuscope.scenes.vocabulary import NOUNS, PAINTS, PATTERNS, PLAIN

COLUMNS, ROWS, TILE, HEAD = 5, 4, 256, 18


def words_of(label: str) -> dict[str, str | None]:
    """Noun, colour and pattern of a labelled thing; None for what the eye could not settle.

    Raises `ValueError` for a word that is none of the vocabulary's.
    """
    *attributes, noun = label.split()
    found: dict[str, str | None] = {"noun": noun, "colour": None, "pattern": PLAIN}
    for word in attributes:
        part = "colour" if word in PAINTS else "pattern" if word in PATTERNS else None
        if part is None and word != "?":
            raise ValueError(f"{label!r}: {word!r} is neither a colour nor a pattern")
        if part:
            found[part] = word
    if noun == "?":
        found["noun"] = None
    elif noun not in NOUNS:
        raise ValueError(f"{label!r}: {noun!r} is no noun of the drawn world")
    return found


def agreement(label: Mapping[str, Any], reading: Reading) -> dict[str, list[bool]]:
    """Every labelled part of one picture, whether the reading says the same."""
    parts: dict[str, list[bool]] = {}
    for part in ("place", "light", "style"):
        if label.get(part, "?") != "?":
            parts[part] = [getattr(reading, part) == label[part]]
    things = [words_of(thing) for thing in label.get("things", ())]
    if "things" not in label:
        return parts
    parts["count"] = [len(reading.objects) == len(things)]
    matched = _matched(things, reading.objects)
    for part in ("noun", "colour", "pattern"):
        parts[part] = [
            found is not None and getattr(found, part) == thing[part]
            for thing, found in zip(things, matched, strict=True)
            if thing[part] is not None
        ]
    relation = label.get("relation", "?")
    if relation != "?" and len(things) > 1:
        *firsts, last = matched
        parts["relation"] = [
            last is not None and all(one is not None and stands([one], [last], relation) for one in firsts)
        ]
    return parts


def _matched(things: Sequence[Mapping[str, str | None]], seen: Sequence[Found]) -> list[Found | None]:
    """The seen thing for each labelled one that agrees best, noun before colour before pattern."""

    def worth(order: Sequence[Found | None]) -> float:
        return sum(
            weight * (found is not None and getattr(found, part) == thing[part])
            for thing, found in zip(things, order, strict=True)
            for part, weight in (("noun", 4.0), ("colour", 2.0), ("pattern", 1.0))
        )

    candidates: list[Found | None] = [*seen[:6], *[None] * len(things)]
    return list(max(permutations(candidates, len(things)), key=worth)) if things else []


def compare(folder: Path, labels: Path) -> list[Row]:
    """Rows of agreement, one a part, over the labelled pictures of a folder (`0012.png`)."""
    told: dict[str, dict[str, Any]] = json.loads(labels.read_text())
    results: dict[str, list[bool]] = {}
    for number, label in sorted(told.items(), key=lambda item: int(item[0])):
        image = np.asarray(Image.open(folder / f"{int(number):04d}.png").convert("RGB"))
        reading = read(image)
        parts = agreement(label, reading)
        wrong = [part for part, values in parts.items() if not all(values)]
        if wrong:
            print(f"{number}: {', '.join(wrong)}\n    eye   {json.dumps(label)}\n    judge {reading}")
        for part, values in parts.items():
            results.setdefault(part, []).extend(values)
    rows = [tally(part, values) for part, values in results.items()]
    print(as_text(rows))
    return rows


def sheets(pictures: Sequence[NDArray[np.uint8]], numbers: Sequence[int], folder: Path) -> None:
    """Contact sheets of `COLUMNS` x `ROWS` pictures, twice their size, each under its number and nothing else."""
    each = COLUMNS * ROWS
    for start in range(0, len(pictures), each):
        sheet = Image.new("RGB", (COLUMNS * TILE, ROWS * (TILE + HEAD)), "white")
        pen = ImageDraw.Draw(sheet)
        for place, (picture, number) in enumerate(
            zip(pictures[start : start + each], numbers[start : start + each], strict=True)
        ):
            x, y = place % COLUMNS * TILE, place // COLUMNS * (TILE + HEAD)
            pen.text((x + 4, y + 3), str(number), fill="black")
            large = Image.fromarray(picture).resize((TILE - 4, TILE - 4), Image.Resampling.LANCZOS)
            sheet.paste(large, (x, y + HEAD))
        sheet.save(folder / f"sheet-{start // each:02d}.png")


def make(folder: Path, number: int, model: str, steps: int, guidance: float) -> None:
    """Pictures of the standard held-out prompts, and their sheets."""
    import torch
    from diffusers import StableDiffusionPipeline

    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    pipe = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    prompts = standard_prompts(number)
    made: list[NDArray[np.uint8]] = []
    for index, prompt in enumerate(prompts):
        file = folder / "pictures" / f"{index:04d}.png"
        if not file.exists():
            generator = torch.Generator().manual_seed(index)
            pipe(prompt.text, num_inference_steps=steps, guidance_scale=guidance, generator=generator).images[
                0
            ].save(file)
        made.append(np.asarray(Image.open(file).convert("RGB")))
    sheets(made, range(number), folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    making = tasks.add_parser("sheets")
    making.add_argument("--out", type=Path, required=True)
    making.add_argument("--pictures", type=int, default=200)
    making.add_argument("--model", default="src/diffuscope/scenes/model")
    making.add_argument("--steps", type=int, default=25)
    making.add_argument("--guidance", type=float, default=4.0)
    comparing = tasks.add_parser("compare")
    comparing.add_argument("--pictures", type=Path, required=True)
    comparing.add_argument("--labels", type=Path, required=True)
    given = parser.parse_args()
    if given.task == "sheets":
        make(given.out, given.pictures, given.model, given.steps, given.guidance)
    else:
        compare(given.pictures, given.labels)


if __name__ == "__main__":
    main()
