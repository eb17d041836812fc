"""Attention to text tokens at every site and step of a recording."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import NotKeptError, listed
from diffuscope.maps.attention import head_mean, weighted_heads

if TYPE_CHECKING:
    from diffuscope.recording import Recording, Site

Array = NDArray[np.generic]
Floats = NDArray[np.float32]
Weights = tuple[tuple[int, float], ...]


class TokenAttention(Protocol):
    """What a word's or concept's maps are read from. Sites and steps must be kept, heads those that the site has."""

    def at(
        self, site: str, steps: Sequence[int], weights: Mapping[int, float], heads: Sequence[int]
    ) -> Floats:
        """Weighted sum of tokens' head-mean maps, float32 ``[step, query]``."""

    def per_head(
        self, site: str, steps: Sequence[int], weights: Mapping[int, float], heads: Sequence[int]
    ) -> Floats:
        """The same of each head, float32 ``[step, head, query]``."""

    def per_token(
        self, site: str, steps: Sequence[int], tokens: Sequence[int], heads: Sequence[int]
    ) -> Floats:
        """Each token's head-mean map, float32 ``[step, token, query]``."""


class WordAttention:
    """Attention to the prompt's tokens, for each site and step of a recording.

    Where the mean over all heads of a site is asked for, the stored word maps are read (small, made at recording
    time); otherwise the softmax is computed from queries and keys. Both give the same numbers. What was asked last
    is kept in memory up to `budget` bytes, so that asking for a word again costs its average alone.

    Attributes:
        recording: the recording that is read.
    """

    def __init__(self, recording: Recording, budget: int = 96 * 2**20, *, renormalised: bool = False) -> None:
        """`renormalised`: at joint sites the softmax runs over the text's keys alone, so that tokens share 1."""
        self.recording = recording
        self.renormalised = renormalised
        self._sites: dict[str, Site] = {site.name: site for site in recording.manifest.sites}
        self._cache: OrderedDict[tuple[object, ...], Floats] = OrderedDict()
        self._budget = budget
        self._held = 0

    def at(
        self,
        site: str,
        steps: Sequence[int],
        weights: Mapping[int, float],
        heads: Sequence[int],
        call: int | None = None,
    ) -> Floats:
        """Weighted sum of tokens' head-mean maps, float32 ``[step, query]``.

        Args:
            site: name of a kept cross site.
            steps: step indices.
            weights: token index to weight.
            heads: head indices of this site to average over.
            call: a call of the step; None is its last one.

        Raises:
            NotKeptError: the recording's level kept no tensors that answer this; the error names the level
                that would.
            CorruptRecordingError: a file of the run is damaged.
            RecordingError: the recorded queries or keys hold NaN or infinity.
        """
        asked = (site, tuple(sorted(weights.items())), tuple(heads), call)
        return np.stack([self._cached(step, *asked) for step in steps])

    def per_head(
        self, site: str, steps: Sequence[int], weights: Mapping[int, float], heads: Sequence[int]
    ) -> Floats:
        """Weighted sum of tokens' maps of each head, float32 ``[step, head, query]``. Errors as of `at`."""
        described = self._sites[site]
        tokens, shares = list(weights), list(weights.values())
        places = places_of(heads, self.recording.heads(site), site)
        found = []
        for step in steps:
            q, k, mask = self._read(site, step, None)
            found.append(
                weighted_heads(q, k, described.scale, keys=tokens, weights=shares, heads=places, mask=mask)
            )
        return np.stack(found)

    def per_token(
        self, site: str, steps: Sequence[int], tokens: Sequence[int], heads: Sequence[int]
    ) -> Floats:
        """Each token's head-mean map, float32 ``[step, token, query]``. Errors as of `at`."""
        described, asked = self._sites[site], list(tokens)
        rows: list[Floats] = []
        for step in steps:
            stored = self._stored(site, step, heads, None)
            if stored is not None and max(asked) < len(stored):
                rows.append(stored[asked].astype(np.float32))
                continue
            q, k, mask = self._read(site, step, None)
            places = places_of(heads, self.recording.heads(site), site)
            rows.append(head_mean(q, k, described.scale, heads=places, keys=asked, mask=mask))
        return np.stack(rows)

    def _cached(
        self, step: int, site: str, weights: Weights, heads: tuple[int, ...], call: int | None
    ) -> Floats:
        key = (step, site, weights, heads, call)
        row = self._cache.get(key)
        if row is not None:
            self._cache.move_to_end(key)
            return row
        row = self._row(step, site, dict(weights), heads, call)
        self._cache[key] = row
        self._held += row.nbytes
        while self._held > self._budget and len(self._cache) > 1:
            self._held -= self._cache.popitem(last=False)[1].nbytes
        return row

    def _read(self, site: str, step: int, call: int | None) -> tuple[Array, Array, Array | None]:
        """Queries, keys and mask of a site, as the softmax is to take them."""
        q, k = self.recording.query(site, step, call), self.recording.keys(site, step, call)
        mask = self.recording.mask(site, step, call)
        text = self._sites[site].text_keys
        if not self.renormalised or text is None:
            return q, k, mask
        length = text[1] - text[0]
        return q, k[:, :length], mask if mask is None or mask.shape[-1] == 1 else mask[..., :length]

    def _stored(
        self, site: str, step: int, heads: Sequence[int], call: int | None
    ) -> NDArray[np.floating] | None:
        """The word maps of recording time, or None where they do not answer for these heads."""
        described = self._sites[site]
        if tuple(heads) != tuple(range(described.heads)) or (self.renormalised and described.kind == "joint"):
            return None
        try:
            return self.recording.word_maps(site, step, call)
        except NotKeptError:
            return None

    def _row(
        self, step: int, site: str, weights: dict[int, float], heads: tuple[int, ...], call: int | None
    ) -> Floats:
        """``[query]`` of one site in one step."""
        described = self._sites[site]
        tokens, shares = list(weights), list(weights.values())
        stored = self._stored(site, step, heads, call)
        if stored is not None and max(tokens) < len(stored):
            return _weighted(stored[tokens], shares)
        try:
            q, k, mask = self._read(site, step, call)
        except NotKeptError:
            # Rows of a softmax sum to 1 over all keys, so the whole padding is what the stored tokens leave.
            # Of cross sites only: at joint sites the picture's own keys have a part, too.
            padding = stored is not None and tokens == list(range(len(stored), described.keys))
            if stored is None or described.kind != "cross" or not padding or len(set(shares)) > 1:
                raise
            rest = 1 - stored.sum(axis=0, dtype=np.float64)
            return np.asarray(shares[0] * np.clip(rest, 0.0, None), np.float32)
        places = places_of(heads, self.recording.heads(site), site)
        return _weighted(head_mean(q, k, described.scale, heads=places, keys=tokens, mask=mask), shares)


def places_of(heads: Sequence[int], kept: Sequence[int], site: str) -> list[int]:
    """Where heads stand among those that were kept of a site.

    Raises:
        NotKeptError: one of them was not kept.
    """
    lacking = [str(head) for head in heads if head not in kept]
    if lacking:
        raise NotKeptError(
            f"of {site} these heads were not kept: {listed(lacking)}; this run kept "
            f"{listed([str(head) for head in kept]) or 'none'}"
        )
    return [list(kept).index(head) for head in heads]


def _weighted(maps: NDArray[np.floating], weights: Sequence[float]) -> Floats:
    """Sum over the first axis with weights, accumulated in float64."""
    return np.asarray(np.asarray(weights, np.float64) @ maps.astype(np.float64), np.float32)
