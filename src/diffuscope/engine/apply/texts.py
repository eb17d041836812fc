"""Texts that edits bring: encoded as the pipeline encodes its prompt, at the moment when it does.

The pipeline's own call of `encode_prompt` is repeated with another prompt, so that whatever else it was given (layers
to skip, lengths, adapters' scales, devices under offloading) holds for these texts too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.models.family import Family
from diffuscope.errors import EditError

POOLED = {"stable-diffusion-xl": 2, "stable-diffusion-3": 2, "flux": 1}
"""Where the conditional pooled embedding stands in what a family's `encode_prompt` returns."""
MASK = {"pixart": 1}
"""Where the conditional attention mask of the text stands in it."""
KNOWN = frozenset({"stable-diffusion", *POOLED, *MASK})
"""Families of which it is known how a text enters the denoiser."""


@dataclass(frozen=True)
class Spoken:
    """A text as the model is given it: `embedding` `[token, channel]`; `pooled` `[channel]` and `mask` `[token]` (0:
    padding, which takes no part) where the family has them."""

    embedding: torch.Tensor
    pooled: torch.Tensor | None
    mask: torch.Tensor | None


class Speaker:
    """Encodes texts when the pipeline encodes its prompt. Ask for them before, with `want`."""

    def __init__(self, pipe: Any, family: Family) -> None:
        self.pipe, self.family = pipe, family
        self._wanted: dict[str, None] = {}
        self._spoken: dict[str, Spoken] = {}

    def want(self, text: str) -> None:
        """A text that will be asked for."""
        self._wanted[text] = None

    def __call__(self, text: str) -> Spoken:
        """A wanted text, once the pipeline has encoded its prompt."""
        return self._spoken[text]

    def install(self, patches: Patches) -> None:
        """Listen to the pipeline until `patches` is left."""
        encode = self.pipe.encode_prompt
        signature = inspect.signature(encode)

        @functools.wraps(encode)
        def watched(*args: Any, **kwargs: Any) -> Any:
            made = encode(*args, **kwargs)
            # A second call is the negative prompt's.
            if self._wanted.keys() - self._spoken.keys():
                for text in self._wanted:
                    again = _with_prompt(signature.bind(*args, **kwargs), signature, text)
                    self._spoken[text] = self._read(encode(*again.args, **again.kwargs))
            return made

        patches.replace(self.pipe, "encode_prompt", watched)
        patches.do(lambda: None, self._spoken.clear)

    def _read(self, made: Sequence[Any]) -> Spoken:
        name = self.family.name
        if name not in KNOWN and any(isinstance(each, torch.Tensor) and each.dim() != 3 for each in made):
            raise EditError(
                f"{type(self.pipe).__name__} is of no family whose prompt is known to enter the model by its text "
                "embedding alone, so another text cannot be put in its place"
            )
        pooled, mask = (made[at[name]][0] if name in at else None for at in (POOLED, MASK))
        return Spoken(self.family.embeddings(made)[0][0], pooled, mask)


def _with_prompt(
    bound: inspect.BoundArguments, signature: inspect.Signature, text: str
) -> inspect.BoundArguments:
    """The arguments of a call of `encode_prompt`, for one other prompt."""
    told: dict[str, Any] = {"prompt": text, "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
    for name in signature.parameters:
        if name in told:
            bound.arguments[name] = told[name]
        elif name != "negative_prompt" and (name.startswith(("prompt_", "negative_")) or "_embeds" in name):
            # Second prompts are the first where they are not given.
            bound.arguments[name] = None
        elif name == "negative_prompt" and name in bound.arguments:
            bound.arguments[name] = signature.parameters[name].default
    return bound
