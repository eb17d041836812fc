"""Many pictures at once, each with its own prompt and its own seed: what studies draw with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from diffuscope.edits import Edit
from diffuscope.engine.apply import applied
from diffuscope.engine.drawing import Drawing
from diffuscope.engine.lens import Lens
from diffuscope.engine.models.provenance import dtype_of, software
from diffuscope.engine.order import Order, Wish, check
from diffuscope.errors import CaptureError
from diffuscope.recording import Level
from diffuscope.run import Run

Pair = tuple[str, int]
"""A prompt and the seed of its first noise."""


@dataclass(frozen=True)
class Source:
    """What draws: enough to tell two models apart, and the machine that they run on."""

    id: str
    source: str
    revision: str | None
    files: dict[str, str]
    pipeline: str
    dtype: str
    software: dict[str, str]


def source_of(lens: Lens) -> Source:
    """Which model a lens has, and what runs it. `files` is path to SHA-256; empty for a pipeline object."""
    denoiser = lens.family.denoiser(lens.pipe)
    device = next(denoiser.parameters()).device
    return Source(
        id=lens.loaded.id,
        source=lens.loaded.source,
        revision=lens.loaded.revision,
        files={file.path: file.sha256 for file in lens.loaded.files},
        pipeline=type(lens.pipe).__name__,
        dtype=dtype_of(denoiser, torch.float32),
        software=software(device),
    )


def devices() -> list[str]:
    """The devices that a model can be loaded on, one worker each: every CUDA device, else the best there is."""
    if torch.cuda.is_available():
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return ["mps" if torch.backends.mps.is_available() else "cpu"]


def record_many(
    lens: Lens,
    pairs: Sequence[Pair],
    settings: Mapping[str, Any],
    keep: Level,
    out: str | Path,
    *,
    previews: bool,
) -> list[Run]:
    """Draw all pairs in one batch and record each in a folder of its own.

    Args:
        lens: the model.
        pairs: prompt and seed of each picture.
        settings: those of `Lens.record` that say how to draw; `options` are further arguments of the pipeline.
        keep, out, previews: as of `Lens.record`.

    Raises:
        as `Lens.record`.
    """
    order, arguments = _order(lens, pairs, settings, Wish(keep=keep, previews=previews))
    generators = _generators(pairs)
    drawing = Drawing(
        lens.pipe, lens.family, lens.loaded, order, lambda: lens.pipe(**arguments, generator=generators)
    )
    # A unit of a study that did not come to its end is drawn again.
    drawing.as_it_goes = False
    return drawing.record(out)


def draw_many(
    lens: Lens,
    pairs: Sequence[Pair],
    settings: Mapping[str, Any],
    edits: Sequence[Sequence[Edit]] = (),
) -> list[Image.Image]:
    """The same pictures from the ordinary pipeline, nothing recorded; each with its own list of edits where they are
    given.

    Raises:
        as `Lens.record` for bad input, EditError for an edit that cannot act here; CaptureError if the pipeline gives
        another number of pictures.
    """
    order, arguments = _order(lens, pairs, settings, Wish(keep="maps"))
    told = {
        "prompts": [prompt for prompt, _ in pairs],
        "steps": order.num_steps,
        "size": order.size,
        "options": dict(settings.get("options") or {}),
    }
    with applied(lens.pipe, lens.family, [list(each) for each in edits], **told) if edits else nullcontext():
        images = list(lens.pipe(**arguments, generator=_generators(pairs)).images)
    if len(images) != len(pairs):
        raise CaptureError(f"the pipeline gave {len(images)} pictures where {len(pairs)} were asked for")
    return [image.convert("RGB") for image in images]


def _order(
    lens: Lens, pairs: Sequence[Pair], settings: Mapping[str, Any], wish: Wish
) -> tuple[Order, dict[str, Any]]:
    """A checked order with the pairs' own seeds."""
    asked: dict[str, Any] = {
        "negative_prompt": None,
        "steps": None,
        "guidance_scale": None,
        "width": None,
        "height": None,
        "options": {},
        **settings,
    }
    prompts = [prompt for prompt, _ in pairs]
    order, arguments = check(
        lens.pipe, lens.family, lens.loaded.id, wish, prompt=prompts, seed=0, images_per_prompt=1, **asked
    )
    pictures = tuple(
        replace(picture, seed=seed) for picture, (_, seed) in zip(order.pictures, pairs, strict=True)
    )
    return replace(order, pictures=pictures), arguments


def _generators(pairs: Sequence[Pair]) -> Any:
    """Noise is drawn on the CPU, so that a seed means the same picture on every device."""
    made = [torch.Generator("cpu").manual_seed(seed) for _, seed in pairs]
    return made[0] if len(made) == 1 else made
