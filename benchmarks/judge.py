"""How often the judge reads a drawn scene right, part by part, and how long it takes.

    python benchmarks/judge.py --pictures 2000
    python benchmarks/judge.py --pictures 1000 --vae src/diffuscope/scenes/model/vae     (needs torch)

Scenes are laid out for captions, of the training and the held-out side of the split in turn, from seeds that the judge
was not trained on. They are read as drawn, degraded (blur of sigma 0.7, noise of sigma 4, a colour shift of up to 4 a
channel, JPEG quality 60), and, with --vae, after a round trip through the autoencoder. Every part of the truth counts,
whether the caption names it or not; sizes where things stand free, and relations where the caption names one. How the
judge agrees with the eye on generated pictures is measured by `judge_labels.py`.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from diffuscope.scenes.judge import Found, Reading, read, size_of, stands
from diffuscope.scenes.layout import Scene, lay_out
from diffuscope.scenes.renderer import Rendered, render
from diffuscope.scenes.scoring import Row, as_text, tally
from diffuscope.scenes.split import sample_split
from diffuscope.scenes.vocabulary import SIZES, SUPPORTS

Picture = NDArray[np.uint8]


def scenes(number: int, seed: int) -> Iterator[Rendered]:
    """Drawn scenes, train and held-out in turn."""
    rng = np.random.default_rng([seed, 77])
    for index in range(number):
        yield render(lay_out(sample_split(rng, "held-out" if index % 2 else "train"), rng))


def degrade(image: Picture, rng: np.random.Generator) -> Picture:
    """Blur, noise, colour shift and JPEG, as a lossy decoder would leave a picture, or worse."""
    blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.7))
    noisy = np.asarray(blurred, np.float32) + rng.normal(0, 4, image.shape) + rng.uniform(-4, 4, 3)
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def paired(drawn: Rendered, reading: Reading) -> list[Found | None]:
    """For each drawn thing the one seen whose mask overlaps its own best; None where none does by a fifth. A thing seen
    stands for one drawn thing only."""
    values = overlaps(drawn, reading)
    chosen: list[Found | None] = [None] * len(drawn.scene.things)
    while values.size and values.max() > 0.2:
        mine, seen = np.unravel_index(int(values.argmax()), values.shape)
        chosen[int(mine)] = reading.objects[int(seen)]
        values[mine], values[:, seen] = 0, 0
    return chosen


def overlaps(drawn: Rendered, reading: Reading) -> NDArray[np.float64]:
    """Intersection over union of masks, `[drawn thing, thing seen]`."""
    truth = drawn.masks >= 0.5
    values = np.zeros((len(truth), len(reading.objects)))
    for row, mask in enumerate(truth):
        for column, found in enumerate(reading.objects):
            values[row, column] = (mask & found.mask).sum() / max(int((mask | found.mask).sum()), 1)
    return values


def outcomes(drawn: Rendered, reading: Reading) -> dict[str, list[bool]]:
    """Every part of the truth, right or wrong."""
    scene = drawn.scene
    parts: dict[str, list[bool]] = {
        part: [getattr(reading, part) == getattr(scene, part)] for part in ("place", "light", "style")
    }
    parts["count"] = [len(reading.objects) == len(scene.things)]
    pairs = list(zip(scene.things, paired(drawn, reading), strict=True))
    for part in ("noun", "colour", "pattern"):
        parts[part] = [f is not None and getattr(f, part) == getattr(thing, part) for thing, f in pairs]
    if scene.relation not in SUPPORTS:
        # Things that the layout had to shrink, to fit four in a row, have no size word.
        number = len(scene.things)
        words = SIZES[min(number, max(SIZES))]
        parts["size"] = [
            f is not None and size_of(f.radius, number) == thing.size
            for thing, f in pairs
            if words[thing.size][0] <= thing.radius <= words[thing.size][1]
        ]
    if scene.relation not in (None, "and"):
        last = max(thing.thing for thing in scene.things)
        groups = [
            [f for thing, f in pairs if thing.thing == one and f is not None] for one in range(last + 1)
        ]
        parts["relation"] = [all(stands(group, groups[-1], scene.relation or "") for group in groups[:-1])]
    parts["all"] = [all(value for values in parts.values() for value in values)]
    return parts


def report(name: str, drawings: Sequence[Rendered], images: Sequence[Picture]) -> list[Row]:
    """Read the images, print the table, the overlap of masks and the time, and return the rows."""
    results: dict[str, list[bool]] = {}
    best: list[float] = []
    read(images[0])  # loads the weights
    spent = 0.0
    for drawn, image in zip(drawings, images, strict=True):
        start = time.process_time()
        reading = read(image)
        spent += time.process_time() - start
        for part, values in outcomes(drawn, reading).items():
            results.setdefault(part, []).extend(values)
        best += [float(row.max(initial=0.0)) for row in overlaps(drawn, reading)]
    rows = [tally(part, values) for part, values in results.items()]
    print(
        f"\n{name}: {len(images)} pictures, {1000 * spent / len(images):.1f} ms of processor time a picture"
    )
    print(as_text(rows))
    low, middle = np.percentile(best, [1, 50])
    print(
        f"IoU with the true mask: mean {np.mean(best):.4f}, median {middle:.4f}, lowest hundredth {low:.3f}"
    )
    return rows


def round_trip(images: Sequence[Picture], folder: str) -> list[Picture]:
    """The pictures encoded to latents (their mean) and decoded again."""
    import torch
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).eval()
    done: list[Picture] = []
    with torch.no_grad():
        for start in range(0, len(images), 10):
            batch = torch.from_numpy(np.stack(images[start : start + 10])).permute(0, 3, 1, 2).float()
            decoded = vae.decode(vae.encode(batch / 127.5 - 1).latent_dist.mean).sample.clamp(-1, 1)
            done += list(((decoded + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy())
    return done


def failures(
    drawings: Sequence[Rendered], images: Sequence[Picture]
) -> list[tuple[int, Scene, Reading, list[str]]]:
    """The pictures that are not read right in every part, and which parts."""
    missed = []
    for index, (drawn, image) in enumerate(zip(drawings, images, strict=True)):
        reading = read(image)
        parts = [part for part, values in outcomes(drawn, reading).items() if not all(values)]
        if parts:
            missed.append((index, drawn.scene, reading, parts))
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--vae", help="folder of a diffusers AutoencoderKL")
    parser.add_argument("--json", type=Path, help="write the rows there too")
    parser.add_argument("--show", type=Path, help="write what was misread there: pictures and a list")
    given = parser.parse_args()
    drawings = list(scenes(given.pictures, given.seed))
    rng = np.random.default_rng(given.seed + 1)
    kinds = {"as drawn": [drawn.image for drawn in drawings]}
    kinds["degraded"] = [degrade(image, rng) for image in kinds["as drawn"]]
    if given.vae:
        kinds["after the autoencoder"] = round_trip(kinds["as drawn"], given.vae)
    rows = {}
    for name, images in kinds.items():
        rows[name] = [asdict(row) for row in report(name, drawings, images)]
        if given.show:
            given.show.mkdir(parents=True, exist_ok=True)
            missed = failures(drawings, images)
            stem = name.replace(" ", "-")
            lines = [f"{i} {parts}\n  {scene}\n  {reading}\n" for i, scene, reading, parts in missed]
            (given.show / f"{stem}.txt").write_text("".join(lines))
            tiles = [images[i] for i, *_ in missed[:60]]
            tiles += [np.zeros_like(images[0])] * (-len(tiles) % 10)
            if tiles:
                grid = [np.concatenate(tiles[at : at + 10], axis=1) for at in range(0, len(tiles), 10)]
                Image.fromarray(np.concatenate(grid)).save(given.show / f"{stem}.png")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
