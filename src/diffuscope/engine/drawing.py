"""Running a pipeline's call inside a recording session: from an order to run folders."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.filesize import decimal

from diffuscope.engine.capture.carry import room_for_waiting
from diffuscope.engine.capture.kept import Keeping
from diffuscope.engine.capture.session import FirstCall, Session
from diffuscope.engine.capture.unkept import Unkept, Writer
from diffuscope.engine.estimate import LEVELS, Estimate, estimate
from diffuscope.engine.models.family import Family
from diffuscope.engine.models.loading import Loaded
from diffuscope.engine.models.provenance import dtype_of, plain, software
from diffuscope.engine.models.refusals import refuse_state
from diffuscope.engine.order import Order
from diffuscope.errors import CaptureError, RunFolderError
from diffuscope.recording import (
    SCHEMA_VERSION,
    Keep,
    Manifest,
    ModelInfo,
    Recording,
    RunWriter,
    Sampling,
    Scheduler,
)
from diffuscope.run import Run

Progress = Callable[[int, int], None]
OnEstimate = Callable[[Estimate], None]


class _EnoughError(Exception):
    """Stops a pipeline whose first call has shown what there was to know."""

    def __init__(self, first: FirstCall) -> None:
        super().__init__("enough was seen")
        self.first = first


class Drawing:
    """One call of a pipeline, to be recorded.

    Args:
        pipe, family, loaded: the pipeline, its adapter, and where it came from.
        order: what is drawn and what is kept.
        call: runs the pipeline and gives what it returns.
    """

    def __init__(
        self, pipe: Any, family: Family, loaded: Loaded, order: Order, call: Callable[[], Any]
    ) -> None:
        self.pipe, self.family, self.loaded, self.order, self.call = pipe, family, loaded, order, call
        self.output: Any = None
        """What the pipeline returned."""
        self.session: Callable[..., Session] = Session
        """What records it: `engine.replay` starts from another run's calls."""
        self.edits: list[Any] = []
        """Edits that are on while it runs, in their JSON form, for the manifest."""
        self.edits_of: list[list[Any]] | None = None
        """The same of each picture, where they are not one."""
        self.parent: str | None = None
        """Id of the run that is edited."""
        self.only: int | None = None
        """The one picture that is recorded of those that are drawn together; None for all."""
        self.as_it_goes = True
        """Whether steps can be read while it runs; see `RunWriter`."""
        self.warnings: list[str] = []
        """What was found out while it ran."""

    def record(
        self, out: str | Path, progress: Progress | None = None, on_estimate: OnEstimate | None = None
    ) -> list[Run]:
        """Run it and write a run folder for each picture; see `Lens.record` for arguments and errors."""
        order = self.order
        folder = _runs_folder(Path(out))
        started = time.strftime("%Y%m%d-%H%M%S")
        names = [_run_id(started, each.prompt, each.seed) for each in order.pictures]
        writers: list[Writer] = []
        level: list[str] = []

        def open_writers(first: FirstCall) -> tuple[list[Writer], Keeping]:
            size = self._size(first)
            keeping, needed = _plan(order, first, size)
            level.append(needed.level)
            if on_estimate is not None:
                on_estimate(needed)
            _check_room(folder, needed)
            for index, name in enumerate(names):
                if self.only not in (None, index):
                    writers.append(Unkept())
                    continue
                manifest = self._manifest(name, index, size, first, keeping, needed)
                room = room_for_waiting(first.latent.device)
                writers.append(
                    RunWriter(folder / name, manifest, max_waiting=room, as_it_goes=self.as_it_goes)
                )
                writers[-1].event("estimate", **needed.to_json())
            return writers, keeping

        try:
            images = self._run(open_writers, progress)
            if len(writers) != len(images):
                raise CaptureError(
                    f"the pipeline gave {len(images)} pictures where {len(order.pictures)} were to be recorded"
                )
            for writer, image in zip(writers, images, strict=True):
                if order.keeping.previews and isinstance(writer, RunWriter):
                    self._write_previews(writer)
                writer.finish(image)
        except BaseException as error:
            told = _told(error, level[0] if level else None)
            for writer in writers:
                writer.abort(f"{type(told).__name__}: {told}".strip(": "))
            if told is not error:
                raise told from error
            raise
        kept = names if self.only is None else [names[self.only]]
        return [Run(Recording.open(folder / name)) for name in kept]

    def estimate(self, first: FirstCall | None = None) -> Estimate:
        """What `record` would take on disk: one call of the denoiser where `first` is not known, nothing written."""
        first = self.look() if first is None else first
        return _plan(self.order, first, self._size(first))[1]

    def look(self) -> FirstCall:
        """What the first call of the denoiser shows; nothing is written, and nothing drawn after it."""

        def stop(first: FirstCall) -> tuple[list[Writer], Keeping]:
            raise _EnoughError(first)

        try:
            self._run(stop, None)
        except _EnoughError as enough:
            return enough.first
        raise CaptureError("the pipeline never called its denoiser")

    def _run(self, open_writers: Any, progress: Progress | None) -> list[Image.Image]:
        """Run the ordinary pipeline inside a session; the pictures that it gives."""
        refuse_state(self.pipe, self.family.denoiser(self.pipe), self.family.sites(self.pipe))
        session = self.session(
            self.pipe,
            self.family,
            pictures=len(self.order.pictures),
            tokens=self.order.tokens,
            lse=self.order.keeping.level in (None, "qk"),
            branch=self.order.keeping.branch,
            open_writers=open_writers,
            progress=progress,
            level=self.order.keeping.level,
        )
        with session:
            self.output = self.call()
        return self.pictures(self.output)

    def pictures(self, output: Any) -> list[Image.Image]:
        """The pictures in what the pipeline returned, whatever `output_type` it was asked for."""
        made = output[0] if isinstance(output, tuple) else output.images
        if isinstance(made, torch.Tensor):
            # Latents have another number of channels; they are decoded for the recording alone.
            shown = made if made.dim() == 4 and made.shape[1] == 3 else self.family.decode(self.pipe, made)
            made = shown.detach().float().cpu().permute(0, 2, 3, 1).numpy()
        if isinstance(made, np.ndarray):
            made = [Image.fromarray((each * 255).round().clip(0, 255).astype("uint8")) for each in made]
        return list(made)

    def _size(self, first: FirstCall) -> tuple[int, int]:
        """Height and width of the picture, from the latent where nobody asked for a size."""
        factor = int(getattr(self.pipe, "vae_scale_factor", 8))
        if first.latent.dim() != 4:
            return self.order.size or self.family.default_size(self.pipe)
        drawn = (first.latent.shape[-2] * factor, first.latent.shape[-1] * factor)
        if self.order.size is not None and self.order.size != drawn:
            asked = "x".join(map(str, self.order.size))
            self.warnings.append(
                f"the pipeline draws at {drawn[0]}x{drawn[1]} and brings the picture to {asked} (height x width) "
                "afterwards: maps are of what it drew"
            )
        return self.order.size or drawn

    # What is written.

    def _manifest(
        self,
        name: str,
        index: int,
        size: tuple[int, int],
        first: FirstCall,
        keeping: Keeping,
        needed: Estimate,
    ) -> Manifest:
        order, picture = self.order, self.order.pictures[index]
        kernel = next(iter(first.seen.values())).query.dtype
        return Manifest(
            schema_version=SCHEMA_VERSION,
            id=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            complete=False,
            stopped=None,
            software=software(first.latent.device),
            model=ModelInfo(
                id=self.loaded.id,
                source=self.loaded.source,
                family=self.family.name,
                pipeline=type(self.pipe).__name__,
                revision=self.loaded.revision,
                dtype=dtype_of(self.family.denoiser(self.pipe), kernel),
                files=self.loaded.files,
            ),
            sampling=Sampling(
                prompt=picture.prompt,
                negative_prompt=picture.negative_prompt,
                seed=picture.seed,
                steps=order.num_steps,
                guidance_scale=order.guidance_scale,
                width=size[1],
                height=size[0],
                image_index=index,
                images_per_prompt=len(order.pictures),
                scheduler=Scheduler(
                    name=type(self.pipe.scheduler).__name__, config=plain(self.pipe.scheduler.config)
                ),
                options=dict(order.options),
            ),
            text=picture.text,
            sites=first.sites,
            keep=Keep(
                level=keeping.level,
                dtype="float16" if keeping.float16 else str(kernel).removeprefix("torch."),
                sites=[site.name for site in first.sites if site.name in keeping.sites],
                steps=str(keeping.steps),
                heads=str(keeping.heads),
                values=keeping.values,
                estimate=needed.bytes[needed.level],
                branch=order.keeping.branch,
            ),
            steps=[],
            edits=self.edits if self.edits_of is None else self.edits_of[index],
            parent=self.parent,
            files=[],
        )

    def _write_previews(self, writer: RunWriter) -> None:
        """Decode the predicted clean latent of every step, a few at a time, after the run and out of its way."""
        writer.flush()
        recording = Recording.open(writer.folder)
        clean = [
            torch.from_numpy(np.array(recording.pred_x0(step.index), np.float32))
            for step in recording.manifest.steps
        ]
        for first in range(0, len(clean), 8):
            part = self.family.decode(self.pipe, torch.stack(clean[first : first + 8]))
            for offset, picture in enumerate(part):
                array = (picture.permute(1, 2, 0).numpy() * 255).round().astype("uint8")
                writer.write_preview(first + offset, Image.fromarray(array))


def _plan(order: Order, first: FirstCall, size: tuple[int, int]) -> tuple[Keeping, Estimate]:
    """What is kept of a run, and how much that will be."""
    granted = order.keeping
    keeping = Keeping(
        level=granted.level or "qk",
        sites=granted.kept_sites(first.sites),
        steps=granted.steps,
        heads=granted.heads,
        float16=granted.float16,
        values=granted.values,
    )
    needed = estimate(
        first,
        keeping,
        asked=granted.level,
        budget=granted.budget,
        tokens=order.tokens,
        pictures=len(order.pictures),
        picture_bytes=size[0] * size[1] * 3,
        previews=granted.previews,
    )
    return replace(keeping, level=needed.level), needed


def _told(error: BaseException, level: str | None) -> BaseException:
    """An error that says what to do where the library's own does not: memory has run out."""
    full = isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "not enough memory" in str(error)
    )
    if not full:
        return error
    if level is None:
        return CaptureError(
            "memory ran out before anything was kept: the model itself does not fit; draw a smaller picture or fewer "
            "at once, or use half precision (dtype=) or the pipeline's own offloading"
        )
    smaller = LEVELS[LEVELS.index(level) - 1] if level in LEVELS[1:] else None
    remedy = (
        f"record with keep={smaller!r}, which holds less at once"
        if smaller
        else "draw a smaller picture or fewer at once"
    )
    return CaptureError(f"memory ran out; what was recorded until then stays readable. To go on, {remedy}")


def _check_room(folder: Path, size: Estimate) -> None:
    free = shutil.disk_usage(folder).free
    if size.total > free:
        raise RunFolderError(
            f"recording needs {size}, and {folder} has {decimal(free)} free; keep less, or choose another with out="
        )


def _runs_folder(folder: Path) -> Path:
    """The folder of runs, made if need be and tried before anything runs.

    Raises:
        RunFolderError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".trial-{secrets.token_hex(4)}"
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        raise RunFolderError(
            f"cannot write runs to {folder}: {error.strerror or error}; choose another with out="
        ) from error
    return folder


def _run_id(started: str, prompt: str, seed: int | None) -> str:
    """Readable, sortable by time, and unlike any other: time, words of the prompt, seed, four random digits."""
    words = "-".join(re.findall(r"[a-z0-9]+", prompt.lower())[:6])[:40].strip("-") or "run"
    number = "" if seed is None else f"-{seed}"
    return f"{started}-{words}{number}-{secrets.token_hex(2)}"
