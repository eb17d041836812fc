"""Words of a prompt: which tokens they are. (`token_attention` has their attention.)

A word is found by its whole label, upper and lower case alike, never by a part of it: "cat" is not in
"category". The second "circle" of a prompt is ``circle#2``. Words in angle brackets stand for what is no word
of the prompt: ``<start>``, ``<end>`` (the first end token), ``<padding>`` (all of it, what follows the end)
and ``<token 7>``.

Where several text encoders have tokens of their own among the keys (SD3), a word is the sum of its tokens of all of
them, and ``circle@t5`` is those of one alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from diffuscope.errors import SelectionError, UnknownWordError

if TYPE_CHECKING:
    from diffuscope.recording import TextInfo, Word

Reduce = Literal["sum", "mean"]
SPECIAL = {"<start>": "start", "<end>": "end", "<padding>": "padding"}
"""Labels for tokens that belong to no word, and the token kind of each."""


@dataclass(frozen=True)
class Term:
    """Something in the prompt that has a map: a word, a phrase, or a special token.

    Attributes:
        label: what it is called; `find` gives the same term for it again.
        words: labels of its words; empty for special tokens.
        groups: token indices, one tuple for each word. Sub-tokens are reduced within a group, groups are
            summed.
        encoders: tokens ``(start, stop)`` of each text encoder, where there are several. Sub-tokens are then reduced
            within a group and encoder.
    """

    label: str
    words: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    encoders: tuple[tuple[int, int], ...] = ()

    @property
    def tokens(self) -> tuple[int, ...]:
        """All token indices, in the prompt's order."""
        return tuple(sorted({token for group in self.groups for token in group}))

    def weights(self, reduce: Reduce) -> dict[int, float]:
        """Weight of each token's map: 1 for ``sum``, 1 / (number of sub-tokens of its word) for ``mean``.

        Raises:
            SelectionError: `reduce` is neither.
        """
        if reduce not in get_args(Reduce):
            raise SelectionError(f"reduce={reduce!r} is unknown; sub-tokens are combined by 'sum' or 'mean'")
        total: dict[int, float] = {}
        for group in self.groups:
            for token in group:
                share = 1.0 if reduce == "sum" else 1.0 / self._beside(token, group)
                # A token that two words share counts once: the map stays a probability.
                total[token] = min(1.0, total.get(token, 0.0) + share)
        return total

    def _beside(self, token: int, group: tuple[int, ...]) -> int:
        """How many of a group's tokens are of the same encoder as `token`, itself included."""
        own = next(((start, stop) for start, stop in self.encoders if start <= token < stop), None)
        return len(group) if own is None else sum(own[0] <= each < own[1] for each in group)


def find(text: TextInfo, label: str) -> Term:
    """The term that a label names: a special token, a word, or else a phrase.

    Raises:
        UnknownWordError: the prompt has no such word or phrase; the error lists the words there are.
    """
    try:
        return find_word(text, label)
    except UnknownWordError:
        if len(label.split()) < 2:
            raise
    return find_phrase(text, label)


def find_word(text: TextInfo, label: str) -> Term:
    """As `find`, but a phrase is not accepted."""
    name, text, encoder = _of_encoder(text, label)
    if encoder:
        return _named(find_word(text, name), encoder)
    wanted = label.strip()
    if wanted.casefold() in SPECIAL:
        return find_special(text, wanted)
    number = re.fullmatch(r"<token ([0-9]{1,9})>", wanted, re.IGNORECASE)
    if number:
        return find_token(text, int(number[1]))
    word = _match(text, wanted)
    if word is None:
        raise _unknown(text, label)
    return Term(word.label, (word.label,), (tuple(word.tokens),), _spans(text))


def find_special(text: TextInfo, label: str) -> Term:
    """``<start>``, ``<end>`` or ``<padding>``.

    Raises:
        UnknownWordError: this prompt has no such token (a prompt that fills the encoder has no padding).
    """
    name = label.strip().casefold()
    tokens = tuple(token.index for token in text.tokens if token.kind == SPECIAL.get(name))
    if name == "<end>":
        # The first one of each encoder.
        ends = [encoder.start for encoder in text.encoders] or [0]
        firsts = (next((token for token in tokens if token >= start), None) for start in ends)
        tokens = tuple(dict.fromkeys(token for token in firsts if token is not None))
    if not tokens:
        raise _unknown(text, label)
    return Term(name, (), (tokens,), _spans(text))


def find_token(text: TextInfo, index: int) -> Term:
    """A single token, by its index among the keys.

    Raises:
        SelectionError: there is no such token.
    """
    if index not in {token.index for token in text.tokens}:
        raise SelectionError(f"there is no token {index}; this prompt has tokens 0 to {len(text.tokens) - 1}")
    return Term(f"<token {index}>", (), ((index,),))


def find_phrase(text: TextInfo, phrase: str | Sequence[str]) -> Term:
    """A phrase: the sum of its words' maps.

    Args:
        phrase: words that stand next to each other in the prompt, as in "red circle"; the first such place
            counts, and ``red circle#2`` is the one that ends in the second circle. Words that stand apart are
            given as a list of labels, or joined by `` + ``: "big + circle".

    Raises:
        UnknownWordError: a word is not in the prompt, or the words do not stand side by side.
    """
    if not isinstance(phrase, str) or " + " in phrase:
        labels = phrase.split(" + ") if isinstance(phrase, str) else list(phrase)
        # A word named twice counts once: the phrase's map stays a probability.
        terms = list(dict.fromkeys(find_word(text, label) for label in labels))
        if not terms:
            raise _unknown(text, "")
        joined = " + ".join(term.label for term in terms)
        return Term(
            joined,
            tuple(term.label for term in terms),
            tuple(group for term in terms for group in term.groups),
            _spans(text),
        )
    name, text, encoder = _of_encoder(text, phrase)
    if encoder:
        return _named(find_phrase(text, name), encoder)
    wanted = phrase.split()
    words = sorted(text.words, key=lambda word: word.tokens[0] if word.tokens else word.start)
    for start in range(len(words) - len(wanted) + 1) if wanted else ():
        here = words[start : start + len(wanted)]
        if all(_is(text, word, label) for word, label in zip(here, wanted, strict=True)):
            return Term(
                _phrase_label(text, words, start, len(wanted)),
                tuple(word.label for word in here),
                tuple(tuple(word.tokens) for word in here),
                _spans(text),
            )
    raise _unknown(text, phrase)


def _of_encoder(text: TextInfo, label: str) -> tuple[str, TextInfo, str]:
    """A label without its encoder, the text of that encoder alone, and its name; as given where it names none.

    Raises:
        UnknownWordError: there is no such encoder.
    """
    name, at, encoder = label.strip().rpartition("@")
    if not at or not text.encoders:
        return label, text, ""
    span = next((each for each in text.encoders if each.name == encoder.strip().casefold()), None)
    if span is None:
        there = " and ".join(each.name for each in text.encoders)
        raise UnknownWordError(
            label,
            [word.label for word in text.words],
            f"there is no text encoder {encoder.strip()!r}, only {there}",
        )
    tokens = [token for token in text.tokens if span.start <= token.index < span.stop]
    words = [
        word.model_copy(update={"tokens": mine})
        for word in text.words
        if (mine := [token for token in word.tokens if span.start <= token < span.stop])
    ]
    return name, text.model_copy(update={"tokens": tokens, "words": words, "encoders": []}), span.name


def _named(term: Term, encoder: str) -> Term:
    """The term under labels that lead back to this encoder's tokens."""
    words = tuple(f"{word}@{encoder}" for word in term.words)
    return Term(f"{term.label}@{encoder}", words, term.groups)


def _spans(text: TextInfo) -> tuple[tuple[int, int], ...]:
    return tuple((encoder.start, encoder.stop) for encoder in text.encoders)


def _phrase_label(text: TextInfo, words: Sequence[Word], start: int, length: int) -> str:
    """The plain words if they lead back to this place, else the words' own labels, numbered as they are."""
    plain = [word.text.casefold() for word in words]
    here = plain[start : start + length]
    first = next(at for at in range(len(plain)) if plain[at : at + length] == here)
    return " ".join(
        words[at].text if first == start else words[at].label for at in range(start, start + length)
    )


def _unknown(text: TextInfo, label: str) -> UnknownWordError:
    """The error for what the prompt does not have, with the reason where it was cut off."""
    labels = [word.label for word in text.words]
    # Words, not characters: "cat" was not cut off where "category" was.
    cut = set(re.findall(r"\w+(?:['’\-]\w+)*", (text.cut or "").casefold()))
    asked = re.findall(r"\w+(?:['’\-]\w+)*", label.casefold())
    if text.cut and any(word in cut for word in asked):
        return UnknownWordError(
            label,
            labels,
            f"it was cut off: the text encoder reads {text.length} tokens, and {text.cut!r} did not fit",
        )
    return UnknownWordError(label, labels)


def _is(text: TextInfo, word: Word, label: str) -> bool:
    """Whether a label may stand for this very word: its text, or its numbered label."""
    if label.casefold() in (word.text.casefold(), word.label.casefold()):
        return True
    named = _match(text, label)
    return named is not None and named.tokens == word.tokens


def _match(text: TextInfo, label: str) -> Word | None:
    """The word of a label: exactly, else in any case, else ``name#k`` as the k-th word of that name."""
    for word in text.words:
        if word.label == label:
            return word
    for word in text.words:
        if word.label.casefold() == label.casefold():
            return word
    name, _, number = label.rpartition("#")
    if name and re.fullmatch("[0-9]{1,9}", number):
        same = [word for word in text.words if word.text.casefold() == name.casefold()]
        if 1 <= int(number) <= len(same):
            return same[int(number) - 1]
    return None
