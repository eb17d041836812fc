"""Ways of running a pipeline, each with its proof on every family that it is tried on.

A way is proved on a family by drawing twice with the same arguments, plainly and within `capture`: the picture must
be the same, bit for bit, and the recorded attention that of an explicit softmax (`diffuscope.testing.oracle`), at
every site, call and picture. Or it is refused, which is proved by the error. `docs/models.md` is made from what is
proved.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import diffuscope as ds
from diffuscope.engine import Lens
from diffuscope.errors import DiffuscopeError
from diffuscope.maps.attention import probabilities
from diffuscope.run import Run
from diffuscope.testing import random_pipeline
from diffuscope.testing.oracle import noting

PROMPT = "a red cat"

FAMILIES = ("sd15", "sd21", "sdxl", "pixart", "sd3", "sd35", "flux")
UNETS = ("sd15", "sd21", "sdxl")
JOINT = ("sd3", "sd35", "flux")

Row = Callable[[int, int, int], int | None]
"""`row(rows, call, picture)`: the conditional row of a picture in a call of so many rows, None where there is none."""


def size(family: str, height: int = 16, width: int = 32) -> dict[str, Any]:
    """Arguments for a small picture."""
    given: dict[str, Any] = {"height": height, "width": width, "num_inference_steps": 2}
    if family not in UNETS:
        given["max_sequence_length"] = 24
    if family == "pixart":
        given |= {"use_resolution_binning": False, "clean_caption": False}
    return given


def picture(height: int = 16, width: int = 32, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """A picture of noise."""
    channels = {"RGB": 3, "L": 1}[mode]
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, channels), np.uint8)
    return Image.fromarray(noise.squeeze())


def proved(
    pipe: Any, folder: Path, *, pictures: int = 1, row: Row | None = None, branch: Any = "cond", **call: Any
) -> list[Run]:
    """Draw twice and compare. `pictures`: how many the call draws; `branch`: whose attention is kept."""

    def generators() -> Any:
        made = [torch.Generator().manual_seed(5 + index) for index in range(pictures)]
        return made if pictures > 1 else made[0]

    denoiser = Lens(pipe).family.denoiser(pipe)
    with noting(denoiser) as noted:
        plain = pipe(**call, generator=generators()).images
    with ds.capture(pipe, out=folder, keep="qk", previews=False, branch=branch) as session:
        recorded = pipe(**call, generator=generators()).images
    assert len(session.runs) == pictures
    for one, other, run in zip(plain, recorded, session.runs, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other)), "another picture"
        assert run.complete and np.array_equal(np.asarray(run.image), np.asarray(one))
    compared = 0
    for number, run in enumerate(session.runs):
        for step in run.steps:
            for entry in step.calls:
                rows = len(noted.outputs[entry.index])
                at = (row or second_half(pictures))(rows, entry.index, number)
                assert entry.row == (-1 if at is None else at // pictures)
                for site in run.sites if at is not None else ():
                    table = noted.calls[entry.index][site.module]
                    # Where some rows attend apart from the others (perturbed guidance) they come last.
                    compare(run, site, step.index, entry.index, table[at])
                    compared += 1
    assert compared >= len(session.runs[0].sites)
    return session.runs


def compare(run: Run, site: Any, step: int, call: int, expected: np.ndarray) -> None:
    """Recorded attention of one site and call against the explicit one `[head, query, key]`."""
    recording = run.recording
    query, keys = recording.query(site.name, step, call), recording.keys(site.name, step, call)
    found = probabilities(query, keys, site.scale, recording.mask(site.name, step, call))
    if site.kind == "joint":
        image, text = slice(*site.image_keys), slice(*site.text_keys)
        expected = np.concatenate([expected[:, image, text], expected[:, image, image]], axis=2)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-4, err_msg=site.name)


def second_half(pictures: int) -> Row:
    """Guidance in one batch: the conditional rows come second."""
    return lambda rows, call, number: number + (rows - pictures if rows == 2 * pictures else 0)


def refused(error: type[DiffuscopeError], match: str, run: Callable[[], Any]) -> str:
    """Proof of a refusal: the error and what it says."""
    with pytest.raises(error, match=match):
        run()
    return "refused"


def tiny(family: str, **options: Any) -> Any:
    """A fresh tiny pipeline."""
    return random_pipeline(family, **options)
