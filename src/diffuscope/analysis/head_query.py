"""Questions that name heads, in one text form for Python, the command line, the server and the page.

all                                     every kept head
cross:up.*                              sites by pattern, all their heads; several by commas
cross:up.*/3,5:8                        some heads of each
sites=cross:up.* heads=3                the same in the form of `Selection`
top 10 for horn                         by attention mass, the mean over steps
top 10 for 'red circle' by effect       by what taking each of them out does: needs a ranking (`Lens.heads`)
top 10 for horn by contribution sites=cross:up.* steps=0:10
bottom 5 for horn by effect
cross:mid/0; top 3 for horn             several: all of them, those of the first in front
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from diffuscope.analysis.atlas.cells import Cell
from diffuscope.analysis.atlas.contents import UNITS, Content
from diffuscope.analysis.atlas.survey import Atlas
from diffuscope.analysis.cause.importance import EFFECT_UNIT, kept_ranking
from diffuscope.errors import InputError, SelectionError, near_first
from diffuscope.maps.choosing import chosen_steps
from diffuscope.maps.words import find
from diffuscope.plain_json import finite
from diffuscope.selection import Selection

By = Literal["mass", "effect", "contribution"]
End = Literal["top", "bottom"]

FORM = "it reads like: cross:up.*/3,5 or: top 10 for 'red circle' by effect sites=cross:up.*"


@dataclass(frozen=True)
class Part:
    """One question.

    Attributes:
        where: steps, sites and heads that it is narrowed to.
        count: how many heads of the ranking; None where none is asked for.
        end: from which end.
        word: whose ranking.
        by: which ranking.
    """

    where: Selection
    count: int | None = None
    end: End = "top"
    word: str | None = None
    by: By = "mass"

    def __str__(self) -> str:
        heads = "" if self.where.heads == "all" else f"/{self.where.heads}"
        if self.count is None:
            return self.where.sites + heads if self.where.sites != "all" or not heads else f"*{heads}"
        named = self.word if re.fullmatch(r"[^\s'\";]+", self.word or "") else f"'{self.word}'"
        by = "" if self.by == "mass" else f" by {self.by}"
        where = "" if str(self.where) == "all" else f" {self.where}"
        return f"{self.end} {self.count} for {named}{by}{where}"


@dataclass(frozen=True)
class Picked:
    """A head that a question names. `value`, `rank`, `low`, `high`: of the ranking it was asked by, else None."""

    site: str
    head: int
    cell: int
    value: float | None = None
    rank: int | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Picks:
    """The answer to a question.

    Attributes:
        query: its normal form.
        by, unit: of the values; None where no ranking was asked for, or several different ones.
        heads: best first; without a ranking in the order of the data.
        aims: (sites, heads) pairs that are together these heads, one for each edit that acts on them.
    """

    query: str
    by: By | None
    unit: str | None
    heads: tuple[Picked, ...]
    aims: tuple[tuple[str, str], ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple((each.site, each.head) for each in self.heads)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        found: dict[str, Any] = finite(
            {
                "query": self.query,
                "by": self.by,
                "unit": self.unit,
                "heads": [vars(each) for each in self.heads],
                "aims": [{"sites": sites, "heads": heads} for sites, heads in self.aims],
            }
        )
        return found


def parse(text: str) -> tuple[Part, ...]:
    """The questions of a text.

    Raises:
        InputError: it is of another form; SelectionError: a pattern, step or head is.
    """
    parts = tuple(_part(each.strip()) for each in _split(text) if each.strip())
    if not parts:
        raise InputError(f"the question is empty; {FORM}")
    return parts


def pick(atlas: Atlas, text: str) -> Picks:
    """Answer a question about a run.

    Args:
        atlas: of the run.
        text: the question.

    Raises:
        InputError, SelectionError: as `parse`, or a site, head or step that is not there.
        UnknownWordError: the prompt has no such word.
        NotKeptError: heads were not kept, or no ranking by effect was made.
    """
    parts = parse(text)
    found: dict[Cell, Picked] = {}
    for part in parts:
        for each in _answer(atlas, part):
            found.setdefault((each.site, each.head), each)
    rankings = {part.by if part.count is not None else None for part in parts}
    by = rankings.pop() if len(rankings) == 1 else None
    return Picks(
        "; ".join(map(str, parts)),
        by,
        None if by is None else _UNITS[by],
        tuple(found.values()),
        atlas.cells.aims(found),
    )


def ranked(atlas: Atlas, part: Part) -> list[Picked]:
    """All heads that a ranking question looks at, best first."""
    assert part.word is not None
    allowed = set(_cells(atlas, part.where, _KINDS[part.by]))
    if part.by == "effect":
        if part.where.steps != "all":
            raise SelectionError("a ranking by effect was made over its own steps; leave steps= out")
        ranking = kept_ranking(atlas.recording, part.word)
        rows = [each for each in ranking.heads if (each.site, each.head) in allowed and each.seeds]
        return [
            Picked(
                each.site,
                each.head,
                atlas.cells.numbers[each.site, each.head],
                each.effect,
                place,
                _or_none(each.low),
                _or_none(each.high),
            )
            for place, each in enumerate(rows, start=1)
        ]
    values = _values(atlas, part)
    order = sorted(allowed & values.keys(), key=lambda cell: (-values[cell], atlas.cells.numbers[cell]))
    return [
        Picked(cell[0], cell[1], atlas.cells.numbers[cell], values[cell], place)
        for place, cell in enumerate(order, start=1)
    ]


def _answer(atlas: Atlas, part: Part) -> list[Picked]:
    if part.count is None:
        return [Picked(*cell, atlas.cells.numbers[cell]) for cell in _cells(atlas, part.where, None)]
    every = ranked(atlas, part)
    return every[: part.count] if part.end == "top" else every[::-1][: part.count]


def _values(atlas: Atlas, part: Part) -> dict[Cell, float]:
    """Mean over patches and steps, of every head that has it."""
    label = find(atlas.recording.manifest.text, str(part.word)).label
    content = Content("word" if part.by == "mass" else "contribution", label)
    sites = atlas.sites(content)
    if part.where.steps == "all":
        means = atlas.overview(content).mean[0]
        return {
            cell: float(value)
            for cell, value in zip(
                [(site.name, head) for site in sites for head in site.heads], means, strict=True
            )
        }
    steps = chosen_steps(atlas.recording, part.where)
    chosen = [site for site in sites if site.name in {name for name, _ in _cells(atlas, part.where, None)}]
    total: dict[Cell, float] = {}
    for step in steps:
        for name, maps in atlas.at(content, step, [site.name for site in chosen]).items():
            means = maps.mean(axis=(1, 2), dtype=np.float64)
            for head, value in zip(atlas.recording.heads(name), means, strict=True):
                total[name, head] = total.get((name, head), 0.0) + float(value) / len(steps)
    return total


def _cells(atlas: Atlas, where: Selection, kinds: tuple[str, ...] | None) -> list[Cell]:
    names = [site.name for site in atlas.cells.sites if kinds is None or site.kind in kinds]
    chosen = set(where.resolve_sites(names))
    found = []
    for site in atlas.cells.sites:
        if site.name in chosen:
            whole = atlas.recording.site(site.name).heads
            wanted = set(where.resolve_heads(whole, site.name))
            found += [(site.name, head) for head in site.heads if head in wanted]
    if not found:
        raise SelectionError(f"no kept head is meant by {str(where)!r}")
    return found


def _part(text: str) -> Part:
    match = _RANKED.fullmatch(text)
    if match is None:
        if re.match(r"(?i)(top|bottom)\b", text):
            raise InputError(f"the question {text!r} is not of the form that is due; {FORM}")
        return Part(_plain(text))
    count, by = int(match["count"]), (match["by"] or "mass").lower()
    if count < 1:
        raise InputError(f"{text!r} asks for no head; name at least 1")
    if by not in get_args(By):
        raise InputError(f"heads are ranked by {', '.join(near_first(by, get_args(By)))}, not by {by!r}")
    word = match["single"] or match["double"] or match["bare"]
    where = Selection.parse(match["where"] or "")
    if (where.word, where.region, where.concept) != (None, None, None):
        raise InputError(f"after the word {text!r} takes sites=, heads= and steps= alone")
    end: End = "top" if match["end"].lower() == "top" else "bottom"
    return Part(where, count, end, " ".join(word.split()), by)  # type: ignore[arg-type]


def _plain(text: str) -> Selection:
    if text in ("all", "*"):
        return Selection()
    if "=" in text:
        where = Selection.parse(text)
        if (where.word, where.region, where.concept, where.steps) != (None, None, None, "all"):
            raise InputError(f"{text!r} names more than sites and heads; {FORM}")
        return where
    if re.search(r"\s", text):
        raise InputError(f"the question {text!r} is not of the form that is due; {FORM}")
    sites, slash, heads = text.partition("/")
    if slash and not heads:
        raise InputError(f"{text!r} names no head after the slash; {FORM}")
    return Selection(sites=sites or "all", heads=heads or "all")


def _split(text: str) -> list[str]:
    """Parts between semicolons, those in quotes left alone."""
    return re.findall(r"""(?:'[^']*'|"[^"]*"|[^;'"]|['"])+""", text)


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


_KINDS: Mapping[By, tuple[str, ...] | None] = {
    "mass": ("cross", "joint"),
    "contribution": ("cross", "joint"),
    "effect": None,
}
_UNITS: Mapping[By, str] = {
    "mass": UNITS["word"],
    "contribution": UNITS["contribution"],
    "effect": EFFECT_UNIT,
}
_RANKED = re.compile(
    r"""(?ix) (?P<end>top|bottom) \s+ (?P<count>[0-9]{1,6}) \s+ for \s+
    (?: '(?P<single>[^']+)' | "(?P<double>[^"]+)" | (?P<bare>[^\s'"]+) )
    (?: \s+ by \s+ (?P<by>\w+) )? (?: \s+ (?P<where>\S.*) )?""",
)
