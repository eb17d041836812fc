"""What the engine has to know about a family of models; one adapter file per family answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from diffuscope.recording import SiteKind, TextInfo


@dataclass(frozen=True)
class AttentionSite:
    """One attention call of a model, before anything is run.

    `name` is the stable name with the kind in front (`cross:down.0.0`, `self:mid`, …), `path` the module's path in
    the denoiser, `spatial` the module whose first argument is a feature map `[row, channel, y, x]`, of which `patch`
    by `patch` cells make one query; None where latents are packed (`DenoiserCall.positions`). `after` is how many
    further kernel calls the module may make after the one that is recorded: those of image prompts (IP-Adapter),
    which have keys of their own. `text_first` is the order of a joint site's sequence: the text before the picture,
    or after it.
    """

    name: str
    kind: SiteKind
    path: str
    module: torch.nn.Module
    spatial: torch.nn.Module | None
    patch: int = 1
    after: int = 0
    text_first: bool = False


@dataclass(frozen=True)
class DenoiserCall:
    """The arguments of one forward of the denoiser that the engine reads: `sample` `[row, channel, y, x]`, the
    `timestep` as it was given (a number or a tensor of one number, perhaps expanded), and `conditioning`, the text
    embedding of each row `[row, token, channel]`.

    Where latents go through the model packed, `sample` is `[row, patch, channel * 4]` of 2 x 2 patches, and
    `positions` `[patch, …]` ends in each one's row and column. `divisor` is what the pipeline divided the
    scheduler's timestep by.
    """

    sample: torch.Tensor
    timestep: Any
    conditioning: torch.Tensor
    positions: torch.Tensor | None = None
    divisor: float = 1.0


@dataclass(frozen=True)
class ReadPrompt:
    """A prompt as a model reads it: its tokens and words, and what to tell the user about it."""

    text: TextInfo
    warnings: tuple[str, ...] = ()


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

    def embeddings(self, made: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The conditional and the unconditional text embedding `[row, token, channel]` in what the pipeline's
        `encode_prompt` returned; rows of several pictures in the pictures' order."""

    def read_prompt(self, pipe: Any, prompt: str, options: Mapping[str, Any]) -> ReadPrompt:
        """The prompt as the pipeline's text encoders read it, in the order of the text keys; `options` are the
        other arguments of the pipeline's call (`max_sequence_length`, …)."""

    def default_size(self, pipe: Any) -> tuple[int, int]:
        """Height and width of a picture in pixels where the user names none."""

    def size_multiple(self, pipe: Any) -> int:
        """Heights and widths are multiples of this."""

    def decode(self, pipe: Any, latents: torch.Tensor) -> torch.Tensor:
        """Pictures `[row, channel, y, x]` in 0 to 1, float32 on the CPU, of latents `[row, channel, y, x]`."""
