"""A recorded run drawn again with edits, from the first call that an edit touches.

The ordinary pipeline is started with the run's seed and settings. Until the first call that an edit acts in, the
denoiser's recorded outputs are returned in place of its forward. So noise, scheduler state and guidance build
themselves up as in a full run, for every scheduler, and the denoiser computes only what the edit can change: with an
edit from step k of T on, (T - k) / T of its calls.

A picture that was drawn together with others is drawn in a batch of that size again, since rows round by the size of
their batch; what stands beside it is a copy of itself, which no row's own numbers depend on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import torch

from diffuscope import edits as values
from diffuscope.edits import Edit
from diffuscope.engine.apply import Donor, applied, gathered, needs
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.session import Session
from diffuscope.engine.drawing import Drawing, Progress
from diffuscope.engine.known import Known, as_answer
from diffuscope.engine.lens import Lens
from diffuscope.engine.models.family import DenoiserCall
from diffuscope.engine.models.reopening import rebuild_scheduler
from diffuscope.engine.options import again, described
from diffuscope.engine.order import Wish
from diffuscope.engine.rerun import asked_for, check_model
from diffuscope.errors import CaptureError, EditError, InputError, listed
from diffuscope.recording import Level, Manifest, Recording, RunWriter, layout
from diffuscope.recording.tensors import TensorFile
from diffuscope.run import Run


def replay(
    lens: Lens,
    run: Run | Recording | str | Path,
    *edits: Edit,
    out: str | Path = "runs",
    donors: Mapping[str, Donor | Recording] | None = None,
    full: bool = False,
    previews: bool | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Draw a run again with edits and record it; see `Lens.edit`, which is this with the lens in front. `previews`:
    whether to decode each step's predicted clean image; as the run has them by default."""
    parent = recording_of(run)
    manifest = parent.manifest
    given = given_again(manifest, options)
    check_parent(parent, lens)
    every = own_edits(manifest, edits)
    steps = steps_of_run(manifest)
    mine, together = manifest.sampling.image_index, manifest.sampling.images_per_prompt
    with Patches() as patches:
        patches.replace(lens.pipe, "scheduler", rebuild_scheduler(manifest.sampling.scheduler))
        drawing = drawing_of(lens, manifest, given, together, previews=previews)
        drawing.edits = [each.to_json() for each in every]
        drawing.parent, drawing.only = manifest.id, mine
        start = 0 if full else first_drawn(parent, edits, steps)
        lists = [every if picture == mine else [] for picture in range(together)]
        donated = donors_of(lens, every, steps, donors or {})
        settings = settings_of(manifest, given, steps)
        with applied(lens.pipe, lens.family, lists, donors=donated, **settings) as plan:
            if start:
                known = Known(parent, manifest.steps[:start], together, exact=True)
                known.check()
                drawing.session = functools.partial(Replay, known=known, skip=plan.skip)
            (made,) = drawing.record(out, progress)
    lens.warnings += drawing.warnings
    return made


class Replay(Session):
    """Records runs whose first steps are known from another: their calls are answered with what was recorded.

    Args:
        known: the calls; at least one, and never all of a run.
        skip: told of each call that is not made.
        *args, **kwargs: of `Session`.

    Raises (from within the pipeline's call):
        CaptureError: a latent, a timestep or the number of calls is not as recorded.
    """

    def __init__(self, *args: Any, known: Known, skip: Callable[[DenoiserCall], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known, self._skip = known, skip

    def _watch_denoiser(self) -> None:
        super()._watch_denoiser()
        denoiser = self.family.denoiser(self.pipe)
        forward = denoiser.forward

        @functools.wraps(forward)
        def answered(*args: Any, **kwargs: Any) -> Any:
            if self._calls >= len(self._known):
                return forward(*args, **kwargs)
            return as_answer(self._answer(self.family.call(args, kwargs)), kwargs)

        self._patches.replace(denoiser, "forward", answered)

    def _answer(self, call: DenoiserCall) -> torch.Tensor:
        """The recorded output of a call, whose latent must be the recorded one."""
        step, known = self._known.calls[self._calls]
        timestep = self._timestep(call)
        if not self._steps:
            self._read_timetable(timestep)
        self._skip(call)
        answer = self._known.answer(self._calls, call)
        if self._step != step.index:
            raise CaptureError(
                f"call {known.index} belongs to step {self._step} here and to step {step.index} in the recording"
            )
        self._calls += 1
        return answer

    def _begin(self, call: DenoiserCall, output: torch.Tensor) -> None:
        super()._begin(call, output)
        # What the recording has of the weights and of the text until here is taken over with the steps.
        self._once = [{} for _ in self._once]
        for writer in self.writers:
            if isinstance(writer, RunWriter):
                self._take_over(writer)

    def _take_over(self, writer: RunWriter) -> None:
        """Write the known steps and their text, of what the new run keeps."""
        parent = self._known.parent
        before = self._known.calls[-1][1].index + 1
        kinds = {site.name: site.kind for site in parent.manifest.sites}

        def read(name: str, *, until: int | None = None) -> dict[str, Any]:
            file = TensorFile(parent.path / name, sealed=True)
            calls = {key: layout.split_call(key) or (key, 0) for key in file.keys()}  # noqa: SIM118
            return {
                key: file.read(key)
                for key, (what, call) in calls.items()
                if (until is None or call < until) and _is_kept(what, self.keeping.level, kinds)
            }

        for file in parent.manifest.files:
            if layout.is_text_file(file.path) and (early := read(file.path, until=before)):
                writer.write_text(early)
        steps = list({step.index: step for step, _ in self._known.calls}.values())
        for step in steps:
            there = {file.path for file in step.files}
            name, maps = layout.step_file(step.index), layout.maps_file(step.index)
            seen = TensorFile(parent.path / maps, sealed=True) if maps in there else None
            writer.write_step(
                step.model_copy(update={"files": []}),
                read(name) if name in there else {},
                {key: seen.read(key) for key in seen.keys()} if seen is not None else {},  # noqa: SIM118
            )
        calls = len(self._known)
        writer.event("replay", parent=parent.manifest.id, steps=len(steps), calls=calls)

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


def _is_kept(name: str, level: Level, kinds: Mapping[str, str]) -> bool:
    """Whether a recording of this level has a tensor of this name."""
    what, _, site = name.partition("/")
    cross = kinds.get(site) == "cross"
    match what:
        case "q":
            return level == "qk" or (level == "cross" and cross)
        case "k" | "v":
            return level == "qk" or (level == "cross" and cross)
        case "lse":
            return level == "qk"
        case "mask":
            return level == "qk" or cross
        case "gram":
            return level != "maps"
    return True


# Before anything runs.


def first_drawn(parent: Recording, edits: Sequence[Edit], steps: int) -> int:
    """How many of the recorded steps are taken over. The last is always drawn, so that all is seen once."""
    touched = min((edit.resolve_steps(steps)[0] for edit in edits), default=steps)
    return min(touched, steps - 1, len(parent.manifest.steps))


def steps_of_run(manifest: Manifest) -> int:
    """How many steps a run has, or would have had."""
    return len(manifest.steps) if manifest.complete else manifest.sampling.steps


def own_edits(manifest: Manifest, edits: Sequence[Edit]) -> list[Edit]:
    """The edits that a run was made with, and further ones after them."""
    return [*values.from_json(list(manifest.edits)), *edits]


def settings_of(manifest: Manifest, options: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """What `applied` is told of a run."""
    sampling = manifest.sampling
    return {
        "prompts": sampling.prompt,
        "steps": steps,
        "size": (sampling.height, sampling.width),
        "options": dict(options),
    }


def recording_of(run: Run | Recording | str | Path) -> Recording:
    """The recording that is meant."""
    if isinstance(run, Recording):
        return run
    return run.recording if isinstance(run, Run) else Recording.open(run)


def given_again(manifest: Manifest, given: Mapping[str, Any]) -> dict[str, Any]:
    """The run's options; those of which it holds a checksum must be given again, and be the same.

    Raises:
        InputError: one is missing, or another.
    """
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


def check_parent(parent: Recording, lens: Lens) -> None:
    """Raises InputError if a run cannot be drawn again by this model, and says why."""
    manifest = parent.manifest
    sampling = manifest.sampling
    if sampling.seed is None:
        raise InputError(
            f"run {manifest.id} was drawn with the caller's own generator: its manifest holds no seed"
        )
    if not 0 <= sampling.image_index < sampling.images_per_prompt:
        raise InputError(
            f"the manifest calls the run picture {sampling.image_index} of {sampling.images_per_prompt}, from 0"
        )
    if not manifest.steps:
        raise InputError(f"run {manifest.id} was stopped before its first step was whole: nothing to edit")
    check_model(manifest, lens)


def drawing_of(
    lens: Lens,
    manifest: Manifest,
    options: Mapping[str, Any],
    pictures: int,
    keep: Level | None = None,
    previews: bool | None = None,
) -> Drawing:
    """An order of so many copies of a run, each with the run's own noise, that keeps what the run kept.

    Args:
        lens: the model.
        manifest: of the run.
        options: further arguments of the pipeline's call.
        pictures: how many copies are drawn together.
        keep: a level to keep them at, if not the run's.
        previews: whether to decode each step's predicted clean image; as the run has them by default.
    """
    settings = {**asked_for(manifest), **options}
    names = {"keep_steps": "steps", "keep_heads": "heads"}
    wishes = ("keep", "sites", "keep_steps", "keep_heads", "values", "branch", "store")
    wish = Wish(
        **{names.get(name, name): settings.pop(name) for name in wishes},
        previews=any(file.path.startswith(f"{layout.PREVIEWS}/") for file in manifest.files)
        if previews is None
        else previews,
    )
    if keep is not None:
        wish = changed(wish, keep=keep, values=wish.values and keep == "qk")
    own = ("prompt", "negative_prompt", "steps", "guidance_scale", "width", "height")
    plain = {name: settings.pop(name) for name in own}
    plain |= {"seed": manifest.sampling.seed, "images_per_prompt": pictures}
    del settings["images_per_prompt"], settings["seed"]
    return lens._drawing(wish=wish, options=settings, same_noise=True, **plain)


def donors_of(
    lens: Lens, edits: Sequence[Edit], steps: int, given: Mapping[str, Donor | Recording]
) -> dict[str, Donor]:
    """Donors by name: those given, and those whose run is given or found under their name, drawn once more beside."""
    found = {name: donor for name, donor in given.items() if isinstance(donor, Donor)}
    for name, needed in needs(lens.pipe, lens.family, list(edits), steps).items():
        if name in found:
            continue
        run = given.get(name)
        donor = run if isinstance(run, Recording) else Recording.open(name)
        manifest = donor.manifest
        check_parent(donor, lens)
        if manifest.edits:
            raise EditError(
                f"the donor {name} was made with edits; a donor is a plain run, or given as a `Donor`"
            )
        if len(manifest.steps) != steps:
            raise EditError(
                f"the donor {name} has {len(manifest.steps)} steps and the run {steps}: a donor has as many"
            )
        with Patches() as patches:
            patches.replace(lens.pipe, "scheduler", rebuild_scheduler(manifest.sampling.scheduler))
            together, mine = manifest.sampling.images_per_prompt, manifest.sampling.image_index
            drawing = drawing_of(lens, manifest, given_again(manifest, {}), together)
            found[name] = gathered(
                lens.pipe, lens.family, drawing.call, needed, name=name, pictures=together, picture=mine
            )
    return found
