"""A model's folder in diffusers layout, looked at before anything is loaded: whole, and without code or pickles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffuscope.errors import UnsupportedModelError, listed

INDEX = "model_index.json"

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
"""Endings of weight files that are pickles, which can run code when they are read."""

_WEIGHTLESS = ("scheduler", "tokenizer", "feature_extractor", "image_processor")
"""Beginnings of the names of parts that have no weights."""


def check_folder(folder: Path, *, allow_pickle: bool) -> dict[str, Any]:
    """The folder's index, once every part that it names is there.

    Raises:
        UnsupportedModelError: no such layout, a part or a shard is missing, or weights are pickles only.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnsupportedModelError(
            f"{folder} has no {INDEX}, so it is not a folder in diffusers layout"
        ) from None
    except (OSError, ValueError) as error:
        raise UnsupportedModelError(f"{folder / INDEX} cannot be read: {error}") from error
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise UnsupportedModelError(
            f"{folder} names a pipeline that is code of its own, which diffuscope does not run; use one of diffusers"
        )
    parts = {
        name: value
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and not name.startswith("_") and all(value)
    }
    missing = [name for name in parts if not (folder / name).is_dir()]
    lacking, pickled = list[str](), list[str]()
    for name in parts:
        if name in missing or name.startswith(_WEIGHTLESS):
            continue
        kinds = _weights(folder / name)
        lacking += kinds.missing
        if not kinds.safe:
            (pickled if kinds.pickles else missing).append(name)
    half = sorted(path.name for path in folder.rglob("*.incomplete"))
    if missing or lacking or half:
        what = [*(f"{name}/" for name in dict.fromkeys(missing)), *lacking, *half]
        raise UnsupportedModelError(
            f"{folder} is not whole, so fetch it again: {listed(what)} missing or incomplete"
        )
    if pickled and not allow_pickle:
        raise UnsupportedModelError(
            f"the weights of {listed(pickled)} in {folder} are pickle files, which can run code when they are read; "
            "use a copy in safetensors, or allow it for a source you trust (--allow-pickle, allow_pickle=True)"
        )
    return index


class _Weights:
    """Weight files of one part: whether there are safetensors, pickles, and which shards are missing."""

    def __init__(self, safe: bool, pickles: bool, missing: list[str]) -> None:
        self.safe, self.pickles, self.missing = safe, pickles, missing


def _weights(folder: Path) -> _Weights:
    missing = []
    for index in folder.glob("*.safetensors.index*.json"):
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError):
            missing.append(f"{folder.name}/{index.name}")
            continue
        missing += sorted(f"{folder.name}/{name}" for name in shards if not (folder / str(name)).exists())
    names = [path.suffix for path in folder.iterdir() if path.is_file()]
    return _Weights(".safetensors" in names, any(name in PICKLES for name in names), missing)
