"""All tokens at once: the global stack ``[token, y, x]``, and as one picture who of them holds each patch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import SelectionError
from diffuscope.maps.aggregate import Combine, SizeRequest, aggregate, checked_combine, describe, output_size
from diffuscope.maps.choosing import chosen_heads, chosen_sites, chosen_steps, grid_of, kept_text_sites
from diffuscope.maps.export import Labelled, save_values
from diffuscope.maps.heatmap import UNIT, Heatmap
from diffuscope.maps.weights import SiteWeights, WeightRequest
from diffuscope.selection import Selection

if TYPE_CHECKING:
    from diffuscope.run import Run

Floats = NDArray[np.float32]
KINDS = ("words", "other", "start", "end", "padding")
"""Whose share the global picture shows: the prompt's words, its other tokens (punctuation), and the encoder's own."""


@dataclass(frozen=True, eq=False)
class TokenStack:
    """Maps of several tokens.

    Attributes:
        array: float32 ``[token, y, x]``, attention probability.
        names: what each of them is called: ``3 circle``, ``0 <|startoftext|>``, or a kind of `KINDS`.
        selection: steps, sites and heads that it was made from.
        unit, aggregation: as of `Heatmap`.
        background: gives the picture that the maps belong to.
    """

    array: Floats
    names: tuple[str, ...]
    selection: Selection
    unit: str = UNIT
    aggregation: str = ""
    background: Callable[[], Image.Image | None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, name: str | int) -> Heatmap:
        """The map of a token by its name or its place in the stack.

        Raises:
            SelectionError: there is none.
        """
        index = self.names.index(name) if name in self.names else name
        if not isinstance(index, int) or not 0 <= index < len(self):
            raise SelectionError(f"there is no map {name!r} in the stack; it has: {', '.join(self.names)}")
        return Heatmap(
            self.array[index], self.selection, self.names[index], self.unit, self.aggregation, self.background
        )

    def maps(self) -> list[Heatmap]:
        """Every map, in order."""
        return [self[index] for index in range(len(self))]

    def labelled(self) -> Labelled:
        """The values with the names of their axes, for export."""
        about = {
            "label": "all tokens",
            "selection": str(self.selection),
            "unit": self.unit,
            "aggregation": self.aggregation,
        }
        return Labelled(self.array, ("token", "y", "x"), {"token": list(self.names)}, about)

    def to_xarray(self) -> Any:
        """The values as an `xarray.DataArray`. Raises MissingExtraError without xarray."""
        return self.labelled().to_xarray()

    def save(self, path: str | Path) -> Path:
        """Write the values; see `diffuscope.maps.export.save_values`."""
        return save_values(self.labelled(), path)


def token_stack(
    run: Run,
    selection: Selection,
    *,
    padding: bool = False,
    size: SizeRequest = None,
    weights: WeightRequest = None,
    combine: Combine = "mean",
) -> TokenStack:
    """Maps of all tokens, each put together as a word's map is; see `Run.stack`."""
    text = run.manifest.text
    tokens = [token for token in text.tokens if padding or token.kind != "padding"]
    indices = [token.index for token in tokens]
    array, said = _aggregated(
        run,
        selection,
        size,
        weights,
        combine,
        lambda site, steps, heads: run._attention.per_token(site, steps, indices, heads),
    )
    names = tuple(f"{token.index} {token.text}" for token in tokens)
    unit = UNIT if combine == "mean" else f"{UNIT}, summed"
    return TokenStack(array, names, selection, unit, said, run._background)


def shares(
    run: Run, selection: Selection, *, size: SizeRequest = None, weights: WeightRequest = None
) -> TokenStack:
    """Per patch, who holds the attention: see `Run.shares`."""
    text = run.manifest.text
    of_words = {token for word in text.words for token in word.tokens}
    kinds: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for token in text.tokens:
        kind = token.kind if token.kind != "content" else "words" if token.index in of_words else "other"
        kinds[kind].append(token.index)

    def read(site: str, steps: Sequence[int], heads: Sequence[int]) -> Floats:
        grid = run.recording.site(site).grid
        none = np.zeros((len(steps), grid[0] * grid[1]), np.float32)
        rows = [
            run._attention.at(site, steps, dict.fromkeys(tokens, 1.0), heads) if tokens else none
            for tokens in kinds.values()
        ]
        return np.stack(rows, axis=1)

    array, said = _aggregated(run, selection, size, weights, "mean", read)
    return TokenStack(
        array, KINDS, selection, UNIT, f"{said} The shares of a patch sum to 1.", run._background
    )


def _aggregated(
    run: Run,
    selection: Selection,
    size: SizeRequest,
    weights: WeightRequest,
    combine: Combine,
    read: Callable[[str, Sequence[int], Sequence[int]], Floats],
) -> tuple[Floats, str]:
    """``[token, y, x]``, and how it was put together. `read` gives ``[step, token, query]`` of a site."""
    recording, combine = run.recording, checked_combine(combine)
    steps = chosen_steps(recording, selection)
    sites = chosen_sites(recording, selection)
    heads = chosen_heads(sites, selection)
    rule = SiteWeights.of(weights, sites)
    grids = {site.name: grid_of(site) for site in sites}
    sampling = run.manifest.sampling
    shape = output_size(
        size,
        kept=[grid_of(site) for site in kept_text_sites(recording)],
        chosen=list(grids.values()),
        image=(sampling.height, sampling.width),
    )
    maps = {}
    for site in sites:
        values = read(site.name, steps, heads[site.name])
        if combine == "sum":
            maps[site.name] = values.sum(axis=0, dtype=np.float64) * len(heads[site.name])
        else:
            maps[site.name] = values.mean(axis=0, dtype=np.float64)
    said = describe(
        sites=len(sites),
        steps=len(steps),
        size=shape,
        grids=list(grids.values()),
        heads=selection.heads,
        groups=[(0,)],
        reduce="sum",
        merge_steps=True,
        combine=combine,
        weights=rule.text,
        branch=run.manifest.keep.branch,
    )
    return aggregate(maps, grids, shape, weights=rule.by_site, combine=combine), said
