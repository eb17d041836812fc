"""What an atlas can show of each head, declared once: for Python, the command line, the server and the page.

word:circle            attention to a word, each head by itself
received               how much each patch is looked at (self-attention)
focus                  how narrowly each patch looks (self-attention)
contribution           what the head adds to the attention output, its norm; contribution:circle through one word
signed                 the same along the site's whole output, with its sign; signed:circle through one word
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from diffuscope.errors import InputError, NotKeptError, near_first
from diffuscope.maps.heads import CONTRIBUTION, PROJECTION
from diffuscope.maps.heatmap import UNIT
from diffuscope.maps.words import find

if TYPE_CHECKING:
    from diffuscope.recording import Recording

Family = Literal["word", "received", "focus", "contribution", "signed"]

KINDS: dict[Family, tuple[str, ...]] = {
    "word": ("cross", "joint"),
    "received": ("self", "joint"),
    "focus": ("self", "joint"),
    "contribution": ("cross", "joint", "self"),
    "signed": ("cross", "joint", "self"),
}
"""At which kinds of sites each can be."""

FOCUS = "1 - entropy / log n"
UNITS: dict[Family, str] = {
    "word": UNIT,
    "received": UNIT,
    "focus": FOCUS,
    "contribution": CONTRIBUTION,
    "signed": PROJECTION,
}
SAID: dict[Family, str] = {
    "word": "Where each head looks for the word: at each patch the probability that its tokens get.",
    "received": "How much each patch is looked at: the mean over the queries of the attention that they give to it.",
    "focus": "How narrowly each patch looks: 1 - H / log n of its row of self-attention; 0 at everything alike, 1 at "
    "one patch alone.",
    "contribution": "What each head adds to the attention output: the norm of P V W_h over channels.",
    "signed": "What each head adds along the whole attention output o of its site, (P V W_h) . o / ||o||; below 0 it "
    "works against the others.",
}


@dataclass(frozen=True)
class Content:
    """One thing that an atlas shows.

    Attributes:
        family: which kind of thing.
        word: label of the word or phrase whose tokens alone count; None is none, or all tokens.
    """

    family: Family
    word: str | None = None

    @property
    def text(self) -> str:
        """Its text form: ``word:circle``, ``received``."""
        return self.family if self.word is None else f"{self.family}:{self.word}"

    @property
    def label(self) -> str:
        """What figures and menus call it."""
        named = {
            "word": f"{self.word}",
            "received": "looked at",
            "focus": "narrowness of looking",
            "contribution": "contribution",
            "signed": "signed contribution",
        }[self.family]
        return named if self.family == "word" or self.word is None else f"{named} of {self.word}"

    @property
    def unit(self) -> str:
        return UNITS[self.family]

    @property
    def said(self) -> str:
        """What a cell shows, in one sentence."""
        if self.word is not None and self.family != "word":
            return f"{SAID[self.family]} Through {self.word!r} alone."
        whole = " Over all heads it sums to ||o||." if self.family == "signed" else ""
        return SAID[self.family] + whole

    @property
    def signed(self) -> bool:
        return self.family == "signed"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of sites that have it. A word's tokens are keys of cross and joint sites alone."""
        return KINDS["word"] if self.word is not None else KINDS[self.family]


def content_of(text: str) -> Content:
    """A content from its text form. A bare word that is no family is short for ``word:…``.

    Raises:
        InputError: it has no such form.
    """
    family, colon, word = (part.strip() for part in text.partition(":"))
    names = get_args(Family)
    if family not in names:
        if not colon and family:
            return Content("word", family)
        raise InputError(f"an atlas has no {text!r}; it has: {', '.join(near_first(family, list(names)))}")
    if (family == "word" or colon) and not word:
        raise InputError(f"{text!r} names no word; write it like {family}:circle")
    if word and family in ("received", "focus"):
        raise InputError(f"{family} is of self-attention, where words have no part; leave out {word!r}")
    return Content(family, word or None)  # type: ignore[arg-type]


def contents_of(words: list[str]) -> list[Content]:
    """Everything that can be shown of a run with these words."""
    return [
        *(Content("word", word) for word in words),
        Content("received"),
        Content("focus"),
        Content("contribution"),
        *(Content("contribution", word) for word in words),
        Content("signed"),
        *(Content("signed", word) for word in words),
    ]


def tokens_of(recording: Recording, word: str) -> tuple[int, ...]:
    """A word's or phrase's tokens.

    Raises:
        UnknownWordError: the prompt has none. NotKeptError: it was cut off.
    """
    tokens = tuple(find(recording.manifest.text, word).tokens)
    if not tokens:
        raise NotKeptError(f"{word!r} was cut off: it did not fit into the text encoder, so it has no map")
    return tokens
