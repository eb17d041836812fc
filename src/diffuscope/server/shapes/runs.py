"""Runs: the list, everything about one, its words, the trash."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from diffuscope.server.shapes.base import KeepLevel, Shape, State


class RunSummary(Shape):
    """A run's line in the list. Fields are null where a damaged run's manifest cannot be read."""

    id: str = Field(examples=["20261121-101500-a-red-circle-7-ab12"])
    state: State
    problem: str | None = Field(description="Why it was stopped, or what is damaged.")
    bytes: int
    created: str = Field(examples=["2026-11-21T10:15:00+00:00"])
    version: str | None = Field(
        description="Add ?v= with it to any path of the run: it is kept for a year then."
    )
    prompt: str | None
    negative_prompt: str | None
    model: str | None
    seed: int | None
    steps: int | None
    steps_recorded: int | None
    guidance_scale: float | None
    width: int | None
    height: int | None
    keep: KeepLevel | None
    parent: str | None
    edits: list[str]
    words: list[str]
    has_image: bool


class TrashEntry(Shape):
    """A run that was removed and can be brought back."""

    entry: str
    run: str
    since: str
    until: str


class RunList(Shape):
    """Runs newest first, and the trash."""

    runs: list[RunSummary]
    trash: list[TrashEntry]


class StepInfo(Shape):
    """A whole step. `attended`: its attention was kept; `preview`: it has a predicted clean image."""

    index: int
    timestep: float
    sigma: float | None
    log_snr: float | None
    attended: bool
    preview: bool


class SiteInfo(Shape):
    """An attention site. `index` is its number in paths."""

    index: int
    name: str
    kind: Literal["cross", "self", "joint"]
    grid: list[int]
    heads: int
    head_dim: int
    kept: bool
    kept_heads: list[int]


class SamplingInfo(Shape):
    """How it was sampled, beside what the summary says."""

    scheduler: str
    options: dict[str, Any]
    images_per_prompt: int
    image_index: int


class ModelInfo(Shape):
    """Which model drew."""

    id: str
    source: str
    family: str
    pipeline: str
    revision: str | None
    dtype: str


class Kept(Shape):
    """What was kept."""

    level: KeepLevel
    dtype: str
    sites: list[str]
    steps: str
    heads: str
    branch: Literal["cond", "uncond"]


class Can(Shape):
    """What can be asked of a run."""

    words: bool
    heads: bool
    regions: bool
    region_files: bool
    concepts: bool
    clean: bool


class RunWhole(RunSummary):
    """Everything about a run that is not a tensor."""

    sampling: SamplingInfo
    model_info: ModelInfo
    software: dict[str, str]
    timetable: list[StepInfo]
    sites: list[SiteInfo]
    kept: Kept
    edits_json: list[dict[str, Any]]
    children: list[str]
    grid: list[int] | None = Field(description="[height, width] of word maps.")
    self_grid: list[int] | None = Field(description="[height, width] of region files.")
    can: Can


class TokenInfo(Shape):
    """A token of the text encoder."""

    index: int
    id: int
    text: str
    kind: Literal["start", "content", "end", "padding"]


class WordInfo(Shape):
    """A word: `index` is its number in paths; `start` and `end` are its characters in the prompt."""

    index: int
    label: str
    text: str
    tokens: list[int]
    start: int | None
    end: int | None
    kind: Literal["content", "function", "special"]


class Words(Shape):
    """The prompt as the model read it. Tokens of the padding are left out."""

    prompt: str
    cut: str | None
    tokens: list[TokenInfo]
    words: list[WordInfo]


class Removed(Shape):
    """A run is in the trash."""

    entry: str


class Restored(Shape):
    """A run stands again where it stood."""

    run: str
