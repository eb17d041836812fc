"""What every edit must pass on every family that it acts on, for those who add one.

    from diffuscope.testing.edit_conformance import conform_edit

    def test_my_edit():
        conform_edit(my_pipeline, lambda strength, steps: MyEdit(1 + strength, steps=steps), height=64, width=96)

What an edit does at its full strength is its own affair, and is tested against a plain computation of its own. Here is
what all have in common: they act, in their window and nowhere else; they leave rows alone that are not theirs; they
fade to nothing; they leave no trace; they are values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional

from diffuscope.edits import Control, Custom, Edit, from_json
from diffuscope.engine.apply import Donor, applied, gathered, needs
from diffuscope.engine.lens import Lens

PROMPT, OTHER = "a red cat", "a dog"
STEPS = 3
STRENGTHS = (1e-2, 1e-3)
"""Of which the second must change the picture less, by a factor of at least `FADES`."""
FADES = 3.0

Make = Callable[[float, str], Edit]
"""The edit of a strength, at steps: 0 changes nothing, 1 is its full strength."""


class EditConformanceError(AssertionError):
    """An edit is not what it must be."""


@dataclass
class Trial:
    """An edit, a pipeline, and how it is drawn.

    Attributes:
        pipe: the pipeline.
        make: see `Make`.
        fades: whether the edit has a strength; a text is there or not.
        call: arguments of the pipeline's call.
        outputs: of the denoiser, in the drawing before.
        known: drawings that several checks look at: latents, and outputs of the denoiser.
    """

    pipe: Any
    make: Make
    fades: bool
    call: dict[str, Any]
    outputs: list[torch.Tensor] = field(default_factory=list)
    known: dict[str, tuple[torch.Tensor, list[torch.Tensor]]] = field(default_factory=dict)

    def once(self, name: str, *edits: Edit) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """A drawing that is made once: latents, and outputs of the denoiser."""
        if name not in self.known:
            self.known[name] = (self.draw(*edits), list(self.outputs))
        return self.known[name]

    @property
    def plain(self) -> torch.Tensor:
        """Drawn without edits."""
        return self.once("plain")[0]

    @property
    def full(self) -> torch.Tensor:
        """Drawn with the edit throughout, at full strength."""
        return self.once("full", self.make(1.0, "all"))[0]

    def draw(self, *edits: Edit, prompt: str = PROMPT, stop: BaseException | None = None) -> torch.Tensor:
        """The latents, drawn with edits; `stop` is raised after the second step."""
        lens = Lens(self.pipe)
        options = {
            name: value
            for name, value in self.call.items()
            if name not in ("height", "width", "guidance_scale")
        }
        size = (self.call["height"], self.call["width"])

        def between(_pipe: Any, step: int, *_: Any) -> dict[str, Any]:
            if stop is not None and step == 1:
                raise stop
            return {}

        self.outputs.clear()
        handle = lens.family.denoiser(self.pipe).register_forward_hook(
            lambda _m, _a, out: self.outputs.append(
                (out[0] if isinstance(out, tuple) else out.sample).clone()
            )
        )
        try:
            donors = self._donors(lens, edits)
            self.outputs.clear()
            with applied(
                self.pipe,
                lens.family,
                edits,
                prompts=prompt,
                steps=STEPS,
                size=size,
                donors=donors,
                options=options,
            ):
                return self._call(prompt, 0, callback_on_step_end=between)
        finally:
            handle.remove()

    def _call(self, prompt: str, seed: int, **further: Any) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        if "callback_on_step_end" not in self.pipe.__call__.__annotations__:
            further.pop("callback_on_step_end", None)
        made: torch.Tensor = self.pipe(
            prompt,
            num_inference_steps=STEPS,
            generator=generator,
            output_type="latent",
            **self.call,
            **further,
        ).images
        return made

    def _donors(self, lens: Lens, edits: tuple[Edit, ...]) -> Mapping[str, Donor]:
        wanted = needs(self.pipe, lens.family, edits, STEPS)
        return {
            name: gathered(self.pipe, lens.family, lambda: self._call(OTHER, 3), each, name=name)
            for name, each in wanted.items()
        }


def conform_edit(pipe: Any, make: Make, *, fades: bool = True, **call: Any) -> None:
    """Run every check on an edit.

    Args:
        pipe: a small pipeline with peaked attention, in float64 where its strengths are to be told apart exactly.
        make: see `Make`. Donors that it names are drawn by the same pipeline, of another prompt and noise.
        fades: whether the edit has a strength.
        **call: further arguments of the pipeline's call; `height` and `width` among them.

    Raises:
        EditConformanceError: a check failed; it names it, and all others that did.
    """
    failed = failing(Trial(pipe, make, fades, call))
    if failed:
        raise EditConformanceError("; ".join(f"{name}: {why}" for name, why in failed.items()))


def failing(trial: Trial) -> dict[str, str]:
    """The checks that fail, and why."""
    found = {}
    for name, check in CHECKS.items():
        try:
            check(trial)
        except EditConformanceError as error:
            found[name] = str(error)
    return found


def _expect(holds: bool, why: str) -> None:
    if not holds:
        raise EditConformanceError(why)


def check_acts(trial: Trial) -> None:
    """At full strength the picture is another one."""
    plain, edited = trial.plain, trial.full
    _expect(bool(torch.isfinite(edited).all()), "the picture holds NaN or infinity")
    _expect(float((edited - plain).norm()) > 1e-6 * float(plain.norm()), "it does nothing")


def check_window(trial: Trial) -> None:
    """Before its window, the denoiser gives what it gives without it, bit for bit; in it, something else."""
    plain = trial.once("plain")[1]
    trial.draw(trial.make(1.0, "2"))
    edited = trial.outputs
    _expect(len(plain) == len(edited), "another number of calls")
    calls = len(plain) // STEPS
    same = [torch.equal(one, other) for one, other in zip(plain, edited, strict=True)]
    _expect(all(same[: 2 * calls]), "it acts before its window")
    _expect(not all(same[2 * calls : 3 * calls]), "it does not act in its window")


def check_other_rows(trial: Trial) -> None:
    """Rows that are not conditional come out of the first call that it acts in as they were."""
    plain = trial.once("plain")[1][0]
    rows = len(plain)
    if rows > 1:
        trial.draw(trial.make(1.0, "0"))
        edited = trial.outputs[0]
        _expect(torch.equal(plain[: rows // 2], edited[: rows // 2]), "unconditional rows are changed")


def check_fades(trial: Trial) -> None:
    """A tenth of the strength changes the picture by much less."""
    if not trial.fades:
        return
    plain = trial.plain
    large, small = (float((trial.draw(trial.make(each, "all")) - plain).norm()) for each in STRENGTHS)
    _expect(
        0 < small * FADES < large, f"strengths {STRENGTHS} change the picture by {large:.3g} and {small:.3g}"
    )


def check_no_trace(trial: Trial) -> None:
    """Afterwards nothing of it is left in the pipeline, after an error and Ctrl-C too."""
    before, plain = _installed(trial.pipe), trial.plain
    for stop in (None, RuntimeError("stop"), KeyboardInterrupt()):
        try:
            trial.draw(trial.make(1.0, "all"), stop=stop)
        except (RuntimeError, KeyboardInterrupt) as error:
            if error is not stop:
                raise
        _expect(_installed(trial.pipe) == before, f"something is left installed after {stop!r}")
    _expect(torch.equal(trial.draw(), plain), "the picture is another one afterwards")


def check_again(trial: Trial) -> None:
    """Applied twice, it draws the same picture twice, bit for bit."""
    _expect(torch.equal(trial.draw(trial.make(1.0, "all")), trial.full), "it draws another picture each time")


def check_beside(trial: Trial) -> None:
    """Beside its own opposite number, an edit that does nothing, it is what it is alone."""
    edit, nothing = trial.make(1.0, "all"), Custom(lambda q, k, v, out, context: out)
    alone = trial.full
    for pair in ((nothing, edit), (edit, nothing)):
        made = trial.draw(*pair)
        bound = 1e-3 if made.dtype != torch.float64 else 1e-9
        _expect(
            float((made - alone).norm()) <= bound * float(alone.norm()),
            "beside an idle edit it acts otherwise",
        )


def check_value(trial: Trial) -> None:
    """It is a value: equal to its like, hashable, one line of English, and JSON and back."""
    edit, again = trial.make(1.0, "0:2"), trial.make(1.0, "0:2")
    line = edit.describe()
    _expect(bool(line.strip()) and "\n" not in line, "it is not described in one line")
    inner = edit.edit if isinstance(edit, Control) else edit
    if isinstance(inner, Custom):
        return
    _expect(edit == again and hash(edit) == hash(again), "two of it are not equal")
    _expect(from_json(json.loads(json.dumps(edit.to_json()))) == edit, "it does not survive JSON")


CHECKS: dict[str, Callable[[Trial], None]] = {
    "acts": check_acts,
    "window": check_window,
    "other rows": check_other_rows,
    "fades": check_fades,
    "no trace": check_no_trace,
    "again": check_again,
    "beside": check_beside,
    "value": check_value,
}
"""What holds of every edit. The first sentence of each says what."""


def _installed(pipe: Any) -> dict[str, Any]:
    """What is installed in a pipeline and at the kernel."""
    found: dict[str, Any] = {
        "kernel": id(functional.scaled_dot_product_attention),
        "modes": torch._C._len_torch_function_stack(),
    }
    owners: dict[str, Any] = {
        "pipe": pipe,
        **{name: part for name, part in pipe.components.items() if part is not None},
    }
    for name, part in list(owners.items()):
        if isinstance(part, torch.nn.Module):
            owners |= {f"{name}.{path}": module for path, module in part.named_modules()}
    for name, owner in owners.items():
        found |= {f"{name}.{key}": id(value) for key, value in vars(owner).items() if callable(value)}
    return found
