"""The site, its models, its health, its studies."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from diffuscope.server.shapes.base import Shape


class SiteLimits(Shape):
    """What a request may ask for."""

    prompt_characters: int
    steps: int
    side: int
    images: int
    body_bytes: int
    region_cells: int


class Site(Shape):
    """What the page is opened on."""

    name: str
    version: str
    static: bool
    read_only: bool
    needs_token: bool
    example: str | None
    heads: bool = Field(description="Whether maps of single heads can be had, where the run kept them.")
    atlas: bool = Field(description="Whether the head atlas can be had.")
    limits: SiteLimits | None


class Model(Shape):
    """A model that may be asked to draw. Numbers are null where they are known only when it is loaded."""

    id: str
    default: bool
    name: str
    steps: int | None
    guidance_scale: float | None
    width: int | None
    height: int | None
    vocabulary: list[str] | None


class Models(Shape):
    """The models, the default first."""

    models: list[Model]


class WorkerInfo(Shape):
    """The process that runs models."""

    state: Literal["stopped", "starting", "idle", "loading", "busy"]
    model: str | None
    restarts: int


class JobCounts(Shape):
    """Jobs that have not ended."""

    queued: int
    running: int


class Health(Shape):
    """Whether the server is well."""

    status: Literal["ok"]
    version: str
    read_only: bool
    worker: WorkerInfo
    jobs: JobCounts
    listeners: int


class StudyLine(Shape):
    """A study at a glance."""

    name: str
    title: str
    state: str
    done: int
    failed: int
    total: int
    report: bool = Field(description="Whether its report was written.")


class StudyList(Shape):
    """The studies, newest first."""

    studies: list[StudyLine]


class StudyRun(Shape):
    """A picture of a study, or why there is none."""

    unit: str
    ok: bool
    error: str | None
    prompt: str
    condition: str
    seed: int
    seconds: float | None
    picture: str | None = Field(description="The small picture as a data URL.")


class StudyRuns(Shape):
    """A part of what a study has drawn."""

    total: int
    offset: int
    runs: list[StudyRun]
