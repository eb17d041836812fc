"""A search for the heads that draw a thing; see `analysis.cause.importance` for its guarantee."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.cause.importance import (
    Bound,
    HeadRanking,
    Race,
    heads_in,
    keep_ranking,
    ranked,
)
from diffuscope.analysis.cause.targets import Target, inside_and_outside, named_in_scene, where_changed
from diffuscope.edits import Scale, Silence
from diffuscope.engine.cause.baselines import baseline, seeds_from
from diffuscope.errors import InputError, SelectionError
from diffuscope.run import Run, parse_region
from diffuscope.selection import Selection, SiteChoice

if TYPE_CHECKING:
    from diffuscope.engine.drawing import Progress
    from diffuscope.engine.lens import Lens

RegionChoice = str | Callable[[Run], NDArray[np.bool_]] | None
OnEffect = Callable[[str, int, int, float, float], None]
TOP, SEEDS, ROUND = 5, 12, 4


def search_heads(
    lens: Lens,
    start: Run | str,
    word: str | None = None,
    *,
    region: RegionChoice = None,
    sites: SiteChoice = None,
    window: str = "all",
    factor: float = 0.0,
    seeds: int | Sequence[int] = SEEDS,
    per_round: int = ROUND,
    top: int = TOP,
    error: float = 0.05,
    bound: Bound = "student",
    stop: bool = True,
    progress: Progress | None = None,
    on_effect: OnEffect | None = None,
    on_ranking: Callable[[HeadRanking], None] | None = None,
    **settings: Any,
) -> HeadRanking:
    """See `Lens.heads`.

    Args:
        on_effect: called with (site, head, seed, effect inside, effect outside) as each picture is drawn.
        on_ranking: called with the ranking so far after each seed.
    """
    if (word is None) == (region is None):
        raise InputError("name a word or object of the prompt, or a region of the picture: one of the two")
    if per_round < 2:
        raise InputError(f"per_round={per_round}: a round has at least two seeds, or nothing can be settled")
    chosen = seeds_from(start, seeds)
    counts = _heads_of(lens, sites)
    rounds = [chosen[at : at + per_round] for at in range(0, len(chosen), per_round)]
    race = Race(heads_in(counts), min(top, sum(count for _, count in counts)), len(rounds), error, bound)
    outside: dict[tuple[str, int], list[float]] = {head: [] for head in race.heads}
    used: list[int] = []
    skipped: list[int] = []
    how, drawn = "given", 0
    most = len(chosen) * len(race.heads)
    folder = None if isinstance(start, str) else start.path

    def so_far() -> HeadRanking:
        return HeadRanking(
            prompt=start if isinstance(start, str) else start.prompt,
            target=word or (region if isinstance(region, str) else "the region given"),
            region=how,
            seeds=tuple(used),
            skipped=tuple(skipped),
            top=race.top,
            error=error,
            bound=bound,
            heads=ranked(race, outside),
            drawn=drawn,
            full=(len(chosen) - len(skipped)) * len(race.heads),
            word=word,
            where=region if isinstance(region, str) else None,
            window=window,
            factor=factor,
        )

    for number, part in enumerate(rounds):
        left = race.open if stop and number else race.heads
        for seed in part:
            with baseline(lens, start, seed, **settings) as run:
                target = _target(lens, run, word, region, folder)
                if target is None or not target.mask.any():
                    skipped.append(seed)
                    continue
                how = target.how
                edits = [Scale(factor, sites=site, heads=str(head), steps=window) for site, head in left]
                found = {}
                for made in lens.sweep(run, edits):
                    inside, without = inside_and_outside(made.change, target.mask)
                    found[left[made.index]] = inside, without
                    if on_effect is not None:
                        on_effect(*left[made.index], seed, inside, without)
            race.add({head: inside for head, (inside, _) in found.items()})
            for head, (_, without) in found.items():
                outside[head].append(without)
            used.append(seed)
            drawn += len(left)
            if progress is not None:
                progress(drawn, most)
            # So that a search that is broken off leaves what it found.
            if not isinstance(start, str) and not callable(region):
                keep_ranking(start.recording, so_far(), whole=False)
            if on_ranking is not None:
                on_ranking(so_far())
        race.settle()
        if stop and not race.open:
            break
    if not used:
        raise InputError(
            f"{word or region!r} was found in no picture of seeds {chosen[0]} to {chosen[-1]}; name another, or other "
            "seeds"
        )
    ranking = so_far()
    if not isinstance(start, str) and not callable(region):
        keep_ranking(start.recording, ranking)
    return ranking


def _heads_of(lens: Lens, sites: SiteChoice) -> list[tuple[str, int]]:
    """Name and number of heads of the chosen sites; cross-attention where none are named, all where there is none."""
    every = {site.name: site for site in lens.sites}
    if sites is None:
        names = [name for name, site in every.items() if site.kind == "cross"] or list(every)
    else:
        names = list(Selection.of(sites=sites).resolve_sites(list(every)))
    found = []
    for name in names:
        count = getattr(every[name].module, "heads", None)
        if not isinstance(count, int):
            raise SelectionError(f"{name} does not say how many heads it has; leave it out of sites=")
        found.append((name, count))
    return found


def _target(
    lens: Lens, run: Run, word: str | None, region: RegionChoice, folder: Path | None
) -> Target | None:
    """Where the effect is looked for in one seed's picture. `folder`: of the run that knows the region's mask."""
    image = run.image
    if callable(region):
        return Target(np.asarray(region(run), bool), "given")
    if region is not None:
        size = (image.height, image.width)
        return Target(np.asarray(parse_region(region, size, folder or run.path).cover(size) >= 0.5), "given")
    assert word is not None
    seen = named_in_scene(image, run.prompt, word)
    if seen is not None:
        return Target(seen, "judge")
    (made,) = lens.sweep(run, [Silence(word)])
    return Target(where_changed(made.change), "change")
