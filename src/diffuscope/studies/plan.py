"""The plan of a study: what is drawn, under which conditions, what is measured, what is kept. Schema version 1.

`schema/plan-1.json` is this module as a JSON Schema; `plan_file` reads a plan from YAML and says in one line what is
wrong with it. Plans are frozen; a study keeps the plan that it began with.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from diffuscope.errors import InputError

PLAN_VERSION = 1

Kept = Literal["none", "maps", "cross", "qk"]
"""What stays on disk of each run: nothing but its rows, or a recording of that level."""

Summary = Literal["mean", "max", "min", "first", "last", "sum"]
"""How the values of the steps become one."""

MOST_SEEDS = 10**6


class _Part(BaseModel):
    """What all parts share: unknown fields are refused, and so are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _named(key: str) -> BeforeValidator:
    """A text where an object with that field is meant."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


def _seeds(value: Any) -> Any:
    """Seeds as a list: ``7``, ``0:20`` (20 left out), ``0:4,9``, or a list already."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        return value
    seeds: list[int] = []
    for part in value.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,18})\s*(?::\s*([0-9]{1,18})\s*)?", part)
        if match is None:
            raise ValueError(f"{value!r} is no list of seeds; write 7, [1, 2, 5] or 0:20 (20 left out)")
        first, end = int(match[1]), int(match[2]) if match[2] else int(match[1]) + 1
        if end - first > MOST_SEEDS:
            raise ValueError(f"{value!r} are more than {MOST_SEEDS} seeds")
        seeds += range(first, end)
    return seeds


class ModelChoice(_Part):
    """Which model draws.

    Attributes:
        id: as `Lens.load` takes it: ``scenes``, a folder in diffusers layout, a checkpoint file, a hub id.
        revision: branch, tag or commit on the hub.
        dtype: of the weights; the best for the device by default.
        config: of a checkpoint file: a folder in diffusers layout of the same model.
    """

    id: Annotated[str, Field(min_length=1)]
    revision: str | None = None
    dtype: str | None = None
    config: str | None = None


class PromptSource(_Part):
    """Where prompts come from: exactly one of `list`, `template`, `file`, `coco`.

    Attributes:
        list: the prompts themselves.
        template: a text with factors in braces, ``a {colour} {shape}``: one prompt for each combination.
        factors: factor to its values.
        file: a text file with a prompt a line, or a CSV file with a column ``prompt``; its other columns are factors.
            Relative to the plan's folder. A study keeps the file's name alone.
        coco: a caption file of COCO (``captions_val2017.json``): the first caption of each picture, in the order of
            the pictures' ids; captions that came before are passed over.
        sha256: of the content of `file` or `coco`: what a study keeps in place of where the file lay. A plan that says
            it draws nothing from a file that has changed.
        first: no more than so many, of a file or of COCO.
    """

    list: Annotated[tuple[str, ...] | None, Field(min_length=1)] = None
    template: str | None = None
    factors: dict[str, tuple[str, ...]] = {}
    file: str | None = None
    coco: str | None = None
    sha256: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")] = None
    first: Annotated[int | None, Field(ge=1)] = None

    @model_serializer(mode="wrap")
    def _said(self, inner: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Left out where nobody said it: plans of studies that were begun before keep their hash.
        told: dict[str, Any] = inner(self)
        return {name: value for name, value in told.items() if name != "sha256" or value is not None}

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("list", "template", "file", "coco") if getattr(self, name) is not None]
        if len(given) != 1:
            told = " and ".join(given) if given else "none of them"
            raise ValueError(f"prompts come from one of list, template, file, coco; given: {told}")
        if self.factors and self.template is None:
            raise ValueError("factors go with a template, and there is none")
        if self.sha256 is not None and self.file is None and self.coco is None:
            raise ValueError("sha256 is that of a file of prompts, and there is none")
        return self


class Settings(_Part):
    """Sampling settings; what is left out is the pipeline's own.

    Attributes:
        steps: number of scheduler steps.
        guidance_scale: weight of classifier-free guidance; 1 or less means none.
        width, height: of the picture in pixels.
        negative_prompt: what guidance moves away from.
        options: further arguments of the pipeline's call, numbers and texts.
    """

    steps: Annotated[int | None, Field(ge=1)] = None
    guidance_scale: float | None = None
    width: Annotated[int | None, Field(ge=8)] = None
    height: Annotated[int | None, Field(ge=8)] = None
    negative_prompt: str | None = None
    options: dict[str, JsonValue] = {}

    def over(self, base: Settings) -> dict[str, Any]:
        """Settings with those of `base` where nothing is said here; without what nobody said."""
        merged = {**base.said(), **self.said()}
        options = {**base.options, **self.options}
        return {**merged, "options": options} if options else merged

    def said(self) -> dict[str, Any]:
        """The settings that were given, `options` apart."""
        return {
            name: value for name, value in self.model_dump(exclude={"options"}).items() if value is not None
        }


class Condition(_Part):
    """One way in which every prompt and seed is drawn.

    Attributes:
        settings: what differs from the plan's settings.
        edits: edits in their JSON form, in order of application.
        prompt: another template for this condition, with the same factors (word order swapped, a word left out).
        control_of: name of the condition whose effect this one controls for; the report shows the two side by side.
        control: whether a condition ``<name>, control`` is drawn too, in which each edit gives way to its control: a
            random change of the same size on the same steps, sites, heads and patches.
    """

    settings: Settings = Settings()
    edits: tuple[dict[str, JsonValue], ...] = ()
    prompt: str | None = None
    control_of: str | None = None
    control: bool = False


class MeasureChoice(_Part):
    """One measure, and of what.

    Attributes:
        name: of a declared measure (``diffuscope study measures`` lists them).
        words: for measures of words: words or phrases of the prompt, factors in braces (``{shape}``: what the factor
            says in each prompt), or ``all``. By default every factor.
        steps: which steps, ``0:10``; all by default.
        over_steps: how values of several steps become the one that effects are computed from.
        series: keep the value of every step too.
        chance: the level that chance alone reaches, where it is known: drawn beside the values.
    """

    name: str
    words: Annotated[
        tuple[str, ...] | None, BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)
    ] = None
    steps: str | None = None
    over_steps: Summary = "mean"
    series: bool = False
    chance: float | None = None


class Pairing(_Part):
    """What is compared with what. Runs of one prompt and seed are a pair.

    Attributes:
        baseline: the condition that the others are compared with; the first by default.
    """

    baseline: str | None = None


class HeldOut(_Part):
    """Prompts that are put aside: choices are made on the others, and the report shows both apart.

    Attributes:
        share: of the prompts, 0 to 1.
        seed: which ones; a prompt's side depends on this and on the prompts alone.
    """

    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    seed: int = 0


class Plan(_Part):
    """A study: prompts x seeds x conditions.

    Attributes:
        version: of this form.
        study: its name, and that of its folder.
        question: what is asked, in words; the report begins with it.
        model: which model.
        prompts: which prompts.
        seeds: of the first noise; the same for each prompt.
        settings: sampling settings of all conditions.
        conditions: name to condition.
        measures: what is measured.
        keep: what stays on disk of each run.
        pairing: what is compared with what.
        held_out: prompts that are put aside.
        retries: how often a run that failed is tried again before it becomes an error row.
        thumbnail: longer side in pixels of the small picture in each row; 0 for none.
    """

    version: Literal[1] = 1
    study: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,79}$")]
    question: str = ""
    model: Annotated[ModelChoice, _named("id")] = ModelChoice(id="scenes")
    prompts: Annotated[
        PromptSource,
        BeforeValidator(lambda value: {"list": value} if isinstance(value, list | tuple) else value),
    ]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_seeds)] = (0,)
    settings: Settings = Settings()
    conditions: dict[str, Condition] = {"baseline": Condition()}
    measures: Annotated[tuple[Annotated[MeasureChoice, _named("name")], ...], Field(min_length=1)]
    keep: Kept = "none"
    pairing: Pairing = Pairing()
    held_out: HeldOut | None = None
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    thumbnail: Annotated[int, Field(ge=0, le=512)] = 96

    @model_validator(mode="after")
    def _with_controls(self) -> Self:
        """Conditions that were asked to have a control get it, once."""
        controlled = {condition.control_of for condition in self.conditions.values()}
        for name, condition in list(self.conditions.items()):
            if not condition.control or name in controlled:
                continue
            if not condition.edits:
                raise ValueError(f"conditions.{name}: control: true is for conditions with edits")
            edits = tuple(
                {"edit": "control", "of": edit, "seed": seed} for seed, edit in enumerate(condition.edits)
            )
            update = {"edits": edits, "control_of": name, "control": False}
            self.conditions[f"{name}, control"] = condition.model_copy(update=update)
        return self

    @property
    def baseline(self) -> str:
        """The condition that the others are compared with."""
        return self.pairing.baseline or next(iter(self.conditions))

    def plain(self) -> dict[str, Any]:
        """The plan as plain JSON values, every field said."""
        return self.model_dump(mode="json")

    @property
    def sha256(self) -> str:
        """Of the plan's meaning: the order of its fields makes no difference."""
        text = json.dumps(self.plain(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def bytes_of(text: str, name: str) -> int:
    """A size in its text form, ``500MB``, ``2GB``; ``0`` is none.

    Raises:
        InputError: it is no size.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise InputError(f"{name} {text!r} is no size; write it like 500MB or 2GB")
    return int(float(match[1]) * _UNITS[match[2]])


def json_schema() -> dict[str, Any]:
    """JSON Schema of a plan as it is written in a file."""
    schema = Plan.model_json_schema(mode="validation")
    # Forms that are read as well, for editors that check a file while it is written.
    schema["properties"]["model"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/ModelChoice"}]}
    schema["properties"]["prompts"] = {
        "anyOf": [{"type": "array", "items": {"type": "string"}}, {"$ref": "#/$defs/PromptSource"}]
    }
    integers = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
    schema["properties"]["seeds"] = {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}, integers],
        "default": [0],
    }
    choice = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/MeasureChoice"}]}
    schema["properties"]["measures"] = {"type": "array", "minItems": 1, "items": choice}
    words = schema["$defs"]["MeasureChoice"]["properties"]["words"]
    words["anyOf"] = [{"type": "string"}, *words["anyOf"]]
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"diffuscope study plan, version {PLAN_VERSION}"
    return schema
