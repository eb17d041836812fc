"""A recorded run drawn again with edits, from the first call that an edit touches.

The ordinary pipeline is started with the run's seed and settings. Until the first call that an edit acts in, the
denoiser's recorded outputs are returned in place of its forward. So noise, scheduler state and guidance build
themselves up as in a full run, for every scheduler, and the denoiser computes only what the edit can change: with an
edit from step k of T on, (T - k) / T of its calls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffuscope import edits as values
from diffuscope.edits import Edit
from diffuscope.engine.apply import Donor, applied, gathered, needs
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.session import Session
from diffuscope.engine.drawing import Drawing, Progress
from diffuscope.engine.lens import Lens
from diffuscope.engine.models.family import DenoiserCall
from diffuscope.engine.models.reopening import rebuild_scheduler
from diffuscope.engine.options import again, described
from diffuscope.engine.order import Wish
from diffuscope.engine.rerun import asked_for, check_model
from diffuscope.errors import CaptureError, EditError, InputError, listed
from diffuscope.recording import Call, Manifest, Recording, Step, layout
from diffuscope.recording.tensors import TensorFile
from diffuscope.run import Run


def replay(
    lens: Lens,
    run: Run | Recording | str | Path,
    *edits: Edit,
    out: str | Path = "runs",
    donors: Mapping[str, Donor] | None = None,
    full: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Draw a run again with edits and record it; see `Lens.edit`, which is this with the lens in front."""
    parent = _recording(run)
    manifest = parent.manifest
    given = _options(manifest, options)
    _check(parent, lens)
    every = [*values.from_json(list(manifest.edits)), *edits]
    steps = len(manifest.steps) if manifest.complete else manifest.sampling.steps
    asked = {**asked_for(manifest), **given}
    with Patches() as patches:
        patches.replace(lens.pipe, "scheduler", rebuild_scheduler(manifest.sampling.scheduler))
        drawing = _drawing(lens, asked, manifest)
        drawing.edits = [each.to_json() for each in every]
        drawing.parent = manifest.id
        start = 0 if full else _start(parent, edits, steps)
        settings = {
            "prompts": manifest.sampling.prompt,
            "steps": steps,
            "size": (manifest.sampling.height, manifest.sampling.width),
            "options": given,
        }
        donated = _donors(lens, every, steps, donors or {})
        with applied(lens.pipe, lens.family, every, donors=donated, **settings) as plan:
            if start:
                drawing.session = functools.partial(
                    Replay, parent=parent, steps=manifest.steps[:start], skip=plan.skip
                )
            (made,) = drawing.record(out, progress)
    lens.warnings += drawing.warnings
    return made


class Replay(Session):
    """Records a run whose first steps are known from another: their calls are answered with what was recorded.

    Args:
        parent: the run that has them.
        steps: its steps that are not computed again; at least one, and never all of a run.
        skip: told of each call that is not made.
        *args, **kwargs: of `Session`.

    Raises (from within the pipeline's call):
        CaptureError: a latent, a timestep or the number of calls is not as recorded.
    """

    def __init__(
        self,
        *args: Any,
        parent: Recording,
        steps: list[Step],
        skip: Callable[[DenoiserCall], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._parent, self._known, self._skip = parent, steps, skip
        self._answers: list[tuple[Step, Call]] = [(step, call) for step in steps for call in step.calls]

    def _watch_denoiser(self) -> None:
        super()._watch_denoiser()
        denoiser = self.family.denoiser(self.pipe)
        forward = denoiser.forward

        @functools.wraps(forward)
        def answered(*args: Any, **kwargs: Any) -> Any:
            if self._calls >= len(self._answers):
                return forward(*args, **kwargs)
            sample = self._answer(self.family.call(args, kwargs))
            return _Answer(sample) if kwargs.get("return_dict", True) else (sample,)

        self._patches.replace(denoiser, "forward", answered)

    def _answer(self, call: DenoiserCall) -> torch.Tensor:
        """The recorded output of a call, whose latent must be the recorded one."""
        step, known = self._answers[self._calls]
        timestep = self._timestep(call)
        if not self._steps:
            self._read_timetable(timestep)
        self._skip(call)
        self._compare("latent", call.sample, self._parent.latent(step.index, known.index), known)
        if self._step != step.index:
            raise CaptureError(
                f"call {known.index} belongs to step {self._step} here and to step {step.index} in the recording"
            )
        self._calls += 1
        output = self._parent.output(step.index, known.index)
        return _tensor(output, call.sample)

    def _compare(self, what: str, here: torch.Tensor, recorded: Any, known: Call) -> None:
        there = _tensor(recorded, here)
        if here.shape == there.shape and torch.equal(here, there):
            return
        apart = (
            f"differ by up to {float((here.double() - there.double()).abs().max()):.2g}"
            if here.shape == there.shape
            else f"have shapes {list(here.shape)} and {list(there.shape)}"
        )
        raise CaptureError(
            f"the run cannot be continued from its recording: the {what} that goes into call {known.index} here and "
            f"the recorded one {apart}; another device, type, library version or number of threads does that. "
            "Draw all of it again (full=True, --full)"
        )

    def _begin(self, call: DenoiserCall, output: torch.Tensor) -> None:
        super()._begin(call, output)
        # What the recording has of the weights and of the text until here is taken over with the steps.
        self._once = [{} for _ in self._once]
        before = self._answers[-1][1].index + 1
        (writer,) = self.writers
        parent = self._parent
        for file in parent.manifest.files:
            if layout.is_text_file(file.path):
                texts = TensorFile(parent.path / file.path, sealed=True)
                early = [key for key in texts.keys() if (layout.split_call(key) or ("", 0))[1] < before]  # noqa: SIM118
                writer.write_text({key: texts.read(key) for key in early})
        for step in self._known:
            found: dict[str, dict[str, Any]] = {}
            for name in (layout.step_file(step.index), layout.maps_file(step.index)):
                there = any(file.path == name for file in step.files)
                kept = TensorFile(parent.path / name, sealed=True) if there else None
                found[name] = {key: kept.read(key) for key in kept.keys()} if kept is not None else {}  # noqa: SIM118
            writer.write_step(step.model_copy(update={"files": []}), *found.values())
        calls = len(self._answers)
        writer.event("replay", parent=parent.manifest.id, steps=len(self._known), calls=calls)

    def _stepped(self, clean: torch.Tensor, level: Any) -> None:
        if self.writers:
            super()._stepped(clean, level)
            return
        entry = self._first_entry + self._entry
        self._entry += 1
        first, last = self._steps[self._first_entry], self._steps[-1]
        whole = entry + 1 == len(self._steps) or self._steps[entry + 1] != self._steps[entry]
        if whole and self.progress is not None:
            self.progress(self._steps[entry] - first + 1, last - first + 1)


class _Answer(dict[str, Any]):
    """What a denoiser returns: the output by its name, and first."""

    def __init__(self, sample: torch.Tensor) -> None:
        super().__init__(sample=sample)
        self.sample = sample

    def __getitem__(self, key: Any) -> Any:
        return self.sample if key == 0 else super().__getitem__(key)


def _tensor(array: Any, like: torch.Tensor) -> torch.Tensor:
    """A recorded tensor in the type in which it was recorded, which a wider one holds exactly on the way."""
    return torch.from_numpy(np.array(array, np.float32)).to(device=like.device, dtype=like.dtype)


# Before anything runs.


def _start(parent: Recording, edits: tuple[Edit, ...], steps: int) -> int:
    """How many of the recorded steps are taken over. The last is always drawn, so that all is seen once."""
    manifest = parent.manifest
    if manifest.sites and any(site.kind == "joint" for site in manifest.sites) and _packed(manifest):
        # Flux's latents are stored as they are looked at, not as they go through the model.
        return 0
    touched = min((edit.resolve_steps(steps)[0] for edit in edits), default=steps)
    return min(touched, steps - 1, len(manifest.steps))


def _packed(manifest: Manifest) -> bool:
    return manifest.model.family == "flux"


def _recording(run: Run | Recording | str | Path) -> Recording:
    if isinstance(run, Recording):
        return run
    return run.recording if isinstance(run, Run) else Recording.open(run)


def _options(manifest: Manifest, given: Mapping[str, Any]) -> dict[str, Any]:
    """The run's options; those of which it holds a checksum must be given again, and be the same."""
    recorded = manifest.sampling.options
    lost = again(recorded)[1]
    missing = [name for name in lost if name not in given]
    if missing:
        raise InputError(
            f"run {manifest.id} was drawn with {listed(missing)}, of which its manifest holds a checksum only: "
            "give it again as an argument"
        )
    other = [name for name, value in described(given).items() if recorded.get(name) != value]
    if other:
        raise InputError(f"{listed(other)} is not what run {manifest.id} was drawn with")
    return {**again(recorded)[0], **given}


def _check(parent: Recording, lens: Lens) -> None:
    manifest = parent.manifest
    sampling = manifest.sampling
    if sampling.seed is None:
        raise InputError(
            f"run {manifest.id} was drawn with the caller's own generator: its manifest holds no seed"
        )
    if sampling.images_per_prompt > 1:
        raise InputError(
            f"run {manifest.id} is one of {sampling.images_per_prompt} pictures that were drawn together, and rows of "
            "a batch round differently alone: record it by itself, with its own seed, and edit that"
        )
    if not manifest.steps:
        raise InputError(f"run {manifest.id} was stopped before its first step was whole: nothing to edit")
    check_model(manifest, lens)


def _drawing(lens: Lens, asked: Mapping[str, Any], manifest: Manifest) -> Drawing:
    settings = dict(asked)
    names = {"keep_steps": "steps", "keep_heads": "heads"}
    wishes = ("keep", "sites", "keep_steps", "keep_heads", "values", "branch", "store")
    wish = Wish(
        **{names.get(name, name): settings.pop(name) for name in wishes},
        previews=any(file.path.startswith(f"{layout.PREVIEWS}/") for file in manifest.files),
    )
    own = (
        "prompt",
        "negative_prompt",
        "seed",
        "steps",
        "guidance_scale",
        "width",
        "height",
        "images_per_prompt",
    )
    plain = {name: settings.pop(name) for name in own}
    return lens._drawing(wish=wish, options=settings, **plain)


def _donors(lens: Lens, edits: list[Edit], steps: int, given: Mapping[str, Donor]) -> dict[str, Donor]:
    """Donors by name: those given, and those whose run is found under their name, drawn once more beside."""
    found = dict(given)
    for name, needed in needs(lens.pipe, lens.family, edits, steps).items():
        if name in found:
            continue
        donor = Recording.open(name)
        _check(donor, lens)
        if len(donor.manifest.steps) != steps:
            raise EditError(
                f"the donor {name} has {len(donor.manifest.steps)} steps and the run {steps}: a donor has as many"
            )
        asked = {**asked_for(donor.manifest), **_options(donor.manifest, {})}
        with Patches() as patches:
            patches.replace(lens.pipe, "scheduler", rebuild_scheduler(donor.manifest.sampling.scheduler))
            drawing = _drawing(lens, asked, donor.manifest)
            found[name] = gathered(lens.pipe, lens.family, drawing.call, needed, name=name)
    return found
