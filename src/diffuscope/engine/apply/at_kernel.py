"""Edits at the attention kernel: what stands in the place of one fused attention call.

Each edit of a site is a function around those before it. The innermost is the kernel itself, with whatever a recording
has put around it; that one call is made exactly once, so a recording sees what the kernel was given. What an edit has
to compute beside it (the answer to another text's keys, say) goes to the kernel directly and is seen by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from diffuscope.engine.apply.following import Following, Moment
from diffuscope.engine.apply.places import Size
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.tap import SDPA, Interposed, interpose
from diffuscope.engine.models.family import AttentionSite

Kernel = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class KernelCall:
    """The arguments of one fused attention call; see `torch.nn.functional.scaled_dot_product_attention`.

    `query` `[row, head, query, dim]`, `key` and `value` `[row, head, key, dim]`; `pictures`: whose conditional row each
    row is, None for other rows; `extra`: further arguments, as they were given.
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    pictures: tuple[int | None, ...]
    mask: torch.Tensor | None = None
    causal: bool = False
    extra: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(
        cls, pictures: tuple[int | None, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> KernelCall:
        """From the arguments of torch's function. Grouped key heads are spread over the query heads that they serve."""
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        query, key, value = (given.pop(name) for name in names[:3])
        if given.pop("enable_gqa", False) and key.shape[-3] != query.shape[-3]:
            times = query.shape[-3] // key.shape[-3]
            key, value = (each.repeat_interleave(times, dim=-3) for each in (key, value))
        mask, causal = given.pop("attn_mask", None), bool(given.pop("is_causal", False))
        return cls(query, key, value, pictures, mask, causal, tuple(given.items()))

    def run(self, kernel: Kernel) -> torch.Tensor:
        """What the kernel gives, `[row, head, query, dim]`."""
        return kernel(
            self.query, self.key, self.value, attn_mask=self.mask, is_causal=self.causal, **dict(self.extra)
        )

    def part(self, rows: torch.Tensor, heads: torch.Tensor | None = None) -> KernelCall:
        """Some of its rows and heads alone."""

        def cut(tensor: torch.Tensor) -> torch.Tensor:
            return tensor[rows] if heads is None else tensor[rows[:, None], heads[None, :]]

        mask = self.mask
        if mask is not None and mask.dim() == 4:
            mask = mask[rows] if mask.shape[0] > 1 else mask
            mask = mask[:, heads] if heads is not None and mask.shape[1] > 1 else mask
        return replace(
            self,
            query=cut(self.query),
            key=cut(self.key),
            value=cut(self.value),
            mask=mask,
            pictures=tuple(self.pictures[row] for row in rows.tolist()),
        )


Attend = Callable[[KernelCall], torch.Tensor]


@dataclass(frozen=True)
class Here:
    """Where and when an attention call is made.

    Attributes:
        site: the attention site.
        moment: the denoiser's call.
        number: which of the module's kernel calls it is, from 0; those after the first are for image prompts.
        grid: height and width of the site's cells.
        image: height and width of the picture in pixels.
        heads: number of heads.
        first: whether no other edit acts on this call before.
    """

    site: AttentionSite
    moment: Moment
    number: int
    grid: Size
    image: Size
    heads: int
    first: bool


class Act(Protocol):
    """An edit that is ready to act at attention calls."""

    def acts(self, site: str, step: int, number: int) -> bool:
        """Whether it has something to do in a call."""

    def around(self, inner: Attend, silent: Attend, here: Here) -> Attend:
        """The attention with this edit, of the attention before it. `silent` is the same as `inner`, seen by nobody:
        `inner` is called once, `silent` as often as need be."""


def silent_kernel(*args: Any, **kwargs: Any) -> torch.Tensor:
    """The kernel, past everything that looks at it."""
    with torch._C.DisableTorchFunction():
        return SDPA(*args, **kwargs)


class Stand(Interposed):
    """Stands in place of the attention calls of one site."""

    def __init__(
        self,
        site: AttentionSite,
        acts: Sequence[Act],
        following: Following,
        where: Callable[[AttentionSite, int], tuple[Size, Size]],
    ) -> None:
        """Args:
        site: the site.
        acts: of the edits that act there, in the order given.
        following: says which call is under way.
        where: a site, and how many cells its queries are at most, to its grid and the picture's size.
        """
        super().__init__()
        self.site, self._acts, self._following, self._where = site, acts, following, where
        self.bypassed = False
        """While set, calls go to the kernel and nobody sees them."""
        self._moment: Moment | None = None
        self._number = 0

    def attend(self, func: Kernel, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.bypassed:
            return silent_kernel(*args, **kwargs)
        moment = self._following.now
        if moment is None or not moment.rows:
            return func(*args, **kwargs)
        self._number = self._number + 1 if moment is self._moment else 0
        self._moment = moment
        acts = [act for act in self._acts if act.acts(self.site.name, moment.step, self._number)]
        if not acts:
            return func(*args, **kwargs)
        query = args[0] if args else kwargs["query"]
        # Where some rows attend apart from the others (perturbed guidance) they come last.
        call = KernelCall.of(moment.pictures[: query.shape[0]], args, kwargs)
        grid, image = self._where(self.site, query.shape[-2])
        loud: Attend = lambda each: each.run(func)  # noqa: E731
        silent: Attend = lambda each: each.run(silent_kernel)  # noqa: E731
        for index, act in enumerate(acts):
            here = Here(self.site, moment, self._number, grid, image, query.shape[-3], index == 0)
            loud, silent = act.around(loud, silent, here), act.around(silent, silent, here)
        return loud(call)

    def install(self, patches: Patches) -> None:
        """Stand there until `patches` is left."""
        interpose(patches, self.site.module, self)
