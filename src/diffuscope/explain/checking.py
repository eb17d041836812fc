"""What a sentence must pass before a reader sees it, whoever wrote it.

It cites claims that are there, and says something of them. Every number in it is a number of a claim that it cites, to
the digits that it gives. A range of steps is the range of one cited claim. What stands in quotes is a word of a cited
claim, or something from outside that every sentence may quote as it is. Words that promise more than a claim of one
kind can hold (that something was caused, that it was the first) need a claim of the other kind.
"""

from __future__ import annotations

import re

from diffuscope.explain.brief import Brief, Sentence
from diffuscope.explain.claim import Claim
from diffuscope.explain.numbers import Said, numbers_in
from diffuscope.explain.statistic import HUNDREDTHS

LONGEST = 420
"""Characters of a sentence, without what it quotes from outside."""

_QUOTED = re.compile(r"[“\"„]([^“”\"„]*)[”\"]")
_RANGE = re.compile(
    r"\bsteps?\s+(?:from\s+)?(\d+)\s*(?:to|-|–|—|through|until|up to)\s*(\d+)\b", re.IGNORECASE
)
_STEP = re.compile(
    # Further numbers are steps too, unless a unit follows: "in step 0, 20% of it".
    r"\bsteps?\s+\d+(?:\s*(?:,|and)\s*\d+(?!\d*(?:\.\d|\s*(?:%|per\b|times\b|delta))))*",
    re.IGNORECASE,
)
_SITE = re.compile(r"\b(?:cross|self|joint):[\w.*-]+")
_MARKUP = re.compile(r"[<>`|\[\]{}]|https?:|www\.|\*\*|__|^\s*[#>*-]\s", re.IGNORECASE)

CAUSAL = re.compile(
    r"\b(?:caus(?:e|es|ed|ing)|because|due to|owing to|thanks to|makes? the|made the|therefore|led to|leads to)\b",
    re.IGNORECASE,
)
FAILED = re.compile(
    r"\b(?:ignor\w+|missing|absent|fail\w*|wrong\w*|lost|overlooked|never drawn|not drawn)\b", re.IGNORECASE
)
CAUSES = frozenset({"cause", "change", "unchanged", "shift"})
"""Kinds of claims of which it may be said that one thing made another."""
TROUBLES = frozenset({"ignored", "binding", "leak", "change", "unchanged", "outcome", "cause", "unusual"})
"""Kinds of claims of which it may be said that something went wrong."""


def faults(sentence: Sentence, brief: Brief) -> list[str]:
    """What is wrong with a sentence, in words; empty where it may stand."""
    text = sentence.text
    if not text.strip() or "\n" in text or len(_without_facts(text, brief)) > LONGEST:
        return [f"a sentence is one line of 1 to {LONGEST} characters"]
    if sentence.part not in brief.parts:
        return [f"there is nothing to say in the part {sentence.part!r}"]
    unknown = [each for each in sentence.cites if each not in brief]
    if unknown or not sentence.cites:
        return [f"it cites no claim: {', '.join(unknown)}" if unknown else "it cites nothing"]
    claims = [brief[each] for each in sentence.cites]
    plain = _without_facts(text, brief)
    found = []
    if _MARKUP.search(plain):
        found.append("it holds markup or an address")
    quoted, plain = _quotes(plain, claims, brief)
    found += quoted
    plain, sites = _sites(plain, claims)
    found += sites
    plain, ranges = _ranges(plain, claims)
    found += ranges
    found += [
        f"{text_of(each, plain)} is no number of a claim that it cites"
        for each in numbers_in(plain)
        if not _is_said_by(each, claims)
    ]
    kinds = {claim.kind for claim in claims}
    if CAUSAL.search(plain) and not kinds & CAUSES:
        found.append("it speaks of causes and cites no edit or causal check")
    if FAILED.search(plain) and not any(claim.trouble for claim in claims) and not kinds & TROUBLES:
        found.append("it speaks of a failure and cites none")
    if not found and not _says_something(text, claims, brief):
        found.append("it says nothing of the claims that it cites")
    return found


def text_of(number: Said, text: str) -> str:
    """A number as it stands in a text."""
    return text[number.start : number.end].strip()


def _without_facts(text: str, brief: Brief) -> str:
    """The text with what came from outside cut out: it may hold anything, and says nothing of the run."""
    for each in brief.facts():
        text = text.replace(f"“{each}”", "“”").replace(f'"{each}"', "“”")
    for each in brief.edits:
        text = text.replace(each, "")
    return text


def _quotes(text: str, claims: list[Claim], brief: Brief) -> tuple[list[str], str]:
    """Faults of what stands in quotes, and the text without it."""
    allowed = {""}
    for claim in claims:
        if isinstance(claim.value, str):
            allowed.add(claim.value.casefold())
        for label in _labels(claim):
            shown = brief.text_of(label)
            allowed |= {label.casefold(), shown.casefold(), *shown.casefold().split(" ")}
    wrong = [each for each in _QUOTED.findall(text) if each.casefold() not in allowed]
    for claim in claims:
        # What a judge sees may stand without quotes, and may hold numbers no more than the judge's words do.
        if isinstance(claim.value, str):
            text = text.replace(claim.value, "")
    return [f"“{each}” is no word of a claim that it cites" for each in wrong], _QUOTED.sub("", text)


def _labels(claim: Claim) -> list[str]:
    held = None if claim.beside is None or claim.beside.selection is None else claim.beside.selection.word
    return [*claim.words, *([held] if held is not None else [])]


def _sites(text: str, claims: list[Claim]) -> tuple[str, list[str]]:
    """The text without names of sites, and faults of those that no cited claim is about."""
    cited = {site for claim in claims for site in claim.selection.sites.split(",")}
    named = {match[0].rstrip(".-") for match in _SITE.finditer(text)}
    for each in named:
        text = text.replace(each, "")
    return text, [f"{each} is no site of a claim that it cites" for each in sorted(named - cited)]


def _ranges(text: str, claims: list[Claim]) -> tuple[str, list[str]]:
    """The text without ranges of steps, and faults of those that are of no cited claim."""
    ranges = {found for claim in claims if (found := claim.steps()) is not None}
    wrong = []

    def checked(match: re.Match[str]) -> str:
        if (int(match[1]), int(match[2])) not in ranges:
            wrong.append(f"“{match[0]}” is no range of steps of a claim that it cites")
        return ""

    text = _RANGE.sub(checked, text)
    steps = {int(each.value) for claim in claims for each in claim.numbers() if each.unit == "step"}

    def single(match: re.Match[str]) -> str:
        for each in re.findall(r"\d+", match[0]):
            if int(each) not in steps:
                wrong.append(f"“{match[0]}” names a step that no claim it cites has")
        return ""

    return _STEP.sub(single, text), wrong


def _is_said_by(number: Said, claims: list[Claim]) -> bool:
    """Whether a cited claim has this number, to the digits that are given."""
    for claim in claims:
        for each in claim.numbers():
            if number.percent and each.unit not in HUNDREDTHS:
                continue
            if (
                number.words
                and each.unit in ("times", "delta-E", "correlation")
                and number.value != round(each.value)
            ):
                continue
            if not number.percent and each.unit in HUNDREDTHS and number.error > 0.05:
                continue  # A whole number is no share.
            if abs(abs(each.value) - number.value) <= number.error * (1 + 1e-9) + 1e-12:
                return True
    return False


def _says_something(text: str, claims: list[Claim], brief: Brief) -> bool:
    """Whether a sentence names a word, a value, a place or a number of what it cites."""
    folded = text.casefold()
    if any(_is_said_by(each, claims) for each in numbers_in(_without_facts(text, brief))):
        return True
    for claim in claims:
        named = [brief.text_of(label).casefold() for label in _labels(claim)]
        if isinstance(claim.value, str):
            named.append(claim.value.casefold())
        if any(each in folded for each in named if each):
            return True
        if claim.kind in ("setting", "outcome", "change", "unchanged", "cause") and not claim.words:
            return True
    return False
