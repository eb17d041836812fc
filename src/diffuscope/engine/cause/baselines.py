"""Unedited runs that effects are measured from: one prompt over several seeds, each on disk while it is needed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.models.reopening import rebuild_scheduler
from diffuscope.engine.rerun import asked_for, check_model
from diffuscope.errors import InputError
from diffuscope.run import Run

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens


def seeds_from(start: Run | str, seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Which seeds are drawn: those given, or so many from the run's own (from 0 for a prompt) upwards.

    Raises:
        InputError: none, one twice, or a run that does not know its seed.
    """
    if isinstance(seeds, int):
        first = 0 if isinstance(start, str) else start.manifest.sampling.seed
        if first is None:
            raise InputError(
                "the run was drawn with the caller's own generator and knows no seed; give seeds="
            )
        seeds = range(first, first + seeds)
    chosen = tuple(int(seed) for seed in seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError("seeds: at least one, and none twice")
    return chosen


@contextmanager
def baseline(lens: Lens, start: Run | str, seed: int, **settings: Any) -> Iterator[Run]:
    """The unedited run of a seed; gone afterwards, unless it is `start` itself.

    Args:
        lens: the model.
        start: a run, whose settings are taken, or a prompt.
        seed: of the first noise.
        **settings: of `Lens.record`, for a prompt: steps, guidance_scale, …

    Raises:
        InputError: settings were given for a run, or its model is another; as `Lens.record`.
    """
    if isinstance(start, str):
        with tempfile.TemporaryDirectory(prefix="diffuscope-") as place:
            yield lens.record(start, seed=seed, keep="maps", previews=False, out=place, **settings)
        return
    if settings:
        raise InputError(
            f"the run says how it is drawn: leave out {', '.join(sorted(settings))}, or give a prompt"
        )
    manifest = start.manifest
    if seed == manifest.sampling.seed:
        yield start
        return
    if manifest.edits:
        raise InputError(
            "the run was edited itself; name its own seed alone (seeds=[…]), or give the unedited run"
        )
    check_model(manifest, lens)
    asked = {**asked_for(manifest), "seed": seed, "keep": "maps", "images_per_prompt": 1}
    for name in ("sites", "keep_steps", "keep_heads", "values", "store"):
        del asked[name]
    with tempfile.TemporaryDirectory(prefix="diffuscope-") as place, Patches() as patches:
        patches.replace(lens.pipe, "scheduler", rebuild_scheduler(manifest.sampling.scheduler))
        yield lens.record(asked.pop("prompt"), previews=False, out=place, **asked)
