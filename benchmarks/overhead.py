"""What recording costs: time beside the plain pipeline, memory against the number of steps, bytes on disk.

    python benchmarks/overhead.py [--models scenes,sd15] [--rounds N] [--steps N] [--size PIXELS] [--json FILE]
    python benchmarks/overhead.py --models scenes --parts times,memory --memory 10,25,50,100
    python benchmarks/overhead.py --models scenes --parts profile

Timed is the whole call, `lens.record(...)` beside `pipe(...)` with the same arguments, until the run is closed and
flushed to the device; loading is not. Everything is interleaved in one process: plain, each keep level, explicit
attention, plain again; each second round backwards. A ratio is that of the medians, with the 10th to 90th percentile
of the ratios within each round. `plain again` against `plain` is the control: what it differs from 1 by is noise.

`explicit` is what tools do that ask for attention maps: processors of their own that compute softmax(QK^T) and keep
the head-mean maps of cross-attention, at the cross sites alone (as DAAM does) or at all sites (as prompt-to-prompt
does). They keep no single heads, no queries, and nothing on disk, so they do less than any level here.

`sd15` is the full-size UNet of Stable Diffusion 1.5 with random weights: time does not depend on the weights.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from measuring import (
    AGAIN,
    PLAIN,
    LoopWatch,
    Sample,
    describe_machine,
    forget_peak,
    in_fresh_process,
    interleave,
    machine,
    median,
    megabytes,
    parser_of,
    peak_host_memory,
    ratio,
    say,
    table,
    timed,
    write_json,
)
from profiling import print_profile, profile

from diffuscope.engine import Lens
from diffuscope.engine.order import SHIPPED_GUIDANCE, SHIPPED_STEPS
from diffuscope.recording import Level
from diffuscope.testing import random_pipeline

LEVELS: tuple[Level, ...] = get_args(Level)
PARTS = ("times", "memory", "profile")
ROUNDS = {"scenes": 15, "sd15": 5, "tiny": 2}
STEPS = {"scenes": SHIPPED_STEPS, "sd15": 4, "tiny": 2}
WARM_UP_STEPS = 2


@dataclass(frozen=True)
class Subject:
    """A model and what is asked of it, in the very same words plain and recorded."""

    name: str
    lens: Lens
    prompt: str
    steps: int
    guidance: float
    height: int
    width: int
    seed: int = 7

    @property
    def decoder(self) -> torch.nn.Module:
        decoder: torch.nn.Module = self.lens.pipe.vae.decoder
        return decoder

    @property
    def denoiser(self) -> torch.nn.Module:
        return self.lens.family.denoiser(self.lens.pipe)

    def plain(self) -> Any:
        """The picture, by the pipeline alone."""
        return self.lens.pipe(
            self.prompt,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            height=self.height,
            width=self.width,
            num_images_per_prompt=1,
            generator=torch.Generator("cpu").manual_seed(self.seed),
        ).images[0]

    def record(self, keep: Level, folder: Path, *, previews: bool = False, **more: Any) -> Any:
        """The run, recorded with every site unless `more` says otherwise."""
        return self.lens.record(
            self.prompt,
            seed=self.seed,
            steps=self.steps,
            guidance_scale=self.guidance,
            height=self.height,
            width=self.width,
            keep=keep,
            out=folder,
            previews=previews,
            **more,
        )

    def explicit(self, *, every: bool) -> Any:
        """The picture, by a pipeline with explicit attention that keeps maps."""
        with explicit_attention(self.denoiser, every=every):
            return self.plain()


def subject(name: str, steps: int | None = None, size: int | None = None) -> Subject:
    """`scenes`, `sd15` or `tiny` on the CPU."""
    if name == "scenes":
        lens = Lens.load("scenes", device="cpu")
        prompt, guidance = "a red circle left of a blue square in the snow", SHIPPED_GUIDANCE
    elif name in ("sd15", "tiny"):
        lens = Lens(random_pipeline("sd15", "full" if name == "sd15" else "tiny"))
        prompt, guidance = "a red cat and a red cat", 7.5
    else:
        raise SystemExit(f"no model {name!r} here; there are: {', '.join(STEPS)}")
    height, width = (size, size) if size else lens.family.default_size(lens.pipe)
    return Subject(name, lens, prompt, steps or STEPS[name], guidance, height, width)


# What earlier tools do.


class ExplicitAttention:
    """An attention processor that computes the probabilities itself, for UNets of Stable Diffusion's form.

    Args:
        kept: gets the conditional row's head-mean map `[query, key]` of each call, float32 on the CPU; None keeps
            nothing.
    """

    def __init__(self, kept: list[torch.Tensor] | None) -> None:
        self.kept = kept

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(part)
            for part in (attn.to_q(hidden_states), attn.to_k(source), attn.to_v(source))
        )
        probabilities = attn.get_attention_scores(query, key, attention_mask)
        if self.kept is not None:
            # The conditional row is the last: [unconditional, conditional] x heads.
            self.kept.append(probabilities[-attn.heads :].float().mean(dim=0).cpu())
        together = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        output: torch.Tensor = attn.to_out[1](attn.to_out[0](together)) / attn.rescale_output_factor
        return output


@contextmanager
def explicit_attention(unet: Any, *, every: bool) -> Iterator[dict[str, list[torch.Tensor]]]:
    """Explicit attention in a UNet for a while: at its cross sites, or at `every` site.

    Yields:
        Path of each cross-attention module to its maps, one a call.
    """
    before = dict(unet.attn_processors)
    kept: dict[str, list[torch.Tensor]] = {}
    chosen = dict(before)
    for name in before:
        path = name.removesuffix(".processor")
        if path.endswith("attn2"):
            chosen[name] = ExplicitAttention(kept.setdefault(path, []))
        elif every:
            chosen[name] = ExplicitAttention(None)
    unet.set_attn_processor(chosen)
    try:
        yield kept
    finally:
        unet.set_attn_processor(before)


# Time.


def variants(
    of: Subject, levels: Sequence[Level], folder: Path, *, previews: bool, explicit: bool
) -> dict[str, Callable[[], Any]]:
    """Name to what is timed, in the order of a round. Recordings are made in `folder`."""
    made: dict[str, Callable[[], Any]] = {PLAIN: of.plain}
    for level in levels:
        made[level] = partial(of.record, level, folder)
    if previews:
        for level in levels:
            made[f"{level}, previews"] = partial(of.record, level, folder, previews=True)
    if explicit:
        made["explicit, cross sites"] = partial(of.explicit, every=False)
        made["explicit, all sites"] = partial(of.explicit, every=True)
    made[AGAIN] = of.plain
    return made


def times(
    of: Subject,
    levels: Sequence[Level],
    rounds: int,
    *,
    out: Path | None = None,
    previews: bool = False,
    explicit: bool = True,
    watch: Callable[[torch.nn.Module, torch.nn.Module], LoopWatch] = LoopWatch,
    settle: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Samples of every variant, ratios to the plain pipeline, difference of the pictures, bytes on disk.

    Args:
        of: what is measured.
        levels: keep levels.
        rounds: how often.
        out: where the runs are written for a while; the system's temporary folder by default.
        previews: whether each level is measured with previews too.
        explicit: whether explicit attention is measured beside them.
        watch, settle: see `measuring.timed`.
    """
    sizes: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=out) as folder:
        brief = replace(of, steps=min(of.steps, WARM_UP_STEPS))
        pictures: dict[str, Any] = {}
        for name, call in variants(brief, levels, Path(folder), previews=previews, explicit=explicit).items():
            say(f"{of.name}: warm-up, {name}")
            pictures[name] = _picture(call())
            _empty(Path(folder))

        calls = variants(of, levels, Path(folder), previews=previews, explicit=explicit)
        loop = watch(of.denoiser, of.decoder)

        def measure(name: str) -> Sample:
            made, sample = timed(calls[name], loop, settle)
            if hasattr(made, "recording"):
                sizes[name] = on_disk(made.path, of.steps)
            _empty(Path(folder))  # At once: what waits for the disk would slow the next variant.
            return sample

        try:
            samples = interleave(list(calls), measure, rounds, lambda line: say(f"{of.name}: {line}"))
        finally:
            loop.remove()
    plain = pictures[PLAIN]
    return {
        "model": of.name,
        "steps": of.steps,
        "size": [of.height, of.width],
        "rounds": rounds,
        "samples": samples,
        "ratios": {
            name: {part: ratio(samples, name, part) for part in ("wall", "loop", "cpu")}
            for name in samples
            if name != PLAIN
        },
        "largest_pixel_difference": {
            name: int(np.abs(picture.astype(int) - plain).max()) for name, picture in pictures.items()
        },
        "disk": sizes,
    }


def print_times(told: dict[str, Any]) -> None:
    """The table of `times`."""
    rows = []
    for name, samples in told["samples"].items():
        ratios = told["ratios"].get(name)
        off = told["largest_pixel_difference"][name]  # After the few steps of the warm-up.
        rows.append(
            [
                name,
                f"{median(samples):.3f}",
                *(
                    [str(ratios["wall"]), str(ratios["loop"]), f"{ratios['cpu'].value:.3f}"]
                    if ratios
                    else ["1"] * 3
                ),
                "the same" if off == 0 else f"off by up to {off} of 255",
            ]
        )
    height, width = told["size"]
    print(f"\n{told['model']}, {width}x{height}, {told['steps']} steps, {told['rounds']} rounds\n")
    print(
        table(
            ["variant", "seconds", "ratio (10 to 90 %)", "denoising loop alone", "processor time", "picture"],
            rows,
        )
    )
    print()
    sizes = told["disk"]
    print(
        table(
            ["kept", "a step", "tensors of it", "word maps of it", "preview of it", "beside the steps"],
            [
                [name, *(megabytes(size[key]) for key in ("step", "tensors", "maps", "previews", "rest"))]
                for name, size in sizes.items()
            ],
        ),
        flush=True,
    )


def on_disk(run: Path, steps: int) -> dict[str, float]:
    """Bytes of a run folder: for each step, and beside the steps (text, picture, manifest, events)."""

    def of(name: str) -> int:
        return sum(path.stat().st_size for path in (run / name).rglob("*") if path.is_file())

    parts = {"tensors": of("steps") / steps, "maps": of("maps") / steps, "previews": of("previews") / steps}
    step = sum(parts.values())
    return {"step": step, **parts, "rest": of("") - step * steps, "total": of("")}


def _picture(made: Any) -> np.ndarray[Any, Any]:
    return np.asarray(made.image if hasattr(made, "recording") else made)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path)


# Memory.


def memory(
    model: str, kinds: Sequence[str], steps: Sequence[int], size: int | None, *, fresh: bool = True
) -> list[dict[str, Any]]:
    """Peak host memory of plain and recorded runs of so many steps, each in a process of its own, or (for a trial, as
    starting one takes longer than all the rest) not `fresh` in this one."""
    told = []
    for number in steps:
        for kind in kinds:
            say(f"{model}: memory, {kind}, {number} steps")
            if not fresh:
                told.append(memory_child(subject(model, number, size), kind))
                continue
            arguments = ["--memory-child", kind, "--models", model, "--steps", str(number)]
            told.append(
                in_fresh_process(Path(__file__), [*arguments, *(["--size", str(size)] if size else [])])
            )
    return told


def memory_child(of: Subject, kind: str) -> dict[str, Any]:
    """Run in the fresh process: bytes at the peak of loading and a warm-up, and at that of the run that counts."""
    replace(of, steps=min(of.steps, WARM_UP_STEPS)).plain()
    loading = peak_host_memory()
    # Loading may have held more than the run will, and would hide it.
    reset = forget_peak()
    if kind == PLAIN:
        of.plain()
    else:
        with tempfile.TemporaryDirectory() as folder:
            of.record(next(level for level in LEVELS if level == kind), Path(folder))
    return {"kind": kind, "steps": of.steps, "loading": loading, "reset": reset, "peak": peak_host_memory()}


def print_memory(model: str, told: Sequence[dict[str, Any]]) -> None:
    """Peak by steps and level, and what each step beyond the fewest adds."""
    kinds = list(dict.fromkeys(row["kind"] for row in told))
    steps = list(dict.fromkeys(row["steps"] for row in told))
    peak = {(row["kind"], row["steps"]): row["peak"] for row in told}
    rows = [[f"{number} steps", *(megabytes(peak[kind, number]) for kind in kinds)] for number in steps]
    if len(steps) > 1:
        growth = [(peak[kind, steps[-1]] - peak[kind, steps[0]]) / (steps[-1] - steps[0]) for kind in kinds]
        rows.append(["growth a step", *(f"{value / 1000:+.1f} kB" for value in growth)])
    since = "after loading" if all(row["reset"] for row in told) else "loading included"
    print(f"\n{model}, peak host memory of a fresh process (VmHWM), {since}\n")
    print(table(["", *kinds], rows), flush=True)


# The command.


def levels_of(text: str) -> list[Level]:
    """Keep levels from a list like `maps,qk`."""
    unknown = set(text.split(",")) - set(LEVELS)
    if unknown:
        raise SystemExit(f"no keep level {', '.join(sorted(unknown))}; there are: {', '.join(LEVELS)}")
    return [level for level in LEVELS if level in text.split(",")]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--models", default="scenes,sd15", help="of scenes, sd15, tiny")
    parser.add_argument("--levels", default=",".join(LEVELS))
    parser.add_argument("--rounds", type=int, help=f"of every variant; by default {ROUNDS}")
    parser.add_argument("--steps", type=int, help=f"of a run; by default {STEPS}")
    parser.add_argument("--size", type=int, help="height and width in pixels; the model's own by default")
    parser.add_argument("--parts", default="times,memory", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--profile", action="store_true", help="the profile too")
    parser.add_argument("--memory", default="10,25,50,100", help="numbers of steps to measure memory at")
    parser.add_argument("--memory-model", default="scenes")
    parser.add_argument("--without-explicit", action="store_true", help="leave explicit attention out")
    parser.add_argument("--out", type=Path, help="where runs are written for a while (which disk matters)")
    parser.add_argument("--memory-child", help="for this script's own use")
    options = parser.parse_args()
    levels = levels_of(options.levels)
    if options.memory_child:
        of = subject(options.models, options.steps, options.size)
        print(json.dumps(memory_child(of, options.memory_child)))
        return
    models, parts = options.models.split(","), options.parts.split(",")
    memory_kinds, memory_model = [PLAIN, *levels], options.memory_model
    memory_steps = [int(number) for number in options.memory.split(",")]
    if options.quick:
        models, parts, memory_model = ["tiny"], list(PARTS), "tiny"
        memory_kinds, memory_steps = [levels[-1]], [1]
        options.rounds = options.steps = 1

    where = machine()
    print(describe_machine(where), flush=True)
    results: dict[str, Any] = {"times": {}, "memory": {}, "profile": {}}
    for name in models:
        of = subject(name, options.steps, options.size)
        if "times" in parts:
            results["times"][name] = times(
                of,
                levels,
                options.rounds or ROUNDS[name],
                out=options.out,
                previews=name != "sd15",  # There the decoder would be measured, not the recording.
                explicit=not options.without_explicit,
            )
            print_times(results["times"][name])
        if "profile" in parts or options.profile:
            results["profile"][name] = profile(of, levels[-1], 1 if options.quick else 3)
            print_profile(results["profile"][name])
        del of
    if "memory" in parts:
        results["memory"][memory_model] = memory(
            memory_model, memory_kinds, memory_steps, options.size, fresh=not options.quick
        )
        print_memory(memory_model, results["memory"][memory_model])
    write_json(options.json, "overhead", where, results)


if __name__ == "__main__":
    main()
