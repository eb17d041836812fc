"""The manifest of a run: everything about a recording that is not a tensor. Schema version 3.

`docs/format.md` describes the whole run folder; `schema/manifest-3.json` is this module as a JSON Schema.
Version numbers grow when a reader of an older release would misread a folder; older versions stay readable: what
a later version added has a default here that says what the older ones meant.

Models are frozen: a run's manifest changes only by `RunWriter` writing a new one.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from diffuscope.errors import SelectionError
from diffuscope.ranges import Ranges

SCHEMA_VERSION = 3
"""The version that this release writes."""

SiteKind = Literal["cross", "self", "joint"]
Level = Literal["maps", "cross", "qk"]
RowLabel = Literal["uncond", "cond", "other"]
Branch = Literal["cond", "uncond"]
TokenKind = Literal["start", "content", "end", "padding"]
MaskKind = Literal["none", "boolean", "additive"]


def _relative(path: str) -> str:
    """A posix path that stays inside the folder it is relative to, on every system."""
    parts = path.split("/")
    if not path or any(part in ("", ".", "..") for part in parts) or re.search(r'[\x00-\x1f\\:*?"<>|]', path):
        raise ValueError(f"{path!r} is no plain relative path with forward slashes")
    return path


def _json_floats(value: Any) -> Any:
    """JSON has no infinity, but schedulers are configured with it (``lambda_min_clipped``): kept as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _json_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_floats(item) for item in value]
    return value


RelativePath = Annotated[str, AfterValidator(_relative)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Small = Annotated[int, Field(ge=0, lt=2**20)]
"""A count that code may go through one by one: a forged one must not fill the memory."""
SmallPositive = Annotated[int, Field(ge=1, lt=2**20)]
Side = Annotated[int, Field(ge=1, le=2**15)]
"""Of a picture in pixels."""
Span = Annotated[list[Small], Field(min_length=2, max_length=2)]
"""``[start, stop]``, `stop` excluded."""
SiteName = Annotated[str, Field(pattern=r"^(cross|self|joint):[A-Za-z0-9_.\-]+$")]
PlainJson = Annotated[dict[str, JsonValue], BeforeValidator(_json_floats)]


class _Part(BaseModel):
    """What all parts share: unknown fields are refused, and NaN and infinity, which JSON cannot hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FileHash(_Part):
    """A file as it was when it was written.

    Attributes:
        path: relative to the run folder (or, in `ModelInfo`, to the model's), with forward slashes.
        sha256: of its content, 64 lower-case hex digits.
        bytes: its size.
    """

    path: RelativePath
    sha256: Sha256
    bytes: Count


class ModelInfo(_Part):
    """Which model drew.

    Attributes:
        id: how the user named it: ``scenes``, a hub id, or a folder's name.
        source: where it came from (``shipped``, ``hub``, ``folder``, ``pipeline``).
        family: name of the adapter that recorded it.
        pipeline: class of the pipeline.
        revision: commit on the hub, if it came from there.
        dtype: of the denoiser's parameters (``float32``, ``bfloat16``, …).
        files: weights and configurations; empty where the model came as an object.
    """

    id: str
    source: str
    family: str
    pipeline: str
    revision: str | None = None
    dtype: str
    files: list[FileHash] = []


class Scheduler(_Part):
    """The scheduler: its class, and its configuration as plain JSON (infinities as ``"Infinity"``)."""

    name: str
    config: PlainJson


class Sampling(_Part):
    """What the pipeline was asked for.

    Attributes:
        prompt, negative_prompt: as given; None is no negative prompt.
        seed: of this picture's first noise; None if the caller's own generator was used.
        steps: number of scheduler steps asked for.
        guidance_scale: weight of classifier-free guidance; 1 or less means none.
        width, height: of the picture in pixels.
        image_index, images_per_prompt: which of how many pictures drawn together this run is.
        scheduler: what stepped.
        options: further arguments of the pipeline's call that were given: numbers and texts as they are, pictures and
            tensors as an object with `kind` and `sha256`. Since version 3.
    """

    prompt: str
    negative_prompt: str | None = None
    seed: int | None
    steps: SmallPositive
    guidance_scale: float
    width: Side
    height: Side
    image_index: Small = 0
    images_per_prompt: SmallPositive = 1
    scheduler: Scheduler
    options: PlainJson = {}


class Token(_Part):
    """One token of the text encoder.

    Attributes:
        index: its place among the keys of cross-attention.
        id: in the vocabulary.
        text: as the tokenizer spells it.
        kind: start, content, end (the first end token), or padding.
    """

    index: Small
    id: int
    text: str
    kind: TokenKind


class Word(_Part):
    """One word of the prompt.

    Attributes:
        label: unique in the prompt: ``circle``, the second one ``circle#2``.
        text: as it stands in the prompt.
        tokens: indices of its tokens.
        start, end: its characters in the prompt, `end` excluded.
    """

    label: str
    text: str
    tokens: list[Small]
    start: Count
    end: Count


class Encoder(_Part):
    """One of several text encoders whose tokens follow one another among the text keys (SD3: ``clip``, then ``t5``).

    Attributes:
        name: what it is called; ``circle@t5`` is a word's tokens of that encoder alone.
        start, stop: its tokens, `stop` excluded.
        cut: what of the prompt did not fit into it, or None.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    start: Small
    stop: Small
    cut: str | None = None


class TextInfo(_Part):
    """The prompt as the model read it.

    Attributes:
        tokens: all keys of cross-attention, in order.
        words: the prompt's words, in order.
        cut: what of the prompt did not fit into the text encoder (into none of them), or None.
        length: number of text keys.
        encoders: whose tokens are which, where those of several encoders follow one another; else empty. Since
            version 3.
    """

    tokens: list[Token]
    words: list[Word]
    cut: str | None = None
    length: Small
    encoders: list[Encoder] = []

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if [token.index for token in self.tokens] != list(range(len(self.tokens))):
            raise ValueError("tokens are not numbered from 0 on")
        labels = [word.label for word in self.words]
        if len(set(labels)) != len(labels):
            raise ValueError("two words have one label")
        for word in self.words:
            if any(token >= len(self.tokens) for token in word.tokens):
                raise ValueError(f"the word {word.label!r} has a token that is not there")
        ends = [0, *(encoder.stop for encoder in self.encoders)]
        if self.encoders and (
            [encoder.start for encoder in self.encoders] != ends[:-1]
            or ends[-1] != len(self.tokens)
            or len({encoder.name for encoder in self.encoders}) != len(self.encoders)
        ):
            raise ValueError("the encoders' tokens do not follow one another from first to last")
        return self


class Site(_Part):
    """One attention call of the model.

    Attributes:
        name: kind and place: ``cross:down.0.0``, ``self:mid``, ``joint:3``.
        module: dotted path of the attention module in the denoiser.
        kind: what the keys are: text (cross), the picture itself (self), or both (joint).
        grid: ``[height, width]`` of its queries, which are row-major from the top left.
        heads, head_dim: number of heads, and the size of each.
        scale: what the products of queries and keys are multiplied with before the softmax.
        keys: number of keys.
        mask: whether its attention is masked: by booleans (True takes part) or by numbers that are added to the
            scaled products. The masks are text tensors ``mask/<site>``. Since version 2.
        causal: whether a query takes part with the keys up to its own index alone. Since version 2.
        text_keys, image_keys: at joint sites, where text and picture stand in the sequence, ``[start, stop]`` with
            `stop` excluded: ``[0, 512]`` and ``[512, 4608]`` where the text comes first. Queries and keys are the same
            sequence. None at other sites. Since version 3.
    """

    name: SiteName
    module: str
    kind: SiteKind
    grid: Annotated[list[SmallPositive], Field(min_length=2, max_length=2)]
    heads: SmallPositive
    head_dim: SmallPositive
    scale: float
    keys: Positive
    mask: MaskKind = "none"
    causal: bool = False
    text_keys: Span | None = None
    image_keys: Span | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not self.name.startswith(f"{self.kind}:"):
            raise ValueError(f"site {self.name!r} is of kind {self.kind!r}, which its name does not say")
        text, image = self.text_keys, self.image_keys
        if self.kind != "joint":
            if text is not None or image is not None:
                raise ValueError(f"{self.name} is no joint site, and names text and image keys")
        elif text is None or image is None:
            raise ValueError(
                f"{self.name} is a joint site and does not say where its text and image keys are"
            )
        else:
            (start, middle), (after, stop) = sorted([text, image])
            if (start, after, stop) != (0, middle, self.keys):
                raise ValueError(
                    f"text and image keys of {self.name} are not the two parts of its {self.keys} keys"
                )
            if image[1] - image[0] != self.grid[0] * self.grid[1]:
                raise ValueError(f"{self.name} has other image keys than its grid has cells")
        return self

    @property
    def queries(self) -> int:
        """Length of its stored queries: the cells of its grid or, at joint sites, the whole sequence."""
        return self.keys if self.kind == "joint" else self.grid[0] * self.grid[1]


class Keep(_Part):
    """What was kept.

    Attributes:
        level: ``maps`` (word maps), ``cross`` (and queries of cross-attention, text keys and values), ``qk``
            (and queries, keys and row log-sum-exp of self-attention).
        dtype: of queries, keys and values as stored: what the kernel received, or ``float16`` on request.
        sites: names of the sites kept.
        steps: of which steps attention was kept, in the form of `Selection.steps`. Latents are kept of all.
            Since version 2.
        heads: which heads' queries, keys and log-sum-exp were kept, in the form of `Selection.heads`; a site keeps
            those of them that it has. Word maps are means over all heads. Since version 2.
        values: whether values of self-attention were kept. Since version 2.
        estimate: bytes that the run was expected to take, said before it began. Since version 2.
        branch: whose attention was kept: the conditional row's, or, on request, the unconditional one's, whose words
            are those of the negative prompt. Since version 3.
    """

    level: Level
    dtype: str
    sites: list[SiteName]
    steps: str = "all"
    heads: str = "all"
    values: bool = False
    estimate: Count | None = None
    branch: Branch = "cond"

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name, text in (("steps", self.steps), ("heads", self.heads)):
            try:
                Ranges.of(text, name)
            except SelectionError as error:
                raise ValueError(str(error)) from error
        return self


class Call(_Part):
    """One forward of the denoiser.

    Attributes:
        index: counts over the whole run from 0.
        timestep: what the denoiser was given.
        rows: what each row of this picture's batch was, in the order of the stored latents.
        row: which of them is the row whose attention is kept, the conditional one unless `Keep.branch` says
            otherwise; -1 where the call has none (guidance by separate forwards), so that it is needed for replay only.
    """

    index: Small
    timestep: float
    rows: list[RowLabel]
    row: Annotated[int, Field(ge=-1)]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.row >= len(self.rows) or (self.row >= 0 and self.rows[self.row] == "other"):
            raise ValueError(f"call {self.index}: row {self.row} is no row of the prompt in {self.rows}")
        return self


class Step(_Part):
    """One whole scheduler step.

    Attributes:
        index: from 0, the noisiest.
        timestep: at which the step begins.
        sigma: noise over signal there, or None where the schedule has no such number.
        log_snr: ``2 ln(alpha / sigma)`` there, natural logarithm; None where it is infinite or unknown.
        calls: its forwards of the denoiser, in order.
        rounding: where tensors were stored in a smaller type than the kernel's, the largest difference that this
            made to a probability of the step's word maps. None where nothing was rounded. Since version 2.
        files: its files, relative to the run folder.
    """

    index: Small
    timestep: float
    sigma: float | None = None
    log_snr: float | None = None
    rounding: float | None = None
    calls: list[Call]
    files: list[FileHash] = []


class Manifest(_Part):
    """A run.

    Attributes:
        schema_version: of the folder's format.
        id: name of the run, unlike any other's.
        created: when recording began, ISO 8601 in UTC.
        complete: whether the run came to its end and its picture was written.
        stopped: why it did not, where that is known. None while it runs and after it was killed.
        software: versions of what ran (``diffuscope``, ``torch``, ``python``, …), platform, device.
        model, sampling, text: which model, asked for what, reading which tokens.
        sites: every attention site of the model, in the order of the data, kept or not.
        keep: what was kept.
        steps: the whole steps, ascending; there are no others in the folder that count.
        edits: edits that the run was made with, in their JSON form, in order of application.
        parent: id of the run that was edited, or None.
        files: files that belong to no single step: picture, text, previews.
    """

    schema_version: Positive = SCHEMA_VERSION
    id: Annotated[str, Field(min_length=1)]
    created: str
    complete: bool = False
    stopped: str | None = None
    software: dict[str, str]
    model: ModelInfo
    sampling: Sampling
    text: TextInfo
    sites: list[Site]
    keep: Keep
    steps: list[Step] = []
    edits: list[PlainJson] = []
    parent: str | None = None
    files: list[FileHash] = []

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [site.name for site in self.sites]
        if len(set(names)) != len(names):
            raise ValueError("two sites have one name")
        unknown = sorted(set(self.keep.sites) - set(names))
        if unknown:
            raise ValueError(f"kept sites that are not among the sites: {', '.join(unknown)}")
        keys = min((site.keys for site in self.sites if site.kind == "cross"), default=None)
        for word in self.text.words:
            if keys is not None and any(token >= keys for token in word.tokens):
                raise ValueError(
                    f"the word {word.label!r} has a token beyond the {keys} keys of cross-attention"
                )
        for site in self.sites:
            if site.text_keys is not None and site.text_keys[1] - site.text_keys[0] != self.text.length:
                raise ValueError(
                    f"{site.name} has other text keys than the text has tokens ({self.text.length})"
                )
        if any(one.index >= other.index for one, other in pairwise(self.steps)):
            raise ValueError("steps are not in ascending order")
        for call in (call for step in self.steps for call in step.calls):
            if call.row >= 0 and call.rows[call.row] != self.keep.branch:
                raise ValueError(
                    f"call {call.index}: row {call.row} of {call.rows} is not of the branch kept"
                )
        calls = [call.index for step in self.steps for call in step.calls]
        if any(one >= other for one, other in pairwise(calls)):
            raise ValueError("calls are not in ascending order")
        return self


def json_schema() -> dict[str, Any]:
    """JSON Schema of ``manifest.json``: `Manifest`, and the checksum at its end (see `manifest_file`)."""
    schema = Manifest.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"diffuscope manifest, version {SCHEMA_VERSION}"
    schema["properties"]["schema_version"] = {
        "const": SCHEMA_VERSION,
        "title": "Schema Version",
        "type": "integer",
    }
    schema["properties"]["sha256"] = {
        "description": "SHA-256 of the file's bytes before the comma and line break that precede this field.",
        "pattern": "^[0-9a-f]{64}$",
        "title": "Sha256",
        "type": "string",
    }
    schema["required"] = [*schema["properties"]]
    return schema
