"""Bringing tensors from the device to the host, out of the run's way.

On a GPU nothing here waits for the device: copies go to pinned memory on a stream of their own, behind the work that
made the tensors, and whoever needs the bytes (the writing thread) waits for them there. In host memory nothing is
copied by the run at all: the writing thread is handed the tensor itself, and makes sure that it is still what it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.errors import CaptureError

Array = NDArray[Any]


class OnItsWay:
    """A tensor that is being copied to the host. Calling it waits for the copy and gives the array.

    Attributes:
        nbytes: its size in host memory.
    """

    def __init__(self, host: torch.Tensor, done: Any) -> None:
        self._host, self._done = host, done
        self.nbytes = host.numel() * host.element_size()

    def __call__(self) -> Array:
        self._done.synchronize()
        return as_numpy(self._host)


class Held:
    """A tensor in host memory, as it was when it was handed over. Calling it gives the array.

    Attributes:
        nbytes: memory that is kept from being freed, which is more than the tensor's own where it is a row of a batch.
    """

    __slots__ = ("_tensor", "_version", "nbytes")

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor, self._version = tensor, tensor._version
        self.nbytes = tensor.untyped_storage().nbytes()

    def __call__(self) -> Array:
        if self._tensor._version != self._version:
            raise CaptureError(
                "the model changed a tensor in place after its attention had used it, so what was to be kept of it is "
                "gone; it cannot be recorded"
            )
        # In whatever layout it has: whoever writes it copies it row by row, once.
        return as_numpy(self._tensor)


class Carrier:
    """Brings tensors to the host, in the order in which they are handed over."""

    def __init__(self) -> None:
        self._streams: dict[torch.device, Any] = {}

    def __call__(self, tensor: torch.Tensor) -> Array | OnItsWay | Held:
        """The tensor's array, in its own dtype, now or later.

        The tensor must not be changed in place afterwards; on the CPU that is checked.
        """
        if tensor.requires_grad:
            tensor = tensor.detach()
        # Tensors of inference mode keep no count of changes.
        if tensor.is_cpu and not tensor.is_inference():
            return Held(tensor)
        if not tensor.is_cuda:
            return as_numpy(tensor.to("cpu", copy=True).contiguous())
        source = tensor.contiguous()
        stream = self._streams.get(source.device)
        if stream is None:
            stream = self._streams[source.device] = torch.cuda.Stream(source.device)
        # Pinned buffers come from torch's caching allocator, which gives one out again only when its copy is done.
        host = torch.empty(source.shape, dtype=source.dtype, pin_memory=True)
        stream.wait_stream(torch.cuda.current_stream(source.device))
        with torch.cuda.stream(stream):
            host.copy_(source, non_blocking=True)
            done = torch.cuda.Event()
            done.record(stream)
        # Its memory must not be given to another tensor before the copy has read it.
        source.record_stream(stream)
        return OnItsWay(host, done)


class SameText:
    """Whether the tensors of a call are, to the bit, those of the call before, where that is told without waiting for a
    device; elsewhere they are said to differ, and the writer compares them.

    It keeps copies, since a model may use its memory again.
    """

    def __init__(self) -> None:
        self._last: list[tuple[Any, ...]] = []

    def __call__(self, tensors: Iterable[torch.Tensor]) -> bool:
        now = []
        for tensor in tensors:
            if not tensor.is_cpu:
                return False
            array = as_numpy(tensor.detach())
            # As bytes, in the order in which they lie in memory: what is stored is what was given, not a number equal
            # to it.
            now.append((array.dtype, array.shape, array.strides, array.ravel("K").tobytes()))
        last, self._last = self._last, now
        return now == last


def as_numpy(tensor: torch.Tensor) -> Array:
    """A tensor in host memory as an array of the same memory and layout; bfloat16 through `ml_dtypes`, which NumPy
    itself lacks."""
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    made: Array = tensor.numpy()
    return made


def room_for_waiting(device: torch.device) -> int | None:
    """Bytes of tensors that may wait for the disk; None for the writer's own bound.

    A GPU makes a step's queries and keys faster than disks take them, so more may wait there: an eighth of the
    machine's memory, at most 8 GiB. It is a bound all the same: memory does not grow with the number of steps.
    """
    if device.type != "cuda" or not hasattr(os, "sysconf"):
        return None
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(8 * 2**30, physical // 8)


class Timetable:
    """The scheduler's timesteps as numbers, read from the device once.

    Attributes:
        values: of `scheduler.timesteps`.
    """

    def __init__(self, timesteps: Any) -> None:
        self._tensor = timesteps if isinstance(timesteps, torch.Tensor) else None
        self.values = [float(each) for each in np.asarray(torch.as_tensor(timesteps).cpu(), np.float64)]

    def value(self, timestep: Any) -> float:
        """A timestep that a pipeline passes on, as a number: without waiting for the device where it is a piece of
        the timetable's own memory, as in pipelines that iterate over it."""
        if not isinstance(timestep, torch.Tensor):
            return float(timestep)
        table = self._tensor
        if table is not None and table.dim() == 1 and timestep.dtype == table.dtype and table.is_contiguous():
            offset = timestep.data_ptr() - table.data_ptr()
            index, within = divmod(offset, table.element_size())
            same = timestep.untyped_storage().data_ptr() == table.untyped_storage().data_ptr()
            if same and not within and 0 <= index < len(self.values) and _is_one(timestep):
                return self.values[index]
        return float(timestep.flatten()[0])


def _is_one(timestep: torch.Tensor) -> bool:
    """Whether all entries are the first one: a single number, or one that was expanded."""
    return timestep.numel() == 1 or all(stride == 0 for stride in timestep.stride())
