"""Steering in guidance: after guidance, the prediction gets a multiple of the difference between two concepts'.

Guidance makes `u + g (c - u)` of the conditional prediction `c`. What is added to `c` is so multiplied by `g`: adding
`strength * (eps(toward) - eps(away))` to the conditional row is the definition, with the pipeline's own `g`, and 1
where it draws without guidance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from diffuscope.edits import Control, Steer
from diffuscope.engine.apply.acts import Aim
from diffuscope.engine.apply.conditioning import Arguments, rows_of
from diffuscope.engine.apply.following import Moment
from diffuscope.engine.apply.places import Size, cover, wide
from diffuscope.engine.apply.randomness import random_like
from diffuscope.engine.apply.texts import Speaker, Spoken

SHARED = frozenset({"txt_ids", "img_ids", "cross_attention_kwargs", "joint_attention_kwargs"})
"""Arguments of a denoiser that are not one for each row."""


@dataclass(frozen=True)
class GuidanceAct:
    """A `Steer` in guidance space.

    Attributes:
        aim: when, and of which pictures.
        steer: the edit.
        texts: of each picture, the texts of `toward` and `away`.
        control: the control that it is of, if it is one.
    """

    aim: Aim
    steer: Steer
    texts: tuple[tuple[str, str], ...]
    control: Control | None = None

    def __call__(
        self,
        moment: Moment,
        arguments: Arguments,
        output: torch.Tensor,
        forward: Callable[..., Any],
        speak: Speaker,
        image: Size,
        grid: Size | None,
    ) -> torch.Tensor:
        """The output `[row, …]` of a call with its conditional rows steered.

        Args:
            moment, arguments: the call, as it was made.
            output: what it gave.
            forward: the denoiser's, past everything that looks at it.
            speak: gives the texts.
            image: height and width of the picture.
            grid: of packed latents, else None.
        """
        chosen = [(picture, row) for picture, row in enumerate(moment.rows) if picture in self.aim.pictures]
        if moment.step not in self.aim.steps or not chosen:
            return output
        rows = [row for _, row in chosen]
        spoken = [speak(self.texts[picture][side]) for side in (0, 1) for picture, _ in chosen]
        both = _predicted(forward, arguments, len(moment.labels), [*rows, *rows], spoken)
        toward, away = both.chunk(2)
        # What further channels hold (a learned variance) is no prediction of the noise.
        channels = slice(None) if grid is not None else slice(moment.call.sample.shape[1])
        made = output.clone()
        for index, (_, row) in enumerate(chosen):
            difference = wide(toward[index] - away[index])
            difference = difference if grid is not None else difference[channels]
            weight = self._weight(difference, image, grid)
            change = self.steer.strength * difference * weight
            if self.control is not None:
                place = (self.control.seed, "guidance", moment.step, moment.number)
                change = random_like(change, place, weight.expand_as(change))
            part = made[row] if grid is not None else made[row, channels]
            part.add_(change.to(part))
        return made

    def _weight(self, difference: torch.Tensor, image: Size, grid: Size | None) -> torch.Tensor:
        """How much each patch is steered: `[1, y, x]` or, of packed latents, `[patch, 1]`."""
        axis = 0 if grid is None else 1
        size = difference.norm(dim=axis, keepdim=True)
        weight = torch.ones_like(size)
        if self.steer.patches is not None:
            cells = grid or (difference.shape[-2], difference.shape[-1])
            weight = cover(self.steer.patches, image, cells, size).reshape(size.shape)
        if self.steer.quantile is not None:
            # Of the patches that are chosen, so that some are left.
            bound = torch.quantile(size[weight > 0], self.steer.quantile)
            weight = weight * (size >= bound)
        return weight


def _predicted(
    forward: Callable[..., Any], arguments: Arguments, count: int, rows: list[int], spoken: list[Spoken]
) -> torch.Tensor:
    """What the denoiser predicts for some rows of a call, told other texts: `[row, …]`."""
    again = Arguments.__new__(Arguments)
    again._names = arguments._names
    again.values = {
        name: value if name in SHARED else rows_of(value, rows, count)
        for name, value in arguments.values.items()
    }
    like = again.texts
    again.texts = Spoken(
        torch.stack([each.embedding for each in spoken]).to(like.embedding),
        None
        if like.pooled is None
        else torch.stack([each.pooled for each in spoken if each.pooled is not None]).to(like.pooled),
        None
        if like.mask is None
        else torch.stack([each.mask for each in spoken if each.mask is not None]).to(like.mask),
    )
    made = again.call(forward)
    return made[0] if isinstance(made, tuple) else made.sample  # type: ignore[no-any-return]
