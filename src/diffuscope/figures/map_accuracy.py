"""One prompt, its maps side by side with the true mask."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.maps.colormap import NAMES, DisplayScale
from diffuscope.maps.picture import Legend, Panel, blend, figure, paint
from diffuscope.maps.resize import Size

PANEL = 256


def side_by_side(
    image: Image.Image,
    maps: Mapping[str, NDArray[np.floating]],
    mask: NDArray[np.bool_],
    prompt: str,
    label: str,
    *,
    alpha: float = 0.65,
    colormap: str = NAMES[0],
) -> Image.Image:
    """The picture, maps of one object over it in grey, and its true mask, in a row. RGB.

    Args:
        image: the picture.
        maps: caption to ``[y, x]``; each is stretched over its own range.
        mask: ``[y, x]``, the truth.
        prompt, label: the prompt, and what of it is mapped.
    """
    size: Size = (round(image.height * PANEL / max(image.size)), round(image.width * PANEL / max(image.size)))
    across = (size[1], size[0])
    panels = [Panel(image.convert("RGB").resize(across, Image.Resampling.BICUBIC), "picture")]
    for caption, values in [*maps.items(), ("true mask", mask.astype(np.float64))]:
        colours = paint(DisplayScale.of(values).unit_interval(values), size, DisplayScale(0, 1), colormap)
        panels.append(Panel(blend(image, colours, alpha), caption))
    legend = Legend(
        label,
        prompt,
        DisplayScale(0.0, 1.0, "min-max of each map"),
        colormap,
        "share of each map's own range",
        (),
    )
    return figure(panels, legend, len(panels))
