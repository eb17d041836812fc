"""Activation patching between two prompts: what of one run's activations turns another run into it, and where."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from diffuscope.analysis.cause.chance import mean_interval
from diffuscope.analysis.cause.patching import PatchingGrid, carried, where_apart
from diffuscope.analysis.cause.windows import cuts_of
from diffuscope.edits import Edit, Patch, control
from diffuscope.engine.cause.baselines import baseline
from diffuscope.engine.cause.heads import _heads_of
from diffuscope.errors import InputError
from diffuscope.selection import SiteChoice

if TYPE_CHECKING:
    from diffuscope.engine.drawing import Progress
    from diffuscope.engine.lens import Lens

By = Literal["sites", "heads"]


def patch_grid(
    lens: Lens,
    prompt: str,
    donor: str,
    *,
    by: By = "sites",
    sites: SiteChoice = None,
    parts: int = 1,
    seeds: int | Sequence[int] = 4,
    controls: bool = True,
    progress: Progress | None = None,
    **settings: Any,
) -> PatchingGrid:
    """See `Lens.patching`."""
    if by not in ("sites", "heads"):
        raise InputError(f"by={by!r}; a grid is by 'sites' or by 'heads'")
    if " ".join(prompt.split()) == " ".join(donor.split()):
        raise InputError("the prompt and the donor's are one, so nothing can be carried over")
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen:
        raise InputError("seeds: at least one")
    counts = _heads_of(lens, sites)
    places: list[tuple[str, str, str]] = []
    for site, heads in counts:
        if by == "sites":
            places.append((site, site, "all"))
        else:
            places += [(f"{site} head {head}", site, str(head)) for head in range(heads)]
    tables, noise, whole = [], [], []
    windows: list[str] = []
    for done, seed in enumerate(chosen):
        with (
            baseline(lens, prompt, seed, **settings) as run,
            baseline(lens, donor, seed, **settings) as other,
        ):
            steps = len(run.steps)
            cuts = cuts_of(steps, parts) if parts > 1 else (0, steps)
            windows = [f"{start}:{stop}" for start, stop in pairwise(cuts)]
            name = str(other.path)
            patches: list[Edit] = [
                Patch(name, sites=site, heads=heads, steps=window)
                for _, site, heads in places
                for window in windows
            ]
            everything = Patch(name, sites=",".join(site for site, _ in counts))
            edits = [everything, *patches]
            if controls:
                edits += [control(each, seed=seed) for each in patches]
            apart = where_apart(run.image, other.image)
            gone = np.zeros(len(edits))
            for made in lens.sweep(run, edits):
                gone[made.index] = carried(
                    made.image, made.unedited, other.image, apart if apart.any() else None
                )
        whole.append(gone[0])
        tables.append(gone[1 : 1 + len(patches)])
        noise.append(gone[1 + len(patches) :])
        if progress is not None:
            progress(done + 1, len(chosen))
    shape = (len(places), len(windows))
    cells = [mean_interval(column) for column in np.array(tables).T]
    means, lows, highs = (np.array([cell[at] for cell in cells]).reshape(shape) for at in range(3))
    return PatchingGrid(
        run=prompt,
        donor=donor,
        rows=tuple(label for label, _, _ in places),
        columns=tuple(windows),
        carried=_rows(means),
        low=_rows(lows),
        high=_rows(highs),
        control=_rows(np.array(noise).mean(axis=0).reshape(shape)) if controls else (),
        whole=float(np.mean(whole)),
        seeds=chosen,
    )


def _rows(table: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in table)
