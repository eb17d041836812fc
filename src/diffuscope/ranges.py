"""Ranges: a set of whole numbers from 0 on, as steps and heads are selected. ``all``, ``7``, ``0:10``,
``0,3,8:12``.

Kept as ascending intervals that neither touch nor overlap, so each set has one form however it was written,
and ``0:1000000000`` costs nothing until it is resolved against the numbers there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from operator import index
from typing import SupportsIndex

from diffuscope.errors import SelectionError

ALL = "all"

_PART = re.compile(r"(?P<only>[0-9]{1,18})|(?P<start>[0-9]{1,18})?:(?P<stop>[0-9]{1,18})?")


@dataclass(frozen=True)
class Ranges:
    """A set of numbers.

    Attributes:
        intervals: ``(start, stop)`` pairs, ascending, `stop` excluded; None as the last stop means "to the
            end". The single interval ``(0, None)`` is everything.
        name: what is numbered (``steps``, ``heads``), for messages.
    """

    intervals: tuple[tuple[int, int | None], ...]
    name: str

    @classmethod
    def of(cls, value: str | int | slice | range | Iterable[SupportsIndex] | None, name: str) -> Ranges:
        """Any spelling: None, a number, a slice, a range, numbers, or the text form.

        Raises:
            SelectionError: negative numbers, strides of slices, nothing selected, or no such form.
        """
        if value is None:
            return cls(((0, None),), name)
        if isinstance(value, str):
            return cls._parse(value, name)
        if isinstance(value, slice):
            return cls._slice(value, name)
        if isinstance(value, range) and value.step == 1 and len(value):
            return cls._merged([(value.start, value.stop)], value, name)
        if isinstance(value, Iterable):
            return cls._merged(
                [(number, number + 1) for number in (_whole(each, value, name) for each in value)],
                value,
                name,
            )
        number = _whole(value, value, name)
        return cls._merged([(number, number + 1)], value, name)

    @classmethod
    def _parse(cls, text: str, name: str) -> Ranges:
        if text.strip() == ALL:
            return cls(((0, None),), name)
        intervals: list[tuple[int, int | None]] = []
        for part in text.split(","):
            match = _PART.fullmatch(part.strip())
            if match is None:
                raise SelectionError(f"bad {name} {text!r}; write 7 or 0:10 (10 left out) or 0,3,8:12 or all")
            if match["only"]:
                intervals.append((int(match["only"]), int(match["only"]) + 1))
            else:
                stop = int(match["stop"]) if match["stop"] else None
                intervals.append((int(match["start"] or 0), stop))
                if stop is not None and stop <= intervals[-1][0]:
                    raise SelectionError(
                        f"{name}={part.strip()} is empty; the end of a range is left out, so it is the larger"
                    )
        return cls._merged(intervals, text, name)

    @classmethod
    def _slice(cls, value: slice, name: str) -> Ranges:
        if value.step is not None and _whole(value.step, value, name) != 1:
            raise SelectionError(
                f"{name} take slices without a stride; give range({value.start}, {value.stop}, {value.step})"
            )
        start = 0 if value.start is None else _whole(value.start, value, name)
        stop = None if value.stop is None else _whole(value.stop, value, name)
        return cls._merged([(start, stop)], value, name)

    @classmethod
    def _merged(cls, intervals: list[tuple[int, int | None]], given: object, name: str) -> Ranges:
        if not intervals or any(stop is not None and stop <= start for start, stop in intervals):
            raise SelectionError(f"{name}={given!r} selects nothing; name at least one")
        if any(start < 0 or (stop is not None and stop < 0) for start, stop in intervals):
            raise SelectionError(f"{name}={given!r}: {name} count from 0, and negative numbers are not taken")
        merged: list[tuple[int, int | None]] = []
        for start, stop in sorted(intervals, key=lambda each: each[0]):
            before = merged[-1] if merged else None
            if before is not None and (before[1] is None or start <= before[1]):
                end = None if stop is None or before[1] is None else max(stop, before[1])
                merged[-1] = (before[0], end)
            else:
                merged.append((start, stop))
        return cls(tuple(merged), name)

    def __str__(self) -> str:
        """Normal form: ``all``, or single numbers and ranges joined by commas."""
        if self.intervals == ((0, None),):
            return ALL
        return ",".join(
            f"{start}:" if stop is None else str(start) if stop == start + 1 else f"{start}:{stop}"
            for start, stop in self.intervals
        )

    def resolve(self, n: int, noun: str, where: str) -> tuple[int, ...]:
        """The numbers, ascending, of 0 to n - 1.

        Numbers beyond are an error and not clipped: who asks for steps 0:50 of a run of 25 means another run.

        Args:
            n: how many there are.
            noun, where: for the message: "step", "the run".

        Raises:
            SelectionError: there are none, or one beyond the last is named.
        """
        if n < 1:
            raise SelectionError(f"{where} has no {noun}s to select from")
        # The last interval reaches furthest; an open one must at least begin inside.
        start, stop = self.intervals[-1]
        if start >= n or (stop is not None and stop > n):
            there = f"{noun}s 0 to {n - 1}" if n > 1 else f"only {noun} 0"
            raise SelectionError(f"{self.name}={self} is out of range: {where} has {there}")
        return tuple(
            number for start, stop in self.intervals for number in range(start, n if stop is None else stop)
        )

    def within(self, n: int) -> tuple[int, ...]:
        """The numbers of 0 to n - 1 that are in the set, ascending; there may be none."""
        return tuple(
            number
            for start, stop in self.intervals
            for number in range(start, n if stop is None else min(stop, n))
        )


def _whole(value: object, given: object, name: str) -> int:
    """A whole number; True is not one, and 1.5 is not either."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)  # type: ignore[arg-type]
    except TypeError:
        raise SelectionError(
            f"{name}={given!r} is no choice of {name}; give a number, a slice, a list or a text like 0:10"
        ) from None
    if number < 0:
        raise SelectionError(f"{name}={given!r}: {name} count from 0, and negative numbers are not taken")
    return number
