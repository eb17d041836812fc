"""Validate diffuscope on a downloaded model: the same proof as in the tests, on real weights, as a page.

    python benchmarks/real_model.py MODEL [--prompt TEXT] [--steps N] [--device D] [--dtype T] [--size HxW] [--out
    page.md]

MODEL is what `diffuscope record --model` takes: a hub id, a folder, a checkpoint file. Draws the picture three times:
plainly, recorded, and plainly once more beside an explicit softmax of every attention call, and writes down whether
the picture is the same to the bit, by how much at most a recorded probability differs, what recording cost in time,
memory and disk, and the maps of the prompt's words. Ends with status 1 where something does not hold. Explicit
attention of large pictures takes memory: `--steps 2 --size 512x512` is enough for the proof.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import describe_machine, machine

from diffuscope.engine import Lens
from diffuscope.engine.models.provenance import software
from diffuscope.errors import DiffuscopeError
from diffuscope.maps.attention import probabilities
from diffuscope.recording import Recording
from diffuscope.run import Run
from diffuscope.testing.oracle import Noted, noting

PROMPT = "a red cat and a blue dog on a wooden table"
ABSOLUTE = 1e-6
"""How far a recorded probability may be from the explicit one."""


@dataclass(frozen=True)
class Found:
    """What was found: `same` picture, `off` the largest difference of a probability, `compared` how many tables,
    seconds of a plain and of a recorded drawing, peak memory in bytes of each (GPU), and bytes on disk."""

    same: bool
    off: float
    relative: float
    compared: int
    plain: float
    recorded: float
    memory: tuple[int, int]
    host: int
    disk: int


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    try:
        lens = Lens.load(options.model, device=options.device, dtype=options.dtype, offline=options.offline)
    except DiffuscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = {}
    if options.size:
        height, _, width = options.size.partition("x")
        size = {"height": int(height), "width": int(width)}
    with tempfile.TemporaryDirectory(dir=options.runs) as folder:
        try:
            run, found = validated(lens, options.prompt, options.steps, size, Path(folder))
        except DiffuscopeError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        text = page(lens, run, found)
        maps = Path(options.out).with_suffix("")
        pictures = word_pictures(run, maps)
    Path(options.out).write_text(text + pictures, encoding="utf-8")
    print(text)
    return 0 if holds(found) else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--size", metavar="HxW")
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--runs", metavar="DIR", help="where the recording goes for a while; it is large")
    parser.add_argument("--out", default="validation.md")
    return parser.parse_args(argv)


def validated(lens: Lens, prompt: str, steps: int, size: dict[str, int], folder: Path) -> tuple[Run, Found]:
    """Draw, record, and compare."""
    pipe = lens.pipe

    def draw() -> np.ndarray:
        generator = torch.Generator("cpu").manual_seed(0)
        made = pipe(prompt, num_inference_steps=steps, generator=generator, **size)
        return np.asarray(made.images[0])

    draw()  # Kernels are chosen and memory is laid out the first time.
    plain, before = timed(draw)
    host = peak_host()
    run, after = timed(
        lambda: lens.record(prompt, steps=steps, seed=0, keep="qk", out=folder, previews=False, **size)
    )
    with noting(lens.family.denoiser(pipe)) as noted:
        again = draw()
    same = np.array_equal(plain, np.asarray(run.image)) and np.array_equal(plain, again)
    off, relative, compared = differences(run, noted)
    disk = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    return run, Found(
        same, off, relative, compared, before[0], after[0], (before[1], after[1]), peak_host() - host, disk
    )


def timed(work: Any) -> tuple[Any, tuple[float, int]]:
    """What it gives, its seconds, and the GPU memory that it took at most."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    made = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return made, (time.perf_counter() - begin, torch.cuda.max_memory_allocated())
    return made, (time.perf_counter() - begin, 0)


def peak_host() -> int:
    """Largest memory of this process so far, in bytes (kilobytes on Linux, bytes on macOS)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def differences(run: Run, noted: Noted) -> tuple[float, float, int]:
    """Largest difference, absolute and relative, between recorded and explicit probabilities, and how many tables."""
    worst, relatively, compared = 0.0, 0.0, 0
    recording: Recording = run.recording
    for step in run.steps:
        for call in step.calls:
            if call.row < 0:
                continue
            for site in run.sites:
                expected = noted.calls[call.index][site.module][call.row]
                if site.kind == "joint":
                    image, text = slice(*site.image_keys), slice(*site.text_keys)
                    expected = np.concatenate([expected[:, image, text], expected[:, image, image]], axis=2)
                found = probabilities(
                    recording.query(site.name, step.index, call.index),
                    recording.keys(site.name, step.index, call.index),
                    site.scale,
                    recording.mask(site.name, step.index, call.index),
                )
                error = np.abs(found - expected)
                worst = max(worst, float(error.max()))
                relatively = max(relatively, float((error / np.maximum(expected, 1e-30)).max()))
                compared += 1
    return worst, relatively, compared


def holds(found: Found) -> bool:
    return found.same and found.off <= ABSOLUTE and found.compared > 0


def page(lens: Lens, run: Run, found: Found) -> str:
    """The validation page."""
    model, sampling = run.manifest.model, run.manifest.sampling
    versions = ", ".join(f"{name} {version}" for name, version in software(lens.pipe.device).items())
    rows = [
        ("model", f"`{model.id}` ({model.source}{f', commit `{model.revision}`' if model.revision else ''})"),
        ("pipeline, adapter", f"{model.pipeline}, `{model.family}`"),
        ("type of numbers", model.dtype),
        (
            "drawn",
            f"{sampling.height}x{sampling.width}, {sampling.steps} steps, guidance {sampling.guidance_scale:g}",
        ),
        (
            "attention sites",
            f"{len(run.sites)}, seen at each of {sum(len(step.calls) for step in run.steps)} calls",
        ),
        ("picture as without recording", "**the same, bit for bit**" if found.same else "**DIFFERENT**"),
        (
            "recorded against explicit attention",
            f"at most {found.off:.1e} absolute, {found.relative:.1e} relative, over {found.compared} tables"
            + ("" if found.off <= ABSOLUTE else " (**too much**)"),
        ),
        ("time", f"{found.plain:.2f} s plain, {found.recorded:.2f} s recorded with keep=qk"),
        (
            "GPU memory at most",
            f"{found.memory[0] / 1e9:.2f} GB plain, {found.memory[1] / 1e9:.2f} GB recorded",
        ),
        ("host memory added", f"{found.host / 1e9:.2f} GB"),
        ("on disk", f"{found.disk / 1e6:.0f} MB, {found.disk / 1e6 / len(run.steps):.0f} MB a step"),
        ("machine", ", ".join(describe_machine(machine()).splitlines())),
        ("versions", versions),
    ]
    verdict = "holds" if holds(found) else "DOES NOT HOLD"
    lines = [
        f"# Validation of {model.id}: it {verdict}",
        "",
        f"Prompt: *{sampling.prompt}*",
        "",
        "| | |",
        "|---|---|",
    ]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows), ""])


def word_pictures(run: Run, folder: Path) -> str:
    """Maps of the prompt's words beside the page, and the lines that show them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["", "## Maps of its words", ""]
    for number, word in enumerate(run.words):
        file = folder / f"{number:02d}-{''.join(letter for letter in word.label if letter.isalnum())}.png"
        run.word(word.label).map().save(file)
        lines.append(f"![{word.label}]({folder.name}/{file.name})")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
