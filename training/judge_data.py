"""Pictures to train the judge on, drawn once into memory-mapped files: `python -m training.judge_data`.

The judge must read what is in a picture, not what is likely in one. So two in five of the scenes are `wild`: any
noun in any paint and pattern, anywhere, in front of anything, none to four of them. The rest are laid out like any
caption's. Some pictures are faulty on purpose, as generated ones are: a thing that is half red and half green, or half
horse and half boat, or a blot that is nothing. A part of them also goes through the autoencoder and back.

Every picture is a function of (seed, index), and the files grow in order, so drawing goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.scenes.grammar import sample_description
from diffuscope.scenes.judge_network import CLASSES, UNKNOWN
from diffuscope.scenes.layout import SIDE, Placed, Scene, lay_out
from diffuscope.scenes.renderer import render
from diffuscope.scenes.vocabulary import NOUNS, PAINTS, PATTERNED, PATTERNS, PLAIN, SUPPORTS

GRID = 32
"""Cells of the judge's grid along a side, of 4 x 4 pixels each."""
MOST = 12
"""Things that a picture has room for in the tables."""
CHUNK = 64
DECODED_EVERY = 4
"""One picture in this many also goes through the autoencoder."""
IGNORED = 255
FIELDS = ("noun", "paint", "pattern", "x", "y", "radius")
"""What the tables hold of each thing: class numbers (see `CLASSES`), and pixels."""


@dataclass
class Files:
    """The memory-mapped files of a folder. `images` uint8 `[picture, y, x, channel]`; `decoded` the same for every
    `DECODED_EVERY`-th picture, after the autoencoder; `owners` uint8 `[picture, row, column]`, 0 for the backdrop, else
    the number of the thing from 1; `covers` packed bits `[picture, y, x / 8]`; `details` a bit for each detail
    `[picture, row, column]`; `things` float32 `[picture, thing, field]`; `settings` uint8 `[picture, (place, light,
    style)]`."""

    folder: Path
    images: Any
    decoded: Any
    owners: Any
    covers: Any
    details: Any
    things: Any
    settings: Any

    @classmethod
    def open(cls, folder: Path, count: int, mode: str = "r") -> Files:
        """Open the files, or make them where they are not there yet and `mode` is "r+"."""
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "images": ((count, SIDE, SIDE, 3), np.uint8),
            "decoded": ((-(-count // DECODED_EVERY), SIDE, SIDE, 3), np.uint8),
            "owners": ((count, GRID, GRID), np.uint8),
            "covers": ((count, SIDE, SIDE // 8), np.uint8),
            "details": ((count, GRID, GRID), np.uint8),
            "things": ((count, MOST, len(FIELDS)), np.float32),
            "settings": ((count, 3), np.uint8),
        }
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for name, (shape, dtype) in shapes.items():
            path = folder / f"{name}.npy"
            fresh = mode == "r+" and not path.exists()
            arrays[name] = np.lib.format.open_memmap(
                path,
                mode="w+" if fresh else mode,
                dtype=dtype if fresh else None,
                shape=shape if fresh else None,
            )
            if arrays[name].shape != shape:
                raise ValueError(
                    f"{path} holds {arrays[name].shape}, not {shape}: remove {folder} to draw anew"
                )
        return cls(folder, **arrays)


def finished(folder: Path, what: str = "drawn") -> int:
    """How many pictures of a folder are "drawn", or "decoded"."""
    file = folder / f"{what}.json"
    return int(json.loads(file.read_text())[what]) if file.exists() else 0


def _one(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def wild(rng: np.random.Generator) -> Scene:
    """A scene that no caption asks for: anything in any paint, anywhere."""
    count = int(rng.choice(5, p=(0.08, 0.27, 0.3, 0.22, 0.13)))
    things: list[Placed] = []
    for index in range(count):
        noun = _one(rng, NOUNS)
        if things and rng.random() < 0.2:
            noun = _one(rng, things).noun
        radius = float(
            np.exp(rng.uniform(np.log(10.0), np.log(48.0 if count < 2 else 32.0 if count < 3 else 24.0)))
        )
        reach = 0.85 * radius
        x, y = (float(rng.uniform(reach, SIDE - reach)) for _ in range(2))
        patterned = rng.random() < 0.4 and (noun in PATTERNED or rng.random() < 0.15)
        pattern = _one(rng, PATTERNS) if patterned else PLAIN
        paint = _one(rng, tuple(PAINTS))
        things.append(Placed(noun, paint, pattern, "medium", x, y, radius, bool(rng.random() < 0.5), index))
    return Scene(
        things=tuple(things),
        place=_one(rng, CLASSES["place"]),
        light=PLAIN if rng.random() < 0.5 else _one(rng, CLASSES["light"]),
        style=PLAIN if rng.random() < 0.45 else _one(rng, CLASSES["style"]),
        relation=None,
        horizon=float(rng.uniform(0.68, 0.82)),
        phase=float(rng.uniform(0.0, 2 * np.pi)),
        seed=int(rng.integers(2**31)),
    )


def scene(rng: np.random.Generator) -> Scene:
    """A scene to read: wild, or laid out for a caption of either side of the split, more often than in captions with
    things on, in and under each other: hidden parts are what is hardest to read."""
    kind = rng.random()
    if kind < 0.4:
        return wild(rng)
    description = sample_description(rng)
    while kind > 0.7 and description.relation not in SUPPORTS:
        description = sample_description(rng)
    laid = lay_out(description, rng)
    if rng.random() < 0.4:
        # Things in another paint than the captions' habits give them.
        laid = replace(
            laid, things=tuple(replace(thing, colour=_one(rng, tuple(PAINTS))) for thing in laid.things)
        )
    return laid


@dataclass
class Picture:
    """One drawn picture and everything in it. `shares` `[thing, y, x]`: how much of each pixel each thing has."""

    image: NDArray[np.uint8]
    shares: list[NDArray[np.float32]]
    rows: list[tuple[float, ...]]
    details: dict[str, NDArray[np.float32]]
    settings: tuple[int, int, int]


def _row(thing: Placed) -> tuple[float, ...]:
    numbers = (
        CLASSES["noun"].index(thing.noun),
        CLASSES["paint"].index(thing.colour),
        CLASSES["pattern"].index(thing.pattern),
    )
    return (*map(float, numbers), thing.x, thing.y, thing.radius)


def picture(seed: int, index: int) -> Picture:
    """The `index`-th training picture of a seed, with its faults."""
    rng = np.random.default_rng([seed, 7, index])
    asked = scene(rng)
    seen = render(asked)
    made = Picture(
        image=seen.image.copy(),
        shares=[share.astype(np.float32) for share in seen.masks],
        rows=[_row(thing) for thing in asked.things],
        details={name: np.zeros((SIDE, SIDE), np.float32) for name in CLASSES["detail"]},
        settings=(
            CLASSES["place"].index(asked.place),
            CLASSES["light"].index(asked.light),
            CLASSES["style"].index(asked.style),
        ),
    )
    for (_, name), part in seen.parts.items():
        if name in made.details:
            made.details[name] += part
    fault = rng.random()
    if asked.things and fault < 0.14:
        _halve(made, asked, rng)
    elif fault > 0.92 and asked.style == PLAIN:
        _blot(made, rng)
    return made


def _halve(made: Picture, asked: Scene, rng: np.random.Generator) -> None:
    """Give one half of a thing another paint, noun or pattern, along a line through its middle."""
    chosen = int(rng.integers(len(asked.things)))
    thing = asked.things[chosen]
    change = rng.choice(3, p=(0.6, 0.25, 0.15))
    if change == 0:
        other = replace(thing, colour=_one(rng, tuple(PAINTS)))
    elif change == 1:
        other = replace(thing, noun=_one(rng, NOUNS))
    else:
        other = replace(thing, pattern=_one(rng, CLASSES["pattern"]))
    things = tuple(other if number == chosen else one for number, one in enumerate(asked.things))
    seen = render(replace(asked, things=things))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    offset = float(rng.uniform(-0.3, 0.3)) * thing.radius
    side = (x - thing.x) * np.cos(angle) + (y - thing.y) * np.sin(angle) > offset
    made.image[side] = seen.image[side]
    before = made.shares
    made.shares = [np.where(side, new, old) for new, old in zip(seen.masks, before, strict=True)]
    made.shares.append(made.shares[chosen] * side)
    made.shares[chosen] = before[chosen] * ~side
    made.rows.append(_row(other))
    for name in made.details:
        parts = [part for (_, part_name), part in seen.parts.items() if part_name == name]
        made.details[name] = np.where(
            side, sum(parts, np.zeros((SIDE, SIDE), np.float32)), made.details[name]
        )


def _blot(made: Picture, rng: np.random.Generator) -> None:
    """Paint one or two shapes that are nothing in front of everything."""
    for _ in range(int(rng.integers(1, 3))):
        radius = float(rng.uniform(9.0, 30.0))
        centre = rng.uniform(radius * 0.7, SIDE - radius * 0.7, 2)
        field = Image.fromarray(rng.normal(0, 1, (5, 5)).astype(np.float32)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC, box=(0.5, 0.5, 4.5, 4.5)
        )
        # The field is stretched to the blot's own box, so that small blots are as ragged as large ones.
        y, x = np.mgrid[:SIDE, :SIDE] + 0.5
        away = np.hypot(x - centre[0], y - centre[1]) / radius
        columns = np.clip((x - centre[0] + radius) / (2 * radius) * SIDE, 0, SIDE - 1).astype(int)
        rows = np.clip((y - centre[1] + radius) / (2 * radius) * SIDE, 0, SIDE - 1).astype(int)
        ragged = 0.75 + 0.55 * np.asarray(field)[rows, columns] - away
        share = np.clip(ragged * radius / 2, 0, 1).astype(np.float32)
        inside = np.argwhere(share > 0.5)
        if len(inside) < 60:
            continue
        paint = int(rng.integers(len(PAINTS)))
        colour = np.array(tuple(PAINTS.values())[paint], np.float32) + rng.normal(0, 6, 3)
        mixed = made.image * (1 - share[..., None]) + colour * share[..., None]
        made.image[:] = np.clip(mixed, 0, 255).astype(np.uint8)
        made.shares = [old * (1 - share) for old in made.shares]
        made.details = {name: part * (1 - share) for name, part in made.details.items()}
        low, high = inside.min(axis=0), inside.max(axis=0) + 1
        middle, half = (low + high) / 2, float((high - low).max()) / 2
        made.shares.append(share)
        made.rows.append((float(UNKNOWN), float(paint), 0.0, float(middle[1]), float(middle[0]), half))


def _pooled(share: NDArray[np.float32]) -> NDArray[np.float32]:
    cell = SIDE // GRID
    return share.reshape(GRID, cell, GRID, cell).mean(axis=(1, 3))


LEAST = 0.35
"""Share of a cell that a thing must have for the cell to be its own."""


def put(files: Files, index: int, made: Picture) -> None:
    """Write one picture and its tables."""
    files.images[index] = made.image
    owners = np.zeros((GRID, GRID), np.uint8)
    things = np.zeros((MOST, len(FIELDS)), np.float32)
    cover = np.zeros((SIDE, SIDE), np.float32)
    if made.shares:
        shares = np.stack(made.shares)[:MOST]
        cover = shares.sum(axis=0)
        cells = np.stack([_pooled(share) for share in shares])
        best = cells.argmax(axis=0)
        # A cell with little of a thing in it belongs to nobody: it says nothing in training.
        owners = np.where(
            cells.max(axis=0) >= LEAST, best + 1, np.where(cells.sum(axis=0) > 0.12, IGNORED, 0)
        )
        things[: len(shares)] = np.array(made.rows[:MOST], np.float32)
    files.owners[index] = owners
    files.things[index] = things
    files.covers[index] = np.packbits(cover >= 0.5, axis=-1)
    bits = np.zeros((GRID, GRID), np.uint8)
    for number, name in enumerate(CLASSES["detail"]):
        bits |= (_pooled(made.details[name]) >= LEAST).astype(np.uint8) << number
    files.details[index] = bits
    files.settings[index] = made.settings


Decoder = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]


def decoder(folder: Path) -> Decoder:
    """Pictures `[picture, y, x, channel]` through the autoencoder in `folder` and back, the latents with noise: as the
    denoiser makes them, not quite right."""
    import torch
    from diffusers import AutoencoderKL

    from training.data import to_images, to_tensor

    vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).eval()

    @torch.no_grad()
    def decode(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        latent = vae.encode(to_tensor(images)).latent_dist.mean
        noise = torch.from_numpy(rng.normal(0, 1, latent.shape).astype(np.float32))
        # Half of them hardly any, the others up to 0.4 of a channel's deviation.
        size = torch.from_numpy(
            np.maximum(rng.uniform(-0.4, 0.4, (len(images), 1, 1, 1)), 0).astype(np.float32)
        )
        return to_images(vae.decode(latent + noise * size * latent.std(dim=(0, 2, 3), keepdim=True)).sample)

    return decode


def draw(folder: Path, count: int, seed: int) -> None:
    """Draw `count` pictures into `folder`, from where an earlier run was stopped."""
    files = Files.open(folder, count, "r+")
    started, first = time.perf_counter(), finished(folder)
    for begin in range(first, count, CHUNK):
        end = min(begin + CHUNK, count)
        for index in range(begin, end):
            put(files, index, picture(seed, index))
        _tell(folder, "drawn", end)
        if (begin // CHUNK) % 20 == 0:
            each = 1000 * (time.perf_counter() - started) / (end - first)
            print(f"judge-data: {end} of {count} pictures, {each:.1f} ms each", flush=True)


def decode(folder: Path, count: int, seed: int, vae: Path) -> None:
    """Take every `DECODED_EVERY`-th of the drawn pictures through an autoencoder, from where an earlier run with it was
    stopped."""
    files = Files.open(folder, count, "r+")
    name = str(vae.resolve())
    told = json.loads((folder / "decoded.json").read_text()) if (folder / "decoded.json").exists() else {}
    first = int(told["decoded"]) if told.get("vae") == name else 0
    through = decoder(vae)
    for begin in range(first, count, CHUNK):
        chosen = list(range(begin, min(begin + CHUNK, count), DECODED_EVERY))
        rng = np.random.default_rng([seed, 8, begin])
        files.decoded[[index // DECODED_EVERY for index in chosen]] = through(files.images[chosen], rng)
        _tell(folder, "decoded", min(begin + CHUNK, count), vae=name)
        if (begin // CHUNK) % 50 == 0:
            print(f"judge-data: {begin} of {count} pictures through the autoencoder", flush=True)


def _tell(folder: Path, what: str, done: int, **more: str) -> None:
    temporary = folder / f"{what}.partial"
    temporary.write_text(json.dumps({what: done, **more}))
    os.replace(temporary, folder / f"{what}.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.judge_data", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("training/work/judge-data"))
    parser.add_argument("--pictures", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--vae", type=Path, help="folder of a diffusers AutoencoderKL that some then go through"
    )
    given = parser.parse_args()
    draw(given.folder, given.pictures, given.seed)
    if given.vae:
        decode(given.folder, given.pictures, given.seed, given.vae)


if __name__ == "__main__":
    main()
