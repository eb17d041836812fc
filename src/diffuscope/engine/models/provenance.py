"""Where a model came from and what ran it: what a recording must say so that it can be repeated."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from diffuscope.recording import FileHash

_HASHED = (".safetensors", ".json", ".txt", ".model")
_TOLD = ("diffuscope", "torch", "diffusers", "transformers", "numpy", "safetensors")


def software(device: torch.device) -> dict[str, str]:
    """Versions of what computes, the platform and the device."""
    told = {package: _version(package) for package in _TOLD}
    told["python"] = platform.python_version()
    told["platform"] = f"{platform.system()} {platform.machine()}"
    # Sums are taken in another order with another number of threads: the last bits differ.
    told["threads"] = str(torch.get_num_threads())
    told["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return told


@cache
def _version(package: str) -> str:
    # Looking versions up walks the installed packages: once a process, not once a recording.
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"


def model_files(folder: Path) -> list[FileHash]:
    """SHA-256 and size of every weight and configuration file in a model's folder, in the order of their paths."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in _HASHED)
    return [file_hash(path, folder) for path in found]


def file_hash(path: Path, folder: Path) -> FileHash:
    """SHA-256 and size of a file, under its path in `folder`."""
    return FileHash(path=path.relative_to(folder).as_posix(), sha256=_sha256(path), bytes=path.stat().st_size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(config: Any) -> dict[str, Any]:
    """A diffusers configuration as plain JSON values; anything else is written as text."""

    def simple(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): simple(item) for key, item in value.items() if not str(key).startswith("_")}
        if isinstance(value, list | tuple):
            return [simple(item) for item in value]
        return value if isinstance(value, str | int | float | bool) or value is None else str(value)

    return simple(dict(config))  # type: ignore[no-any-return]


def dtype_of(denoiser: torch.nn.Module, kernel: torch.dtype) -> str:
    """The type of a denoiser's parameters by name. Quantised weights are of types that no model computes in: then it is
    the type that its attention computed in."""
    first = next((each.dtype for each in denoiser.parameters() if each.dtype.is_floating_point), kernel)
    return str(first if first.itemsize > 1 else kernel).removeprefix("torch.")
