"""A word, phrase or special token of a run, and where it was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.maps.aggregate import Combine, SizeRequest, aggregate, checked_combine, describe, output_size
from diffuscope.maps.choosing import chosen_heads, chosen_sites, chosen_steps, grid_of, kept_text_sites
from diffuscope.maps.daam import daam
from diffuscope.maps.heads import HeadMaps, contributions, head_maps
from diffuscope.maps.heatmap import UNIT, Heatmap, HeatmapSeries
from diffuscope.maps.token_attention import TokenAttention
from diffuscope.maps.weights import SiteWeights, WeightRequest
from diffuscope.maps.words import Reduce, Term
from diffuscope.selection import Choice, Selection, SiteChoice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffuscope.analysis.timeline import Timeline
    from diffuscope.maps.resize import Size
    from diffuscope.recording import Site
    from diffuscope.run import Run

SUMMED = f"{UNIT}, summed"
"""Unit of maps that are sums over heads, sites and steps."""


@dataclass(frozen=True)
class _Asked:
    """A question in numbers: what is read, and how it is put together."""

    selection: Selection
    sites: list[Site]
    steps: tuple[int, ...]
    heads: dict[str, tuple[int, ...]]
    size: Size
    reduce: Reduce
    combine: Combine
    weights: SiteWeights
    renormalise: bool

    @property
    def grids(self) -> dict[str, Size]:
        return {site.name: grid_of(site) for site in self.sites}


class WordView:
    """A word, phrase or special token of a run, and where it was looked at.

    Attributes:
        run: the run it belongs to.
        term: its words and tokens.
    """

    def __init__(self, run: Run, term: Term) -> None:
        self.run = run
        self.term = term

    @property
    def label(self) -> str:
        """What `Run.word` or `Run.phrase` finds it by."""
        return self.term.label

    @property
    def tokens(self) -> tuple[int, ...]:
        """Indices of its tokens."""
        return self.term.tokens

    @property
    def attention(self) -> TokenAttention:
        """What its maps are read from."""
        return self.run._attention

    def map(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        reduce: Reduce = "sum",
        size: SizeRequest = None,
        *,
        weights: WeightRequest = None,
        combine: Combine = "mean",
        renormalise: bool = False,
    ) -> Heatmap:
        """Where the model looked at the word: mean over heads, then sites, then steps, as a probability.

        Args:
            steps, sites, heads: which to average, in any form that `Selection.of` takes (``7``, ``"0:10"``,
                ``slice(5, None)``, ``"cross:up.*"``, ``[3, 5]``). None takes all; sites are the kept
                cross-attention ones. Heads are counted within each chosen site.
            reduce: a word's sub-tokens are summed (probability mass) or averaged (DAAM's way). A phrase is
                always the sum of its words.
            size: None for the finest kept grid; see `diffuscope.maps.aggregate.output_size`.
            weights: of sites or grids, ``{"16x16": 2, "cross:mid": 0}`` or ``"16x16=2,cross:mid=0"``; see
                `diffuscope.maps.weights.SiteWeights`. None gives every site the same.
            combine: ``mean``, or ``sum`` over heads, sites (times their weights) and steps instead.
            renormalise: at joint sites (SD3, Flux), where text and picture share one softmax, take it over the text's
                keys alone. Needs queries and keys. Elsewhere it changes nothing.

        Returns:
            Heatmap with ``array`` float32 ``[y, x]``.

        Raises:
            SelectionError: a step, site or head that this run does not have, or weights that fit none.
            SizeError: an impossible size.
            NotKeptError: single heads were asked of a run that kept only ``maps``.
            RecordingError: the recording holds NaN or infinity.
        """
        asked = self._ask(steps, sites, heads, reduce, size, weights, combine, renormalise)
        over_steps = np.sum if combine == "sum" else np.mean
        maps = {
            site: np.asarray(over_steps(values, axis=0, dtype=np.float64))
            for site, values in self._per_site(asked).items()
        }
        return Heatmap(
            self._aggregate(maps, asked),
            asked.selection,
            self.label,
            SUMMED if combine == "sum" else UNIT,
            aggregation=self._describe(asked, merge_steps=True),
            background=self.run._background,
        )

    def steps(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        reduce: Reduce = "sum",
        size: SizeRequest = None,
        *,
        weights: WeightRequest = None,
        combine: Combine = "mean",
        renormalise: bool = False,
    ) -> HeatmapSeries:
        """As `map`, with the steps kept apart: ``array`` is float32 ``[step, y, x]``.

        The mean over its steps is the map (with ``combine="sum"``, their sum).
        """
        asked = self._ask(steps, sites, heads, reduce, size, weights, combine, renormalise)
        return HeatmapSeries(
            self._aggregate(self._per_site(asked), asked),
            asked.selection,
            self.label,
            SUMMED if combine == "sum" else UNIT,
            aggregation=self._describe(asked, merge_steps=False),
            background=self.run._background,
            steps=asked.steps,
        )

    def heads(
        self, steps: Choice = None, sites: SiteChoice = None, heads: Choice = None, *, reduce: Reduce = "sum"
    ) -> HeadMaps:
        """Each head's own map at each step and site, nothing averaged: ``[step, site, head, y, x]``.

        Needs queries and keys: a recording of level ``cross`` or ``qk``.

        Raises:
            SelectionError: a step, site or head that this run does not have.
            NotKeptError: queries and keys, or a head's, were not kept.
        """
        asked = self._ask(steps, sites, heads, reduce, None, None, "mean")
        return head_maps(
            self.attention,
            self.term.weights(reduce),
            asked.sites,
            asked.steps,
            asked.heads,
            asked.selection,
            self.label,
        )

    def contributions(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        projections: Mapping[str, NDArray[np.floating]] | None = None,
    ) -> HeadMaps:
        """What the word's tokens add to the picture through each head: see `diffuscope.maps.heads.contributions`.

        As `Run.contributions`, with the probabilities of all tokens but the word's set to zero.
        """
        asked = self._ask(steps, sites, heads, "sum", None, None, "mean")
        return contributions(
            self.run.recording,
            asked.sites,
            asked.steps,
            asked.heads,
            asked.selection,
            self.label,
            tokens=self.tokens,
            projections=projections,
        )

    def daam(self, steps: Choice = None, sites: SiteChoice = None, heads: Choice = None) -> Heatmap:
        """The map that DAAM computes, to the letter: see `diffuscope.maps.daam`.

        Args:
            steps, sites, heads: as in `map`; DAAM takes all. Sites that DAAM leaves out stay out.

        Raises:
            SelectionError: DAAM leaves out every site that was chosen.
            NotKeptError: queries and keys were not kept.
        """
        return daam(self, Selection.of(steps=steps, sites=sites, heads=heads, word=self.label))

    def mass(
        self, steps: Choice = None, sites: SiteChoice = None, heads: Choice = None, *, reduce: Reduce = "sum"
    ) -> NDArray[np.float64]:
        """Attention mass ``[step]``, float64: mean over patches of the word's aggregate at each step.

        A probability: the part of all attention, over the chosen sites, that goes to the word.
        """
        return self.steps(steps, sites, heads, reduce).mass

    def share(
        self, steps: Choice = None, sites: SiteChoice = None, heads: Choice = None, *, reduce: Reduce = "sum"
    ) -> NDArray[np.float64]:
        """The word's mass over that of all words of the prompt, ``[step]``; 0 where they have none."""
        own = self.mass(steps, sites, heads, reduce=reduce)
        words = [self.run.word(word.label) for word in self.run.words]
        total = np.sum([word.mass(steps, sites, heads, reduce=reduce) for word in words], axis=0)
        return np.asarray(np.divide(own, total, out=np.zeros_like(own), where=total > 0))

    def timeline(self, *choice: Any, **options: Any) -> Timeline:
        """The word over the steps, in measures: see `diffuscope.analysis.timeline.timeline_of` for the arguments."""
        return self.run._timeline_of(self, *choice, **options)

    def sites_of(self, sites: SiteChoice = None) -> list[Site]:
        """The sites that a choice names, in the order of the data. Errors as of `map`."""
        return chosen_sites(self.run.recording, self._selection(None, sites, None))

    def _selection(self, steps: Choice, sites: SiteChoice, heads: Choice) -> Selection:
        return Selection.of(steps=steps, sites=sites, heads=heads, word=self.label)

    def _ask(
        self,
        steps: Choice,
        sites: SiteChoice,
        heads: Choice,
        reduce: Reduce,
        size: SizeRequest,
        weights: WeightRequest,
        combine: Combine,
        renormalise: bool = False,
    ) -> _Asked:
        selection, recording = self._selection(steps, sites, heads), self.run.recording
        indices = chosen_steps(recording, selection)
        chosen = chosen_sites(recording, selection)
        sampling = recording.manifest.sampling
        shape = output_size(
            size,
            kept=[grid_of(site) for site in kept_text_sites(recording)],
            chosen=[grid_of(site) for site in chosen],
            image=(sampling.height, sampling.width),
        )
        by_site = chosen_heads(chosen, selection)
        rule = SiteWeights.of(weights, chosen)
        # Where no text shares its softmax with the picture there is nothing to renormalise, or to say.
        text_alone = renormalise and any(site.kind == "joint" for site in chosen)
        return _Asked(
            selection, chosen, indices, by_site, shape, reduce, checked_combine(combine), rule, text_alone
        )

    def _per_site(self, asked: _Asked) -> dict[str, NDArray[np.floating]]:
        """Maps ``[step, query]`` of each site: mean over heads, or their sum."""
        weights = self.term.weights(asked.reduce)
        attention = self.run._text_attention if asked.renormalise else self.attention
        found: dict[str, NDArray[np.floating]] = {}
        for name, heads in asked.heads.items():
            found[name] = attention.at(name, asked.steps, weights, heads)
            if asked.combine == "sum":
                found[name] = found[name].astype(np.float64) * len(heads)
        return found

    def _aggregate(self, maps: Mapping[str, NDArray[np.floating]], asked: _Asked) -> NDArray[np.float32]:
        return aggregate(maps, asked.grids, asked.size, weights=asked.weights.by_site, combine=asked.combine)

    def _describe(self, asked: _Asked, *, merge_steps: bool) -> str:
        said = describe(
            sites=len(asked.sites),
            steps=len(asked.steps),
            size=asked.size,
            grids=list(asked.grids.values()),
            heads=asked.selection.heads,
            groups=self.term.groups,
            reduce=asked.reduce,
            merge_steps=merge_steps,
            combine=asked.combine,
            weights=asked.weights.text,
            branch=self.run.manifest.keep.branch,
        )
        if asked.renormalise:
            said += " At joint sites softmax over the text's keys alone."
        return said + self._said()

    def _said(self) -> str:
        """What is to be said beside how the map was put together."""
        return ""

    def __repr__(self) -> str:
        tokens = ", ".join(str(token) for token in self.tokens)
        return f"<{type(self).__name__} {self.label!r} of run {self.run.id}, tokens {tokens}>"

    def _repr_png_(self) -> bytes:
        return self.map()._repr_png_()
