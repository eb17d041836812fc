"""The head atlas: its cells and contents, rankings of heads, questions that name heads, patches on grids."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from diffuscope.server.shapes.base import Asked, JsonObject, PrintableText, Shape

Grid = Annotated[list[Annotated[int, Field(ge=1, le=8192)]], Field(min_length=2, max_length=2)]


class AtlasSite(Shape):
    """A kept site. `column`: its block's place in the data flow; `depth`: its grid's place in `grids`; `first`: number
    of its first cell; `total`: how many heads it has, kept or not."""

    index: int
    name: str
    kind: Literal["cross", "self", "joint"]
    grid: list[int]
    heads: list[int]
    total: int
    stage: Literal["down", "mid", "up", "double", "single", "block"]
    block: str
    column: int
    depth: int
    first: int


class AtlasOverview(Shape):
    """The file `all` of a content: longer side of its largest maps, whether they are each site's own grid, how many
    slots it has, and bytes of its maps."""

    side: int
    native: bool
    slots: int
    bytes: int


class AtlasDetail(Shape):
    """The files of single slots."""

    side: int
    native: bool
    bytes: int


class AtlasContent(Shape):
    """Something that can be shown of each head; `why` says why it cannot."""

    id: str
    family: Literal["word", "received", "focus", "contribution", "signed"]
    word: int | None
    label: str
    said: str
    unit: str
    signed: bool
    kinds: list[str]
    cells: int
    available: bool
    why: str | None
    overview: AtlasOverview | None
    detail: AtlasDetail | None


class AtlasWhole(Shape):
    """Every kept head of a run. `layout` is that of a UNet (`u`) or of a transformer (`rows`)."""

    run: str
    version: int
    layout: Literal["u", "rows"]
    grids: list[list[int]]
    steps: list[int]
    sites: list[AtlasSite]
    cells: int
    words: list[int]
    contents: list[AtlasContent]


class RankedHead(Shape):
    """A head in a ranking. `rank_best`, `rank_worst`: the places that its 95% interval leaves open."""

    rank: int
    rank_best: int
    rank_worst: int
    site: str
    head: int
    effect: float | None
    low: float | None
    high: float | None
    outside: float | None
    control: float | None
    seeds: int
    state: Literal["top", "rest", "open"]


class Ranking(Shape):
    """Heads by the effect of taking each of them out. `region`: how the target was found in each picture."""

    prompt: str
    target: str
    region: str
    seeds: list[int]
    skipped: list[int]
    top: int
    error: float
    bound: str
    heads: list[RankedHead]
    drawn: int
    full: int
    word: str | None
    where: str | None
    window: str
    factor: float
    unit: str
    settled: bool


class Rankings(Shape):
    """Rankings of a run, the newest first."""

    rankings: list[Ranking]


class PickQuestion(Asked):
    """A question that names heads; docs/atlas.md has all its forms."""

    query: PrintableText = Field(min_length=1, max_length=10_000, examples=["top 10 for 'circle' by effect"])


class PickedHead(Shape):
    """A head, with its place in the ranking that was asked for."""

    site: str
    head: int
    cell: int
    value: float | None
    rank: int | None
    low: float | None
    high: float | None


class Aim(Shape):
    """Sites and heads of one edit."""

    sites: str
    heads: str


class Picks(Shape):
    """The heads, and the fewest pairs of sites and heads that are together exactly these."""

    query: str
    by: Literal["mass", "effect", "contribution"] | None
    unit: str | None
    heads: list[PickedHead]
    aims: list[Aim]


class CoverQuestion(Asked):
    """Patches of an edit on a picture of `size` pixels."""

    size: Grid = Field(examples=[[128, 128]])
    patches: JsonObject = Field(examples=[{"region": "box:3,4,7,9", "grid": [16, 16]}])
    grids: list[Annotated[list[Annotated[int, Field(ge=1, le=256)]], Field(min_length=2, max_length=2)]] = (
        Field(min_length=1, max_length=16, examples=[[[16, 16], [8, 8]]])
    )


class Cover(Shape):
    """How much of each patch of a grid is meant, 0 to 1."""

    grid: list[int]
    cover: list[list[float]]


class Covers(Shape):
    """Patches in their normal form and on every grid. `area` is their share of the picture."""

    patches: dict[str, Any]
    says: str
    area: float
    grids: list[Cover]
