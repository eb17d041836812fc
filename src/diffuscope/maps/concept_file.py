"""A learned concept as a file: the embedding of a token pair that was fitted to one annotated picture.

A safetensors file with one tensor, ``embedding`` float32 ``[token, channel]``: row 0 stands for what the concept is not
(the background), row 1 for the concept. Its metadata says where it came from; ``format`` is ``diffuscope-concept-1``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import CorruptRecordingError, InputError, RunFolderError
from diffuscope.recording.tensors import TensorFile, write_safetensors

FORMAT = "diffuscope-concept-1"
TOKENS = ("<background>", "<concept>")
"""What the rows of the embedding stand for."""


@dataclass(frozen=True, eq=False)
class LearnedConcept:
    """A concept that was learned from one picture and its mask.

    Attributes:
        name: what it is called.
        embedding: float32 ``[2, channel]``, rows as in `TOKENS`: text embeddings as the model's `to_k` takes them.
        about: provenance: run, model and the fingerprint of its weights, prompt, seed, hash of the mask, how it was
            fitted, the loss before and after.
    """

    name: str
    embedding: NDArray[np.float32]
    about: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> Path:
        """Write the concept to a ``.safetensors`` file and return its path.

        Raises:
            InputError: another suffix.
            RunFolderError: it cannot be written.
        """
        path = Path(path)
        if path.suffix != ".safetensors":
            raise InputError(f"{path.name!r}: a concept is saved as .safetensors")
        notes = {
            "format": FORMAT,
            "name": self.name,
            "about": json.dumps(self.about, ensure_ascii=False, sort_keys=True),
        }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_safetensors(path, {"embedding": self.embedding}, notes)
        except OSError as error:
            raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
        return path

    @classmethod
    def load(cls, path: str | Path) -> LearnedConcept:
        """Read a concept file.

        Raises:
            InputError: there is none, or the file is no concept.
            CorruptRecordingError: it is damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"there is no concept file {path}")
        file = TensorFile(path)
        if file.metadata.get("format") != FORMAT or "embedding" not in file:
            raise InputError(f"{path} is no concept file; lens.learn_concept(...).save(...) writes one")
        embedding = np.array(file.read("embedding"), np.float32)
        try:
            about = json.loads(file.metadata.get("about", "{}"))
        except ValueError as error:
            raise CorruptRecordingError(f"{path}: its provenance cannot be read") from error
        if embedding.ndim != 2 or len(embedding) != len(TOKENS) or not np.isfinite(embedding).all():
            raise CorruptRecordingError(f"{path}: its embedding is not {len(TOKENS)} finite rows")
        return cls(file.metadata.get("name", path.stem), embedding, about)
