"""Claim: one thing that a run shows, as a number (or a word) that can be computed again from what it cites."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from diffuscope.ranges import Ranges
from diffuscope.selection import Selection

Kind = Literal[
    "setting",
    "outcome",
    "attention",
    "first look",
    "order",
    "timing",
    "where",
    "ignored",
    "leak",
    "binding",
    "unusual",
    "cause",
    "change",
    "unchanged",
    "shift",
]
"""What a claim is about:

setting     what the run was asked for
outcome     what a judge finds in the finished picture
attention   how much attention words get, and the tokens that are no words
first look  which word the model looked at first
order       when words come true in the predicted picture
timing      when a word's attention peaks and its map settles
where       where on the picture a word's attention went
ignored     a word that the picture lacks, or that got little attention
leak        a word whose attention lies on a thing that is not its own
binding     an attribute and the noun that it went to
unusual     a value far from that of the reference runs
cause       what silencing a word changed in the picture
change      what an edit changed
unchanged   what an edit left alone
shift       attention that an edit moved
"""

Value = float | str | None
Part = Literal["setup", "comparison", "insight"]


@dataclass(frozen=True)
class Beside:
    """What a value is held against.

    Attributes:
        what: in words, ``the share of the picture that it covers``.
        value: in the claim's unit.
        low, high: an interval of it, where there is one.
        n: how many it comes from, where it is a statistic of many.
        statistic, selection: by which it is computed again from the run; empty where it is of the reference runs, or a
            number that follows from the prompt.
    """

    what: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    statistic: str = ""
    selection: Selection | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "statistic": self.statistic or None,
            "selection": None if self.selection is None else str(self.selection),
        }


@dataclass(frozen=True)
class Number:
    """A number that a claim lets a sentence say.

    Attributes:
        value: in `unit`.
        unit: of the claim, ``step`` or ``count``.
    """

    value: float
    unit: str


@dataclass(frozen=True)
class Claim:
    """One thing that a run, or a run beside an edited one, shows.

    Attributes:
        kind: what it is about.
        group: claims of one group say one thing together (``where/circle``).
        statistic: name of the declared statistic (`diffuscope.explain.statistics`) that computes `value` from
            `selection` (and `against`).
        selection: what it was computed from.
        value: a number, a text (what a judge sees), or None where there is no answer.
        unit: of the number.
        against: a second selection, for statistics of two.
        beside: what the value is held against: a control, chance, the reference runs.
        interval: of the value itself, in its unit: a range of steps, or a confidence interval.
        surprise, certainty: 0 to 1; claims are ranked by their product.
        part: where in an explanation it belongs.
        trouble: whether it says that something went otherwise than the prompt asked.
        id: short name within one explanation, ``c3``.
    """

    kind: Kind
    group: str
    statistic: str
    selection: Selection
    value: Value
    unit: str
    against: Selection | None = None
    beside: Beside | None = None
    interval: tuple[float, float] | None = None
    surprise: float = 0.2
    certainty: float = 0.8
    part: Part = "insight"
    trouble: bool = False
    id: str = ""

    @property
    def rank(self) -> float:
        """Surprise times certainty."""
        return self.surprise * self.certainty

    @property
    def words(self) -> tuple[str, ...]:
        """Labels of the words that it is about."""
        both = (self.selection.word, None if self.against is None else self.against.word)
        return tuple(dict.fromkeys(each for each in both if each is not None))

    @property
    def number(self) -> float:
        """The value as a number.

        Raises:
            TypeError: it is a text, or there is none.
        """
        if not isinstance(self.value, int | float):
            raise TypeError(f"the claim {self.group} has no number: {self.value!r}")
        return float(self.value)

    def steps(self) -> tuple[int, int] | None:
        """First and last step that the claim names: of its selection, or its interval where that is one of steps."""
        if self.interval is not None and self.unit == "step":
            return int(self.interval[0]), int(self.interval[1])
        ends = Ranges.of(self.selection.steps, "steps").intervals
        if self.selection.steps == "all" or ends[-1][1] is None:
            return None
        return ends[0][0], ends[-1][1] - 1

    def numbers(self) -> Iterator[Number]:
        """Every number that a sentence citing this claim may say."""
        if isinstance(self.value, int | float):
            yield Number(float(self.value), self.unit)
        for each in self.interval or ():
            yield Number(float(each), self.unit)
        if self.beside is not None:
            for held in (self.beside.value, self.beside.low, self.beside.high):
                if held is not None:
                    yield Number(float(held), self.unit)
            if self.beside.n is not None:
                yield Number(float(self.beside.n), "count")
        for step in self.steps() or ():
            yield Number(float(step), "step")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "id": self.id,
            "kind": self.kind,
            "group": self.group,
            "statistic": self.statistic,
            "selection": str(self.selection),
            "against": None if self.against is None else str(self.against),
            "value": self.value,
            "unit": self.unit,
            "interval": None if self.interval is None else list(self.interval),
            "beside": None if self.beside is None else self.beside.to_json(),
            "surprise": self.surprise,
            "certainty": self.certainty,
            "part": self.part,
            "trouble": self.trouble,
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Claim:
        """The claim that `to_json` made these values of."""
        held, interval, against = given["beside"], given["interval"], given["against"]
        beside = None
        if held is not None:
            where = held["selection"]
            beside = Beside(
                held["what"],
                held["value"],
                held["low"],
                held["high"],
                held["n"],
                held["statistic"] or "",
                None if where is None else Selection.parse(where),
            )
        return cls(
            **{
                **{name: given[name] for name in _PLAIN},
                "selection": Selection.parse(given["selection"]),
                "against": None if against is None else Selection.parse(against),
                "beside": beside,
                "interval": None if interval is None else (interval[0], interval[1]),
            }
        )


_PLAIN = (
    "id",
    "kind",
    "group",
    "statistic",
    "value",
    "unit",
    "surprise",
    "certainty",
    "part",
    "trouble",
)
