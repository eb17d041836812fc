"""Words of a prompt: which tokens they are, and their attention at every site and step of a recording.

A word is found by its whole label, upper and lower case alike, never by a part of it: "cat" is not in
"category". The second "circle" of a prompt is ``circle#2``. Words in angle brackets stand for what is no word
of the prompt: ``<start>``, ``<end>`` (the first end token), ``<padding>`` (all of it, what follows the end)
and ``<token 7>``.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import NotKeptError, SelectionError, UnknownWordError, listed
from diffuscope.maps.attention import head_mean

if TYPE_CHECKING:
    from diffuscope.recording import Recording, Site, TextInfo, Word

Reduce = Literal["sum", "mean"]
Floats = NDArray[np.float32]
Weights = tuple[tuple[int, float], ...]
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
    """

    label: str
    words: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]

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
                # A token that two words share counts once: the map stays a probability.
                total[token] = min(
                    1.0, total.get(token, 0.0) + (1.0 if reduce == "sum" else 1.0 / len(group))
                )
        return total


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
    wanted = label.strip()
    if wanted.casefold() in SPECIAL:
        return find_special(text, wanted)
    number = re.fullmatch(r"<token ([0-9]{1,9})>", wanted, re.IGNORECASE)
    if number:
        return find_token(text, int(number[1]))
    word = _match(text, wanted)
    if word is None:
        raise UnknownWordError(label, _labels(text))
    return Term(word.label, (word.label,), (tuple(word.tokens),))


def find_special(text: TextInfo, label: str) -> Term:
    """``<start>``, ``<end>`` or ``<padding>``.

    Raises:
        UnknownWordError: this prompt has no such token (a prompt that fills the encoder has no padding).
    """
    name = label.strip().casefold()
    tokens = tuple(token.index for token in text.tokens if token.kind == SPECIAL.get(name))
    if name == "<end>":
        tokens = tokens[:1]
    if not tokens:
        raise UnknownWordError(label, _labels(text))
    return Term(name, (), (tokens,))


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
            raise UnknownWordError("", _labels(text))
        joined = " + ".join(term.label for term in terms)
        return Term(
            joined,
            tuple(term.label for term in terms),
            tuple(group for term in terms for group in term.groups),
        )
    wanted = phrase.split()
    words = sorted(text.words, key=lambda word: word.tokens[0] if word.tokens else word.start)
    for start in range(len(words) - len(wanted) + 1) if wanted else ():
        here = words[start : start + len(wanted)]
        if all(_is(text, word, label) for word, label in zip(here, wanted, strict=True)):
            return Term(
                _phrase_label(text, words, start, len(wanted)),
                tuple(word.label for word in here),
                tuple(tuple(word.tokens) for word in here),
            )
    raise UnknownWordError(phrase, _labels(text))


def _phrase_label(text: TextInfo, words: Sequence[Word], start: int, length: int) -> str:
    """The plain words if they lead back to this place, else the words' own labels, numbered as they are."""
    plain = [word.text.casefold() for word in words]
    here = plain[start : start + length]
    first = next(at for at in range(len(plain)) if plain[at : at + length] == here)
    return " ".join(
        words[at].text if first == start else words[at].label for at in range(start, start + length)
    )


def _labels(text: TextInfo) -> list[str]:
    return [word.label for word in text.words]


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


class WordAttention:
    """Head-mean attention to tokens, for each site and step of a recording.

    Where all heads of a site are asked for, the stored word maps are read (small, made at recording time);
    otherwise the softmax is computed from queries and keys. Both give the same numbers. What was asked last
    is kept in memory up to `budget` bytes, so that asking for a word again costs its average alone.

    Attributes:
        recording: the recording that is read.
    """

    def __init__(self, recording: Recording, budget: int = 96 * 2**20) -> None:
        self.recording = recording
        self._sites: dict[str, Site] = {site.name: site for site in recording.manifest.sites}
        self._cache: OrderedDict[tuple[object, ...], Floats] = OrderedDict()
        self._budget = budget
        self._held = 0

    def at(
        self,
        site: str,
        steps: Sequence[int],
        weights: dict[int, float],
        heads: Sequence[int],
        call: int | None = None,
    ) -> Floats:
        """Weighted sum of tokens' head-mean maps, float32 ``[step, query]``.

        Args:
            site: name of a kept cross site.
            steps: step indices.
            weights: token index to weight.
            heads: head indices of this site to average over.
            call: a call of the step; None is its last one.

        Raises:
            NotKeptError: the recording's level kept no tensors that answer this; the error names the level
                that would.
            CorruptRecordingError: a file of the run is damaged.
        """
        asked = (site, tuple(sorted(weights.items())), tuple(heads), call)
        return np.stack([self._cached(step, *asked) for step in steps])

    def _cached(
        self, step: int, site: str, weights: Weights, heads: tuple[int, ...], call: int | None
    ) -> Floats:
        key = (step, site, weights, heads, call)
        row = self._cache.get(key)
        if row is not None:
            self._cache.move_to_end(key)
            return row
        row = self._row(step, site, dict(weights), heads, call)
        self._cache[key] = row
        self._held += row.nbytes
        while self._held > self._budget and len(self._cache) > 1:
            self._held -= self._cache.popitem(last=False)[1].nbytes
        return row

    def _row(
        self, step: int, site: str, weights: dict[int, float], heads: tuple[int, ...], call: int | None
    ) -> Floats:
        """``[query]`` of one site in one step."""
        described = self._sites[site]
        tokens, shares = list(weights), list(weights.values())
        stored = None
        if heads == tuple(range(described.heads)):
            try:
                stored = self.recording.word_maps(site, step, call)
            except NotKeptError:
                stored = None
        if stored is not None and max(tokens) < len(stored):
            return _weighted(stored[tokens], shares)
        try:
            q, k = self.recording.query(site, step, call), self.recording.keys(site, step, call)
            mask = self.recording.mask(site, step, call)
        except NotKeptError:
            # Rows of a softmax sum to 1 over all keys, so the whole padding is what the stored tokens leave.
            if stored is None or tokens != list(range(len(stored), described.keys)) or len(set(shares)) > 1:
                raise
            rest = 1 - stored.sum(axis=0, dtype=np.float64)
            return np.asarray(shares[0] * np.clip(rest, 0.0, None), np.float32)
        places = places_of(heads, self.recording.heads(site), site)
        return _weighted(head_mean(q, k, described.scale, heads=places, keys=tokens, mask=mask), shares)


def places_of(heads: Sequence[int], kept: Sequence[int], site: str) -> list[int]:
    """Where heads stand among those that were kept of a site.

    Raises:
        NotKeptError: one of them was not kept.
    """
    lacking = [str(head) for head in heads if head not in kept]
    if lacking:
        raise NotKeptError(
            f"of {site} these heads were not kept: {listed(lacking)}; this run kept "
            f"{listed([str(head) for head in kept]) or 'none'}"
        )
    return [list(kept).index(head) for head in heads]


def _weighted(maps: NDArray[np.floating], weights: Sequence[float]) -> Floats:
    """Sum over the first axis with weights, accumulated in float64."""
    return np.asarray(np.asarray(weights, np.float64) @ maps.astype(np.float64), np.float32)
