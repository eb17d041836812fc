"""How often the judge reads a drawn scene right, part by part, and how long it takes.

    python benchmarks/judge.py --pictures 2000
    python benchmarks/judge.py --pictures 300 --vae FOLDER     (a diffusers AutoencoderKL; needs torch)

Scenes alternate between the train and the held-out side of the split. They are read as drawn, degraded (blur of
sigma 0.7, noise of sigma 4, a colour shift of up to 4 a channel, JPEG quality 60), and, with --vae, after a round
trip through the autoencoder. For the round trip one more row tells whose error a wrong colour is: how often the median
colour *inside the true mask* is still nearest to the right word, whatever the judge says.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from diffuscope.scenes.grammar import Scene, lay_out, sample_split
from diffuscope.scenes.judge import Reading, read, relation_of
from diffuscope.scenes.judge_regions import PALETTE, PALETTE_LAB
from diffuscope.scenes.lab import to_lab
from diffuscope.scenes.renderer import Rendered, render
from diffuscope.scenes.scoring import Row, as_text, tally

Picture = NDArray[np.uint8]


def scenes(number: int, seed: int) -> Iterator[Rendered]:
    """Drawn scenes, train and held-out in turn."""
    rng = np.random.default_rng(seed)
    for index in range(number):
        yield render(lay_out(sample_split(rng, "held-out" if index % 2 else "train"), rng))


def degrade(image: Picture, rng: np.random.Generator) -> Picture:
    """Blur, noise, colour shift and JPEG, as a lossy decoder would leave a picture, or worse."""
    blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.7))
    noisy = np.asarray(blurred, np.float32) + rng.normal(0, 4, image.shape) + rng.uniform(-4, 4, 3)
    file = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def outcomes(drawn: Rendered, reading: Reading) -> dict[str, list[bool]]:
    """Every part of the truth, right or wrong; things are paired with the nearest thing seen."""
    parts: dict[str, list[bool]] = {"place": [reading.place == drawn.scene.place]}
    parts["count"] = [len(reading.objects) == len(drawn.scene.things)]
    nearest = []
    for thing in drawn.scene.things:
        seen = min(reading.objects, key=lambda o: (o.x - thing.x) ** 2 + (o.y - thing.y) ** 2, default=None)
        nearest.append(seen)
        for part in ("noun", "colour", "size"):
            parts.setdefault(part, []).append(
                seen is not None and getattr(seen, part) == getattr(thing, part)
            )
    if drawn.scene.relation not in (None, "and"):
        first, second = nearest
        stands = first and second and first is not second and relation_of(first, second)
        parts["relation"] = [stands == drawn.scene.relation]
    parts["all"] = [all(value for values in parts.values() for value in values)]
    return parts


def colour_inside(drawn: Rendered, image: Picture) -> list[bool]:
    """Whether the median colour inside each thing's true mask is still its own, details left out."""
    right = []
    for index, thing in enumerate(drawn.scene.things):
        inside = drawn.masks[index] > 0.99
        for (owner, _), part in drawn.parts.items():
            inside &= (part < 0.01) | (owner != index)
        distances = ((PALETTE_LAB - np.median(to_lab(image[inside]), axis=0)) ** 2).sum(axis=-1)
        right.append(PALETTE[int(distances.argmin())] == thing.colour)
    return right


def report(
    name: str, drawings: Sequence[Rendered], images: Sequence[Picture], *, ceiling: bool = False
) -> list[Row]:
    """Read the images, print the table, the overlap of masks and the time, and return the rows."""
    results: dict[str, list[bool]] = {}
    overlaps: list[float] = []
    read(images[0])  # builds the templates
    spent = 0.0
    for drawn, image in zip(drawings, images, strict=True):
        start = time.process_time()
        reading = read(image)
        spent += time.process_time() - start
        parts = outcomes(drawn, reading)
        if ceiling:
            parts["colour in true mask"] = colour_inside(drawn, image)
        for part, values in parts.items():
            results.setdefault(part, []).extend(values)
        overlaps += best_overlaps(drawn, reading)
    rows = [tally(part, values) for part, values in results.items()]
    print(f"\n{name}: {len(images)} pictures, {1000 * spent / len(images):.1f} ms of one core a picture")
    print(as_text(rows))
    low, middle = np.percentile(overlaps, [1, 50])
    print(
        f"IoU with the true mask: mean {np.mean(overlaps):.4f}, median {middle:.4f}, lowest hundredth {low:.3f}"
    )
    return rows


def best_overlaps(drawn: Rendered, reading: Reading) -> list[float]:
    """IoU of each true mask with the thing seen that overlaps it best."""
    truth = drawn.masks >= 0.5
    return [
        max((float((mask & o.mask).sum() / (mask | o.mask).sum()) for o in reading.objects), default=0.0)
        for mask in truth
    ]


def round_trip(images: Sequence[Picture], folder: str) -> list[Picture]:
    """The pictures encoded to latents (their mean) and decoded again."""
    import torch
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(folder).eval()
    done: list[Picture] = []
    with torch.no_grad():
        for start in range(0, len(images), 10):
            batch = (
                torch.from_numpy(np.stack(images[start : start + 10])).permute(0, 3, 1, 2).float() / 127.5 - 1
            )
            decoded = vae.decode(vae.encode(batch).latent_dist.mean).sample.clamp(-1, 1)
            done += list(((decoded + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy())
    return done


def failures(drawings: Sequence[Rendered], images: Sequence[Picture]) -> list[tuple[int, Scene, Reading]]:
    """The pictures that are not read right in every part, for looking at."""
    read_all = [
        (i, drawn, read(image)) for i, (drawn, image) in enumerate(zip(drawings, images, strict=True))
    ]
    return [
        (i, drawn.scene, reading) for i, drawn, reading in read_all if not outcomes(drawn, reading)["all"][0]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--vae", help="folder of a diffusers AutoencoderKL")
    parser.add_argument("--show", action="store_true", help="print what was misread")
    given = parser.parse_args()
    drawings = list(scenes(given.pictures, given.seed))
    rng = np.random.default_rng(given.seed + 1)
    kinds = {"as drawn": [drawn.image for drawn in drawings]}
    kinds["degraded"] = [degrade(image, rng) for image in kinds["as drawn"]]
    if given.vae:
        kinds["after the autoencoder"] = round_trip(kinds["as drawn"], given.vae)
    for name, images in kinds.items():
        report(name, drawings, images, ceiling=name == "after the autoencoder")
        if given.show:
            for index, scene, reading in failures(drawings, images):
                print(f"  {index} {scene.place} {scene.things}\n    read as {reading}")


if __name__ == "__main__":
    main()
