"""The one door to the running model: `Lens.load`, `lens.record`."""

from __future__ import annotations

import inspect
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import torch
from PIL import Image

from diffuscope.engine.capture.session import Session
from diffuscope.engine.models.family import AttentionSite
from diffuscope.engine.models.loading import SHIPPED, Loaded, around, load
from diffuscope.engine.models.provenance import plain, software
from diffuscope.engine.models.registry import family_of
from diffuscope.engine.models.tokens import read_prompt
from diffuscope.errors import InputError, PromptError, RunFolderError, SizeError
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
    Site,
    TextInfo,
)
from diffuscope.run import Run
from diffuscope.selection import Selection

Progress = Callable[[int, int], None]

SHIPPED_STEPS, SHIPPED_GUIDANCE = 25, 4.0
"""What the shipped model is used and measured with; other models have their pipeline's own defaults."""


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
        sites: str | None = None,
        out: str | Path = "runs",
        previews: bool = True,
        progress: Progress | None = None,
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
            keep: `maps`, `cross` or `qk`: what is kept. `qk` by default.
            sites: pattern of the sites to keep (`cross:up.*,self:*`); all by default.
            out: folder of runs; a new folder is made in it for each picture.
            previews: whether to decode the predicted clean image of each step.
            progress: called as `progress(step, steps)` after each step.

        Returns:
            A `Run`, or a list of them when `images_per_prompt` is more than one.

        Raises:
            PromptError, SizeError, SelectionError, RunFolderError, InputError: bad input, before anything runs.
            CaptureError: the model's attention could not be recorded whole; what was recorded stays readable.
        """
        steps = self._default("num_inference_steps", SHIPPED_STEPS) if steps is None else steps
        guidance = (
            self._default("guidance_scale", SHIPPED_GUIDANCE) if guidance_scale is None else guidance_scale
        )
        level: Level = "qk" if keep is None else keep
        levels = get_args(Level)
        if level not in levels:
            raise InputError(f"keep={level!r} is no keep level; it is one of {', '.join(levels)}")
        if steps < 1:
            raise InputError(f"steps={steps}: a picture needs at least one step")
        if images_per_prompt < 1:
            raise InputError(f"images_per_prompt={images_per_prompt}: it is at least 1")
        text = self._read(prompt)
        size = self._size(height, width)
        chosen = self._choose(sites)
        folder = _runs_folder(Path(out))
        started = time.strftime("%Y%m%d-%H%M%S")
        names = [_run_id(started, prompt, seed + i) for i in range(images_per_prompt)]
        writers: list[RunWriter] = []

        def open_writers(described: list[Site]) -> list[RunWriter]:
            for index, name in enumerate(names):
                sampling = Sampling(
                    prompt=prompt,
                    negative_prompt=negative_prompt,
                    seed=seed + index,
                    steps=steps,
                    guidance_scale=guidance,
                    width=size[1],
                    height=size[0],
                    image_index=index,
                    images_per_prompt=images_per_prompt,
                    scheduler=Scheduler(
                        name=type(self.pipe.scheduler).__name__, config=plain(self.pipe.scheduler.config)
                    ),
                )
                manifest = self._manifest(name, sampling, text, described, level, chosen)
                writers.append(RunWriter(folder / name, manifest))
            return writers

        session = Session(
            self.pipe,
            self.family,
            pictures=images_per_prompt,
            tokens=sum(token.kind != "padding" for token in text.tokens),
            level=level,
            sites=chosen,
            open_writers=open_writers,
            progress=progress,
        )
        try:
            with session:
                made = self.pipe(
                    prompt,
                    negative_prompt=negative_prompt,
                    num_inference_steps=steps,
                    guidance_scale=guidance,
                    height=size[0],
                    width=size[1],
                    num_images_per_prompt=images_per_prompt,
                    generator=_generators(seed, images_per_prompt),
                )
            for writer, image in zip(writers, made.images, strict=True):
                if previews:
                    self._write_previews(writer)
                writer.finish(image)
        except BaseException as error:
            for writer in writers:
                writer.abort(f"{type(error).__name__}: {error}".strip(": "))
            raise
        runs = [Run(Recording.open(folder / name)) for name in names]
        return runs[0] if images_per_prompt == 1 else runs

    # What is checked before anything runs.

    def _default(self, name: str, shipped: Any) -> Any:
        if self.loaded.id == SHIPPED:
            return shipped
        return inspect.signature(self.pipe.__call__).parameters[name].default

    def _read(self, prompt: str) -> TextInfo:
        if not prompt.strip():
            raise PromptError(
                "the prompt is empty; say what to draw, for example 'a red circle left of a blue square'"
            )
        tokenizer = self.pipe.tokenizer
        text = read_prompt(tokenizer, prompt, tokenizer.model_max_length)
        self.warnings = []
        if text.cut:
            self.warnings.append(
                f"the text encoder takes {text.length} tokens; this part of the prompt was cut: {text.cut!r}"
            )
        if self.loaded.id == SHIPPED:
            from diffuscope.scenes.prompts import near_words

            for word, near in near_words(prompt):
                hint = f"; near words: {', '.join(near)}" if near else ""
                self.warnings.append(f"the scenes model does not know the word {word!r}{hint}")
        return text

    def _size(self, height: int | None, width: int | None) -> tuple[int, int]:
        default = self.family.default_size(self.pipe)
        size = (height or default[0], width or default[1])
        multiple = self.family.size_multiple(self.pipe)
        for name, value in zip(("height", "width"), size, strict=True):
            if value < multiple or value % multiple:
                near = max(multiple, round(value / multiple) * multiple)
                raise SizeError(f"{name} {value} is not a multiple of {multiple}; {near} would be")
        return size

    def _choose(self, sites: str | None) -> tuple[AttentionSite, ...]:
        every = self.sites
        names = set(Selection.of(sites=sites).resolve_sites([site.name for site in every]))
        return tuple(site for site in every if site.name in names)

    # What is written.

    def _manifest(
        self,
        name: str,
        sampling: Sampling,
        text: TextInfo,
        described: list[Site],
        level: Level,
        chosen: tuple[AttentionSite, ...],
    ) -> Manifest:
        denoiser = self.family.denoiser(self.pipe)
        dtype = str(next(denoiser.parameters()).dtype).removeprefix("torch.")
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
            sampling=sampling,
            text=text,
            sites=described,
            keep=Keep(level=level, dtype=dtype, sites=[site.name for site in chosen]),
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
