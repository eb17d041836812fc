"""Noun phrases of a tagged prompt, told apart: objects, styles, times, and what is none of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from diffuscope.analysis.objects.prompts_lexicon import (
    ADJECTIVES,
    AMOUNTS,
    ATTRIBUTE_NOUNS,
    AUXILIARIES,
    COLOURS,
    COMPOUND_STARTS,
    COMPOUNDS,
    LIGHT,
    MATERIALS,
    MEDIA,
    NEGATIONS,
    NOUNS_IN_ING,
    NUMBERS,
    PARTS,
    PLURAL_DETERMINERS,
    PRONOUNS,
    RELATIONS,
    SHADES,
    STYLE_BEFORE_MEDIA,
    STYLE_WORDS,
    TIMES,
    VAGUE,
    lemma_of,
)

_TOKEN = re.compile(r"\w+(?:['’\-/.]\w+)*|[^\w\s]")
_FINITE = frozenset(
    ("line", "stand", "stands", "sit", "sits", "lie", "lies", "ride", "rides", "fly", "flies", "walks")
)
_STYLE_PAIRS = frozenset(("pixel art", "low poly", "concept art", "line art", "pop art", "clip art"))
NOUNS = ("NN", "NNS")
_LONGEST_COMPOUND = 3


@dataclass(frozen=True)
class Piece:
    """A word or punctuation mark: its text, its characters in the prompt, its tag; `styled` where it is part of a
    style."""

    text: str
    start: int
    end: int
    tag: str
    styled: bool = False


@dataclass(frozen=True)
class Chunk:
    """A noun phrase, as indices of pieces.

    Attributes:
        kind: ``object``, ``style``, ``time`` or ``other`` (pronouns, places in the picture, amounts, vague words).
        words: all of it, in order.
        nouns: the head noun last, before it those that belong to its name.
        adjectives: its attributes.
        determiner: index, or None.
        count: as the words say it, or None.
        several: whether they say that there are several without saying how many.
    """

    kind: str
    words: tuple[int, ...]
    nouns: tuple[int, ...] = ()
    adjectives: tuple[int, ...] = ()
    determiner: int | None = None
    count: int | None = None
    several: bool = False


def pieces(prompt: str, tag: Callable[[Sequence[str]], list[str]]) -> list[Piece]:
    """The prompt's words and marks with their tags put right by what stands beside them."""
    spans = [match.span() for match in _TOKEN.finditer(prompt)]
    words = [prompt[start:end] for start, end in spans]
    # A tagger sees the noun that owns something, not its ending.
    tags = tag([re.sub(r"['’]s$", "", word) or word for word in words]) if words else []
    tags = ["JJ" if re.search(r"\w['’]s$", word) else each for word, each in zip(words, tags, strict=True)]
    found = [
        Piece(word, start, end, each) for word, (start, end), each in zip(words, spans, tags, strict=True)
    ]
    return _marked_styles(_righted(_marked_relations(found)))


def chunks(words: list[Piece]) -> list[Chunk]:
    """All noun phrases and styles, in the order of the prompt."""
    found = [*_style_runs(words)]
    taken = {at for chunk in found for at in chunk.words}
    at = 0
    pending: tuple[int | None, bool] = (None, False)
    for start, stop in _runs(words, taken):
        if start < at:
            continue
        chunk = _chunk(words, start, stop)
        at = stop
        if chunk is None:
            continue
        named = any(each.kind == "object" for each in found)
        chunk, pending = _sorted_out(words, chunk, pending, named)
        found.append(chunk)
    return sorted(found, key=lambda each: each.words[0])


def _marked_relations(words: list[Piece]) -> list[Piece]:
    """Words of relations such as "to the left of" get the tag REL: their nouns name no object."""
    low = [each.text.casefold() for each in words]
    marked = list(words)
    for phrase in sorted(RELATIONS, key=lambda each: -len(each.split())):
        parts = phrase.split()
        for at in range(len(words) - len(parts) + 1):
            if low[at : at + len(parts)] == parts and all(
                each.tag != "REL" for each in marked[at : at + len(parts)]
            ):
                for place in range(at, at + len(parts)):
                    marked[place] = replace(marked[place], tag="REL")
    return marked


def _righted(words: list[Piece]) -> list[Piece]:
    """Tags put right by their neighbours, from left to right.

    A tagger trained on newspapers takes "cross" for a verb, "orange" in "an orange cross" for a noun, and "lit" in
    "the lit street" for a verb.
    """
    righted = list(words)

    def tag_at(at: int) -> str:
        return righted[at].tag if 0 <= at < len(righted) else "."

    for at, word in enumerate(words):
        low, tag = word.text.casefold(), word.tag
        before, after = tag_at(at - 1), tag_at(at + 1)
        follows = after in ("NN", "NNS", "JJ", "CD")
        opened = before in ("DT", "CD", "JJ") or (before == "RB" and tag_at(at - 2) in ("DT", "JJ", "IN"))
        if tag == "REL":
            continue
        name = f"{words[at - 1].text.casefold()} {lemma_of(low)}" if at else ""
        if name in COMPOUNDS:
            tag = "NNS" if lemma_of(low) != low else "NN"
        elif low in SHADES and before in NOUNS and after not in (*NOUNS, "JJ"):
            tag = "NN"
        elif low in COLOURS or low in SHADES or (low in ADJECTIVES and after in (*NOUNS, "JJ")):
            tag = "JJ"
        elif low in MEDIA and tag == "VB" and before in ("DT", "JJ", *NOUNS):
            tag = "NN"
        elif (low in MATERIALS or low in ATTRIBUTE_NOUNS) and after in (*NOUNS, "JJ"):
            tag = "JJ"
        elif tag in ("VBG", "VBN") and opened:
            tag = "JJ" if follows or after == "VBG" else "NN"
        elif tag in ("VBG", "VBN") and before in ("IN", "REL") and after in NOUNS:
            tag = "JJ"
        elif tag in NOUNS and before in NOUNS and low.endswith("ing") and low not in NOUNS_IN_ING:
            tag = "VBG"
        elif tag == "VB" and low not in AUXILIARIES and (opened or before in ("IN", "REL", "VBG")):
            tag = "NNS" if low.endswith("s") and lemma_of(low) != low else "NN"
        elif tag in NOUNS and before in NOUNS and low in _FINITE and after in ("DT", "IN", "REL", "CD"):
            tag = "VB"
        elif tag == "RB" and before == "DT" and after not in ("JJ", "NN", "NNS", "VBN", "VBG"):
            tag = "NN"
        righted[at] = replace(word, tag=tag)
    return righted


def _segments(words: list[Piece]) -> Iterator[tuple[int, int]]:
    """Parts between commas and full stops, as ``(start, stop)``."""
    start = 0
    for at, word in enumerate([*words, Piece(".", 0, 0, ".")]):
        if word.tag in (",", "."):
            if at > start:
                yield start, at
            start = at + 1


def _marked_styles(words: list[Piece]) -> list[Piece]:
    """Marks what says how the picture looks: a part between commas, "in the style of …", "by …" with a name."""
    marked = list(words)
    for start, stop in _segments(words):
        part = words[start:stop]
        low = [each.text.casefold() for each in part]
        telling = [each for each in part if each.tag in (*NOUNS, "JJ", "VBN", "VBG", "CD", "RB")]
        meant = [each for each in telling if each.tag != "RB"]
        styled = [each for each in telling if each.text.casefold() in STYLE_WORDS]
        nouns = [each for each in meant if each.tag in NOUNS]
        plain = not any(each.tag in ("DT", "PR", "REL") or each.text.isdigit() for each in part)
        begin: int | None = None
        only = all(each.text.casefold() in STYLE_WORDS | STYLE_BEFORE_MEDIA for each in nouns)
        looks = bool(styled) and 2 * len(styled) >= len(meant) and (start > 0 or only)
        signed = start > 0 and low[0] in ("by", "trending") and len(part) > 1
        if plain and (looks or signed):
            begin = start
        else:
            for at in range(len(low) - 3):
                if low[at : at + 4] == ["in", "the", "style", "of"]:
                    begin = start + at
                    break
        if begin is not None:
            for at in range(begin, stop):
                marked[at] = replace(marked[at], styled=True)
    return marked


def _style_runs(words: list[Piece]) -> Iterator[Chunk]:
    run: list[int] = []
    for at, word in enumerate([*words, Piece("", 0, 0, ".")]):
        if word.styled:
            run.append(at)
        elif run:
            yield Chunk("style", tuple(run))
            run = []


def _runs(words: list[Piece], taken: set[int]) -> Iterator[tuple[int, int]]:
    """Maximal stretches that may be a noun phrase: determiner, numbers, adjectives (joined by commas and "and"),
    nouns."""
    at = 0
    while at < len(words):
        start = at
        nouns = False
        while at < len(words) and at not in taken:
            tag = words[at].tag
            before = "" if at == start else words[at - 1].tag
            if (
                (tag in ("DT", "CD") and before in ("", "DT", "CD"))
                or (tag == "CD" and before == "JJ" and not nouns)
                or (tag == "JJ" and not nouns)
            ):
                at += 1
            elif tag == "JJ" and nouns and at + 1 < len(words) and words[at + 1].tag in NOUNS:
                at += 1  # "city black car" does not stand alone: the nouns before belong to the name
            elif tag == "RB" and not nouns and at + 1 < len(words) and words[at + 1].tag in ("JJ", "RB"):
                at += 1
            elif tag in NOUNS:
                nouns = True
                at += 1
            elif not nouns and at > start and tag in (",", "CC") and _joins(words, at):
                at += 1
            else:
                break
        if at > start:
            yield start, at
        else:
            at += 1


def _joins(words: list[Piece], at: int) -> bool:
    """Whether a comma or "and" joins adjectives of one noun: between two, with a noun to come after the last."""
    if words[at - 1].tag != "JJ" or words[at].text.casefold() not in (",", "and", "&"):
        return False
    place = at + 1
    if place < len(words) and words[place].text.casefold() == "and":
        place += 1
    if place >= len(words) or words[place].tag != "JJ":
        return False
    while place < len(words) and (
        words[place].tag == "JJ"
        or (words[place].text.casefold() in (",", "and") and words[place - 1].tag == "JJ")
    ):
        place += 1
    return place < len(words) and words[place].tag in NOUNS


def _chunk(words: list[Piece], start: int, stop: int) -> Chunk | None:
    """The noun phrase of a stretch; None where it has no noun."""
    places = list(range(start, stop))
    tags = [words[at].tag for at in places]
    if not any(tag in NOUNS for tag in tags):
        # "an orange on the table": what stands last after a determiner or number is the noun.
        if tags[-1] != "JJ" or tags[0] not in ("DT", "CD"):
            return None
        tags[-1] = "NN"
    last = max(at for at, tag in enumerate(tags) if tag in NOUNS)
    places, tags = places[: last + 1], tags[: last + 1]
    compound = _compound(words, places)
    nouns: list[int] = []
    at = last
    while at >= 0 and (tags[at] in NOUNS or last - at < compound):
        nouns.insert(0, places[at])
        at -= 1
    adjectives = tuple(
        place
        for place, tag in zip(places, tags, strict=True)
        if place not in nouns and (tag in ("JJ", *NOUNS))
    )
    determiner = places[0] if tags[0] in ("DT", "CD") else None
    said = [
        words[place].text.casefold() for place, tag in zip(places, tags, strict=True) if tag in ("DT", "CD")
    ]
    numbers = [
        int(word) if word.isdigit() else NUMBERS[word] for word in said if word.isdigit() or word in NUMBERS
    ]
    several = any(word in PLURAL_DETERMINERS for word in said)
    return Chunk(
        "object",
        tuple(places),
        tuple(nouns),
        adjectives,
        determiner,
        numbers[0] if numbers else None,
        several,
    )


def _compound(words: list[Piece], places: list[int]) -> int:
    """How many of the last words are the name of one thing whose first word is no noun ("hot dog"); 0 for none."""
    for length in range(min(_LONGEST_COMPOUND, len(places)), 1, -1):
        last = [words[at].text.casefold() for at in places[-length:]]
        name = " ".join([*last[:-1], lemma_of(last[-1])])
        if last[0] in COMPOUND_STARTS | {"red", "black", "high", "french", "wild", "grizzly", "solar"} and (
            name in COMPOUNDS
        ):
            return length
    return 0


def _sorted_out(
    words: list[Piece], chunk: Chunk, pending: tuple[int | None, bool], named: bool
) -> tuple[Chunk, tuple[int | None, bool]]:
    """What a noun phrase is, and what it says of the number of the next one ("a pair of")."""
    head = words[chunk.nouns[-1]].text.casefold()
    lemma = lemma_of(head)
    end = chunk.words[-1] + 1
    after = words[end].text.casefold() if end < len(words) else ""
    before = words[chunk.words[0] - 1].text.casefold() if chunk.words[0] else ""
    said = [words[at].text.casefold() for at in chunk.words]
    if pending != (None, False):
        count, several = pending
        chunk = replace(
            chunk, count=chunk.count if count is None else count, several=several or chunk.several
        )
    clean: tuple[int | None, bool] = (None, False)
    if head in PRONOUNS or any(word in NEGATIONS for word in said):
        return replace(chunk, kind="other"), clean
    if lemma in AMOUNTS and after == "of" and not chunk.adjectives:
        amount = chunk.count if lemma == "dozen" else AMOUNTS[lemma]
        return replace(chunk, kind="other"), (
            AMOUNTS[lemma] if amount is None else amount,
            AMOUNTS[lemma] is None,
        )
    lit = head in LIGHT and any(word in TIMES for word in said[:-1])
    if head in TIMES or lit or said[-2:] == ["golden", "hour"]:
        return replace(chunk, kind="time"), clean
    frames = after in ("of", "showing", "depicting", "featuring", "with") and not named
    if said[-2:] == ["neon", "sign"] and (frames or before == "as"):
        return replace(chunk, kind="style", words=_undetermined(words, chunk)), clean
    last = chunk.nouns[-1]
    if (
        head == "life"
        and last
        and words[last - 1].text.casefold() == "still"
        and (frames or before in ("in", "as"))
    ):
        # "Still" may have been read as an adverb.
        return replace(chunk, kind="style", words=(last - 1, last)), clean
    framed = frames or before in ("in", "as") or (before in ("", ",") and after in ("", ","))
    if (lemma in MEDIA or head in MEDIA) and framed:
        return replace(chunk, kind="style", words=_undetermined(words, chunk)), clean
    if before == "of" and _relation_before(words, chunk.words[0]) == "made":
        return replace(chunk, kind="other"), clean
    if head in PARTS or head in VAGUE:
        return replace(chunk, kind="other"), clean
    return _without_style(words, chunk), clean


def _relation_before(words: list[Piece], at: int) -> str:
    """The first word of the relation that ends before `at`, else an empty text: "made" of "made out of"."""
    first = at
    while first and words[first - 1].tag == "REL":
        first -= 1
    return words[first].text.casefold() if first < at else ""


def _undetermined(words: list[Piece], chunk: Chunk) -> tuple[int, ...]:
    return tuple(at for at in chunk.words if words[at].tag != "DT") or chunk.words


def _without_style(words: list[Piece], chunk: Chunk) -> Chunk:
    """ "A pixel art fox" is a fox: two words of style in front of the name are left out of it."""
    inner = [at for at in chunk.words if words[at].tag not in ("DT", "CD")]
    pair = " ".join(words[at].text.casefold() for at in inner[:2])
    if len(inner) > 2 and pair in _STYLE_PAIRS:
        return replace(
            chunk,
            nouns=tuple(at for at in chunk.nouns if at not in inner[:2]),
            adjectives=tuple(at for at in chunk.adjectives if at not in inner[:2]),
        )
    return chunk
