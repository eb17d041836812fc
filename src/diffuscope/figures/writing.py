"""Writing a page to its file in one move."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from diffuscope.errors import RunFolderError


def write_page(page: str, path: Path, what: str) -> Path:
    """Write a page, and return its path. Its folder is made; an older file there is replaced in one move.

    Raises:
        RunFolderError: the file cannot be written; `what` names it in the message.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(page, encoding="utf-8", newline="\n")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise RunFolderError(f"Cannot write the {what} {path}: {error.strerror or error}.") from error
    return path
