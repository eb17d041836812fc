"""Attention of the picture to itself: what a patch looks at, and who looks at it.

Both directions come from the recorded queries and keys, so any patch may be asked of any site, step and head after
the run. The row log-sum-exp that columns need was recorded where the kernel yielded it; else it is computed once for
a site and step and kept in memory. Rows are exact to 1e-6 absolute and 1e-4 relative; so are columns from a computed
log-sum-exp, and those from a recorded one, a float32, to 1e-5 relative.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import NotKeptError, SelectionError
from diffuscope.maps.attention import attention_from, attention_to, log_sum_exp
from diffuscope.maps.words import places_of

if TYPE_CHECKING:
    from diffuscope.recording import Recording

Floats = NDArray[np.float32]


class SelfAttention:
    """Self-attention of a recording, by site and step.

    Attributes:
        recording: the recording that is read.
    """

    def __init__(self, recording: Recording, budget: int = 64 * 2**20) -> None:
        """`budget`: bytes of computed log-sum-exps that are kept in memory."""
        self.recording = recording
        self._computed: OrderedDict[tuple[str, int, int], NDArray[np.float64]] = OrderedDict()
        self._budget = budget

    def looks_at(
        self,
        site: str,
        step: int,
        cells: Sequence[int],
        *,
        heads: Sequence[int] | None = None,
        call: int | None = None,
    ) -> Floats:
        """What cells look at (`from` in the definitions), float32 ``[cell asked, key]``, mean over heads.

        Args:
            site: name of a kept self site.
            step: its index.
            cells: of the site's grid, row-major from the top left: ``y * width + x``.
            heads: to average over, counted within the site; all that were kept when None.
            call: a call of the step; None is its last one.

        Raises:
            SelectionError: no such step, site or cell, or the site's keys are text.
            NotKeptError: queries and keys, or a head, were not kept.
        """
        q, k, mask, scale, places = self._read(site, step, cells, heads, call)
        return attention_from(q, k, scale, cells, heads=places, mask=mask)

    def looked_at_by(
        self,
        site: str,
        step: int,
        cells: Sequence[int],
        *,
        heads: Sequence[int] | None = None,
        call: int | None = None,
    ) -> Floats:
        """Who looks at cells (`to` in the definitions), float32 ``[cell asked, query]``, mean over heads: at each
        query the probability that it gives to the cell. Arguments and errors as of `looks_at`.
        """
        q, k, mask, scale, places = self._read(site, step, cells, heads, call)
        lse = self.lse(site, step, call)
        return attention_to(q, k, scale, cells, lse, heads=places, mask=mask)

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
            described = self.recording.site(site)
            found = log_sum_exp(
                self.recording.query(site, step, call),
                self.recording.keys(site, step, call),
                described.scale,
                self.recording.mask(site, step, call),
            )
        self._computed[key] = found
        while sum(each.nbytes for each in self._computed.values()) > self._budget and len(self._computed) > 1:
            self._computed.popitem(last=False)
        return found

    def _read(
        self, site: str, step: int, cells: Sequence[int], heads: Sequence[int] | None, call: int | None
    ) -> tuple[NDArray[np.generic], NDArray[np.generic], NDArray[np.generic] | None, float, list[int]]:
        described = self.recording.site(site)
        if described.kind == "cross":
            raise SelectionError(f"the keys of {site} are text; ask a self-attention site for patches")
        last = described.grid[0] * described.grid[1] - 1
        wrong = [cell for cell in cells if not 0 <= cell <= last]
        if wrong or not len(cells):
            what = f"there is no cell {wrong[0]}" if wrong else "no cell was named"
            raise SelectionError(f"{what}: {site} has cells 0 to {last}")
        kept = self.recording.heads(site)
        return (
            self.recording.query(site, step, call),
            self.recording.keys(site, step, call),
            self.recording.mask(site, step, call),
            described.scale,
            places_of(kept if heads is None else heads, kept, site),
        )
