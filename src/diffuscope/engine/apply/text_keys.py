"""Keys and values of other texts at single cross-attention sites, computed where and when an edit needs them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from diffuscope.engine.apply.at_kernel import Here
from diffuscope.engine.apply.texts import Spoken
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.tap import Interposed
from diffuscope.engine.models.family import AttentionSite
from diffuscope.errors import EditError

Text = Callable[[Here, int], Spoken]
"""The text of a picture in a call."""


class _Taken(Exception):
    """Carries keys and values out of a module before its kernel runs."""

    def __init__(self, key: torch.Tensor, value: torch.Tensor) -> None:
        super().__init__()
        self.key, self.value = key, value


class _Take(Interposed):
    def attend(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(("query", "key", "value"), args, strict=False)), **kwargs}
        raise _Taken(given["key"], given["value"])


class TextKeys:
    """Asks a site's own module for the keys and values that it makes of a text: norms, adapters and fused projections
    count as they do for the prompt. A text that stays the same is asked for once in a run.
    """

    def __init__(self, denoiser: torch.nn.Module, text: Text, *, constant: bool) -> None:
        """Args:
        denoiser: the model, which may project texts before its blocks get them.
        text: the text.
        constant: whether it is the same for all calls and pictures.
        """
        self._denoiser, self._text, self._constant = denoiser, text, constant
        self._forwards: dict[str, Callable[..., Any]] = {}
        self._given: dict[str, Any] = {}
        self._made: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.asked = 0
        """How often a module was asked."""

    def install(self, patches: Patches, site: AttentionSite) -> None:
        """Be ready to ask a site, until `patches` is left."""
        forward = site.module.forward
        self._forwards[site.name] = forward

        @functools.wraps(forward)
        def noted(*args: Any, **kwargs: Any) -> Any:
            self._given[site.name] = kwargs.get("encoder_hidden_states", args[1] if len(args) > 1 else None)
            return forward(*args, **kwargs)

        patches.replace(site.module, "forward", noted)
        patches.do(lambda: None, self._clear)

    def _clear(self) -> None:
        self._made.clear()
        self._given.clear()

    def __call__(self, here: Here, picture: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Keys and values `[head, key, dim]` of the text at a site, and its mask as the kernel takes it."""
        spoken = self._text(here, picture)
        name = here.site.name
        if not self._constant or name not in self._made:
            self._made[name] = self._ask(here.site, spoken.embedding)
        mask = None
        if spoken.mask is not None:
            # As `PixArtTransformer2DModel.forward` of diffusers makes it.
            key = self._made[name][0]
            mask = ((1 - spoken.mask.to(key)) * -10000.0)[None, None, None, :]
        return (*self._made[name], mask)

    def _ask(self, site: AttentionSite, embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += 1
        like = self._given.get(site.name)
        # An image prompt's embedding travels beside the text's.
        beside = like[1:] if isinstance(like, tuple) else None
        first = like[0] if isinstance(like, tuple) else like
        text = projected(self._denoiser, embedding[None])
        if first is not None:
            text = text.to(first)
        query = text.new_zeros(1, 1, _query_width(site))
        try:
            with _Take():
                self._forwards[site.name](
                    query, encoder_hidden_states=text if beside is None else (text, *beside)
                )
        except _Taken as taken:
            return taken.key[0], taken.value[0]
        raise EditError(
            f"{site.name} does not call the fused kernel, so another text's keys cannot be had there"
        )


def projected(denoiser: torch.nn.Module, text: torch.Tensor) -> torch.Tensor:
    """A text's embedding `[row, token, channel]` as the blocks get it.

    Raises:
        EditError: the model mixes it with something else first.
    """
    projection = getattr(denoiser, "caption_projection", None)
    kind = getattr(getattr(denoiser, "config", None), "encoder_hid_dim_type", None)
    if projection is None and kind == "text_proj":
        projection = denoiser.encoder_hid_proj
    elif projection is None and kind == "ip_image_proj":
        projection = getattr(denoiser, "text_encoder_hid_proj", None)
    elif projection is None and kind is not None:
        raise EditError(
            f"the model mixes its text with a picture ({kind}), so another text has no keys of its own"
        )
    if projection is None:
        return text
    like = next(projection.parameters())
    made: torch.Tensor = projection(text.to(device=like.device, dtype=like.dtype))
    return made


def _query_width(site: AttentionSite) -> int:
    width = getattr(site.module, "query_dim", None) or getattr(
        getattr(site.module, "to_q", None), "in_features", None
    )
    if not isinstance(width, int):
        raise EditError(
            f"{site.name} does not say how wide its queries are, so another text's keys cannot be had there"
        )
    return width
