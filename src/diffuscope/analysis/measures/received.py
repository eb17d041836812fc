"""How much attention a patch receives, and whether patches of high local contrast receive more.

The picture as a whole looks at a patch with ``r_p = mean over queries of P[query, p]``. Over n patches these sum to
1, so an even picture has ``1/n`` everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.analysis.measures.spatial import Floats, Wide
from diffuscope.errors import SizeError
from diffuscope.maps.resize import Size, resize


@dataclass(frozen=True)
class Comparison:
    """Rank correlation of received attention with local contrast.

    Attributes:
        rho: Spearman's, ``[step]``; NaN where either is the same everywhere.
        chance: ``[step]``, the 95th percentile of ``|rho|`` over all shifts of one map against the other.
        p: ``[step]``, share of all shifts, that by nothing among them, whose ``|rho|`` is as large: two-sided.
    """

    rho: Wide
    chance: Wide
    p: Wide


def local_contrast(picture: Image.Image, grid: Size) -> Wide:
    """RMS contrast: standard deviation of the luminance within each cell of a grid, ``[y, x]``, luminance from 0 to 1
    (Peli 1990, J. Opt. Soc. Am. A 7:2032, section 2). Luminance is sRGB's in linear light."""
    light = _luminance(picture)
    mean, square = resize(light, grid, "area"), resize(light**2, grid, "area")
    return np.asarray(np.sqrt(np.maximum(0.0, square - mean**2)))


def against_contrast(received: Floats, contrast: Floats) -> Comparison:
    """Whether patches of high contrast receive more attention.

    Neighbouring patches are alike, so the textbook p-value of a rank correlation would call chance a finding. The
    null
    here is the same two maps shifted against each other round the edges, every shift there is: their patterns stay
        whole
    and only their agreement goes.

    Args:
        received: ``[step, y, x]``.
        contrast: ``[y, x]`` of the same grid.

    Raises:
        SizeError: the grids differ.
    """
    if received.shape[1:] != contrast.shape:
        raise SizeError(
            f"received attention {received.shape[1:]} and contrast {contrast.shape} have different grids"
        )
    ranked = _standard_ranks(contrast)
    rows: list[tuple[float, float, float]] = []
    for values in received:
        own = _standard_ranks(values)
        if ranked is None or own is None:
            rows.append((np.nan, np.nan, np.nan))
            continue
        # Circular cross-correlation gives the correlation at every shift at once.
        spectrum = np.conj(np.fft.rfft2(own)) * np.fft.rfft2(ranked)
        every = np.fft.irfft2(spectrum, s=own.shape)
        sizes = np.abs(every)
        rho = float((own * ranked).sum())
        rows.append((rho, float(np.quantile(sizes, 0.95)), float((sizes >= abs(rho) - 1e-9).mean())))
    table = np.array(rows, np.float64)
    return Comparison(table[:, 0], table[:, 1], table[:, 2])


def ranks(values: NDArray[np.generic]) -> Wide:
    """Ranks from 0, equal values sharing the mean of theirs, in the shape of `values`."""
    _, inverse, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[inverse.ravel()].reshape(values.shape), np.float64)


def _standard_ranks(values: Floats) -> Wide | None:
    """Ranks with mean 0 and length 1, so that a product's sum is Spearman's rho; None where all are equal."""
    centred = ranks(values)
    centred -= centred.mean()
    length = float(np.sqrt((centred**2).sum()))
    return centred / length if length > 0 else None


def _luminance(picture: Image.Image) -> Wide:
    """Relative luminance ``[y, x]`` of an sRGB picture (IEC 61966-2-1)."""
    srgb = np.asarray(picture.convert("RGB"), np.float64) / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.asarray(light @ np.array([0.2126, 0.7152, 0.0722]))
