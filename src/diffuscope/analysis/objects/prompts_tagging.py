"""Word classes of a prompt's words, from one of three taggers; the result says which.

- ``spacy``: a pipeline of spaCy, where one is installed (``en_core_web_sm`` or another English one);
- ``textblob``: the Brill tagger of TextBlob, whose lexicon of 94,000 words comes inside its package (De Smedt &
  Daelemans, "Pattern for Python", JMLR 13, 2012): the default where the extra ``objects`` is installed. No
  download;
- ``rules``: closed classes and endings alone; needs nothing. Reads captions less well than the others.

Tags are coarse, the same for all: DT determiner or possessive, CD number, JJ adjective, NN noun, NNS noun of
several, VBG, VBN (forms of verbs that can stand before a noun), VB (other forms), RB adverb, IN preposition, CC
conjunction, PR pronoun, ``,`` and ``.`` punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from diffuscope.analysis.objects.prompts_lexicon import (
    ADJECTIVES,
    ADVERBS,
    AUXILIARIES,
    COLOURS,
    CONJUNCTIONS,
    DETERMINERS,
    IRREGULAR,
    MATERIALS,
    NOUNS_IN_ING,
    NUMBERS,
    PREPOSITIONS,
    PRONOUNS,
    SAME_FORM,
    SHADES,
    words_of,
)
from diffuscope.errors import InputError, MissingExtraError

Tagger = Callable[[Sequence[str]], list[str]]
"""Words, punctuation among them, to a coarse tag for each."""

TAGGERS: tuple[str, ...] = ("auto", "spacy", "textblob", "rules")
SPACY_PIPELINES: tuple[str, ...] = ("en_core_web_trf", "en_core_web_lg", "en_core_web_md", "en_core_web_sm")


def find_tagger(name: str = "auto") -> tuple[str, Tagger]:
    """A tagger, and what it is called in results (with spaCy, the pipeline's name).

    Args:
        name: one of `TAGGERS`, or the name of an installed spaCy pipeline. ``auto`` takes the first that is here of
            textblob and rules: the same prompt is then read the same on every machine that has the extra. spaCy is
            asked for by name.

    Raises:
        InputError: there is no such tagger, or no spaCy pipeline is installed.
        MissingExtraError: ``textblob`` was asked for and is not installed.
    """
    if name == "auto":
        name = "textblob" if find_spec("textblob") is not None else "rules"
    if name == "textblob":
        return name, _textblob()
    if name == "rules":
        return name, by_rules
    pipelines = SPACY_PIPELINES if name == "spacy" else (name,)
    if name == "spacy" or name.startswith("en_"):
        installed = next((each for each in pipelines if find_spec(each) is not None), None)
        if find_spec("spacy") is not None and installed is not None:
            return f"spacy {installed}", _spacy(installed)
        raise InputError(
            f"no spaCy pipeline {' or '.join(pipelines)} is installed; install one, or read "
            "prompts with 'textblob' or 'rules'"
        )
    raise InputError(f"there is no reader {name!r} of prompts; there are {', '.join(TAGGERS)}")


def coarse(word: str, tag: str) -> str:
    """A Penn Treebank tag as one of this module's. Closed classes are told by the word, whatever the tagger
    said."""
    low = word.casefold()
    if not re.search(r"\w", word):
        return "CC" if word == "&" else "," if word in ",;:()[]|-–—" else "."
    if low in DETERMINERS:
        return "DT"
    if low in NUMBERS or re.fullmatch(r"\d+", word):
        return "CD"
    if low in PRONOUNS:
        return "PR"
    if low in CONJUNCTIONS and low not in ("that",):
        return "CC"
    if low in AUXILIARIES:
        return "VB"
    if low in ADVERBS:
        return "RB"
    if low in PREPOSITIONS and tag not in ("JJ",):
        return "IN"
    if tag.startswith(("NNS", "NNPS")):
        return "NNS"
    for prefix, told in (
        *(("NN", "NN"), ("JJ", "JJ"), ("VBG", "VBG"), ("VBN", "VBN"), ("VBD", "VBN")),
        *(("VB", "VB"), ("MD", "VB"), ("RB", "RB"), ("W", "CC"), ("IN", "IN"), ("RP", "IN"), ("CD", "CD")),
        *(("PRP", "PR"), ("DT", "DT"), ("PDT", "DT"), ("CC", "CC"), ("TO", "IN"), ("EX", "PR"), ("UH", "RB")),
    ):
        if tag.startswith(prefix):
            return told
    return "NN"


@lru_cache(maxsize=1)
def _textblob() -> Tagger:
    try:
        parser: Any = import_module("textblob.en").parser
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading prompts with TextBlob", "objects") from error

    def tag(words: Sequence[str]) -> list[str]:
        # In lower case: words in capitals would all be taken for names.
        found = parser.find_tags([word.lower() for word in words])
        return [coarse(word, str(each[1] or "NN")) for word, each in zip(words, found, strict=True)]

    return tag


@lru_cache(maxsize=2)
def _spacy(pipeline: str) -> Tagger:
    spacy: Any = import_module("spacy")
    tokens: Any = import_module("spacy.tokens")
    nlp = spacy.load(pipeline)

    def tag(words: Sequence[str]) -> list[str]:
        # Our own words, so that spans stay ours; the pipeline takes a ready Doc since spaCy 3.2.
        read = nlp(tokens.Doc(nlp.vocab, words=list(words)))
        return [coarse(word, token.tag_) for word, token in zip(words, read, strict=True)]

    return tag


_ADJECTIVE_ENDINGS = ("ful", "ous", "ish", "less", "ive", "able", "ible", "ical", "ic", "istic", "ary")
_NOUNS_IN_ED = words_of("bed seed weed shed sled red reed steed")
_VERBS = words_of(
    "sit sits stand stands stood ride rides lie lies fly flies hold holds wear wears walk walks run "
    "runs eat eats look looks sleep sleeps drive drives carry carries play plays sat worn held made "
    "parked"
)


def by_rules(words: Sequence[str]) -> list[str]:
    """Tags from closed classes and endings; what is left is a noun."""
    tags = []
    for word in words:
        low = word.casefold()
        if low in COLOURS or low in SHADES or low in ADJECTIVES:
            told = "JJ"
        elif low in MATERIALS or low in NOUNS_IN_ING or low in _NOUNS_IN_ED:
            told = "NN"
        elif low in IRREGULAR:
            told = "NNS"
        elif low in _VERBS:
            told = "VB"
        elif low.endswith("ing") and len(low) > 4:
            told = "VBG"
        elif low.endswith("ed") and len(low) > 3:
            told = "VBN"
        elif (
            low.endswith("ly")
            and len(low) > 4
            and low not in ("butterfly", "jelly", "belly", "lily", "family")
        ):
            told = "RB"
        elif low.endswith(_ADJECTIVE_ENDINGS) and len(low) > 5:
            told = "JJ"
        elif low.endswith("s") and not low.endswith(("ss", "us", "is")) and low not in SAME_FORM:
            told = "NNS"
        else:
            told = "NN"
        tags.append(coarse(word, told))
    return tags
