"""Fetching a model from the hub into its cache: a folder with a commit, or one line that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

from diffusers import DiffusionPipeline
from huggingface_hub import errors as hub_errors

from diffuscope.errors import ModelNotFoundError

_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch(model: str, revision: str | None, *, offline: bool, allow_pickle: bool) -> tuple[Path, str | None]:
    """The folder of a hub id in the local cache, fetched where it is not there yet, and the commit that it is of.

    Only what a pipeline needs is fetched, and of two formats of weights the safetensors. Code that comes with a
    model is never run.

    Raises:
        ModelNotFoundError: there is no such model or revision, it is gated, or it is not in the cache and the hub
            cannot be reached; the message says what to do.
    """
    try:
        folder = Path(
            DiffusionPipeline.download(
                model,
                revision=revision,
                local_files_only=offline,
                use_safetensors=None if allow_pickle else True,
                trust_remote_code=False,
            )
        )
    except Exception as error:  # The hub's errors are many; each becomes one line.
        raise ModelNotFoundError(_line(model, revision, error, offline)) from error
    # The cache keeps each commit in a folder of its name.
    return folder, folder.name if _COMMIT.fullmatch(folder.name) else revision


def _line(model: str, revision: str | None, error: BaseException, offline: bool) -> str:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__

    def is_a(*kinds: type[BaseException]) -> bool:
        return any(isinstance(each, kinds) for each in chain)

    if is_a(hub_errors.GatedRepoError):
        return (
            f"{model!r} is gated: accept its terms at https://huggingface.co/{model} and log in with `hf auth "
            "login`, then try again"
        )
    if is_a(hub_errors.RevisionNotFoundError):
        return f"{model!r} has no revision {revision!r} on the hub; leave --revision (revision=) out for the newest"
    if is_a(hub_errors.LocalEntryNotFoundError, hub_errors.OfflineModeIsEnabled) or offline:
        return (
            f"{model!r} is not whole in the local cache, and the hub cannot be reached or is not to be asked: fetch "
            f"it once with a connection (`hf download {model}`), or give a folder"
        )
    if is_a(hub_errors.RepositoryNotFoundError):
        return f"there is no model {model!r} on the hub; where it is private, log in with `hf auth login`"
    line = " ".join(str(error).split())[:300]
    if "safetensors" in line:
        return (
            f"{model!r} has no weights in safetensors, only pickle files, which can run code when they are read; use "
            "a copy in safetensors, or allow it for a source you trust (--allow-pickle, allow_pickle=True)"
        )
    return f"cannot fetch {model!r} from the hub: {line}"
