"""What claims are computed from: a run's maps, read once each, what its words are, and what a judge sees."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope import scenes
from diffuscope.analysis.timeline import Asked, DrawnWorld, Timeline, timeline_of
from diffuscope.analysis.timeline.word_kinds import kind_of
from diffuscope.errors import DiffuscopeError
from diffuscope.maps.choosing import chosen_steps, kept_text_sites
from diffuscope.maps.resize import resize
from diffuscope.maps.word_view import WordView
from diffuscope.maps.words import find, find_phrase
from diffuscope.scenes.scoring import Score, agrees, asked_for
from diffuscope.scenes.vocabulary import PATTERNS, SIZE_WORDS
from diffuscope.selection import Selection

if TYPE_CHECKING:
    from diffuscope.run import Run

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Role = Literal["noun", "attribute", "place", "look", "relation", "other"]
"""``look``: words of light and style, which are about the whole picture."""

RELATIONS = frozenset({"left", "right", "above", "below", "under", "over", "behind", "beside", "between"})
PARTS: dict[str, Role] = {
    "noun": "noun",
    "colour": "attribute",
    "pattern": "attribute",
    "size": "attribute",
    "place": "place",
    "light": "look",
    "style": "look",
    "relation": "relation",
}


@dataclass(frozen=True)
class Phrase:
    """Content words that stand side by side: a noun at the end, what is said of it before.

    Attributes:
        label: as `Run.phrase` finds it.
        head: label of the last word.
        attributes: labels of the others.
    """

    label: str
    head: str
    attributes: tuple[str, ...]


class Evidence:
    """What is known of one run. Everything is computed when it is asked for, and once.

    Attributes:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._maps: dict[Selection, Floats] = {}
        self._timelines: dict[str, Timeline] = {}
        self._asked = Asked(run, {"reduce": "sum", "size": None, "weights": None})

    # Words.

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Words of the prompt that the model read, in order."""
        return tuple(
            word.label for word in sorted(self.run.words, key=lambda each: each.start) if word.tokens
        )

    @cached_property
    def texts(self) -> dict[str, str]:
        """Label to the word as it stands in the prompt."""
        return {word.label: word.text for word in self.run.words}

    @cached_property
    def content(self) -> tuple[str, ...]:
        """Words that name something; of the drawn world's prompts those of its vocabulary."""
        if self.world is not None:
            named = {label for label, (part, _) in self.world.meanings.items() if part != "relation"}
            return tuple(each for each in self.labels if each in named)
        return tuple(each for each in self.labels if kind_of(each, (self.texts[each],)) == "content")

    @cached_property
    def world(self) -> DrawnWorld | None:
        """The judge of the drawn world, on its own runs."""
        return self._asked.world

    def part(self, label: str) -> str:
        """What the judge takes a word for: a key of `PARTS`; empty for others."""
        meaning = self.world.meanings.get(label) if self.world is not None else None
        return "" if meaning is None else meaning[0]

    def role(self, label: str) -> Role:
        """What a word does in the prompt: by the drawn world's vocabulary on its runs, else by its place in a
        phrase."""
        if self.world is not None:
            return PARTS.get(self.part(label), "other")
        if self.texts[label].casefold() in RELATIONS:
            return "relation"
        for phrase in self.phrases:
            if label == phrase.head:
                return "noun"
            if label in phrase.attributes:
                return "attribute"
        return "other"

    @cached_property
    def phrases(self) -> tuple[Phrase, ...]:
        """Noun phrases: runs of content words with nothing between them, not even a comma."""
        words = sorted((word for word in self.run.words if word.tokens), key=lambda each: each.start)
        prompt = self.run.prompt if self.run.manifest.keep.branch == "cond" else ""
        runs: list[list[str]] = [[]]
        for at, word in enumerate(words):
            before = words[at - 1] if at else None
            apart = before is None or prompt[before.end : word.start].strip() != ""
            if word.label not in self.content or apart:
                runs.append([])
            if word.label in self.content:
                runs[-1].append(word.label)
        found = []
        for labels in runs:
            if labels:
                term = find_phrase(self.run.manifest.text, labels if len(labels) > 1 else labels[0])
                label = " ".join(self.texts[each] for each in labels)
                # The plain words where they lead back to this place, else the labels joined.
                try:
                    plain = find(self.run.manifest.text, label).tokens == term.tokens
                except DiffuscopeError:
                    plain = False
                found.append(Phrase(label if plain else term.label, labels[-1], tuple(labels[:-1])))
        return tuple(found)

    def phrase_of(self, label: str) -> Phrase | None:
        """The phrase that a word belongs to."""
        return next((each for each in self.phrases if label in (each.head, *each.attributes)), None)

    @cached_property
    def objects(self) -> tuple[Phrase, ...]:
        """Phrases that name a thing: on runs of the drawn world those of its nouns, else all."""
        if self.world is None:
            return self.phrases
        return tuple(each for each in self.phrases if self.part(each.head) == "noun")

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Words that the shipped model does not know; it reads them letter by letter."""
        if self.run.manifest.model.id != "scenes":
            return ()
        strange = {word for word, _ in scenes.near_words(self.run.prompt)}
        return tuple(each for each in self.labels if self.texts[each].casefold() in strange)

    # Maps.

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the kept sites that have text among their keys."""
        return tuple(site.name for site in kept_text_sites(self.run.recording))

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Steps whose attention was kept."""
        return chosen_steps(self.run.recording, Selection())

    def view(self, label: str) -> WordView:
        return WordView(self.run, find(self.run.manifest.text, label))

    def map(self, selection: Selection) -> Floats:
        """The map of a selection that names a word or phrase, ``[y, x]``, a probability."""
        if selection not in self._maps:
            asked = self.view(selection.word or "")
            found = asked.map(selection.steps, selection.sites, selection.heads)
            self._maps[selection] = found.array.astype(np.float64)
        return self._maps[selection]

    def every_word(self, selection: Selection) -> Floats:
        """The summed map of all words of the prompt, for the same steps, sites and heads."""
        label = find_phrase(self.run.manifest.text, list(self.labels)).label
        return self.map(Selection(selection.steps, selection.sites, selection.heads, word=label))

    def timeline(self, label: str) -> Timeline:
        """The word over all steps. Its scores in the predicted pictures are asked of a judge only when they are
        used."""
        if label not in self._timelines:
            self._timelines[label] = timeline_of(self.view(label), asked=self._asked)
        return self._timelines[label]

    # The picture.

    @cached_property
    def reading(self) -> scenes.Reading | None:
        """What the drawn world's judge sees in the finished picture."""
        return None if self.world is None else self.world.reading

    @cached_property
    def score(self) -> Score | None:
        """The reading held against the prompt."""
        if self.world is None or self.reading is None:
            return None
        return scenes.score(self.reading, self.world.description)

    def region(self, label: str) -> Mask | None:
        """True pixels ``[y, x]`` of what a word or phrase names, in the finished picture; None where that is not
        known."""
        if self.world is None:
            return None
        return self.world.mask(find(self.run.manifest.text, label))

    def cover(self, label: str, shape: tuple[int, ...]) -> Floats | None:
        """The region's share of each cell of a grid."""
        mask = self.region(label)
        return None if mask is None else resize(mask.astype(np.float64), (shape[0], shape[1]), "area")

    def seen(self, label: str | None) -> str | None:
        """What the judge sees for a word's thing or place, or in the whole picture; None where there is no judge."""
        if self.reading is None:
            return None
        if label is not None and (part := self.part(label)) in ("place", "light", "style"):
            return getattr(self.reading, part) or f"no {part} that it knows"
        if label is not None:
            return self.seen_as(label) or "nothing"
        things = [said_thing(each) for each in self.reading.objects]
        return " and ".join(filter(None, [", ".join(things[:-1]), *things[-1:]])) or "nothing"

    def seen_as(self, label: str) -> str | None:
        """What the judge sees in place of the thing that a word belongs to, ``a pink heart``, or None for nothing."""
        found = self.found(label)
        return None if found is None else said_thing(found)

    def found(self, label: str) -> scenes.Found | None:
        """The thing that the judge takes for the one that a word belongs to."""
        if self.world is None or self.reading is None or self.score is None:
            return None
        part, about = self.world.meanings.get(label, ("", ""))
        if not isinstance(about, int):
            return None
        group = [self.reading.objects[at] for at in self.score.matched[about] if at is not None]
        thing, number = self.world.description.things[about], asked_for(self.world.description)
        # Of two in the plural, the one that is not as the word says.
        amiss = [found for found in group if not agrees(found, thing, part, number)]
        return next(iter(amiss or group), None)


def said_thing(found: scenes.Found) -> str:
    """A thing that the judge sees, with its article: ``a big striped circle``, ``a white thing of no known shape``."""
    size = found.size if found.size in SIZE_WORDS else ""
    pattern = found.pattern if found.pattern in PATTERNS else ""
    words = [size, pattern, found.colour or "", found.noun or "thing"]
    said = " ".join(each for each in words if each) + ("" if found.noun else " of no known shape")
    return f"{'an' if said[0] in 'aeiou' and not said.startswith('unicorn') else 'a'} {said}"
