"""From a name to a pipeline: the shipped model, a folder in diffusers layout, a checkpoint file, or a hub id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from safetensors import SafetensorError

from diffuscope.engine.models.folders import INDEX, check_folder
from diffuscope.engine.models.hub import fetch
from diffuscope.engine.models.provenance import file_hash, model_files
from diffuscope.engine.models.single_file import SUFFIXES, open_checkpoint
from diffuscope.errors import InputError, ModelNotFoundError, UnsupportedModelError
from diffuscope.recording import FileHash

SHIPPED = "scenes"

HUB = "hub:"
"""Before a hub id, where a folder of the same name could be meant."""

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}
"""Types that a denoiser's parameters can have, by name."""

# Parts of a hub id begin with a letter or digit: "./models" and "../models" are folders.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*")

_WIDE = ("Flux", "StableDiffusion3")
"""Beginnings of the names of pipelines whose numbers outgrow float16; they were published in bfloat16."""


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


def pick_dtype(dtype: torch.dtype | str | None, device: torch.device, pipeline: str) -> torch.dtype:
    """The type asked for, or float32 on a CPU and the half precision that a pipeline was made for elsewhere.

    Raises:
        InputError: no such type.
    """
    if isinstance(dtype, str):
        if dtype not in DTYPES:
            raise InputError(
                f"dtype={dtype!r} is no type that models run in; it is one of {', '.join(DTYPES)}"
            )
        return DTYPES[dtype]
    if dtype is not None:
        return dtype
    if device.type == "cpu":
        # Half precision is slow or missing for many CPU kernels; on accelerators it is what users run.
        return torch.float32
    return torch.bfloat16 if pipeline.startswith(_WIDE) else torch.float16


def load(
    model: str | Path,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    revision: str | None = None,
    config: str | Path | None = None,
    offline: bool = False,
    allow_pickle: bool = False,
) -> Loaded:
    """Open a pipeline. Code that comes with a model is never run.

    Args:
        model: `scenes` (shipped), a folder in diffusers layout, a checkpoint file (`.safetensors`), or a hub id
            `owner/name`, which may have `hub:` before it. A `Path` is never taken for a hub id.
        device: `cuda`, `cuda:1`, `mps`, `cpu`; the best there is by default.
        dtype: of the weights, as torch's type or its name; by default float32 on the CPU, half precision elsewhere.
        revision: branch, tag or commit on the hub.
        config: for a checkpoint file, a folder in diffusers layout of the same model, or its hub id.
        offline: take from the hub's cache what is there, and never ask the hub.
        allow_pickle: open weights that are pickle files, which can run code.

    Raises:
        ModelNotFoundError: no such shipped model, folder, file or hub id, or it cannot be fetched.
        UnsupportedModelError: not a pipeline that diffusers opens, not whole, or pickles that were not allowed.
        InputError: the device is not there, or an argument does not go with the model.
    """
    place = pick_device(device)
    found = _find(model)
    if found == "hub":
        name = str(model).removeprefix(HUB)
        folder, commit = fetch(name, revision, offline=offline, allow_pickle=allow_pickle)
        pipe = _open_folder(folder, name, dtype, place, allow_pickle)
        return _finished(pipe, place, name, "hub", commit, model_files(folder))
    if revision is not None:
        raise InputError(
            f"a revision is one of the hub's, and {str(model)!r} is not from there; leave it out"
        )
    if found == "shipped":
        folder = shipped_folder()
        if not (folder / INDEX).exists():
            raise ModelNotFoundError(
                "the shipped model 'scenes' is missing from this installation; reinstall diffuscope, "
                "or make the weights with `python -m training` from a clone"
            )
        pipe = _open_folder(folder, "the shipped model", dtype or torch.float32, place, False)
        return _finished(pipe, place, SHIPPED, "shipped with diffuscope", None, model_files(folder))
    path = Path(model)
    if found == "file":
        kind = pick_dtype(dtype, place, "")
        pipe = open_checkpoint(path, config=config, dtype=kind, offline=offline, allow_pickle=allow_pickle)
        return _finished(pipe, place, str(model), "file", None, [file_hash(path, path.parent)])
    pipe = _open_folder(path, str(path), dtype, place, allow_pickle)
    return _finished(pipe, place, str(model), "folder", None, model_files(path))


def _find(model: str | Path) -> str:
    """What a name means: `shipped`, `folder`, `file` or `hub`.

    Raises:
        ModelNotFoundError: none of them.
    """
    if model == SHIPPED:
        return "shipped"
    text, path = str(model), Path(model)
    if isinstance(model, str) and text.startswith(HUB):
        if _HUB_ID.fullmatch(text.removeprefix(HUB)):
            return "hub"
        raise ModelNotFoundError(f"{text!r} is no hub id; it is written like 'hub:owner/name'")
    if path.is_dir():
        return "folder"
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return "file"
    if isinstance(model, str) and _HUB_ID.fullmatch(text) and path.suffix.lower() not in SUFFIXES:
        # A folder that is gone must not turn into a download of whoever has that name on the hub.
        if path.parent.is_dir():
            raise ModelNotFoundError(
                f"there is no folder {text!r}, and since there is a folder {str(path.parent)!r} here it is not "
                f"looked for on the hub; write '{HUB}{text}' if it is meant"
            )
        return "hub"
    raise ModelNotFoundError(
        f"no model {text!r}: give 'scenes' (shipped), a folder in diffusers layout, a checkpoint file "
        "(.safetensors), or a hub id like 'owner/name'"
    )


def _open_folder(
    folder: Path, name: str, dtype: torch.dtype | str | None, device: torch.device, allow_pickle: bool
) -> Any:
    index = check_folder(folder, allow_pickle=allow_pickle)
    kind = pick_dtype(dtype, device, index["_class_name"])
    try:
        return DiffusionPipeline.from_pretrained(
            str(folder),
            dtype=kind,
            use_safetensors=None if allow_pickle else True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except Exception as error:  # A folder is data: whatever diffusers raises about it is about that.
        damaged = isinstance(error, SafetensorError)
        line = " ".join(str(error).split())[:300]
        what = (
            "a weight file is damaged or cut short, fetch it again" if damaged else "diffusers cannot open it"
        )
        raise UnsupportedModelError(f"{name}: {what}: {line}") from error


def _finished(
    pipe: Any, device: torch.device, name: str, source: str, revision: str | None, hashes: list[FileHash]
) -> Loaded:
    pipe = pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    return Loaded(pipe, name, source, revision, hashes)


def around(pipe: Any) -> Loaded:
    """A user's own pipeline object, left as it is."""
    name = str(getattr(pipe.config, "_name_or_path", "") or type(pipe).__name__)
    folder = Path(name)
    return Loaded(pipe, folder.name if folder.is_dir() else name, "pipeline object", None, [])
