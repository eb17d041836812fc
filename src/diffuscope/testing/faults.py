"""Faults that a recording could have without an error, planted to see that the conformance checks find them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from diffuscope.engine.capture import patches, rows, tap, watch
from diffuscope.engine.capture.tap import Attended
from diffuscope.engine.models import tokens

Plant = Callable[[ExitStack], None]


@dataclass(frozen=True)
class Fault:
    """A fault: `what` in words, and `plant`, which puts it in until the stack is left."""

    what: str
    plant: Plant

    @contextmanager
    def planted(self) -> Iterator[None]:
        """With the fault in the package."""
        with ExitStack() as stack:
            self.plant(stack)
            yield


def _instead(stack: ExitStack, function: Any, fault: Any) -> None:
    """`fault` in place of a function of the package, wherever it was imported to."""
    for name, module in list(sys.modules.items()):
        if name.startswith("diffuscope.engine"):
            for attribute, value in list(vars(module).items()):
                if value is function:
                    stack.enter_context(mock.patch.object(module, attribute, fault))


def _attended(change: Callable[[Attended], Attended]) -> Plant:
    """A fault in what the tap hands on of an attention call."""

    def plant(stack: ExitStack) -> None:
        original = tap._attended
        _instead(stack, original, lambda *args, **kwargs: change(original(*args, **kwargs)))

    return plant


def _other_half(stack: ExitStack) -> None:
    read = rows.RowReader.read

    def fault(self: Any, *args: Any, **kwargs: Any) -> Any:
        labels, found = read(self, *args, **kwargs)
        half = len(labels) // 2
        if len(set(labels)) == 1:
            # Without guidance there is no other half: the pictures are exchanged.
            return labels, found[::-1]
        return labels[half:] + labels[:half], [row - half for row in found]

    stack.enter_context(mock.patch.object(rows.RowReader, "read", fault))


def _call_before(stack: ExitStack) -> None:
    original = tap.tap

    def fault(place: Any, module: Any, site: str, see: Any, **options: Any) -> None:
        before: list[Attended] = []

        def late(name: str, seen: Attended) -> None:
            before.append(seen)
            see(name, before[-2] if len(before) > 1 else seen)

        original(place, module, site, late, **options)

    _instead(stack, original, fault)


def _unchecked(stack: ExitStack) -> None:
    def fault(self: Any, call: int) -> None:
        self.sites = tuple(site for site in self.sites if site.name in self.seen)

    stack.enter_context(mock.patch.object(watch.SiteWatch, "check", fault))


def _one_off(stack: ExitStack) -> None:
    original = tokens.read_prompt

    def fault(*args: Any) -> Any:
        text = original(*args)
        last = text.length - 1
        moved = [
            word.model_copy(update={"tokens": [min(at + 1, last) for at in word.tokens]})
            for word in text.words
        ]
        return text.model_copy(update={"words": moved})

    _instead(stack, original, fault)


def _hooks_stay(stack: ExitStack) -> None:
    left: list[patches.Patches] = []
    leave = patches.Patches.__exit__

    def stay(self: patches.Patches, *_: object) -> None:
        left.append(self)

    def take_off() -> None:
        # Some of it is the whole process's: torch's attention function.
        for each in reversed(left):
            leave(each, None, None, None)

    stack.callback(take_off)
    stack.enter_context(mock.patch.object(patches.Patches, "__exit__", stay))


def _shifted(seen: Attended) -> Attended:
    return replace(seen, query=seen.query.roll(1, -2))


FAULTS: tuple[Fault, ...] = (
    Fault("another row is taken for the conditional one", _other_half),
    Fault(
        "heads are in reverse order",
        _attended(lambda seen: replace(seen, query=seen.query.flip(1), key=seen.key.flip(1))),
    ),
    Fault("keys are those of the next head", _attended(lambda seen: replace(seen, key=seen.key.roll(1, 1)))),
    Fault("the scale is left out", _attended(lambda seen: replace(seen, scale=1.0))),
    Fault("queries are one cell off", _attended(_shifted)),
    Fault(
        "queries and keys pass through float16",
        _attended(
            lambda seen: replace(
                seen, query=seen.query.half().to(seen.query.dtype), key=seen.key.half().to(seen.key.dtype)
            )
        ),
    ),
    Fault("attention is that of the call before", _call_before),
    Fault("a site that goes around the kernel is passed over", _unchecked),
    Fault("words are one token off", _one_off),
    Fault("hooks are never taken out", _hooks_stay),
)
"""Each strikes any family."""
