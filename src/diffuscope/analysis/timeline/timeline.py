"""The timeline of a word: every measure over the steps, and the maps that they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.measures import Measure, find_measure, measures
from diffuscope.analysis.measures.evidence import Course, WordEvidence
from diffuscope.analysis.measures.moments import BreakSteps, EmergenceStep, PeakStep, Phases, SettledStep
from diffuscope.analysis.timeline.tables import Table, to_arrow, write_table
from diffuscope.analysis.timeline.word_kinds import Kind
from diffuscope.errors import MissingExtraError, SelectionError
from diffuscope.maps.heatmap import Heatmap, HeatmapSeries
from diffuscope.selection import Selection

Wide = NDArray[np.float64]
Part = Literal["site", "grid", "head"]
Parts = Callable[[Part], "dict[str, Timeline]"]
HeadMapAt = Callable[[int, str, int], Heatmap]
Key = TypeVar("Key")
Value = TypeVar("Value")


class Lazy(Mapping[Key, Value]):
    """A mapping whose values are made when they are asked for; with `kept`, each once."""

    def __init__(
        self, keys: tuple[Key, ...], make: Callable[[Key], Value], what: str, *, kept: bool = False
    ) -> None:
        self._keys, self._make, self._what = keys, make, what
        self._made: dict[Key, Value] | None = {} if kept else None

    def __getitem__(self, key: Key) -> Value:
        if key not in self._keys:
            there = ", ".join(str(each) for each in self._keys)
            raise SelectionError(f"there is no {self._what} {key!r} here; there are: {there}")
        if self._made is None:
            return self._make(key)
        if key not in self._made:
            self._made[key] = self._make(key)
        return self._made[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __repr__(self) -> str:
        return f"<{len(self)} {self._what}s: {', '.join(str(each) for each in self._keys)}>"


@dataclass(frozen=True, eq=False)
class Timeline:
    """A word, phrase or concept over the steps of a run.

    Each measure is an attribute, ``timeline.mass``, and an item, ``timeline["mass"]``; `diffuscope.analysis.measures`
    says what each means. They are computed when they are asked for.

    Attributes:
        label: the word or phrase.
        kind: what it is: a content or function word, a special token, a concept.
        run: id of the run.
        series: its map at each step, ``[step, y, x]``, with how it was put together.
        evidence: what measures are computed from.
        heads: site name to the numbers of its heads.
    """

    label: str
    kind: Kind
    run: str
    series: HeatmapSeries
    evidence: WordEvidence
    heads: dict[str, tuple[int, ...]] = field(repr=False)
    _parts: Parts = field(repr=False)
    _map_at: HeadMapAt = field(repr=False)
    _known: dict[str, Any] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Any:
        """The value of a measure: an array, a moment, or None where there is no answer.

        Raises:
            SelectionError: there is no such measure of words.
        """
        measure = find_measure(name, "word")
        if measure.name not in self._known:
            value = measure.compute(self.evidence)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            self._known[measure.name] = value
        return self._known[measure.name]

    # The steps.

    @property
    def selection(self) -> Selection:
        """Steps, sites, heads and word that it was made from."""
        return self.series.selection

    @property
    def course(self) -> Course:
        """Index, timestep and log-SNR of the steps."""
        return self.evidence.course

    @property
    def steps(self) -> tuple[int, ...]:
        """Index of each step."""
        return self.course.steps

    @property
    def timesteps(self) -> Wide:
        """Timestep of each step."""
        return self.course.timesteps

    @property
    def log_snr(self) -> Wide:
        """log-SNR of each step; NaN where it is infinite or unknown."""
        return self.course.log_snr

    def __len__(self) -> int:
        return len(self.steps)

    # The measures, one attribute each (a test holds this list against the registry).

    @property
    def mass(self) -> Wide:
        return self._array("mass")

    @property
    def share(self) -> Wide:
        return self._array("share")

    @property
    def entropy(self) -> Wide:
        return self._array("entropy")

    @property
    def focus(self) -> Wide:
        return self._array("focus")

    @property
    def centroid(self) -> Wide:
        return self._array("centroid")

    @property
    def spread(self) -> Wide:
        return self._array("spread")

    @property
    def area(self) -> Wide:
        return self._array("area")

    @property
    def box(self) -> Wide:
        return self._array("box")

    @property
    def divergence(self) -> Wide:
        return self._array("divergence")

    @property
    def overlap(self) -> Wide:
        return self._array("overlap")

    @property
    def score(self) -> Wide:
        return self._array("score")

    @property
    def stability(self) -> Wide:
        return self._array("stability")

    @property
    def chaos(self) -> Wide:
        return self._array("chaos")

    @property
    def peak(self) -> PeakStep:
        found: PeakStep = self["peak"]
        return found

    @property
    def stabilisation(self) -> SettledStep:
        found: SettledStep = self["stabilisation"]
        return found

    @property
    def emergence_attention(self) -> EmergenceStep:
        found: EmergenceStep = self["emergence_attention"]
        return found

    @property
    def emergence_image(self) -> EmergenceStep | None:
        found: EmergenceStep | None = self["emergence_image"]
        return found

    @property
    def phases(self) -> Phases:
        found: Phases = self["phases"]
        return found

    @property
    def change_points(self) -> BreakSteps:
        found: BreakSteps = self["change_points"]
        return found

    def _array(self, name: str) -> Wide:
        found: Wide = self[name]
        return found

    # Its parts.

    def by(self, part: Part) -> dict[str, Timeline]:
        """The timeline of each site, grid or head by itself, on that site's (or grid's) own cells.

        Args:
            part: ``site`` (keys are names), ``grid`` (``16x16``) or ``head`` (``cross:mid/3``).

        Raises:
            SelectionError: another part.
            NotKeptError: heads of a run that kept word maps alone.
        """
        if part not in ("site", "grid", "head"):
            raise SelectionError(f"there is no timeline by {part!r}; there is one by site, grid and head")
        return self._parts(part)

    @property
    def maps(self) -> Mapping[int, Mapping[str, Mapping[int, Heatmap]]]:
        """Single maps, read when asked for: ``timeline.maps[step][site][head]`` is the map of that head alone.

        Asking raises SelectionError for what is not there, and NotKeptError for heads of a run that kept word maps
        alone.
        """
        return Lazy(self.steps, self._sites_at, "step")

    def _sites_at(self, step: int) -> Mapping[str, Mapping[int, Heatmap]]:
        def heads_at(site: str) -> Mapping[int, Heatmap]:
            return Lazy(self.heads[site], lambda head: self._map_at(step, site, head), "head")

        return Lazy(tuple(self.heads), heads_at, "site")

    # Tables and files.

    def table(self) -> Table:
        """A row a step, a column a curve: word, step, timestep, log_snr, then every measure that is a curve."""
        count = len(self)
        out: Table = {
            "run": [self.run] * count,
            "word": [self.label] * count,
            "kind": [self.kind] * count,
            "selection": [str(self.selection)] * count,
            "step": list(self.steps),
            "timestep": self.timesteps.tolist(),
            "log_snr": self.log_snr.tolist(),
        }
        for measure in measures("word"):
            if measure.columns:
                values = np.asarray(self[measure.name], np.float64).reshape(count, -1)
                out |= {name: values[:, at].tolist() for at, name in enumerate(measure.columns)}
        return out

    def moments(self) -> dict[str, Any]:
        """Every measure that is no curve, as plain values; None where there is no answer."""
        found = {each.name: self[each.name] for each in measures("word") if not each.axes}
        return {name: None if value is None else value.facts() for name, value in found.items()}

    def facts(self) -> dict[str, Any]:
        """Everything as plain values, but for the masks ``[step, y, x]``: what ``--json`` prints of a word."""
        curves = {
            each.name: np.asarray(self[each.name]).tolist() for each in measures("word") if each.columns
        }
        return {
            "word": self.label,
            "kind": self.kind,
            "selection": str(self.selection),
            "aggregation": self.series.aggregation,
            "curves": curves,
            "moments": self.moments(),
        }

    def to_xarray(self) -> Any:
        """All arrays as an `xarray.Dataset` with named axes, units and definitions.

        Raises:
            MissingExtraError: xarray is not installed (extra ``export``).
        """
        try:
            import xarray
        except ModuleNotFoundError as error:
            raise MissingExtraError("to_xarray", "export") from error
        variables = {}
        for each in measures("word"):
            if each.axes:
                # Two measures with components of their own must not share an axis.
                axes = tuple(f"{each.name}_part" if axis == "component" else axis for axis in each.axes)
                about = {"units": each.unit, "long_name": each.title, "definition": each.definition}
                variables[each.name] = (axes, np.array(self[each.name]), about)
        places: dict[str, Any] = {
            "step": list(self.steps),
            "timestep": ("step", self.timesteps),
            "log_snr": ("step", self.log_snr),
        }
        places |= {f"{each.name}_part": list(each.components) for each in measures("word") if each.components}
        return xarray.Dataset(
            variables, places, {"word": self.label, "run": self.run, "selection": str(self.selection)}
        )

    def to_arrow(self) -> Any:
        """`table` as a `pyarrow.Table`. Raises MissingExtraError without pyarrow (extra ``analysis``)."""
        return to_arrow(self.table(), definitions())

    def save(self, path: str | Path) -> Path:
        """Write `table` as ``.csv`` or ``.parquet``; see `diffuscope.analysis.timeline.tables.write_table`."""
        return write_table(self.table(), path, definitions())

    def __repr__(self) -> str:
        return f"<Timeline {self.label!r} of run {self.run}, {len(self)} steps, {self.selection}>"


def definitions() -> dict[str, str]:
    """Each measure in one text: what files of tables carry with them."""

    def said(measure: Measure) -> str:
        return f"{measure.title} ({measure.unit}): {measure.definition} Source: {measure.source}."

    return {each.name: said(each) for each in measures()}
