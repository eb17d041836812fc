"""Run: the one face of a recording. Pictures, words and maps, without torch.

    run = Run.open("runs/…")
    run.word("circle").map(steps="0:10", sites="cross:up.*").save("circle.png")

All numbers come from the recording's own tensors; what each of them means is said where it is made.
"""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import DiffuscopeError, NotKeptError, SelectionError, listed
from diffuscope.maps.aggregate import SizeRequest, aggregate, describe, output_size
from diffuscope.maps.heatmap import Heatmap, HeatmapSeries
from diffuscope.maps.resize import Size
from diffuscope.maps.words import Reduce, Term, WordAttention, find, find_phrase, find_token, find_word
from diffuscope.recording import Manifest, Recording, Site, Step, Token, Word
from diffuscope.selection import Choice, Selection, SiteChoice


class Run:
    """One recorded generation: its picture, and questions about it.

    Attributes:
        recording: the reader of the run folder.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._attention = WordAttention(recording)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a run folder, one that was interrupted too (up to its last whole step).

        Raises:
            RunNotFoundError: there is no run at the path.
            CorruptRecordingError, SchemaVersionError: its manifest cannot be read.
        """
        return cls(Recording.open(path))

    @property
    def manifest(self) -> Manifest:
        """Everything that was noted about the run."""
        return self.recording.manifest

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.recording.path

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def complete(self) -> bool:
        """Whether the run was recorded to its end."""
        return self.manifest.complete

    @property
    def prompt(self) -> str:
        return self.manifest.sampling.prompt

    @property
    def tokens(self) -> list[Token]:
        """The text encoder's tokens, padding included, with their kinds (start, content, end, padding)."""
        return list(self.manifest.text.tokens)

    @property
    def words(self) -> list[Word]:
        """The prompt's words in order, with their token indices; a repeated one is labelled ``circle#2``."""
        return list(self.manifest.text.words)

    @property
    def steps(self) -> list[Step]:
        """The whole steps recorded, noisiest first."""
        return list(self.manifest.steps)

    @property
    def sites(self) -> list[Site]:
        """The model's attention sites; `Manifest.keep` names those that were kept."""
        return list(self.manifest.sites)

    @cached_property
    def image(self) -> Image.Image:
        """The finished picture, RGB.

        Raises:
            NotKeptError: the run was interrupted before its picture was made.
        """
        return self.recording.image()

    def preview(self, step: int) -> Image.Image:
        """The predicted clean picture of a step, RGB.

        Raises:
            SelectionError: there is no such step.
            NotKeptError: the run was recorded without previews.
        """
        return self.recording.preview(step)

    def word(self, label: str) -> WordView:
        """A word of the prompt by its whole label, upper and lower case alike.

        ``circle``, ``circle#2`` for the second one; ``<start>``, ``<end>`` and ``<padding>`` are no words of
        the prompt and have maps too.

        Raises:
            UnknownWordError: the prompt has no such word; the error lists those it has.
        """
        return WordView(self, find_word(self.manifest.text, label))

    def phrase(self, phrase: str | Sequence[str]) -> WordView:
        """Several words together: the sum of their maps.

        ``"red circle"`` where the words stand side by side, a list of labels where they do not. A noun phrase
        marks the object; a single word may mark only its outline or its inside.

        Raises:
            UnknownWordError: a word is missing, or the words do not stand side by side.
        """
        return WordView(self, find_phrase(self.manifest.text, phrase))

    def token(self, index: int) -> WordView:
        """A single token of the text encoder by its index.

        Raises:
            SelectionError: there is no such token.
        """
        return WordView(self, find_token(self.manifest.text, index))

    def map(self, selection: Selection | str, *, reduce: Reduce = "sum", size: SizeRequest = None) -> Heatmap:
        """The map of a selection that names a word or phrase, given as a value or in its text form.

        `Heatmap.selection` given back makes the same map again.

        Raises:
            SelectionError: the selection names no word, or what it names is not in this run.
            UnknownWordError: the prompt has no such word.
        """
        chosen = Selection.parse(selection) if isinstance(selection, str) else selection
        if chosen.word is None:
            raise SelectionError(f"the selection {str(chosen)!r} names no word; add one, as in word=circle")
        view = WordView(self, find(self.manifest.text, chosen.word))
        return view.map(chosen.steps, chosen.sites, chosen.heads, reduce=reduce, size=size)

    def masses(
        self, steps: Choice = None, sites: SiteChoice = None, heads: Choice = None, *, reduce: Reduce = "sum"
    ) -> dict[str, NDArray[np.float64]]:
        """Attention mass of every word of the prompt, and of ``<start>`` and ``<end>``: label to ``[step]``.

        See `WordView.mass`. They do not sum to 1: padding, and tokens of no word, hold the rest.
        """
        kinds = {token.kind for token in self.tokens}
        labels = [word.label for word in self.words] + [
            f"<{kind}>" for kind in ("start", "end") if kind in kinds
        ]
        return {label: self.word(label).mass(steps, sites, heads, reduce=reduce) for label in labels}

    def _sites_of(self, selection: Selection) -> list[Site]:
        """The kept cross-attention sites that a selection names."""
        kept = {site.name: site for site in self._kept}
        try:
            return [kept[name] for name in selection.resolve_sites(list(kept), "cross")]
        except SelectionError:
            known = self._resolve(selection, [site.name for site in self.sites])
            if not known:
                raise
        lacking = [name for name in known if name not in kept]
        if any(name.startswith("cross:") for name in lacking):
            raise NotKeptError(
                f"not kept in this run: {listed(lacking)}; record again with these sites, or choose from "
                f"those kept: {listed(list(kept))}"
            )
        raise SelectionError(
            f"words have no map at {listed(lacking)}, where the keys are no text; sites with words: "
            f"{listed(list(kept))}"
        )

    @staticmethod
    def _resolve(selection: Selection, names: list[str]) -> tuple[str, ...]:
        """The names that a selection takes, or none where it does not fit them."""
        try:
            return selection.resolve_sites(names)
        except SelectionError:
            return ()

    @cached_property
    def _kept(self) -> list[Site]:
        """Kept sites whose keys are text."""
        names = set(self.manifest.keep.sites)
        kept = [site for site in self.manifest.sites if site.kind == "cross" and site.name in names]
        if not kept:
            raise NotKeptError(
                "no cross-attention site was kept in this run, so words have no map here; "
                "record it again with keep='maps' or higher and without limiting the sites"
            )
        return kept

    def _steps_of(self, selection: Selection) -> tuple[int, ...]:
        """Indices of the recorded steps that a selection names."""
        recorded = [step.index for step in self.manifest.steps]
        if not recorded:
            raise SelectionError(
                "this run was stopped before its first step was whole, so there is nothing to show"
            )
        attended = self.recording.attended_steps
        if selection.steps == "all":
            if not attended:
                raise NotKeptError(
                    f"this run was stopped before a step whose attention was to be kept "
                    f"({self.manifest.keep.steps})"
                )
            return attended
        wanted = selection.resolve_steps(recorded[-1] + 1)
        lacking = sorted(set(wanted) - set(recorded))
        if lacking:
            raise SelectionError(f"these steps were not recorded: {listed([str(step) for step in lacking])}")
        lacking = sorted(set(wanted) - set(attended))
        if lacking:
            raise NotKeptError(
                f"attention of these steps was not kept: {listed([str(step) for step in lacking])}; "
                f"this run kept that of {self.manifest.keep.steps}"
            )
        return wanted

    def _background(self) -> Image.Image | None:
        """The picture for notebook display, or None where the run has none."""
        try:
            return self.image
        except DiffuscopeError:
            return None

    def __repr__(self) -> str:
        state = "" if self.complete else ", incomplete"
        return f"<Run {self.id}: {self.prompt!r}, {len(self.manifest.steps)} steps{state}>"

    def _repr_html_(self) -> str:
        """Picture, prompt and words for a notebook. Everything from the recording is data and is escaped."""
        sampling, model = self.manifest.sampling, self.manifest.model
        facts = (
            f"{html.escape(model.id)}, {len(self.manifest.steps)} of {sampling.steps} steps, "
            f"guidance {sampling.guidance_scale:g}, seed {sampling.seed}, "
            f"kept: {html.escape(self.manifest.keep.level)}"
        )
        if not self.complete:
            facts += f". Incomplete: {html.escape(self.manifest.stopped or 'interrupted')}"
        picture = self._background()
        image = "" if picture is None else f'<img alt="" width="192" src="{_data_url(picture)}">'
        words = " ".join(f"<code>{html.escape(word.label)}</code>" for word in self.words)
        return (
            f'<div style="display:flex;gap:1em;align-items:flex-start">{image}<div>'
            f"<strong>{html.escape(self.prompt)}</strong><br>{facts}<br>words: {words}<br>"
            f"<code>{html.escape(self.id)}</code></div></div>"
        )


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

    def map(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        reduce: Reduce = "sum",
        size: SizeRequest = None,
    ) -> Heatmap:
        """Where the model looked at the word: mean over heads, then sites, then steps, as a probability.

        Args:
            steps, sites, heads: which to average, in any form that `Selection.of` takes (``7``, ``"0:10"``,
                ``slice(5, None)``, ``"cross:up.*"``, ``[3, 5]``). None takes all; sites are the kept
                cross-attention ones. Heads are counted within each chosen site.
            reduce: a word's sub-tokens are summed (probability mass) or averaged (DAAM's way). A phrase is
                always the sum of its words.
            size: None for the finest kept grid; see `diffuscope.maps.aggregate.output_size`.

        Returns:
            Heatmap with ``array`` float32 ``[y, x]``.

        Raises:
            SelectionError: a step, site or head that this run does not have.
            SizeError: an impossible size.
            NotKeptError: single heads were asked of a run that kept only ``maps``.
        """
        selection, chosen, indices, shape = self._choose(steps, sites, heads, size)
        maps = {
            site: values.mean(axis=0, dtype=np.float64)
            for site, values in self._per_site(selection, chosen, indices, reduce).items()
        }
        return Heatmap(
            aggregate(maps, _grids(chosen), shape),
            selection,
            self.label,
            aggregation=self._describe(selection, chosen, indices, shape, reduce, merge_steps=True),
            background=self.run._background,
        )

    def steps(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        reduce: Reduce = "sum",
        size: SizeRequest = None,
    ) -> HeatmapSeries:
        """As `map`, with the steps kept apart: ``array`` is float32 ``[step, y, x]``.

        The mean over its steps is the map.
        """
        selection, chosen, indices, shape = self._choose(steps, sites, heads, size)
        return HeatmapSeries(
            aggregate(self._per_site(selection, chosen, indices, reduce), _grids(chosen), shape),
            selection,
            self.label,
            aggregation=self._describe(selection, chosen, indices, shape, reduce, merge_steps=False),
            background=self.run._background,
            steps=indices,
        )

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

    def _choose(
        self, steps: Choice, sites: SiteChoice, heads: Choice, size: SizeRequest
    ) -> tuple[Selection, list[Site], tuple[int, ...], Size]:
        selection = Selection.of(steps=steps, sites=sites, heads=heads, word=self.label)
        indices = self.run._steps_of(selection)
        chosen = self.run._sites_of(selection)
        sampling = self.run.manifest.sampling
        shape = output_size(
            size,
            kept=[_grid(site) for site in self.run._kept],
            chosen=[_grid(site) for site in chosen],
            image=(sampling.height, sampling.width),
        )
        return selection, chosen, indices, shape

    def _per_site(
        self, selection: Selection, chosen: Sequence[Site], indices: tuple[int, ...], reduce: Reduce
    ) -> dict[str, NDArray[np.float32]]:
        """Head-mean maps ``[step, query]`` of each site."""
        weights = self.term.weights(reduce)
        # All heads are checked before any is read: a wrong number says so at once, at any site.
        heads = {site.name: selection.resolve_heads(site.heads, site.name) for site in chosen}
        return {
            site.name: self.run._attention.at(site.name, indices, weights, heads[site.name])
            for site in chosen
        }

    def _describe(
        self,
        selection: Selection,
        chosen: Sequence[Site],
        indices: tuple[int, ...],
        size: Size,
        reduce: Reduce,
        *,
        merge_steps: bool,
    ) -> str:
        return describe(
            sites=len(chosen),
            steps=len(indices),
            size=size,
            grids=[_grid(site) for site in chosen],
            heads=selection.heads,
            groups=self.term.groups,
            reduce=reduce,
            merge_steps=merge_steps,
        )

    def __repr__(self) -> str:
        tokens = ", ".join(str(token) for token in self.tokens)
        return f"<WordView {self.label!r} of run {self.run.id}, tokens {tokens}>"

    def _repr_png_(self) -> bytes:
        return self.map()._repr_png_()


def open(path: str | Path) -> Run:
    """Open a recording: `Run.open`."""
    return Run.open(path)


def _grid(site: Site) -> Size:
    height, width = site.grid
    return height, width


def _grids(sites: Sequence[Site]) -> dict[str, Size]:
    return {site.name: _grid(site) for site in sites}


def _data_url(image: Image.Image) -> str:
    file = BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode('ascii')}"
