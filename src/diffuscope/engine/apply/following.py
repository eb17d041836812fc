"""Following a run while it is drawn: which step each call of the denoiser serves, and which rows are conditional."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from diffuscope.engine.capture.carry import Timetable
from diffuscope.engine.capture.joint import grid_of
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.rows import RowReader
from diffuscope.engine.capture.steps import steps_of
from diffuscope.engine.models.family import DenoiserCall, Family
from diffuscope.errors import CaptureError
from diffuscope.recording import RowLabel


@dataclass
class Moment:
    """One call of the denoiser.

    Attributes:
        step: index of the scheduler step that it serves.
        number: which of the step's calls with conditional rows it is, from 0.
        call: what the denoiser was given.
        labels: of the batch's rows.
        rows: the conditional row of each picture; empty where the call has none.
        pictures: the picture whose conditional row each row of the batch is, or None.
    """

    step: int
    number: int
    call: DenoiserCall
    labels: list[RowLabel]
    rows: list[int]
    pictures: tuple[int | None, ...] = field(init=False)

    def __post_init__(self) -> None:
        of_row = {row: picture for picture, row in enumerate(self.rows)}
        self.pictures = tuple(of_row.get(row) for row in range(len(self.labels)))

    @property
    def text(self) -> int:
        """How many text tokens the denoiser was given."""
        return int(self.call.conditioning.shape[-2])


class Following:
    """Follows one run of a pipeline at a time; a further run begins anew.

    Attributes:
        now: the call that is under way, None between calls.
        begun: how many steps the run has, told once its first call shows.
    """

    def __init__(self, pipe: Any, family: Family, pictures: int) -> None:
        self.pipe, self.family = pipe, family
        self._pictures = pictures
        self.on_begin: list[Callable[[int], None]] = []
        """Called with the number of steps when the first call of a run is about to be made."""
        self.now: Moment | None = None
        self._reset()

    def _reset(self) -> None:
        self.rows = RowReader(self._pictures)
        self.steps: list[int] = []
        self._entry = 0
        self._first_entry = 0
        self._timetable: Timetable | None = None
        self._last: tuple[int, int] = (-1, 0)

    def install(self, patches: Patches) -> None:
        """Follow from now on, until `patches` is left."""
        self._watch_encoding(patches)
        scheduler = self.pipe.scheduler
        step = scheduler.step

        @functools.wraps(step)
        def counted(*args: Any, **kwargs: Any) -> Any:
            made = step(*args, **kwargs)
            self._entry += 1
            return made

        patches.replace(scheduler, "step", counted)

    def _watch_encoding(self, patches: Patches) -> None:
        encode = self.pipe.encode_prompt

        @functools.wraps(encode)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self.steps:
                # The pipeline was called once more.
                self._reset()
            # The reader watches through the pipeline: it is shown this one answer.
            made = encode(*args, **kwargs)
            with Patches() as shown:
                shown.replace(self.pipe, "encode_prompt", lambda *_, **__: made)
                self.rows.watch(shown, self.pipe, self.family.embeddings)
                self.pipe.encode_prompt()
            return made

        patches.replace(self.pipe, "encode_prompt", watched)

    def begin(self, call: DenoiserCall) -> Moment:
        """A forward of the denoiser begins."""
        if not self.steps:
            self._read_timetable(call)
            for told in self.on_begin:
                told(self.total)
        labels, rows = self.rows.read(call.conditioning)
        at = self._first_entry + self._entry
        if at >= len(self.steps):
            raise CaptureError("the denoiser was called after the scheduler's last step")
        step = self.steps[at] - self.steps[self._first_entry]
        if rows:
            last, number = self._last
            self._last = (step, number + 1 if last == step else 0)
        self.now = Moment(step, self._last[1], call, labels, rows)
        return self.now

    def end(self) -> None:
        """It is over, or failed."""
        self.now = None

    @property
    def total(self) -> int:
        """Number of steps of the run under way."""
        return self.steps[-1] - self.steps[self._first_entry] + 1

    def grid(self) -> tuple[int, int] | None:
        """Grid of packed latents, None where they are not packed."""
        assert self.now is not None
        positions = self.now.call.positions
        return None if positions is None else grid_of(positions)

    def _read_timetable(self, call: DenoiserCall) -> None:
        timetable = Timetable(self.pipe.scheduler.timesteps)
        if call.divisor == 1:
            timestep = timetable.value(call.timestep)
        else:
            given = float(torch.as_tensor(call.timestep).flatten()[0]) * call.divisor
            timestep = min(timetable.values, key=lambda value: abs(value - given))
        # Image-to-image enters the timetable late; the first call's own timestep says where.
        if timestep not in timetable.values:
            raise CaptureError(f"the first call's timestep {timestep} is not in the scheduler's timetable")
        self.steps = steps_of(self.pipe.scheduler, timetable.values)
        self._first_entry = timetable.values.index(timestep)
