"""How fast questions to a recording are answered, on a recording of Stable Diffusion 1.5's full size.

    python benchmarks/queries.py [--steps 50] [--rounds N] [--out FOLDER] [--json FILE]

The recording is made up: the shapes of SD 1.5 at 512x512 (16 sites of text, 16 of the picture itself, 8 heads), random
float16 queries and keys, written by the package's own writer, 3.6 GB at 50 steps. No model runs, and torch is never
loaded; the keys of the concept are made up like the rest. Four promises:

- a word's map from the word maps made while recording: 50 ms;
- the map of two heads over all steps, from queries and keys, cold: 5 s;
- a concept's map over all steps, from queries and keys of its own, cold: 10 s; from the run's cache, 1 s;
- one pixel's row of self-attention at one step, 64x64 site, all heads: 50 ms. (A row is where the pixel looks; its
  column, who looks at it, comes from the recorded log-sum-exp and stands beside it without a promise.)
- maps of regions over all 16 self-attention sites at one step: of a pixel, what it looks at in 50 ms and who looks at
  it in 100 ms; of a box of a sixteenth of the picture, 400 ms; of a pixel over all steps, 3 s; in less than 1 GB.

Cold means a fresh process, after the system was asked to drop the files from its cache; what such a process then
fetched from the disk stands beside its time and shows whether the system did. Imports are timed apart.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import (
    describe_machine,
    drop_from_cache,
    in_fresh_process,
    machine,
    megabytes,
    parser_of,
    peak_host_memory,
    read_from_disk,
    say,
    spread,
    table,
    write_json,
)
from PIL import Image

from diffuscope.maps.attention import log_sum_exp
from diffuscope.maps.self_attention import SelfAttention
from diffuscope.recording import Call, Manifest, Recording, RunWriter, Step
from diffuscope.run import ConceptKeys, Run

PROMPT = "a red circle left of a blue square in the snow"
LENGTH = 77
HEADS = "2,5"
TARGETS = {
    "word map, another word": 0.050,
    "two heads, cold": 5.0,
    "concept, cold": 10.0,
    "concept, from the run's cache": 1.0,
    "all tokens as DAAM has them, cold": None,
    "pixel's row, cold": None,
    "pixel's row": 0.050,
    "region: pixel, from": 0.050,
    "region: pixel, to": 0.100,
    "region: box of a sixteenth, from": 0.400,
    "region: box of a sixteenth, to": 0.400,
    "region: pixel, to, all steps": 3.0,
}
MOST_MEMORY = 2**30
"""Of the process that answers for regions."""


@dataclass(frozen=True)
class Shape:
    """A place in the UNet: it has a site of text and one of the picture itself."""

    place: str
    side: int
    dim: int
    heads: int = 8


SD15 = tuple(
    Shape(place, side, dim)
    for block, side, dim, count in (
        ("down.0", 64, 40, 2),
        ("down.1", 32, 80, 2),
        ("down.2", 16, 160, 2),
        ("mid", 8, 160, 1),
        ("up.1", 16, 160, 3),
        ("up.2", 32, 80, 3),
        ("up.3", 64, 40, 3),
    )
    for place in ([block] if count == 1 else [f"{block}.{number}" for number in range(count)])
)
"""SD 1.5 at 512x512, in the order of the data."""

SMALL = tuple(Shape(shape.place, shape.side // 8, shape.dim // 4) for shape in SD15)


# The recording.


def make_recording(folder: Path, shapes: tuple[Shape, ...], steps: int, seed: int = 0) -> Path:
    """Write a complete run of everything (`qk`), as the engine would, with random attention."""
    rng = np.random.default_rng(seed)
    text = text_of(PROMPT)
    tokens = sum(token["kind"] != "padding" for token in text["tokens"])
    side = max(shape.side for shape in shapes)

    def drawn(*shape: int) -> np.ndarray[Any, Any]:
        # Three times the unit normal: attention gathers at some keys, as that of a trained model does.
        return (1.7 * rng.standard_normal(shape, np.float32)).astype(np.float16)

    # One draw a site, turned by another number of cells at each step: drawing 3.6 GB would take minutes.
    pool = {
        (kind, shape.place): drawn(shape.heads, shape.side**2, shape.dim)
        for shape in shapes
        for kind in ("cross q", "self q", "self k")
    }
    # Its real log-sum-exp goes with it, since columns are computed from it.
    lse = {
        shape.place: log_sum_exp(
            pool["self q", shape.place], pool["self k", shape.place], shape.dim**-0.5
        ).astype(np.float32)
        for shape in shapes
    }
    shares = {shape: rng.random((tokens, shape.side**2), np.float32) / tokens for shape in shapes}
    with RunWriter(folder, manifest_of(folder.name, shapes, text, steps, 8 * side)) as writer:
        writer.write_text(
            {
                f"{kind}/cross:{shape.place}@0": drawn(shape.heads, LENGTH, shape.dim)
                for shape in shapes
                for kind in "kv"
            }
            | {"embedding@0": drawn(LENGTH, 768)}
        )
        for index in range(steps):
            timestep = float(999 - 1000 * index // steps)
            step = Step(
                index=index,
                timestep=timestep,
                log_snr=-6 + 12 * index / steps,
                calls=[Call(index=index, timestep=timestep, rows=["uncond", "cond"], row=1)],
            )
            tensors = {"pred_x0": drawn(4, side, side)}
            tensors |= {f"{name}@{index}": drawn(2, 4, side, side) for name in ("latent_in", "output")}
            maps = {}
            for shape in shapes:
                at = f"{shape.place}@{index}"
                tensors[f"q/cross:{at}"] = np.roll(pool["cross q", shape.place], index, axis=1)
                tensors[f"q/self:{at}"] = np.roll(pool["self q", shape.place], index, axis=1)
                tensors[f"k/self:{at}"] = np.roll(pool["self k", shape.place], index, axis=1)
                tensors[f"lse/self:{at}"] = np.roll(lse[shape.place], index, axis=1)
                maps[f"cross:{at}"] = np.roll(shares[shape], index, axis=1)
            writer.write_step(step, tensors, maps)
        writer.finish(Image.new("RGB", (8 * side, 8 * side)))
    return folder


def text_of(prompt: str) -> dict[str, Any]:
    """Tokens and words of a prompt of known words: a token each."""
    words = prompt.split()
    assert len(set(words)) < len(words), "a repeated word is part of what is asked"
    kinds = ["start", *(["content"] * len(words)), "end", *(["padding"] * (LENGTH - len(words) - 2))]
    labels = [
        word if words.index(word) == at else f"{word}#{words[: at + 1].count(word)}"
        for at, word in enumerate(words)
    ]
    starts = [len(" ".join([*words[:at], ""])) for at in range(len(words))]
    return {
        "tokens": [{"index": at, "id": at, "text": kind, "kind": kind} for at, kind in enumerate(kinds)],
        "words": [
            {"label": label, "text": word, "tokens": [at + 1], "start": start, "end": start + len(word)}
            for at, (word, label, start) in enumerate(zip(words, labels, starts, strict=True))
        ],
        "length": LENGTH,
    }


def manifest_of(run: str, shapes: tuple[Shape, ...], text: dict[str, Any], steps: int, side: int) -> Manifest:
    """What is known before the first step."""
    sites = [
        {
            "name": f"{kind}:{shape.place}",
            "module": f"{shape.place}.{'attn1' if kind == 'self' else 'attn2'}",
            "kind": kind,
            "grid": [shape.side, shape.side],
            "heads": shape.heads,
            "head_dim": shape.dim,
            "scale": shape.dim**-0.5,
            "keys": LENGTH if kind == "cross" else shape.side**2,
        }
        for shape in shapes
        for kind in ("self", "cross")
    ]
    return Manifest.model_validate(
        {
            "id": run,
            "created": "2026-01-01T00:00:00+00:00",
            "software": {},
            "model": {
                "id": "made up",
                "source": "benchmarks/queries.py",
                "family": "stable-diffusion",
                "pipeline": "StableDiffusionPipeline",
                "dtype": "float16",
            },
            "sampling": {
                "prompt": PROMPT,
                "seed": 0,
                "steps": steps,
                "guidance_scale": 7.5,
                "width": side,
                "height": side,
                "scheduler": {"name": "none", "config": {}},
            },
            "text": text,
            "sites": sites,
            "keep": {"level": "qk", "dtype": "float16", "sites": [site["name"] for site in sites]},
        }
    )


# The questions.


def finest(recording: Recording) -> str:
    """The last of the self-attention sites with the largest grid."""
    sites = [site for site in recording.manifest.sites if site.kind == "self"]
    cells = max(site.grid[0] for site in sites)
    return [site.name for site in sites if site.grid[0] == cells][-1]


def looks_at(run: Run, step: int, cell: int) -> None:
    """Where one cell of the finest grid looks, mean over all heads."""
    SelfAttention(run.recording).looks_at(finest(run.recording), step, [cell])


def looked_at_by(run: Run, step: int, cell: int) -> None:
    """Who looks at one cell of the finest grid, mean over all heads."""
    SelfAttention(run.recording).looked_at_by(finest(run.recording), step, [cell])


def warm(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of questions to an open run whose files the system has in its cache.

    Every question differs from those before it (another word, other heads, another pixel), but for `again`.
    """
    labels = [word.label for word in Run.open(folder).words]
    told: dict[str, list[float]] = {}

    def ask(name: str, question: Callable[..., Any], *about: Any) -> Any:
        start = time.perf_counter()
        answer = question(*about)
        told.setdefault(name, []).append(time.perf_counter() - start)
        return answer

    for number in range(rounds):
        run: Run = ask("opening the run", Run.open, folder)
        first, *others = (run.word(label) for label in np.roll(labels, number))
        ask("word map, the first", first.map)
        for word in others:
            ask("word map, another word", word.map)
            ask("word map, again", word.map)
        ask("word map, all steps apart", first.steps)
        ask("two heads, warm", lambda word: word.map(heads=HEADS), first)
        rng = np.random.default_rng(number)
        cells = run.recording.site(finest(run.recording)).keys
        for step in map(int, rng.permutation(len(run.steps))[:5]):
            ask("pixel's row, first of its step", looks_at, run, step, 0)
            for cell in map(int, rng.integers(1, cells, 4)):
                ask("pixel's row", looks_at, run, step, cell)
                ask("pixel's column", looked_at_by, run, step, cell)
    return told


def regions(folder: Path, rounds: int) -> dict[str, Any]:
    """Ask about regions in this process, which is fresh: seconds of each question, and the most memory it took.

    Each question is asked once before it is timed, so files and code are there; the pixels and steps differ.
    """
    run = Run.open(folder)
    sampling, steps = run.manifest.sampling, len(run.steps)
    quarter = sampling.width // 4
    rng = np.random.default_rng(0)
    told: dict[str, list[float]] = {}

    def at(most: int) -> int:
        return int(rng.integers(0, most))

    for number in range(rounds + 1):
        x, y, step = at(sampling.width - quarter), at(sampling.height - quarter), at(steps)
        pixel = run.region(pixel=(x, y))
        box = run.region(box=(x, y, x + quarter - 1, y + quarter - 1))
        questions: dict[str, Callable[[], Any]] = {
            "region: pixel, from": lambda: pixel.map(step, direction="from"),  # noqa: B023 - asked at once
            "region: pixel, to": lambda: pixel.map(step),  # noqa: B023
            "region: box of a sixteenth, from": lambda: box.map(step, direction="from"),  # noqa: B023
            "region: box of a sixteenth, to": lambda: box.map(step),  # noqa: B023
            "region: pixel, to, all steps": lambda: pixel.map(),  # noqa: B023
        }
        for name, question in questions.items():
            start = time.perf_counter()
            question()
            if number:
                told.setdefault(name, []).append(time.perf_counter() - start)
    return {"asked": told, "peak": peak_host_memory()}


def cold(folder: Path, question: str) -> dict[str, Any]:
    """Ask one question in this process, which is fresh. Includes opening the run."""
    before = read_from_disk()
    start = time.perf_counter()
    run = Run.open(folder)
    if question == "heads":
        run.word("circle").map(heads=HEADS)
    elif question in ("concept", "concept again"):
        run.concept(made_up_concept(run)).map()
    elif question == "daam":
        run.word("circle").daam()
    elif question == "pixel":
        looks_at(run, len(run.steps) // 2, 0)
    else:
        run.word("circle").map()
    told = {"seconds": time.perf_counter() - start, "peak": peak_host_memory()}
    after = read_from_disk()
    return {**told, "fetched": None if before is None or after is None else after - before}


def made_up_concept(run: Run) -> ConceptKeys:
    """A text of one word: start, word, end."""
    rng = np.random.default_rng(5)
    keys = {
        site.name: (1.7 * rng.standard_normal((site.heads, 3, site.head_dim))).astype(np.float32)
        for site in run.sites
        if site.kind == "cross"
    }
    return ConceptKeys("roof", ("<start>", "roof", "<end>"), ((1,),), keys)


# The command.


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5, help="of the warm questions")
    parser.add_argument("--cold", type=int, default=3, help="fresh processes for each cold question")
    parser.add_argument("--out", type=Path, help="where the recording lies for a while (which disk matters)")
    parser.add_argument("--child", nargs=2, metavar=("RUN", "QUESTION"), help="for this script's own use")
    options = parser.parse_args()
    if options.child and options.child[1].startswith("regions"):
        print(json.dumps(regions(Path(options.child[0]), int(options.child[1].partition(":")[2]))))
        return
    if options.child:
        print(json.dumps(cold(Path(options.child[0]), options.child[1])))
        return
    shapes, steps, rounds, times_cold = SD15, options.steps, options.rounds, options.cold
    if options.quick:
        shapes, steps, rounds, times_cold = SMALL, 6, 2, 1

    where = machine()
    print(describe_machine(where), flush=True)
    with tempfile.TemporaryDirectory(dir=options.out) as place:
        say(f"writing a recording of {steps} steps")
        start = time.perf_counter()
        folder = make_recording(Path(place) / "run", shapes, steps)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        results: dict[str, Any] = {
            "recording": {"bytes": size, "steps": steps, "seconds": time.perf_counter() - start},
            "asked": {},
            "fetched": {},
            "peak_host_memory": {},
        }
        for question, name in (
            ("heads", "two heads, cold"),
            ("word", "word map, cold"),
            ("pixel", "pixel's row, cold"),
            ("concept", "concept, cold"),
            ("concept again", "concept, from the run's cache"),
            ("daam", "all tokens as DAAM has them, cold"),
        ):
            told = []
            for _ in range(times_cold):
                say(name)
                if question in ("concept", "daam"):
                    shutil.rmtree(folder / "cache", ignore_errors=True)
                results["cache_dropped"] = drop_from_cache(folder)
                told.append(in_fresh_process(Path(__file__), ["--child", str(folder), question]))
            results["asked"][name] = [row["seconds"] for row in told]
            results["fetched"][name] = [row["fetched"] for row in told]
            results["peak_host_memory"][name] = max(row["peak"] for row in told)
        say("warm questions")
        warm(folder, 1)  # Brings the files into the cache, and the code into memory.
        results["asked"] |= warm(folder, rounds)
        say("regions")
        told_regions = in_fresh_process(Path(__file__), ["--child", str(folder), f"regions:{rounds}"])
        results["asked"] |= told_regions["asked"]
        results["peak_host_memory"]["regions"] = told_regions["peak"]
        shutil.rmtree(folder)

    print(
        f"\n{megabytes(size)}, {steps} steps, {len(shapes)} sites of text and as many of the picture itself\n"
    )
    print(
        table(
            ["question", "median", "10 to 90 %", "times", "promised", "fetched from disk"], rows_of(results)
        )
    )
    peak = results["peak_host_memory"]["two heads, cold"]
    print(f"\nPeak host memory of the process that answered for two heads: {megabytes(peak)}.")
    peak = results["peak_host_memory"]["regions"]
    kept = "kept" if peak < MOST_MEMORY else "BROKEN"
    print(
        f"Peak host memory of the process that answered for regions: {megabytes(peak)} "
        f"({megabytes(MOST_MEMORY)}: {kept})."
    )
    write_json(options.json, "queries", where, results)


def rows_of(results: dict[str, Any]) -> list[list[str]]:
    """The table: a question a line, the promise it belongs to and whether it was kept."""
    rows = []
    for name, asked in results["asked"].items():
        numbers, target = spread(asked), TARGETS.get(name)
        fetched = [count for count in results["fetched"].get(name, []) if count is not None]
        rows.append(
            [
                name,
                f"{1000 * numbers['median']:.2f} ms",
                f"{1000 * numbers['p10']:.2f} to {1000 * numbers['p90']:.2f} ms",
                str(len(asked)),
                ""
                if target is None
                else f"{1000 * target:.0f} ms: {'kept' if numbers['median'] < target else 'BROKEN'}",
                megabytes(float(np.median(fetched))) if fetched else "",
            ]
        )
    return rows


if __name__ == "__main__":
    main()
