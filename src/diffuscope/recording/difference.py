"""Two recordings of one picture, compared bit by bit: what differs, by how much, and where they part first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from diffuscope.plain_json import finite
from diffuscope.recording import layout
from diffuscope.recording.manifest import FileHash, Manifest, Step
from diffuscope.recording.reader import Recording
from diffuscope.recording.tensors import Array, TensorFile

NOT_SAID = "not recorded"
"""Stands where one of two recordings does not name something."""

# Names of what is kept, by the folder or the part of its key that says what it is.
_KINDS = {
    "q": "queries",
    "k": "keys",
    "v": "values",
    "lse": "log-sum-exps",
    "mask": "masks",
    "gram": "output projections",
    "embedding": "embeddings",
    "latent_in": "latents",
    "output": "outputs",
    "pred_x0": "predicted clean latents",
}
_WORD_MAPS = "word maps"

# The order in which a call makes things: text and latent go in, sites follow, the output comes out.
_GOES_IN, _AT_SITES, _COMES_OUT, _ENDS_STEP = range(4)
_STAGES = {"embedding": _GOES_IN, "latent_in": _GOES_IN, "output": _COMES_OUT, "pred_x0": _ENDS_STEP}


@dataclass(frozen=True)
class Change:
    """Something that both recordings name differently, as text."""

    name: str
    recorded: str
    again: str


@dataclass(frozen=True)
class Place:
    """Where in a run a tensor belongs. `site` is None for what belongs to none, `step` for text of no whole step."""

    step: int | None
    call: int | None
    site: str | None
    kind: str

    def __str__(self) -> str:
        at = [f"step {self.step}" if self.step is not None else "", self.site or ""]
        if self.call is not None:
            at.insert(1, f"call {self.call}")
        return f"{', '.join(part for part in at if part)}: {self.kind}"


@dataclass(frozen=True)
class PictureDifference:
    """How far apart two pictures are.

    Attributes:
        pixels, of: how many pixels differ, of how many.
        largest: largest difference of a channel, of 255.
        psnr: peak signal-to-noise ratio in dB, peak 255; infinite for equal pictures, NaN for those of two sizes.
    """

    pixels: int
    of: int
    largest: int
    psnr: float


@dataclass(frozen=True)
class TensorDifference:
    """How far apart the tensors of one kind are.

    Attributes:
        kind: queries, keys, word maps, latents, …
        compared: how many the first recording holds.
        differing: how many of them are not equal bit by bit, missing ones included.
        missing: how many the second recording does not hold.
        largest: largest absolute difference; infinite where a tensor is missing or of another shape.
        relative: largest relative difference of a tensor: the root mean square of its differences over that of its
            values in the first recording. One cell that small changes are blown up in moves `largest`, not this.
        first: where the first of those that differ belongs.
    """

    kind: str
    compared: int
    differing: int
    missing: int
    largest: float
    relative: float
    first: Place | None


@dataclass(frozen=True)
class Difference:
    """How a second recording of a run differs from the first.

    Attributes:
        steps: whole steps of the first recording: those that were compared.
        software: versions, platform, device.
        model: what it is named, where it came from, and its files.
        settings: what the pipeline was asked for, its tokens, sites and what was kept.
        course: steps, timesteps and calls.
        picture: None where the first recording has no picture.
        tensors: one for each kind, in the order in which a call makes them.
        first: where they part first; None where all tensors are equal.
    """

    steps: int
    software: tuple[Change, ...]
    model: tuple[Change, ...]
    settings: tuple[Change, ...]
    course: tuple[Change, ...]
    picture: PictureDifference | None
    tensors: tuple[TensorDifference, ...]
    first: Place | None

    @property
    def identical(self) -> bool:
        """Whether picture, course and every tensor are the same, bit by bit."""
        same_picture = self.picture is None or self.picture.pixels == 0
        return same_picture and not self.course and self.first is None

    @property
    def relative(self) -> float:
        """The largest relative difference of any tensor, see `TensorDifference.relative`."""
        return max((kind.relative for kind in self.tensors), default=0.0)

    def within(self, tolerance: float) -> bool:
        """Whether the course is the same, no tensor's relative difference is larger than `tolerance`, and no channel
        of a pixel differs by more than `tolerance` of 255, or by 1: what rounding to whole numbers makes of nothing."""
        near = self.picture is None or self.picture.largest <= max(1.0, 255 * tolerance)
        return near and not self.course and self.relative <= tolerance

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values. What is infinite, or not a number, is None."""
        return {"identical": self.identical, **finite(asdict(self))}


def difference(recorded: Recording, again: Recording) -> Difference:
    """Compare a second recording of a run with the first, up to the first's last whole step.

    Whatever the first holds is compared, of any kind; what only the second holds is not looked at.

    Raises:
        CorruptRecordingError: a file of either is damaged.
    """
    one, other = recorded.manifest, again.manifest
    tensors = _tensors(recorded, again)
    places = [kind.first for kind in tensors if kind.first is not None]
    order = _Order(one)
    return Difference(
        steps=len(one.steps),
        software=_changes(one.software, other.software),
        model=_model(one, other),
        settings=_settings(one, other),
        course=_course(one, other),
        picture=_picture(recorded, again),
        tensors=tensors,
        first=min(places, key=order.of, default=None),
    )


# What the manifests say.


def changed_files(recorded: Iterable[FileHash], again: Iterable[FileHash]) -> tuple[Change, ...]:
    """Files of two lists that are not the same, in the order of their paths. None where either list is empty: then
    the files were not looked at."""
    one, other = ({file.path: file for file in files} for files in (recorded, again))
    if not one or not other:
        return ()
    return _changes(
        {path: _short(file) for path, file in one.items()},
        {path: _short(file) for path, file in other.items()},
        missing="missing",
    )


def _short(file: FileHash) -> str:
    return f"sha256 {file.sha256[:12]}…, {file.bytes} bytes"


def _model(one: Manifest, other: Manifest) -> tuple[Change, ...]:
    named, renamed = (manifest.model.model_dump(exclude={"files"}) for manifest in (one, other))
    return _changes(named, renamed) + changed_files(one.model.files, other.model.files)


def _settings(one: Manifest, other: Manifest) -> tuple[Change, ...]:
    asked, asked_again = (
        {
            **manifest.sampling.model_dump(exclude={"scheduler"}),
            "scheduler": manifest.sampling.scheduler.name,
            **{f"scheduler {key}": value for key, value in manifest.sampling.scheduler.config.items()},
            "tokens": " ".join(f"{token.id}" for token in manifest.text.tokens),
            "edits": manifest.edits,
            # How large a run was expected to be changes nothing in it.
            **{f"keep {key}": value for key, value in manifest.keep.model_dump(exclude={"estimate"}).items()},
            **{site.name: site.model_dump_json(exclude={"name"}) for site in manifest.sites},
        }
        for manifest in (one, other)
    )
    return _changes(asked, asked_again)


def _course(one: Manifest, other: Manifest) -> tuple[Change, ...]:
    there = {step.index: step for step in other.steps}
    changes = []
    for step in one.steps:
        match = there.get(step.index)
        if match is None:
            changes.append(Change(f"step {step.index}", _course_of(step), "missing"))
        elif not _same_course(step, match):
            changes.append(Change(f"step {step.index}", _course_of(step), _course_of(match)))
    if one.complete and not other.complete:
        changes.append(Change("picture", "drawn", "not drawn"))
    return tuple(changes)


def _same_course(one: Step, other: Step) -> bool:
    calls = [(call.index, call.rows, call.row) for call in one.calls]
    if calls != [(call.index, call.rows, call.row) for call in other.calls]:
        return False
    times, again = ([step.timestep, *(call.timestep for call in step.calls)] for step in (one, other))
    # Timetables are computed in float32, and another version may round them otherwise.
    return all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(times, again, strict=True))


def _course_of(step: Step) -> str:
    calls = ", ".join(f"{call.index} ({'+'.join(call.rows)})" for call in step.calls)
    return f"timestep {step.timestep:g}, calls {calls}"


def _changes(
    recorded: Mapping[str, Any], again: Mapping[str, Any], missing: str = NOT_SAID
) -> tuple[Change, ...]:
    names = dict.fromkeys([*recorded, *again])
    pairs = [(name, _text(recorded, name, missing), _text(again, name, missing)) for name in names]
    return tuple(Change(name, before, after) for name, before, after in pairs if before != after)


def _text(values: Mapping[str, Any], name: str, missing: str) -> str:
    if name not in values:
        return missing
    value = values[name]
    return value if isinstance(value, str) else "none" if value is None else str(value)


# Pictures.


def _picture(recorded: Recording, again: Recording) -> PictureDifference | None:
    if not (recorded.complete and again.complete):
        return None
    one, other = (np.asarray(each.image(), dtype=np.int16) for each in (recorded, again))
    of = one.shape[0] * one.shape[1]
    if one.shape != other.shape:
        return PictureDifference(of, of, 255, math.nan)
    apart = np.abs(one - other)
    mean_square = float(np.mean(np.square(apart.astype(np.float64))))
    psnr = 10 * math.log10(255**2 / mean_square) if mean_square else math.inf
    return PictureDifference(int(apart.any(axis=-1).sum()), of, int(apart.max(initial=0)), psnr)


# Tensors.


class _Order:
    """The order in which a run makes its tensors."""

    def __init__(self, manifest: Manifest) -> None:
        self._sites = {site.name: at for at, site in enumerate(manifest.sites)}
        self._last = {step.index: step.calls[-1].index for step in manifest.steps if step.calls}
        self._kinds = {kind: at for at, kind in enumerate([*_KINDS.values(), _WORD_MAPS])}
        self._stages = {_KINDS[name]: stage for name, stage in _STAGES.items()}

    def of(self, place: Place) -> tuple[float, int, int, int]:
        """A key to sort places by."""
        call = place.call if place.call is not None else self._last.get(place.step or 0, math.inf)
        stage = self._stages.get(place.kind, _AT_SITES)
        site = self._sites.get(place.site or "", -1)
        return call, stage, site, self._kinds.get(place.kind, len(self._kinds))


@dataclass
class _Tally:
    """What was found of one kind until now."""

    compared: int = 0
    missing: int = 0
    largest: float = 0.0
    relative: float = 0.0
    apart: list[Place] = field(default_factory=list)


def _tensors(recorded: Recording, again: Recording) -> tuple[TensorDifference, ...]:
    tallies: dict[str, _Tally] = {}
    for place, file, key, match in _pairs(recorded, again):
        tally = tallies.setdefault(place.kind, _Tally())
        tally.compared += 1
        if match is None:
            tally.missing += 1
            largest, relative = math.inf, math.inf
        else:
            one, other = file.read(key), match.read(key)
            if _same_bits(one, other):
                continue
            largest, relative = _apart(one, other)
        tally.apart.append(place)
        tally.largest, tally.relative = max(tally.largest, largest), max(tally.relative, relative)
    order = _Order(recorded.manifest)
    found = (
        TensorDifference(
            kind=kind,
            compared=tally.compared,
            differing=len(tally.apart),
            missing=tally.missing,
            largest=tally.largest,
            relative=tally.relative,
            first=min(tally.apart, key=order.of, default=None),
        )
        for kind, tally in tallies.items()
    )
    return tuple(sorted(found, key=lambda each: order.of(Place(None, 0, None, each.kind))))


def _pairs(
    recorded: Recording, again: Recording
) -> Iterator[tuple[Place, TensorFile, str, TensorFile | None]]:
    """Each tensor of the first recording: where it belongs, its file and key, and the second recording's file."""
    texts = [_open(again, file.path) for file in again.manifest.files if layout.is_text_file(file.path)]
    step_of = {call.index: step.index for step in recorded.manifest.steps for call in step.calls}
    for text in recorded.manifest.files:
        if layout.is_text_file(text.path):
            file = _open(recorded, text.path)
            for key in file.keys():  # noqa: SIM118 - a file, not a mapping
                match = next((each for each in texts if key in each), None)
                yield _text_place(key, step_of), file, key, match
    there = {step.index: {file.path for file in step.files} for step in again.manifest.steps}
    for step in recorded.manifest.steps:
        for path in (file.path for file in step.files if file.path.endswith(".safetensors")):
            file = _open(recorded, path)
            other = _open(again, path) if path in there.get(step.index, ()) else None
            for key in file.keys():  # noqa: SIM118 - a file, not a mapping
                match = other if other is not None and key in other else None
                yield _place(step.index, path, key), file, key, match


def _open(recording: Recording, path: str) -> TensorFile:
    return TensorFile(recording.path / path, sealed=True)


def _text_place(key: str, step_of: Mapping[int, int]) -> Place:
    name, call = layout.split_call(key) or (key, -1)
    what, _, site = name.partition("/")
    kind = _KINDS.get(what, what)
    kind = f"text {kind}" if what in ("k", "v") else kind
    return Place(step_of.get(call), call if call >= 0 else None, site or None, kind)


def _place(step: int, path: str, key: str) -> Place:
    name, call = layout.split_call(key) or (key, None)
    if path == layout.maps_file(step):
        return Place(step, call, name, _WORD_MAPS)
    what, _, site = name.partition("/")
    return Place(step, call, site or None, _KINDS.get(what, what))


def _same_bits(one: Array, other: Array) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    # As bytes, so that NaN equals itself.
    return np.array_equal(one.reshape(-1).view(np.uint8), other.reshape(-1).view(np.uint8))


def _apart(one: Array, other: Array) -> tuple[float, float]:
    """Largest absolute difference, and the root mean square of the differences over that of `one`."""
    if one.shape != other.shape:
        return math.inf, math.inf
    first, second = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gaps = np.where((first == second) | (np.isnan(first) & np.isnan(second)), 0.0, np.abs(first - second))
    if not np.isfinite(gaps).all():
        return math.inf, math.inf
    # A mask of minus infinity is equal to itself, and measures nothing.
    whole, apart = (float(np.linalg.norm(each[np.isfinite(first)])) for each in (first, gaps))
    relative = apart / whole if whole else math.inf if apart else 0.0
    return float(gaps.max(initial=0.0)), relative
