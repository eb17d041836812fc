"""Batches of drawn scenes, each a function of its number alone, and a store of many that are drawn once."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.scenes.grammar import Description
from diffuscope.scenes.layout import SIDE, Scene, lay_out
from diffuscope.scenes.renderer import render
from diffuscope.scenes.split import sample_split
from diffuscope.scenes.vocabulary import NOUNS, PAINTS, PATTERNS, PLAIN

HELD_BACK = 256
"""The last scenes of a store: drawn from the training split and never trained on."""


def scene(seed: int, index: int) -> tuple[Description, Scene, np.random.Generator]:
    """The `index`-th training scene of a seed, and the generator that goes on to phrase its caption."""
    rng = np.random.default_rng([seed, index])
    description = sample_split(rng, "train")
    return description, lay_out(description, rng), rng


@dataclass(frozen=True)
class Store:
    """Drawn training scenes on disk, memory-mapped: `images` uint8 `[scene, y, x, channel]`; `things` uint8
    `[scene, y, x]`, how much of each pixel things cover (255: all)."""

    images: NDArray[np.uint8]
    things: NDArray[np.uint8]


def _draw(task: tuple[str, str, int, int, int]) -> int:
    images_file, things_file, seed, start, stop = task
    images = np.lib.format.open_memmap(images_file, mode="r+")
    things = np.lib.format.open_memmap(things_file, mode="r+")
    for index in range(start, stop):
        drawn = render(scene(seed, index)[1])
        images[index] = drawn.image
        things[index] = (drawn.masks.max(axis=0) * 255 + 0.5).astype(np.uint8)
    images.flush()
    things.flush()
    return stop


def store(work: Path, count: int, seed: int) -> Store:
    """The first `count` training scenes of a seed, drawn once by all cores; goes on where an earlier call stopped."""
    files = [work / f"scenes-{seed}-{count}-{part}.npy" for part in ("images", "things")]
    progress = work / f"scenes-{seed}-{count}.json"
    if not progress.exists():
        for file, shape in zip(files, ((count, SIDE, SIDE, 3), (count, SIDE, SIDE)), strict=True):
            np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape).flush()
    done: list[int] = json.loads(progress.read_text()) if progress.exists() else []
    tasks = [
        (str(files[0]), str(files[1]), seed, start, min(start + 500, count))
        for start in range(0, count, 500)
        if start not in done
    ]
    if tasks:
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
            for task, _ in zip(tasks, pool.imap(_draw, tasks), strict=True):
                done.append(task[3])
                progress.write_text(json.dumps(done))
                print(f"scenes: {task[4]} of {count} drawn", flush=True)
    return Store(*(np.lib.format.open_memmap(file, mode="r") for file in files))


PATCH = 8
"""Pixels along the side of a latent's patch."""

OWN = 0.5
"""Share of a patch that things must cover for the patch to be theirs."""


def _label(task: tuple[str, int, int, int]) -> int:
    file, seed, start, stop = task
    table = np.lib.format.open_memmap(file, mode="r+")
    for index in range(start, stop):
        laid = scene(seed, index)[1]
        masks = render(laid).masks
        side = SIDE // PATCH
        shares = masks.reshape(len(masks), side, PATCH, side, PATCH).mean(axis=(2, 4))
        kinds = np.array(
            [
                (
                    NOUNS.index(one.noun) + 1,
                    PAINT_NAMES.index(one.colour) + 1,
                    PATTERN_NAMES.index(one.pattern) + 1,
                )
                for one in laid.things
            ],
            np.uint8,
        )
        table[index] = np.where((shares.sum(axis=0) >= OWN)[..., None], kinds[shares.argmax(axis=0)], 0)
    table.flush()
    return stop


PAINT_NAMES: tuple[str, ...] = tuple(PAINTS)
PATTERN_NAMES: tuple[str, ...] = (PLAIN, *PATTERNS)


def labels(work: Path, count: int, seed: int) -> NDArray[np.uint8]:
    """What each patch of the stored scenes shows, uint8 `[scene, y, x, (noun, paint, pattern)]` on the latents' grid:
    numbers from 1 in `NOUNS`, `PAINT_NAMES`, `PATTERN_NAMES`, 0 for the backdrop. Computed once by all cores."""
    side = SIDE // PATCH
    file, progress = (work / f"scenes-{seed}-{count}-labels{suffix}" for suffix in (".npy", ".json"))
    if not progress.exists():
        np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(count, side, side, 3)).flush()
    done: list[int] = json.loads(progress.read_text()) if progress.exists() else []
    tasks = [
        (str(file), seed, start, min(start + 500, count))
        for start in range(0, count, 500)
        if start not in done
    ]
    if tasks:
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
            for task, _ in zip(tasks, pool.imap(_label, tasks), strict=True):
                done.append(task[2])
                progress.write_text(json.dumps(done))
                print(f"labels: {task[3]} of {count} scenes", flush=True)
    table: NDArray[np.uint8] = np.lib.format.open_memmap(file, mode="r")
    return table


def pictures(seed: int, indices: range) -> NDArray[np.uint8]:
    """Drawn training scenes `[picture, y, x, channel]`."""
    return np.stack([render(scene(seed, index)[1]).image for index in indices])


def to_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 `[picture, y, x, channel]` to float32 `[picture, channel, y, x]` in -1 to 1."""
    return (
        torch.from_numpy(np.ascontiguousarray(images))
        .permute(0, 3, 1, 2)
        .float()
        .div_(127.5)
        .sub_(1)
        .contiguous()
    )


def to_images(tensor: torch.Tensor) -> NDArray[np.uint8]:
    """The inverse of `to_tensor`, clipped."""
    array = (tensor.clamp(-1, 1) + 1).mul(127.5).round().to(torch.uint8)
    return array.permute(0, 2, 3, 1).cpu().numpy()
