"""From a recording to timelines: maps are read, a judge is asked where there is one, and measures wait to be asked
for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.analysis.measures import spatial
from diffuscope.analysis.measures.emergence import Against
from diffuscope.analysis.measures.evidence import Course, RunEvidence, WordEvidence
from diffuscope.analysis.timeline.judges import DrawnWorld, Judge, judged, name_of
from diffuscope.analysis.timeline.timeline import Lazy, Part, Timeline
from diffuscope.analysis.timeline.timelines import Timelines
from diffuscope.analysis.timeline.word_kinds import kind_of
from diffuscope.errors import SelectionError
from diffuscope.maps.choosing import chosen_heads
from diffuscope.maps.heatmap import Heatmap, HeatmapSeries
from diffuscope.maps.word_view import WordView
from diffuscope.maps.words import Reduce, Term, find, find_phrase
from diffuscope.selection import Choice, Selection, SiteChoice

if TYPE_CHECKING:
    from diffuscope.maps.aggregate import SizeRequest
    from diffuscope.maps.weights import WeightRequest
    from diffuscope.run import Run

JudgeChoice = Judge | Literal["auto"] | None
"""A judge of one's own, ``auto`` for that of the drawn world on runs of the shipped model, or none."""

MaskLike = NDArray[np.bool_] | Image.Image
Wide = NDArray[np.float64]
CONTROLS = ("<start>", "<end>")


@dataclass(frozen=True, eq=False)
class Asked:
    """What timelines of a run are made from; shared by all of its words, so that nothing is asked twice.

    Attributes:
        run: the run.
        options: of `WordView.steps`, but for steps, sites and heads.
        judge: who says what is in a picture.
        masks: true masks that the user gave, by label.
    """

    run: Run
    options: dict[str, Any]
    judge: JudgeChoice = "auto"
    masks: Mapping[str, MaskLike] = field(default_factory=dict)
    _scores: dict[str, Wide | None] = field(default_factory=dict, repr=False)

    @cached_property
    def world(self) -> DrawnWorld | None:
        return DrawnWorld.of(self.run) if self.judge == "auto" else None

    @cached_property
    def every_word(self) -> Term | None:
        """All words of the prompt as one term, or None where it has none."""
        labels = [word.label for word in self.run.words]
        return find_phrase(self.run.manifest.text, labels) if labels else None

    def truth(self, term: Term) -> tuple[spatial.Mask, Against] | None:
        """The true mask of what a term names: given by the user, else found by the judge."""
        given = self.masks.get(term.label)
        if given is not None:
            pixels = (
                np.asarray(given.convert("L")) > 127 if isinstance(given, Image.Image) else np.asarray(given)
            )
            if pixels.ndim != 2 or not pixels.astype(bool).any():
                raise SelectionError(
                    f"the mask of {term.label!r} has shape {pixels.shape}; a mask has two axes and at least one pixel"
                )
            return pixels.astype(bool), "mask"
        found = self.world.mask(term) if self.world else None
        return None if found is None else (found, "judge")

    def scores(self, term: Term, steps: Sequence[int]) -> tuple[Wide, str] | None:
        """A judge's scores at some steps."""
        if self.world is not None:
            every, name = self.world.scores(term), self.world.name
        elif self.judge is None or isinstance(self.judge, str):
            return None
        else:
            if term.label not in self._scores:
                found = judged(self.run, self.judge, [term.label])
                self._scores[term.label] = None if found is None else found[:, 0]
            every, name = self._scores[term.label], name_of(self.judge)
        if every is None:
            return None
        recorded = [step.index for step in self.run.steps]
        chosen = every[[recorded.index(step) for step in steps]]
        return None if np.isnan(chosen).any() else (chosen, name)


def timeline_of(
    view: WordView,
    steps: Choice = None,
    sites: SiteChoice = None,
    heads: Choice = None,
    *,
    reduce: Reduce = "sum",
    size: SizeRequest = None,
    weights: WeightRequest = None,
    judge: JudgeChoice = "auto",
    mask: MaskLike | None = None,
    asked: Asked | None = None,
) -> Timeline:
    """The timeline of a word, phrase or concept: see `Run.timeline`.

    Args:
        view: `Run.word`, `Run.phrase` or `Run.concept`.
        steps, sites, heads, reduce, size, weights: as in `WordView.steps`.
        judge: who says what is in the predicted clean pictures (see `JudgeChoice`).
        mask: the object's true mask ``[y, x]`` or a picture of it, where one knows better than the judge.
        asked: what is shared with other words of the run; made from the other arguments when None.

    Raises:
        SelectionError: a step, site, head or size that is not there; a judge by an unknown name; an empty mask.
    """
    if isinstance(judge, str) and judge != "auto":
        raise SelectionError(
            f"judge={judge!r} is unknown; give a function of (picture, labels), 'auto', or None"
        )
    shared = asked or Asked(
        view.run,
        {"reduce": reduce, "size": size, "weights": weights},
        judge,
        {} if mask is None else {view.label: mask},
    )
    series = view.steps(steps, sites, heads, **shared.options)
    words = {word.label: word.text for word in view.run.words}
    texts = tuple(words.get(label, label) for label in view.term.words)
    concept = series.selection.concept is not None
    kind = kind_of(view.label, texts, concept)
    chosen = view.sites_of(sites)
    numbers = chosen_heads(chosen, series.selection)

    def content(of: Selection, options: dict[str, Any]) -> Wide:
        every = shared.every_word
        if every is None or concept:
            return np.full(len(series), np.nan)
        return WordView(view.run, every).steps(of.steps, of.sites, of.heads, **options).mass

    def evidence(maps: NDArray[np.floating], total: Any) -> WordEvidence:
        return WordEvidence(
            maps,
            _course(view.run, series.steps),
            _picture(view.run),
            total,
            lambda: None if concept else shared.truth(view.term),
            lambda: None if concept and not callable(judge) else shared.scores(view.term, series.steps),
        )

    def made(of: HeatmapSeries, total: Any, at: dict[str, tuple[int, ...]], name: str = "") -> Timeline:
        whole = evidence(of.array, total)

        def parts(part: Part) -> dict[str, Timeline]:
            return by_heads() if part == "head" else by_sites(part)

        def map_at(step: int, site: str, head: int) -> Heatmap:
            return view.heads(step, site, head, reduce=shared.options["reduce"]).at(step, site, head)

        return Timeline(view.label, kind, view.run.id, of, whole, at, parts, map_at)

    def by_sites(part: Part) -> dict[str, Timeline]:
        groups: dict[str, list[str]] = {}
        for site in chosen:
            key = site.name if part == "site" else f"{site.grid[0]}x{site.grid[1]}"
            groups.setdefault(key, []).append(site.name)
        options = {**shared.options, "size": "native", "weights": None}
        found = {}
        for key, names in groups.items():
            own = view.steps(steps, names, heads, **options)
            at = {site: numbers[site] for site in names}
            found[key] = made(own, lambda own=own: content(own.selection, options), at)
        return found

    def by_heads() -> dict[str, Timeline]:
        single = view.heads(steps, sites, heads, reduce=shared.options["reduce"])
        every = shared.every_word
        cache: dict[str, dict[str, Wide]] = {}

        def total(site: str, place: int) -> Wide:
            if every is None or concept:
                return np.full(len(series), np.nan)
            if site not in cache:
                cache[site] = (
                    WordView(view.run, every)
                    .heads(steps, site, heads, reduce=shared.options["reduce"])
                    .mass()
                )
            return cache[site][site][:, place]

        found = {}
        for site, maps in single.per_site.items():
            for place, head in enumerate(single.heads[site]):
                where = Selection.of(
                    series.selection.steps,
                    site,
                    head,
                    word=series.selection.word,
                    concept=series.selection.concept,
                )
                own = HeatmapSeries(
                    maps[:, place],
                    where,
                    view.label,
                    single.unit,
                    f"Head {head} of {site}, each step by itself. Conditional branch, last call of each step.",
                    series.background,
                    steps=single.steps,
                )
                found[f"{site}/{head}"] = made(
                    own, lambda site=site, place=place: total(site, place), {site: (head,)}
                )
        return found

    return made(series, lambda: content(series.selection, shared.options), numbers)


def timelines_of(
    run: Run,
    words: Sequence[str] | None = None,
    steps: Choice = None,
    sites: SiteChoice = None,
    heads: Choice = None,
    *,
    reduce: Reduce = "sum",
    size: SizeRequest = None,
    weights: WeightRequest = None,
    judge: JudgeChoice = "auto",
    masks: Mapping[str, MaskLike] | None = None,
) -> Timelines:
    """The timelines of a run: see `Run.timeline`."""
    if isinstance(judge, str) and judge != "auto":
        raise SelectionError(
            f"judge={judge!r} is unknown; give a function of (picture, labels), 'auto', or None"
        )
    given = {find(run.manifest.text, label).label: mask for label, mask in (masks or {}).items()}
    asked = Asked(run, {"reduce": reduce, "size": size, "weights": weights}, judge, given)

    def timeline(label: str) -> Timeline:
        view = WordView(run, find(run.manifest.text, label))
        return timeline_of(view, steps, sites, heads, judge=judge, asked=asked)

    texts = {word.label: word.text for word in run.words}
    kinds = {label: kind_of(label, (text,)) for label, text in texts.items()}
    content = [label for label, kind in kinds.items() if kind == "content"]
    chosen = [find(run.manifest.text, label).label for label in words] if words else content or list(kinds)
    special = {token.kind for token in run.tokens}
    beside = [label for label, kind in kinds.items() if kind == "function" and label not in chosen]
    beside += [label for label in CONTROLS if label[1:-1] in special and label not in chosen]
    if not chosen and not beside:
        raise SelectionError("the prompt of this run has no word, so it has no timeline")
    made = {label: timeline(label) for label in dict.fromkeys(chosen)}
    # Read when they are looked at: who asks for one word's peak does not wait for all controls.
    controls = Lazy(tuple(beside), timeline, "control", kept=True)
    first = next(iter(made.values())) if made else controls[beside[0]]

    def curves() -> Wide:
        named = list(made.values()) or list(controls.values())
        return np.stack([curve for each in named for curve in (each.share, each.focus)], axis=1)

    def received() -> NDArray[np.floating]:
        height, width = _picture(run)
        # The sites of words are not those of self-attention: all kept ones of these are taken.
        return run.region(box=(0, 0, width - 1, height - 1)).steps(steps, None, None, direction="from").array

    evidence = RunEvidence(first.course, curves, received, lambda: run.image)
    return Timelines(run, made, controls, evidence)


def _course(run: Run, steps: tuple[int, ...]) -> Course:
    entries = [run.recording.step(step) for step in steps]
    levels = [np.nan if entry.log_snr is None else entry.log_snr for entry in entries]
    return Course(steps, np.array([entry.timestep for entry in entries]), np.array(levels))


def _picture(run: Run) -> tuple[int, int]:
    sampling = run.manifest.sampling
    return sampling.height, sampling.width
