"""A small recording made without any model: peaked attention whose exact maps are known.

`make_run(folder)` writes it through the public writer, as the engine would. What makes it useful for tests:
two grids and 3 and 8 heads, so that a wrong head or a shifted grid shows; attention peaked at known cells,
different for each word, head and step; a repeated word, a word of two tokens, punctuation that belongs to no
word, padding. The tensors come back from `tensors`, so that a test can compute what it expects from them by
itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from diffuscope.recording import SCHEMA_VERSION, Call, Manifest, RunWriter, Site, Step, Token, Word

PROMPT = "a red circle left of a blue zeppelin, and a circle"
TWO_TOKENS = {"zeppelin": ("zep", "pelin")}
"""Words that the pretended tokenizer splits."""

LENGTH = 20
"""Keys of every cross site: start, the prompt's tokens, end, padding."""


@dataclass(frozen=True)
class Layout:
    """A site as its numbers: name, ``(height, width)``, heads, head size."""

    name: str
    grid: tuple[int, int]
    heads: int
    dim: int
    kind: str = "cross"

    def site(self, length: int) -> Site:
        cells = self.grid[0] * self.grid[1]
        return Site(
            name=self.name,
            module=f"unet.{self.name.replace(':', '.')}",
            kind=self.kind,
            grid=list(self.grid),
            heads=self.heads,
            head_dim=self.dim,
            scale=self.dim**-0.5,
            keys=length if self.kind == "cross" else cells,
        )


def layouts(*, tall: bool = False, self_sites: bool = False) -> list[Layout]:
    """The sites: 16x16 with 3 heads twice, 8x8 with 8 heads. `tall` makes the grids 24x16 and 12x8."""
    fine, coarse = ((24, 16), (12, 8)) if tall else ((16, 16), (8, 8))
    sites = [
        Layout("cross:down.0.0", fine, 3, 16),
        Layout("cross:mid", coarse, 8, 8),
        Layout("cross:up.0.0", fine, 3, 16),
    ]
    if self_sites:
        sites.append(Layout("self:mid", coarse, 8, 8, kind="self"))
    return sites


def text_info(prompt: str = PROMPT, length: int = LENGTH) -> dict[str, Any]:
    """Tokens and words of a prompt: words are tokens, those of `TWO_TOKENS` two, a comma is a token of no
    word.
    """
    tokens = [("<|startoftext|>", "start")]
    words: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    for match in re.finditer(r"\w+|[^\w\s]", prompt):
        text = match.group()
        pieces = TWO_TOKENS.get(text.lower(), (text.lower(),))
        at = list(range(len(tokens), len(tokens) + len(pieces)))
        tokens += [(piece, "content") for piece in pieces]
        if re.match(r"\w", text):
            seen[text.lower()] = number = seen.get(text.lower(), 0) + 1
            label = text.lower() if number == 1 else f"{text.lower()}#{number}"
            words.append(
                {"label": label, "text": text, "tokens": at, "start": match.start(), "end": match.end()}
            )
    tokens.append(("<|endoftext|>", "end"))
    tokens += [("<|endoftext|>", "padding")] * (length - len(tokens))
    assert len(tokens) == length, "the prompt does not fit"
    return {
        "tokens": [
            Token(index=index, id=1000 + index, text=text, kind=kind)
            for index, (text, kind) in enumerate(tokens)
        ],
        "words": [Word(**word) for word in words],
        "cut": None,
        "length": length,
    }


def peak_of(token: int, step: int, steps: int, size: tuple[int, int]) -> tuple[float, float]:
    """``(y, x)`` of the cell that a token's attention gathers at: wide apart early, drifting a little over
    the steps.
    """
    rng = np.random.default_rng(token)
    y, x = rng.uniform(0.15, 0.85, size=2)
    drift = 0.15 * (1 - step / max(steps - 1, 1))
    return (y * (1 - drift) + drift * 0.5) * size[0] - 0.5, (x * (1 - drift) + drift * 0.5) * size[1] - 0.5


def site_tensors(layout: Layout, steps: int, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries ``[step, head, query, dim]`` and keys ``[head, key, dim]`` of a site, in float64.

    Each key is a direction; a query leans toward the keys whose token gathers near its cell, so that most
    attention goes to one or two tokens. The start token draws some everywhere.
    """
    rng = np.random.default_rng([seed, sum(layout.name.encode())])
    height, width = layout.grid
    keys = rng.normal(size=(layout.heads, length, layout.dim))
    keys *= 4.0 / np.linalg.norm(keys, axis=-1, keepdims=True)
    yy, xx = np.mgrid[:height, :width]
    queries = np.empty((steps, layout.heads, height * width, layout.dim))
    for step in range(steps):
        near = np.zeros((length, height * width))
        for token in range(1, length):
            y, x = peak_of(token, step, steps, layout.grid)
            distance = ((yy - y) / height) ** 2 + ((xx - x) / width) ** 2
            near[token] = np.exp(-distance / 0.02).ravel()
        near[0] = 0.35
        for head in range(layout.heads):
            gain = 14.0 + 1.5 * head + 3.0 * step / steps
            noise = 0.3 * rng.normal(size=(height * width, layout.dim))
            queries[step, head] = gain * near.T @ keys[head] / 4.0 + noise
    return queries, keys


def softmax(q: np.ndarray, k: np.ndarray, scale: float) -> np.ndarray:
    """Independent float64 softmax ``[head, query, key]``, written another way than the package's."""
    logits = np.einsum("hqd,hkd->hqk", q.astype(np.float64), k.astype(np.float64)) * scale
    return np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))


@dataclass(frozen=True)
class Tensors:
    """What was written: the sites, and by site the queries ``[step, call, head, query, dim]`` and keys, as
    stored.
    """

    sites: list[Layout]
    q: dict[str, np.ndarray]
    k: dict[str, np.ndarray]

    def probabilities(self, site: str, step: int, call: int = -1) -> np.ndarray:
        """Expected ``[head, query, key]`` in float64."""
        layout = next(each for each in self.sites if each.name == site)
        return softmax(self.q[site][step, call], self.k[site], layout.dim**-0.5)


def tensors(
    *,
    steps: int = 5,
    tall: bool = False,
    self_sites: bool = False,
    dtype: Any = np.float32,
    calls: int = 1,
    length: int = LENGTH,
    seed: int = 0,
    sites: Sequence[Layout] | None = None,
) -> Tensors:
    """The tensors that `make_run` writes for the same options."""
    chosen = list(sites) if sites is not None else layouts(tall=tall, self_sites=self_sites)
    q, k = {}, {}
    for layout in chosen:
        keys = length if layout.kind == "cross" else layout.grid[0] * layout.grid[1]
        per_call = [site_tensors(layout, steps, keys, seed + 100 * call) for call in range(calls)]
        q[layout.name] = np.stack([queries for queries, _ in per_call], axis=1).astype(dtype)
        k[layout.name] = per_call[-1][1].astype(dtype)
    return Tensors(chosen, q, k)


def make_run(
    folder: Path,
    *,
    prompt: str = PROMPT,
    steps: int = 5,
    stop_after: int | None = None,
    level: str = "cross",
    tall: bool = False,
    self_sites: bool = False,
    dtype: Any = np.float32,
    calls: int = 1,
    length: int = LENGTH,
    seed: int = 0,
    sites: Sequence[Layout] | None = None,
    keep_sites: Sequence[str] | None = None,
    maps: bool = True,
    previews: bool = True,
) -> Path:
    """Write a run into `folder` (which must not exist) and return it.

    Args:
        prompt: any words; see `text_info`.
        steps: scheduler steps of the run.
        stop_after: interrupt after so many whole steps: the run is incomplete and has no picture.
        level: ``maps``, ``cross`` or ``qk``.
        tall: a picture of 192x128 with grids to match, instead of 128x128.
        self_sites: add a self-attention site (its tensors are kept at level ``qk``).
        dtype: what queries and keys are stored as.
        calls: calls of the denoiser in each step; all are kept.
        length: key length of the text.
        seed: another seed, other attention.
        sites: other sites than `layouts` gives.
        keep_sites: names of the sites that are kept; all when None.
        maps: write word maps; without them only the slow path is there.
        previews: write a preview of each step.
    """
    made = tensors(
        steps=steps,
        tall=tall,
        self_sites=self_sites,
        dtype=dtype,
        calls=calls,
        length=length,
        seed=seed,
        sites=sites,
    )
    size = (192, 128) if tall else (128, 128)
    kept = [layout.name for layout in made.sites] if keep_sites is None else list(keep_sites)
    text = text_info(prompt, length)
    visible = sum(token.kind != "padding" for token in text["tokens"])
    manifest = _manifest(
        folder.name, made.sites, text, size, steps, level, np.dtype(dtype).name, kept, prompt
    )
    with RunWriter(folder, manifest) as writer:
        if level != "maps":
            writer.write_text(
                {f"k/{name}@0": made.k[name] for name in kept if name.startswith("cross:")}
                | {f"v/{name}@0": made.k[name] for name in kept if name.startswith("cross:")}
                | {"embedding@0": np.zeros((length, 8), np.float32)}
            )
        for index in range(steps if stop_after is None else stop_after):
            first = index * calls
            writer.write_step(
                Step(
                    index=index,
                    timestep=float(1000 - index * 1000 // steps - 1),
                    sigma=None,
                    log_snr=float(-6 + 12 * index / steps),
                    calls=[
                        Call(index=first + call, timestep=float(index), rows=["uncond", "cond"], row=1)
                        for call in range(calls)
                    ],
                    files=[],
                ),
                _step_tensors(made, index, first, calls, level, kept),
                _step_maps(made, index, first, calls, kept, visible) if maps else {},
            )
            if previews:
                writer.write_preview(index, picture(size, blur=1 - index / steps))
        if stop_after is None:
            writer.finish(picture(size))
        else:
            writer.abort("stopped by a test")
    return folder


def picture(size: tuple[int, int], blur: float = 0.0) -> Image.Image:
    """A drawn scene of ``(height, width)``: a red circle and a blue ellipse; greyer the more `blur` there
    is.
    """
    height, width = size
    image = Image.new("RGB", (width, height), (236, 232, 220))
    draw = ImageDraw.Draw(image)
    draw.ellipse((width * 0.12, height * 0.35, width * 0.42, height * 0.35 + width * 0.3), fill=(214, 36, 40))
    draw.ellipse((width * 0.55, height * 0.4, width * 0.95, height * 0.4 + width * 0.2), fill=(36, 76, 220))
    return Image.blend(image, Image.new("RGB", image.size, (128, 128, 128)), min(max(blur, 0.0), 1.0))


def _step_tensors(
    made: Tensors, index: int, first: int, calls: int, level: str, kept: Sequence[str]
) -> dict[str, np.ndarray]:
    out: dict[str, np.ndarray] = {}
    for call in range(calls):
        out[f"latent_in@{first + call}"] = np.zeros((2, 4, 2, 2), np.float32)
        out[f"output@{first + call}"] = np.zeros((2, 4, 2, 2), np.float32)
        for layout in made.sites:
            wanted = level == "qk" or (level == "cross" and layout.kind == "cross")
            if layout.name not in kept or not wanted:
                continue
            out[f"q/{layout.name}@{first + call}"] = made.q[layout.name][index, call]
            if layout.kind == "self":
                out[f"k/{layout.name}@{first + call}"] = made.k[layout.name]
    out["pred_x0"] = np.zeros((4, 2, 2), np.float32)
    return out


def _step_maps(
    made: Tensors, index: int, first: int, calls: int, kept: Sequence[str], visible: int
) -> dict[str, np.ndarray]:
    return {
        f"{layout.name}@{first + call}": np.ascontiguousarray(
            made.probabilities(layout.name, index, call).mean(axis=0).T[:visible], dtype=np.float32
        )
        for layout in made.sites
        for call in range(calls)
        if layout.kind == "cross" and layout.name in kept
    }


def _manifest(
    name: str,
    sites: Sequence[Layout],
    text: dict[str, Any],
    size: tuple[int, int],
    steps: int,
    level: str,
    dtype: str,
    kept: Sequence[str],
    prompt: str,
) -> Manifest:
    return Manifest.model_validate(
        {
            "schema_version": SCHEMA_VERSION,
            "id": name,
            "created": "2026-01-01T00:00:00Z",
            "complete": False,
            "stopped": None,
            "software": {"diffuscope": "0.1.0", "python": "3.11"},
            "model": {
                "id": "synthetic",
                "source": "synthetic",
                "family": "stable-diffusion",
                "pipeline": "StableDiffusionPipeline",
                "revision": None,
                "dtype": "float32",
                "files": [],
            },
            "sampling": {
                "prompt": prompt,
                "negative_prompt": None,
                "seed": 7,
                "steps": steps,
                "guidance_scale": 7.5,
                "width": size[1],
                "height": size[0],
                "image_index": 0,
                "images_per_prompt": 1,
                "scheduler": {"name": "DDIMScheduler", "config": {}},
            },
            "text": {
                **text,
                "tokens": [token.model_dump() for token in text["tokens"]],
                "words": [word.model_dump() for word in text["words"]],
            },
            "sites": [layout.site(text["length"]).model_dump() for layout in sites],
            "keep": {"level": level, "dtype": dtype, "sites": list(kept)},
            "steps": [],
            "edits": [],
            "parent": None,
            "files": [],
        }
    )
