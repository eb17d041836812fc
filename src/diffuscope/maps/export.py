"""Values of maps in other programs' forms: arrays with named axes, tables, and files by their suffix.

| suffix | what is in it |
|---|---|
| ``.npy`` | the array alone, float32 |
| ``.npz`` | the array, the numbers or names along its axes, and what it is (numpy, compressed) |
| ``.csv`` | one line a value: its place along each axis, and the value |
| ``.16.png`` | 16-bit grey, smallest to largest value; the range and what it is in text chunks. One map only |
| ``.tif``, ``.tiff`` | float32, one page a map |
| ``.exr`` | float32, one channel a map (extra ``export``) |
| ``.zarr`` | a zarr array with named axes and attributes (extra ``export``) |

Every one but ``.16.png`` holds the values exactly.
"""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from diffuscope.errors import MissingExtraError, RunFolderError, SelectionError

VALUES = (".npy", ".npz", ".csv", ".16.png", ".tif", ".tiff", ".exr", ".zarr")
"""Suffixes of files that hold values."""

_DESCRIPTION = 270
"""TIFF's tag ImageDescription."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """An array that says what its axes are.

    Attributes:
        array: the values, float32; the last two axes are `y` (down) and `x` (right).
        axes: names of the axes.
        along: numbers or names along axes that have them (``step`` to step indices); others count from 0.
        about: what it is: label, selection, unit, aggregation.
    """

    array: NDArray[np.float32]
    axes: tuple[str, ...]
    along: dict[str, list[int] | list[str]] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)

    def coordinates(self, axis: str) -> list[int] | list[str]:
        """What stands along an axis: its numbers or names."""
        return self.along.get(axis) or list(range(self.array.shape[self.axes.index(axis)]))

    def maps(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Every ``[y, x]`` with its name: ``step0007.site-cross.mid``, or ``map`` where there is one alone."""
        names = self.axes[:-2]
        for place in itertools.product(*(range(size) for size in self.array.shape[:-2])):
            said = [_part(axis, self.coordinates(axis)[at]) for axis, at in zip(names, place, strict=True)]
            yield ".".join(said) or "map", self.array[place]

    def to_xarray(self) -> Any:
        """An `xarray.DataArray`. Raises MissingExtraError where xarray is not installed."""
        try:
            import xarray
        except ModuleNotFoundError as error:
            raise MissingExtraError("to_xarray", "export") from error
        coordinates = {axis: self.coordinates(axis) for axis in self.axes}
        return xarray.DataArray(
            np.array(self.array),
            coordinates,
            self.axes,
            name=self.about.get("label") or None,
            attrs=dict(self.about),
        )


def suffix_of(path: Path) -> str:
    """The suffix in lower case; ``.16.png`` counts as one."""
    name = path.name.lower()
    return ".16.png" if name.endswith(".16.png") else path.suffix.lower()


def save_values(labelled: Labelled, path: str | Path) -> Path:
    """Write values to a file, in the form that its suffix names, and return its path.

    Raises:
        SelectionError: another suffix, or several maps to a form that holds one.
        MissingExtraError: the form needs a package that is not installed.
        RunFolderError: it cannot be written.
    """
    path = Path(path)
    write = _WRITERS.get(suffix_of(path))
    if write is None:
        raise SelectionError(f"{path.name!r}: values are written as {', '.join(VALUES)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(labelled, path)
    except OSError as error:
        if isinstance(error, ImportError):
            raise
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _npy(labelled: Labelled, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, labelled.array, allow_pickle=False)


def _npz(labelled: Labelled, path: Path) -> None:
    beside = {axis: np.asarray(labelled.coordinates(axis)) for axis in labelled.axes}
    about = {name: np.asarray(text) for name, text in labelled.about.items()}
    with path.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, array=labelled.array, axes=np.asarray(labelled.axes), **beside, **about
        )


def _csv(labelled: Labelled, path: Path) -> None:
    along = [labelled.coordinates(axis) for axis in labelled.axes]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*labelled.axes, "value"])
        for place, value in zip(itertools.product(*along), labelled.array.ravel(), strict=True):
            # Heads that a site does not have are left out: there is nothing to say about them.
            if not np.isnan(value):
                table.writerow([*place, np.format_float_positional(value, unique=True, trim="-")])


def _png16(labelled: Labelled, path: Path) -> None:
    if labelled.array.ndim != 2:
        raise SelectionError(
            f"{path.name!r}: a 16-bit picture holds one map; write a series as .npz, .tif or .zarr"
        )
    values = labelled.array.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / (high - low) * 65535 if high > low else np.zeros(values.shape)
    notes = PngInfo()
    for name, text in {**labelled.about, "low": repr(low), "high": repr(high)}.items():
        notes.add_itxt(f"diffuscope:{name}", text)
    Image.fromarray(np.rint(scaled).astype(np.uint16)).save(path, "PNG", pnginfo=notes)


def _tiff(labelled: Labelled, path: Path) -> None:
    pages = []
    for name, values in labelled.maps():
        notes = ImageFileDirectory_v2()
        # The tag is ASCII: JSON escapes what is not.
        notes[_DESCRIPTION] = json.dumps({**labelled.about, "map": name})
        page = Image.fromarray(np.ascontiguousarray(values, np.float32))
        page.encoderinfo = {"tiffinfo": notes}
        pages.append((page, notes))
    first, notes = pages[0]
    first.save(path, "TIFF", save_all=True, append_images=[page for page, _ in pages[1:]], tiffinfo=notes)


def _exr(labelled: Labelled, path: Path) -> None:
    try:
        import OpenEXR
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing EXR files", "export") from error
    maps = {name: np.ascontiguousarray(values, np.float32) for name, values in labelled.maps()}
    # One map alone is luminance, which every viewer shows.
    channels = {"Y": maps["map"]} if list(maps) == ["map"] else maps
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    header |= {f"diffuscope.{name}": text for name, text in labelled.about.items()}
    with OpenEXR.File(header, channels) as file:
        file.write(str(path))


def _zarr(labelled: Labelled, path: Path) -> None:
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing zarr arrays", "export") from error
    if path.exists():
        # Only what is a zarr array already is replaced: a folder may hold anything.
        if not (path / "zarr.json").is_file():
            raise RunFolderError(f"cannot write {path}: it is there already and is no zarr array")
        shutil.rmtree(path)
    zarr.create_array(
        str(path),
        data=np.array(labelled.array),
        dimension_names=labelled.axes,
        attributes={
            **labelled.about,
            "coordinates": {axis: labelled.coordinates(axis) for axis in labelled.axes},
        },
    )


def _part(axis: str, at: int | str) -> str:
    return f"{axis}{at:04d}" if isinstance(at, int) else f"{axis}-{at}".replace(":", "-")


_WRITERS: dict[str, Callable[[Labelled, Path], None]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".16.png": _png16,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".exr": _exr,
    ".zarr": _zarr,
}
