"""An edit by a function of the user's own, and the control of any edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from diffuscope.edits.base import Edit
from diffuscope.errors import EditError


@dataclass(frozen=True)
class Custom(Edit):
    """The heads' output is what a function makes of it: ``fn(q, k, v, out, context) -> out``.

    The tensors are those of the conditional rows and chosen heads: `q` ``[row, head, query, dim]``, `k`, `v` ``[row,
    head, key, dim]``, as the kernel receives them, `out` ``[row, head, query, dim]``, what earlier edits have left of
    the kernel's answer; all are the function's to change. The answer is of `out`'s shape. `context` says where and when
    (`engine.apply.acts.Context`).

    Attributes:
        fn: the function.
        name: what it is called in descriptions and manifests; the function's own name by default.
    """

    kind: ClassVar[str] = "custom"

    fn: Callable[..., Any] = field(compare=True)
    name: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.fn):
            raise EditError(f"custom: fn={self.fn!r} is no function of (q, k, v, out, context)")
        object.__setattr__(
            self, "name", str(self.name or getattr(self.fn, "__qualname__", type(self.fn).__name__))
        )

    def to_json(self) -> dict[str, Any]:
        """Its aim and its name. A function has no JSON form, so `from_json` refuses it."""
        plain = _aimed(self)
        return {"edit": self.kind, "name": self.name, **plain}

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Self:
        raise EditError(
            f"the edit 'custom' ({given.get('name', 'without a name')}) is a function, which no file holds; "
            "give it in Python"
        )

    def _what(self) -> str:
        return f"applies the function {self.name}"


@dataclass(frozen=True)
class Control(Edit):
    """The control of an edit: a random change on the same steps, sites, heads and patches, whose norm is, at each step
    and site, the one that the edit's own change would have there. Its aim is the edit's.

    Attributes:
        edit: the edit that it is the control of.
        seed: of the random direction.
    """

    kind: ClassVar[str] = "control"

    edit: Edit
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.edit, Mapping):
            from diffuscope.edits.files import from_json

            object.__setattr__(self, "edit", from_json(self.edit))
        if not isinstance(self.edit, Edit) or isinstance(self.edit, Control):
            raise EditError(f"control: {self.edit!r} is no edit that has a control")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise EditError(f"control: seed={self.seed!r} is no whole number from 0 on")
        mine = (self.steps, self.sites, self.heads, self.patches)
        aim = (self.edit.steps, self.edit.sites, self.edit.heads, self.edit.patches)
        if mine not in (("all", "all", "all", None), aim):
            raise EditError("control: its steps, sites, heads and patches are the edit's own; name none")
        for name, value in zip(("steps", "sites", "heads", "patches"), aim, strict=True):
            object.__setattr__(self, name, value)

    def to_json(self) -> dict[str, Any]:
        return {"edit": self.kind, "of": self.edit.to_json(), "seed": self.seed}

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Self:
        unknown = sorted(given.keys() - {"edit", "of", "seed"})
        if unknown or not isinstance(given.get("of"), Mapping):
            raise EditError("a control reads {'edit': 'control', 'of': {…an edit…}, 'seed': 0}")
        return cls(given["of"], given.get("seed", 0))

    def describe(self) -> str:
        return f"control of: {self.edit.describe()}"


def control(edit: Edit, seed: int = 0) -> Control:
    """The control of an edit, see `Control`.

    Raises:
        EditError: it is none that has a control.
    """
    return Control(edit, seed)


def _aimed(edit: Edit) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, default in (("steps", "all"), ("sites", "all"), ("heads", "all")):
        if getattr(edit, name) != default:
            found[name] = getattr(edit, name)
    if edit.patches is not None:
        found["patches"] = edit.patches.to_json()
    return found
