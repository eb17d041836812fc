"""safetensors files: written atomically, read memory-mapped, checked tensor by tensor.

The format is that of https://github.com/huggingface/safetensors (format section of its README): eight bytes
of header length, a JSON header, then the tensors without gaps, little-endian. Reading is done here and not by
the package's own `safetensors.numpy`, for three reasons: tensors are mapped, not copied; bfloat16 is read
(through `ml_dtypes`, which NumPy lacks); and a damaged file gives `CorruptRecordingError` and nothing else.

Beside the tensors, files written here carry a checksum for each in their metadata (key ``crc32/<tensor>``),
over its name, type, shape and bytes. So one tensor can be checked without reading the rest of a large file.
"""

from __future__ import annotations

import functools
import json
import math
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import CorruptRecordingError
from diffuscope.recording.files import Buffer, write_atomic

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""Name of a type in the header to its NumPy type."""

MAX_HEADER = 100_000_000
"""Longest header that is read, the limit of the format's own library."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_ALIGNMENT = 64
_CHECKSUM = "crc32/"
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_LARGE = 2**18
"""Bytes of a tensor from which on it is written from where it is."""


class _Entry(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def safetensors_parts(
    tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> Iterator[Buffer]:
    """The bytes of a safetensors file in a few pieces: small tensors, and those that are not row-major, are gathered in
    one; large ones, and those that lie one after another in one array of bytes already (`file_order`), are not copied.

    Args:
        tensors: name to array, of any layout and byte order; stored row-major and little-endian.
        metadata: text to text, beside the checksums.

    Raises:
        TypeError: an array of a type that the format does not hold (complex, object, …).
    """
    plain = {name: _storable(name, array) for name, array in tensors.items()}
    order = file_order({name: array.itemsize for name, array in plain.items()})
    notes = dict(metadata or {})
    entries: dict[str, Any] = {}
    pieces = _Pieces(plain.values())
    offset = 0
    for name in order:
        array = plain[name]
        dtype, raw, shape = _NAMES[array.dtype], pieces.add(array), array.shape
        end = offset + array.nbytes
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": (offset, end)}
        notes[_CHECKSUM + name] = _checksum(name, dtype, shape, raw)
        offset = end
    header = _JSON.encode({"__metadata__": notes, **entries}).encode()
    header += b" " * (-(8 + len(header)) % _ALIGNMENT)
    yield len(header).to_bytes(8, "little") + header
    yield from pieces


def file_order(items: Mapping[str, int]) -> list[str]:
    """Names of tensors in the order in which they lie in a file.

    Larger items first keeps every tensor aligned to its own items, so that mapped arrays need no copy.

    Args:
        items: name to bytes of one number.
    """
    return sorted(items, key=lambda name: (-items[name], name))


def write_safetensors(
    path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file atomically, with a checksum for each tensor; see `safetensors_parts`.

    Raises:
        OSError: it could not be written; nothing is left behind.
        TypeError: an array of a type that the format does not hold.
    """
    write_atomic(path, safetensors_parts(tensors, metadata))


class TensorFile:
    """A safetensors file, mapped into memory: opening reads the header alone, reading a tensor touches its
    pages alone.

    Arrays keep the mapping alive, so they outlive this object. The file must not be truncated while it is
    mapped; nothing in this package does that, since files are replaced and never rewritten in place.

    Attributes:
        path: of the file.
        metadata: text to text from the header, checksums left out.
    """

    def __init__(self, path: str | Path, *, sealed: bool = False) -> None:
        """Open a file.

        Args:
            path: of the file.
            sealed: whether every tensor must have a checksum, as in files that `write_safetensors` wrote.

        Raises:
            CorruptRecordingError: it is missing, cut short, or its header is not that of a safetensors file.
        """
        self.path = Path(path)
        self._map = self._mapped()
        notes, self._entries, self._begin = self._read_header()
        self._checksums = {
            key.removeprefix(_CHECKSUM): value for key, value in notes.items() if key.startswith(_CHECKSUM)
        }
        self.metadata = {key: value for key, value in notes.items() if not key.startswith(_CHECKSUM)}
        if sealed and self._checksums.keys() != self._entries.keys():
            raise self._corrupt("tensors and checksums do not belong together")
        self._checked: set[str] = set()

    def keys(self) -> tuple[str, ...]:
        """Names of the tensors, as the header orders them."""
        return tuple(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of a tensor. Raises KeyError if there is none of that name."""
        return self._entries[key].shape

    def dtype(self, key: str) -> np.dtype[Any]:
        """NumPy type of a tensor. Raises KeyError if there is none of that name."""
        return DTYPES[self._entries[key].dtype]

    def read(self, key: str) -> Array:
        """A tensor without a copy: read-only, backed by the file.

        The first read of a tensor checks its checksum, where the file has one.

        Raises:
            KeyError: there is no tensor of that name.
            CorruptRecordingError: its bytes are not those that were written.
        """
        entry = self._entries[key]
        raw = memoryview(self._map)[self._begin + entry.start : self._begin + entry.stop]
        if key not in self._checked:
            self._check(key, entry, raw)
            self._checked.add(key)
        return np.frombuffer(raw, dtype=DTYPES[entry.dtype]).reshape(entry.shape)

    def let_go(self) -> None:
        """Give back the memory of all pages that were read. Arrays stay valid: what is needed again is fetched
        again."""
        if hasattr(mmap, "MADV_DONTNEED"):  # Windows has none.
            self._map.madvise(mmap.MADV_DONTNEED)

    def _check(self, key: str, entry: _Entry, raw: memoryview) -> None:
        expected = self._checksums.get(key)
        if expected is not None and expected != _checksum(key, entry.dtype, entry.shape, raw):
            raise self._corrupt(f"tensor {key!r} is damaged")
        # Any other byte in a NumPy bool is undefined behaviour.
        if entry.dtype == "BOOL" and raw.nbytes and np.frombuffer(raw, np.uint8).max() > 1:
            raise self._corrupt(f"tensor {key!r} holds bytes that are no booleans")

    def _mapped(self) -> mmap.mmap:
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < 8:
                    raise self._corrupt("it is too short to be a safetensors file")
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise self._corrupt("the file is missing") from None
        except (OSError, ValueError) as error:
            raise self._corrupt(f"it cannot be read: {error}") from error

    def _read_header(self) -> tuple[dict[str, str], dict[str, _Entry], int]:
        """Metadata, entries, and where the tensors begin; every claim of the header is checked."""
        length = int.from_bytes(self._map[:8], "little")
        begin = 8 + length
        if length > MAX_HEADER or begin > len(self._map):
            raise self._corrupt("its header is longer than the file")
        try:
            header = json.loads(self._map[8:begin].decode(), object_pairs_hook=_without_repetition)
        # A deeply nested header exhausts the parser's stack; a number of thousands of digits is refused by
        # int().
        except (ValueError, RecursionError) as error:
            raise self._corrupt(f"its header is no JSON: {error}") from error
        if not isinstance(header, dict):
            raise self._corrupt("its header is no JSON object")
        notes = header.pop("__metadata__", {})
        if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
            raise self._corrupt("its metadata is not text to text")
        entries = {name: self._entry(name, value) for name, value in header.items()}
        end = 0
        for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
            if entry.start != end:
                raise self._corrupt(f"tensor {name!r} does not begin where the one before it ends")
            end = entry.stop
        if begin + end != len(self._map):
            raise self._corrupt(f"its tensors take {end} bytes, and it has {len(self._map) - begin}")
        return notes, entries, begin

    def _entry(self, name: str, value: object) -> _Entry:
        if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
            raise self._corrupt(
                f"tensor {name!r} is described by something else than type, shape and offsets"
            )
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise self._corrupt(f"tensor {name!r} is of type {dtype!r}, which is not read here")
        if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2 or len(shape) > 32:
            raise self._corrupt(f"tensor {name!r} has a shape or offsets that are no counts")
        start, stop = offsets
        if stop - start != math.prod(shape) * DTYPES[dtype].itemsize:
            raise self._corrupt(f"tensor {name!r} of shape {shape} cannot have {stop - start} bytes")
        return _Entry(dtype, tuple(shape), start, stop)

    def _corrupt(self, what: str) -> CorruptRecordingError:
        return CorruptRecordingError(f"{self.path}: {what}")


class _Pieces:
    """Row-major bytes of arrays, one after another, in as few pieces as can be had without copying much: many small
    pieces would cost the run more, each a call for the hash and one of the system, than their copy does.

    Going through it gives the pieces in the order in which their arrays were added.
    """

    def __init__(self, arrays: Iterable[Array]) -> None:
        """Args:
        arrays: all that will be added.
        """
        gathered = sum(array.nbytes for array in arrays if _bytes_around(array) is None and not _large(array))
        self._gathered = np.empty(gathered, np.uint8)
        self._filled = 0
        self._wholes: dict[int, tuple[memoryview, int]] = {}
        self._pieces: list[tuple[memoryview, int, int]] = []

    def add(self, array: Array) -> memoryview:
        """The bytes of the array that comes next."""
        around = _bytes_around(array)
        if around is None and _large(array):
            # As uint8, since the buffer protocol does not know bfloat16.
            return self._piece(array.reshape(-1).view(np.uint8).data, 0, array.nbytes)
        if around is None:
            around, begin = self._gathered, self._filled
            self._filled += array.nbytes
            np.ndarray(array.shape, array.dtype, self._gathered.data, begin)[...] = array
            return self._piece(self._whole(around)[0], begin, self._filled)
        whole, address = self._whole(around)
        begin = _address(array) - address
        return self._piece(whole, begin, begin + array.nbytes)

    def __iter__(self) -> Iterator[memoryview]:
        return (whole[begin:end] for whole, begin, end in self._pieces)

    def _whole(self, around: Array) -> tuple[memoryview, int]:
        found = self._wholes.get(id(around))
        if found is None:
            found = self._wholes[id(around)] = (around.data, _address(around))
        return found

    def _piece(self, whole: memoryview, begin: int, end: int) -> memoryview:
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last[0] is whole and last[2] == begin:
            self._pieces[-1] = (whole, last[1], end)
        elif end > begin:
            self._pieces.append((whole, begin, end))
        return whole[begin:end]


def _bytes_around(array: Array) -> Array | None:
    """The array of bytes that a row-major array is part of, if it is of one."""
    base = array.base
    if not isinstance(base, np.ndarray) or base.dtype != np.uint8 or base.ndim != 1:
        return None
    return base if array.flags.c_contiguous and base.flags.c_contiguous else None


def _large(array: Array) -> bool:
    return array.nbytes >= _LARGE and array.flags.c_contiguous


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _storable(name: str, array: Array) -> Array:
    """The array in a type of the format, little-endian; the same array where it is so already."""
    array = np.asarray(array)
    if array.dtype in _NAMES:
        return array
    little = array.dtype.newbyteorder("<")
    if little not in _NAMES:
        raise TypeError(f"tensor {name!r} is of type {array.dtype}, which safetensors does not hold")
    return array.astype(little)


def _checksum(name: str, dtype: str, shape: tuple[int, ...], raw: memoryview) -> str:
    # The description is covered too: the same bytes in another shape would be another map.
    described = zlib.crc32(f"{name} {dtype} {_sizes(shape)} ".encode(errors="surrogatepass"))
    return f"{zlib.crc32(raw, described):08x}"


@functools.lru_cache
def _sizes(shape: tuple[int, ...]) -> str:
    return ",".join(map(str, shape))


def _are_counts(values: object) -> bool:
    # JSON's true is an int to isinstance; 2**63 bounds what can be multiplied without growing out of hand.
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice")
    return made
