"""Names in a run folder: files, and keys of tensors. `docs/format.md` says what each holds."""

from __future__ import annotations

MANIFEST = "manifest.json"
IMAGE = "image.png"
EVENTS = "events.jsonl"
TEXT = "text.safetensors"

CACHE = "cache"
"""Folder of computed answers (`maps.cache`): no part of the recording, and safe to delete."""

REGIONS = "regions"
"""Folder of masks that were asked about (`maps.regions`): no part of the recording, named by their content."""

STEPS, MAPS, PREVIEWS, TEXTS = "steps", "maps", "previews", "text"
FOLDERS = (STEPS, MAPS, PREVIEWS)
"""Folders that every run has."""


def step_file(step: int) -> str:
    """Tensors of a step: ``steps/0007.safetensors``."""
    return f"{STEPS}/{step:04d}.safetensors"


def maps_file(step: int) -> str:
    """Word maps of a step: ``maps/0007.safetensors``."""
    return f"{MAPS}/{step:04d}.safetensors"


def preview_file(step: int) -> str:
    """Predicted clean picture of a step: ``previews/0007.png``."""
    return f"{PREVIEWS}/{step:04d}.png"


def text_file(number: int) -> str:
    """The `number`-th file of text tensors: ``text.safetensors``, then ``text/0001.safetensors``, …

    Text that changes during a run adds files instead of rewriting the first, so writing stays cheap and a
    file that was once whole is never touched again.
    """
    return TEXT if number == 0 else f"{TEXTS}/{number:04d}.safetensors"


def is_text_file(path: str) -> bool:
    return path == TEXT or (path.startswith(f"{TEXTS}/") and path.endswith(".safetensors"))


def at_call(name: str, call: int) -> str:
    """Key of what belongs to a call: ``q/cross:mid@12``."""
    return f"{name}@{call}"


def split_call(key: str) -> tuple[str, int] | None:
    """Name and call of a key, or None where it names no call."""
    name, at, call = key.rpartition("@")
    if not at or not name or not (call.isascii() and call.isdecimal()) or len(call) > 9:
        return None
    return name, int(call)
