"""Attention of the picture to itself: what a part of it looks at (`from`), and who looks at it (`to`).

Both directions come from the recorded queries and keys, so any part may be asked of any site, step and head after the
run, and only the rows or columns that are asked for are computed. The row log-sum-exp that columns need was recorded
where the kernel yielded it; else it is computed once for a site and step and kept, in memory and in the run's cache.
Rows are exact to 1e-6 absolute and 1e-4 relative; so are columns from a computed log-sum-exp, and those from a recorded
one, a float32, to 1e-5 relative.

At joint sites, whose sequence holds text too, the softmax runs over all keys, and what is given is the picture's part.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import NotKeptError, RecordingError, SelectionError
from diffuscope.maps.attention import attention_from, attention_to, log_sum_exp
from diffuscope.maps.cache import RunCache
from diffuscope.maps.token_attention import places_of

if TYPE_CHECKING:
    from diffuscope.recording import Recording, Site

Direction = Literal["to", "from"]
"""``to``: who looks at the part asked for (columns). ``from``: what it looks at (rows)."""

Array = NDArray[np.generic]
Floats = NDArray[np.float32]

BLOCK = 2**18
"""Products that are computed at a time: they stay in the processor's cache, and memory is bounded at any size."""


def checked_direction(direction: str) -> Direction:
    """`direction` as it is.

    Raises:
        SelectionError: it is neither ``to`` nor ``from``.
    """
    if direction not in get_args(Direction):
        raise SelectionError(
            f"direction={direction!r} is unknown; give 'to' (who looks at the region) or 'from' (what it looks at)"
        )
    return direction  # type: ignore[return-value]


class SelfAttention:
    """Self-attention of a recording, by site and step.

    Attributes:
        recording: the recording that is read.
    """

    def __init__(self, recording: Recording, budget: int = 64 * 2**20) -> None:
        """`budget`: bytes of computed log-sum-exps that are kept in memory, and as many of matrices."""
        self.recording = recording
        self._computed: OrderedDict[tuple[str, int, int], NDArray[np.float64]] = OrderedDict()
        self._matrices: OrderedDict[tuple[str, ...], Floats] = OrderedDict()
        self._budget = budget

    def of_region(
        self,
        site: str,
        step: int,
        weights: NDArray[np.floating],
        direction: Direction = "to",
        *,
        heads: Sequence[int] | None = None,
        call: int | None = None,
    ) -> Floats:
        """Weighted mean of the rows (`from`) or columns (`to`) of a region's cells, for each head.

        Args:
            site: name of a kept self or joint site.
            step: its index.
            weights: ``[cell]``, how much each cell of the site's grid belongs to the region: not negative, and not all
                zero. The mean is taken with them.
            direction: ``from`` gives at each cell the probability that the region looks at it; ``to`` the probability
                with which it looks at a cell of the region.
            heads: counted within the site; all that were kept when None.
            call: a call of the step; None is its last one.

        Returns:
            float32 ``[head, cell]``.

        Raises:
            SelectionError: no such step or site, its keys are text, or the weights do not fit.
            NotKeptError: queries and keys, or a head, were not kept.
            RecordingError: they hold NaN or infinity.
        """
        described, places = self._site(site), self._places(site, heads)
        shares = np.asarray(weights, np.float64).ravel()
        cells = described.grid[0] * described.grid[1]
        if len(shares) != cells or not np.isfinite(shares).all() or shares.min() < 0 or not shares.sum() > 0:
            raise SelectionError(
                f"the weights of a region at {site} are {cells} numbers of 0 or more, one of them above 0"
            )
        asked = np.flatnonzero(shares)
        shares = shares[asked] / shares.sum()
        q, k = self.recording.query(site, step, call), self.recording.keys(site, step, call)
        mask = self.recording.mask(site, step, call)
        picture = _picture_part(described)
        # What is not finite is refused below.
        with np.errstate(over="ignore", invalid="ignore"):
            if direction == "from":
                found = _rows(q, k, described.scale, asked, shares, places, mask, picture)
            else:
                lse = self.lse(site, step, call)
                found = _columns(q, k, described.scale, asked, shares, places, mask, picture, lse)
        if not np.isfinite(found).all():
            raise RecordingError(
                f"the recorded attention of {site} holds NaN or infinity: the model produced invalid numbers; "
                "record it again in float32, or with another seed"
            )
        return found.astype(np.float32)

    def matrix(
        self, site: str, step: int, *, heads: Sequence[int] | None = None, call: int | None = None
    ) -> Floats:
        """All of it: probabilities of the picture's cells, float32 ``[query, key]``, mean over heads. Arguments and
        errors as of `of_region`. At 64x64 cells this is 64 MiB and takes some tenths of a second a head."""
        described, places = self._site(site), self._places(site, heads)
        q, k = self.recording.query(site, step, call), self.recording.keys(site, step, call)
        mask = self.recording.mask(site, step, call)
        picture, cells = _picture_part(described), described.grid[0] * described.grid[1]
        total = np.zeros((cells, cells), np.float32)
        for head in places:
            keys = _keys(q, k, described.scale, head)
            for rows, _ in _blocks(np.arange(cells), np.zeros(cells), keys.shape[1]):
                total[rows] += _softmax(_products(q, keys, head, rows, mask))[:, picture]
        if not np.isfinite(total).all():
            raise RecordingError(
                f"the recorded attention of {site} holds NaN or infinity; record it again in float32"
            )
        total /= np.float32(len(places))
        return total

    def held(self, key: tuple[str, ...], make: Callable[[], Floats]) -> Floats:
        """A mean of matrices by what it is the mean of, made where it is not in memory. What was asked last stays
        there, read-only, up to the budget; what is larger is not kept."""
        found = self._matrices.get(key)
        if found is None:
            found = make()
            if found.nbytes > self._budget:
                return found
            found = found.view()
            found.setflags(write=False)
        with suppress(KeyError):  # Another thread made room.
            self._matrices[key] = found
            self._matrices.move_to_end(key)
            while sum(each.nbytes for each in list(self._matrices.values())) > self._budget:
                self._matrices.popitem(last=False)
        return found

    def looks_at(
        self,
        site: str,
        step: int,
        cells: Sequence[int],
        *,
        heads: Sequence[int] | None = None,
        call: int | None = None,
    ) -> Floats:
        """What single cells look at, float32 ``[cell asked, key]``, mean over heads, text keys of joint sites left out.

        Args:
            site: name of a kept self or joint site.
            step: its index.
            cells: of the site's grid, row-major from the top left: ``y * width + x``.
            heads: to average over, counted within the site; all that were kept when None.
            call: a call of the step; None is its last one.

        Raises:
            SelectionError: no such step, site or cell, or the site's keys are text.
            NotKeptError: queries and keys, or a head, were not kept.
        """
        q, k, mask, scale, places, picture = self._read(site, step, cells, heads, call)
        return attention_from(q, k, scale, cells, heads=places, mask=mask)[:, picture]

    def looked_at_by(
        self,
        site: str,
        step: int,
        cells: Sequence[int],
        *,
        heads: Sequence[int] | None = None,
        call: int | None = None,
    ) -> Floats:
        """Who looks at single cells, float32 ``[cell asked, query]``, mean over heads: at each query the probability
        that it gives to the cell. Arguments and errors as of `looks_at`.
        """
        q, k, mask, scale, places, picture = self._read(site, step, cells, heads, call)
        asked = [cell + picture.start for cell in cells]
        lse = self.lse(site, step, call)
        return attention_to(q, k, scale, asked, lse, heads=places, mask=mask)

    def lse(self, site: str, step: int, call: int | None = None) -> NDArray[np.floating]:
        """Row log-sum-exp ``[head kept, query]``, recorded or computed."""
        number = self.recording.call(step, call).index
        key = (site, step, number)
        if key in self._computed:
            self._computed.move_to_end(key)
            return self._computed[key]
        try:
            return self.recording.lse(site, step, call)
        except NotKeptError:
            found = self._compute(site, step, number)
        self._computed[key] = found
        while sum(each.nbytes for each in self._computed.values()) > self._budget and len(self._computed) > 1:
            self._computed.popitem(last=False)
        return found

    def _compute(self, site: str, step: int, call: int) -> NDArray[np.float64]:
        cache, key = RunCache(self.recording), {"site": site, "call": str(call)}
        kept = cache.read("lse", key)
        if kept is not None:
            return kept["lse"].astype(np.float64)
        described = self.recording.site(site)
        found = log_sum_exp(
            self.recording.query(site, step, call),
            self.recording.keys(site, step, call),
            described.scale,
            self.recording.mask(site, step, call),
        )
        cache.write("lse", key, {"lse": found})
        return found

    def _site(self, name: str) -> Site:
        described = self.recording.site(name)
        if described.kind == "cross":
            raise SelectionError(f"the keys of {name} are text; ask a self-attention site for patches")
        return described

    def _places(self, site: str, heads: Sequence[int] | None) -> list[int]:
        kept = self.recording.heads(site)
        return places_of(kept if heads is None else heads, kept, site)

    def _read(
        self, site: str, step: int, cells: Sequence[int], heads: Sequence[int] | None, call: int | None
    ) -> tuple[Array, Array, Array | None, float, list[int], slice]:
        described = self._site(site)
        last = described.grid[0] * described.grid[1] - 1
        wrong = [cell for cell in cells if not 0 <= cell <= last]
        if wrong or not len(cells):
            what = f"there is no cell {wrong[0]}" if wrong else "no cell was named"
            raise SelectionError(f"{what}: {site} has cells 0 to {last}")
        return (
            self.recording.query(site, step, call),
            self.recording.keys(site, step, call),
            self.recording.mask(site, step, call),
            described.scale,
            self._places(site, heads),
            _picture_part(described),
        )


def _picture_part(site: Site) -> slice:
    """Where the cells stand among the site's keys: all of them but at joint sites, where `Recording` has the text
    first. Queries are the cells alone at every site."""
    text = 0 if site.text_keys is None else site.text_keys[1] - site.text_keys[0]
    return slice(text, text + site.grid[0] * site.grid[1])


def _rows(
    q: Array,
    k: Array,
    scale: float,
    asked: NDArray[np.intp],
    shares: NDArray[np.float64],
    heads: Sequence[int],
    mask: Array | None,
    picture: slice,
) -> NDArray[np.float64]:
    """``sum_p share_p P[p, :]`` of each head, ``[head, cell]``."""
    found = np.zeros((len(heads), picture.stop - picture.start))
    for index, head in enumerate(heads):
        keys = _keys(q, k, scale, head)
        for cells, part in _blocks(asked, shares, keys.shape[1]):
            powers = _softmax(_products(q, keys, head, cells, mask))
            found[index] += part @ powers[:, picture]
    return found


def _columns(
    q: Array,
    k: Array,
    scale: float,
    asked: NDArray[np.intp],
    shares: NDArray[np.float64],
    heads: Sequence[int],
    mask: Array | None,
    picture: slice,
    lse: NDArray[np.floating],
) -> NDArray[np.float64]:
    """``sum_p share_p P[:, p]`` of each head, ``[head, cell]``: the columns alone, with each row's log-sum-exp."""
    found = np.zeros((len(heads), picture.stop - picture.start))
    group = len(q) // len(k)
    for index, head in enumerate(heads):
        queries = q[head].astype(np.float64)
        queries *= scale
        own = lse[head].astype(np.float64)
        # A row that may attend to nothing has -inf, as in torch; its probabilities are 0.
        dead = np.isneginf(own)
        own = np.where(dead, 0.0, own)
        for cells, part in _blocks(asked, shares, len(queries)):
            keys = cells + picture.start
            powers = k[head // group, keys].astype(np.float64) @ queries.T
            if mask is not None:
                powers = _masked(powers.T, _part_of(mask, head, slice(None), keys)).T
            found[index] += part @ _exponential(powers, own)
        found[index, dead] = 0.0
    return found


def _blocks(
    asked: NDArray[np.intp], shares: NDArray[np.float64], length: int
) -> Iterator[tuple[NDArray[np.intp], Floats]]:
    """Cells and their shares, so many at a time that their products with `length` others stay small."""
    # Shares in float32 keep the products with probabilities in float32; of so few terms, none of them negative, the
    # sum is good to 1e-6 relative.
    count = max(1, BLOCK // length)
    for start in range(0, len(asked), count):
        yield asked[start : start + count], shares[start : start + count].astype(np.float32)


def _keys(q: Array, k: Array, scale: float, head: int) -> NDArray[np.float64]:
    """The scaled keys of a query head, ``[dim, key]``, float64."""
    keys = k[head // (len(q) // len(k))].astype(np.float64)
    keys *= scale
    return np.asarray(keys.T)


def _products(
    q: Array, keys: NDArray[np.float64], head: int, queries: NDArray[np.intp], mask: Array | None
) -> NDArray[np.float64]:
    """Scaled and masked products ``[query asked, key]`` of a head, in float64 (see `maps.attention`)."""
    logits = q[head, queries].astype(np.float64) @ keys
    return logits if mask is None else _masked(logits, _part_of(mask, head, queries, slice(None)))


def _softmax(logits: NDArray[np.float64]) -> Floats:
    """Row-wise softmax, float32; rows without any key are zero. NaN stays NaN, for the caller to refuse."""
    top = logits.max(axis=-1, keepdims=True)
    dead = np.isneginf(top)
    powers = _exponential(logits, np.where(dead, 0.0, top))
    total = powers.sum(axis=-1, keepdims=True)
    powers /= np.where(dead, np.float32(1), total)
    return powers


def _exponential(logits: NDArray[np.float64], top: NDArray[np.float64]) -> Floats:
    """``exp(logits - top)``: the difference in float64, which is at most 0 or nearly so, the power in float32."""
    powers = np.empty(logits.shape, np.float32)
    np.subtract(logits, top, out=powers, casting="same_kind")
    np.exp(powers, out=powers)
    return powers


def _part_of(
    mask: Array, head: int, queries: NDArray[np.intp] | slice, keys: NDArray[np.intp] | slice
) -> Array:
    """Part of a mask that is broadcastable to ``[head, query, key]``, as ``[query or 1, key or 1]``."""
    own = mask.reshape((1,) * (3 - mask.ndim) + mask.shape)
    own = own[head if len(own) > 1 else 0]
    own = own if own.shape[0] == 1 else own[queries]
    return own if own.shape[1] == 1 else np.asarray(own[:, keys])


def _masked(logits: NDArray[np.float64], mask: Array) -> NDArray[np.float64]:
    if mask.dtype == np.bool_:
        return np.where(mask, logits, -np.inf)
    return logits + mask.astype(np.float64)
