"""How much a run will take on disk, known from the first call of the denoiser, and the keep level that fits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import torch
from rich.filesize import decimal

from diffuscope.engine.capture.kept import Keeping, row_mask
from diffuscope.engine.capture.session import FirstCall
from diffuscope.recording import Level, Site

LEVELS: tuple[Level, ...] = get_args(Level)
"""From the smallest to the largest."""

PNG_SHARE = 0.3
"""Size of a picture's PNG over its bytes unpacked: drawn scenes 0.25, photographs up to 0.6."""

HEADER = 200
"""Bytes that a tensor's entry takes in its file's header, checksum included."""


class NotSeenError(LookupError):
    """The denoiser would have to be called, and must not be now."""


class Shapes:
    """First calls of one pipeline that stays as it is, without their values. With it `Lens.estimate` calls the
    denoiser once for each size of picture, and from then on only works the size out.

    Attributes:
        may_look: whether the denoiser may be called: not while it draws.
    """

    LOOKED = 20
    """Steps of the timetable that is looked at: enough to tell its calls a step from those that come once."""

    def __init__(self) -> None:
        self.may_look = True
        self._seen: dict[Hashable, FirstCall] = {}

    def of(self, key: Hashable, steps: int, look: Callable[[int], FirstCall]) -> FirstCall:
        """The first call of a run with so many steps.

        Args:
            key: all that shapes depend on.
            steps: of the run.
            look: calls the denoiser once, in a run of so many steps.

        Raises:
            NotSeenError: the denoiser may not be called now.
        """
        found = self._seen.get(key)
        if found is None:
            if not self.may_look:
                raise NotSeenError
            found = self._seen[key] = _without_values(look(self.LOOKED))
        # Two-stage schedulers call twice a step but once in the last, PNDM nine or one times more than it has steps.
        each = round(found.calls / found.steps)
        return replace(found, steps=steps, calls=max(steps, each * steps + found.calls - each * found.steps))


def _without_values(first: FirstCall) -> FirstCall:
    """The same with tensors that have shape and dtype alone."""

    def bare(tensor: torch.Tensor | None) -> Any:
        return None if tensor is None else tensor.to("meta")

    seen = {
        name: replace(
            each,
            query=bare(each.query),
            key=bare(each.key),
            value=bare(each.value),
            mask=bare(each.mask),
            lse=bare(each.lse),
        )
        for name, each in first.seen.items()
    }
    return replace(
        first,
        seen=seen,
        latent=bare(first.latent),
        output=bare(first.output),
        embedding=bare(first.embedding),
    )


@dataclass(frozen=True)
class Estimate:
    """What a recording will take on disk.

    Attributes:
        level: the keep level that is used: the one asked for, or the highest that fits the budget.
        bytes: of one picture's run folder at each level.
        pictures: run folders, one a picture.
        budget: bytes a run may take, None where the level was asked for.
        steps, calls: of the run.
    """

    level: Level
    bytes: Mapping[Level, int]
    pictures: int
    budget: int | None
    steps: int
    calls: int

    @property
    def total(self) -> int:
        """Bytes of all run folders together at the level used."""
        return self.bytes[self.level] * self.pictures

    @property
    def fits(self) -> bool:
        """Whether a run fits the budget; one that keeps only `maps` is made all the same."""
        return self.budget is None or self.bytes[self.level] <= self.budget

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: the attributes and `total`."""
        return {**asdict(self), "bytes": dict(self.bytes), "total": self.total}

    def __str__(self) -> str:
        each = ", ".join(f"{level} {decimal(self.bytes[level])}" for level in LEVELS)
        return f"about {decimal(self.total)} with keep={self.level} (a run: {each})"


def estimate(
    first: FirstCall,
    keeping: Keeping,
    *,
    asked: Level | None,
    budget: int,
    tokens: int,
    pictures: int,
    picture_bytes: int,
    previews: bool,
) -> Estimate:
    """Estimate a run, and choose the level where none was asked for.

    Args:
        first: what the first call showed.
        keeping: what will be kept; its level does not matter.
        asked: the level asked for; None for the highest that fits.
        budget: bytes a run may take, where no level was asked for.
        tokens: text tokens whose word maps are kept.
        pictures: how many are drawn together.
        picture_bytes: of one picture unpacked.
        previews: whether predicted clean pictures are kept.
    """
    drawn = int(PNG_SHARE * picture_bytes) * (1 + (first.steps if previews else 0))
    sizes = {level: drawn + _run(first, replace(keeping, level=level), tokens) for level in LEVELS}
    fitting = [level for level in LEVELS if sizes[level] <= budget]
    level = asked or (fitting[-1] if fitting else LEVELS[0])
    return Estimate(level, sizes, pictures, None if asked else budget, first.steps, first.calls)


def _run(first: FirstCall, keeping: Keeping, tokens: int) -> int:
    """Bytes of a run without its pictures."""
    kept_steps = len(keeping.steps.within(first.steps))
    # Steps of several calls have them in the same number throughout, near enough.
    kept_calls = first.calls * kept_steps / max(first.steps, 1)
    latents = _bytes(first.latent) + _bytes(first.output)
    clean = _bytes(first.latent) // len(first.latent)
    step = clean + _STEP + HEADER
    call = latents + 2 * HEADER
    text = _bytes(first.embedding) + HEADER
    attention = 0
    for site in first.sites:
        if site.name in keeping.sites:
            attention += _attention(site, first, keeping, tokens)
            text += _once(site, first, keeping)
    return int(_MANIFEST + text + first.steps * step + first.calls * call + kept_calls * attention)


_MANIFEST, _STEP = 9_000, 600
"""Bytes of the manifest before its first step, and of a step in it and in ``events.jsonl``."""


def _attention(site: Site, first: FirstCall, keeping: Keeping, tokens: int) -> int:
    """Bytes of one site in one call."""
    seen = first.seen[site.name]
    queries = site.grid[0] * site.grid[1]
    element = 2 if keeping.float16 else seen.query.element_size()
    row = len(keeping.heads.within(site.heads)) * site.head_dim * element
    if site.kind == "cross":
        maps = tokens * queries * 4 + HEADER
        return maps + (0 if keeping.level == "maps" else queries * row + HEADER)
    maps = tokens * queries * 4 + HEADER if site.kind == "joint" else 0
    if keeping.level != "qk":
        return maps
    lse = seen.lse is not None and (element == seen.query.element_size())
    parts = site.queries * row + site.keys * row * (2 if keeping.values else 1)
    heads = len(keeping.heads.within(site.heads))
    return maps + parts + (2 + keeping.values + lse) * HEADER + (heads * site.queries * 4 if lse else 0)


def _once(site: Site, first: FirstCall, keeping: Keeping) -> int:
    """Bytes of what is kept of a site once a run: text keys and values, mask, Gram matrices."""
    if keeping.level == "maps":
        return 0
    seen = first.seen[site.name]
    total = site.heads * site.head_dim**2 * 4 + HEADER
    if site.kind == "cross":
        element = 2 if keeping.float16 else seen.key.element_size()
        total += 2 * (site.heads * site.keys * site.head_dim * element + HEADER)
    mask = row_mask(seen, 0)
    if mask is not None and (site.kind == "cross" or keeping.level == "qk"):
        total += _bytes(mask) + HEADER
    return total


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
