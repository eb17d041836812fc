"""The registry: every measure by its name, from which documentation, help, JSON and pages come."""

from __future__ import annotations

from diffuscope.analysis.measures.measure import Measure, Scope
from diffuscope.analysis.measures.over_steps import OF_RUNS, OF_WORDS
from diffuscope.errors import SelectionError, near_first

__all__ = ["MEASURES", "Measure", "find_measure", "measures"]

MEASURES: dict[str, Measure] = {each.name: each for each in (*OF_WORDS, *OF_RUNS)}
"""Name to measure, in the order in which they are shown."""


def measures(scope: Scope | None = None) -> tuple[Measure, ...]:
    """All measures, or those of words or of runs alone."""
    return tuple(each for each in MEASURES.values() if scope in (None, each.scope))


def find_measure(name: str, scope: Scope | None = None) -> Measure:
    """A measure by its name.

    Raises:
        SelectionError: there is none of that name (and scope).
    """
    there = [each.name for each in measures(scope)]
    if name not in there:
        raise SelectionError(f"there is no measure {name!r}; there are: {', '.join(near_first(name, there))}")
    return MEASURES[name]
