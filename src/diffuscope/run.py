"""Run: the one face of a recording. Pictures, words and maps, without torch.

    run = Run.open("runs/…")
    run.word("circle").map(steps="0:10", sites="cross:up.*").save("circle.png")

All numbers come from the recording's own tensors; what each of them means is said where it is made.
"""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.analysis.atlas.face import RunHeads
from diffuscope.analysis.cause.face import RunCauses
from diffuscope.analysis.objects.annotating import Annotations
from diffuscope.analysis.objects.annotation import Objects
from diffuscope.analysis.objects.chain import Chain
from diffuscope.analysis.objects.face import RunObjects
from diffuscope.analysis.timeline.face import RunTimelines
from diffuscope.errors import DiffuscopeError, NotKeptError, SelectionError
from diffuscope.explain.face import RunExplanations
from diffuscope.maps.aggregate import Combine, SizeRequest
from diffuscope.maps.choosing import chosen_heads, chosen_sites, chosen_steps
from diffuscope.maps.concept_file import TOKENS as CONCEPT_TOKENS
from diffuscope.maps.concept_file import LearnedConcept
from diffuscope.maps.concepts import Against, ConceptKeys, ConceptView, find_concept, stored
from diffuscope.maps.concepts import keep as keep_concept
from diffuscope.maps.heads import HeadMaps, contributions
from diffuscope.maps.heatmap import Heatmap
from diffuscope.maps.refinement import Refinement, refined
from diffuscope.maps.region_view import RegionView, region_of
from diffuscope.maps.regions import mask as mask_region
from diffuscope.maps.regions import parse as parse_region
from diffuscope.maps.segmentation import Parts, parts
from diffuscope.maps.segments import Background, Segments, segment
from diffuscope.maps.self_attention import SelfAttention
from diffuscope.maps.stack import TokenStack, shares, token_stack
from diffuscope.maps.token_attention import WordAttention
from diffuscope.maps.weights import WeightRequest
from diffuscope.maps.word_view import WordView
from diffuscope.maps.words import Reduce, find, find_phrase, find_token, find_word
from diffuscope.recording import Manifest, Recording, Site, Step, Token, Word
from diffuscope.selection import Choice, Selection, SiteChoice

# What the engine has of the maps, it has from here (see ARCHITECTURE.md).
__all__ = [
    "CONCEPT_TOKENS",
    "Against",
    "ConceptKeys",
    "ConceptView",
    "LearnedConcept",
    "Parts",
    "Refinement",
    "RegionView",
    "Run",
    "WordView",
    "annotate",
    "find",
    "keep_concept",
    "mask_region",
    "open",
    "parse_region",
]


class Run(RunTimelines, RunObjects, RunCauses, RunHeads, RunExplanations):
    """One recorded generation: its picture, and questions about it. What rooms above the maps answer, it inherits.

    Attributes:
        recording: the reader of the run folder.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._attention = WordAttention(recording)
        self._text_attention = WordAttention(recording, renormalised=True)

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

    def negative_word(self, label: str) -> WordView:
        """A word of the negative prompt, where the recording kept the row that reads it.

        Raises:
            NotKeptError: it kept the conditional row, as recordings do where nothing else is asked for.
            UnknownWordError: the negative prompt has no such word.
        """
        if self.manifest.keep.branch == "uncond":
            return self.word(label)
        negative = self.manifest.sampling.negative_prompt
        what = (
            f"of the negative prompt {negative!r}"
            if negative
            else "of a negative prompt: it was drawn without one"
        )
        raise NotKeptError(
            f"this run holds no map {what}; record again with branch='uncond', which keeps the row that reads it. "
            f"lens.concept(run, {label!r}) shows where the picture itself looks for the word"
        )

    @property
    def concepts(self) -> list[str]:
        """Labels of the concepts whose keys the run's cache has: those that `concept` finds without a model."""
        return list(stored(self.recording))

    def concept(self, concept: str | ConceptKeys, against: Against = "own") -> ConceptView:
        """A text that the prompt need not have, from keys that `Lens.concept` made or has left in the run's cache.

        Args:
            concept: its label, or the keys.
            against: ``own`` shares the softmax among the concept's own tokens, ``prompt`` among those and the prompt's.

        Raises:
            NotKeptError: the run's cache has no such concept.
            SelectionError: the keys are those of another model, or `against` is unknown.
        """
        keys = find_concept(self.recording, concept) if isinstance(concept, str) else concept
        return ConceptView(self, keys, against)

    def segment(
        self,
        names: Sequence[str | WordView],
        background: Background = None,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        size: SizeRequest = None,
    ) -> Segments:
        """Several words, phrases or concepts against each other: each patch goes to the one with the largest map.

        Args:
            names: words or phrases of the prompt, or views of `word`, `phrase`, `concept`.
            background: what is given to none of them; see `diffuscope.maps.segments.segment`.
            steps, sites, heads, size: as in `WordView.map`.

        Raises:
            UnknownWordError, SelectionError: as `word` and `WordView.map`, and for fewer than two names.
        """
        views = [
            WordView(self, find(self.manifest.text, each)) if isinstance(each, str) else each
            for each in names
        ]
        return segment([view.map(steps, sites, heads, size=size) for view in views], background)

    def stack(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        padding: bool = False,
        size: SizeRequest = None,
        weights: WeightRequest = None,
        combine: Combine = "mean",
    ) -> TokenStack:
        """Maps of all tokens, ``[token, y, x]``: start, the prompt's, end, and on request every token of the padding.

        Arguments and errors as of `WordView.map`. Padding needs queries and keys (``cross``).
        """
        chosen = Selection.of(steps=steps, sites=sites, heads=heads)
        return token_stack(self, chosen, padding=padding, size=size, weights=weights, combine=combine)

    def shares(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        size: SizeRequest = None,
        weights: WeightRequest = None,
    ) -> TokenStack:
        """Who holds each patch's attention: the shares of the prompt's words, its other tokens, start, end and padding.

        ``run.shares()["words"]`` is the global picture: bright where the picture listens to the prompt's words.
        Arguments and errors as of `WordView.map`.
        """
        return shares(self, Selection.of(steps=steps, sites=sites, heads=heads), size=size, weights=weights)

    def contributions(
        self,
        steps: Choice = None,
        sites: SiteChoice = None,
        heads: Choice = None,
        *,
        projections: Mapping[str, NDArray[np.floating]] | None = None,
    ) -> HeadMaps:
        """What each head adds to its site's output at each patch; see `diffuscope.maps.heads.contributions`.

        Raises:
            NotKeptError: values were not kept (level ``maps``).
            SelectionError: a step, site or head that this run does not have.
        """
        selection = Selection.of(steps=steps, sites=sites, heads=heads)
        indices, chosen = chosen_steps(self.recording, selection), chosen_sites(self.recording, selection)
        by_site = chosen_heads(chosen, selection)
        return contributions(
            self.recording, chosen, indices, by_site, selection, "all tokens", projections=projections
        )

    @cached_property
    def _self_attention(self) -> SelfAttention:
        return SelfAttention(self.recording)

    def region(self, region: str | None = None, *, latent: bool = False, **named: Any) -> RegionView:
        """A part of the picture, for maps of self-attention: who looks at it, what it looks at.

        Args:
            region: its text form, ``pixel:40,52``, ``box:10,20,60,90``; see `diffuscope.maps.regions`.
            named: instead of the text, one of ``pixel=(x, y)``, ``pixels=[(x, y), ...]``, ``range=((x, y), (x, y))``
                (first and last in reading order), ``box=(x0, y0, x1, y1)`` (both corners included), ``contour``
                (points, several lists of them, GeoJSON, or a file of it), ``mask`` (an image of the picture's size, an
                array or a
                file). With ``guide``, a map or an array, pixels of the region count in proportion to it.
            latent: coordinates count cells of the latent and not pixels of the picture.

        Raises:
            RegionError: the region is empty, reaches outside the picture, crosses itself, or cannot be read.
        """
        return region_of(self, region, latent, **named)

    def parts(
        self, number: int | None = None, steps: Choice = None, sites: SiteChoice = None, heads: Choice = None
    ) -> Parts:
        """The picture in parts, from self-attention alone: see `diffuscope.maps.segmentation.parts`."""
        return parts(self, number, steps, sites, heads)

    def refined(
        self, what: str | WordView | RegionView, how: Refinement | str = "edges", **options: Any
    ) -> Heatmap:
        """A map that covers its object better: see `diffuscope.maps.refinement.refined`. `what` is a word or phrase,
        or a view of `word`, `phrase`, `concept` or `region`."""
        view = WordView(self, find(self.manifest.text, what)) if isinstance(what, str) else what
        return refined(view, how, **options)

    def map(
        self,
        selection: Selection | str,
        *,
        reduce: Reduce = "sum",
        size: SizeRequest = None,
        weights: WeightRequest = None,
        combine: Combine = "mean",
    ) -> Heatmap:
        """The map of a selection that names a word, phrase, concept or region, given as a value or in its text form.

        `Heatmap.selection` given back makes the same map again.

        Raises:
            SelectionError: the selection names neither, or what it names is not in this run.
            UnknownWordError: the prompt has no such word.
            NotKeptError: the run's cache has no such concept.
        """
        chosen = Selection.parse(selection) if isinstance(selection, str) else selection
        if chosen.region is not None and chosen.word is None and chosen.concept is None:
            return self.region(chosen.region).map(
                chosen.steps, chosen.sites, chosen.heads, size=size, weights=weights
            )
        if (chosen.word is None) == (chosen.concept is None):
            raise SelectionError(f"the selection {str(chosen)!r} names no word; add one, as in word=circle")
        if chosen.concept is not None:
            view: WordView = self.concept(chosen.concept)
        else:
            view = WordView(self, find(self.manifest.text, chosen.word or ""))
        return view.map(
            chosen.steps, chosen.sites, chosen.heads, reduce, size, weights=weights, combine=combine
        )

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

    def _steps_of(self, selection: Selection) -> tuple[int, ...]:
        """Indices of the recorded steps that a selection names."""
        return chosen_steps(self.recording, selection)

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


def annotate(
    runs: Run | str | Path | Iterable[Objects | Run | str | Path],
    chain: Chain | str | None = None,
    **options: Any,
) -> Annotations:
    """The objects of recorded runs: those that each prompt names, with masks, boxes and scores.

        ds.annotate(["runs/a", "runs/b"]).to_coco("dataset")

    Args:
        runs: runs, or their folders. One is in memory at a time; what cannot be read is left out and named.
        chain: how maps become masks, as in `Run.objects`.
        options: changes of the chain, ``threshold=0.4``; see `diffuscope.analysis.objects.chain.Chain`.

    Raises:
        InputError: an option that there is not.
    """
    chosen = Chain.of(chain, **options)
    return Annotations([runs] if isinstance(runs, Run | str | Path) else runs, chosen, Run.open)


def open(path: str | Path) -> Run:
    """Open a recording: `Run.open`."""
    return Run.open(path)


def _data_url(image: Image.Image) -> str:
    file = BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode('ascii')}"
