"""An edit in every window of a run, over seeds; see `analysis.cause.windows`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from diffuscope.analysis.cause.windows import Windows, cuts_of, keep, windows_between
from diffuscope.edits import Control, Edit, Silence, control
from diffuscope.engine.cause.baselines import baseline, seeds_from
from diffuscope.errors import InputError
from diffuscope.run import Run, find

if TYPE_CHECKING:
    from diffuscope.engine.drawing import Progress
    from diffuscope.engine.lens import Lens

SEEDS, PARTS = 6, 5


def search_windows(
    lens: Lens,
    start: Run | str,
    what: str | Edit,
    *,
    parts: int = PARTS,
    seeds: int | Sequence[int] = SEEDS,
    progress: Progress | None = None,
    **settings: Any,
) -> Windows:
    """See `Lens.windows`."""
    edit = Silence(what) if isinstance(what, str) else what
    word: str | None = what if isinstance(what, str) else getattr(what, "word", None)
    chosen = seeds_from(start, seeds)
    cuts: tuple[int, ...] = ()
    steps, effects = 0, []
    for done, seed in enumerate(chosen):
        with baseline(lens, start, seed, **settings) as run:
            own = len(run.steps)
            if not cuts:
                steps, cuts = own, cuts_of(own, parts)
                # As the run calls it, so that it is found again.
                word = None if word is None else find(run.manifest.text, word).label
            elif own != steps:
                raise InputError(f"seed {seed} was drawn in {own} steps and the first in {steps}")
            edits = [_at(edit, *window) for window in windows_between(cuts)]
            row = [0.0] * len(edits)
            for made in lens.sweep(run, edits):
                row[made.index] = made.mean
        effects.append(tuple(row))
        if progress is not None:
            progress(done + 1, len(chosen))
    found = Windows(edit.describe(), word, steps, cuts, chosen, tuple(effects))
    if isinstance(start, Run):
        keep(start.recording, found)
    return found


def _at(edit: Edit, first: int, stop: int) -> Edit:
    """The edit at these steps alone, whatever it said itself."""
    if isinstance(edit, Control):
        return control(replace(edit.edit, steps=f"{first}:{stop}"), edit.seed)
    return replace(edit, steps=f"{first}:{stop}")
