"""From a manifest back to what drew: the model, its scheduler, the device.

A manifest may come from anywhere, so its texts are looked up in short lists (sources, types of numbers, the
schedulers of diffusers) and nothing is ever imported under a name that it gives.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import ConfigMixin, SchedulerMixin

from diffuscope.engine.models.loading import DTYPES, HUB, SHIPPED, Loaded, load
from diffuscope.errors import InputError, ModelNotFoundError
from diffuscope.recording import Manifest, ModelInfo, Scheduler

_INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def reopen(manifest: Manifest, model: str | Path | None = None, device: str | None = None) -> Loaded:
    """Open the model that a manifest names, in the type of numbers and on the device that it names.

    Args:
        manifest: of the run.
        model: where the model is now: needed where the run was drawn by a pipeline object, or its folder was moved.
        device: another than the manifest's.

    Raises:
        ModelNotFoundError: the model is not where the manifest says, or the manifest cannot say where it is.
        UnsupportedModelError: what is there is not a pipeline that diffusers opens.
        InputError: a type of numbers that no model has, or `device` is not there.
    """
    drew = manifest.model
    dtype = DTYPES.get(drew.dtype)
    if dtype is None:
        raise InputError(f"the manifest names the type {drew.dtype!r}; models have {', '.join(DTYPES)}")
    place = model if model is not None else _where(drew)
    # A revision is one of the repository that the manifest names, and of no other.
    revision = drew.revision if str(place) == HUB + drew.id else None
    return load(place, device=device or _device(manifest), dtype=dtype, revision=revision)


def rebuild_scheduler(described: Scheduler) -> Any:
    """The scheduler that a manifest describes, as it is before a run.

    Raises:
        InputError: diffusers has no such scheduler here, or it does not take that configuration.
    """
    try:
        found = getattr(diffusers.schedulers, described.name, None)
    except (ImportError, RuntimeError):  # What diffusers raises where a scheduler's own imports fail.
        found = None
    if (
        not isinstance(found, type)
        or not issubclass(found, SchedulerMixin)
        or not issubclass(found, ConfigMixin)
    ):
        raise InputError(
            f"{described.name!r} is no scheduler of the diffusers installed here ({diffusers.__version__})"
        )
    scheduler: Any = found
    try:
        return scheduler.from_config(_numbers(described.config))
    except Exception as error:  # A configuration is data: whatever a scheduler raises about it is about that.
        raise InputError(
            f"{described.name} does not take the configuration in the manifest: {str(error)[:300]}"
        ) from error


def _where(drew: ModelInfo) -> str | Path:
    """What to open, from the manifest alone."""
    if drew.source.startswith("shipped"):
        return SHIPPED
    if drew.source == "hub":
        return HUB + drew.id
    if drew.source in ("folder", "file"):
        # Never as a text: one that reads like a hub id would be fetched where its folder is gone.
        place = Path(drew.id)
        if place.is_dir() if drew.source == "folder" else place.is_file():
            return place
        raise ModelNotFoundError(
            f"the model's {drew.source} {drew.id} is not there (any more); say where it is with --model (model=)"
        )
    raise ModelNotFoundError(
        f"the run was drawn by a pipeline object ({drew.pipeline}, {drew.id!r}), which a manifest cannot open again; "
        "give the folder or hub id that it was made from with --model (model=)"
    )


def _device(manifest: Manifest) -> str | None:
    """The device of the run, one of its kind where that is not here, or None for the best there is."""
    name = manifest.software.get("device")
    if name == "cpu":
        return name
    if name == "mps":
        return name if torch.backends.mps.is_available() else None
    if not torch.cuda.is_available():
        return None
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"cuda:{names.index(name)}" if name in names else "cuda"


def _numbers(value: Any) -> Any:
    """A configuration with its infinities, which JSON holds as text, as numbers again."""
    if isinstance(value, str):
        return _INFINITIES.get(value, value)
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return value
