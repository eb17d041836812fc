"""Every way of making a map that is held against the masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.objects.segmentation_accuracy import coverage
from diffuscope.errors import InputError
from diffuscope.maps.choosing import grid_of
from diffuscope.maps.refinement import GRAIN, UNTUNED, Refinement, finest_self, finest_words, late_steps
from diffuscope.maps.resize import Size
from diffuscope.run import RegionView, Run
from diffuscope.studies.map_accuracy.samples import Sample, Target

Plane = NDArray[np.floating]
CEILING, DAAM, DAAM_PHRASE, DEFAULT, PHRASE = (
    "the mask at the finest grid",
    "DAAM preset, word",
    "DAAM preset, phrase",
    "default, word",
    "default, phrase",
)
PHASES = {"noise": (0.0, 0.2), "structure": (0.2, 0.6), "detail": (0.6, 1.0)}
"""The 20/40/40 of docs and seeds: steps 1 to 10, 11 to 30, 31 to 50 of 50."""
EDGES = 1 / 8
"""Reach of the guided filter, as in `maps.refinement.UNTUNED`."""


@dataclass(frozen=True)
class Method:
    """A way of making a map.

    Attributes:
        group: what it belongs to: ``ceiling``, ``words``, ``site``, ``grid``, ``steps``, ``refined``, ``self`` or
            ``concept``.
        name: unique.
        make: sample and object to a map ``[y, x]`` without negative values.
    """

    group: str
    name: str
    make: Callable[[Sample, Target], Plane]

    def __call__(self, sample: Sample, target: Target) -> Plane | None:
        """The map; None where this run cannot give it (the concept's model is not there, a site was not kept)."""
        try:
            return self.make(sample, target)
        except InputError:
            return None


def methods(run: Run, *, concepts: bool = False) -> list[Method]:
    """The methods for runs of a model, told from one of its runs, in the order of the table.

    Args:
        run: any of them; all have its sites and steps.
        concepts: whether the model is loaded, so that open-vocabulary maps can be made.
    """
    manifest = run.manifest
    kept = set(manifest.keep.sites)
    words = [site for site in manifest.sites if site.kind != "self" and site.name in kept]
    pictures = [site for site in manifest.sites if site.kind != "cross" and site.name in kept]
    finest = max([*words, *pictures], key=lambda site: site.grid[0] * site.grid[1])
    found = [
        Method("ceiling", CEILING, partial(_ceiling, grid_of(finest))),
        Method("words", DAAM, lambda sample, target: sample.run.word(target.word).daam().array),
        Method("words", DAAM_PHRASE, lambda sample, target: sample.run.phrase(target.phrase).daam().array),
        Method("words", DEFAULT, lambda sample, target: sample.run.word(target.word).map().array),
        Method("words", PHRASE, partial(_phrase, {})),
    ]
    grids = list(dict.fromkeys(grid_of(site) for site in words))
    for grid in grids:
        names = ",".join(site.name for site in words if grid_of(site) == grid)
        found.append(Method("grid", f"phrase at {grid[0]}x{grid[1]}", partial(_phrase, {"sites": names})))
    found += [
        Method("site", f"phrase at {site.name}", partial(_phrase, {"sites": site.name})) for site in words
    ]
    for name, steps in step_ranges(len(manifest.steps)).items():
        found.append(Method("steps", f"phrase, {name} (steps {steps})", partial(_phrase, {"steps": steps})))
    found += refinements(run)
    if manifest.keep.level == "qk" and pictures:
        found += _self_maps(pictures)
    if concepts:
        found.append(Method("concept", "open-vocabulary noun", _concept))
    return found


def step_ranges(steps: int) -> dict[str, str]:
    """The phases and the late steps, as `Selection.steps`, of those that a run of so many steps has."""
    ranges = {
        name: (round(low * steps), round(high * steps))
        for name, (low, high) in [*PHASES.items(), ("late", (GRAIN, 1.0))]
    }
    return {name: f"{low}:{high}" for name, (low, high) in ranges.items() if high > low}


def refinements(run: Run) -> list[Method]:
    """Every refinement by itself, then together: of the phrase, and where it says so of the noun alone."""
    late, fine = late_steps(run), finest_words(run)
    self_fine = finest_self(run) if run.manifest.keep.level == "qk" else "all"
    at = Refinement(steps=late, sites=fine, floor=True)
    spread = replace(at, spread=2, keep=0.5, sharpen=2.0, spread_sites=self_fine)
    place = "finest grid, late steps"
    found = {
        # "object" is one of those below.
        **{name: how for name, how in UNTUNED.items() if name != "object"},
        "share": Refinement(share=True, floor=True),
        "share, edges": Refinement(share=True, floor=True, edges=EDGES),
        "late steps, edges": Refinement(steps=late, floor=True, edges=EDGES),
        "finest grid, edges": Refinement(sites=fine, floor=True, edges=EDGES),
        f"{place}, floor": at,
        f"{place}, share": replace(at, share=True),
        f"{place}, edges": replace(at, edges=EDGES),
        f"{place}, edges of half the reach": replace(at, edges=EDGES / 2),
        f"{place}, edges of twice the reach": UNTUNED["object"],
        f"{place}, share, edges": replace(at, share=True, edges=EDGES),
        f"{place}, spread": spread,
        f"{place}, spread, edges": replace(spread, edges=EDGES),
        f"{place}, share, spread, edges": replace(spread, share=True, edges=EDGES),
    }
    words = {name: found[name] for name in (f"{place}, edges", f"{place}, share, edges")}
    return [
        *[Method("refined", f"{name}, phrase", partial(_refined, how)) for name, how in found.items()],
        *[Method("refined", f"{name}, word", partial(_refined_word, how)) for name, how in words.items()],
    ]


def _self_maps(sites: list[Any]) -> list[Method]:
    most = max(site.grid[0] * site.grid[1] for site in sites)
    fine = ",".join(site.name for site in sites if site.grid[0] * site.grid[1] == most)
    found = []
    for way in ("to", "from"):
        for name, region in (("click at the centre", _click), ("box", _box)):
            found.append(Method("self", f"{name}, {way}", partial(_self, region, {"direction": way})))
            found.append(
                Method(
                    "self",
                    f"{name}, {way}, finest grid",
                    partial(_self, region, {"direction": way, "sites": fine}),
                )
            )
    found.append(Method("self", "click at the centre, diffused, finest grid", partial(_diffused, fine)))
    how = Refinement(sites=fine, floor=True, edges=EDGES)
    found.append(Method("self", "click at the centre, to, finest grid, edges", partial(_refined_click, how)))
    found.append(Method("self", "part that the centre lies in", _part))
    return found


def _ceiling(grid: Size, sample: Sample, target: Target) -> Plane:
    return coverage(target.mask, grid)


def _phrase(options: dict[str, Any], sample: Sample, target: Target) -> Plane:
    return sample.run.phrase(target.phrase).map(**options).array


def _refined(how: Refinement, sample: Sample, target: Target) -> Plane:
    return sample.run.refined(target.phrase, how).array


def _refined_word(how: Refinement, sample: Sample, target: Target) -> Plane:
    return sample.run.refined(target.word, how).array


def _self(
    region: Callable[[Sample, Target], RegionView], options: dict[str, Any], sample: Sample, target: Target
) -> Plane:
    # Nobody looks nowhere: the smallest value is taken off, as the thresholds are shares of the largest. Diffused no
    # times it is the region's own map, from matrices that all regions of the picture share.
    values = region(sample, target).diffused(iterations=0, **options).array
    return np.asarray(values - values.min())


def _diffused(sites: str, sample: Sample, target: Target) -> Plane:
    values = _click(sample, target).diffused(sites=sites).array
    return np.asarray(values - values.min())


def _refined_click(how: Refinement, sample: Sample, target: Target) -> Plane:
    return sample.run.refined(_click(sample, target), how).array


def _part(sample: Sample, target: Target) -> Plane:
    parts = sample.parts
    x, y = centre(target.mask)
    height, width = parts.labels.shape
    here = parts.labels[y * height // target.mask.shape[0], x * width // target.mask.shape[1]]
    return parts.mask(int(here)).astype(np.float64)


def _concept(sample: Sample, target: Target) -> Plane:
    if sample.lens is None:
        return sample.run.concept(target.word).map().array
    return sample.lens.concept(sample.run, target.word).map().array


def _click(sample: Sample, target: Target) -> RegionView:
    return sample.run.region(pixel=centre(target.mask))


def _box(sample: Sample, target: Target) -> RegionView:
    rows, columns = np.flatnonzero(target.mask.any(axis=1)), np.flatnonzero(target.mask.any(axis=0))
    return sample.run.region(box=(int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])))


def centre(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """``(x, y)`` of the mask's pixel that is nearest to its centre of mass (a ring's own lies in its hole)."""
    y, x = np.nonzero(mask)
    nearest = int(np.argmin((y - y.mean()) ** 2 + (x - x.mean()) ** 2))
    return int(x[nearest]), int(y[nearest])
