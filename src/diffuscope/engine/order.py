"""An order: what a recording was asked for, checked before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffuscope.engine.models.family import Family
from diffuscope.engine.models.loading import SHIPPED
from diffuscope.engine.options import described
from diffuscope.engine.wish import DEFAULT_BUDGET, Granted, Store, Wish
from diffuscope.errors import InputError, PromptError, SizeError, listed, near_first
from diffuscope.recording import Branch, TextInfo

__all__ = ["DEFAULT_BUDGET", "Order", "Picture", "Store", "Wish", "check", "read_branch", "read_text"]

SHIPPED_STEPS, SHIPPED_GUIDANCE = 25, 4.0
"""What the shipped model is used and measured with; other models have their pipeline's own defaults."""

SIZED_BY_PICTURE = ("image", "control_image")
"""Arguments of a pipeline's call that say how large the picture is, where no size is given."""


@dataclass(frozen=True)
class Picture:
    """One picture of an order: `seed` of its first noise, None if the caller's own generator draws it; `text` is the
    prompt as the model reads it."""

    prompt: str
    negative_prompt: str | None
    seed: int | None
    text: TextInfo


@dataclass(frozen=True)
class Order:
    """A request that can be carried out.

    Attributes:
        pictures: what is drawn together, in the order of the batch.
        num_steps, guidance_scale: as the pipeline is given them.
        size: height and width in pixels; None where a picture among the arguments decides.
        options: the pipeline's further arguments, in their form for the manifest.
        keeping: what is kept.
        warnings: what to tell the user.
    """

    pictures: tuple[Picture, ...]
    num_steps: int
    guidance_scale: float
    size: tuple[int, int] | None
    options: Mapping[str, Any]
    keeping: Granted
    warnings: tuple[str, ...]

    @property
    def tokens(self) -> int:
        """How many text keys there are up to the last that is not padding, in the longest prompt."""
        last = [
            max((token.index for token in picture.text.tokens if token.kind != "padding"), default=0)
            for picture in self.pictures
        ]
        return max(last) + 1


def check(
    pipe: Any,
    family: Family,
    model: str,
    wish: Wish,
    *,
    prompt: str | Sequence[str],
    negative_prompt: str | None,
    seed: int,
    steps: int | None,
    guidance_scale: float | None,
    height: int | None,
    width: int | None,
    images_per_prompt: int,
    options: Mapping[str, Any],
) -> tuple[Order, dict[str, Any]]:
    """Check a request: the order, and the arguments of the pipeline's call, without its generator.

    Raises:
        PromptError, SizeError, SelectionError, InputError: see `Lens.record`.
    """
    takes = inspect.signature(pipe.__call__).parameters

    def default(name: str, shipped: Any) -> Any:
        return shipped if model == SHIPPED else takes[name].default

    _check_options(pipe, takes, options)
    num_steps = default("num_inference_steps", SHIPPED_STEPS) if steps is None else steps
    guidance = default("guidance_scale", SHIPPED_GUIDANCE) if guidance_scale is None else guidance_scale
    if num_steps < 1:
        raise InputError(f"steps={num_steps}: a picture needs at least one step")
    if images_per_prompt < 1:
        raise InputError(f"images_per_prompt={images_per_prompt}: it is at least 1")
    granted = wish.checked(family.sites(pipe), num_steps)
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if not prompts:
        raise PromptError("no prompt was given")
    read = [read_branch(pipe, family, model, wish.branch, each, negative_prompt, options) for each in prompts]
    size = _size(pipe, family, takes, options, height, width)
    arguments: dict[str, Any] = {
        "prompt": prompts[0] if len(prompts) == 1 else prompts,
        "num_inference_steps": num_steps,
        "guidance_scale": guidance,
        "num_images_per_prompt": images_per_prompt,
    }
    if size is not None:
        arguments |= {"height": size[0], "width": size[1]}
    if negative_prompt is not None:
        arguments["negative_prompt"] = (
            negative_prompt if len(prompts) == 1 else [negative_prompt] * len(prompts)
        )
    for name in [name for name in arguments if name not in takes]:
        if name != "num_images_per_prompt" or images_per_prompt > 1:
            raise InputError(f"{type(pipe).__name__} takes no {name}")
        del arguments[name]
    pictures = [
        Picture(text_prompt, negative_prompt, seed + index * images_per_prompt + copy, text)
        for index, (text_prompt, (text, _)) in enumerate(zip(prompts, read, strict=True))
        for copy in range(images_per_prompt)
    ]
    order = Order(
        pictures=tuple(pictures),
        num_steps=num_steps,
        guidance_scale=guidance,
        size=size,
        options=described(options),
        keeping=granted,
        warnings=tuple(dict.fromkeys(line for _, lines in read for line in lines)),
    )
    return order, {**arguments, **options}


def read_branch(
    pipe: Any,
    family: Family,
    model: str,
    branch: Branch,
    prompt: str,
    negative_prompt: str | None,
    options: Mapping[str, Any],
) -> tuple[TextInfo, list[str]]:
    """What the rows read whose attention is kept: the prompt, or the negative prompt. Otherwise as `read_text`.

    Raises:
        InputError: the branch is the unconditional one, and there is no negative prompt.
    """
    read = read_text(pipe, family, model, prompt, options)
    if branch == "cond":
        return read
    if not (negative_prompt or "").strip():
        raise InputError("branch='uncond' keeps the words of the negative prompt, and none was given")
    assert negative_prompt is not None
    return read_text(pipe, family, model, negative_prompt, options)


def read_text(
    pipe: Any, family: Family, model: str, prompt: str, options: Mapping[str, Any]
) -> tuple[TextInfo, list[str]]:
    """A prompt as the model reads it, and what to tell the user about it.

    Raises:
        PromptError: it is empty.
    """
    if not prompt.strip():
        raise PromptError(
            "the prompt is empty; say what to draw, for example 'a red circle left of a blue square'"
        )
    read = family.read_prompt(pipe, prompt, options)
    warnings = list(read.warnings)
    if model == SHIPPED:
        from diffuscope.scenes.prompts import near_words

        for word, near in near_words(prompt):
            hint = f"; near words: {', '.join(near)}" if near else ""
            warnings.append(f"the scenes model does not know the word {word!r}{hint}")
    return read.text, warnings


NAMED = {
    "prompt": "prompt",
    "num_inference_steps": "steps",
    "num_images_per_prompt": "images_per_prompt",
    "generator": "seed",
}
"""Arguments of a pipeline's call that `Lens.record` has under names of its own."""


def _check_options(pipe: Any, takes: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    for name in options:
        if name in NAMED:
            raise InputError(f"{name}= is called {NAMED[name]}= here")
        if name in ("output_type", "return_dict", "prompt_embeds", "negative_prompt_embeds"):
            raise InputError(
                f"{name}= cannot be given to record; call the pipeline yourself within diffuscope.capture(pipe)"
            )
        if name not in takes:
            near = near_first(name, [each for each in takes if each not in NAMED])[:3]
            raise InputError(f"{type(pipe).__name__} takes no argument {name!r}; near names: {listed(near)}")


def _size(
    pipe: Any,
    family: Family,
    takes: Mapping[str, Any],
    options: Mapping[str, Any],
    height: int | None,
    width: int | None,
) -> tuple[int, int] | None:
    given = [name for name, value in (("height", height), ("width", width)) if value is not None]
    if "height" not in takes and given:
        raise SizeError(
            f"{type(pipe).__name__} takes its size from the picture it is given, not from {given[0]}"
        )
    if "height" not in takes or (
        not given and any(options.get(name) is not None for name in SIZED_BY_PICTURE)
    ):
        return None
    default = family.default_size(pipe)
    size = (default[0] if height is None else height, default[1] if width is None else width)
    multiple = family.size_multiple(pipe)
    for name, value in zip(("height", "width"), size, strict=True):
        if value < multiple or value % multiple:
            near = max(multiple, round(value / multiple) * multiple)
            raise SizeError(f"{name} {value} is not a multiple of {multiple}; {near} would be")
    return size
