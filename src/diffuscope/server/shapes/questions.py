"""Questions and their answers: maps, regions, heads, edits, prompts, comparisons."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from diffuscope.server.shapes.base import Asked, Direction, Format, JsonObject, PrintableText, Shape
from diffuscope.server.shapes.runs import Words


class MapQuestion(Asked):
    """A map of a word, phrase, concept or region."""

    selection: PrintableText = Field(max_length=100_000, examples=["steps=0:10 sites=cross:up.* word=circle"])
    each_step: bool = False
    reduce: Literal["sum", "mean"] = "sum"
    size: Literal["native", "image", "finest"] | Annotated[int, Field(ge=1, le=1024)] | None = None
    format: Format = "safetensors"


class RegionQuestion(Asked):
    """Who looks at a part of the picture (`to`), or what it looks at (`from`)."""

    region: PrintableText | None = Field(None, max_length=100_000, examples=["box:10,20,60,90"])
    mask_png: str | None = Field(None, description="Base64 of a PNG of the picture's size, not 0 inside.")
    direction: Direction = "to"
    steps: PrintableText | None = Field(None, max_length=1000, examples=["3"])
    sites: PrintableText | None = Field(None, max_length=1000)
    heads: PrintableText | None = Field(None, max_length=1000)
    each_step: bool = False
    diffused: bool = False
    iterations: int = Field(5, ge=0, le=50)
    threshold: float = Field(0.5, ge=0, lt=1)
    format: Format = "safetensors"


class MapValues(Shape):
    """A map with its exact float32 values: ``[y][x]``, or ``[step][y][x]``."""

    label: str
    selection: str
    unit: str
    aggregation: str
    size: list[int]
    min: float
    max: float
    mean: float
    peak: list[int] | None = Field(description="[y, x] in cells.")
    centroid: list[float] | None
    steps: list[int] | None
    values: list[Any]
    region: str | None = None
    area: float | None = None


class HeadQuestion(Asked):
    """Which heads look at a word."""

    word: PrintableText = Field(max_length=1000, examples=["circle"])
    steps: PrintableText | None = Field(None, max_length=1000)


class HeadRow(Shape):
    """A head: its mean attention to the word, and how focused that is (1 - entropy / log n)."""

    site: str
    head: int
    mass: float
    focus: float
    peak: list[int]


class HeadTable(Shape):
    """Heads by mass."""

    word: str
    unit: str
    heads: list[HeadRow]


class Concepts(Shape):
    """Concepts whose keys the run's cache has: their maps need no model."""

    concepts: list[str]


class EditsQuestion(Asked):
    """Edits to be checked against a run."""

    run: PrintableText = Field(max_length=200)
    edits: list[JsonObject] = Field(
        min_length=1, max_length=64, examples=[[{"edit": "silence", "word": "circle"}]]
    )


class CheckedEdit(Shape):
    """An edit in its normal form, in a line of English, and the steps at which it acts."""

    edit: dict[str, Any] = Field(alias="json")
    says: str
    steps: list[int]


class CheckedEdits(Shape):
    """Edits that are well-formed. `first_step`: the first that has to be drawn again."""

    edits: list[CheckedEdit]
    first_step: int | None
    steps: int


class PromptQuestion(Asked):
    """A prompt to be read as a model reads it."""

    prompt: PrintableText = Field(max_length=100_000, examples=["a red circle left of a blue square"])
    model: PrintableText | None = Field(None, max_length=200)


class CheckedPrompt(Words):
    """A prompt as a model would read it, and what to say about it."""

    warnings: list[str]


class WordEffect(Shape):
    """What became of the attention to one word; see `analysis.comparing`."""

    word: str
    acs: float | None
    p_adc: float | None
    l_adc: float | None
    sf_iou: float
    chance: float
    random_word: str | None
    random_sf_iou: float | None
    map_difference: float


class Change(Shape):
    """What became of the picture. `noticed`: share of pixels whose colour moved by more than 2.3."""

    unit: str
    mean: float
    largest: float
    noticed: float


class Comparison(Shape):
    """Two runs that differ in their edits alone. Where a run with the controls of these edits is there, it is compared
    beside, under `control`, in the same form."""

    model_config = ConfigDict(extra="allow")

    run: str
    other: str
    edits: list[str]
    window: list[int]
    steps: list[int]
    change: Change
    perceptual: dict[str, Any]
    words: list[WordEffect]
    times: list[dict[str, Any]]
    judge: str | None
    judged: list[dict[str, Any]]
    readings: list[str] | None
    control: dict[str, Any] | None
