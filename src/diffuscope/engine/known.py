"""Calls of the denoiser whose outputs are known from a recording, and the answers that take their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from diffuscope.engine.capture.joint import grid_of, packed
from diffuscope.engine.models.family import DenoiserCall
from diffuscope.errors import CaptureError, NotKeptError
from diffuscope.recording import Call, Recording, Step

TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far a latent may be from the recorded one, relative to its largest number, where it is drawn in a batch of
another size than the recorded one was: schedulers do the same there, up to the order in which numbers are rounded."""


class Known:
    """The first calls of a recorded run, for a pipeline that draws copies of it.

    Args:
        parent: the recording.
        steps: its steps whose calls are known.
        pictures: how many copies are drawn together.
        exact: whether latents must be the recorded ones to the bit.
    """

    def __init__(self, parent: Recording, steps: list[Step], pictures: int, *, exact: bool) -> None:
        self.parent, self.pictures, self.exact = parent, pictures, exact
        self.calls: list[tuple[Step, Call]] = [(step, call) for step in steps for call in step.calls]
        self._read: dict[tuple[str, int], torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.calls)

    def check(self) -> None:
        """See that the recording has what its calls are answered with.

        Raises:
            NotKeptError: it has not.
            CorruptRecordingError: it is damaged.
        """
        for step, call in self.calls:
            for read in (self.parent.latent, self.parent.output):
                try:
                    read(step.index, call.index)
                except NotKeptError as error:
                    raise NotKeptError(
                        f"run {self.parent.manifest.id} cannot be continued from step {self.calls[-1][0].index + 1}: "
                        f"call {call.index} has no recorded latent or output. Draw all of it again (full=True, --full)"
                    ) from error

    def until(self, step: int, pictures: int, *, exact: bool) -> Known:
        """The calls of the steps before `step` alone, for another number of copies; what was read stays read."""
        part = Known(self.parent, [], pictures, exact=exact)
        part.calls = [(each, call) for each, call in self.calls if each.index < step]
        part._read = self._read
        return part

    def answer(self, number: int, call: DenoiserCall) -> torch.Tensor:
        """The output of call `number`, in the form in which the denoiser gives it.

        Raises:
            CaptureError: the latent that goes in is not the recorded one.
        """
        self._compare(number, call)
        return self._tensor("output", number, call)

    def _compare(self, number: int, call: DenoiserCall) -> None:
        here, there = call.sample, self._tensor("latent", number, call)
        if here.shape == there.shape:
            if torch.equal(here, there):
                return
            apart = float((here.double() - there.double()).abs().max())
            if not self.exact and apart <= TOLERANCES.get(here.dtype, 0.0) * float(there.abs().max()):
                return
            how = f"differ by up to {apart:.2g}"
        else:
            how = f"have shapes {list(here.shape)} and {list(there.shape)}"
        raise CaptureError(
            f"the run cannot be continued from its recording: the latent that goes into call {number} here and the "
            f"recorded one {how}; another device, type, library version or number of threads does that. "
            "Draw all of it again (full=True, --full)"
        )

    def _tensor(self, what: str, number: int, call: DenoiserCall) -> torch.Tensor:
        """A recorded tensor `[row, …]`, each of its rows for every copy in turn, as batches are laid out."""
        if (what, number) not in self._read:
            step, known = self.calls[number]
            read = self.parent.latent if what == "latent" else self.parent.output
            self._read[what, number] = as_tensor(read(step.index, known.index), call.sample)
        found = self._read[what, number]
        if call.positions is not None:
            found = packed(found, grid_of(call.positions))
        return found.repeat_interleave(self.pictures, dim=0) if self.pictures > 1 else found


class Answer(dict[str, Any]):
    """What a denoiser returns: the output by its name, and first."""

    def __init__(self, sample: torch.Tensor) -> None:
        super().__init__(sample=sample)
        self.sample = sample

    def __getitem__(self, key: Any) -> Any:
        return self.sample if key == 0 else super().__getitem__(key)


def as_answer(sample: torch.Tensor, kwargs: dict[str, Any]) -> Any:
    """An output in the form that a forward's arguments ask for."""
    return Answer(sample) if kwargs.get("return_dict", True) else (sample,)


def as_tensor(array: Any, like: torch.Tensor) -> torch.Tensor:
    """A recorded tensor in the type in which it was recorded, which a wider one holds exactly on the way."""
    wide = np.float64 if array.dtype == np.float64 else np.float32
    return torch.from_numpy(np.array(array, wide)).to(device=like.device, dtype=like.dtype)
