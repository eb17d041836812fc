"""Recordings with the sites of published models and made-up attention: as many heads and patches, of a few bytes each.

For benchmarks of whatever reads recordings, where weights cannot be had: the sites, grids and heads are those of Stable
Diffusion 1.5 at 512 pixels, of SDXL at 1024 and of Flux at 512; heads have `DIM` channels in place of 40 to 160. Every
word's attention gathers at a place of its own, which drifts and narrows over the steps, and each head leans otherwise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffuscope.recording import SCHEMA_VERSION, Call, Manifest, RunWriter, Site, Step

Model = Literal["sd15", "sdxl", "flux"]
Floats = NDArray[np.float32]

PROMPT = "a unicorn with a golden horn in a meadow at night"
LENGTH = 16
"""Text keys."""
DIM = 4


def make_sized_run(
    folder: str | Path, model: Model = "sd15", *, steps: int = 8, self_attention: bool = False, seed: int = 0
) -> Path:
    """Write a recording, and return its folder.

    Args:
        folder: of the run; it must not exist.
        model: whose sites it has: ``sd15`` 16 cross-attention sites with 128 heads, ``sdxl`` 70 with 1300, ``flux`` 57
            joint ones with 1368.
        steps: denoising steps.
        self_attention: add the self-attention sites of UNets, as many again, and keep them (level ``qk``).
        seed: of all random numbers.
    """
    folder = Path(folder)
    sites = list(_sites(model, self_attention))
    level = "qk" if self_attention or model == "flux" else "cross"
    side = 1024 if model == "sdxl" else 512
    text = _text()
    made = _Attention(seed)
    with RunWriter(folder, _manifest(folder.name, model, sites, text, side, steps, level)) as writer:
        writer.write_text(_text_tensors(sites, made))
        for index in range(steps):
            tensors, maps = _step(sites, made, index, steps)
            step = Step(
                index=index,
                timestep=float(999 - index * 1000 // steps),
                sigma=None,
                log_snr=-6 + 12 * index / steps,
                calls=[Call(index=index, timestep=float(index), rows=["uncond", "cond"], row=1)],
                files=[],
            )
            writer.write_step(step, tensors, maps)
            writer.write_preview(index, _picture(side // 4, 1 - index / steps))
        writer.finish(_picture(side, 0.0))
    return folder


class _Attention:
    """Queries and keys. A key is a direction; a query leans to the keys whose token gathers near its cell."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._near: dict[tuple[int, int, int, int], Floats] = {}

    def keys(self, site: Site, length: int) -> Floats:
        """``[head, key, dim]``."""
        rng = self._rng(site.name)
        keys = rng.normal(size=(site.heads, length, DIM)).astype(np.float32)
        return np.asarray(keys * (2 / np.linalg.norm(keys, axis=-1, keepdims=True)), np.float32)

    def queries(self, site: Site, keys: Floats, step: int, steps: int) -> Floats:
        """``[head, query, dim]``."""
        rng = np.random.default_rng([self.seed, step, sum(site.name.encode())])
        near = self._places((site.grid[0], site.grid[1]), step, steps)
        # Each head minds some tokens more than others.
        minds = self._rng(site.name, 1).gamma(0.6, 1.0, size=(site.heads, 1, LENGTH)).astype(np.float32)
        leaning = (minds * near.T) @ keys[:, :LENGTH]
        noise = rng.normal(scale=0.4, size=leaning.shape).astype(np.float32)
        return np.asarray((2 + 3 * step / steps) * leaning + noise, np.float32)

    def _places(self, grid: tuple[int, int], step: int, steps: int) -> Floats:
        """How near each cell is to where each token gathers, ``[token, cell]``."""
        found = self._near.get((*grid, step, steps))
        if found is None:
            part = step / max(steps - 1, 1)
            yy, xx = (np.mgrid[: grid[0], : grid[1]] + 0.5) / np.array(grid)[:, None, None]
            rows = []
            for token in range(LENGTH):
                y, x = np.random.default_rng([self.seed, token]).uniform(0.15, 0.85, 2)
                y, x = (0.5 + (place - 0.5) * (0.4 + 0.6 * part) for place in (y, x))
                rows.append(np.exp(-((yy - y) ** 2 + (xx - x) ** 2) / (0.06 - 0.045 * part)).ravel())
            found = np.stack(rows).astype(np.float32)
            self._near = {key: each for key, each in self._near.items() if key[2] == step}
            self._near[*grid, step, steps] = found
        return found

    def _rng(self, name: str, more: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, more, sum(name.encode())])


def _step(
    sites: Sequence[Site], made: _Attention, index: int, steps: int
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    latent = np.zeros((2, 4, 2, 2), np.float32)
    tensors: dict[str, NDArray[Any]] = {
        f"latent_in@{index}": latent,
        f"output@{index}": latent,
        "pred_x0": latent[0],
    }
    maps: dict[str, NDArray[Any]] = {}
    for site in sites:
        keys = made.keys(site, site.keys)
        queries = made.queries(site, keys, index, steps)
        if site.kind == "joint":
            text = made.keys(site, LENGTH)
            whole = np.concatenate([text, queries], axis=1)
            seen = np.concatenate([keys[:, :LENGTH], 0.1 * keys[:, LENGTH:]], axis=1)
            logits = queries @ seen.transpose(0, 2, 1) * site.scale
            lse = np.log(np.exp(logits).sum(axis=-1))
            tensors[f"q/{site.name}@{index}"] = whole.astype(np.float16)
            tensors[f"k/{site.name}@{index}"] = seen.astype(np.float16)
            own = np.concatenate([np.zeros((site.heads, LENGTH)), lse], axis=1)
            tensors[f"lse/{site.name}@{index}"] = own.astype(np.float32)
            maps[f"{site.name}@{index}"] = np.exp(logits[..., :LENGTH] - lse[..., None]).mean(axis=0).T
        else:
            tensors[f"q/{site.name}@{index}"] = queries.astype(np.float16)
            if site.kind == "self":
                tensors[f"k/{site.name}@{index}"] = keys.astype(np.float16)
            else:
                powers = np.exp(queries @ keys.transpose(0, 2, 1) * site.scale)
                maps[f"{site.name}@{index}"] = (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=0).T
    visible = len([token for token in _text()["tokens"] if token["kind"] != "padding"])
    return tensors, {
        name: np.ascontiguousarray(each[:visible], dtype=np.float32) for name, each in maps.items()
    }


def _text_tensors(sites: Sequence[Site], made: _Attention) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {"embedding@0": np.zeros((LENGTH, 8), np.float32)}
    for site in sites:
        if site.kind == "cross":
            found[f"k/{site.name}@0"] = made.keys(site, LENGTH).astype(np.float16)
            found[f"v/{site.name}@0"] = made.keys(site, LENGTH).astype(np.float16)
            found[f"gram/{site.name}@0"] = np.tile(np.eye(DIM, dtype=np.float32), (site.heads, 1, 1))
    return found


def _sites(model: Model, self_attention: bool) -> Iterator[Site]:
    """The attention sites in the order of the data."""
    if model == "flux":
        for index in range(57):
            kind = "transformer_blocks" if index < 19 else "single_transformer_blocks"
            number = index if index < 19 else index - 19
            yield _site(f"joint:{index}", f"{kind}.{number}.attn", 32, 24)
        return
    # Block, its attentions, transformer blocks in each, side of its grid, heads.
    blocks: tuple[tuple[str, int, int, int, int], ...]
    if model == "sd15":
        blocks = (
            ("down.0", 2, 1, 64, 8),
            ("down.1", 2, 1, 32, 8),
            ("down.2", 2, 1, 16, 8),
            ("mid", 1, 1, 8, 8),
            ("up.1", 3, 1, 16, 8),
            ("up.2", 3, 1, 32, 8),
            ("up.3", 3, 1, 64, 8),
        )
    else:
        blocks = (
            ("down.1", 2, 2, 64, 10),
            ("down.2", 2, 10, 32, 20),
            ("mid", 1, 10, 32, 20),
            ("up.0", 3, 10, 32, 20),
            ("up.1", 3, 2, 64, 10),
        )
    for block, attentions, inner, side, heads in blocks:
        for number in range(attentions):
            for layer in range(inner):
                here = block if block == "mid" else f"{block}.{number}"
                name = f"{here}.{layer}" if inner > 1 else here
                for kind in ("self", "cross") if self_attention else ("cross",):
                    yield _site(f"{kind}:{name}", f"{block}.attentions.{number}.{layer}.{kind}", side, heads)


def _site(name: str, module: str, side: int, heads: int) -> Site:
    kind, cells = name.partition(":")[0], side * side
    joint: dict[str, Any] = {}
    if kind == "joint":
        joint = {"text_keys": [0, LENGTH], "image_keys": [LENGTH, LENGTH + cells]}
    keys = {"cross": LENGTH, "self": cells, "joint": LENGTH + cells}[kind]
    return Site.model_validate(
        {
            "name": name,
            "module": module,
            "kind": kind,
            "grid": [side, side],
            "heads": heads,
            "head_dim": DIM,
            "scale": 1 / math.sqrt(DIM),
            "keys": keys,
            **joint,
        }
    )


def _text() -> dict[str, Any]:
    """The prompt: a token a word."""
    tokens, words, seen = [("<|startoftext|>", "start")], [], dict[str, int]()
    for match in re.finditer(r"\w+", PROMPT):
        text = match.group()
        seen[text] = seen.get(text, 0) + 1
        label = text if seen[text] == 1 else f"{text}#{seen[text]}"
        words.append(
            {
                "label": label,
                "text": text,
                "tokens": [len(tokens)],
                "start": match.start(),
                "end": match.end(),
            }
        )
        tokens.append((text, "content"))
    tokens += [("<|endoftext|>", "end")] + [("<|endoftext|>", "padding")] * (LENGTH - len(tokens) - 1)
    listed = [
        {"index": index, "id": index, "text": text, "kind": kind} for index, (text, kind) in enumerate(tokens)
    ]
    return {"tokens": listed, "words": words, "cut": None, "length": LENGTH}


def _manifest(
    name: str, model: Model, sites: Sequence[Site], text: dict[str, Any], side: int, steps: int, level: str
) -> Manifest:
    return Manifest.model_validate(
        {
            "schema_version": SCHEMA_VERSION,
            "id": name,
            "created": "2026-01-01T00:00:00Z",
            "complete": False,
            "stopped": None,
            "software": {"made": "by diffuscope.testing.sized_run"},
            "model": {
                "id": f"made up, of the size of {model}",
                "source": "synthetic",
                "family": {"sd15": "stable-diffusion", "sdxl": "stable-diffusion-xl", "flux": "flux"}[model],
                "pipeline": "none",
                "dtype": "float16",
            },
            "sampling": {
                "prompt": PROMPT,
                "seed": 0,
                "steps": steps,
                "guidance_scale": 7.5,
                "width": side,
                "height": side,
                "scheduler": {"name": "DDIMScheduler", "config": {}},
            },
            "text": text,
            "sites": [site.model_dump() for site in sites],
            "keep": {"level": level, "dtype": "float16", "sites": [site.name for site in sites]},
            "steps": [],
            "edits": [],
            "parent": None,
            "files": [],
        }
    )


def _picture(side: int, blur: float) -> Image.Image:
    image = Image.new("RGB", (side, side), (34, 40, 66))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, side * 0.62, side, side), fill=(52, 92, 60))
    draw.ellipse((side * 0.25, side * 0.4, side * 0.7, side * 0.72), fill=(226, 222, 214))
    draw.polygon(
        [(side * 0.66, side * 0.42), (side * 0.72, side * 0.42), (side * 0.74, side * 0.18)],
        fill=(224, 178, 60),
    )
    return Image.blend(image, Image.new("RGB", image.size, (120, 120, 120)), min(max(blur, 0.0), 1.0))
