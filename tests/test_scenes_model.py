"""The shipped model: complete, ordinary, exact under the lens, and drawing what it is told."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explicit_attention import explicit, watched_projections

from diffuscope.engine import Lens
from diffuscope.engine.models.loading import shipped_folder
from diffuscope.maps.attention import probabilities
from diffuscope.scenes import read, score, standard_prompts

PROMPT = "a red circle left of a blue square in the snow"


@pytest.fixture(scope="module")
def lens() -> Lens:
    return Lens.load("scenes")


def test_it_is_whole_and_small_enough_to_ship() -> None:
    folder = shipped_folder()
    listed = dict(reversed(line.split("  ", 1)) for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(listed) == set(files) - {"SHA256SUMS"}
    assert all(
        hashlib.sha256(files[name].read_bytes()).hexdigest() == digest for name, digest in listed.items()
    )
    assert sum(path.stat().st_size for path in files.values()) <= 32 * 1024 * 1024


def test_diffusers_opens_it_unchanged() -> None:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(shipped_folder())
    pipe.set_progress_bar_config(disable=True)
    image = pipe(PROMPT, num_inference_steps=4, generator=torch.Generator("cpu").manual_seed(0)).images[0]
    assert image.size == (128, 128)


def test_every_grid_has_cross_attention_and_eight_heads_but_the_widest(lens: Lens, tmp_path: Path) -> None:
    run = lens.record(PROMPT, steps=1, keep="maps", out=tmp_path, previews=False)
    heads = {(site.grid[0], site.heads) for site in run.sites if site.kind == "cross"}
    assert heads == {(16, 4), (8, 8), (4, 8)}


def test_recording_is_exact_at_every_call_site_and_head(lens: Lens, tmp_path: Path) -> None:
    """The promise of the first page: the same picture to the bit, and maps that equal an explicit softmax."""
    options: dict[str, Any] = {"num_inference_steps": 6, "guidance_scale": 4.0}
    plain = lens.pipe(PROMPT, generator=torch.Generator("cpu").manual_seed(7), **options).images[0]
    with watched_projections(lens.pipe.unet) as seen:
        run = lens.record(
            PROMPT, seed=7, steps=6, guidance_scale=4.0, keep="qk", out=tmp_path, previews=False
        )
    assert np.array_equal(np.asarray(run.image), np.asarray(plain))
    compared = 0
    for step in run.steps:
        for call in step.calls:
            for site in run.sites:
                inputs = seen[site.module][call.index]
                expected = explicit(inputs["q"][1], inputs["k"][1], site.heads)
                found = probabilities(
                    run.recording.query(site.name, step.index, call.index),
                    run.recording.keys(site.name, step.index, call.index),
                    site.scale,
                )
                np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-4, err_msg=site.name)
                compared += site.heads
    assert compared == 6 * 2 * sum(site.heads for site in run.sites if site.kind == "cross")


def test_it_draws_what_it_is_told(lens: Lens) -> None:
    """Smoke: the pictures fit their own prompts, and clearly better than each other's. The rates that the model
    reaches, over many more prompts, are measured by `diffuscope evaluate`."""
    prompts = [prompt for prompt in standard_prompts(60, count=1) if prompt.description.place][:12]
    generators = [torch.Generator("cpu").manual_seed(i) for i in range(12)]
    texts = [prompt.text for prompt in prompts]
    made = lens.pipe(texts, num_inference_steps=12, guidance_scale=4.0, generator=generators).images
    readings = [read(image) for image in made]
    fits = np.array([[score(seen, p.description).place for p in prompts] for seen in readings], float)
    assert np.diag(fits).mean() >= 0.8
    assert np.diag(fits).mean() > fits.mean() + 0.3


def test_unknown_words_are_said_with_near_ones(lens: Lens, tmp_path: Path) -> None:
    lens.record("a red circel", steps=1, keep="maps", out=tmp_path, previews=False)
    assert lens.warnings == ["the scenes model does not know the word 'circel'; near words: circle"]
