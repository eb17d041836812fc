"""Judges: who says whether a thing is in a picture. One for the drawn world ships; others are callables of the
user."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope import scenes
from diffuscope.errors import NotKeptError, SelectionError
from diffuscope.maps.cache import RunCache
from diffuscope.scenes.scoring import agrees, asked_for
from diffuscope.scenes.vocabulary import (
    LIGHTS,
    NOUNS,
    PAINTS,
    PATTERNS,
    PLACES,
    PLURALS,
    RELATIONS,
    SIZE_WORDS,
    STYLES,
)

if TYPE_CHECKING:
    from diffuscope.maps.words import Term
    from diffuscope.run import Run

Judge = Callable[[Image.Image, Sequence[str]], Sequence[float]]
"""Takes a picture (RGB) and labels of words or phrases; gives a score of each: 0 where it is not there, more the
surer it is, NaN where the judge has no answer to such a word. A detector's or CLIP's score, for instance."""

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def name_of(judge: Judge) -> str:
    """What a judge is called in results: its attribute `name`, else the function's or class's own."""
    return str(getattr(judge, "name", None) or getattr(judge, "__name__", None) or type(judge).__name__)


def judged(run: Run, judge: Judge, labels: Sequence[str]) -> Floats | None:
    """Scores ``[step, label]`` of all recorded steps' predicted clean pictures; None where the run kept none.

    Raises:
        SelectionError: the judge gives another number of scores, or negative ones.
    """
    try:
        pictures = [run.preview(step.index) for step in run.steps]
    except NotKeptError:
        return None
    rows = []
    for picture in pictures:
        scores = np.asarray(judge(picture, labels), np.float64)
        if scores.shape != (len(labels),) or (scores < 0).any():
            raise SelectionError(
                f"the judge {name_of(judge)} gave scores of shape {scores.shape} for {len(labels)} labels; it gives "
                "one of 0 or more for each, NaN where it has no answer"
            )
        rows.append(scores)
    return np.stack(rows)


class DrawnWorld:
    """What the judge of the drawn world says of a run of the shipped model: true masks, and when each word came true.

    A noun is there when the judge names it (twice, for a plural), a colour, material, pattern or size when it sees it
    on the thing that the prompt gives it to, whatever it takes that thing for; a place, light or style when it names
    it; words of a relation when the things stand so. It has no answer to other words. All answers are yes or no
    (1 or 0), so that no kind of word has a stricter threshold than another.

    Attributes:
        run: the run.
        description: what its prompt says.
    """

    name = "the drawn world's judge"

    def __init__(self, run: Run, description: scenes.Description) -> None:
        self.run = run
        self.description = description
        self._meanings = _meanings(run, description)

    @classmethod
    def of(cls, run: Run) -> DrawnWorld | None:
        """For a run of the shipped model with a prompt that its world can say, else None."""
        sampling, model = run.manifest.sampling, run.manifest.model
        if model.id != "scenes" or (sampling.height, sampling.width) != (scenes.SIDE, scenes.SIDE):
            return None
        description = scenes.parse(sampling.prompt)
        return None if description is None else cls(run, description)

    @property
    def meanings(self) -> dict[str, tuple[str, int | str]]:
        """Label of each word that the judge can answer to: the part of speech, and whose it is (a thing's number)."""
        return dict(self._meanings)

    @property
    def reading(self) -> scenes.Reading | None:
        """What the judge sees in the finished picture; None where the run has none."""
        return self._final

    def holds(self, label: str) -> bool | None:
        """Whether a word is true of the finished picture; None where the judge has no answer."""
        if label not in self._meanings or self._final is None:
            return None
        return self._is_true(self._meanings[label], self._final)

    def mask(self, term: Term) -> Mask | None:
        """True pixels ``[y, x]`` of what a word or phrase names, in the finished picture: a thing (two, for a plural)
        for its noun and attributes, what no thing covers for a place. None where the judge does not find it, or the
        word names nothing that has pixels of its own."""
        about = self._about(term)
        if about is None or self._final is None:
            return None
        reading = self._final
        if about == "place":
            if reading.place != self.description.place:
                return None
            covered = np.zeros((scenes.SIDE, scenes.SIDE), bool)
            for found in reading.objects:
                covered |= found.mask
            return ~covered
        if not isinstance(about, int):
            return None
        named = self._score(reading).shown(reading, about)
        if not named or any(each.noun != self.description.things[about].noun for each in named):
            return None
        mask = np.asarray(np.logical_or.reduce([each.mask for each in named]))
        return mask if mask.any() else None

    def scores(self, term: Term) -> Floats | None:
        """1 or 0 for each recorded step, ``[step]``: whether every word of the term that the judge can answer to is
        true of the predicted clean picture. None where it can answer to none, or the run kept no such pictures."""
        asked = [label for label in term.words if label in self._meanings]
        if not asked or self._all is None:
            return None
        labels = list(self._meanings)
        return np.asarray(self._all[:, [labels.index(label) for label in asked]].min(axis=1))

    def _about(self, term: Term) -> int | str | None:
        """The thing's number or ``place`` that all words of the term name together; None for several or none."""
        named = {self._meanings[label][1] for label in term.words if label in self._meanings}
        return named.pop() if len(named) == 1 else None

    @cached_property
    def _final(self) -> scenes.Reading | None:
        try:
            return _read(self.run.image.convert("RGB").tobytes(), self.run.image.size)
        except NotKeptError:
            return None

    @cached_property
    def _all(self) -> Floats | None:
        """``[step, word]``, kept in the run's cache: reading a picture takes a quarter of a second."""
        cache, key = RunCache(self.run.recording), {"judge": self.name}
        kept = cache.read("judged", key)
        if kept is not None:
            return kept["scores"].astype(np.float64)
        scores = judged(self.run, self._score_all, list(self._meanings))
        if scores is not None:
            cache.write("judged", key, {"scores": scores})
        return scores

    def _score_all(self, picture: Image.Image, labels: Sequence[str]) -> list[float]:
        reading = scenes.read(picture)
        return [float(self._is_true(self._meanings[label], reading)) for label in labels]

    def _is_true(self, meaning: tuple[str, int | str], reading: scenes.Reading) -> bool:
        part, about = meaning
        if part in WHOLE:
            return bool(getattr(reading, part) == getattr(self.description, part))
        if part == "relation":
            return self._score(reading).relation is True
        assert isinstance(about, int)
        found, thing = self._score(reading).shown(reading, about), self.description.things[about]
        number = asked_for(self.description)
        return bool(found) and all(agrees(each, thing, part, number) for each in found)

    def _score(self, reading: scenes.Reading) -> scenes.Score:
        return scenes.score(reading, self.description)


@lru_cache(maxsize=64)
def _read(pixels: bytes, size: tuple[int, int]) -> scenes.Reading:
    """What the judge sees in a picture (RGB bytes): finished ones are asked about once a word."""
    return scenes.read(Image.frombytes("RGB", size, pixels))


WHOLE: dict[str, Mapping[str, tuple[str, ...]]] = {
    "place": {name: (words,) for name, words in PLACES.items()},
    "light": {name: (words,) for name, words in LIGHTS.items()},
    "style": STYLES,
}
"""Parts that are said of a whole picture: word of the vocabulary to the phrasings of it."""

LITTLE = frozenset({"in", "on", "at", "a", "the", "as", "of"})
"""Words of those phrasings that do not name the part."""


def _attribute(word: str) -> str | None:
    """What of a thing a word says; None where it says nothing of one."""
    parts: dict[str, Collection[str]] = {"colour": PAINTS, "pattern": PATTERNS, "size": SIZE_WORDS}
    return next((part for part, words in parts.items() if word in words), None)


def _meanings(run: Run, description: scenes.Description) -> dict[str, tuple[str, int | str]]:
    """Label of each word that the judge can answer to: the part of speech, and whose it is (a thing's number)."""
    out: dict[str, tuple[str, int | str]] = {}
    nouns = {*NOUNS, *PLURALS.values()}
    whole = {
        word: part
        for part, names in WHOLE.items()
        for phrasing in names.get(getattr(description, part) or "", ())
        for word in phrasing.split()
        if word not in LITTLE
    }
    standing = {
        word for phrasing in RELATIONS.get(description.relation or "", ()) for word in phrasing.split()
    }
    thing = 0
    for word in sorted(run.words, key=lambda word: word.start):
        text = word.text.casefold()
        if text in nouns and thing < len(description.things):
            out[word.label] = ("noun", thing)
            thing += 1
        elif thing < len(description.things) and (part := _attribute(text)):
            out[word.label] = (part, thing)
        elif text in whole:
            out[word.label] = (whole[text], whole[text])
        # "on" and "in" are also said of places; between things they are the relation.
        elif text in standing - {"and", "to", "of", "the"} and 0 < thing < len(description.things):
            out[word.label] = ("relation", "relation")
    return out
