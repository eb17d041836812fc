"""From a name to a pipeline: the shipped model, a folder in diffusers layout, or a hub id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from diffuscope.engine.models.provenance import model_files
from diffuscope.errors import InputError, ModelNotFoundError, UnsupportedModelError
from diffuscope.recording import FileHash

SHIPPED = "scenes"

_HUB_ID = re.compile(r"[\w.\-]+/[\w.\-]+")


@dataclass(frozen=True)
class Loaded:
    """A pipeline and where it came from. `files` is empty where the folder is not known."""

    pipe: Any
    id: str
    source: str
    revision: str | None
    files: list[FileHash]


def shipped_folder() -> Path:
    """The folder of the model that comes with the package."""
    return Path(str(files("diffuscope.scenes"))) / "model"


def pick_device(device: str | torch.device | None) -> torch.device:
    """The device asked for, or the best there is: CUDA, Apple's, else the CPU.

    Raises:
        InputError: the device asked for is not there.
    """
    if device is not None:
        try:
            # Making a tensor is the one test that works for every kind of device.
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            have = ", ".join(["cpu", *_accelerators()])
            raise InputError(
                f"the device {str(device)!r} is not available; this machine has: {have}"
            ) from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _accelerators() -> list[str]:
    found = (
        [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def load(
    model: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
) -> Loaded:
    """Open a pipeline.

    Raises:
        ModelNotFoundError: no such shipped model, folder or hub id, or it cannot be fetched.
        UnsupportedModelError: the folder is not a pipeline that diffusers opens.
        InputError: the device is not there.
    """
    place = pick_device(device)
    # Half precision is slow or missing for many CPU kernels; on accelerators it is what users run.
    kind = dtype if dtype is not None else (torch.float32 if place.type == "cpu" else torch.float16)
    if model == SHIPPED:
        folder: Path | None = shipped_folder()
        source, kind = "shipped with diffuscope", dtype or torch.float32
        if not (shipped_folder() / "model_index.json").exists():
            raise ModelNotFoundError(
                "the shipped model 'scenes' is missing from this installation; reinstall diffuscope, "
                "or make the weights with `python -m training` from a clone"
            )
    elif Path(model).is_dir():
        folder, source = Path(model), "folder"
        if not (folder / "model_index.json").exists():
            raise UnsupportedModelError(
                f"{folder} has no model_index.json, so it is not a folder in diffusers layout"
            )
    elif _HUB_ID.fullmatch(str(model)):
        folder, source = None, "hub"
    else:
        raise ModelNotFoundError(
            f"no model {str(model)!r}: give 'scenes' (shipped), a folder in diffusers layout, or a hub id "
            "like 'owner/name'"
        )
    try:
        pipe = DiffusionPipeline.from_pretrained(
            str(folder or model), dtype=kind, revision=revision, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:300]
        if folder is None:
            raise ModelNotFoundError(f"cannot fetch {str(model)!r} from the hub: {line}") from error
        raise UnsupportedModelError(f"diffusers cannot open {folder}: {line}") from error
    pipe = pipe.to(place)
    pipe.set_progress_bar_config(disable=True)
    hashes = model_files(folder) if folder is not None else []
    return Loaded(pipe, str(model), source, revision, hashes)


def around(pipe: Any) -> Loaded:
    """A user's own pipeline object, left as it is."""
    name = str(getattr(pipe.config, "_name_or_path", "") or type(pipe).__name__)
    folder = Path(name)
    return Loaded(pipe, folder.name if folder.is_dir() else name, "pipeline object", None, [])
