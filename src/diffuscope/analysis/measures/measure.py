"""A measure, declared: what it is called, what it means, where it comes from, and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

Scope = Literal["word", "run"]
"""What a measure is about: a word (or phrase), or the run as a whole."""


@dataclass(frozen=True)
class Measure:
    """One measure. Documentation, ``--help``, JSON and pages all say what stands here.

    Attributes:
        name: in Python, JSON and tables.
        title: in words.
        unit: of its values.
        axes: of its array, named; empty where the answer is no array but a moment or several.
        definition: what it means, in full sentences.
        source: paper and section, or "this project".
        components: names along the last axis, where that is neither step nor place.
        scope: what it is about.
        answers: module of the function that computes it, which has the measure's name. It is loaded when it is needed.
    """

    name: str
    title: str
    unit: str
    axes: tuple[str, ...]
    definition: str
    source: str
    components: tuple[str, ...] = ()
    scope: Scope = "word"
    answers: str = "diffuscope.analysis.measures.answers"

    def compute(self, evidence: Any) -> Any:
        """The value, from evidence about a word or a run (`diffuscope.analysis.measures.evidence`)."""
        return getattr(import_module(self.answers), self.name)(evidence)

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns in a table with a row a step; empty where it has none."""
        if self.axes == ("step",):
            return (self.name,)
        if self.components:
            return tuple(f"{self.name}_{part}" for part in self.components)
        return ()

    def described(self) -> dict[str, Any]:
        """The declaration as plain values."""
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "axes": list(self.axes),
            "components": list(self.components),
            "definition": self.definition,
            "source": self.source,
            "scope": self.scope,
        }
