"""Opening a run folder and answering with arrays, without torch.

Nothing here trusts the folder: the manifest is sealed, files must have the size that it says, tensors their
checksum and the shape of their site, pictures their hash. What does not hold is an error, never a wrong map.
"""

from __future__ import annotations

import hashlib
import io
import os
from bisect import bisect_right
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffuscope.errors import (
    CorruptRecordingError,
    NotKeptError,
    RunNotFoundError,
    SelectionError,
    listed,
    near_first,
)
from diffuscope.ranges import Ranges
from diffuscope.recording import layout
from diffuscope.recording.manifest import Call, FileHash, Level, Manifest, Site, Step
from diffuscope.recording.manifest_file import read_manifest
from diffuscope.recording.tensors import Array, TensorFile

MAX_OPEN_FILES = 128
"""Tensor files kept mapped. A mapping takes no memory of its own, but a file descriptor."""


class Recording:
    """A recorded run on disk.

    Arrays are read-only views of mapped files, in the dtype in which they were kept, and of the conditional
    row alone unless said otherwise. Axes: `head` counts the heads that were kept (see `heads`); `query` is a cell
    of the site's grid, row-major from the top left; `key` is a text token at cross sites, a cell of the grid at
    self sites, and at joint sites first the text tokens and then the cells, whatever order the model has them in.

    A `step` is a step's index in the manifest. A `call` is a call's index in the whole run, and None is the
    step's last call that has a conditional row. Every method that takes them raises `SelectionError` for one
    that is not there, `NotKeptError` for what was not recorded, and `CorruptRecordingError` for a damaged
    file.

    Attributes:
        path: the run's folder.
        manifest: everything about the run that is not a tensor, as it was on disk when it was opened.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._sites = {site.name: site for site in manifest.sites}
        self._steps = {step.index: step for step in manifest.steps}
        self._files = {file.path: file for step in manifest.steps for file in step.files}
        self._files |= {file.path: file for file in manifest.files}
        self._file = lru_cache(maxsize=MAX_OPEN_FILES)(self._open_file)

    @classmethod
    def open(cls, path: str | Path) -> Recording:
        """Open a run folder. One that was interrupted opens too, and one that is still being written, up to
        the last step that is whole now.

        Args:
            path: the folder, or its ``manifest.json``.

        Raises:
            RunNotFoundError: there is no run.
            SchemaVersionError: it was written by a later release.
            CorruptRecordingError: its manifest is damaged.
        """
        folder = Path(path)
        # `os.path` answers False where `Path` raises: for names too long, and for those no system has.
        if folder.name == layout.MANIFEST and os.path.isfile(folder):
            folder = folder.parent
        if not os.path.isfile(folder / layout.MANIFEST):
            raise RunNotFoundError(_no_run(folder))
        manifest = read_manifest(folder / layout.MANIFEST)
        return cls(folder, manifest if manifest.complete else _without_lost_steps(folder, manifest))

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return self.manifest.complete

    # What the manifest says.

    def step(self, index: int) -> Step:
        """A step's entry of the manifest."""
        try:
            return self._steps[index]
        except KeyError:
            there = sorted(self._steps)
            have = f"steps {there[0]} to {there[-1]}" if there else "no whole step"
            raise SelectionError(f"there is no step {index}; this run has {have}") from None

    def site(self, name: str) -> Site:
        """A site's entry of the manifest."""
        try:
            return self._sites[name]
        except KeyError:
            there = listed(near_first(name, list(self._sites)), 12)
            raise SelectionError(f"there is no site {name!r}; there are: {there}") from None

    def call(self, step: int, call: int | None = None) -> Call:
        """A call's entry of the manifest; None is as the class says."""
        calls = self.step(step).calls
        if call is None and calls:
            return next((each for each in reversed(calls) if each.row >= 0), calls[-1])
        for each in calls:
            if each.index == call:
                return each
        have = ", ".join(str(each.index) for each in calls) or "none"
        raise SelectionError(f"step {step} has no call {call}; its calls are: {have}")

    def heads(self, site: str) -> tuple[int, ...]:
        """Which of a site's heads were kept, ascending: what the axis `head` of its tensors stands for."""
        return Ranges.of(self.manifest.keep.heads, "heads").within(self.site(site).heads)

    @cached_property
    def attended_steps(self) -> tuple[int, ...]:
        """The whole steps whose attention was kept, ascending."""
        kept = Ranges.of(self.manifest.keep.steps, "steps").within(max(self._steps, default=-1) + 1)
        return tuple(step for step in kept if step in self._steps)

    # Pictures.

    def image(self) -> Image.Image:
        """The picture, RGB."""
        if layout.IMAGE not in self._files:
            raise NotKeptError(f"run {self.manifest.id} was stopped before its picture was drawn")
        return self._picture(layout.IMAGE)

    def preview(self, step: int) -> Image.Image:
        """The predicted clean picture of a step, RGB."""
        name = layout.preview_file(self.step(step).index)
        if name not in self._files:
            raise NotKeptError(
                f"run {self.manifest.id} has no predicted clean pictures; record with previews=True"
            )
        return self._picture(name)

    # Attention.

    def query(self, site: str, step: int, call: int | None = None) -> Array:
        """Queries ``[head, query, dim]``, unscaled. Kept of cross sites at ``cross``, of others at ``qk``."""
        described = self.site(site)
        whole = self._of_site("q", described, step, call, described.queries)
        return whole if described.image_keys is None else whole[:, slice(*described.image_keys)]

    def text_query(self, site: str, step: int, call: int | None = None) -> Array:
        """Queries of the text ``[head, token, dim]`` at a joint site, kept at ``qk``: what its tokens ask for."""
        described = self.site(site)
        if described.text_keys is None:
            raise SelectionError(
                f"at {site} the text asks for nothing; joint sites alone have queries of the text"
            )
        whole = self._of_site("q", described, step, call, described.queries)
        return whole[:, slice(*described.text_keys)]

    def keys(self, site: str, step: int, call: int | None = None) -> Array:
        """Keys ``[head, key, dim]``. Kept of cross sites at ``cross``, of others at ``qk``."""
        described = self.site(site)
        if described.kind == "cross":
            return self._of_text("k", described, step, call)
        return _text_first(self._of_site("k", described, step, call, described.keys), described, 1)

    def values(self, site: str, step: int, call: int | None = None) -> Array:
        """Values ``[head, key, dim]``. Kept of cross sites at ``cross``; of others at ``qk`` on request."""
        described = self.site(site)
        if described.kind == "cross":
            return self._of_text("v", described, step, call)
        return _text_first(self._of_site("v", described, step, call, described.keys), described, 1)

    def lse(self, site: str, step: int, call: int | None = None) -> Array:
        """Row log-sum-exp ``[head, query]`` of the scaled and masked products, float32, natural logarithm. Kept of
        self and joint sites at ``qk``, where the kernel yielded it."""
        described = self.site(site)
        entry = self._conditional(step, call)
        self._check_attended(step)
        key = layout.at_call(f"lse/{site}", entry.index)
        shape = (len(self.heads(site)), described.queries)
        whole = self._read(layout.step_file(step), key, shape, described, "qk")
        return whole if described.image_keys is None else whole[:, slice(*described.image_keys)]

    def mask(self, site: str, step: int, call: int | None = None) -> Array | None:
        """What the kernel was told to leave out, broadcastable to ``[head, query, key]``: booleans (True takes part)
        or numbers that are added to the scaled products; causal masks are written out. None where there was none."""
        described = self.site(site)
        mask: Array | None = None
        if described.mask != "none":
            entry = self._conditional(step, call)
            mask = self._version(f"mask/{site}", entry.index, (None, None, None), described)
            heads = self.heads(site)
            if len(mask) > 1 and len(heads) < len(mask):
                mask = mask[list(heads)]
            if described.image_keys is not None:
                mask = mask[:, slice(*described.image_keys)] if mask.shape[1] > 1 else mask
                mask = _text_first(mask, described, 2) if mask.shape[2] > 1 else mask
        if described.causal:
            causal = np.tri(described.grid[0] * described.grid[1], described.keys, dtype=bool)[None]
            if mask is None:
                mask = causal
            elif mask.dtype == np.bool_:
                mask = mask & causal
            else:
                mask = np.where(causal, mask.astype(np.float32), -np.inf)
        return mask

    def gram(self, site: str) -> Array:
        """Gram matrices of the output projection, ``[head, dim, dim]`` of *all* heads, float32: with `o` a row of
        ``P V``, ``sqrt(o @ gram[head] @ o)`` is the norm of what the head adds to the output there. Kept at ``cross``
        and ``qk`` of sites that have an output projection of their own."""
        described = self.site(site)
        shape = (described.heads, described.head_dim, described.head_dim)
        versions = self._versions.get(f"gram/{site}")
        if not versions:
            raise self._not_kept(f"the output projection of {site}", described, "cross")
        return self._read_version(f"gram/{site}", versions[0], shape)

    def word_maps(self, site: str, step: int, call: int | None = None) -> Array:
        """Head-mean attention probability ``[token, query]``, float32, of a cross or joint site.

        Tokens are those from the first to the last that is not padding. Kept at every level.
        """
        described = self.site(site)
        entry = self._conditional(step, call)
        name, key = layout.maps_file(step), layout.at_call(site, entry.index)
        self._check_attended(step)
        if name not in self._files:
            raise self._not_kept(f"word maps of step {step}", described, "maps")
        queries = described.grid[0] * described.grid[1]
        return self._read(name, key, (None, queries), described, "maps")

    # Latents and text.

    def latent(self, step: int, call: int | None = None) -> Array:
        """What went into a call, ``[row, channel, y, x]``: all rows of this picture, named by `Call.rows`."""
        key = layout.at_call("latent_in", self.call(step, call).index)
        return self._read(layout.step_file(step), key, (None, None, None, None))

    def output(self, step: int, call: int | None = None) -> Array:
        """What the denoiser returned, before guidance, ``[row, channel, y, x]``, rows as of `latent`."""
        key = layout.at_call("output", self.call(step, call).index)
        return self._read(layout.step_file(step), key, (None, None, None, None))

    def pred_x0(self, step: int) -> Array:
        """The clean latent predicted at a step, ``[channel, y, x]``."""
        return self._read(layout.step_file(self.step(step).index), "pred_x0", (None, None, None))

    def text(self, name: str, step: int | None = None, call: int | None = None) -> Array:
        """A text tensor by its name: ``embedding`` (``[token, channel]``), ``k/<site>``, ``v/<site>``.

        Args:
            name: without the call.
            step, call: where in the run; with neither, the version that holds first.
        """
        if step is None and call is None:
            versions = self._versions.get(name)
            if not versions:
                raise self._not_kept(f"text tensor {name!r}", None, "cross")
            return self._read_version(name, versions[0], None)
        if step is None:
            return self._version(name, call or 0, None, None)
        return self._version(name, self.call(step, call).index, None, None)

    def let_go(self, step: int) -> None:
        """Give back the memory that a step's tensors take. Whoever reads many steps in turn holds one at a time."""
        self._file(layout.step_file(self.step(step).index)).let_go()

    # Finding things.

    def _of_site(self, kind: str, site: Site, step: int, call: int | None, length: int) -> Array:
        entry = self._conditional(step, call)
        self._check_attended(step)
        key = layout.at_call(f"{kind}/{site.name}", entry.index)
        needs: Level = "cross" if site.kind == "cross" else "qk"
        heads = len(self.heads(site.name))
        return self._read(layout.step_file(step), key, (heads, length, site.head_dim), site, needs)

    def _of_text(self, kind: str, site: Site, step: int, call: int | None) -> Array:
        entry = self._conditional(step, call)
        shape = (site.heads, site.keys, site.head_dim)
        every = self._version(f"{kind}/{site.name}", entry.index, shape, site)
        heads = self.heads(site.name)
        # Text is small, and concepts want all of it: every head's is stored, whichever queries were.
        return every if len(heads) == site.heads else every[list(heads)]

    def _conditional(self, step: int, call: int | None) -> Call:
        entry = self.call(step, call)
        if entry.row < 0:
            raise NotKeptError(
                f"call {entry.index} of step {step} had no conditional row, so its attention was not kept"
            )
        return entry

    def _version(
        self, name: str, call: int, shape: tuple[int | None, ...] | None, site: Site | None
    ) -> Array:
        """The version that holds at a call: the one with the latest first call that is not after it."""
        versions = self._versions.get(name, [])
        at = bisect_right(versions, call, key=lambda version: version[0]) - 1
        if at < 0:
            raise self._not_kept(f"text tensor {name!r}", site, "cross")
        return self._read_version(name, versions[at], shape)

    def _read_version(
        self, name: str, version: tuple[int, str], shape: tuple[int | None, ...] | None
    ) -> Array:
        first, file = version
        return self._read(file, layout.at_call(name, first), shape)

    @cached_property
    def _versions(self) -> dict[str, list[tuple[int, str]]]:
        """Name of a text tensor to ``(first call, file)``, ascending."""
        versions: dict[str, list[tuple[int, str]]] = {}
        for path in self._files:
            if layout.is_text_file(path):
                for key in self._file(path).keys():  # noqa: SIM118 - a file, not a mapping
                    split = layout.split_call(key)
                    if split is None:
                        raise CorruptRecordingError(f"{self.path / path}: tensor {key!r} names no call")
                    versions.setdefault(split[0], []).append((split[1], path))
        return {name: sorted(found) for name, found in versions.items()}

    # Reading and checking.

    def _read(
        self,
        name: str,
        key: str,
        shape: tuple[int | None, ...] | None,
        site: Site | None = None,
        needs: Level = "maps",
    ) -> Array:
        """A tensor of a file of the run, of the shape that it must have (None: any)."""
        file = self._file(name)
        if key not in file:
            raise self._not_kept(repr(key), site, needs)
        found = file.shape(key)
        if shape is not None and (
            len(found) != len(shape)
            or any(want not in (None, have) for want, have in zip(shape, found, strict=True))
        ):
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise CorruptRecordingError(
                f"{file.path}: {key!r} has shape {list(found)} where [{wanted}] is due"
            )
        return file.read(key)

    def _open_file(self, name: str) -> TensorFile:
        path = self._checked_path(name)
        file = TensorFile(path, sealed=True)
        belongs = {"run": self.manifest.id, "file": name}
        if {key: file.metadata.get(key) for key in belongs} != belongs:
            of = f"{file.metadata.get('file')} of run {file.metadata.get('run')}"
            raise CorruptRecordingError(f"{path}: this is {of}, which strayed here")
        return file

    def _picture(self, name: str) -> Image.Image:
        path = self._checked_path(name)
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != self._files[name].sha256:
                raise CorruptRecordingError(f"{path} was damaged or changed after it was written")
            with Image.open(io.BytesIO(content)) as picture:
                return picture.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise CorruptRecordingError(f"{path} cannot be read: {error}") from error

    def _checked_path(self, name: str) -> Path:
        """Path of a file of the manifest: of the size it names, and no link that leads out of the folder."""
        known: FileHash | None = self._files.get(name)
        path = self.path / name
        if known is None:
            raise CorruptRecordingError(f"{path} is not among the files of the manifest")
        try:
            inside = path.resolve(strict=True).is_relative_to(self.path.resolve())
            size = path.stat().st_size
        except OSError as error:
            raise CorruptRecordingError(f"{path} cannot be read: {error.strerror or error}") from error
        if not inside:
            raise CorruptRecordingError(f"{path} is a link that leads out of the run folder")
        if size != known.bytes:
            raise CorruptRecordingError(f"{path} has {size} bytes; {known.bytes} were written")
        return path

    def _check_attended(self, step: int) -> None:
        if step not in self.attended_steps:
            raise NotKeptError(
                f"attention of step {step} was not kept: this run kept that of steps {self.manifest.keep.steps}"
            )

    def _not_kept(self, what: str, site: Site | None, needs: Level) -> NotKeptError:
        keep = self.manifest.keep
        if site is not None and site.name not in keep.sites:
            return NotKeptError(
                f"{site.name} was not kept in this run, which kept {listed(keep.sites) or 'no site'}; "
                "record again with it among the sites"
            )
        order: tuple[Level, ...] = ("maps", "cross", "qk")
        if order.index(keep.level) < order.index(needs):
            return NotKeptError(
                f"{what} was not kept: this run was recorded with keep={keep.level!r}; "
                f"record again with keep={needs!r}"
            )
        return NotKeptError(f"this run does not hold {what}")

    def __repr__(self) -> str:
        state = "" if self.complete else ", incomplete"
        level = self.manifest.keep.level
        return f"<Recording {self.manifest.id}: {len(self._steps)} steps, keep={level!r}{state}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Mapped files do not travel between processes; they are opened again there.
        return type(self), (self.path, self.manifest)


def _text_first(sequence: Array, site: Site, axis: int) -> Array:
    """A joint site's keys with the text first; those of other sites as they are."""
    if site.text_keys is None or site.image_keys is None or site.text_keys[0] == 0:
        return sequence
    at = [(slice(None),) * axis + (slice(*span),) for span in (site.text_keys, site.image_keys)]
    return np.concatenate([sequence[at[0]], sequence[at[1]]], axis=axis)


def _without_lost_steps(folder: Path, manifest: Manifest) -> Manifest:
    """An interrupted run without the last steps whose files a power failure took: to its last whole step."""
    steps = list(manifest.steps)
    while steps and not all(_is_whole(folder / file.path, file) for file in steps[-1].files):
        steps.pop()
    return manifest if len(steps) == len(manifest.steps) else manifest.model_copy(update={"steps": steps})


def _is_whole(path: Path, file: FileHash) -> bool:
    try:
        return path.stat().st_size == file.bytes
    except OSError:
        return False


def _no_run(folder: Path) -> str:
    """What is wrong with a path that holds no run, and runs nearby that may be meant."""
    if os.path.isdir(folder):
        return f"{folder} is no run: it has no {layout.MANIFEST}"
    try:
        # Names with a dot in front are what a killed writer left, and the trash.
        runs = sorted(path.parent.name for path in folder.parent.glob(f"[!.]*/{layout.MANIFEST}"))
    except (OSError, ValueError):
        runs = []
    near = listed(near_first(folder.name, runs), 3)
    return f"there is no run {folder}" + (f"; {folder.parent} has: {near}" if near else "")
