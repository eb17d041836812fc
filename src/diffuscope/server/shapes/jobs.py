"""Jobs: what may be asked of the worker, and how a job stands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from diffuscope.server.shapes.base import Asked, JobState, JsonObject, KeepLevel, PrintableText, Shape


class _Drawn(Asked):
    prompt: PrintableText = Field(min_length=1, examples=["a red circle left of a blue square"])
    model: PrintableText | None = Field(
        None, max_length=200, description="One of /api/models.json; null: the default."
    )
    negative_prompt: PrintableText | None = None
    seed: int = Field(0, ge=0, lt=2**53, examples=[7])
    steps: int | None = Field(None, ge=1, examples=[10])
    guidance_scale: float | None = Field(None, ge=0, le=100)
    width: int | None = Field(None, ge=8)
    height: int | None = Field(None, ge=8)
    keep: KeepLevel | None = None
    images: int = Field(1, ge=1)


class RecordJob(_Drawn):
    """Draw a picture and record it."""

    kind: Literal["record"]


class EstimateJob(_Drawn):
    """How much a recording would take on disk."""

    kind: Literal["estimate"]


class SizeQuestion(_Drawn):
    """A recording as it would be asked for: how much would it take on disk?"""


class Sizes(Shape):
    """What a recording would take on disk. Nothing else is there where it is not `known` yet.

    `level` is the keep level asked for, or the highest that fits `budget`; `bytes` are of one picture's run folder at
    each level, `total` of all folders at `level`.
    """

    known: bool
    problem: str | None = Field(None, description="Why no such recording can be made.")
    level: KeepLevel | None = None
    bytes: dict[KeepLevel, int] | None = None
    total: int | None = None
    pictures: int | None = None
    budget: int | None = None
    steps: int | None = None
    calls: int | None = None


class EditJob(Asked):
    """Draw a run again with edits; with `control`, once more with a random change of equal norm."""

    kind: Literal["edit"]
    run: PrintableText = Field(max_length=200)
    edits: list[JsonObject] = Field(min_length=1)
    full: bool = False
    control: bool = False


class ConceptJob(Asked):
    """Keys of a text that the prompt need not have, so that its maps can be asked for."""

    kind: Literal["concept"]
    run: PrintableText = Field(max_length=200)
    text: PrintableText = Field(min_length=1, examples=["roof"])


class StudyJob(Asked):
    """Run a study, or go on with it; see docs/studies.md for the plan."""

    kind: Literal["study"]
    plan: JsonObject


class FaithfulnessJob(Asked):
    """Put a word's map to the test: does the picture change where it is bright when the word is taken away? The result
    is in the run's `faithfulness.json`."""

    kind: Literal["faithfulness"]
    run: PrintableText = Field(max_length=200)
    word: PrintableText = Field(min_length=1, max_length=1000, examples=["circle"])


class WindowsJob(Asked):
    """In which steps silencing a word, or an edit, counts; with an interval over seeds."""

    kind: Literal["windows"]
    run: PrintableText = Field(max_length=200)
    word: PrintableText | None = Field(None, min_length=1, max_length=1000, examples=["circle"])
    edit: JsonObject | None = None
    seeds: int = Field(6, ge=2, le=64)
    parts: int = Field(5, ge=2, le=10)


class HeadsJob(Asked):
    """Rank heads by what taking each of them out does to the thing that a word or phrase names, or in a part of the
    picture: one of `word`, `region` and `mask_png`. The ranking is kept with the run, in its `rankings.json`."""

    kind: Literal["heads"]
    run: PrintableText = Field(max_length=200)
    word: PrintableText | None = Field(None, min_length=1, max_length=1000, examples=["circle"])
    region: PrintableText | None = Field(None, max_length=100_000, examples=["box:10,20,60,90"])
    mask_png: str | None = Field(None, description="Base64 of a PNG of the picture's size, not 0 inside.")
    sites: PrintableText | None = Field(None, max_length=100_000)
    window: PrintableText = Field("all", max_length=1000)
    factor: float = Field(0.0, ge=-100, le=100)
    seeds: int | None = Field(
        None, ge=1, le=64, description="At most; null: 12 for a word, the run's own for a region."
    )
    top: int = Field(5, ge=1, le=1000)


class ProjectionsJob(Asked):
    """Read the model's output projections and keep them with the run, so that its heads' contributions have a sign."""

    kind: Literal["projections"]
    run: PrintableText = Field(max_length=200)


class StripJob(Asked):
    """Draw a run's edits at several strengths, or over several seeds: one of the two."""

    kind: Literal["strip"]
    run: PrintableText = Field(max_length=200)
    edits: list[JsonObject] = Field(min_length=1)
    strengths: list[Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, min_length=2, max_length=16, description="0 changes nothing, 1 is the edits as they are."
    )
    seeds: list[Annotated[int, Field(ge=0, lt=2**53)]] | None = Field(None, min_length=2, max_length=16)


class SweepJob(Asked):
    """Draw a run with many variations, several at once; effects are differences to the unedited row of each batch."""

    kind: Literal["sweep"]
    run: PrintableText = Field(max_length=200)
    variations: list[list[JsonObject]] = Field(min_length=1, max_length=1024)


JobRequest = Annotated[
    RecordJob
    | EstimateJob
    | EditJob
    | ConceptJob
    | StudyJob
    | FaithfulnessJob
    | WindowsJob
    | HeadsJob
    | SweepJob
    | ProjectionsJob
    | StripJob,
    Field(discriminator="kind"),
]


class Progress(Shape):
    """How far a job is. Units of work are denoising steps, or a study's runs."""

    step: int
    of: int
    seconds_left: float | None


class JobProblem(Shape):
    """Why a job failed."""

    kind: str = Field(alias="class")
    code: str
    message: str
    details: dict[str, Any] = Field(default_factory=dict)


class Job(Shape):
    """A job. `position` is the number of jobs before it while it waits."""

    id: str
    kind: str
    state: JobState
    position: int | None
    created: str
    started: str | None
    ended: str | None
    request: dict[str, Any]
    progress: Progress | None
    result: dict[str, Any] | None
    error: JobProblem | None
    warnings: list[str]


class Jobs(Shape):
    """Jobs, newest first."""

    jobs: list[Job]
