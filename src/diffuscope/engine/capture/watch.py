"""All attention sites of a denoiser under watch: what each was given in one forward, and on which grid."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from diffuscope.engine.capture.joint import grid_of, parts
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.tap import Attended, tap
from diffuscope.engine.models.family import AttentionSite, DenoiserCall
from diffuscope.errors import CoverageError, UnsupportedAttentionError
from diffuscope.recording import MaskKind, Site

Reduce = Callable[[AttentionSite, Attended], Attended]
"""Takes what is needed of what a site was given, and says what is held of it until the forward is over."""


class SiteWatch:
    """Taps on every site, gated: only what is seen between `begin` and `end` counts.

    Attributes:
        sites: the model's attention sites.
        seen: what each site was given in the forward under way or just over.
    """

    def __init__(self, sites: tuple[AttentionSite, ...], *, lse: bool) -> None:
        """Args:
        sites: all of the model's.
        lse: whether to look for the row log-sum-exp of sites whose keys are not text alone.
        """
        self.sites = sites
        self.seen: dict[str, list[Attended]] = {}
        self._lse = lse
        self._by_name = {site.name: site for site in sites}
        self._reduce: Reduce | None = None
        self._grids: dict[int, tuple[int, int]] = {}
        self._open = False

    def install(self, patches: Patches) -> None:
        """Put the taps on, until `patches` is left."""
        for site in self.sites:
            # Word maps of joint sites are made with it, at every level.
            wanted = site.kind == "joint" or (self._lse and site.kind != "cross")
            tap(patches, site.module, site.name, self._see, lse=wanted)
        for module in {id(site.spatial): site.spatial for site in self.sites}.values():
            if module is not None:
                self._watch_grid(patches, module)

    def begin(self, reduce: Reduce | None = None) -> None:
        """A forward of the denoiser begins; `reduce` is handed what each site is given at once."""
        self.seen.clear()
        self._open, self._reduce = True, reduce

    def end(self) -> None:
        """It is over, or failed."""
        self._open, self._reduce = False, None

    def check(self, call: int) -> None:
        """Every site must have been seen once, but for image prompts: a part is never shown as if it were whole.

        Raises:
            CoverageError: a site was not seen.
            UnsupportedAttentionError: a site called its kernel more than once.
        """
        missing = [site.name for site in self.sites if site.name not in self.seen]
        if missing:
            raise CoverageError(missing, call)
        after = {site.name: site.after for site in self.sites}
        for name, seen in self.seen.items():
            # The first is the text's; image prompts (IP-Adapter) follow it with keys of their own.
            if len(seen) > 1 + after[name]:
                raise UnsupportedAttentionError(
                    f"{name} called its attention kernel {len(seen)} times in one forward (an adapter?); "
                    "recording knows sites with one attention call"
                )

    def describe(self, call: DenoiserCall) -> list[Site]:
        """The sites as the forward that is just over showed them. Call `check` first.

        Args:
            call: what the denoiser was given in that forward.

        Raises:
            UnsupportedAttentionError: a site's queries are not the cells of its grid or, at a joint site, the text and
                those cells.
        """
        packed = None if call.positions is None else grid_of(call.positions)
        return [self.described(site, self.seen[site.name][0], call, packed) for site in self.sites]

    def described(
        self, site: AttentionSite, seen: Attended, call: DenoiserCall, packed: tuple[int, int] | None
    ) -> Site:
        """One site, as `describe` has it; `packed` is the grid of packed latents."""
        grid = packed if site.spatial is None else self._grids[id(site.spatial)]
        assert grid is not None
        height, width = (side // site.patch for side in grid)
        text_keys = image_keys = None
        if site.kind == "joint":
            text_keys, image_keys = parts(
                site.name,
                seen,
                text=call.conditioning.shape[-2],
                cells=height * width,
                text_first=site.text_first,
            )
        elif height * width != seen.query.shape[-2]:
            raise UnsupportedAttentionError(
                f"{site.name} has {seen.query.shape[-2]} queries, which is not its grid of {height} x {width}"
            )
        return Site(
            name=site.name,
            module=site.path,
            kind=site.kind,
            grid=[height, width],
            heads=seen.query.shape[-3],
            head_dim=seen.query.shape[-1],
            scale=seen.scale,
            keys=seen.key.shape[-2],
            mask=mask_kind(seen),
            causal=seen.causal,
            text_keys=text_keys,
            image_keys=image_keys,
        )

    def _see(self, site: str, attended: Attended) -> None:
        if not self._open:
            return
        before = self.seen.setdefault(site, [])
        # Image prompts come after the text, with keys of their own; nothing is taken of them.
        if self._reduce is not None and not before:
            attended = self._reduce(self._by_name[site], attended)
        before.append(attended)

    def _watch_grid(self, patches: Patches, module: torch.nn.Module) -> None:
        forward = module.forward

        @functools.wraps(forward)
        def watched(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            self._grids[id(module)] = (hidden.shape[-2], hidden.shape[-1])
            return forward(hidden, *args, **kwargs)

        patches.replace(module, "forward", watched)


def mask_kind(attended: Attended) -> MaskKind:
    """Whether a call was masked, and how."""
    if attended.mask is None:
        return "none"
    return "boolean" if attended.mask.dtype == torch.bool else "additive"
