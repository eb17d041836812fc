"""Writers: who makes sentences of claims. One contract; `diffuscope.testing.writers` has what each must pass."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from diffuscope.errors import InputError
from diffuscope.explain.brief import Brief, Draft
from diffuscope.explain.builtin import BuiltIn

NAMES = ("builtin", "openai")
"""Writers that are called by a name."""


@runtime_checkable
class Writer(Protocol):
    """Makes sentences of claims.

    A writer need not be trusted: what it hands back is checked sentence by sentence (`diffuscope.explain.checking`),
    and where it fails the built-in text stands in its place.

    Attributes:
        name: what a reader is told of who wrote.
    """

    name: str

    def write(self, brief: Brief) -> Draft:
        """Sentences for the parts that the brief wants, each with the ids of the claims that it says.

        Raises:
            WriterError: it cannot write; nothing else.
        """


def find_writer(writer: Writer | str) -> Writer:
    """A writer by its name, or the one that is given.

    Raises:
        InputError: there is none of that name, or `openai` is not told which model to ask.
        MissingExtraError: the `openai` client is not installed.
    """
    if not isinstance(writer, str):
        return writer
    if writer == "builtin":
        return BuiltIn()
    if writer == "openai":
        from diffuscope.explain.endpoint import Endpoint

        return Endpoint.from_environment()
    raise InputError(f"there is no writer {writer!r}; there are: {', '.join(NAMES)}")
