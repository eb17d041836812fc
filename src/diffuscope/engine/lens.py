"""The one door to the running model: `Lens.load`, `lens.record`."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.filesize import decimal

from diffuscope.engine.capture.carry import room_for_waiting
from diffuscope.engine.capture.kept import Keeping
from diffuscope.engine.capture.session import FirstCall, Open, Session
from diffuscope.engine.estimate import Estimate, estimate
from diffuscope.engine.models.family import AttentionSite
from diffuscope.engine.models.loading import SHIPPED, Loaded, around, load
from diffuscope.engine.models.provenance import plain, software
from diffuscope.engine.models.registry import family_of
from diffuscope.engine.order import DEFAULT_BUDGET, Order, Store, Wish, check
from diffuscope.errors import CaptureError, RunFolderError
from diffuscope.recording import (
    SCHEMA_VERSION,
    Keep,
    Level,
    Manifest,
    ModelInfo,
    Recording,
    RunWriter,
    Sampling,
    Scheduler,
)
from diffuscope.run import Run
from diffuscope.selection import Choice, SiteChoice

Progress = Callable[[int, int], None]


class _Enough(Exception):
    """Stops a pipeline whose first call has shown what there was to know."""

    def __init__(self, estimate: Estimate) -> None:
        super().__init__("enough was seen")
        self.estimate = estimate


class Lens:
    """A pipeline under the lens.

    `Lens.load("scenes")` opens the shipped model, a folder in diffusers layout or a hub id; `Lens(pipe)` takes a
    pipeline that the user has made, and leaves it as it is.
    """

    def __init__(self, pipe: Any, *, loaded: Loaded | None = None) -> None:
        """Raises UnsupportedModelError if no family adapter serves `pipe`."""
        self.family = family_of(pipe)
        self.pipe = pipe
        self.loaded = loaded if loaded is not None else around(pipe)
        self.warnings: list[str] = []
        """What the last `record` had to say: words that were cut, words that the shipped model does not know."""

    @classmethod
    def load(
        cls,
        model: str | Path = SHIPPED,
        *,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
    ) -> Lens:
        """Open a model. Raises ModelNotFoundError or UnsupportedModelError; see `engine.models.loading.load`."""
        loaded = load(model, device=device, dtype=dtype, revision=revision)
        return cls(loaded.pipe, loaded=loaded)

    @property
    def sites(self) -> tuple[AttentionSite, ...]:
        """Every attention site of the model, in the order of the data."""
        return self.family.sites(self.pipe)

    def record(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        guidance_scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        images_per_prompt: int = 1,
        keep: Level | None = None,
        sites: SiteChoice = None,
        grids: str | None = None,
        keep_steps: Choice = None,
        keep_heads: Choice = None,
        values: bool = False,
        store: Store = "kernel",
        budget: int | str = DEFAULT_BUDGET,
        out: str | Path = "runs",
        previews: bool = True,
        progress: Progress | None = None,
        on_estimate: Callable[[Estimate], None] | None = None,
    ) -> Any:
        """Draw a picture and record what the model attends to while it does. The picture is the one that the pipeline
        draws without the lens, to the bit.

        Args:
            prompt: what to draw.
            negative_prompt: what guidance moves away from; the empty prompt by default.
            seed: of the first noise. Picture `i` of several has the seed `seed + i`.
            steps: number of scheduler steps; the pipeline's own default where none is given (shipped model: 25).
            guidance_scale: weight of classifier-free guidance; 1 or less means none. Default as for `steps`.
            width, height: of the picture in pixels.
            images_per_prompt: how many pictures; each gets a run folder of its own.
            keep: `maps`, `cross` or `qk`: what is kept. By default the highest level that fits `budget`.
            sites: pattern of the sites to keep (`cross:up.*,self:*`); all by default.
            grids: of which grids sites are kept, height x width (`16x16,8x8`); all by default.
            keep_steps: at which steps attention is kept (`0:10`); at all by default. Latents are kept of all.
            keep_heads: whose queries and keys are kept (`0:4`), counted within each site; of all by default.
            values: keep the values of self-attention too (with `qk`).
            store: `kernel` keeps tensors in the type that the kernel received, `float16` rounds what is larger, and
                the largest change that this makes to a probability is written down for each step.
            budget: bytes that a run may take on disk where `keep` is not given: a number, or `500MB`, `2GB`.
            out: folder of runs; a new folder is made in it for each picture.
            previews: whether to decode the predicted clean image of each step.
            progress: called as `progress(step, steps)` after each step.
            on_estimate: called with the estimate of the run's size when it is known, before anything is written.

        Returns:
            A `Run`, or a list of them when `images_per_prompt` is more than one.

        Raises:
            PromptError, SizeError, SelectionError, RunFolderError, InputError: bad input, before anything runs; a
                grid that no site has, or a disk with too little room, after the first call of the denoiser.
            CaptureError: the model's attention could not be recorded whole; what was recorded stays readable.
        """
        wish = Wish(keep, sites, grids, keep_steps, keep_heads, values, store, budget, previews)
        order = self._order(
            prompt,
            wish,
            negative_prompt=negative_prompt,
            seed=seed,
            steps=steps,
            guidance_scale=guidance_scale,
            width=width,
            height=height,
            images_per_prompt=images_per_prompt,
        )
        folder = _runs_folder(Path(out))
        started = time.strftime("%Y%m%d-%H%M%S")
        names = [_run_id(started, prompt, seed + i) for i in range(images_per_prompt)]
        writers: list[RunWriter] = []

        def open_writers(first: FirstCall) -> tuple[list[RunWriter], Keeping]:
            keeping, size = _plan(order, first)
            if on_estimate is not None:
                on_estimate(size)
            _check_room(folder, size)
            for index, name in enumerate(names):
                manifest = self._manifest(name, order, index, first, keeping, size)
                room = room_for_waiting(first.latent.device)
                writers.append(RunWriter(folder / name, manifest, max_waiting=room))
                writers[-1].event("estimate", **size.to_json())
            return writers, keeping

        try:
            images = self._draw(order, open_writers, progress)
            for writer, image in zip(writers, images, strict=True):
                if previews:
                    self._write_previews(writer)
                writer.finish(image)
        except BaseException as error:
            for writer in writers:
                writer.abort(f"{type(error).__name__}: {error}".strip(": "))
            raise
        runs = [Run(Recording.open(folder / name)) for name in names]
        return runs[0] if images_per_prompt == 1 else runs

    def estimate(self, prompt: str, **settings: Any) -> Estimate:
        """What `record` with the same arguments would take on disk. Costs the text encoder and one call of the
        denoiser; nothing is written.

        Args:
            prompt: what to draw.
            **settings: those of `record`, without `out`, `progress` and `on_estimate`.

        Raises:
            as `record`, and TypeError for an argument that it does not have.
        """
        names = {"steps": "keep_steps", "heads": "keep_heads"}
        given = {
            field.name: settings.pop(name)
            for field in fields(Wish)
            if (name := names.get(field.name, field.name)) in settings
        }
        asked = {
            "negative_prompt": None,
            "seed": 0,
            "steps": None,
            "guidance_scale": None,
            "width": None,
            "height": None,
            "images_per_prompt": 1,
        }
        unknown = sorted(settings.keys() - asked.keys())
        if unknown:
            raise TypeError(f"estimate() got an unexpected keyword argument {unknown[0]!r}")
        order = self._order(prompt, Wish(**given), **{**asked, **settings})

        def stop(first: FirstCall) -> tuple[list[RunWriter], Keeping]:
            raise _Enough(_plan(order, first)[1])

        try:
            self._draw(order, stop, None)
        except _Enough as enough:
            return enough.estimate
        raise CaptureError("the pipeline never called its denoiser")

    def _order(self, prompt: str, wish: Wish, **settings: Any) -> Order:
        order = check(self.pipe, self.family, self.loaded.id, wish, prompt=prompt, **settings)
        self.warnings = list(order.warnings)
        return order

    def _draw(self, order: Order, open_writers: Open, progress: Progress | None) -> list[Image.Image]:
        """Run the ordinary pipeline inside a session."""
        session = Session(
            self.pipe,
            self.family,
            pictures=order.pictures,
            tokens=order.tokens,
            lse=order.level in (None, "qk"),
            open_writers=open_writers,
            progress=progress,
        )
        with session:
            made = self.pipe(
                order.prompt,
                negative_prompt=order.negative_prompt,
                num_inference_steps=order.num_steps,
                guidance_scale=order.guidance_scale,
                height=order.height,
                width=order.width,
                num_images_per_prompt=order.pictures,
                generator=_generators(order.seed, order.pictures),
            )
        return list(made.images)

    # What is written.

    def _manifest(
        self, name: str, order: Order, index: int, first: FirstCall, keeping: Keeping, size: Estimate
    ) -> Manifest:
        denoiser = self.family.denoiser(self.pipe)
        dtype = str(next(denoiser.parameters()).dtype).removeprefix("torch.")
        kernel = next(iter(first.seen.values())).query.dtype
        return Manifest(
            schema_version=SCHEMA_VERSION,
            id=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            complete=False,
            stopped=None,
            software=software(self.pipe.device),
            model=ModelInfo(
                id=self.loaded.id,
                source=self.loaded.source,
                family=self.family.name,
                pipeline=type(self.pipe).__name__,
                revision=self.loaded.revision,
                dtype=dtype,
                files=self.loaded.files,
            ),
            sampling=Sampling(
                prompt=order.prompt,
                negative_prompt=order.negative_prompt,
                seed=order.seed + index,
                steps=order.num_steps,
                guidance_scale=order.guidance_scale,
                width=order.width,
                height=order.height,
                image_index=index,
                images_per_prompt=order.pictures,
                scheduler=Scheduler(
                    name=type(self.pipe.scheduler).__name__, config=plain(self.pipe.scheduler.config)
                ),
            ),
            text=order.text,
            sites=first.sites,
            keep=Keep(
                level=keeping.level,
                dtype="float16" if keeping.float16 else str(kernel).removeprefix("torch."),
                sites=[site.name for site in first.sites if site.name in keeping.sites],
                steps=str(keeping.steps),
                heads=str(keeping.heads),
                values=keeping.values,
                estimate=size.bytes[size.level],
            ),
            steps=[],
            edits=[],
            parent=None,
            files=[],
        )

    def _write_previews(self, writer: RunWriter) -> None:
        """Decode the predicted clean latent of every step, a few at a time, after the run and out of its way."""
        writer.flush()
        recording = Recording.open(writer.folder)
        clean = [torch.from_numpy(recording.pred_x0(step.index).copy()) for step in recording.manifest.steps]
        for first in range(0, len(clean), 8):
            part = self.family.decode(self.pipe, torch.stack(clean[first : first + 8]))
            for offset, picture in enumerate(part):
                array = (picture.permute(1, 2, 0).numpy() * 255).round().astype("uint8")
                writer.write_preview(first + offset, Image.fromarray(array))


def _plan(order: Order, first: FirstCall) -> tuple[Keeping, Estimate]:
    """What is kept of a run, and how much that will be."""
    keeping = Keeping(
        level=order.level or "qk",
        sites=order.kept_sites(first.sites),
        steps=order.steps,
        heads=order.heads,
        float16=order.float16,
        values=order.values,
    )
    size = estimate(
        first,
        keeping,
        asked=order.level,
        budget=order.budget,
        tokens=order.tokens,
        pictures=order.pictures,
        picture_bytes=order.height * order.width * 3,
        previews=order.previews,
    )
    return replace(keeping, level=size.level), size


def _check_room(folder: Path, size: Estimate) -> None:
    free = shutil.disk_usage(folder).free
    if size.total > free:
        raise RunFolderError(
            f"recording needs {size}, and {folder} has {decimal(free)} free; keep less, or choose another with out="
        )


def _generators(seed: int, count: int) -> Any:
    """Noise is drawn on the CPU, so that a seed means the same picture on every device."""
    made = [torch.Generator("cpu").manual_seed(seed + index) for index in range(count)]
    return made[0] if count == 1 else made


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


def _run_id(started: str, prompt: str, seed: int) -> str:
    """Readable, sortable by time, and unlike any other: time, words of the prompt, seed, four random digits."""
    words = "-".join(re.findall(r"[a-z0-9]+", prompt.lower())[:6])[:40].strip("-") or "run"
    return f"{started}-{words}-{seed}-{secrets.token_hex(2)}"
