"""Replacing attributes of live objects for a while, and leaving no trace of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

_ABSENT = object()


class Patches:
    """A context in which attributes of objects are replaced; leaving it restores each, last first.

    What is restored is the exact former state: an attribute that came from the class, and so was not in the object's
    own dictionary, is deleted again rather than written back as a copy. Leaving happens on any exception, Ctrl-C
    included, because it is the `with` statement that guarantees it and not a hook.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Set `owner.name` to `value` until the context is left."""
        before = vars(owner).get(name, _ABSENT)
        # Not setattr: torch modules would register a module or parameter under that name.
        self.do(
            functools.partial(vars(owner).__setitem__, name, value),
            functools.partial(_put_back, owner, name, before),
        )

    def do(self, change: Callable[[], None], undo: Callable[[], None]) -> None:
        """Make a change until the context is left. `undo` must do no harm where `change` was not made or was undone."""
        # Noted before it is done: whatever interrupts between the two is put back.
        self._undo.append(undo)
        change()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C while things are put back must not leave the rest installed: begun again, it does no harm.
        try:
            self._restore()
        finally:
            self._restore()

    def _restore(self) -> None:
        while self._undo:
            self._undo[-1]()
            self._undo.pop()


def _put_back(owner: Any, name: str, before: Any) -> None:
    if before is _ABSENT:
        vars(owner).pop(name, None)
    else:
        vars(owner)[name] = before
