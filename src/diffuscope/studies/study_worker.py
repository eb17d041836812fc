"""What runs in a worker: a model, loaded once, that draws batches of units and measures them."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from PIL import Image

from diffuscope.errors import RunFolderError
from diffuscope.recording.manifest import Level
from diffuscope.recording.pruning import Pruning
from diffuscope.recording.shelf import file_sizes
from diffuscope.run import Run
from diffuscope.studies.conditions import edited, names_things, parsed, placed
from diffuscope.studies.measuring import LEVELS, Chosen, Drawn
from diffuscope.studies.plan import MeasureChoice

Job = Mapping[str, Any]
Row = dict[str, Any]
UNEDITED = 256
"""Unedited pictures that a worker remembers, for edits that act where something is on them."""


class StudyWorker:
    """Draws and measures. Made in the worker's own process; torch is loaded here and not where the study is led."""

    def __init__(
        self,
        *,
        folder: str,
        model: Mapping[str, Any],
        measures: Sequence[Mapping[str, Any]],
        modules: Sequence[str] = (),
        keep: str = "none",
        thumbnail: int = 96,
        device: str | None = None,
        index: int = 0,
    ) -> None:
        """Load the model.

        Args:
            folder: of the study; kept runs go there.
            model: fields of a plan's `ModelChoice`.
            measures, modules: what is measured, and modules that declare measures.
            keep: what stays on disk of each run.
            thumbnail: longer side in pixels of the small picture; 0 for none.
            device: where the model runs; the best there is, by the number of the worker, where None.
            index: number of the worker.

        Raises:
            as `Lens.load`, and InputError for a measure that this worker does not know.
        """
        from diffuscope.engine.lens import Lens
        from diffuscope.engine.many import devices, source_of
        from diffuscope.engine.quiet import quiet_libraries

        quiet_libraries()
        self.folder, self.index, self.keep, self.thumbnail = Path(folder), index, keep, thumbnail
        self.chosen = Chosen.of([MeasureChoice.model_validate(each) for each in measures], modules)
        self.needs = self.chosen.needs
        self.devices = devices()
        place = device or self.devices[index % len(self.devices)]
        self.lens = Lens.load(
            model["id"],
            device=place,
            dtype=model.get("dtype"),
            revision=model.get("revision"),
            **({"config": model["config"]} if model.get("config") else {}),
        )
        self.device = place
        self._source = asdict(source_of(self.lens))
        self._unedited: dict[tuple[str, int, str], Image.Image] = {}
        self._work = self.folder / "work" / f"{socket.gethostname()}-{os.getpid()}"

    def about(self) -> dict[str, Any]:
        """Which model this is, and how many workers this machine has devices for."""
        return {"source": self._source, "devices": self.devices}

    def work(self, jobs: Sequence[Job]) -> list[Row]:
        """Draw units together and measure them: a row for each, in order. A unit that fails gives an error row; where
        they fail together, each is drawn alone."""
        try:
            return self._batch(jobs)
        except Exception as error:
            if len(jobs) == 1 or stops(error):
                return [failed(job, error) for job in jobs]
            return [self.work([job])[0] for job in jobs]
        finally:
            shutil.rmtree(self._work, ignore_errors=True)

    def _batch(self, jobs: Sequence[Job]) -> list[Row]:
        from diffuscope.engine.many import draw_many, record_many

        settings, edits = jobs[0]["settings"], jobs[0]["edits"]
        level = max(self.keep, self.needs, key=LEVELS.index)
        if edits and level != "none" and len(jobs) > 1:
            # A replay of a picture draws as many as it was drawn with: of a batch, the batch again for each of them.
            return [row for job in jobs for row in self.work([job])]
        pairs = [(job["prompt"], job["seed"]) for job in jobs]
        began = time.perf_counter()
        runs: list[Run | None] = [None] * len(jobs)
        if level == "none":
            lists = self._edits(pairs, settings, edits) if edits else ()
            images = draw_many(self.lens, pairs, settings, lists)
        else:
            asked = cast("Level", level)
            # Replay needs what the denoiser gave, which every level keeps.
            made = record_many(self.lens, pairs, settings, asked, self._work, previews=self.chosen.previews)
            if edits:
                made = [
                    edited(self.lens, run, here, self._work) if here else run
                    for run, here in (
                        (run, placed(edits, run.image, seed))
                        for run, (_, seed) in zip(made, pairs, strict=True)
                    )
                ]
            runs, images = list(made), [run.image for run in made]
        seconds = (time.perf_counter() - began) / len(jobs)
        rows = []
        for job, run, image in zip(jobs, runs, images, strict=True):
            try:
                rows.append(self._row(job, run, image, seconds, len(jobs)))
            except Exception as error:  # One picture's measures fail; its neighbours' stand.
                rows.append(failed(job, error))
        return rows

    def _edits(
        self,
        pairs: Sequence[tuple[str, int]],
        settings: Mapping[str, Any],
        edits: Sequence[Mapping[str, Any]],
    ) -> list[list[Any]]:
        """The edits of each picture; those that act on a thing look for it on the unedited picture."""
        if not names_things(edits):
            return [parsed(edits, "of this unit")] * len(pairs)
        keys = [(*pair, json.dumps(settings, sort_keys=True)) for pair in pairs]
        if any(key not in self._unedited for key in keys):
            from diffuscope.engine.many import draw_many

            self._unedited.update(zip(keys, draw_many(self.lens, pairs, settings), strict=True))
        found = [self._unedited[key] for key in keys]
        while len(self._unedited) > UNEDITED:
            del self._unedited[next(iter(self._unedited))]
        return [
            parsed(placed(edits, image, seed), "of this unit")
            for image, (_, seed) in zip(found, pairs, strict=True)
        ]

    def _row(self, job: Job, run: Run | None, image: Image.Image, seconds: float, batch: int) -> Row:
        began = time.perf_counter()
        values = self.chosen.measure(Drawn(image, job["prompt"], run), job["factors"])
        kept = self._keep(job, run)
        return {
            "key": job["key"],
            "status": "ok",
            "values": values,
            "run": str(kept.relative_to(self.folder).as_posix()) if kept else None,
            "kept_bytes": sum(file_sizes(kept).values()) if kept else 0,
            "draw_seconds": seconds,
            "measure_seconds": time.perf_counter() - began,
            "batch": batch,
            "picture_sha256": hashlib.sha256(image.convert("RGB").tobytes()).hexdigest(),
            "width": image.width,
            "height": image.height,
            "thumbnail": _thumbnail(image, self.thumbnail),
            "host": socket.gethostname(),
            "worker": self.index,
            "device": self.device,
        }

    def _keep(self, job: Job, run: Run | None) -> Path | None:
        """Move a recording to its place under the unit's key, shrunk to the level that is kept."""
        if run is None or self.keep == "none":
            return None
        if run.manifest.keep.level != self.keep:
            # Just written and complete; what is put away goes with the work folder.
            Pruning.plan(
                run.path, cast("Level", self.keep), previews=self.chosen.previews, force=True
            ).apply()
        place = self.folder / "runs" / job["key"][:32]
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():  # Of a worker that was killed before its row was committed.
            shutil.rmtree(place)
        Path(run.path).replace(place)
        return Path(place)


def failed(job: Job, error: BaseException) -> Row:
    """An error row; of a full disk, a row that stops the study, since the next unit would fail the same way."""
    code = getattr(error, "code", type(error).__name__)
    line = " ".join(str(error).split())[:500] or type(error).__name__
    return {
        "key": job["key"],
        "status": "stop" if stops(error) else "error",
        "error_kind": str(code),
        "error": line,
        # What the user gave is wrong: trying again would give the same.
        "final": isinstance(error, ValueError) and hasattr(error, "code"),
        "host": socket.gethostname(),
    }


def stops(error: BaseException) -> bool:
    """Whether an error is the disk's and not the unit's."""
    if isinstance(error, RunFolderError):
        return True
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def _thumbnail(image: Image.Image, side: int) -> str | None:
    if not side:
        return None
    small, file = image.convert("RGB"), BytesIO()
    small.thumbnail((side, side))
    small.save(file, "WEBP", quality=82)
    return base64.b64encode(file.getvalue()).decode("ascii")
