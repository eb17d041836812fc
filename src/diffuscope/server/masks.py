"""A painted mask that comes with a request: read, checked, and kept in the run's folder under its hash."""

from __future__ import annotations

import base64
import binascii
import io

import numpy as np
from PIL import Image

from diffuscope.errors import RegionError
from diffuscope.run import RegionView, Run
from diffuscope.server.problems import Refusal


def region_of_mask(run: Run, png: str, *, read_only: bool) -> RegionView:
    """A mask as a region.

    Args:
        run: whose picture it is painted on.
        png: base64 of a PNG file of the picture's size; what is not 0 is inside.
        read_only: whether the server keeps nothing.

    Raises:
        Refusal: the server keeps nothing (403). RegionError: it is no mask of this picture.
    """
    if read_only:
        raise Refusal(403, "this server is read-only: it keeps no masks; draw the region as a contour")
    sampling = run.manifest.sampling
    try:
        content = base64.b64decode(png, validate=True)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
            if opened.size != (sampling.width, sampling.height):
                raise RegionError(
                    f"the mask has {opened.width}x{opened.height} pixels and the picture "
                    f"{sampling.width}x{sampling.height}"
                )
            mask = np.asarray(opened.convert("L"))
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, RegionError):
            raise
        raise RegionError("mask_png is no PNG picture in base64") from error
    return run.region(mask=mask)
