"""Edits of what heads put out: scale it, take it from another text, or from another run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

from diffuscope.edits.base import Edit, checked_number, checked_text
from diffuscope.errors import EditError


@dataclass(frozen=True)
class Scale(Edit):
    """The heads' output, before the output projection, times `factor`: 0 takes the heads out, 1 changes nothing, a
    negative factor turns them round. (Patch Explorer's scaling; Grabe et al. 2025.)

    Attributes:
        factor: any finite number.
    """

    kind: ClassVar[str] = "scale"

    factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "factor", checked_number(self.kind, "factor", self.factor))

    def _what(self) -> str:
        return "takes heads' output out" if self.factor == 0 else f"scales heads' output by {self.factor:g}"


@dataclass(frozen=True)
class Encode(Edit):
    """Cross-attention: the heads' output is what the same queries get from the keys and values of another text.
    (Patch Explorer's encoder; Grabe et al. 2025.)

    Attributes:
        text: the other text.
        strength: how far the output goes from the prompt's (0) to the text's (1).
    """

    kind: ClassVar[str] = "encode"
    kinds: ClassVar[tuple[str, ...]] = ("cross",)

    text: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "text", checked_text(self.kind, "text", self.text, empty=True))
        object.__setattr__(self, "strength", checked_number(self.kind, "strength", self.strength))

    def _what(self) -> str:
        part = "" if self.strength == 1 else f" by {self.strength:g}"
        return f"encodes {self.text!r} in place of the prompt{part}"


@dataclass(frozen=True)
class Patch(Edit):
    """Activation patching: the heads' output is that of a donor run at the same step.

    Attributes:
        donor: the donor's run folder, a run, or the name under which the donor is given when the edit is applied.
        strength: how far the output goes from the run's own (0) to the donor's (1).
    """

    kind: ClassVar[str] = "patch"

    donor: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "donor", donor_name(self.kind, self.donor))
        object.__setattr__(self, "strength", checked_number(self.kind, "strength", self.strength))

    def _what(self) -> str:
        part = "" if self.strength == 1 else f" by {self.strength:g}"
        return f"takes heads' output from {self.donor}{part}"


def donor_name(edit: str, given: Any) -> str:
    """The name of a donor: a path, or a run's own.

    Raises:
        EditError: it is neither.
    """
    path = getattr(given, "path", given)
    if isinstance(path, str | os.PathLike):
        name = os.fspath(path)
        if isinstance(name, str) and name.strip():
            return name
    raise EditError(f"{edit}: donor={given!r} is no run; give a Run or the path of its folder")
