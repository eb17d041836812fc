"""Maps of single heads: where each looks for a word, and what each adds to the picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import NotKeptError, RecordingError, SelectionError, SizeError, listed
from diffuscope.maps.attention import attended_values
from diffuscope.maps.choosing import grid_of
from diffuscope.maps.export import Labelled, save_values
from diffuscope.maps.heatmap import UNIT, Heatmap
from diffuscope.maps.resize import Size, resize
from diffuscope.maps.token_attention import TokenAttention, places_of
from diffuscope.selection import Selection

if TYPE_CHECKING:
    from diffuscope.recording import Recording, Site

CONTRIBUTION = "norm of the head's addition to the attention output"
PROJECTION = "head's addition along the site's whole attention output"
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class HeadMaps:
    """One map for every step, site and head.

    Sites differ in grid and in number of heads, so each has an array of its own; `stacked` brings them together.

    Attributes:
        per_site: site name to float32 ``[step, head, y, x]``, sites in the order of the data.
        heads: site name to the head indices of its second axis.
        steps: step indices of the first axis.
        selection: steps, sites, heads and word that were asked for.
        label: word, phrase, or what else is shown.
        unit: of the values.
    """

    per_site: dict[str, Floats]
    heads: dict[str, tuple[int, ...]]
    steps: tuple[int, ...]
    selection: Selection
    label: str = ""
    unit: str = UNIT

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites, in the order of the data."""
        return tuple(self.per_site)

    def at(self, step: int, site: str, head: int) -> Heatmap:
        """The map of one step, site and head (their own numbers, not positions).

        Raises:
            SelectionError: it is not among them.
        """
        if step not in self.steps or site not in self.per_site or head not in self.heads[site]:
            raise SelectionError(
                f"there is no map of step {step}, site {site!r}, head {head} here; steps are "
                f"{listed([str(each) for each in self.steps])}, sites {listed(self.sites)}"
            )
        array = self.per_site[site][self.steps.index(step), self.heads[site].index(head)]
        asked = self.selection
        chosen = Selection.of(step, site, head, asked.word, asked.region, asked.concept)
        return Heatmap(
            array, chosen, self.label, self.unit, f"Head {head} of {site} at step {step}, by itself."
        )

    def mass(self) -> dict[str, NDArray[np.float64]]:
        """Mean over patches: site name to ``[step, head]``."""
        return {name: maps.mean(axis=(2, 3), dtype=np.float64) for name, maps in self.per_site.items()}

    def stacked(self, size: Size | None = None) -> Floats:
        """All in one array ``[step, site, head, y, x]``, float32, brought to one size.

        Args:
            size: ``(height, width)``; the finest grid of the sites when None.

        The axis `head` counts every head number that any site has here, ascending (`numbers`); where a site has no
        such head, there is NaN.
        """
        shape = size or max(
            (maps.shape[2:] for maps in self.per_site.values()), key=lambda grid: grid[0] * grid[1]
        )
        if len(shape) != 2 or min(shape) < 1:
            raise SizeError(f"{size!r} is no map size; give (height, width)")
        out = np.full((len(self.steps), len(self.sites), len(self.numbers), *shape), np.nan, np.float32)
        for index, (name, maps) in enumerate(self.per_site.items()):
            places = [self.numbers.index(head) for head in self.heads[name]]
            out[:, index, places] = resize(maps, (shape[0], shape[1]))
        return out

    @property
    def numbers(self) -> tuple[int, ...]:
        """Every head number that any of the sites has here, ascending."""
        return tuple(sorted({head for heads in self.heads.values() for head in heads}))

    def labelled(self) -> Labelled:
        """`stacked` with the names of its axes, for export."""
        return Labelled(
            self.stacked(),
            ("step", "site", "head", "y", "x"),
            {"step": list(self.steps), "site": list(self.sites), "head": list(self.numbers)},
            {
                "label": self.label,
                "selection": str(self.selection),
                "unit": self.unit,
                "aggregation": "None.",
            },
        )

    def to_xarray(self) -> Any:
        """`stacked` as an `xarray.DataArray` with named axes. Raises MissingExtraError without xarray."""
        return self.labelled().to_xarray()

    def save(self, path: str | Path) -> Path:
        """Write the values; see `diffuscope.maps.export.save_values`."""
        return save_values(self.labelled(), path)

    def __repr__(self) -> str:
        heads = sum(len(heads) for heads in self.heads.values())
        counted = f"{len(self.steps)} steps, {len(self.sites)} sites, {heads} heads"
        return f"<HeadMaps {self.label!r}: {counted}, {self.selection}>"


def head_maps(
    attention: TokenAttention,
    weights: Mapping[int, float],
    sites: Sequence[Site],
    steps: tuple[int, ...],
    heads: Mapping[str, tuple[int, ...]],
    selection: Selection,
    label: str,
) -> HeadMaps:
    """Each head's probability at some tokens; see `WordView.heads`."""
    found = {}
    for site in sites:
        values = attention.per_head(site.name, steps, weights, heads[site.name])
        found[site.name] = _checked(values.reshape(*values.shape[:2], *grid_of(site)), site.name)
    return HeadMaps(found, dict(heads), steps, selection, label)


def contributions(
    recording: Recording,
    sites: Sequence[Site],
    steps: tuple[int, ...],
    heads: Mapping[str, tuple[int, ...]],
    selection: Selection,
    label: str = "",
    *,
    tokens: Sequence[int] | None = None,
    projections: Mapping[str, NDArray[np.floating]] | None = None,
) -> HeadMaps:
    """What each head adds to the attention output of its site, at each patch.

    ``||P V W_h||``, norm over channels, where `W_h` are the columns ``h*dim`` to ``(h+1)*dim`` of the output
    projection's weight (its bias belongs to no head). The norm needs no more of the projection than the recorded Gram
    matrices ``W_h^T W_h``, so no model is asked.

    Args:
        recording: it must hold values and Gram matrices: level ``cross`` or above for cross sites.
        sites, steps, heads: of which.
        selection, label: what they are called.
        tokens: keys whose part of ``P V`` is taken; all when None.
        projections: site name to ``[head, dim, channel]`` of all heads (`Lens.output_projections`). Given, the value is
            the signed projection on the site's whole output ``o``, ``(P V W_h) . o / ||o||``: what a head adds in
            the direction in which all together move the patch. Their sum over all heads is ``||o||``.

    Raises:
        NotKeptError: queries, keys, values or the output projection were not kept; the error names the level.
        SelectionError: projections of another shape, or of other sites.
        RecordingError: NaN or infinity in the recording.
    """
    found: dict[str, Floats] = {}
    for site in sites:
        weight = None if projections is None else _projection(projections, site)
        gram = recording.gram(site.name).astype(np.float64) if weight is None else None
        rows = [_added(recording, site, step, heads[site.name], tokens, gram, weight) for step in steps]
        found[site.name] = _checked(np.stack(rows).reshape(len(steps), -1, *grid_of(site)), site.name)
    unit = CONTRIBUTION if projections is None else PROJECTION
    return HeadMaps(found, dict(heads), steps, selection, label, unit)


def _added(
    recording: Recording,
    site: Site,
    step: int,
    heads: tuple[int, ...],
    tokens: Sequence[int] | None,
    gram: NDArray[np.float64] | None,
    weight: NDArray[np.float64] | None,
) -> Floats:
    """``[head, query]`` of one site at one step."""
    kept = recording.heads(site.name)
    if weight is not None and len(kept) < site.heads:
        raise NotKeptError(
            f"the whole output of {site.name} needs all of its heads, and this run kept "
            f"{listed([str(head) for head in kept])}; ask without projections, or record again with keep_heads='all'"
        )

    def outputs(of: Sequence[int], keys: Sequence[int] | None) -> Iterator[NDArray[np.float64]]:
        return attended_values(
            recording.query(site.name, step),
            recording.keys(site.name, step),
            recording.values(site.name, step),
            site.scale,
            heads=places_of(of, kept, site.name),
            keys=keys,
            mask=recording.mask(site.name, step),
        )

    if gram is not None:
        norms = [
            np.einsum("qd,de,qe->q", output, gram[head], output, optimize=True)
            for head, output in zip(heads, outputs(heads, tokens), strict=True)
        ]
        return np.asarray(np.sqrt(np.clip(norms, 0.0, None)), np.float32)
    assert weight is not None
    every = range(site.heads)
    whole = sum(output @ weight[head] for head, output in zip(every, outputs(every, None), strict=True))
    length = np.linalg.norm(whole, axis=-1, keepdims=True)
    direction = np.divide(whole, length, out=np.zeros_like(whole), where=length > 0)
    signed = [
        ((output @ weight[head]) * direction).sum(axis=-1)
        for head, output in zip(heads, outputs(heads, tokens), strict=True)
    ]
    return np.asarray(signed, np.float32)


def _projection(projections: Mapping[str, NDArray[np.floating]], site: Site) -> NDArray[np.float64]:
    weight = projections.get(site.name)
    if weight is None or weight.ndim != 3 or weight.shape[:2] != (site.heads, site.head_dim):
        have = "none" if weight is None else str(list(weight.shape))
        raise SelectionError(
            f"the output projection of {site.name} is [{site.heads}, {site.head_dim}, channel]; {have} was given"
        )
    return weight.astype(np.float64)


def _checked(maps: NDArray[np.floating], site: str) -> Floats:
    if not np.isfinite(maps).all():
        raise RecordingError(
            f"the recorded attention of {site} holds NaN or infinity: the model produced invalid numbers; "
            "record it again in float32, or with another seed"
        )
    return np.asarray(maps, np.float32)
