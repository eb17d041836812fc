"""What the engine has to know about a family of models; one adapter file per family answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from diffuscope.recording import SiteKind


@dataclass(frozen=True)
class AttentionSite:
    """One attention call of a model, before anything is run.

    `name` is the stable name with the kind in front (`cross:down.0.0`), `path` the module's path in the denoiser,
    `spatial` the path of the module whose first argument is the feature map `[row, channel, y, x]` of the same grid.
    """

    name: str
    kind: SiteKind
    path: str
    module: torch.nn.Module
    spatial: torch.nn.Module


@dataclass(frozen=True)
class DenoiserCall:
    """The arguments of one forward of the denoiser that the engine reads: `sample` `[row, channel, y, x]`, the
    `timestep` as it was given (a number or a tensor of one number, perhaps expanded), and `conditioning`, the text
    embedding of each row `[row, token, channel]`."""

    sample: torch.Tensor
    timestep: Any
    conditioning: torch.Tensor


class Family(Protocol):
    """An adapter. Stateless: everything is asked with the pipeline in hand."""

    name: str

    def accepts(self, pipe: Any) -> bool:
        """Whether this adapter serves that pipeline."""

    def denoiser(self, pipe: Any) -> torch.nn.Module:
        """The model that is called at every step."""

    def sites(self, pipe: Any) -> tuple[AttentionSite, ...]:
        """Every attention site in the order in which data flows through them."""

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> DenoiserCall:
        """Read a forward's arguments."""

    def default_size(self, pipe: Any) -> tuple[int, int]:
        """Height and width of a picture in pixels where the user names none."""

    def size_multiple(self, pipe: Any) -> int:
        """Heights and widths are multiples of this."""

    def decode(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """Pictures `[row, channel, y, x]` in 0 to 1, float32 on the CPU, of latents `[row, channel, y, x]`."""
