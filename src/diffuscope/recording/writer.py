"""Writing a run folder while the model draws, behind its back.

Everything is written by one thread, in the order in which it was handed over: a step's tensors, its word
maps, then the manifest that names it. So at every moment the manifest on disk names whole steps only, and a
run that is killed opens up to the last of them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from PIL import Image

from diffuscope.errors import RecordingError, RunFolderError
from diffuscope.recording import layout
from diffuscope.recording.background import Background
from diffuscope.recording.files import Buffer, flush_to_device, write_hashed
from diffuscope.recording.manifest import FileHash, Manifest, Step
from diffuscope.recording.manifest_file import ManifestFile
from diffuscope.recording.tensors import Array, safetensors_parts

MAX_WAITING = 256 * 2**20
"""Bytes of tensors that may wait for the disk; beyond it `RunWriter.write_step` waits."""

FLUSH_EVERY = 1.0
"""Seconds between flushes of tensors to the device: each takes longer than a small model's step.
What a power failure takes of the last second, the reader leaves out as not whole."""


class Later(Protocol):
    """An array that is not there yet, as of a copy from a GPU: calling it waits for it. `nbytes` is its size."""

    @property
    def nbytes(self) -> int: ...

    def __call__(self) -> Array: ...


Given = Array | Later


class RunWriter:
    """Writes one run. As a context manager: leaving it by an exception closes the run as stopped, and leaving it
    without one raises what could not be written and was not told of yet.

    Arrays and pictures that are handed over belong to the writer: they must not be changed afterwards.

    Attributes:
        folder: of the run.
    """

    def __init__(
        self,
        folder: str | Path,
        manifest: Manifest,
        *,
        max_waiting: int | None = None,
        as_it_goes: bool = True,
    ) -> None:
        """Make the folder, with a manifest of no steps in it: from now on it opens as an interrupted run.

        Args:
            folder: the run's own; it must not exist, or be empty.
            manifest: what is known before the first step; its steps and files are left out.
            max_waiting: bytes of tensors that may wait for the disk; `MAX_WAITING` when None.
            as_it_goes: whether each step can be read as soon as it is whole. Otherwise all of them can when the run is
                finished or aborted, and none of a run that was killed; it costs a small model half as much.

        Raises:
            RunFolderError: the folder holds something already, or cannot be written.
        """
        self.folder = Path(folder)
        self._claim(manifest)
        self._manifest = ManifestFile(self.folder / layout.MANIFEST, manifest)
        self._run, self._asked = manifest.id, manifest.sampling.steps
        self._texts = 0
        self._unflushed: list[str] = []
        self._unnamed: set[str] = set()
        self._flushed_at = time.monotonic()
        self._last_step = self._last_call = -1
        self._text: dict[str, Array] = {}
        self._text_calls: dict[str, int] = {}
        self._closed = False
        self._as_it_goes = as_it_goes
        self._events_lock = threading.Lock()
        self._events: TextIO = self._open_events()
        self._background = Background(
            f"diffuscope writer {manifest.id}", MAX_WAITING if max_waiting is None else max_waiting
        )
        self.event("started", id=manifest.id, steps=manifest.sampling.steps)

    @property
    def manifest(self) -> Manifest:
        """The manifest as it stands; after `flush`, as it is on disk."""
        return self._manifest.manifest

    # Handing over.

    def write_step(self, step: Step, tensors: Mapping[str, Given], maps: Mapping[str, Given]) -> None:
        """Hand over a whole step; its `files` are filled in here.

        Args:
            step: its entry of the manifest.
            tensors: what was kept of its calls; keys as `docs/format.md` says (``q/cross:mid@12``, …). Each is an
                array, or a `Later`, which is asked for its array on the writing thread.
            maps: word maps, ``<site>@<call>`` to float32 ``[token, query]``.

        Raises:
            RunFolderError: something handed over earlier could not be written.
            RecordingError: the writer is closed, or steps or calls come out of order.
        """
        calls = [call.index for call in step.calls]
        if (
            step.index <= self._last_step
            or calls != sorted(set(calls))
            or (calls and calls[0] <= self._last_call)
        ):
            raise RecordingError(f"step {step.index} with calls {calls} was handed over out of order")
        self._last_step, self._last_call = step.index, calls[-1] if calls else self._last_call
        tensors, maps = dict(tensors), dict(maps)

        def write() -> None:
            # With nothing else to do, flushing costs the run little: it is waiting more than work.
            flush = self._as_it_goes and self._background.waiting <= 1
            files = [self._write_tensors(layout.step_file(step.index), tensors, flush)]
            if maps:
                files.append(self._write_tensors(layout.maps_file(step.index), maps, flush))
            self._manifest.add_step(step.model_copy(update={"files": files}))
            if self._as_it_goes:
                if time.monotonic() - self._flushed_at > FLUSH_EVERY:
                    self._flush_to_device()
                self._manifest.write()
                self.event("step", step=step.index, of=self._asked)

        self._put(write, sum(array.nbytes for part in (tensors, maps) for array in part.values()))

    def write_text(self, tensors: Mapping[str, Given]) -> None:
        """Hand over text tensors, ``<name>@<call>``. One that equals the last version of its name is left out: a
        version holds from its call on.

        Raises:
            RunFolderError: something handed over earlier could not be written.
            RecordingError: the writer is closed, or the versions of a name come out of order.
        """
        kept: dict[str, tuple[int, Given]] = {}
        for key, given in tensors.items():
            name, call = layout.split_call(key) or (key, -1)
            if call <= self._text_calls.get(name, -1):
                raise RecordingError(f"text tensor {key} was written before, or comes after a later one")
            self._text_calls[name] = call
            kept[name] = (call, given)

        def write() -> None:
            arrays = {name: (call, _arrived(given)) for name, (call, given) in kept.items()}
            fresh = {name: each for name, each in arrays.items() if self._is_new(name, each[1])}
            if fresh:
                # Copies: a model may use the memory again.
                self._text |= {name: array.copy() for name, (_, array) in fresh.items()}
                file = layout.text_file(self._texts)
                self._texts += 1
                named = {layout.at_call(name, call): array for name, (call, array) in fresh.items()}
                # Named in the manifest with the next step: no earlier one needs it.
                self._manifest.add_file(self._write_tensors(file, named))

        self._put(write, sum(given.nbytes for _, given in kept.values()))

    def write_preview(self, step: int, image: Image.Image) -> None:
        """Hand over the predicted clean picture of a step. Raises as `write_text`."""
        name = layout.preview_file(step)
        self._put(lambda: self._manifest.add_file(self._write_picture(name, image)), _size(image))

    def event(self, kind: str, **data: Any) -> None:
        """Append a line to ``events.jsonl`` at once: time (ISO 8601, UTC), kind, and data, plain JSON.

        Raises:
            RunFolderError: it cannot be written.
        """
        line = json.dumps(
            {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": kind, **data}
        )
        try:
            with self._events_lock:
                self._events.write(line + "\n")
                self._events.flush()
        except (OSError, ValueError) as error:  # ValueError: closed.
            raise self._cannot(error) from error

    # Coming to an end.

    def flush(self) -> None:
        """Wait until all that was handed over is on disk, and can be read.

        Raises:
            RunFolderError: something could not be written.
        """
        if not self._as_it_goes:
            self._put(self._manifest.write)
        self._background.drain()

    def finish(self, image: Image.Image) -> None:
        """Write the picture and close the run as complete.

        Raises:
            RunFolderError: something could not be written; then `abort` closes what is whole.
        """
        self._put(lambda: self._manifest.add_file(self._write_picture(layout.IMAGE, image)), _size(image))

        def close() -> None:
            self._flush_to_device()
            self._manifest.close(complete=True, stopped=None)
            try:
                self._manifest.write()
            except OSError:
                self._manifest.close(complete=False, stopped=None)
                raise

        self._put(close)
        self._background.drain()
        with contextlib.suppress(RunFolderError):  # The run is whole without it.
            self.event("finished")
        self._close()

    def abort(self, reason: str) -> None:
        """Close the run as stopped, with every step that is whole. After `finish` or `abort` it does nothing.

        Raises nothing, since it is called on the way out of something worse: on a full disk the last manifest
        stands as it is.
        """
        if self._closed:
            return
        self._background.close()
        if not self._manifest.complete:  # Interrupted in `finish` after its last file: then the run is whole.
            self._manifest.close(complete=False, stopped=reason)
            with contextlib.suppress(OSError):
                self._flush_to_device()
            with contextlib.suppress(OSError):
                self._manifest.write()
            with contextlib.suppress(RunFolderError):
                self.event("stopped", reason=reason)
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort(f"{kind.__name__}: {error}".strip(": ") if kind else "closed before it was finished")
        # What was handed over last may have failed after the last call here: no other error is there to tell of it.
        if kind is None and self._background.failure is not None:
            raise self._background.failure

    # On this thread.

    def _claim(self, manifest: Manifest) -> None:
        """Make the folder under another name, then rename it: it appears with its manifest, to one writer."""
        made = self.folder.with_name(f".{self.folder.name}.{secrets.token_hex(4)}.part")
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            made.mkdir()
            for name in layout.FOLDERS:
                (made / name).mkdir()
            ManifestFile(made / layout.MANIFEST, manifest).write()
            if os.name == "nt" and self.folder.is_dir():
                self.folder.rmdir()  # POSIX renames over an empty folder, Windows over none.
            made.rename(self.folder)
        except (OSError, ValueError) as error:  # ValueError: a null character in the name.
            shutil.rmtree(made, ignore_errors=True)
            if os.path.isdir(self.folder) and any(self.folder.iterdir()):
                raise RunFolderError(
                    f"{self.folder} holds something already; a run needs a folder of its own"
                ) from error
            raise self._cannot(error, steps=0) from error

    def _open_events(self) -> TextIO:
        try:
            return (self.folder / layout.EVENTS).open("a", encoding="utf-8")
        except OSError as error:
            raise self._cannot(error, steps=0) from error

    def _put(self, job: Callable[[], None], nbytes: int = 0) -> None:
        if self._closed:
            raise RecordingError(f"the run in {self.folder} is closed; nothing can be added to it")

        def watched() -> None:
            try:
                job()
            except OSError as error:
                raise error if isinstance(error, RunFolderError) else self._cannot(error) from error

        self._background.put(watched, nbytes)

    def _close(self) -> None:
        self._background.close()
        self._closed = True
        self._events.close()

    # On the writing thread.

    def _is_new(self, name: str, array: Array) -> bool:
        last = self._text.get(name)
        # As bytes: what is stored is what was given, not a number equal to it.
        return (
            last is None
            or last.dtype != array.dtype
            or last.shape != array.shape
            or last.tobytes() != array.tobytes()
        )

    def _write_tensors(self, name: str, tensors: Mapping[str, Given], flush: bool = False) -> FileHash:
        arrays = {key: _arrived(given) for key, given in tensors.items()}
        # Saying where they belong, so that a file that strays from another step or run is known.
        return self._write(name, safetensors_parts(arrays, {"run": self._run, "file": name}), flush)

    def _write_picture(self, name: str, image: Image.Image) -> FileHash:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return self._write(name, [buffer.getvalue()])

    def _write(self, name: str, parts: Iterable[Buffer], flush: bool = False) -> FileHash:
        written = write_hashed(self.folder, name, parts, flush=flush)
        self._unnamed.add(name.rpartition("/")[0])
        if not flush:
            self._unflushed.append(name)
        return written

    def _flush_to_device(self) -> None:
        """Wait until files that were not flushed when they were written, and the names of all, are on the device."""
        flush_to_device(
            [self.folder / name for name in self._unflushed], [self.folder / name for name in self._unnamed]
        )
        self._unflushed.clear()
        self._unnamed.clear()
        self._flushed_at = time.monotonic()

    def _cannot(self, error: Exception, steps: int | None = None) -> RunFolderError:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        steps = self._manifest.whole_steps if steps is None else steps
        kept = f"; the first {steps} of its steps stay readable" if steps else ""
        return RunFolderError(f"cannot write a run to {self.folder}: {why}{kept}")


def _arrived(given: Given) -> Array:
    return given() if callable(given) else given


def _size(image: Image.Image) -> int:
    return image.width * image.height * len(image.getbands())
