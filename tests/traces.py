"""What a recording could leave behind in a pipeline and in the process, as one value that can be compared."""

from __future__ import annotations

import threading
from typing import Any

import torch

Traces = dict[str, Any]


def traces(pipe: Any) -> Traces:
    """Everything on which something could have stayed installed.

    Attributes of the pipeline's parts are told apart by identity, so that a copy of what was there before counts as
    a trace too.
    """
    found: Traces = {
        "modes": torch._C._len_torch_function_stack(),
        "kernel": id(torch.nn.functional.scaled_dot_product_attention),
        "threads": writer_threads(),
    }
    parts = {name: part for name, part in pipe.components.items() if part is not None}
    owners: dict[str, Any] = {"pipe": pipe, **{f"pipe.{name}": part for name, part in parts.items()}}
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module):
            owners |= {f"pipe.{name}.{path}": module for path, module in part.named_modules() if path}
    for name, owner in owners.items():
        found |= {f"{name}.{key}": id(value) for key, value in vars(owner).items() if callable(value)}
        if isinstance(owner, torch.nn.Module):
            found[f"{name} hooks"] = (len(owner._forward_hooks), len(owner._forward_pre_hooks))
    return found


def writer_threads() -> list[str]:
    """Threads of run writers that are still alive."""
    return [each.name for each in threading.enumerate() if each.name.startswith("diffuscope writer")]
