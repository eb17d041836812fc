"""Edits of what the denoiser is told: rows of its text embedding, pooled embedding and mask."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from diffuscope.edits import Control
from diffuscope.engine.apply.acts import Aim
from diffuscope.engine.apply.following import Moment
from diffuscope.engine.apply.places import wide
from diffuscope.engine.apply.randomness import random_like
from diffuscope.engine.apply.texts import Spoken


class Arguments:
    """The arguments of one forward of the denoiser, by name, whichever way they were given."""

    def __init__(
        self, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self._names = [*signature.parameters][: len(args)]
        self.values: dict[str, Any] = {**dict(zip(self._names, args, strict=True)), **kwargs}

    def call(self, forward: Callable[..., Any]) -> Any:
        """Call `forward` with them, as they were given."""
        rest = {name: value for name, value in self.values.items() if name not in self._names}
        return forward(*(self.values[name] for name in self._names), **rest)

    # The text, of each row.

    @property
    def texts(self) -> Spoken:
        """The embedding `[row, token, channel]`, and the pooled one and the mask where there are any."""
        return Spoken(
            self.values["encoder_hidden_states"], self._pooled, self.values.get("encoder_attention_mask")
        )

    @texts.setter
    def texts(self, texts: Spoken) -> None:
        self.values["encoder_hidden_states"] = texts.embedding
        if texts.mask is not None:
            self.values["encoder_attention_mask"] = texts.mask
        if texts.pooled is not None and self.values.get("pooled_projections") is not None:
            self.values["pooled_projections"] = texts.pooled
        elif texts.pooled is not None:
            self.values["added_cond_kwargs"] = {
                **self.values["added_cond_kwargs"],
                "text_embeds": texts.pooled,
            }

    @property
    def _pooled(self) -> torch.Tensor | None:
        pooled = self.values.get("pooled_projections")
        if pooled is None:
            pooled = (self.values.get("added_cond_kwargs") or {}).get("text_embeds")
        return pooled


Change = Callable[[int, Spoken], Spoken]
"""A picture, and the text of its conditional row, to that row's new text."""


@dataclass(frozen=True)
class TextAct:
    """An edit of the text of whole calls.

    Attributes:
        aim: when, and of which pictures.
        change: what it makes of a row.
        control: the control that it is of, if it is one.
    """

    aim: Aim
    change: Change
    control: Control | None = None

    def __call__(self, moment: Moment, arguments: Arguments) -> None:
        """Change the text of a call's conditional rows."""
        if moment.step not in self.aim.steps:
            return
        given = arguments.texts
        embedding = given.embedding.clone()
        pooled = None if given.pooled is None else given.pooled.clone()
        mask = None if given.mask is None else given.mask.clone()
        for picture, row in enumerate(moment.rows):
            if picture not in self.aim.pictures:
                continue
            old = Spoken(
                embedding[row], None if pooled is None else pooled[row], None if mask is None else mask[row]
            )
            new = self.change(picture, old)
            if self.control is not None:
                new = self._random(old, new, moment)
            embedding[row] = new.embedding.to(embedding)
            if pooled is not None and new.pooled is not None:
                pooled[row] = new.pooled.to(pooled)
            if mask is not None and new.mask is not None:
                mask[row] = new.mask.to(mask)
        arguments.texts = Spoken(embedding, pooled, mask)

    def _random(self, old: Spoken, new: Spoken, moment: Moment) -> Spoken:
        """A random change of the norm of the edit's, of the same tokens."""
        assert self.control is not None
        place = (self.control.seed, "text", moment.step, moment.number)
        delta = wide(new.embedding.to(old.embedding)) - wide(old.embedding)
        support = (delta != 0).any(dim=-1, keepdim=True).to(delta)
        embedding = old.embedding + random_like(delta, place, support).to(old.embedding)
        pooled = old.pooled
        if pooled is not None and new.pooled is not None:
            change = wide(new.pooled.to(pooled)) - wide(pooled)
            pooled = pooled + random_like(change, (*place, "pooled")).to(pooled)
        return Spoken(embedding, pooled, old.mask)


def rows_of(given: Any, rows: Sequence[int], count: int) -> Any:
    """Some rows of all tensors in an argument that have `count` rows, in lists and dictionaries too."""
    if isinstance(given, torch.Tensor):
        return given[list(rows)] if given.dim() and len(given) == count else given
    if isinstance(given, Mapping):
        return {name: rows_of(each, rows, count) for name, each in given.items()}
    if isinstance(given, list | tuple):
        return type(given)(rows_of(each, rows, count) for each in given)
    return given
