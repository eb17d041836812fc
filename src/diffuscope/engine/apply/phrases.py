"""The phrase that a word of the prompt belongs to, and the prompt with another phrase in its place."""

from __future__ import annotations

import re
from dataclasses import dataclass

from diffuscope.recording import TextInfo, Word
from diffuscope.run import find

CLOSED = re.compile(
    "a|an|the|this|that|these|those|my|your|his|her|its|our|their|some|any|no|every|each|one|two|three|four|five|six|"
    "seven|eight|nine|ten|and|or|but|nor|with|without|of|in|on|at|by|to|from|for|into|onto|over|under|above|below|near|"
    "beside|behind|between|before|after|around|through|left|right|is|are|was|were|be|being|been|has|have|had|as|while|"
    "than|then|not|very|there|it|he|she|they|we|you|i|who|which|what|where|when",
    re.IGNORECASE,
)
"""Words that no adjective before a noun is: where a noun's phrase begins, it begins after one of them."""


@dataclass(frozen=True)
class Spot:
    """A stretch of a prompt: its characters from `start` to before `stop`."""

    prompt: str
    start: int
    stop: int

    @property
    def text(self) -> str:
        return self.prompt[self.start : self.stop]

    def replaced(self, phrase: str) -> tuple[str, int, int]:
        """The prompt with a phrase in its place, and the characters where that stands."""
        made = self.prompt[: self.start] + phrase + self.prompt[self.stop :]
        return made, self.start, self.start + len(phrase)


def spot_of(prompt: str, text: TextInfo, label: str) -> Spot:
    """The phrase of a word: from its first adjective to the word, told by the words before it up to one of `CLOSED` or
    a comma. A phrase that is named whole is itself.

    Raises:
        UnknownWordError: the prompt has no such word.
    """
    named = find(text, label).words
    words = sorted(text.words, key=lambda word: word.start)
    chosen = [index for index, word in enumerate(words) if word.label in named]
    first, last = min(chosen), max(chosen)
    if len(named) == 1:
        while first and _belongs(prompt, words[first - 1], words[first]):
            first -= 1
    return Spot(prompt, words[first].start, words[last].end)


def _belongs(prompt: str, before: Word, word: Word) -> bool:
    start, stop = before.end, word.start
    return prompt[start:stop].isspace() and CLOSED.fullmatch(before.text) is None
