"""Recording calls that the user makes: `with ds.capture(pipe) as session: pipe(...)`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from diffuscope.engine.drawing import Drawing, OnEstimate, Progress
from diffuscope.engine.lens import Lens
from diffuscope.engine.models.tokens import without_words
from diffuscope.engine.options import described
from diffuscope.engine.order import DEFAULT_BUDGET, Order, Picture, Store, Wish, read_branch, read_text
from diffuscope.errors import CaptureError, InputError, PromptError
from diffuscope.recording import Branch, Level, TextInfo
from diffuscope.run import Run
from diffuscope.selection import Choice, SiteChoice

NOT_OPTIONS = {
    "prompt",
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "height",
    "width",
    "num_images_per_prompt",
    "generator",
    "output_type",
    "return_dict",
}
"""Arguments of a pipeline's call that the manifest holds elsewhere, or that do not change the picture."""


def capture(
    pipe: Any,
    *,
    prompt: str | None = None,
    keep: Level | None = None,
    sites: SiteChoice = None,
    grids: str | None = None,
    keep_steps: Choice = None,
    keep_heads: Choice = None,
    values: bool = False,
    store: Store = "kernel",
    budget: int | str = DEFAULT_BUDGET,
    out: str | Path = "runs",
    previews: bool = True,
    branch: Branch = "cond",
    progress: Progress | None = None,
    on_estimate: OnEstimate | None = None,
) -> Capture:
    """Record every call of a pipeline that is made within a `with` block.

        with ds.capture(pipe) as session:
            image = pipe("a red cat", num_inference_steps=20).images[0]
        session.run.word("cat").map()

    The calls are the user's own, with whatever arguments the pipeline takes, and return what they return without it.

    Args:
        pipe: a diffusers pipeline.
        prompt: the text that embeddings were made from where they are given ready-made (`prompt_embeds`), for example
            weighted ones: with it words have maps, without it text keys have numbers.
        keep, sites, grids, keep_steps, keep_heads, values, store, budget, out, previews, branch, progress, on_estimate:
            as in `Lens.record`.

    Raises:
        UnsupportedModelError: no family adapter serves `pipe`.
        Those of `Lens.record`, from the pipeline's call.
    """
    wish = Wish(keep, sites, grids, keep_steps, keep_heads, values, store, budget, previews, branch)
    return Capture(Lens(pipe), wish, prompt=prompt, out=out, progress=progress, on_estimate=on_estimate)


class Capture:
    """What `capture` gives. As a context: calls of the pipeline within it are recorded.

    Attributes:
        runs: the runs that were recorded, in order; one a picture.
        warnings: what there was to say about the calls.
    """

    def __init__(
        self,
        lens: Lens,
        wish: Wish,
        *,
        prompt: str | None,
        out: str | Path,
        progress: Progress | None,
        on_estimate: OnEstimate | None,
    ) -> None:
        self.lens, self.runs, self.warnings = lens, list[Run](), list[str]()
        self._wish, self._prompt, self._out = wish, prompt, out
        self._progress, self._on_estimate = progress, on_estimate
        self._class: type | None = None
        self._inside = False

    @property
    def run(self) -> Run:
        """The last run.

        Raises:
            CaptureError: nothing was recorded yet.
        """
        if not self.runs:
            raise CaptureError("no call of the pipeline was recorded yet: call it within the with block")
        return self.runs[-1]

    def __enter__(self) -> Self:
        if self._class is not None:
            raise CaptureError("this capture is under way already; use another for a block within the block")
        pipe, kind = self.lens.pipe, type(self.lens.pipe)
        call = kind.__call__

        # `wraps` keeps the signature visible, which callers of the pipeline may read.
        @functools.wraps(call)
        def recorded(pipeline: Any, *args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return call(pipeline, *args, **kwargs)
            return self._record(functools.partial(call, pipeline), args, kwargs)

        # Python looks `__call__` up on the class: so for a while this one object is of a class of its own, which
        # differs in nothing else, and other pipelines of its class are left alone.
        own = type(kind.__name__, (kind,), {"__call__": recorded, "__module__": kind.__module__})
        self._class = kind
        object.__setattr__(pipe, "__class__", own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        object.__setattr__(self.lens.pipe, "__class__", self._class)
        self._class = None

    def _record(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = inspect.signature(call).bind(*args, **kwargs)
        asked = dict(given.arguments)
        given.apply_defaults()
        order = self._order(asked, given.arguments)
        self.warnings += order.warnings
        drawing = Drawing(
            self.lens.pipe, self.lens.family, self.lens.loaded, order, lambda: call(*args, **kwargs)
        )
        self._inside = True
        try:
            self.runs += drawing.record(self._out, self._progress, self._on_estimate)
        finally:
            self._inside = False
            self.warnings += drawing.warnings
        return drawing.output

    def _order(self, asked: Mapping[str, Any], arguments: Mapping[str, Any]) -> Order:
        """What a call asks for; `asked` are the arguments that were given, `arguments` all of them."""
        pipe, family = self.lens.pipe, self.lens.family
        further = {**asked, **asked.get("kwargs", {})}
        options = {name: value for name, value in further.items() if name not in NOT_OPTIONS | {"kwargs"}}
        texts, warnings = self._texts(arguments, options)
        each = int(arguments.get("num_images_per_prompt") or 1)
        negative = arguments.get("negative_prompt")
        negatives = negative if isinstance(negative, list | tuple) else [negative or None] * len(texts)
        if self._wish.branch == "uncond":
            told = zip(texts, negatives, strict=True)
            read = [
                read_branch(pipe, family, self.lens.loaded.id, "uncond", prompt, other, options)
                for (prompt, _), other in told
            ]
            texts = [(prompt, text) for (prompt, _), (text, _) in zip(texts, read, strict=True)]
        seeds = _seeds(arguments.get("generator"), len(texts) * each)
        pictures = [
            Picture(prompt, negatives[index], seeds[index * each + copy], text)
            for index, (prompt, text) in enumerate(texts)
            for copy in range(each)
        ]
        steps = _steps(arguments)
        height, width = arguments.get("height"), arguments.get("width")
        return Order(
            pictures=tuple(pictures),
            num_steps=steps,
            guidance_scale=float(arguments.get("guidance_scale") or 0.0),
            size=None if height is None or width is None else (int(height), int(width)),
            options=described(options),
            keeping=self._wish.checked(family.sites(pipe), steps),
            warnings=tuple(dict.fromkeys(warnings)),
        )

    def _texts(
        self, arguments: Mapping[str, Any], options: Mapping[str, Any]
    ) -> tuple[list[tuple[str, TextInfo]], list[str]]:
        """Prompt and its reading for each row of the call's batch, and warnings."""
        pipe, family, model = self.lens.pipe, self.lens.family, self.lens.loaded.id
        prompt, embeds = arguments.get("prompt"), arguments.get("prompt_embeds")
        if prompt is not None:
            prompts = [prompt] if isinstance(prompt, str) else list(prompt)
            read = [read_text(pipe, family, model, each, options) for each in prompts]
            texts = [(each, text) for each, (text, _) in zip(prompts, read, strict=True)]
            return texts, [line for _, lines in read for line in lines]
        if embeds is None:
            raise PromptError("the pipeline was called without a prompt")
        rows, keys = len(embeds), int(embeds.shape[1])
        if self._prompt is None:
            line = "the prompt was given as embeddings: text keys have numbers; for words give capture(pipe, prompt=)"
            return [("", without_words(keys))] * rows, [line]
        text, warnings = read_text(pipe, family, model, self._prompt, options)
        if text.length != keys:
            raise InputError(
                f"the embeddings have {keys} text keys and the prompt has {text.length}: which key is whose word "
                "cannot be told; leave prompt= out, and text keys have numbers"
            )
        return [(self._prompt, text)] * rows, warnings


def _steps(arguments: Mapping[str, Any]) -> int:
    for name in ("timesteps", "sigmas"):
        if arguments.get(name) is not None:
            return len(arguments[name])
    return int(arguments.get("num_inference_steps") or 1)


def _seeds(generator: Any, pictures: int) -> list[int | None]:
    """Seeds of the pictures' first noise, None where they are not all that there is to it: a generator that was used
    before, one on another device than the CPU, or one for several pictures."""
    each = generator if isinstance(generator, list | tuple) else [generator]
    if len(each) != pictures:
        return [None] * pictures
    return [_seed(one) for one in each]


def _seed(generator: Any) -> int | None:
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        return None
    seed = generator.initial_seed()
    fresh = torch.Generator("cpu").manual_seed(seed)
    return seed if torch.equal(fresh.get_state(), generator.get_state()) else None
