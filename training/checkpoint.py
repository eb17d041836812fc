"""Exact training state on disk, as safetensors and JSON: no pickle, never half-written.

A checkpoint is one safetensors file. Nested dictionaries and lists are flattened to tensors named by their path;
everything that is not a tensor (step, elapsed seconds, learning-rate bookkeeping) is JSON in the file's metadata.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def _split(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().contiguous().clone()
        return {"@": path}
    if isinstance(value, dict):
        # JSON keys are text; optimiser states are keyed by integers.
        return {"{}": [[key, _split(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_split(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]
    return value


def _join(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, dict) and "@" in value:
        return tensors[value["@"]]
    if isinstance(value, dict):
        return {key: _join(item, tensors) for key, item in value["{}"]}
    if isinstance(value, list):
        return [_join(item, tensors) for item in value]
    return value


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (nested dictionaries of tensors and plain values) under a temporary name, then rename."""
    tensors: dict[str, torch.Tensor] = {}
    tree = _split(state, "", tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    save_file(tensors, temporary, metadata={"tree": json.dumps(tree)})
    os.replace(temporary, path)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read what `save` wrote, tensors on `device`."""
    with safe_open(path, framework="pt", device=str(device)) as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        tree = json.loads(file.metadata()["tree"])
    return _join(tree, tensors)  # type: ignore[no-any-return]


def take_over(model: torch.nn.Module, earlier: torch.nn.Module) -> int:
    """Give `model` the weights of an earlier one wherever name and shape agree; the number of tensors taken."""
    ours, theirs = model.state_dict(), earlier.state_dict()
    taken = {
        name: value for name, value in theirs.items() if name in ours and ours[name].shape == value.shape
    }
    model.load_state_dict({**ours, **taken})
    return len(taken)
