"""The smallest recording that has everything a run folder can hold, for tests of the folder itself.

One cross and one self site on a 2x3 grid, two heads, four text tokens. Values are drawn from the step and call, so no
two tensors are alike and a mix-up shows. (`synthetic_run` makes recordings whose attention means something.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.recording import Call, Manifest, RunWriter, Step

CROSS, SELF = "cross:mid", "self:mid"
HEADS, QUERIES, DIM, KEYS, TOKENS = 2, 6, 3, 4, 3


def manifest(run: str = "tiny", *, level: str = "qk", asked: int = 4, **changes: Any) -> Manifest:
    """What is known before the first step. `changes` replace top-level fields."""
    site = {"grid": [2, 3], "heads": HEADS, "head_dim": DIM, "scale": DIM**-0.5}
    words = [{"label": "red", "text": "red", "tokens": [1], "start": 0, "end": 3}]
    kinds = ["start", "content", "end", "padding"]
    plain: dict[str, Any] = {
        "id": run,
        "created": "2026-01-01T00:00:00+00:00",
        "software": {"diffuscope": "0.1.0"},
        "model": {
            "id": "tiny",
            "source": "test",
            "family": "stable-diffusion",
            "pipeline": "StableDiffusionPipeline",
            "dtype": "float32",
        },
        "sampling": {
            "prompt": "réd <b>",
            "seed": 7,
            "steps": asked,
            "guidance_scale": 5.0,
            "width": 24,
            "height": 16,
            "scheduler": {"name": "DPM", "config": {"lambda_min_clipped": float("-inf")}},
        },
        "text": {
            "tokens": [{"index": at, "id": at, "text": kind, "kind": kind} for at, kind in enumerate(kinds)],
            "words": words,
            "length": KEYS,
        },
        "sites": [
            {"name": CROSS, "module": "mid.attn2", "kind": "cross", "keys": KEYS, **site},
            {"name": SELF, "module": "mid.attn1", "kind": "self", "keys": QUERIES, **site},
        ],
        "keep": {"level": level, "dtype": "float32", "sites": [CROSS, SELF]},
    }
    return Manifest.model_validate(plain | changes)


def step(index: int, *, calls: int = 1) -> Step:
    """A step of so many calls, each of two rows."""
    first = index * calls
    return Step(
        index=index,
        timestep=999.0 - index,
        log_snr=float(index),
        calls=[
            Call(index=first + at, timestep=999.0 - index, rows=["uncond", "cond"], row=1)
            for at in range(calls)
        ],
    )


def values(what: str, call: int, *shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    """The values of a tensor: drawn from its name and call."""
    return np.random.default_rng([*what.encode(), call]).normal(size=shape).astype(dtype)


def tensors(of: Step, *, level: str = "qk", dtype: Any = np.float32) -> dict[str, NDArray[Any]]:
    """What `RunWriter.write_step` is given for a step."""
    made = {"pred_x0": values("pred_x0", of.index, 4, 2, 3)}
    for call in of.calls:
        at = call.index
        made[f"latent_in@{at}"] = values("latent_in", at, 2, 4, 2, 3)
        made[f"output@{at}"] = values("output", at, 2, 4, 2, 3)
        if level != "maps":
            made[f"q/{CROSS}@{at}"] = values(f"q/{CROSS}", at, HEADS, QUERIES, DIM, dtype=dtype)
        if level == "qk":
            made[f"q/{SELF}@{at}"] = values(f"q/{SELF}", at, HEADS, QUERIES, DIM, dtype=dtype)
            made[f"k/{SELF}@{at}"] = values(f"k/{SELF}", at, HEADS, QUERIES, DIM, dtype=dtype)
    return made


def maps(of: Step) -> dict[str, NDArray[Any]]:
    """Word maps of a step."""
    return {f"{CROSS}@{call.index}": abs(values("map", call.index, TOKENS, QUERIES)) for call in of.calls}


def text(call: int = 0, *, dtype: Any = np.float32) -> dict[str, NDArray[Any]]:
    """Text tensors that hold from a call on."""
    made = {f"{kind}/{CROSS}@{call}": values(kind, call, HEADS, KEYS, DIM, dtype=dtype) for kind in "kv"}
    return made | {f"embedding@{call}": values("embedding", call, KEYS, 8)}


def picture(shade: int = 0) -> Image.Image:
    """A picture of 24x16 pixels."""
    return Image.new("RGB", (24, 16), (200, shade, 40))


def write_run(
    folder: Path,
    *,
    steps: int = 4,
    calls: int = 1,
    level: str = "qk",
    dtype: Any = np.float32,
    stop: str | None = None,
    previews: bool = True,
) -> Path:
    """Write a whole run, or with `stop` one that was stopped for that reason after its last step."""
    with RunWriter(folder, manifest(folder.name, level=level, asked=steps)) as writer:
        if level != "maps":
            writer.write_text(text(dtype=dtype))
        for index in range(steps):
            each = step(index, calls=calls)
            writer.write_step(each, tensors(each, level=level, dtype=dtype), maps(each))
        if previews:
            for index in range(steps):
                writer.write_preview(index, picture(index))
        if stop is None:
            writer.finish(picture(255))
        else:
            writer.abort(stop)
    return folder
