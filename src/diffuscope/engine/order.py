"""An order: what a recording was asked for, checked before anything runs."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from diffuscope.engine.models.family import Family
from diffuscope.engine.models.loading import SHIPPED
from diffuscope.engine.models.tokens import read_prompt
from diffuscope.errors import InputError, PromptError, SelectionError, SizeError, listed
from diffuscope.ranges import Ranges
from diffuscope.recording import Level, Site, TextInfo
from diffuscope.selection import Choice, Selection, SiteChoice

Store = Literal["kernel", "float16"]

DEFAULT_BUDGET = 2 * 10**9
"""Bytes a run may take on disk where neither a keep level nor a budget is named."""

SHIPPED_STEPS, SHIPPED_GUIDANCE = 25, 4.0
"""What the shipped model is used and measured with; other models have their pipeline's own defaults."""


@dataclass(frozen=True)
class Wish:
    """What of a run's attention is to be kept, as the caller says it; see `Lens.record` for each field."""

    keep: Level | None = None
    sites: SiteChoice = None
    grids: str | None = None
    steps: Choice = None
    heads: Choice = None
    values: bool = False
    store: Store = "kernel"
    budget: int | str = DEFAULT_BUDGET
    previews: bool = True


@dataclass(frozen=True)
class Order:
    """A request that can be carried out. `text` is the prompt as the model reads it, `warnings` what to tell the user;
    `steps` and `heads` are those whose attention is kept, `sites` those that the pattern names."""

    prompt: str
    negative_prompt: str | None
    seed: int
    num_steps: int
    guidance_scale: float
    height: int
    width: int
    pictures: int
    text: TextInfo
    warnings: tuple[str, ...]
    level: Level | None
    sites: frozenset[str]
    grids: frozenset[tuple[int, int]] | None
    steps: Ranges
    heads: Ranges
    values: bool
    float16: bool
    budget: int
    previews: bool

    @property
    def tokens(self) -> int:
        """How many text tokens are not padding."""
        return sum(token.kind != "padding" for token in self.text.tokens)

    def kept_sites(self, described: list[Site]) -> frozenset[str]:
        """Names of the sites to keep, once their grids are known.

        Raises:
            SelectionError: no site has a grid that was asked for.
        """
        if self.grids is None:
            return self.sites
        wanted = [site for site in described if site.name in self.sites]
        there = {(site.grid[0], site.grid[1]) for site in wanted}
        if self.grids - there:
            have = listed([f"{height}x{width}" for height, width in sorted(there, reverse=True)])
            lacking = ", ".join(f"{height}x{width}" for height, width in sorted(self.grids - there))
            raise SelectionError(f"no site has a grid of {lacking} (height x width); there are: {have}")
        return frozenset(site.name for site in wanted if (site.grid[0], site.grid[1]) in self.grids)


def check(
    pipe: Any,
    family: Family,
    model: str,
    wish: Wish,
    *,
    prompt: str,
    negative_prompt: str | None,
    seed: int,
    steps: int | None,
    guidance_scale: float | None,
    height: int | None,
    width: int | None,
    images_per_prompt: int,
) -> Order:
    """Check a request.

    Raises:
        PromptError, SizeError, SelectionError, InputError: see `Lens.record`.
    """

    def default(name: str, shipped: Any) -> Any:
        return shipped if model == SHIPPED else inspect.signature(pipe.__call__).parameters[name].default

    steps = default("num_inference_steps", SHIPPED_STEPS) if steps is None else steps
    guidance = default("guidance_scale", SHIPPED_GUIDANCE) if guidance_scale is None else guidance_scale
    for name, value, allowed in (
        ("keep", wish.keep, (None, *get_args(Level))),
        ("store", wish.store, get_args(Store)),
    ):
        if value not in allowed:
            one_of = ", ".join(each for each in allowed if each)
            raise InputError(f"{name}={value!r} is unknown; it is one of {one_of}")
    if steps < 1:
        raise InputError(f"steps={steps}: a picture needs at least one step")
    if images_per_prompt < 1:
        raise InputError(f"images_per_prompt={images_per_prompt}: it is at least 1")
    every = family.sites(pipe)
    kept_steps = Ranges.of(wish.steps, "keep_steps")
    kept_steps.resolve(steps, "step", "the run")
    text, warnings = _read(pipe, model, prompt)
    tall, wide = _size(pipe, family, height, width)
    return Order(
        prompt=prompt,
        negative_prompt=negative_prompt,
        seed=seed,
        num_steps=steps,
        guidance_scale=guidance,
        height=tall,
        width=wide,
        pictures=images_per_prompt,
        text=text,
        warnings=tuple(warnings),
        level=wish.keep,
        sites=frozenset(Selection.of(sites=wish.sites).resolve_sites([site.name for site in every])),
        grids=_grids(wish.grids),
        steps=kept_steps,
        heads=Ranges.of(wish.heads, "keep_heads"),
        values=wish.values,
        float16=wish.store == "float16",
        budget=_bytes(wish.budget),
        previews=wish.previews,
    )


def _read(pipe: Any, model: str, prompt: str) -> tuple[TextInfo, list[str]]:
    if not prompt.strip():
        raise PromptError(
            "the prompt is empty; say what to draw, for example 'a red circle left of a blue square'"
        )
    text = read_prompt(pipe.tokenizer, prompt, pipe.tokenizer.model_max_length)
    warnings = []
    if text.cut:
        warnings.append(
            f"the text encoder takes {text.length} tokens; this part of the prompt was cut: {text.cut!r}"
        )
    if model == SHIPPED:
        from diffuscope.scenes.prompts import near_words

        for word, near in near_words(prompt):
            hint = f"; near words: {', '.join(near)}" if near else ""
            warnings.append(f"the scenes model does not know the word {word!r}{hint}")
    return text, warnings


def _size(pipe: Any, family: Family, height: int | None, width: int | None) -> tuple[int, int]:
    default = family.default_size(pipe)
    size = (height or default[0], width or default[1])
    multiple = family.size_multiple(pipe)
    for name, value in zip(("height", "width"), size, strict=True):
        if value < multiple or value % multiple:
            near = max(multiple, round(value / multiple) * multiple)
            raise SizeError(f"{name} {value} is not a multiple of {multiple}; {near} would be")
    return size


def _grids(text: str | None) -> frozenset[tuple[int, int]] | None:
    """Grids in their text form, ``16x16,8x8`` (height x width)."""
    if text is None or text.strip() == "all":
        return None
    matches = [re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", part.strip()) for part in text.split(",")]
    if not all(matches):
        raise SelectionError(f"bad grids {text!r}; write height x width, as in 16x16,8x8")
    return frozenset((int(match[1]), int(match[2])) for match in matches if match)


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def _bytes(size: int | str) -> int:
    """A number of bytes, or its text form: ``500 MB``, ``2GB``."""
    if isinstance(size, str):
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", size.strip().lower())
        if match is None or match[2] not in _UNITS:
            raise InputError(f"budget={size!r} is no size; write it like 500MB or 2GB")
        size = int(float(match[1]) * _UNITS[match[2]])
    if isinstance(size, bool) or size < 1:
        raise InputError(
            f"budget={size!r}: a run needs room for at least something; write it like 500MB or 2GB"
        )
    return size
