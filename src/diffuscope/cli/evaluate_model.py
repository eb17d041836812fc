"""The plain form of `diffuscope evaluate`: prompt faithfulness of a model of the drawn world, beside its ceilings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from diffuscope.cli.console import note, print_json, progress_bar
from diffuscope.cli.evaluate_output import FIGURES, SOURCES, Picture, Source, show_tables, write
from diffuscope.cli.record import open_lens
from diffuscope.errors import ModelNotFoundError, RunFolderError

if TYPE_CHECKING:
    from diffuscope.engine import Lens
    from diffuscope.engine.clip_score import ClipPair
    from diffuscope.scenes.evaluation import Case

PROMPTS, SEEDS = 200, 2
QUICK = {"prompts": 6, "seeds": 1, "steps": 8}


def evaluate_model(
    *,
    model: str,
    device: str | None,
    prompts: int | None,
    seeds: int | None,
    steps: int | None,
    guidance: float | None,
    quick: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Draw, judge, count, and show; see `cli.evaluate.show`."""
    from diffuscope.scenes.evaluation import cases

    lens = open_lens(model, device=device)
    from diffuscope.engine.order import SHIPPED_GUIDANCE, SHIPPED_STEPS

    chosen: dict[str, Any] = {
        "prompts": PROMPTS,
        "seeds": SEEDS,
        "steps": SHIPPED_STEPS,
        "guidance": SHIPPED_GUIDANCE,
    }
    given = {"prompts": prompts, "seeds": seeds, "steps": steps, "guidance": guidance}
    chosen |= QUICK if quick else {}
    chosen |= {name: value for name, value in given.items() if value is not None}
    if out is not None:
        make_folder(out)
    asked = cases(chosen["prompts"], chosen["seeds"])
    sources, seconds = collect(lens, asked, chosen["steps"], chosen["guidance"])
    pair = open_pair(lens)
    told = result(model, chosen, sources, seconds, pair, asked)
    if out is not None:
        write(out, told, sources)
    if as_json:
        print_json(told)
        return
    show_tables(sources, told)
    if out is not None:
        typer.echo(f"\nwrote {out / FIGURES['light']}, sheets of the pictures and evaluation.json to {out}")


def collect(
    lens: Lens, asked: Sequence[Case], steps: int, guidance: float
) -> tuple[dict[str, Source], float]:
    """Draw and judge every case in all three ways; also the seconds that one picture took, drawn in batches."""
    from diffuscope.engine.many import draw_many
    from diffuscope.engine.pictures import BATCH, round_trip
    from diffuscope.scenes.evaluation import judged, rendered, table
    from diffuscope.scenes.judge import read

    sources = {name: Source() for name in SOURCES}
    total, done = 3 * len(asked), 0
    pairs, settings = (
        [(case.prompt.text, case.seed) for case in asked],
        {"steps": steps, "guidance_scale": guidance},
    )

    def drawn() -> Iterator[Picture]:
        for start in range(0, len(pairs), BATCH):
            yield from map(np.asarray, draw_many(lens, pairs[start : start + BATCH], settings))

    clean = sources["renderer"].images
    makers: dict[str, Callable[[], Iterable[Picture]]] = {
        "renderer": lambda: rendered(asked),
        "autoencoder": lambda: round_trip(lens.pipe, clean),
        "model": drawn,
    }
    seconds = 0.0
    with progress_bar("evaluating", unit="pictures") as on_picture:
        for name, make in makers.items():
            start = time.perf_counter()
            for image in make():
                seconds += time.perf_counter() - start if name == "model" else 0.0
                source, case = sources[name], asked[len(sources[name].images)]
                source.images.append(image)
                source.outcomes.append(judged(case, read(image)))
                done += 1
                on_picture(done, total)
                start = time.perf_counter()
    for source in sources.values():
        source.lines = table(source.outcomes)
    return sources, seconds / len(asked)


def open_pair(lens: Lens) -> ClipPair | None:
    """The pair for the CLIP score; without it the judge's figures stand alone, and a line says so."""
    from diffuscope.engine.clip_score import ClipPair

    try:
        return ClipPair.load(device=lens.pipe.device)
    except ModelNotFoundError as error:
        note(f"no CLIP score: {error}")
        return None


def psnr(drawn: Sequence[Picture], back: Sequence[Picture]) -> float:
    """Mean over pictures of the peak signal-to-noise ratio in decibels."""
    squared = [((a.astype(np.float64) - b) ** 2).mean() for a, b in zip(drawn, back, strict=True)]
    return float(np.mean(10 * np.log10(255**2 / np.maximum(squared, 1e-12))))


def result(
    model: str,
    chosen: dict[str, Any],
    sources: dict[str, Source],
    seconds: float,
    pair: ClipPair | None,
    asked: Sequence[Case],
) -> dict[str, Any]:
    """Everything that was measured, as plain values."""
    from diffuscope.scenes.evaluation import as_json, confusion, told

    if pair is not None:
        _add_fit(sources, pair, asked)
    return {
        "model": model,
        **chosen,
        "pictures": len(asked),
        "shares": {name: as_json(source.lines) for name, source in sources.items()},
        "clip_score": {name: asdict(source.fit) if source.fit else None for name, source in sources.items()},
        "horse_unicorn_pegasus_seen_as": {
            name: confusion(source.outcomes) for name, source in sources.items()
        },
        "autoencoder_psnr_db": psnr(sources["renderer"].images, sources["autoencoder"].images),
        "seconds_a_picture": seconds,
        "each": [told(one) for one in sources["model"].outcomes],
    }


def _add_fit(sources: dict[str, Source], pair: ClipPair, asked: Sequence[Case]) -> None:
    from diffuscope.engine.clip_score import clip_score
    from diffuscope.scenes.evaluation import fit

    standard = [index for index, case in enumerate(asked) if case.kind == "standard"]
    captions = list(dict.fromkeys(asked[index].prompt.text for index in standard))
    own = [captions.index(asked[index].prompt.text) for index in standard]
    words = pair.captions(captions)
    for source in sources.values():
        seen = pair.pictures([source.images[index] for index in standard])
        source.fit = fit(clip_score(seen @ words.T), own, captions)


def make_folder(out: Path) -> None:
    """Make the folder before the long work, so that a wrong one is found at once.

    Raises:
        RunFolderError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"cannot write to {out}: {error.strerror or error}; name another with --out"
        ) from error
