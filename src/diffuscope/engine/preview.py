"""The predicted clean picture of a step while a run is still being drawn."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from diffuscope.engine.lens import Lens


@torch.no_grad()
def preview(lens: Lens, clean: NDArray[np.floating]) -> Image.Image:
    """Decode a predicted clean latent ``[channel, y, x]`` as a recording holds it (``pred_x0``) into a picture, RGB.

    May be called between two steps of the same pipeline: decoding draws no random numbers and leaves no state.
    """
    latent = torch.from_numpy(np.array(clean, np.float32))
    picture = lens.family.decode(lens.pipe, latent[None])[0]
    array = (picture.permute(1, 2, 0).float().cpu().numpy() * 255).round().clip(0, 255).astype("uint8")
    return Image.fromarray(array)
