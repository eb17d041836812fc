"""Sweeps: many variations of one recorded run, drawn a batch at a time.

Each batch holds the run once without the variations, so that every effect is a difference between two rows that were
computed in the same way, and starts from the recorded outputs of the denoiser up to the first call that one of its
variations touches. Variations that start late are drawn together, since they cost less.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from diffuscope.analysis.sweeps import SweepFolder, Swept, key_of
from diffuscope.edits import Edit
from diffuscope.engine.apply import Applying, Donor, applied
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.drawing import Drawing, Progress
from diffuscope.engine.known import Known, as_answer
from diffuscope.engine.lens import Lens
from diffuscope.engine.models.refusals import refuse_state
from diffuscope.engine.models.reopening import rebuild_scheduler
from diffuscope.engine.replay import (
    Replay,
    check_parent,
    donors_of,
    drawing_of,
    first_drawn,
    given_again,
    own_edits,
    recording_of,
    settings_of,
    steps_of_run,
)
from diffuscope.errors import CaptureError, EditError, InputError
from diffuscope.recording import Level, Recording
from diffuscope.run import Run

KeepSwept = Literal["none", "maps", "cross", "qk"]

LARGEST_BATCH = 16
BATCH_CELLS = LARGEST_BATCH * 64 * 64
"""Pictures of a batch where none are named: as many as have so many cells of the latent together, 16 at most."""


def sweep(
    lens: Lens,
    run: Run | Recording | str | Path,
    edits: Iterable[Edit | Sequence[Edit]],
    *,
    batch: int | None = None,
    keep: KeepSwept = "none",
    out: str | Path | None = None,
    donors: Mapping[str, Donor | Recording] | None = None,
    full: bool = False,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
    **options: Any,
) -> Iterator[Swept]:
    """Draw many variations of a run; see `Lens.sweep`, which is this with the lens in front."""
    parent = recording_of(run)
    manifest = parent.manifest
    items = [_item(each) for each in edits]
    given = given_again(manifest, options)
    check_parent(parent, lens)
    if batch is not None and (isinstance(batch, bool) or batch < 2):
        raise InputError(
            f"batch={batch}: a batch has the unedited picture and a variation at least, so 2 or more"
        )
    if keep not in get_args(KeepSwept):
        raise InputError(f"keep={keep!r} is unknown; it is one of {', '.join(get_args(KeepSwept))}")
    if keep != "none" and out is None:
        raise InputError(f"keep={keep!r} records every variation: say into which folder with out=")
    refuse_state(lens.pipe, lens.family.denoiser(lens.pipe), lens.family.sites(lens.pipe))
    steps = steps_of_run(manifest)
    starts = [0 if full else first_drawn(parent, item, steps) for item in items]
    levels = get_args(Level)
    if keep != "none" and any(starts) and levels.index(keep) > levels.index(manifest.keep.level):
        raise InputError(
            f"run {manifest.id} was kept at {manifest.keep.level!r}, and the steps that are taken over from it hold no "
            f"more: keep={manifest.keep.level!r}, or draw all steps anew with full=True"
        )
    Known(parent, manifest.steps[: max(starts, default=0)], 1, exact=True).check()
    donated = _donated(lens, parent, items, steps, donors or {})
    settings = {**settings_of(manifest, given, steps), "donors": donated}
    settings["texts"] = [lens.family.read_prompt(lens.pipe, manifest.sampling.prompt, given).text]
    # Every edit of every item is resolved now, so that what cannot be done is told before anything runs.
    lists = [own_edits(manifest, item) for item in items]
    if lists:
        Applying(lens.pipe, lens.family, lists, **settings)
    keys = [key_of(item) for item in items] if out is not None else None
    folder = None if out is None else SweepFolder.make(out, {"run": manifest.id, "keep": keep})
    made = _Sweep(
        lens=lens,
        parent=parent,
        options=given,
        settings=settings,
        batch=batch or _batch_of(parent),
        keep=None if keep == "none" else keep,
        folder=folder,
        progress=progress or (lambda done, total: None),
        cancel=cancel or (lambda: False),
        full=full,
    )
    return made.run(items, starts, keys)


class _CancelledError(Exception):
    """The caller wants no more of a batch."""


@dataclass
class _Job:
    """Variations that are one: their edits, and the first step that these touch."""

    edits: tuple[Edit, ...]
    indices: list[int]
    start: int


@dataclass
class _Sweep:
    """A sweep that is ready to be drawn."""

    lens: Lens
    parent: Recording
    options: Mapping[str, Any]
    settings: Mapping[str, Any]
    batch: int
    keep: Level | None
    folder: SweepFolder | None
    progress: Progress
    cancel: Callable[[], bool]
    full: bool

    def run(
        self, items: list[tuple[Edit, ...]], starts: list[int], keys: list[str] | None
    ) -> Iterator[Swept]:
        """The variations: first those that are on disk, then batch by batch."""
        jobs: dict[Any, _Job] = {}
        for index, (edits, start) in enumerate(zip(items, starts, strict=True)):
            job = jobs.setdefault(index if keys is None else keys[index], _Job(edits, [], start))
            job.indices.append(index)
        left = []
        for key, job in jobs.items():
            found = None if self.folder is None else self.folder.get(key)
            if found is None:
                left.append(job)
                continue
            for index in job.indices:
                yield replace(found, index=index)
        left.sort(key=lambda job: job.start)
        chunks = [left[first : first + self.batch - 1] for first in range(0, len(left), self.batch - 1)]
        costs = [self._calls(chunk[0].start) * len(chunk) for chunk in chunks]
        known = Known(self.parent, self.parent.manifest.steps, 1, exact=True)
        for number, chunk in enumerate(chunks):
            if self.cancel():
                return
            before, mine = sum(costs[:number]), costs[number]

            def told(share: float, before: int = before, mine: int = mine) -> None:
                self.progress(before + min(mine, round(share * mine)), sum(costs))

            with suppress(_CancelledError):
                yield from self._finished(chunk, self._draw(chunk, known, told))
                continue
            return

    def _finished(self, chunk: list[_Job], made: list[Swept]) -> Iterator[Swept]:
        if self.folder is not None:
            self.folder.add(made)
        for job, swept in zip(chunk, made, strict=True):
            for index in job.indices:
                yield replace(swept, index=index)

    def _calls(self, start: int) -> int:
        """How many calls of the denoiser are made from a step on, as far as the recording tells."""
        steps = self.parent.manifest.steps
        lengths = [len(step.calls) for step in steps]
        lengths += [round(sum(lengths) / len(lengths))] * (self.settings["steps"] - len(steps))
        return sum(lengths[start:])

    def _draw(self, chunk: list[_Job], known: Known, told: Callable[[float], None]) -> list[Swept]:
        """One batch; on any way out the pipeline is as it was."""
        lens, manifest = self.lens, self.parent.manifest
        pictures, start = len(chunk) + 1, chunk[0].start
        lists = [own_edits(manifest, edits) for edits in ((), *(job.edits for job in chunk))]
        with Patches() as patches:
            patches.replace(lens.pipe, "scheduler", rebuild_scheduler(manifest.sampling.scheduler))
            drawing = drawing_of(lens, manifest, self.options, pictures, self.keep)
            # What watches stands around the edits, and goes before they do.
            with applied(lens.pipe, lens.family, lists, **self.settings) as plan, Patches() as around:
                exact = pictures == manifest.sampling.images_per_prompt
                ahead = known.until(start, pictures, exact=exact)
                watch = _Watch(lens, self._calls(start), told, self.cancel)
                watch.install(around)
                images: list[Any]
                runs: list[Path | None] = [None] * pictures
                if self.keep is None:
                    images = self._pictures(drawing, plan, ahead)
                else:
                    images, runs = self._recorded(drawing, plan, ahead, lists)
        told(1.0)
        rest = watch.latents - watch.latents[:1]
        moved = rest.double().flatten(1).square().mean(dim=1).sqrt().tolist()
        return [
            Swept(-1, job.edits, images[row], images[0], moved[row], start, runs[row], runs[0])
            for row, job in enumerate(chunk, start=1)
        ]

    def _pictures(self, drawing: Drawing, plan: Applying, known: Known) -> list[Any]:
        """The batch's pictures, nothing recorded."""
        denoiser = self.lens.family.denoiser(self.lens.pipe)
        forward, made = denoiser.forward, 0

        @functools.wraps(forward)
        def answered(*args: Any, **kwargs: Any) -> Any:
            nonlocal made
            if made >= len(known):
                return forward(*args, **kwargs)
            call = self.lens.family.call(args, kwargs)
            plan.skip(call)
            made += 1
            return as_answer(known.answer(made - 1, call), kwargs)

        with Patches() as patches:
            patches.replace(denoiser, "forward", answered)
            output = drawing.call()
        images = drawing.pictures(output)
        if len(images) != plan.pictures:
            raise CaptureError(
                f"the pipeline gave {len(images)} pictures where {plan.pictures} are drawn together"
            )
        return [image.convert("RGB") for image in images]

    def _recorded(
        self, drawing: Drawing, plan: Applying, known: Known, lists: list[list[Edit]]
    ) -> tuple[list[Any], list[Path | None]]:
        """The batch's pictures and the folders of their recordings."""
        assert self.folder is not None
        drawing.edits_of = [[each.to_json() for each in edits] for edits in lists]
        drawing.parent = self.parent.manifest.id
        if len(known):
            drawing.session = functools.partial(Replay, known=known, skip=plan.skip)
        runs = drawing.record(self.folder.path / "runs")
        return [run.image for run in runs], [run.path for run in runs]


class _Watch:
    """Follows a batch from outside: how far it is, whether it is still wanted, and its last latents."""

    def __init__(
        self, lens: Lens, calls: int, told: Callable[[float], None], cancel: Callable[[], bool]
    ) -> None:
        self._lens, self._calls, self._told, self._cancel = lens, calls, told, cancel
        self._made = 0
        self.latents: torch.Tensor
        """After the scheduler's last step, `[row, …]`."""

    def install(self, patches: Patches) -> None:
        """Watch from now on, beneath whatever answers calls that are not made, until `patches` is left."""
        denoiser, scheduler = self._lens.family.denoiser(self._lens.pipe), self._lens.pipe.scheduler
        forward, step = denoiser.forward, scheduler.step

        @functools.wraps(forward)
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._cancel():
                raise _CancelledError
            made = forward(*args, **kwargs)
            self._made += 1
            self._told(self._made / max(self._calls, 1))
            return made

        @functools.wraps(step)
        def kept(*args: Any, **kwargs: Any) -> Any:
            made = step(*args, **kwargs)
            self.latents = made[0] if isinstance(made, tuple) else made.prev_sample
            return made

        patches.replace(denoiser, "forward", counted)
        patches.replace(scheduler, "step", kept)


# Before anything runs.


def _item(given: Edit | Sequence[Edit]) -> tuple[Edit, ...]:
    found = (given,) if isinstance(given, Edit) else tuple(given) if isinstance(given, list | tuple) else None
    if found is None or not all(isinstance(each, Edit) for each in found):
        raise EditError(f"{given!r} is neither an edit nor a list of edits")
    return found


def _donated(
    lens: Lens,
    parent: Recording,
    items: list[tuple[Edit, ...]],
    steps: int,
    given: Mapping[str, Donor | Recording],
) -> dict[str, Donor]:
    every = own_edits(parent.manifest, [edit for item in items for edit in item])
    return donors_of(lens, every, steps, given)


def _batch_of(parent: Recording) -> int:
    """How many pictures are drawn together where nobody says."""
    cells = math.prod(parent.latent(parent.manifest.steps[0].index).shape[-2:])
    return max(2, min(LARGEST_BATCH, BATCH_CELLS // cells))
