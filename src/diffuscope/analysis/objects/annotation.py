"""The objects of a run: which the prompt names, and where each is in the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.objects.chain import Chain
from diffuscope.analysis.objects.masks import (
    Box,
    Mask,
    Plane,
    above,
    assigned,
    blurred,
    box_of,
    components,
    exclusive,
    instances,
    merged,
    scaled,
)
from diffuscope.analysis.objects.prompts import NounPhrase, PromptReading, read_prompt, word_labels
from diffuscope.maps.choosing import grid_of, kept_text_sites
from diffuscope.maps.refinement import named, refined
from diffuscope.maps.resize import resize
from diffuscope.maps.word_view import WordView
from diffuscope.maps.words import find_phrase

if TYPE_CHECKING:
    from diffuscope.maps.heatmap import Heatmap
    from diffuscope.run import Run

LATE = 0.35
"""Share of the steps that ``late`` leaves out."""


@dataclass(frozen=True, eq=False)
class FoundObject:
    """One object in the picture.

    Attributes:
        category: lemma of its head noun.
        phrase: index of its noun phrase among `Objects.reading.objects`.
        text: the phrase as the prompt has it.
        words: labels of the run's words that its map is made of.
        attributes: its adjectives.
        mask: bool ``[y, x]`` of the picture's size.
        box: x, y, width, height in pixels of the mask.
        area: pixels of the mask.
        score: mean attention probability of its map inside the mask, before any refinement (DAAM's map: divided by
        its
            number of steps).
        threshold: of the map's largest value, that made the mask.
        selection: what its map was made from, in the text form that `Run.map` takes.
    """

    category: str
    phrase: int
    text: str
    words: tuple[str, ...]
    attributes: tuple[str, ...]
    mask: Mask = field(repr=False)
    box: Box
    area: int
    score: float
    threshold: float
    selection: str

    def facts(self) -> dict[str, Any]:
        """Plain values, without the mask."""
        return {
            "category": self.category,
            "phrase": self.phrase,
            "text": self.text,
            "words": list(self.words),
            "attributes": list(self.attributes),
            "box": list(self.box),
            "area": self.area,
            "score": self.score,
            "threshold": self.threshold,
            "selection": self.selection,
        }


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of a run, in the order of its prompt.

    Attributes:
        run: the run.
        reading: its prompt as it was read.
        chain: how maps became masks.
        found: the objects.
        asked: the chain as it was asked for, where that was ``auto``.
        warnings: what the user should know: a prompt without objects, words that were cut off, phrases without a
        mask.
    """

    run: Run
    reading: PromptReading
    chain: Chain
    found: tuple[FoundObject, ...]
    warnings: tuple[str, ...] = ()
    asked: Chain | None = None

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[FoundObject]:
        return iter(self.found)

    def __getitem__(self, index: int) -> FoundObject:
        return self.found[index]

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that were found, each once."""
        return tuple(dict.fromkeys(each.category for each in self.found))

    def to_coco(self, folder: str | Path, **options: Any) -> Path:
        """Write the picture and its objects to a COCO dataset, or add them to it; the path of its file of
        instances.

        `options` and errors as of `annotating.Annotations.to_coco`.
        """
        from diffuscope.analysis.objects.annotating import Annotations

        return (
            Annotations([self], self.asked or self.chain, type(self.run).open).to_coco(folder, **options).path
        )

    def facts(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return {
            "run": self.run.id,
            "prompt": self.run.prompt,
            "reader": self.reading.reader,
            "chain": self.chain.plain(),
            "objects": [each.facts() for each in self.found],
            "styles": list(self.reading.styles),
            "relations": [vars(each) for each in self.reading.relations],
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        said = ", ".join(f"{each.text} {each.score:.3f}" for each in self.found) or "none"
        return f"<Objects of run {self.run.id}: {said}>"


@dataclass(frozen=True, eq=False)
class _Mapped:
    """A phrase with its map: `plane` min-max and brought to the picture's size, `values` its probabilities
    there."""

    index: int
    phrase: NounPhrase
    words: tuple[str, ...]
    plane: Plane
    values: Plane
    mask: Mask
    threshold: float
    selection: str


def annotate(run: Run, chain: Chain | str | None = None, **options: Any) -> Objects:
    """Find the objects of a run's prompt in its picture.

    Args:
        run: a recorded run; word maps are enough, ``guided`` and spreading need self-attention.
        chain: how maps become masks: a `Chain`, a name of `chain.CHAINS`, or None for ``auto``.
        options: changes of the chain (``threshold=0.4``).

    Raises:
        InputError: an option that there is not.
        NotKeptError: the chain needs what the run did not keep.
        MissingExtraError: scipy is not installed (extra ``objects``).
        RecordingError: the recording holds NaN or infinity.
    """
    return with_planes(run, Chain.of(chain, **options))[0]


def with_planes(run: Run, chain: Chain) -> tuple[Objects, dict[str, Plane]]:
    """As `annotate`, and the map that each category's mask was cut from: min-max, ``[y, x]`` of the picture's size; of
    several phrases the largest at each pixel."""
    chosen = chain.resolved(run.manifest.model.id)
    reading = read_prompt(run.prompt, chosen.reader)
    maps, warnings = _maps(run, reading, chosen)
    masks = exclusive([each.mask for each in maps], [each.plane for each in maps], chosen.overlap)
    found: list[FoundObject] = []
    for category in dict.fromkeys(each.phrase.category for each in maps):
        own = [at for at, each in enumerate(maps) if each.phrase.category == category]
        found += _instances([maps[at] for at in own], [masks[at] for at in own], chosen)
    missing = {each.index for each in maps} - {each.phrase for each in found}
    warnings += [
        f"{reading.objects[index].text!r} has no mask: other words claim all of it"
        for index in sorted(missing)
    ]
    found.sort(key=lambda each: (each.phrase, each.box[0]))
    planes: dict[str, Plane] = {}
    for each in maps:
        name = each.phrase.category
        planes[name] = np.maximum(planes[name], each.plane) if name in planes else each.plane
    return Objects(run, reading, chosen, tuple(found), tuple(warnings), chain), planes


def _maps(run: Run, reading: PromptReading, chain: Chain) -> tuple[list[_Mapped], list[str]]:
    """The map and first mask of every phrase that has any, and warnings about the others."""
    warnings = list(reading.warnings)
    sampling = run.manifest.sampling
    size = (sampling.height, sampling.width)
    maps: list[_Mapped] = []
    for index, phrase in enumerate(reading.objects):
        view = _view(run, phrase, chain)
        if view is None:
            cut = f": {run.manifest.text.cut!r} was cut off" if run.manifest.text.cut else ""
            warnings.append(
                f"{phrase.text!r} is no object of the picture, the model did not read its words{cut}"
            )
            continue
        mapped = _mapped(run, index, phrase, view, chain, size)
        if not mapped.mask.any():
            warnings.append(f"the map of {phrase.text!r} is the same everywhere, so it has no mask")
            continue
        maps.append(mapped)
    return maps, warnings


def _view(run: Run, phrase: NounPhrase, chain: Chain) -> WordView | None:
    """The phrase's words of the run; None where the model did not read its nouns."""
    text = run.manifest.text
    nouns = word_labels(text, phrase.head_spans)
    if not nouns:
        return None
    labels = word_labels(text, phrase.spans) if chain.map == "phrase" else nouns
    return WordView(run, find_phrase(text, labels))


def _mapped(
    run: Run, index: int, phrase: NounPhrase, view: WordView, chain: Chain, size: tuple[int, int]
) -> _Mapped:
    steps, sites = _steps(run, chain.steps), _sites(run, chain.sites)
    heads = None if chain.heads == "all" else chain.heads
    plain: Heatmap = (view.daam if chain.map == "daam" else view.map)(steps, sites, heads)
    values = resize(plain.array, size)
    if chain.map == "daam":
        values = values / max(1, len(run._steps_of(plain.selection)))
    # TITAN enlarges the map as DAAM does, bicubic; ours stays within its own values.
    shown: NDArray[np.floating] = resize(plain.array, size, "bicubic") if chain.map == "daam" else values
    if chain.refine:
        how = named(chain.refine)
        if not how.model:
            how = replace(how, steps=steps or how.steps, sites=sites or how.sites)
        shown = resize(refined(view, how).array, size)
    sigma = chain.blur * max(size)
    plane = scaled(blurred(scaled(shown), sigma))
    mask, threshold = above(plane, chain.threshold)
    if chain.guided and mask.any():
        region = run.region(mask=mask, guide=plane)
        looked = region.map(steps=steps, direction="to").array
        plane = scaled(blurred(scaled(resize(looked, size)), sigma))
        mask, threshold = above(plane, chain.threshold)
    return _Mapped(index, phrase, view.term.words, plane, values, mask, threshold, str(plain.selection))


def _steps(run: Run, steps: str) -> str | None:
    """Steps as `Selection` takes them; None for all."""
    if steps != "late":
        return None if steps == "all" else steps
    indices = [step.index for step in run.steps]
    return f"{indices[round(LATE * len(indices))]}:" if len(indices) > 2 else None


def _sites(run: Run, sites: str) -> str | None:
    """Sites as `Selection` takes them; None for all."""
    if sites != "finest":
        return None if sites == "all" else sites
    kept = kept_text_sites(run.recording)
    most = max(math.prod(grid_of(site)) for site in kept)
    return ",".join(site.name for site in kept if math.prod(grid_of(site)) == most)


def _instances(maps: list[_Mapped], masks: list[Mask], chain: Chain) -> list[FoundObject]:
    """The instances of one category, from all of its phrases together."""
    whole = np.any(masks, axis=0)
    plane = np.max([each.plane for each in maps], axis=0)
    parts = merged(components(whole, chain.specks, filled=chain.fill), chain.merge)
    counts = [each.phrase.count for each in maps]
    if chain.instances == "one":
        parts = [np.any(parts, axis=0)] if parts else []
    elif chain.instances == "count":
        expected = None if None in counts else sum(count for count in counts if count is not None)
        parts = instances(parts, plane, expected)
    chosen = assigned(parts, [each.plane for each in maps], counts)
    return [_found(maps[each.phrase], each.mask) for each in chosen]


def _found(mapped: _Mapped, mask: Mask) -> FoundObject:
    phrase = mapped.phrase
    return FoundObject(
        phrase.category,
        mapped.index,
        phrase.text,
        mapped.words,
        phrase.adjectives,
        mask,
        box_of(mask),
        int(mask.sum()),
        float(mapped.values[mask].mean()),
        mapped.threshold,
        mapped.selection,
    )
