"""All attention sites of a denoiser under watch: what each was given in one forward, and on which grid."""

from __future__ import annotations

import functools
from typing import Any

import torch

from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.capture.tap import Attended, tap
from diffuscope.engine.models.family import AttentionSite
from diffuscope.errors import CoverageError, UnsupportedAttentionError
from diffuscope.recording import MaskKind, Site


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
        self._grids: dict[int, tuple[int, int]] = {}
        self._open = False

    def install(self, patches: Patches) -> None:
        """Put the taps on, until `patches` is left."""
        for site in self.sites:
            tap(patches, site.module, site.name, self._see, lse=self._lse and site.kind != "cross")
        for module in {id(site.spatial): site.spatial for site in self.sites}.values():
            self._watch_grid(patches, module)

    def begin(self) -> None:
        """A forward of the denoiser begins."""
        self.seen.clear()
        self._open = True

    def end(self) -> None:
        """It is over, or failed."""
        self._open = False

    def check(self, call: int) -> None:
        """Every site must have been seen exactly once: a map of a part is never shown as if it were whole.

        Raises:
            CoverageError: a site was not seen.
            UnsupportedAttentionError: a site called its kernel more than once.
        """
        missing = [site.name for site in self.sites if site.name not in self.seen]
        if missing:
            raise CoverageError(missing, call)
        for name, seen in self.seen.items():
            if len(seen) != 1:
                raise UnsupportedAttentionError(
                    f"{name} called its attention kernel {len(seen)} times in one forward (an adapter?); "
                    "recording knows sites with one attention call"
                )

    def describe(self) -> list[Site]:
        """The sites as the forward that is just over showed them. Call `check` first.

        Raises:
            UnsupportedAttentionError: a site's queries are not the cells of its grid.
        """
        described = []
        for site in self.sites:
            seen = self.seen[site.name][0]
            height, width = self._grids[id(site.spatial)]
            if height * width != seen.query.shape[-2]:
                raise UnsupportedAttentionError(
                    f"{site.name} has {seen.query.shape[-2]} queries, which is not its grid of {height} x {width}"
                )
            described.append(
                Site(
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
                )
            )
        return described

    def _see(self, site: str, attended: Attended) -> None:
        if self._open:
            self.seen.setdefault(site, []).append(attended)

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
