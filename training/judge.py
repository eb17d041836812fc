"""The judge's stage: a small network learns to read drawn scenes: `python -m training.judge`.

Pictures and their truth come from `judge_data` (drawn by a process of its own, beside the training), faults on the way
to the judge from `judge_degrade`. What is learned is written as `scenes/judge_model`, for the plain NumPy forward pass
of `scenes/judge_network.py`, whose layers have the same names as here.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from diffuscope.scenes.judge_network import (
    CELL,
    CHANNELS,
    CLASSES,
    DETAIL_ODDS,
    FOLDER,
    MIDDLING,
    REACH,
    STAGES,
    UNKNOWN,
)
from training import checkpoint, data, judge_data
from training.judge_data import DECODED_EVERY, GRID, IGNORED, Files, finished
from training.judge_degrade import degraded
from training.loop import Schedule, train
from training.package import checksums

CARD = """# Judge of the drawn world

A convolutional network of {parameters:,} weights in half precision that reads a drawn picture of
128 x 128 pixels back: for every cell of 4 x 4 pixels what it belongs to, and for the picture the place,
light and style. `judge.json` lists the classes; `diffuscope.scenes.judge_network` is the forward pass,
in plain NumPy, and says what each output means.

- **For**: measuring whether pictures of the drawn world show what their caption says
  (`diffuscope.scenes.read`, `score`).
- **Not for**: photographs or any other pictures. It answers "nothing found" to many of them, not to all.
- **Trained on** scenes drawn by `diffuscope.scenes.render`, of both sides of the split and of none, with
  their truth, by `training/judge.py`: soft edges, wobbling outlines, other tints, blocks, noise, the
  autoencoder's round trip with noise in the latents, things of two colours or two nouns, and blots that
  are nothing.
- **How well it reads**: `python benchmarks/judge.py`; figures are in `benchmarks/RESULTS.md`.
"""

BATCH = 16
WIDTHS = (16, 64, 128, 192)
"""Channels at 64 x 64, 32 x 32, 16 x 16 and 8 x 8. Multiples of 16: others are several times slower on a CPU."""
DECODER = 64
HIDDEN = 128
PICTURES = 24_000


class Conv(nn.Sequential):
    """Convolution, batch normalisation and (`bend`) ReLU."""

    def __init__(
        self, inputs: int, outputs: int, size: int = 3, stride: int = 1, *, bend: bool = True
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True) if bend else nn.Identity(),
        )


class Stage(nn.Module):
    """Residual blocks of two convolutions."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        for number in range(blocks):
            block = nn.ModuleDict({"a": Conv(width, width), "b": Conv(width, width, bend=False)})
            self.add_module(str(number), block)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        for block in self.children():
            assert isinstance(block, nn.ModuleDict)
            states = functional.relu(states + block["b"](block["a"](states)))
        return states


class Reader(nn.Module):
    """The network of `scenes/judge_network.py`, to be trained."""

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth, last = WIDTHS
        self.stem = Conv(3, half, stride=2)
        self.down1, self.first = Conv(half, quarter, stride=2), Stage(quarter, STAGES["first"])
        self.down2, self.second = Conv(quarter, eighth, stride=2), Stage(eighth, STAGES["second"])
        self.down3, self.third = Conv(eighth, last, stride=2), Stage(last, STAGES["third"])
        self.from3, self.from2 = Conv(last, DECODER, 1), Conv(eighth, DECODER, 1)
        self.up2, self.narrow = Conv(DECODER, DECODER), Conv(DECODER, DECODER, 1)
        self.from1, self.up1 = Conv(quarter, DECODER, 1), Conv(DECODER, DECODER)
        self.grid = nn.Conv2d(DECODER, sum(CHANNELS.values()), 1)
        self.pooled = nn.Linear(2 * last + quarter, HIDDEN)
        self.settings = nn.Linear(HIDDEN, sum(len(CLASSES[name]) for name in ("place", "light", "style")))

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs of the grid `[picture, channel, row, column]` and of whole pictures `[picture, class]`.

        `pictures` is `[picture, channel, y, x]` in -1 to 1.
        """
        first = self.first(self.down1(self.stem(pictures)))
        second = self.second(self.down2(first))
        third = self.third(self.down3(second))
        states = self.up2(_doubled(self.from3(third)) + self.from2(second))
        states = self.up1(_doubled(self.narrow(states)) + self.from1(first))
        pooled = torch.cat([third.mean(dim=(2, 3)), third.amax(dim=(2, 3)), first.mean(dim=(2, 3))], dim=1)
        return self.grid(states), self.settings(functional.relu(self.pooled(pooled)))


def _doubled(states: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(states, scale_factor=2.0, mode="nearest")


class Batch:
    """Pictures with what is to be read from them, a function of (seed, step).

    `images` uint8 `[picture, y, x, channel]`, `cells` float32 `[picture, row, column, field]` (see `judge_data.FIELDS`;
    noun -1 on the backdrop, -2 where nothing is asked), `weights` `[picture, row, column]` (of a thing's cells: small
    things count nearly as much as large ones), `details` uint8 `[picture, row, column]`, `covers` `[picture, y, x]`,
    `settings` float32 `[picture, class]`: shares, so that half a street is half a street.
    """

    def __init__(self, files: Files, count: int, seed: int, step: int, *, decoded: bool = False) -> None:
        rng = np.random.default_rng([seed, 31, step])
        chosen = rng.integers(count, size=BATCH)
        self.images = files.images[chosen]
        through = (chosen % DECODED_EVERY == 0) & (rng.random(BATCH) < 0.8)
        for at in np.nonzero(through & decoded)[0]:
            self.images[at] = files.decoded[chosen[at] // DECODED_EVERY]
        owners = files.owners[chosen]
        self.details = files.details[chosen]
        self.covers = np.unpackbits(files.covers[chosen], axis=-1)
        nobody = np.zeros((BATCH, IGNORED + 1, len(judge_data.FIELDS)), np.float32)
        nobody[:, 0, 0], nobody[:, IGNORED, 0] = -1, -2
        nobody[:, 1 : judge_data.MOST + 1] = files.things[chosen]
        self.cells = nobody[np.arange(BATCH)[:, None, None], owners]
        areas = np.stack([np.bincount(owner.ravel(), minlength=IGNORED + 1) for owner in owners])
        each = 1 / np.sqrt(np.maximum(areas, 4))
        self.weights = each[np.arange(BATCH)[:, None, None], owners].astype(np.float32)
        self.settings = np.concatenate(
            [
                np.eye(len(CLASSES[name]), dtype=np.float32)[files.settings[chosen, number]]
                for number, name in enumerate(("place", "light", "style"))
            ],
            axis=1,
        )
        self._mirror(np.nonzero(rng.random(BATCH) < 0.5)[0])
        if rng.random() < 0.2:
            self._patch(rng)
        if rng.random() < 0.2:
            self._spoil(0, rng)

    def _mirror(self, which: NDArray[np.intp]) -> None:
        """Turn these pictures left to right."""
        for array in (self.images, self.cells, self.weights, self.details, self.covers):
            array[which] = array[which][:, :, ::-1]
        x = judge_data.FIELDS.index("x")
        self.cells[which, :, :, x] = judge_data.SIDE - self.cells[which, :, :, x]

    def _patch(self, rng: np.random.Generator) -> None:
        """Put the right part of the second picture to the left part of the first."""
        column = int(rng.integers(8, GRID - 8))
        for array in (self.cells, self.weights, self.details):
            array[0, :, column:] = array[1, :, column:]
        for array in (self.images, self.covers):
            array[0, :, CELL * column :] = array[1, :, CELL * column :]
        share = column / GRID
        self.settings[0] = share * self.settings[0] + (1 - share) * self.settings[1]

    def _spoil(self, at: int, rng: np.random.Generator) -> None:
        """Put something in a picture's place that is nothing: noise, or smooth swathes of any colours."""
        side = int(rng.choice((4, 8, 32, judge_data.SIDE)))
        noise = torch.from_numpy(rng.uniform(-60, 315, (1, 3, side, side)).astype(np.float32))
        smooth = functional.interpolate(noise, size=self.images.shape[1:3], mode="bilinear")
        self.images[at] = smooth[0].clamp(0, 255).byte().permute(1, 2, 0).numpy()
        self.cells[at], self.cells[at, :, :, 0] = 0, -1
        self.details[at], self.covers[at] = 0, 0
        start = 0
        for name in ("place", "light", "style"):
            self.settings[at, start : start + len(CLASSES[name])] = 1 / len(CLASSES[name])
            start += len(CLASSES[name])


def losses(grid: torch.Tensor, settings: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
    """What is wrong with the outputs (`Reader.forward`, float32), part by part."""
    parts = dict(zip(CHANNELS, grid.permute(0, 2, 3, 1).split(list(CHANNELS.values()), dim=-1), strict=True))
    cells, weights = torch.from_numpy(batch.cells), torch.from_numpy(batch.weights)
    noun = cells[..., 0].long()
    of_thing = noun >= 0
    weight = weights[of_thing]
    total = weight.sum().clamp(min=1e-6)
    things = cells[of_thing]

    def of_class(name: str, field: int, offset: int = 0) -> torch.Tensor:
        error = functional.cross_entropy(
            parts[name][of_thing], things[:, field].long() + offset, reduction="none"
        )
        return (error * weight).sum() / total

    backdrop = noun == -1
    empty = functional.cross_entropy(
        parts["noun"][backdrop], torch.zeros(int(backdrop.sum()), dtype=torch.long)
    )
    middles = CELL * (torch.arange(GRID) + 0.5)
    x = (cells[..., 3] - middles) / REACH
    y = (cells[..., 4] - middles[:, None]) / REACH
    size = (cells[..., 5].clamp(min=1) / MIDDLING).log()
    vote = torch.stack([x, y, size], dim=-1)[of_thing]
    miss = functional.smooth_l1_loss(parts["vote"][of_thing], vote, beta=0.05, reduction="none").sum(dim=-1)
    bits = torch.from_numpy(batch.details)[..., None] >> torch.arange(CHANNELS["detail"]) & 1
    detail = functional.binary_cross_entropy_with_logits(
        parts["detail"], bits.float(), pos_weight=torch.tensor(DETAIL_ODDS), reduction="none"
    )
    rows = parts["cover"].unflatten(-1, (CELL, CELL)).transpose(2, 3).flatten(1, 2).flatten(2, 3)
    result = {
        "empty": empty,
        "noun": of_class("noun", 0, 1) * 1.5,
        "paint": of_class("paint", 1),
        "pattern": of_class("pattern", 2),
        "vote": (miss * weight).sum() / total,
        "detail": detail[noun != -2].mean() * 3,
        "cover": functional.binary_cross_entropy_with_logits(rows, torch.from_numpy(batch.covers).float())
        * 2,
    }
    shares = torch.from_numpy(batch.settings)
    start = 0
    for name in ("place", "light", "style"):
        end = start + len(CLASSES[name])
        result[name] = functional.cross_entropy(settings[:, start:end], shares[:, start:end]) * 0.7
        start = end
    return result


def _available(step: int, count: int) -> int:
    """How many of the pictures a step draws from. It grows with the steps, so that training can go alongside the
    drawing and still be the same when it is resumed."""
    return min(count, 3000 + 8 * step)


def _await(folder: Path, needed: int) -> None:
    while finished(folder) < needed:
        time.sleep(1)


@dataclass(frozen=True)
class Lesson:
    """What is learned from: pictures of a folder, and how."""

    folder: Path
    count: int
    seed: int
    device: str
    decoded: bool

    def learn(self, reader: Reader, number: int) -> dict[str, float]:
        """Add half of a step's gradients to `reader`'s and return the losses by part. `number` is that of the batch."""
        available = _available(number // 2, self.count)
        _await(self.folder, available)
        files = _files(self.folder, self.count)
        batch = Batch(files, available, self.seed, number, decoded=self.decoded)
        torch.manual_seed(self.seed * 1_000_003 + number)
        pictures = degraded(data.to_tensor(batch.images)).contiguous(memory_format=torch.channels_last)
        device = torch.device(self.device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            grid, settings = reader(pictures.to(device))
        # The losses are a small part of the work, and stay where the batch was made.
        parts = losses(grid.float().cpu(), settings.float().cpu(), batch)
        (torch.stack(list(parts.values())).sum() / 2).backward()  # type: ignore[no-untyped-call]
        return {name: float(part.detach()) for name, part in parts.items()}


@cache
def _files(folder: Path, count: int) -> Files:
    return Files.open(folder, count)


class Second:
    """A second process that makes half of the gradients, on the same weights in shared memory.

    Two processes of one thread each wait for each other once a step; two threads of one process wait at every layer,
    which is slow where other work shares the cores. Running statistics are those of the first process.
    """

    def __init__(self, reader: Reader, lesson: Lesson) -> None:
        context = multiprocessing.get_context("spawn")
        self.weights = list(reader.parameters())
        for weight in self.weights:
            weight.share_memory_()
        self.gradients = [torch.zeros_like(weight).share_memory_() for weight in self.weights]
        self.pipe, theirs = context.Pipe()
        shared = [weight.detach() for weight in self.weights]
        self.process = context.Process(
            target=_second, args=(theirs, lesson, shared, self.gradients), daemon=True
        )
        self.process.start()

    def begin(self, step: int) -> None:
        """Start on the second half of a step."""
        self.pipe.send(2 * step + 1)

    def end(self) -> dict[str, float]:
        """Wait for it, and add its gradients."""
        figures: dict[str, float] = self.pipe.recv()
        for weight, gradient in zip(self.weights, self.gradients, strict=True):
            assert weight.grad is not None
            weight.grad += gradient
        return figures

    def close(self) -> None:
        """Let the process go."""
        self.pipe.close()
        self.process.join(10)


def _second(pipe: Any, lesson: Lesson, weights: list[torch.Tensor], gradients: list[torch.Tensor]) -> None:
    """What the second process does."""
    torch.set_num_threads(1)
    reader = Reader().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for mine, shared in zip(reader.parameters(), weights, strict=True):
        mine.data = shared
    while True:
        try:
            number = pipe.recv()
        except EOFError:
            return
        for weight in reader.parameters():
            weight.grad = None
        figures = lesson.learn(reader, number)
        for weight, gradient in zip(reader.parameters(), gradients, strict=True):
            assert weight.grad is not None
            gradient.copy_(weight.grad)
        pipe.send(figures)


def fit(
    work: Path,
    minutes: float,
    seed: int,
    device: torch.device,
    *,
    count: int = PICTURES,
    vae: Path | None = None,
    alongside: bool = False,
) -> dict[str, torch.Tensor]:
    """Train the judge (or go on training it), write it to `work/judge_model` and return its averaged weights.

    Args:
        work: folder of the stage's state, logs and pictures (`judge-data`).
        minutes, seed, device: as in every stage.
        count: pictures to train on; what is missing is drawn first, by a process of its own.
        vae: folder of the autoencoder that a part of the pictures goes through; by default `work`'s own, where there
            is one.
        alongside: the pictures are being drawn by another process meanwhile: begin with those that there are. Without
            this, they are drawn before.
    """
    folder = work / "judge-data"
    vae = vae or (work / "vae" if (work / "vae").exists() else None)
    if not alongside:
        command = [sys.executable, "-m", "training.judge_data", "--folder", str(folder)]
        command += ["--pictures", str(count), "--seed", str(seed), *(["--vae", str(vae)] if vae else [])]
        subprocess.run(command, check=True)
    # Pictures from the autoencoder are used where all of them are there, so that a resumed run draws the same.
    lesson = Lesson(folder, count, seed, str(device), decoded=finished(folder, "decoded") >= count)
    torch.manual_seed(seed)
    reader = Reader().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    second = Second(reader, lesson) if device.type == "cpu" and (os.cpu_count() or 1) > 1 else None

    def loss(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        # The gradients are made here, half of them by the second process; what the loop gets has none of its own.
        if second is not None:
            second.begin(step)
        parts = lesson.learn(reader, 2 * step)
        if second is None:
            others = lesson.learn(reader, 2 * step + 1)
        else:
            others = second.end()
        figures = {name: (parts[name] + others[name]) / 2 for name in parts}
        return torch.tensor(sum(figures.values()), requires_grad=True), figures

    def look(step: int, weights: dict[str, torch.Tensor]) -> dict[str, float]:
        write(weights, work / "judge_model")
        print(f"judge: step {step}", flush=True)
        return {}

    schedule = Schedule(minutes=minutes, peak=2e-3, hold=0.35, floor=0.01, average=0.998, warmup=300)
    try:
        return train("judge", reader, loss, schedule, work, seed=seed, look=look, look_minutes=3.0)
    finally:
        if second is not None:
            second.close()


def folded(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Layers for the NumPy forward pass from a `Reader`'s state: batch normalisation (of running statistics) folded
    into the convolutions, kernels as `[row x column x input, output]`, in half precision."""
    layers: dict[str, torch.Tensor] = {}

    def kernel(weight: torch.Tensor) -> torch.Tensor:
        return weight.permute(2, 3, 1, 0).flatten(0, 2) if weight.ndim == 4 else weight.T

    for name, value in weights.items():
        if name.endswith(".0.weight") and f"{name[:-9]}.1.running_mean" in weights:
            layer = name.removesuffix(".0.weight")
            norm = {
                part: weights[f"{layer}.1.{part}"]
                for part in ("weight", "bias", "running_mean", "running_var")
            }
            factor = norm["weight"] / (norm["running_var"] + 1e-5).sqrt()
            layers[f"{layer}.weight"] = kernel(value) * factor
            layers[f"{layer}.bias"] = norm["bias"] - norm["running_mean"] * factor
        elif name.split(".")[0] in ("grid", "pooled", "settings"):
            layers[name] = kernel(value) if name.endswith("weight") else value
    return {name: value.half().contiguous() for name, value in layers.items()}


def write(weights: dict[str, torch.Tensor], target: Path) -> int:
    """Write the judge's folder from a `Reader`'s state and return the size of the weights in bytes."""
    target.mkdir(parents=True, exist_ok=True)
    layers = folded(weights)
    save_file(layers, target / "judge.safetensors")
    told = {
        "about": "weights of diffuscope.scenes.judge, see README.md",
        "classes": {name: list(words) for name, words in CLASSES.items()},
        "widths": list(WIDTHS),
        "decoder": DECODER,
        "stages": STAGES,
        "channels": CHANNELS,
        "unknown": UNKNOWN,
        "parameters": sum(value.numel() for value in layers.values()),
    }
    (target / "README.md").write_text(CARD.format(parameters=told["parameters"]))
    (target / "judge.json").write_text(json.dumps(told, indent=1) + "\n")
    (target / "SHA256SUMS").write_text(checksums(target))
    return (target / "judge.safetensors").stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.judge", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the finished judge goes")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--vae", type=Path, help="folder of a diffusers AutoencoderKL that pictures go through"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--alongside", action="store_true", help="another process draws the pictures meanwhile"
    )
    parser.add_argument("--package", action="store_true", help="only write the judge as trained so far")
    given = parser.parse_args()
    if given.package:
        weights = checkpoint.load(given.work / "judge.safetensors")["average"]
    else:
        device = torch.device(given.device)
        weights = fit(
            given.work,
            given.minutes,
            given.seed,
            device,
            count=given.pictures,
            vae=given.vae,
            alongside=given.alongside,
        )
    size = write(weights, given.out)
    print(f"wrote {given.out} ({size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
