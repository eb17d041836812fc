"""What can be measured of a run in a study, by name, and what becomes of an answer in the table.

Three kinds stand in one list: the measures of `diffuscope.analysis.measures` (of words and of runs), measures of the
finished picture alone, and those that a user's own modules register. A module is named by the caller, never by a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from diffuscope.analysis.measures import MEASURES, Measure
from diffuscope.errors import InputError, listed, near_first
from diffuscope.ranges import Ranges
from diffuscope.recording.manifest import Level
from diffuscope.studies.plan import MeasureChoice, Summary
from diffuscope.studies.prompts import words_of

if TYPE_CHECKING:
    from diffuscope.analysis.timeline import Timelines
    from diffuscope.run import Run

Scope = Literal["word", "run", "picture"]

LEVELS: tuple[str, ...] = ("none", "maps", "cross", "qk")
"""From what needs nothing but the picture to what needs all."""

NEEDS: Mapping[str, Level] = {"received": "qk", "received_contrast": "qk"}
"""Measures of runs that need more than word maps: self-attention."""

PREVIEWS = frozenset({"emergence_image", "score"})
"""Measures that look at the predicted clean picture of every step."""


@dataclass(frozen=True)
class Value:
    """One number of a measure.

    Attributes:
        value: the number; None where the step was never reached (`censored`) or there is no answer.
        component: which of several, where a measure has parts; else empty.
        step: of which step; None for one number of the whole run.
        censored: what was waited for did not come in the steps that were seen.
        seen_to: the last step seen, for answers that are steps.
    """

    value: float | None
    component: str = ""
    step: int | None = None
    censored: bool = False
    seen_to: int | None = None


@dataclass
class Drawn:
    """What a measure looks at.

    Attributes:
        image: the finished picture, RGB.
        prompt: what it was drawn from.
        run: its recording; None where no measure of the study needs one.
    """

    image: Image.Image
    prompt: str
    run: Run | None = None
    _timelines: dict[tuple[str, ...], Timelines] = field(default_factory=dict, repr=False)

    @property
    def recording(self) -> Run:
        """The recording.

        Raises:
            InputError: there is none.
        """
        if self.run is None:
            raise InputError("this measure reads a recording, and it says that it needs none")
        return self.run

    def timelines(self, words: tuple[str, ...] | None, steps: str | None) -> Timelines:
        """Timelines of words, made once for all measures that ask for the same."""
        key = (*(words or ()), f"steps={steps}")
        if key not in self._timelines:
            self._timelines[key] = self.recording.timeline(None if words is None else list(words), steps)
        return self._timelines[key]


Compute = Callable[[Drawn, "str | None", "str | None"], Sequence[Value]]
"""From what was drawn, the word (None for other scopes) and the steps asked for, to values."""


@dataclass(frozen=True)
class Quantity:
    """A measure as studies use it.

    Attributes:
        name, title, unit, definition, source: as of `Measure`.
        scope: what it is about.
        needs: the level that has to be recorded; ``none`` for the picture alone.
        previews: whether it looks at the predicted clean pictures.
        compute: see `Compute`.
        bounds: lowest and highest value that there can be, where there are such.
    """

    name: str
    title: str
    unit: str
    definition: str
    source: str
    scope: Scope
    compute: Compute = field(repr=False)
    needs: str = "none"
    previews: bool = False
    bounds: tuple[float, float] | None = None

    def described(self) -> dict[str, Any]:
        """The declaration as plain values."""
        names = ("name", "title", "unit", "definition", "source", "scope", "needs")
        return {name: getattr(self, name) for name in names}


_OWN: dict[str, Quantity] = {}


def register(quantity: Quantity) -> Quantity:
    """Add a measure of your own; call it when your module is imported.

    Raises:
        InputError: its name is taken, or what it needs is no level.
    """
    if quantity.name in MEASURES or _OWN.get(quantity.name, quantity) != quantity:
        raise InputError(f"there is a measure {quantity.name!r} already; choose another name")
    if quantity.needs not in LEVELS:
        raise InputError(
            f"measure {quantity.name!r} needs {quantity.needs!r}; it is one of {', '.join(LEVELS)}"
        )
    _OWN[quantity.name] = quantity
    return quantity


def quantities(modules: Iterable[str] = ()) -> dict[str, Quantity]:
    """Every measure that a study can name.

    Args:
        modules: importable modules that register measures.

    Raises:
        InputError: a module cannot be imported.
    """
    from diffuscope.studies import attention_measures, cause_measures, picture_measures  # noqa: F401  (register them)

    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise InputError(f"the module {module!r} of measures cannot be imported: {error}") from error
    known = {name: _of_registry(measure) for name, measure in MEASURES.items() if _gives_numbers(measure)}
    return {**known, **_OWN}


def find_quantity(name: str, known: Mapping[str, Quantity]) -> Quantity:
    """A measure by name.

    Raises:
        InputError: there is none; near names are shown.
    """
    if name not in known:
        raise InputError(
            f"there is no measure {name!r}; there are: {listed(near_first(name, list(known)), 12)} "
            "(see: diffuscope study measures)"
        )
    return known[name]


@dataclass(frozen=True)
class Chosen:
    """The measures of a plan, ready to be computed."""

    choices: tuple[MeasureChoice, ...]
    known: Mapping[str, Quantity]

    @classmethod
    def of(cls, choices: Sequence[MeasureChoice], modules: Iterable[str] = ()) -> Chosen:
        """Raises InputError for an unknown measure, words where there are none, or steps that cannot be read."""
        known = quantities(modules)
        for choice in choices:
            quantity = find_quantity(choice.name, known)
            if quantity.scope != "word" and choice.words is not None:
                raise InputError(
                    f"the measure {choice.name!r} is about the {quantity.scope}, not about words; leave words out"
                )
            if quantity.scope == "picture" and (choice.steps is not None or choice.series):
                raise InputError(
                    f"the measure {choice.name!r} looks at the finished picture, which has no steps"
                )
            Ranges.of(choice.steps, f"measure {choice.name}: steps")
        return cls(tuple(choices), known)

    def quantity(self, choice: MeasureChoice) -> Quantity:
        return self.known[choice.name]

    @cached_property
    def needs(self) -> str:
        """The level that has to be recorded for all of them; ``none`` for nothing."""
        return max((self.known[choice.name].needs for choice in self.choices), key=LEVELS.index)

    @cached_property
    def previews(self) -> bool:
        return any(self.known[choice.name].previews for choice in self.choices)

    def measure(self, drawn: Drawn, factors: Mapping[str, str]) -> list[dict[str, Any]]:
        """All values of one picture, as rows of the table of values (plain JSON)."""
        rows = []
        for choice in self.choices:
            quantity = self.quantity(choice)
            for target, word in _targets(quantity, choice, drawn, factors):
                for value in _told(quantity.compute(drawn, word, choice.steps), choice):
                    rows.append(
                        {
                            "measure": choice.name,
                            "target": target,
                            "word": word or "",
                            "component": value.component,
                            "step": value.step,
                            "value": value.value,
                            "censored": value.censored,
                            "seen_to": value.seen_to,
                        }
                    )
        return rows


def _targets(
    quantity: Quantity, choice: MeasureChoice, drawn: Drawn, factors: Mapping[str, str]
) -> list[tuple[str, str | None]]:
    """What a measure is asked about in one picture: (name over all pictures, word here)."""
    if quantity.scope != "word":
        return [("", None)]
    found: list[tuple[str, str | None]] = []
    for target, word in words_of(choice, drawn.prompt, factors):
        if word == "all":
            found += [(each.label, each.label) for each in drawn.recording.words]
        else:
            found.append((target, word))
    return found


def _told(values: Sequence[Value], choice: MeasureChoice) -> list[Value]:
    """The one number over the steps, and the steps themselves where they are kept."""
    whole = [value for value in values if value.step is None]
    series = [value for value in values if value.step is not None]
    for component in dict.fromkeys(value.component for value in series):
        numbers = [each.value for each in series if each.component == component and each.value is not None]
        whole.append(Value(_summary(numbers, choice.over_steps), component))
    return [*whole, *(series if choice.series else ())]


def _summary(numbers: Sequence[float], how: Summary) -> float | None:
    if not numbers:
        return None
    if how in ("first", "last"):
        return numbers[0 if how == "first" else -1]
    return float(getattr(np, how)(numbers))


# The measures of analysis, as quantities.


def _gives_numbers(measure: Measure) -> bool:
    """Maps and plans are no numbers of a run: ``received`` is a map, ``phases`` is the same for every run."""
    return (
        measure.axes[:1] in ((), ("step",))
        and "y" not in measure.axes
        and not measure.name.endswith("phases")
    )


def _of_registry(measure: Measure) -> Quantity:
    def compute(drawn: Drawn, word: str | None, steps: str | None) -> list[Value]:
        lines = drawn.timelines(None if word is None else (word,), steps)
        found = lines.measure(measure.name) if word is None else lines[word][measure.name]
        return flattened(found, measure, lines.steps)

    return Quantity(
        name=measure.name,
        title=measure.title,
        unit=measure.unit,
        definition=measure.definition,
        source=measure.source,
        scope=measure.scope,
        compute=compute,
        needs=NEEDS.get(measure.name, "maps"),
        previews=measure.name in PREVIEWS,
        bounds=(0.0, 1.0) if measure.unit in ("0 to 1", "share, 0 to 1", "probability") else None,
    )


def flattened(found: Any, measure: Measure, steps: Sequence[int]) -> list[Value]:
    """An answer of `analysis` as values: a number a step and component, a moment as its step and log-SNR."""
    if found is None:
        return []
    if isinstance(found, np.ndarray):
        table = found.reshape(len(steps), -1)
        names = measure.components or ("",) * table.shape[1]
        return [
            Value(_number(table[at, part]), name, step)
            for part, name in enumerate(names)
            for at, step in enumerate(steps)
        ]
    if isinstance(found, int | float | np.number):
        return [Value(_number(found))]
    facts = found.facts()
    if "step" not in facts:
        return [Value(float(len(facts["at"])), "number")] if isinstance(facts.get("at"), list) else []
    censored = bool(facts.get("censored", False))
    seen_to = facts.get("seen_to", steps[-1] if steps else None)
    values = [Value(_number(facts["step"]), "", None, censored, seen_to)]
    if facts.get("log_snr") is not None:
        values.append(Value(_number(facts["log_snr"]), "log_snr"))
    values += [Value(float(facts[name]), name) for name in ("flat", "boundary") if name in facts]
    return values


def _number(value: Any) -> float | None:
    """A finite number, or None: tables hold no NaN."""
    if value is None:
        return None
    number = float(value)
    return number if np.isfinite(number) else None
