"""Heatmap and HeatmapSeries: a map of probabilities that knows what it is, and how it looks.

`array` is the measurement and is never scaled. Pictures scale their colours (min to max of what they show,
unless a range is given) and say so beside the colour scale.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import RunFolderError, SelectionError, SizeError
from diffuscope.maps.colormap import NAMES, DisplayScale
from diffuscope.maps.export import VALUES, Labelled, save_values, suffix_of
from diffuscope.maps.picture import Legend, Panel, blend, figure, paint
from diffuscope.maps.resize import Size
from diffuscope.selection import Selection

UNIT = "attention probability"
PANEL, PAIR = 512, 384
"""Longer side in pixels, at least, of a map alone in its figure and of one beside the picture."""

Floats = NDArray[np.float32]
Scale = DisplayScale | tuple[float, float] | Literal["map", "raw"] | None
"""Range of colours: ``map`` (or None) stretches them over the map's own values, ``raw`` shows probabilities as they
are, 0 to 1; two numbers, or a scale that several maps share."""


@dataclass(frozen=True, eq=False)
class _Described(ABC):
    """What one map and a series of maps have in common.

    Attributes:
        array: probabilities, float32, read-only. The subclass names its axes; rows run down, columns right.
        selection: steps, sites, heads and word that it was made from; its text form makes it again.
        label: what is shown: a word, a phrase.
        unit: unit of `array`.
        aggregation: one sentence: how heads, sites and steps were combined.
        background: gives the picture that the map belongs to (used by notebook display).
    """

    array: Floats
    selection: Selection
    label: str = ""
    unit: str = UNIT
    aggregation: str = ""
    background: Callable[[], Image.Image | None] | None = field(default=None, repr=False)

    _axes = 2

    def __post_init__(self) -> None:
        array = np.asarray(self.array, dtype=np.float32)
        if array.ndim != self._axes or array.size == 0:
            raise SizeError(
                f"a {type(self).__name__} has {self._axes} axes, none of them empty; got {array.shape}"
            )
        if array.flags.writeable:
            array = array.copy()
            array.setflags(write=False)
        object.__setattr__(self, "array", array)

    @property
    def size(self) -> Size:
        """``(height, width)`` in cells."""
        return self.array.shape[-2], self.array.shape[-1]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.array, dtype=dtype) if copy or dtype else self.array

    def __repr__(self) -> str:
        shape = "x".join(str(side) for side in self.array.shape)
        low, high = float(self.array.min()), float(self.array.max())
        values = f"{self.unit} {low:.3g} to {high:.3g}"
        return f"<{type(self).__name__} {self.label!r} {shape}, {values}, {self.selection}>"

    def _scale(self, scale: Scale, origin: str) -> DisplayScale:
        if scale is None or scale == "map":
            return DisplayScale.of(self.array, origin=origin)
        if scale == "raw":
            return DisplayScale(0.0, 1.0, "raw, 0 to 1")
        if isinstance(scale, str):
            raise SelectionError(
                f"scale={scale!r} is unknown; give 'map', 'raw', two numbers, or a DisplayScale"
            )
        if isinstance(scale, DisplayScale):
            return scale
        low, high = scale
        if not (high > low and np.isfinite([low, high]).all()):
            raise SelectionError(
                f"no colours fit the range {low:g} to {high:g}; give a smaller and a larger value"
            )
        return DisplayScale(float(low), float(high))

    def _legend(self, scale: DisplayScale, colormap: str, notes: tuple[str, ...]) -> Legend:
        return Legend(
            self.label or "attention",
            str(self.selection),
            scale,
            colormap,
            self.unit,
            (self.aggregation, *notes),
        )

    @abstractmethod
    def figure(self) -> Image.Image:
        """The map as a picture with its colour scale."""

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the map to a file and return its path.

        ``.png`` holds `figure` (which takes the options): a picture for people, with colour scale, unit and range.
        Every other suffix holds values: ``.npy``, ``.npz``, ``.csv``, ``.16.png``, ``.tif``, ``.exr``, ``.zarr``; see
        `diffuscope.maps.export`.

        Raises:
            SelectionError: another suffix.
            MissingExtraError: ``.exr`` and ``.zarr`` need the extra ``export``.
            RunFolderError: the file cannot be written.
        """
        path = Path(path)
        suffix = suffix_of(path)
        if suffix in VALUES:
            return save_values(self.labelled(), path)
        if suffix != ".png":
            raise SelectionError(
                f"{path.name!r}: a map is saved as .png (a picture) or as its values: {', '.join(VALUES)}"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.figure(**options).save(path, "PNG")
        except OSError as error:
            raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
        return path

    @property
    def _about(self) -> dict[str, str]:
        return {
            "label": self.label,
            "selection": str(self.selection),
            "unit": self.unit,
            "aggregation": self.aggregation,
        }

    @abstractmethod
    def labelled(self) -> Labelled:
        """The values with the names of their axes, for export."""

    def to_xarray(self) -> Any:
        """The values as an `xarray.DataArray` with named axes and the map's description as attributes.

        Raises:
            MissingExtraError: xarray is not installed (extra ``export``).
        """
        return self.labelled().to_xarray()

    def _picture(self) -> Image.Image | None:
        """The picture to draw over where none was given; a map is shown without where there is none."""
        return self.background() if self.background else None


class Heatmap(_Described):
    """Where a word was looked at: ``array`` is float32 ``[y, x]``, origin top left, probabilities."""

    _axes = 2

    def labelled(self) -> Labelled:
        """``[y, x]`` with the names of its axes."""
        return Labelled(self.array, ("y", "x"), {}, self._about)

    @property
    def peak(self) -> tuple[int, int]:
        """``(y, x)`` of the largest value's cell; the first in reading order where several are equal."""
        y, x = np.unravel_index(int(self.array.argmax()), self.array.shape)
        return int(y), int(x)

    @property
    def centroid(self) -> tuple[float, float]:
        """``(y, x)`` of the centre of mass in cells, where cell centres are whole numbers (as in `peak`).

        A map without any mass has its centroid in the middle.
        """
        weights = self.array.astype(np.float64)
        total = weights.sum()
        if not total > 0:
            return (self.size[0] - 1) / 2, (self.size[1] - 1) / 2
        y = (weights.sum(axis=1) @ np.arange(self.size[0])) / total
        x = (weights.sum(axis=0) @ np.arange(self.size[1])) / total
        return float(y), float(x)

    @property
    def mean(self) -> float:
        """Mean over the cells: the attention mass of the word in this selection."""
        return float(self.array.mean(dtype=np.float64))

    def on(self, point: tuple[float, float], size: Size) -> tuple[float, float]:
        """A point of this map (`peak`, `centroid`) on a picture of ``(height, width)`` pixels, as ``(y, x)``.

        Both count centres as whole numbers: cell 0 of 16 lies at pixel 3.5 of 128.
        """
        y, x = ((at + 0.5) * new / old - 0.5 for at, new, old in zip(point, size, self.size, strict=True))
        return y, x

    def overlay(
        self,
        image: Image.Image,
        alpha: float = 0.6,
        colormap: str = NAMES[0],
        *,
        scale: Scale = None,
        smooth: bool = False,
        legend: bool = True,
    ) -> Image.Image:
        """The map in colours over a picture.

        Args:
            image: what to draw over; it is shown in grey, so that every hue comes from the colour scale.
            alpha: opacity of the map, 0 (only the picture) to 1 (only the map).
            colormap: see `diffuscope.maps.colormap.NAMES`.
            scale: range of the colours; None stretches them from the map's smallest to its largest value. The
                range is printed with the colour scale.
            smooth: interpolate between cells, for the eye; said in the legend. Off: the cells as they are.
            legend: with title, labelled colour scale and aggregation, as `save` writes it (at least 512
                pixels wide). Off: nothing but the picture, in its own size; show `DisplayScale.of(map.array)`
                beside it.

        Returns:
            RGB picture.

        Raises:
            SelectionError: alpha outside 0..1, an unknown colormap, an empty range.
        """
        shown = self._scale(scale, "min-max of this map")
        size = (image.height, image.width)
        colours = paint(
            self.array, _enlarged(size, PANEL) if legend else size, shown, colormap, smooth=smooth
        )
        over = blend(image, colours, _checked(alpha))
        if not legend:
            return over
        return figure([Panel(over)], self._legend(shown, colormap, _notes(smooth, over=True)))

    def figure(
        self,
        over: Image.Image | None = None,
        *,
        alpha: float = 0.6,
        colormap: str = NAMES[0],
        scale: Scale = None,
        smooth: bool = False,
    ) -> Image.Image:
        """The map with title, colour scale (unit, range, where the range comes from) and aggregation, as RGB.

        Args:
            over: the picture: it is shown beside the map and below its colours. Without one the cells are
                shown alone.
            alpha, colormap, scale, smooth: as in `overlay`.
        """
        shown = self._scale(scale, "min-max of this map")
        if over is None:
            alone = paint(self.array, _enlarged(self.size, PANEL), shown, colormap, smooth=smooth)
            return figure([Panel(alone)], self._legend(shown, colormap, _notes(smooth, over=False)))
        size = _enlarged((over.height, over.width), PAIR)
        colours = paint(self.array, size, shown, colormap, smooth=smooth)
        plain = over.convert("RGB").resize(colours.size, Image.Resampling.BICUBIC)
        panels = [Panel(plain), Panel(blend(over, colours, _checked(alpha)))]
        return figure(panels, self._legend(shown, colormap, _notes(smooth, over=True)), columns=2)

    def _repr_png_(self) -> bytes:
        return _png(self.figure(self._picture()))


@dataclass(frozen=True, eq=False, repr=False)
class HeatmapSeries(_Described):
    """A word's map at each step: ``array`` is float32 ``[step, y, x]``.

    Attributes:
        steps: index of each map's step; counted from 0 when left out.
    """

    steps: tuple[int, ...] = ()

    _axes = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = tuple(self.steps) or tuple(range(len(self.array)))
        if len(steps) != len(self.array):
            raise SizeError(f"{len(self.array)} maps need as many step indices; got {len(steps)}")
        object.__setattr__(self, "steps", steps)

    def labelled(self) -> Labelled:
        """``[step, y, x]`` with the names of its axes and the steps' indices."""
        return Labelled(self.array, ("step", "y", "x"), {"step": list(self.steps)}, self._about)

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> Heatmap: ...
    @overload
    def __getitem__(self, index: slice) -> HeatmapSeries: ...
    def __getitem__(self, index: int | slice) -> Heatmap | HeatmapSeries:
        """The map at a position (not a step index) of the series; a slice gives a shorter series."""
        described = {name: getattr(self, name) for name in ("label", "unit", "aggregation", "background")}
        if isinstance(index, slice):
            steps = self.steps[index]
            if not steps:
                raise SelectionError(f"none of the {len(self)} steps of this series is in that slice")
            return HeatmapSeries(self.array[index], _at(self.selection, steps), steps=steps, **described)
        return Heatmap(self.array[index], _at(self.selection, (self.steps[index],)), **described)

    def __iter__(self) -> Iterator[Heatmap]:
        return (self[index] for index in range(len(self)))

    @property
    def mass(self) -> NDArray[np.float64]:
        """``[step]``: mean over cells of each step's map, the attention mass."""
        return np.asarray(self.array.mean(axis=(1, 2), dtype=np.float64))

    def mean(self) -> Heatmap:
        """The steps' average: the same as the word's map of these steps."""
        return Heatmap(
            self.array.mean(axis=0, dtype=np.float64).astype(np.float32),
            self.selection,
            self.label,
            self.unit,
            f"{self.aggregation} Mean over these {len(self)} steps.",
            self.background,
        )

    @property
    def scale(self) -> DisplayScale:
        """One colour range for all steps, so that they can be compared."""
        return DisplayScale.of(self.array, origin="min-max over all steps shown")

    def figure(
        self,
        over: Image.Image | None = None,
        *,
        alpha: float = 0.6,
        colormap: str = NAMES[0],
        scale: Scale = None,
        smooth: bool = False,
        columns: int | None = None,
    ) -> Image.Image:
        """All steps side by side with one shared colour scale, RGB. Arguments as in `Heatmap.figure`.

        `columns` is the number of maps in a row (default: up to 10, rows filled evenly).
        """
        shown = self.scale if scale is None else self._scale(scale, "")
        if columns is not None and columns < 1:
            raise SelectionError(f"a row holds at least one map; got columns={columns}")
        rows = -(-len(self) // 10)
        columns = columns or -(-len(self) // rows)
        source = self.size if over is None else (over.height, over.width)
        size = _enlarged(source, 128 if columns > 4 else 192, shrink=True)
        panels = []
        for step, values in zip(self.steps, self.array, strict=True):
            image = paint(values, size, shown, colormap, smooth=smooth)
            if over is not None:
                image = blend(over, image, _checked(alpha))
            panels.append(Panel(image, f"step {step}"))
        return figure(panels, self._legend(shown, colormap, _notes(smooth, over=over is not None)), columns)

    def _repr_png_(self) -> bytes:
        return _png(self.figure(self._picture()))


def _at(selection: Selection, steps: tuple[int, ...]) -> Selection:
    return replace(selection, steps=Selection.of(steps=steps).steps)


def _checked(alpha: float) -> float:
    if not 0 <= alpha <= 1:
        raise SelectionError(f"alpha is {alpha:g}; it lies between 0 (only the picture) and 1 (only the map)")
    return float(alpha)


def _enlarged(size: Size, longer: int, *, shrink: bool = False) -> Size:
    """A size of the same proportions whose longer side is about `longer`; never made smaller unless `shrink`.

    Grown by a whole factor, so that all cells of a map come out equally large.
    """
    factor = longer / max(size)
    if factor < 1 and not shrink:
        return size
    if factor > 1:
        factor = float(-(-longer // max(size)))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _notes(smooth: bool, *, over: bool) -> tuple[str, ...]:
    said = []
    if over:
        said.append("Over the picture in grey.")
    if smooth:
        said.append("Smoothed between cells for display (bilinear).")
    return tuple(said)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
