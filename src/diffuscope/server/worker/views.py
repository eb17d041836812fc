"""What is seen of a run while it is drawn: its steps, its words' maps, and the predicted clean picture."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.errors import DiffuscopeError
from diffuscope.recording import Recording, layout
from diffuscope.recording.tensors import TensorFile
from diffuscope.server.describing import word_entries
from diffuscope.server.job import DRAWN, PREVIEWS
from diffuscope.server.resources import as_webp

if TYPE_CHECKING:
    from diffuscope.engine.estimate import Estimate
    from diffuscope.engine.lens import Lens

PREVIEW_SHARE = 0.2
"""Part of the time of drawing that predicted clean pictures may take beside it."""

PREVIEW_SIDE = 512
"""Longer side of such a picture in pixels."""


class Watcher:
    """Tells of one recording while it is drawn. `step` and `estimate` are what `Lens.record` calls.

    Args:
        event: says what happens.
        poll: called at each step; may raise to stop the drawing.
        lens: what draws.
        folder: of the job.
        opened: whether to say when the recording's folder is there, and to show it: not so of a control, which is
            drawn after the run that is looked at.
    """

    def __init__(
        self,
        event: Callable[..., None],
        poll: Callable[[], None],
        lens: Lens,
        folder: Path,
        *,
        opened: bool = True,
    ) -> None:
        self._event, self._poll, self._lens, self._folder = event, poll, lens, folder
        self._shown = opened
        self._run: Path | None = None
        self._before = _drawn(folder)
        self._began = time.monotonic()
        self._spent = 0.0
        self._preview: str | None = None
        self._last = -1

    def estimate(self, needed: Estimate) -> None:
        """How large the run will be."""
        self._event("estimate", **needed.to_json())

    def step(self, done: int, of: int) -> None:
        """A step is over. Raises whatever `poll` raises."""
        index = done - 1
        if self._run is None:
            new = [each for each in _drawn(self._folder) if each not in self._before]
            if new:
                self._run = new[0]
                if self._shown:
                    self._open(of)
        job = self._folder.name
        maps = f"api/jobs/{job}/maps/{index:04d}.safetensors" if self._run and self._shown else None
        if self._shown:
            self._look(index)
        self._event("step", step=index, of=of, preview=self._preview, maps=maps)
        self._poll()

    def _open(self, of: int) -> None:
        assert self._run is not None
        manifest = Recording.open(self._run).manifest
        words = [entry["label"] for entry in word_entries(manifest)]
        self._event("opened", run=self._run.name, steps=of, words=words)

    def _look(self, newest: int) -> None:
        """Decode the predicted clean picture of the newest step that is on disk, where there is time for it."""
        elapsed = time.monotonic() - self._began
        if self._run is None or (self._last >= 0 and self._spent > PREVIEW_SHARE * elapsed):
            return
        began = time.monotonic()
        for index in (newest, newest - 1):
            path = self._run / layout.step_file(index)
            if index > self._last and path.is_file():
                try:
                    self._decode(path, index)
                except (DiffuscopeError, OSError, RuntimeError, ValueError) as error:
                    # The recording goes on without: a preview is worth no run.
                    self._event("note", message=f"no previews while drawing: {type(error).__name__}")
                    self._shown = False
                break
        self._spent += time.monotonic() - began

    def _decode(self, path: Path, index: int) -> None:
        from diffuscope.engine.preview import preview

        picture = preview(self._lens, TensorFile(path).read("pred_x0"))
        folder = self._folder / PREVIEWS
        folder.mkdir(exist_ok=True)
        partial = folder / f".{index:04d}.part"
        partial.write_bytes(as_webp(picture, PREVIEW_SIDE))
        partial.rename(folder / f"{index:04d}.webp")
        self._last = index
        self._preview = f"api/jobs/{self._folder.name}/previews/{index:04d}.webp"


def _drawn(folder: Path) -> list[Path]:
    """Recordings in a job's folder, those half made left out."""
    try:
        found: list[Any] = sorted((folder / DRAWN).iterdir())
    except OSError:
        return []
    return [path for path in found if not path.name.startswith(".") and (path / layout.MANIFEST).is_file()]
