"""Gathering what a call of the denoiser keeps in one piece of host memory, in the order of its file.

A call of a small model keeps some fifty tensors of a few kilobytes. Handed to the writing thread one by one they cost
more than their bytes: each holds up both threads. So they are copied together, by one operation of torch, to memory
from which the writer takes them as they stand; it is used again when they are written.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch

from diffuscope.engine.capture.carry import Array, Carrier, as_numpy
from diffuscope.recording import layout
from diffuscope.recording.tensors import file_order


class Packer:
    """Gathers tensors in host memory; those on a device are carried one by one."""

    def __init__(self, carry: Carrier) -> None:
        self._carry = carry
        self._free: dict[Hashable, list[_Room]] = {}

    def __call__(self, tensors: Mapping[str, torch.Tensor], call: int) -> dict[str, Any]:
        """The tensors under their names in the file, as a writer takes them. They may be changed afterwards.

        Args:
            tensors: names without the call to tensors of any layout.
            call: what they belong to.
        """
        if not tensors:
            return {}
        names = [layout.at_call(name, call) for name in tensors]
        given = list(tensors.values())
        if not all(tensor.is_cpu for tensor in given):
            return {name: self._carry(tensor) for name, tensor in zip(names, given, strict=True)}
        # Tensors of inference mode can be changed in it alone.
        form = (torch.is_inference_mode_enabled(), *tensors, *[(each.dtype, each.shape) for each in given])
        free = self._free.setdefault(form, [])
        room = free.pop() if free else _Room(tensors)
        with torch.no_grad():
            torch._foreach_copy_(room.places, given)
        loan = _Loan(room, free)
        return {name: _Lent(array, loan) for name, array in zip(names, room.arrays, strict=True)}


class _Room:
    """Memory for tensors of certain names, types and shapes.

    Attributes:
        places: to copy them to, in the order in which they were given.
        arrays: the same memory.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        sizes = {name: tensor.element_size() for name, tensor in tensors.items()}
        room = np.empty(sum(math.prod(each.shape) * sizes[name] for name, each in tensors.items()), np.uint8)
        places, arrays, end = {}, {}, 0
        for name in file_order(sizes):
            tensor, begin = tensors[name], end
            end += math.prod(tensor.shape) * sizes[name]
            raw = room[begin:end]
            places[name] = torch.from_numpy(raw).view(tensor.dtype).view(tensor.shape)
            # Of NumPy's own making, so that the writer sees that they lie one after another.
            arrays[name] = raw.view(as_numpy(places[name]).dtype).reshape(tensor.shape)
        self.places = [places[name] for name in tensors]
        self.arrays = [arrays[name] for name in tensors]


class _Loan:
    """A room in use, until nobody has one of its arrays any more."""

    __slots__ = ("_free", "_room")

    def __init__(self, room: _Room, free: list[_Room]) -> None:
        self._room, self._free = room, free

    def __del__(self) -> None:
        self._free.append(self._room)


class _Lent:
    """An array of a room. Calling it gives the array, which is good for as long as this object is there."""

    __slots__ = ("_array", "_loan", "nbytes")

    def __init__(self, array: Array, loan: _Loan) -> None:
        self._array, self._loan, self.nbytes = array, loan, array.nbytes

    def __call__(self) -> Array:
        return self._array
