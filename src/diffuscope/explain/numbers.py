"""Numbers in sentences: how they are written, and how they are read back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from diffuscope.explain.statistic import HUNDREDTHS

# fmt: off
WORDS: dict[str, float] = {
    "zero": 0, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90, "hundred": 100, "thousand": 1000, "dozen": 12, "half": 0.5, "halves": 0.5,
    "quarter": 0.25, "quarters": 0.25, "thirds": 1 / 3, "fifths": 0.2, "twice": 2, "double": 2, "doubled": 2,
    "doubles": 2, "triple": 3, "tripled": 3, "thrice": 3, "halved": 0.5,
}
# fmt: on
"""Numbers in words. ``one``, ``first``, ``second`` and the like are no numbers here: they mostly count nothing."""

_NUMBER = re.compile(
    r"(?P<sign>[-+−])?(?P<number>\d[\d,]*(?:\.\d+)?|\.\d+)(?P<power>[eE][-+]?\d+)?(?P<percent>\s*(?:%|per\s?cent\b))?"
)
_WORD = re.compile(r"[^\W\d_]+")
_FRACTION = re.compile(
    r"\b(?:a|one)[ -](third|quarter|fifth|sixth|seventh|eighth|ninth|tenth)\b", re.IGNORECASE
)
_PARTS = {
    "third": 3,
    "quarter": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
}


@dataclass(frozen=True)
class Said:
    """A number as a sentence says it.

    Attributes:
        value: as it stands; per cent are hundredths: ``12%`` is 0.12.
        error: half a unit of its last digit, in the same measure.
        percent: whether it stands with a per cent sign.
        start, end: where it stands in the text.
        words: whether it was said in words.
    """

    value: float
    error: float
    percent: bool
    start: int
    end: int
    words: bool = False


def numbers_in(text: str) -> Iterator[Said]:
    """Every number of a text, in digits and in words, in its order."""
    found: list[Said] = []
    for match in _NUMBER.finditer(text):
        digits = match["number"].replace(",", "")
        places = len(digits.partition(".")[2])
        scale = 0.01 if match["percent"] else 1.0
        if match["power"]:
            scale *= 10.0 ** int(match["power"][1:])
        value, error = float(digits) * scale, 0.5 * 10.0**-places * scale
        found.append(Said(value, error, bool(match["percent"]), match.start(), match.end()))
    for match in _WORD.finditer(text):
        value = WORDS.get(match[0].casefold(), -1.0)
        if value >= 0:
            found.append(Said(value, 0.02 if 0 < value < 1 else 0.5, False, match.start(), match.end(), True))
    for match in _FRACTION.finditer(text):
        if match[1].casefold() not in WORDS:
            found.append(Said(1 / _PARTS[match[1].casefold()], 0.02, False, match.start(), match.end(), True))
    yield from sorted(found, key=lambda each: each.start)


def percent(value: float) -> str:
    """A share in per cent, its sign left out: whole from 10% on, else with one digit, or two that count."""
    hundredths = abs(value) * 100
    if hundredths == 0 or hundredths >= 9.95:
        return f"{hundredths:.0f}%"
    if hundredths >= 0.95:
        return f"{hundredths:.1f}%"
    return f"{float(f'{hundredths:.2g}'):g}%" if hundredths >= 1e-3 else "0.001%"


def said(value: float, unit: str) -> str:
    """A value in its unit, as sentences write it."""
    if unit in HUNDREDTHS:
        return percent(value)
    if unit in ("step", "count"):
        return f"{value:.0f}"
    if unit in ("times", "delta-E"):
        return f"{value:.1f}"
    if unit == "correlation":
        return f"{value:.2f}"
    if unit == "truth":
        return "yes" if value else "no"
    return f"{value:g}"
