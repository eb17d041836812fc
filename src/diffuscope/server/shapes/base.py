"""What all shapes share, and the one form of errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

Direction = Literal["to", "from"]
Format = Literal["safetensors", "json"]
State = Literal["complete", "stopped", "killed", "running", "damaged"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
KeepLevel = Literal["maps", "cross", "qk"]
JsonObject = dict[str, JsonValue]
PrintableText = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""NUL ends a name on disk and belongs into no prompt."""


class Shape(BaseModel):
    """What the server gives."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Asked(BaseModel):
    """What the server takes: unknown fields are refused, and NaN and infinity."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Problem(Shape):
    """What went wrong."""

    kind: str = Field(alias="class", examples=["UnknownWordError"])
    code: str = Field(examples=["unknown-word"])
    message: str = Field(examples=["the prompt has no word 'cirlce'; did you mean 'circle'?"])
    status: int = Field(examples=[400])
    details: dict[str, Any] = {}


class ProblemAnswer(Shape):
    """The one form of every error."""

    error: Problem
