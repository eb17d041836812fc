"""Shrinking a run to a lower keep level. What stays reads exactly as before: tensors keep their bytes.

The pruned run is built beside the old one and checked, then takes its place; the old one goes to the trash. So
a kill at any moment costs nothing, and a pruning can be undone for as long as the trash keeps what it holds.
"""

from __future__ import annotations

import shutil
from collections import deque
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import get_args

from diffuscope.errors import InputError, NotKeptError, RunFolderError, listed
from diffuscope.recording import layout
from diffuscope.recording.files import flush_to_device, write_hashed
from diffuscope.recording.manifest import SCHEMA_VERSION, FileHash, Level, Manifest
from diffuscope.recording.manifest_file import ManifestFile
from diffuscope.recording.reader import Recording
from diffuscope.recording.shelf import (
    Progress,
    content,
    file_sizes,
    named_files,
    refuse_while_written,
    seem_idle,
)
from diffuscope.recording.tensors import TensorFile, safetensors_parts
from diffuscope.recording.trash import Trash, Trashed
from diffuscope.recording.verify import verify

LEVELS: tuple[Level, ...] = get_args(Level)
"""From the least that is kept to the most."""


@dataclass(frozen=True)
class Pruning:
    """What would be left out of a run; nothing is done before `apply`.

    Attributes:
        recording: the run as it is.
        keep: the level it is to have.
        tensors: file to the names of its tensors that go.
        files: files that go as a whole.
        frees: bytes that it saves, to within the headers of the files that are written anew.
    """

    recording: Recording
    keep: Level
    tensors: dict[str, frozenset[str]]
    files: frozenset[str]
    frees: int

    @classmethod
    def plan(
        cls, path: str | Path, keep: Level | None = None, *, previews: bool = True, force: bool = False
    ) -> Pruning:
        """Look at what a run would lose.

        Args:
            path: the run's folder.
            keep: the level it is to have; None leaves it as it is.
            previews: whether to keep the predicted clean pictures.
            force: prune a run that looks as if it were still being recorded, too.

        Raises:
            RunNotFoundError: there is no run.
            NotKeptError: the run kept less than `keep` already, or not what would have to remain.
            InputError: there is no such level.
            RunFolderError: the run is still being recorded.
            CorruptRecordingError, SchemaVersionError: the run is damaged.
        """
        recording = Recording.open(path)
        manifest = recording.manifest
        keep = manifest.keep.level if keep is None else keep
        if keep not in LEVELS:
            raise InputError(f"keep={keep!r} is no keep level; it is one of {', '.join(LEVELS)}")
        if LEVELS.index(keep) > LEVELS.index(manifest.keep.level):
            raise NotKeptError(
                f"{recording.path} kept {manifest.keep.level!r}, which is less than {keep!r}; what was not kept "
                f"cannot come back: record again with keep={keep!r}"
            )
        if not force:
            refuse_while_written(recording.path)
        if keep == "maps" and manifest.keep.level != "maps":
            _require_word_maps(recording)
        files = {
            file.path: file.bytes
            for file in manifest.files
            if file.path.startswith(f"{layout.PREVIEWS}/") and not previews
        }
        tensors: dict[str, frozenset[str]] = {}
        freed = sum(files.values())
        for file in named_files(manifest):
            if not file.path.endswith(".safetensors"):
                continue
            opened = TensorFile(recording.path / file.path, sealed=True)
            every = opened.keys()
            gone = frozenset(key for key in every if _above(key, manifest, keep))
            if gone and len(gone) == len(every) and layout.is_text_file(file.path):
                files[file.path] = file.bytes
                freed += file.bytes
            elif gone:
                tensors[file.path] = gone
                freed += sum(prod(opened.shape(key)) * opened.dtype(key).itemsize for key in gone)
        return cls(recording, keep, tensors, frozenset(files), freed)

    @property
    def nothing(self) -> bool:
        """Whether the run would stay as it is."""
        return not self.tensors and not self.files and self.keep == self.recording.manifest.keep.level

    def apply(self, progress: Progress | None = None) -> Trashed | None:
        """Prune the run; return what it was, in the trash. None where there was nothing to do.

        Args:
            progress: called after each file.

        Raises:
            CorruptRecordingError: a file of the run is damaged; the run is left as it is.
            RunFolderError: the pruned run cannot be written; the run is left as it is.
        """
        if self.nothing:
            return None
        place = self.recording.path
        trash = Trash(place.parent)
        with trash.workplace(place.name) as made:
            self._build(made, progress)
            found = verify(made)
            if not found.whole or found.steps != len(self.recording.manifest.steps):
                raise RunFolderError(
                    f"cannot write to {place.parent}: what was written there reads otherwise"
                )
            seem_idle(made)
            return trash.exchange(place, made, "pruned")

    def _build(self, made: Path, progress: Progress | None) -> None:
        """Write the pruned run, checking each file of the old one on the way."""
        manifest = self.recording.manifest
        for name in layout.FOLDERS:
            (made / name).mkdir()
        written = ManifestFile(made / layout.MANIFEST, self._manifest())
        total, done = sum(len(step.files) for step in manifest.steps) + len(manifest.files), 0

        def copied(files: list[FileHash]) -> list[FileHash]:
            nonlocal done
            kept = []
            for file in files:
                if file.path not in self.files:
                    kept.append(self._write(made, file))
                done += 1
                if progress is not None:
                    progress(done, total)
            return kept

        for file in copied(manifest.files):
            written.add_file(file)
        for step in manifest.steps:
            # Word maps are exact: what rounding changes is gone with the queries.
            rounding = None if self.keep == "maps" else step.rounding
            written.add_step(step.model_copy(update={"files": copied(step.files), "rounding": rounding}))
        written.close(complete=manifest.complete, stopped=manifest.stopped)
        self._copy_strangers(made)
        flush_to_device(made / file.path for file in named_files(written.manifest))
        written.write()

    def _manifest(self) -> Manifest:
        """What the pruned run says of itself, as this release writes it."""
        manifest = self.recording.manifest
        keep: dict[str, object] = {"level": self.keep}
        if self.keep != manifest.keep.level:
            # It was estimated for the level that it was recorded at.
            keep |= {"estimate": None, "values": False}
        return manifest.model_copy(
            update={"schema_version": SCHEMA_VERSION, "keep": manifest.keep.model_copy(update=keep)}
        )

    def _write(self, made: Path, file: FileHash) -> FileHash:
        folder = self.recording.path
        (made / file.path).parent.mkdir(parents=True, exist_ok=True)
        gone = self.tensors.get(file.path)
        if gone is None:
            return write_hashed(made, file.path, content(folder, file), flush=False)
        deque(content(folder, file), maxlen=0)  # Checks it.
        old = TensorFile(folder / file.path, sealed=True)
        left = {key: old.read(key) for key in old.keys() if key not in gone}  # noqa: SIM118 - a file, not a mapping
        return write_hashed(made, file.path, safetensors_parts(left, old.metadata), flush=False)

    def _copy_strangers(self, made: Path) -> None:
        """What else lies in the folder stays in it (a report, events), but for what killed writers left there."""
        folder = self.recording.path
        known = {layout.MANIFEST, *(file.path for file in named_files(self.recording.manifest))}
        for name in file_sizes(folder).keys() - known:
            first = name.split("/")[0]
            if first in (*layout.FOLDERS, layout.TEXTS) or name.endswith(".part"):
                continue
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(folder / name, path, follow_symlinks=False)


def _above(key: str, manifest: Manifest, keep: Level) -> bool:
    """Whether a tensor is kept at higher levels only (`docs/format.md`): all that belongs to a single site is, but
    for its word maps."""
    name, _ = layout.split_call(key) or (key, 0)
    what, slash, site = name.partition("/")
    kind = next((each.kind for each in manifest.sites if each.name == site), None)
    if not what or not slash or kind is None:
        return False
    needs: Level = "cross" if kind == "cross" or what == "gram" else "qk"
    return LEVELS.index(needs) > LEVELS.index(keep)


def _require_word_maps(recording: Recording) -> None:
    """Word maps are what remains at level ``maps``: a run without them would lose all of its attention.

    Raises:
        NotKeptError: they are not there.
        CorruptRecordingError: a file is damaged.
    """
    manifest = recording.manifest
    kinds = {site.name: site.kind for site in manifest.sites}
    sites = [name for name in manifest.keep.sites if kinds[name] != "self"]
    for step in map(recording.step, recording.attended_steps):
        maps = layout.maps_file(step.index)
        named = any(file.path == maps for file in step.files)
        there = TensorFile(recording.path / maps, sealed=True).keys() if named else ()
        due = {layout.at_call(site, call.index) for site in sites for call in step.calls if call.row >= 0}
        lacking = sorted(due - set(there))
        if lacking:
            raise NotKeptError(
                f"{recording.path} has no word maps in step {step.index} ({listed(lacking, 2)}), and keep='maps' "
                "would leave nothing else of its attention; prune it to 'cross'"
            )
