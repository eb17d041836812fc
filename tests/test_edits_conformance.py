"""Every edit conforms on every family that it acts on, and the suite that says so finds what is planted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
from explicit_edits import arguments, tiny

from diffuscope.edits import Custom, Encode, Inject, Patch, Reprompt, Reweight, Scale, Silence, Steer, control
from diffuscope.engine.apply import at_kernel, following, places
from diffuscope.engine.capture.patches import Patches
from diffuscope.testing.edit_conformance import CHECKS, EditConformanceError, Trial, conform_edit, failing

EDITS: dict[str, tuple[Any, bool]] = {
    "scale": (lambda s, steps: Scale(1 + s, steps=steps, patches="box:4,2,21,13"), True),
    "patch": (lambda s, steps: Patch("donor", s, steps=steps), True),
    "reweight": (lambda s, steps: Reweight("cat", 1 + s, steps=steps), True),
    "reweight logits": (lambda s, steps: Reweight("cat", 1 + s, of="logits", steps=steps), True),
    "reweight odds": (lambda s, steps: Reweight("cat", 1 + s, of="odds", steps=steps), True),
    "silence": (lambda s, steps: Silence("cat", steps=steps), False),
    "reprompt": (lambda s, steps: Reprompt("a dog", steps=steps), False),
    "steer": (lambda s, steps: Steer("dog", word="cat", strength=s, steps=steps), True),
    "steer tokens": (
        lambda s, steps: Steer("red dog", word="cat", strength=s, space="tokens", steps=steps),
        True,
    ),
    "steer guidance": (lambda s, steps: Steer("dog", strength=s, space="guidance", steps=steps), True),
    "custom": (lambda s, steps: Custom(lambda q, k, v, out, context: (1 + s) * out, steps=steps), True),
    "control": (lambda s, steps: control(Scale(1 + s, steps=steps)), True),
    "control of a text": (lambda s, steps: control(Steer("dog", strength=s, steps=steps)), True),
}
CROSS: dict[str, tuple[Any, bool]] = {
    "encode": (lambda s, steps: Encode("a dog", s, steps=steps), True),
    "inject cross": (lambda s, steps: Inject("donor", "cross", s, steps=steps), True),
    "inject self": (lambda s, steps: Inject("donor", "self", s, steps=steps), True),
    "reprompt heads": (lambda s, steps: Reprompt("a dog", heads="0", steps=steps), False),
    "steer heads": (lambda s, steps: Steer("dog", word="cat", strength=s, heads="0", steps=steps), True),
}
ALSO = ("scale", "reweight odds", "reprompt", "steer", "steer guidance")
JOINT: dict[str, tuple[Any, bool]] = {
    "inject joint": (lambda s, steps: Inject("donor", "joint", s, steps=steps), True),
}


def call(family: str) -> dict[str, Any]:
    return {"height": 16, "width": 32, **arguments(family)}


@pytest.mark.parametrize(
    ("family", "name"),
    [("sd15", name) for name in (*EDITS, *CROSS)] + [("flux", name) for name in (*ALSO, *JOINT)],
)
def test_the_edit_conforms(family: str, name: str) -> None:
    make, fades = {**EDITS, **CROSS, **JOINT}[name]
    conform_edit(tiny(family), make, fades=fades, **call(family))


@contextmanager
def every_row() -> Iterator[None]:
    """Edits act on unconditional rows too."""
    true = following.Moment.__post_init__

    def fault(self: Any) -> None:
        true(self)
        self.pictures = (0,) * len(self.labels)

    with mock.patch.object(following.Moment, "__post_init__", fault):
        yield


@contextmanager
def every_step() -> Iterator[None]:
    """Windows are not kept."""
    with mock.patch("diffuscope.edits.base.Edit.resolve_steps", lambda self, n: tuple(range(n))):
        yield


@contextmanager
def a_step_early() -> Iterator[None]:
    """Steps are counted from 1."""
    true = following.Following.begin

    def fault(self: Any, given: Any) -> Any:
        moment = true(self, given)
        moment.step += 1
        return moment

    with mock.patch.object(following.Following, "begin", fault):
        yield


@contextmanager
def idle() -> Iterator[None]:
    """What an edit makes is thrown away."""
    with mock.patch.object(places.Place, "blend", lambda self, out, new, strength=1.0: out):
        yield


@contextmanager
def left_behind() -> Iterator[None]:
    """What was put on stays on."""
    true = at_kernel.Stand.install

    def fault(self: Any, _patches: Patches) -> None:
        true(self, forgotten)

    forgotten = Patches()
    try:
        with mock.patch.object(at_kernel.Stand, "install", fault):
            yield
    finally:
        forgotten.__exit__(None, None, None)


@contextmanager
def whole_strength() -> Iterator[None]:
    """Strength is not looked at."""
    true = places.Place.blend
    with mock.patch.object(
        places.Place, "blend", lambda self, out, new, strength=1.0: true(self, out, new * 2)
    ):
        yield


@contextmanager
def dice() -> Iterator[None]:
    """What comes out is another thing each time."""
    true = places.Place.blend

    def fault(self: Any, out: torch.Tensor, new: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
        return true(self, out, new + 0.1 * torch.randn_like(new), strength)

    with mock.patch.object(places.Place, "blend", fault):
        yield


FAULTS = {
    every_row: "other rows",
    every_step: "window",
    a_step_early: "window",
    idle: "acts",
    left_behind: "no trace",
    whole_strength: "fades",
    dice: "again",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_every_fault_is_found(fault: Any) -> None:
    trial = Trial(tiny("sd15"), lambda s, steps: Scale(1 + s, steps=steps), True, call("sd15"))
    with fault():
        assert FAULTS[fault] in failing(trial)


def test_an_edit_that_does_not_conform_is_told_why() -> None:
    with pytest.raises(EditConformanceError, match="acts: it does nothing"):
        conform_edit(tiny("sd15"), lambda s, steps: Scale(1.0, steps=steps), **call("sd15"))


def test_every_check_says_what_holds() -> None:
    assert all((check.__doc__ or "").strip() for check in CHECKS.values())
