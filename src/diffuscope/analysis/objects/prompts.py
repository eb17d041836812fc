"""What a prompt is about: its objects, and apart from them its relations, styles and times.

Objects are noun phrases: head noun, adjectives, determiner; "a red car in a watercolor painting" has one, `car`,
with the attribute `red`, and the style `watercolor painting`. Each knows its characters in the prompt and, of a
recorded run, the words and so the tokens that its maps are made of. What is wrong with TITAN's reading (adjectives
taken for objects, words of a tokenizer instead of the prompt's own) cannot happen here: attributes have a place of
their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from diffuscope.analysis.objects.prompts_chunks import Chunk, Piece, chunks, pieces
from diffuscope.analysis.objects.prompts_lexicon import COLOURS, SAME_FORM, SHADES, lemma_of
from diffuscope.analysis.objects.prompts_tagging import find_tagger
from diffuscope.errors import InputError

if TYPE_CHECKING:
    from diffuscope.recording import TextInfo

LONGEST = 20_000
"""Characters of a prompt: what is longer is a mistake, and no text encoder reads it."""


@dataclass(frozen=True)
class NounPhrase:
    """An object of a prompt.

    Attributes:
        text: as it stands in the prompt, determiner included.
        start, end: its characters in the prompt, `end` excluded.
        head: the head noun as it stands there ("cats").
        category: the head noun's lemma with the nouns that belong to its name: ``cat``, ``traffic light``.
        adjectives: its attributes, in order; "light blue" is one.
        determiner: ``a``, ``the``, ``two``; None where there is none.
        count: how many the prompt speaks of; None where it does not say ("several birds", "birds").
        spans: characters of the words that mean the object: attributes and nouns, no determiner, no count.
        head_spans: of these, the nouns'.
    """

    text: str
    start: int
    end: int
    head: str
    category: str
    adjectives: tuple[str, ...]
    determiner: str | None
    count: int | None
    spans: tuple[tuple[int, int], ...]
    head_spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Relation:
    """How one object stands to the next one: indices among `PromptReading.objects`, and the prompt's words between
    them.

    Attributes:
        kind: ``place`` ("left of", "on"), ``action`` ("riding") or ``of`` ("a cup of coffee").
    """

    subject: int
    words: str
    object: int
    kind: str


@dataclass(frozen=True)
class PromptReading:
    """A prompt as it was read.

    Attributes:
        prompt: the text.
        objects: its noun phrases that name objects, in order.
        styles: what says how the picture looks, as it stands there.
        times: "at night", "sunset": neither object nor style.
        relations: between neighbouring objects.
        reader: what told nouns from verbs: ``textblob``, ``rules``, ``spacy en_core_web_sm``.
        warnings: what the user should know.
    """

    prompt: str
    objects: tuple[NounPhrase, ...]
    styles: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    relations: tuple[Relation, ...] = ()
    reader: str = ""
    warnings: tuple[str, ...] = field(default=())

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """Pairs (attribute, category), in order."""
        return tuple((adjective, each.category) for each in self.objects for adjective in each.adjectives)

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories, each once, in order."""
        return tuple(dict.fromkeys(each.category for each in self.objects))

    def same(self, category: str) -> tuple[int, ...]:
        """Indices of the phrases of a category: "a cat and another cat" has two."""
        return tuple(index for index, each in enumerate(self.objects) if each.category == category)

    def expected(self, category: str) -> int | None:
        """How many things of a category the prompt speaks of; None where one of its phrases does not say."""
        counts = [self.objects[index].count for index in self.same(category)]
        return None if None in counts else sum(count for count in counts if count is not None)

    def facts(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return asdict(self)


def read_prompt(prompt: str, reader: str = "auto") -> PromptReading:
    """Read a prompt.

    Args:
        prompt: English text, a caption or a list of keywords.
        reader: ``auto``, ``textblob``, ``rules``, ``spacy``; see `prompts_tagging`.

    Raises:
        InputError: it is no text, or far too long; there is no such reader.
        MissingExtraError: the reader is not installed.
    """
    if not isinstance(prompt, str):
        raise InputError(f"a prompt is a text, not {type(prompt).__name__}")
    if len(prompt) > LONGEST:
        raise InputError(f"the prompt has {len(prompt)} characters; at most {LONGEST} are read")
    name, tag = find_tagger(reader)
    words = pieces(prompt, tag)
    found = chunks(words)
    kept = [each for each in found if each.kind == "object"]
    objects = tuple(_phrase(prompt, words, each) for each in kept)
    warnings = () if objects else (f"the prompt {_short(prompt)!r} names no object",)
    return PromptReading(
        prompt,
        objects,
        tuple(_text(prompt, words, each) for each in found if each.kind == "style"),
        tuple(_text(prompt, words, each) for each in found if each.kind == "time"),
        tuple(_relations(words, kept)),
        name,
        warnings,
    )


def word_labels(text: TextInfo, spans: Iterable[tuple[int, int]]) -> list[str]:
    """Labels of a run's words that stand at these characters of its prompt, in order; words that were cut off are
    left out.

    A word of the text encoder that overlaps a span is taken whole.
    """
    wanted = list(spans)
    return [
        word.label
        for word in text.words
        if any(word.start < end and word.end > start for start, end in wanted)
    ]


def _phrase(prompt: str, words: list[Piece], chunk: Chunk) -> NounPhrase:
    first, last = words[chunk.words[0]], words[chunk.words[-1]]
    nouns = [words[at] for at in chunk.nouns]
    category = " ".join([*(each.text.casefold() for each in nouns[:-1]), lemma_of(nouns[-1].text)])
    determiner = words[chunk.determiner].text.casefold() if chunk.determiner is not None else None
    meant = sorted({*chunk.adjectives, *chunk.nouns})
    return NounPhrase(
        prompt[first.start : last.end],
        first.start,
        last.end,
        nouns[-1].text,
        category,
        _attributes([words[at] for at in chunk.adjectives], chunk.adjectives),
        determiner,
        _count(nouns[-1], chunk),
        tuple((words[at].start, words[at].end) for at in meant),
        tuple((each.start, each.end) for each in nouns),
    )


def _attributes(words: list[Piece], places: tuple[int, ...]) -> tuple[str, ...]:
    """Adjectives in lower case; a shade and its colour, side by side, are one."""
    found: list[str] = []
    for index, word in enumerate(words):
        low = word.text.casefold()
        beside = index > 0 and places[index] == places[index - 1] + 1
        if beside and low in COLOURS and found[-1] in SHADES:
            found[-1] = f"{found[-1]} {low}"
        else:
            found.append(low)
    return tuple(found)


def _count(head: Piece, chunk: Chunk) -> int | None:
    if chunk.count is not None:
        return chunk.count
    # "scissors" and "sheep" have one form and do not tell; what is no plural is one.
    if chunk.several or (head.text.casefold() in SAME_FORM and chunk.determiner is None):
        return None
    return None if head.tag == "NNS" and lemma_of(head.text) != head.text.casefold() else 1


def _relations(words: list[Piece], kept: list[Chunk]) -> list[Relation]:
    found = []
    for index in range(len(kept) - 1):
        between = words[kept[index].words[-1] + 1 : kept[index + 1].words[0]]
        said = [each for each in between if each.tag in ("IN", "REL", "VB", "VBG", "VBN") and not each.styled]
        if not said or any(each.text in ",.;" for each in between):
            continue
        text = " ".join(each.text.casefold() for each in said)
        action = any(each.tag in ("VBG", "VBN", "VB") for each in said)
        kind = "of" if text == "of" else "action" if action else "place"
        found.append(Relation(index, text, index + 1, kind))
    return found


def _text(prompt: str, words: list[Piece], chunk: Chunk) -> str:
    return prompt[words[chunk.words[0]].start : words[chunk.words[-1]].end]


def _short(prompt: str) -> str:
    return prompt if len(prompt) <= 60 else f"{prompt[:57]}..."
