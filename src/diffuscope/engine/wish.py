"""What of a run's attention is to be kept: as the caller says it, and as it can be carried out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from diffuscope.engine.models.family import AttentionSite
from diffuscope.errors import InputError, SelectionError, listed
from diffuscope.ranges import Ranges
from diffuscope.recording import Branch, Level, Site
from diffuscope.selection import Choice, Selection, SiteChoice

Store = Literal["kernel", "float16"]

DEFAULT_BUDGET = 2 * 10**9
"""Bytes a run may take on disk where neither a keep level nor a budget is named."""


@dataclass(frozen=True)
class Wish:
    """What of a run's attention is to be kept, as the caller says it; see `Lens.record` for each field."""

    keep: Level | None = None
    sites: SiteChoice = None
    grids: str | None = None
    steps: Choice = None
    heads: Choice = None
    values: bool = False
    store: Store = "kernel"
    budget: int | str = DEFAULT_BUDGET
    previews: bool = True
    branch: Branch = "cond"

    def checked(self, sites: tuple[AttentionSite, ...], num_steps: int) -> Granted:
        """The wish as it can be carried out.

        Raises:
            SelectionError, InputError: it cannot; the message says what could.
        """
        for name, value, allowed in (
            ("keep", self.keep, (None, *get_args(Level))),
            ("store", self.store, get_args(Store)),
            ("branch", self.branch, get_args(Branch)),
        ):
            if value not in allowed:
                one_of = ", ".join(each for each in allowed if each)
                raise InputError(f"{name}={value!r} is unknown; it is one of {one_of}")
        steps = Ranges.of(self.steps, "keep_steps")
        steps.resolve(num_steps, "step", "the run")
        return Granted(
            level=self.keep,
            sites=frozenset(Selection.of(sites=self.sites).resolve_sites([site.name for site in sites])),
            grids=_grids(self.grids),
            steps=steps,
            heads=Ranges.of(self.heads, "keep_heads"),
            values=self.values,
            float16=self.store == "float16",
            budget=_bytes(self.budget),
            previews=self.previews,
            branch=self.branch,
        )


@dataclass(frozen=True)
class Granted:
    """A wish that can be carried out: `steps` and `heads` are those whose attention is kept, `sites` those that the
    pattern names, `level` None for the highest that fits `budget` bytes."""

    level: Level | None
    sites: frozenset[str]
    grids: frozenset[tuple[int, int]] | None
    steps: Ranges
    heads: Ranges
    values: bool
    float16: bool
    budget: int
    previews: bool
    branch: Branch

    def kept_sites(self, described: list[Site]) -> frozenset[str]:
        """Names of the sites to keep, once their grids are known.

        Raises:
            SelectionError: no site has a grid that was asked for.
        """
        if self.grids is None:
            return self.sites
        wanted = [site for site in described if site.name in self.sites]
        there = {(site.grid[0], site.grid[1]) for site in wanted}
        if self.grids - there:
            have = listed([f"{height}x{width}" for height, width in sorted(there, reverse=True)])
            lacking = ", ".join(f"{height}x{width}" for height, width in sorted(self.grids - there))
            raise SelectionError(f"no site has a grid of {lacking} (height x width); there are: {have}")
        return frozenset(site.name for site in wanted if (site.grid[0], site.grid[1]) in self.grids)


def _grids(text: str | None) -> frozenset[tuple[int, int]] | None:
    """Grids in their text form, ``16x16,8x8`` (height x width)."""
    if text is None or text.strip() == "all":
        return None
    matches = [re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", part.strip()) for part in text.split(",")]
    if not all(matches):
        raise SelectionError(f"bad grids {text!r}; write height x width, as in 16x16,8x8")
    return frozenset((int(match[1]), int(match[2])) for match in matches if match)


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def _bytes(size: int | str) -> int:
    """A number of bytes, or its text form: ``500 MB``, ``2GB``."""
    if isinstance(size, str):
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", size.strip().lower())
        if match is None or match[2] not in _UNITS:
            raise InputError(f"budget={size!r} is no size; write it like 500MB or 2GB")
        size = int(float(match[1]) * _UNITS[match[2]])
    if isinstance(size, bool) or size < 1:
        raise InputError(
            f"budget={size!r}: a run needs room for at least something; write it like 500MB or 2GB"
        )
    return size
