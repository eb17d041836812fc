"""A run on disk: the waist of the house. The engine writes it, everything else reads it."""

from diffuscope.recording.archive import pack_run, unpack_run
from diffuscope.recording.manifest import (
    SCHEMA_VERSION,
    Branch,
    Call,
    Encoder,
    FileHash,
    Keep,
    Level,
    Manifest,
    MaskKind,
    ModelInfo,
    RowLabel,
    Sampling,
    Scheduler,
    Site,
    SiteKind,
    Step,
    TextInfo,
    Token,
    TokenKind,
    Word,
    json_schema,
)
from diffuscope.recording.manifest_file import read_manifest
from diffuscope.recording.pruning import Pruning
from diffuscope.recording.reader import Recording
from diffuscope.recording.shelf import Shelved, list_runs
from diffuscope.recording.tensors import TensorFile, write_safetensors
from diffuscope.recording.trash import Trash
from diffuscope.recording.writer import RunWriter

__all__ = [
    "SCHEMA_VERSION",
    "Branch",
    "Call",
    "Encoder",
    "FileHash",
    "Keep",
    "Level",
    "Manifest",
    "MaskKind",
    "ModelInfo",
    "Pruning",
    "Recording",
    "RowLabel",
    "RunWriter",
    "Sampling",
    "Scheduler",
    "Shelved",
    "Site",
    "SiteKind",
    "Step",
    "TensorFile",
    "TextInfo",
    "Token",
    "TokenKind",
    "Trash",
    "Word",
    "json_schema",
    "list_runs",
    "pack_run",
    "read_manifest",
    "unpack_run",
    "write_safetensors",
]
