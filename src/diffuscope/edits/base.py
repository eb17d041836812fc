"""Edit: what every change of a running model has in common. A value: it says what to change and where.

Every edit is aimed by four fields, which are given by name:

    steps     at which scheduler steps: ``all``, ``7``, ``0:10`` (end excluded), ``0,3,8:12``, or ``window``, the steps
              in which meaning forms (a fifth of the run to three fifths: 10 to 29 of 50)
    sites     at which attention sites: ``all`` that the edit can act at, or patterns: ``cross:up.*,cross:mid``
    heads     which heads, counted within each site: as steps
    patches   where on the picture, a `PatchChoice`; None is everywhere. At sites of joint attention everywhere means
              the whole sequence, text and picture, and patches are those of the picture

Only the conditional rows of a batch are edited: what guidance is measured from stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self, get_args

from diffuscope.edits.patches import PatchChoice
from diffuscope.errors import EditError, listed, near_first
from diffuscope.ranges import Ranges
from diffuscope.selection import Selection

WINDOW = "window"
WINDOW_START, WINDOW_STOP = 0.2, 0.6
"""The window's part of a run: the countdown from step 40 to step 20 of 50, so steps 10 to 29."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Base of all edits; see the module for the fields that all have. Fields may be given in any spelling that
    `Selection` takes and are brought to normal form, so equal edits are equal values.

    Raises:
        EditError, SelectionError, RegionError: a field has no such form.
    """

    kind: ClassVar[str] = ""
    """Its name in JSON and on the command line."""
    kinds: ClassVar[tuple[str, ...]] = ("cross", "self", "joint")
    """Kinds of site that it can act at."""

    steps: str = "all"
    sites: str = "all"
    heads: str = "all"
    patches: PatchChoice | None = None

    def __post_init__(self) -> None:
        if self.steps != WINDOW:
            object.__setattr__(self, "steps", str(Ranges.of(self.steps, "steps")))
        object.__setattr__(self, "sites", Selection.of(sites=self.sites).sites)
        object.__setattr__(self, "heads", str(Ranges.of(self.heads, "heads")))
        object.__setattr__(self, "patches", PatchChoice.of(self.patches))

    def resolve_steps(self, n: int) -> tuple[int, ...]:
        """Indices of the steps at which it acts, ascending, of a run of `n` steps.

        Raises:
            SelectionError: a step beyond the last is named.
        """
        if self.steps == WINDOW:
            start = min(round(WINDOW_START * n), n - 1)
            return tuple(range(start, max(round(WINDOW_STOP * n), start + 1)))
        return Ranges.of(self.steps, "steps").resolve(n, "step", "the run")

    def describe(self) -> str:
        """What it does and where, as one line of English."""
        # A donor's path, or a function's name, may hold anything.
        return " ".join((self._what() + self._aim()).splitlines())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` makes an equal edit of them. Fields that are as by default are left out.

        Raises:
            EditError: it has no such form (`Custom`).
        """
        found: dict[str, Any] = {"edit": self.kind}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.default is MISSING or value != each.default:
                found[each.name] = value.to_json() if isinstance(value, PatchChoice | Edit) else value
        return found

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Self:
        """The edit of this class that `to_json` made these values of. Use `edits.from_json` where the kind is not
        known.

        Raises:
            EditError: a field is missing, unknown, or of another form.
        """
        values = {name: value for name, value in given.items() if name != "edit"}
        names = [each.name for each in fields(cls)]
        for name in values:
            if name not in names:
                near = listed(list(near_first(name, names)))
                raise EditError(f"the edit {cls.kind!r} has no {name!r}; it has: {near}")
        needed = [each.name for each in fields(cls) if each.default is MISSING and each.name not in values]
        if needed:
            raise EditError(f"the edit {cls.kind!r} says no {listed(needed)}")
        return cls(**values)

    def _what(self) -> str:
        raise NotImplementedError

    def _aim(self) -> str:
        parts = []
        if self.heads != "all":
            parts.append(f"heads {self.heads}")
        if self.sites != "all":
            parts.append(f"at {self.sites}")
        if self.patches is not None:
            parts.append(f"in {self.patches.describe()}")
        if self.steps != "all":
            parts.append(
                "in the steps in which meaning forms" if self.steps == WINDOW else f"at steps {self.steps}"
            )
        return f" ({', '.join(parts)})" if parts else ""


def checked_number(edit: str, name: str, value: object) -> float:
    """A finite number.

    Raises:
        EditError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise EditError(f"{edit}: {name}={value!r} is no number")
    return float(value)


def checked_text(edit: str, name: str, value: object, *, empty: bool = False) -> str:
    """A text, with runs of blanks as one.

    Raises:
        EditError: it is none, or says nothing where it must say something.
    """
    if not isinstance(value, str):
        raise EditError(f"{edit}: {name}={value!r} is no text")
    text = " ".join(value.split())
    if not text and not empty:
        raise EditError(f"{edit}: {name} is empty; say what")
    return text


def checked_choice(edit: str, name: str, value: object, among: Any) -> str:
    """One of the values of a `Literal`.

    Raises:
        EditError: it is none of them.
    """
    choices: tuple[str, ...] = get_args(among)
    if value not in choices:
        raise EditError(f"{edit}: {name}={value!r}; it is one of: {', '.join(choices)}")
    return str(value)
