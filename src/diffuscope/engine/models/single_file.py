"""Checkpoints of one file, as they are shared for user interfaces: weights without configuration.

The configuration comes from a folder in diffusers layout (`config=`), whose weights are not needed, or, where none is
given, from the hub's folder of the model that the checkpoint was made from, as diffusers recognises it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline
from huggingface_hub import snapshot_download
from safetensors import SafetensorError

from diffuscope.engine.models.folders import PICKLES
from diffuscope.errors import ModelNotFoundError, UnsupportedModelError

SUFFIXES = (".safetensors", *PICKLES)
"""Endings of files that are taken for checkpoints."""

_TEXTS = ["*.json", "**/*.json", "**/*.txt", "**/*.model"]
"""Files of a model's folder that are configuration."""


def open_checkpoint(
    path: Path, *, config: str | Path | None, dtype: torch.dtype, offline: bool, allow_pickle: bool
) -> Any:
    """A pipeline from a checkpoint file.

    Raises:
        UnsupportedModelError: a pickle that was not allowed, a damaged file, or no checkpoint of a whole pipeline.
        ModelNotFoundError: the configuration is not at hand.
    """
    if path.suffix.lower() in PICKLES and not allow_pickle:
        raise UnsupportedModelError(
            f"{path} is a pickle file, which can run code when it is read; use a copy in safetensors, or allow it "
            "for a source you trust (--allow-pickle, allow_pickle=True)"
        )
    try:
        place = Path(config) if config is not None and Path(config).is_dir() else None
        folder = place or _configuration(path, None if config is None else str(config), offline)
        named = DiffusionPipeline.load_config(str(folder)).get("_class_name")
        kind = getattr(diffusers, str(named), None)
        if not isinstance(kind, type) or not hasattr(kind, "from_single_file"):
            raise UnsupportedModelError(
                f"{folder} is of {named}, which diffusers cannot open from a single file"
            )
        opener: Any = kind
        return opener.from_single_file(str(path), config=str(folder), dtype=dtype, local_files_only=True)
    except (UnsupportedModelError, ModelNotFoundError):
        raise
    except (OSError, SafetensorError) as error:
        raise UnsupportedModelError(f"{path} cannot be read as a checkpoint: {_short(error)}") from error
    except Exception as error:  # What diffusers raises about weights that do not fit is of many kinds.
        raise UnsupportedModelError(
            f"diffusers cannot open {path} as a checkpoint of a whole pipeline: {_short(error)}"
        ) from error


def _configuration(path: Path, config: str | None, offline: bool) -> Path:
    """The folder with the configuration, from the hub's cache or the hub."""
    if config is None:
        from diffusers.loaders.single_file_utils import fetch_diffusers_config, load_single_file_checkpoint

        config = str(
            fetch_diffusers_config(load_single_file_checkpoint(str(path)))["pretrained_model_name_or_path"]
        )
    try:
        return Path(snapshot_download(config, local_files_only=offline, allow_patterns=_TEXTS))
    except Exception as error:
        raise ModelNotFoundError(
            f"the configuration of {path.name} is that of {config!r}, which is not in the local cache and cannot be "
            "fetched; give a folder in diffusers layout of the same model with --config (config=), its weights are "
            "not needed"
        ) from error


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
