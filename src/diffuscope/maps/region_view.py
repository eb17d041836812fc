"""A region of a run's picture, and its maps: who looks at it, and what it looks at.

One rule brings sites together. At a site the map of a region is the mean, by area, of the columns (`to`) or rows
(`from`) of its cells. A cell of a coarse grid stands for many of a fine one and draws that much more attention, so each
map is then counted per patch of the finest kept grid: times (cells of the site) / (cells of the finest grid). Only so
may sites be averaged: without it, the coarsest grid would drown all others. On the finest grid the factor is 1, and a
`from` map of any site then sums to 1 over the patches of the finest grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import NotKeptError, RegionError, SelectionError, listed
from diffuscope.maps.aggregate import SizeRequest, aggregate, output_size
from diffuscope.maps.choosing import chosen_heads, chosen_steps, grid_of
from diffuscope.maps.daam import latent_size
from diffuscope.maps.heads import HeadMaps
from diffuscope.maps.heatmap import UNIT, Heatmap, HeatmapSeries
from diffuscope.maps.outline import outlined
from diffuscope.maps.regions import Region, asked_for, keep, parse
from diffuscope.maps.resize import Size
from diffuscope.maps.self_attention import Direction, SelfAttention, checked_direction
from diffuscope.maps.weights import SiteWeights, WeightRequest
from diffuscope.selection import Choice, Selection, SiteChoice

if TYPE_CHECKING:
    from diffuscope.recording import Recording, Site
    from diffuscope.run import Run

SAID = {"to": "who looks at", "from": "what is looked at from"}


@dataclass(frozen=True)
class Asked:
    """A question to self-attention in numbers.

    Attributes:
        selection: as asked, with the region.
        sites, steps, heads: what is read.
        finest: the finest kept grid, which probabilities are counted per patch of.
        size: ``(height, width)`` of the map.
        weights: of the sites.
    """

    selection: Selection
    sites: list[Site]
    steps: tuple[int, ...]
    heads: dict[str, tuple[int, ...]]
    finest: Size
    size: Size
    weights: SiteWeights

    @property
    def grids(self) -> dict[str, Size]:
        return {site.name: grid_of(site) for site in self.sites}

    def share(self, site: Site) -> float:
        """What a site's probabilities are multiplied with to count per patch of the finest grid."""
        return site.grid[0] * site.grid[1] / (self.finest[0] * self.finest[1])


def region_of(run: Run, text: str | None, latent: bool, **named: Any) -> RegionView:
    """What `Run.region` gives. Masks are kept in the run's folder."""
    sampling = run.manifest.sampling
    image = (sampling.height, sampling.width)
    unknown = set(named) - {"pixel", "pixels", "range", "box", "contour", "mask", "guide"}
    if unknown:
        raise RegionError(
            f"a region has no {', '.join(sorted(unknown))}; name it by pixel, pixels, range, box, contour or mask"
        )
    if text is None:
        region = asked_for(image, latent_size(run.recording) if latent else None, **named)
    elif latent or named:
        raise RegionError(
            "a region's text form counts pixels of the picture and stands alone; give nothing beside it"
        )
    else:
        region = parse(text, image, run.path)
    keep(region, run.recording)
    return RegionView(run, region)


def kept_self_sites(recording: Recording) -> list[Site]:
    """Sites whose keys are the picture and whose queries and keys were kept, in the order of the data.

    Raises:
        NotKeptError: there is none; the error names the level that would have kept them.
        SelectionError: the model has none.
    """
    manifest = recording.manifest
    there = [site for site in manifest.sites if site.kind != "cross"]
    if not there:
        raise SelectionError("this run's model has no self-attention site, so its regions have no map")
    if manifest.keep.level != "qk":
        raise NotKeptError(
            f"self-attention was not kept: this run was recorded with keep={manifest.keep.level!r}; record again with "
            "keep='qk'"
        )
    kept = [site for site in there if site.name in set(manifest.keep.sites)]
    if not kept:
        raise NotKeptError(
            "no self-attention site was kept in this run, which was recorded with others only; record again with "
            f"keep='qk' and {listed([site.name for site in there], 3)} among the sites"
        )
    return kept


def chosen_self_sites(recording: Recording, selection: Selection) -> list[Site]:
    """The kept self (or joint) sites that a selection names. Errors as of `kept_self_sites`, and for wrong names."""
    kept = {site.name: site for site in kept_self_sites(recording)}
    try:
        return [kept[name] for name in selection.resolve_sites(list(kept))]
    except SelectionError:
        every = {site.name: site for site in recording.manifest.sites}
        try:
            known = selection.resolve_sites(list(every))
        except SelectionError:
            known = ()
        lacking = [name for name in known if name not in kept]
        unkept = [name for name in lacking if every[name].kind != "cross"]
        if unkept:
            raise NotKeptError(
                f"not kept in this run: {listed(unkept)}; record again with keep='qk' and these sites, or choose from "
                f"those kept: {listed(list(kept))}"
            ) from None
        if lacking:
            raise SelectionError(
                f"regions have no map at {listed(lacking)}, where the keys are text; sites with regions: "
                f"{listed(list(kept))}"
            ) from None
        raise


def ask(
    recording: Recording,
    region: str | None,
    steps: Choice,
    sites: SiteChoice,
    heads: Choice,
    size: SizeRequest = None,
    weights: WeightRequest = None,
) -> Asked:
    """A question to a recording's self-attention, checked."""
    selection = Selection.of(steps=steps, sites=sites, heads=heads, region=region)
    chosen = chosen_self_sites(recording, selection)
    kept = [grid_of(site) for site in kept_self_sites(recording)]
    finest = max(kept, key=lambda grid: grid[0] * grid[1])
    sampling = recording.manifest.sampling
    shape = output_size(
        size, kept=kept, chosen=[grid_of(site) for site in chosen], image=(sampling.height, sampling.width)
    )
    indices = chosen_steps(recording, selection)
    rule = SiteWeights.of(weights, chosen)
    return Asked(selection, chosen, indices, chosen_heads(chosen, selection), finest, shape, rule)


class RegionView:
    """A region of a run's picture, and where attention goes to and from it.

    Attributes:
        run: the run it belongs to.
        region: what part of the picture.
    """

    def __init__(self, run: Run, region: Region) -> None:
        self.run = run
        self.region = region

    @property
    def label(self) -> str:
        """What figures call it."""
        return self.region.label

    def map(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        direction: Direction = "to",
        size: SizeRequest = None,
        weights: WeightRequest = None,
    ) -> Heatmap:
        """Mean over heads, then sites, then steps, as a probability per patch of the finest kept grid.

        Args:
            steps, sites, heads: as in `WordView.map`; sites are the kept self-attention ones.
            direction: ``to``, the default: with what probability each patch looks at (a patch of) the region;
                ``from``: with what probability the region looks at each patch.
            size: None for the finest kept grid; see `diffuscope.maps.aggregate.output_size`. Another size shows the
                same values on other cells.
            weights: of sites or grids; see `diffuscope.maps.weights.SiteWeights`.

        Returns:
            Heatmap with ``array`` float32 ``[y, x]``.

        Raises:
            SelectionError: a step, site, head or direction that is not there.
            NotKeptError: self-attention, or a site or head of it, was not kept.
            RecordingError: the recording holds NaN or infinity.
        """
        asked = self._ask(steps, sites, heads, size, weights)
        found = self._read(asked, checked_direction(direction))
        return Heatmap(
            self._aggregate({name: maps.mean(axis=0) for name, maps in found.items()}, asked),
            asked.selection,
            self._title(direction),
            unit_of(asked),
            self._describe(asked, "then over steps" if len(asked.steps) > 1 else ""),
            self._background,
        )

    def steps(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        direction: Direction = "to",
        size: SizeRequest = None,
        weights: WeightRequest = None,
    ) -> HeatmapSeries:
        """As `map`, with the steps kept apart: ``array`` is float32 ``[step, y, x]``."""
        asked = self._ask(steps, sites, heads, size, weights)
        return HeatmapSeries(
            self._aggregate(self._read(asked, checked_direction(direction)), asked),
            asked.selection,
            self._title(direction),
            unit_of(asked),
            self._describe(asked, "each step by itself"),
            self._background,
            steps=asked.steps,
        )

    def per_site(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        direction: Direction = "to",
    ) -> dict[str, Heatmap]:
        """Each site's own map on its own grid, mean over heads and steps, its probabilities per cell of that grid."""
        asked = self._ask(steps, sites, heads, "native", None)
        found = self._read(asked, checked_direction(direction), own=True)
        maps = {}
        for site in asked.sites:
            chosen = Selection.of(
                asked.selection.steps, site.name, asked.selection.heads, region=self.region.text
            )
            maps[site.name] = Heatmap(
                found[site.name].mean(axis=0).reshape(grid_of(site)).astype(np.float32),
                chosen,
                self._title(direction),
                UNIT,
                f"Mean over heads of {site.name}, then over {len(asked.steps)} steps. Conditional branch.",
                self._background,
            )
        return maps

    def heads(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        direction: Direction = "to",
    ) -> HeadMaps:
        """Each head's own map at each step and site, nothing averaged: ``[step, site, head, y, x]``, probabilities per
        cell of the site's own grid."""
        asked, way = self._ask(steps, sites, heads, None, None), checked_direction(direction)
        found = {}
        for site in asked.sites:
            rows = [self._at(site, step, asked, way) for step in asked.steps]
            found[site.name] = np.stack(rows).reshape(len(rows), -1, *grid_of(site))
        return HeadMaps(found, asked.heads, asked.steps, asked.selection, self._title(direction))

    def diffused(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        direction: Direction = "to",
        iterations: int = 5,
        threshold: float = 0.5,
        size: SizeRequest = None,
    ) -> Heatmap:
        """The region's map, spread along attention: see `diffuscope.maps.diffused`."""
        from diffuscope.maps.diffused import diffused

        return diffused(
            self,
            self._ask(steps, sites, heads, size, None),
            checked_direction(direction),
            iterations,
            threshold,
        )

    def _ask(
        self, steps: Choice, sites: SiteChoice, heads: Choice, size: SizeRequest, weights: WeightRequest
    ) -> Asked:
        return ask(self.run.recording, self.region.text, steps, sites, heads, size, weights)

    def _at(self, site: Site, step: int, asked: Asked, direction: Direction) -> NDArray[np.float32]:
        """``[head, cell]`` of one site at one step."""
        weights = self.region.cover(grid_of(site))
        return self._attention.of_region(site.name, step, weights, direction, heads=asked.heads[site.name])

    def _read(
        self, asked: Asked, direction: Direction, *, own: bool = False
    ) -> dict[str, NDArray[np.floating]]:
        """Maps ``[step, cell]`` of each site, mean over heads, per patch of the finest grid unless `own`."""
        rows: dict[str, list[NDArray[np.float64]]] = {site.name: [] for site in asked.sites}
        for step in asked.steps:
            for site in asked.sites:
                rows[site.name].append(self._at(site, step, asked, direction).mean(axis=0, dtype=np.float64))
            self.run.recording.let_go(step)
        return {
            site.name: np.stack(rows[site.name]) * (1.0 if own else asked.share(site)) for site in asked.sites
        }

    @property
    def _attention(self) -> SelfAttention:
        return self.run._self_attention

    def _aggregate(self, maps: Mapping[str, NDArray[np.floating]], asked: Asked) -> NDArray[np.float32]:
        return aggregate(maps, asked.grids, asked.size, weights=asked.weights.by_site)

    def _title(self, direction: str) -> str:
        return f"{SAID[direction]} {self.label}"

    def _describe(self, asked: Asked, steps: str) -> str:
        return describe(asked, "Mean over the region by area", steps)

    def __repr__(self) -> str:
        return f"<RegionView {self.region.text} of run {self.run.id}, {100 * self.region.area:.2g}% of the picture>"

    def _background(self) -> Image.Image | None:
        """The picture with the region's outline, for notebook display."""
        picture = self.run._background()
        return None if picture is None else outlined(picture, self.region)

    def _repr_png_(self) -> bytes:
        return self.map()._repr_png_()


def unit_of(asked: Asked) -> str:
    """Unit of maps that are counted per patch of the finest grid."""
    return f"{UNIT} per patch of {asked.finest[0]}x{asked.finest[1]}"


def describe(asked: Asked, first: str, steps: str) -> str:
    """One sentence that says how a map of self-attention came about."""
    chosen, count = asked.selection.heads, len(asked.sites)
    parts = [first, f"mean over {'all heads' if chosen == 'all' else f'heads {chosen}'}"]
    site = f"then over {count} site{'' if count == 1 else 's'}"
    if any(grid != asked.size for grid in asked.grids.values()):
        site += f" brought to {asked.size[0]}x{asked.size[1]}"
    parts.append(site + (f" weighed {asked.weights.text}" if asked.weights.text else ""))
    if steps:
        parts.append(steps.replace("over steps", f"over {len(asked.steps)} steps"))
    return ", ".join(parts) + ". Conditional branch, last call of each step."


def grids_of(sites: Sequence[Site]) -> list[Size]:
    """The grids of some sites, finest first, each once."""
    return sorted({grid_of(site) for site in sites}, key=lambda grid: -grid[0] * grid[1])
