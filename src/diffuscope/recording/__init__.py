"""A run on disk: the waist of the house. The engine writes it, everything else reads it."""

from diffuscope.recording.manifest import (
    SCHEMA_VERSION,
    Call,
    FileHash,
    Keep,
    Level,
    Manifest,
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
from diffuscope.recording.reader import Recording
from diffuscope.recording.tensors import TensorFile, write_safetensors
from diffuscope.recording.writer import RunWriter

__all__ = [
    "SCHEMA_VERSION",
    "Call",
    "FileHash",
    "Keep",
    "Level",
    "Manifest",
    "ModelInfo",
    "Recording",
    "RowLabel",
    "RunWriter",
    "Sampling",
    "Scheduler",
    "Site",
    "SiteKind",
    "Step",
    "TensorFile",
    "TextInfo",
    "Token",
    "TokenKind",
    "Word",
    "json_schema",
    "read_manifest",
    "write_safetensors",
]
