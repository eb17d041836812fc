"""Stable Diffusion 1.x, and its variants without guidance: LCM and Turbo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, LatentConsistencyModelPipeline, LCMScheduler
from diffusers import UNet2DConditionModel as UNet
from ways import PROMPT, proved, size, tiny

import diffuscope as ds
from diffuscope.engine import Lens
from diffuscope.errors import CaptureError, InputError, PromptError, SizeError, UnsupportedModelError

pytestmark = pytest.mark.filterwarnings("ignore")


def test_sites_are_named_by_where_they_are() -> None:
    names = [site.name for site in Lens(tiny("sd15")).sites]
    assert names[:2] == ["self:down.0.0", "cross:down.0.0"]
    assert "cross:mid" in names and names[-1] == "cross:up.1.1" and len(set(names)) == 14


def test_lcm_draws_without_guidance(tmp_path: Path) -> None:
    """The scale goes into an embedding of the step; there is one row."""
    base = tiny("sd15")
    unet = UNet.from_config(base.unet.config, time_cond_proj_dim=8).eval().requires_grad_(False)
    parts = {**base.components, "unet": unet, "scheduler": LCMScheduler.from_config(base.scheduler.config)}
    pipe = LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    (run,) = proved(pipe, tmp_path, prompt=PROMPT, **{**size("sd15"), "num_inference_steps": 4})
    assert run.manifest.model.family == "stable-diffusion" and run.steps[0].calls[0].rows == ["cond"]
    with pytest.raises(InputError, match="takes no negative_prompt"):
        Lens(pipe).record(PROMPT, negative_prompt="a dog", out=tmp_path)


def test_turbo_draws_in_one_step_without_guidance(tmp_path: Path) -> None:
    pipe = tiny("sd15")
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(
        pipe.scheduler.config, timestep_spacing="trailing"
    )
    call = {**size("sd15"), "num_inference_steps": 1, "guidance_scale": 0.0}
    (run,) = proved(pipe, tmp_path, prompt=PROMPT, **call)
    assert len(run.steps) == 1 and run.steps[0].calls[0].rows == ["cond"]


# The pipeline's further arguments, and its own call.


def test_further_arguments_reach_the_pipeline_and_the_manifest(tmp_path: Path) -> None:
    lens = Lens(tiny("sd15"))
    plain = lens.record(PROMPT, steps=1, width=32, height=16, out=tmp_path)
    other = lens.record(PROMPT, steps=1, width=32, height=16, guidance_rescale=0.7, out=tmp_path)
    assert (
        other.manifest.sampling.options == {"guidance_rescale": 0.7} and plain.manifest.sampling.options == {}
    )
    assert np.array_equal(other.recording.output(0), plain.recording.output(0))
    assert not np.array_equal(np.asarray(other.image), np.asarray(plain.image))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clip_skp": 1}, "takes no argument 'clip_skp'; near names: clip_skip"),
        ({"num_inference_steps": 3}, "is called steps= here"),
        ({"output_type": "np"}, "diffuscope.capture"),
        ({"image": None}, "takes no argument 'image'"),
    ],
)
def test_an_argument_that_the_pipeline_has_not_is_refused(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        Lens(tiny("sd15")).record(PROMPT, out=tmp_path, **options)


def test_several_prompts_are_recorded_together(tmp_path: Path) -> None:
    runs = Lens(tiny("sd15")).record(
        ["a red cat", "a dog"], negative_prompt="a", seed=3, steps=1, width=32, height=16, out=tmp_path
    )
    assert [run.prompt for run in runs] == ["a red cat", "a dog"]
    assert [run.manifest.sampling.seed for run in runs] == [3, 4]


def test_calls_within_capture_are_recorded_and_return_what_they_return(tmp_path: Path) -> None:
    pipe = tiny("sd15")
    kind = type(pipe)
    call: dict[str, Any] = {"num_inference_steps": 1, "height": 16, "width": 32}

    def seeded() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    with ds.capture(pipe, out=tmp_path, keep="maps") as session:
        assert isinstance(pipe, kind) and type(pipe).__name__ == kind.__name__
        array = pipe("a cat", output_type="np", generator=seeded(), **call).images
        latent = pipe("a cat", output_type="latent", generator=seeded(), **call).images
        (pictures, _) = pipe("a red dog", return_dict=False, **call)
    assert type(pipe) is kind
    assert array.shape == (1, 16, 32, 3) and latent.shape == (1, 4, 8, 16)
    assert len(session.runs) == 3 and session.run.prompt == "a red dog"
    assert np.array_equal(np.asarray(session.run.image), np.asarray(pictures[0]))
    first, second, third = session.runs
    assert np.array_equal(np.asarray(first.image), np.asarray(second.image))
    # A seed is written down only where it is all that the noise depends on.
    assert (first.manifest.sampling.seed, third.manifest.sampling.seed) == (3, None)
    pipe("a cat", **call)
    assert len(session.runs) == 3


def test_a_generator_that_was_used_before_has_no_seed(tmp_path: Path) -> None:
    pipe, generator = tiny("sd15"), torch.Generator().manual_seed(3)
    with ds.capture(pipe, out=tmp_path, keep="maps", previews=False) as session:
        for _ in range(2):
            pipe("a cat", num_inference_steps=1, height=16, width=32, generator=generator)
    assert [run.manifest.sampling.seed for run in session.runs] == [3, None]


def test_capture_puts_the_pipeline_back_after_an_error(tmp_path: Path) -> None:
    pipe = tiny("sd15")
    kind, other = type(pipe), tiny("sd15")
    with pytest.raises(ValueError, match="divisible"), ds.capture(pipe, out=tmp_path) as session:
        other("a cat", num_inference_steps=1, height=16, width=16)
        pipe("a cat", height=17, width=16)
    assert type(pipe) is kind and session.runs == [] and list(tmp_path.iterdir()) == []
    with pytest.raises(PromptError), ds.capture(pipe, out=tmp_path):
        pipe(num_inference_steps=1)
    with pytest.raises(CaptureError, match="no call"):
        _ = session.run


# Bad input.


def test_maps_of_a_negative_prompt_need_one_and_guidance(tmp_path: Path) -> None:
    lens = Lens(tiny("sd15"))
    small: dict[str, Any] = {"steps": 2, "width": 32, "height": 16, "branch": "uncond", "out": tmp_path}
    with pytest.raises(InputError, match="negative prompt"):
        lens.record(PROMPT, **small)
    with pytest.raises(CaptureError, match="without guidance"):
        lens.record(PROMPT, negative_prompt="a dog", guidance_scale=1.0, **small)
    with pytest.raises(InputError, match="branch='both'"):
        lens.record(PROMPT, **{**small, "branch": "both"})


def test_a_size_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SizeError, match="width 33 is not a multiple of 8; 32 would be"):
        Lens(tiny("sd15")).record(PROMPT, width=33, out=tmp_path)


@pytest.mark.parametrize(("level", "remedy"), [("qk", "keep='cross'"), ("maps", "smaller picture")])
def test_out_of_memory_keeps_what_was_recorded_and_names_the_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: Any, remedy: str
) -> None:
    pipe = tiny("sd15")
    forward, calls = pipe.unet.forward, []

    def full(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(*args, **kwargs)

    monkeypatch.setitem(vars(pipe.unet), "forward", full)
    with pytest.raises(CaptureError, match=remedy):
        Lens(pipe).record(PROMPT, steps=4, width=32, height=16, keep=level, out=tmp_path)
    run = ds.open(next(tmp_path.iterdir()))
    assert len(run.steps) == 2 and "memory ran out" in (run.manifest.stopped or "")
    assert run.word("cat").map().array.shape == (8, 16)


def test_linear_attention_is_refused_with_the_reason() -> None:
    """A pipeline of Sana's form: its attention has no softmax."""
    from diffusers.models.attention_processor import SanaLinearAttnProcessor2_0

    pipe = tiny("pixart")
    pipe.transformer.transformer_blocks[0].attn1.set_processor(SanaLinearAttnProcessor2_0())
    with pytest.raises(UnsupportedModelError, match=r"linear attention.*no softmax"):
        Lens(pipe)


def test_a_pipeline_of_no_known_family_is_taken_with_a_warning(tmp_path: Path) -> None:
    """It has the form of one, and another name."""
    from diffusers import StableDiffusionPipeline

    class PaintingPipeline(StableDiffusionPipeline):
        pass

    pipe = PaintingPipeline(**tiny("sd15").components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    lens = Lens(pipe)
    run = lens.record(PROMPT, steps=1, width=32, height=16, out=tmp_path)
    assert run.manifest.model.family == "generic" and "of no family" in lens.warnings[0]
    assert [site.name for site in run.sites] == [site.name for site in Lens(tiny("sd15")).sites]


def test_a_transformer_of_no_known_family_is_taken_by_its_form(tmp_path: Path) -> None:
    from diffusers import PixArtAlphaPipeline

    class PaintingPipeline(PixArtAlphaPipeline):
        # `generic` finds the embeddings among masks by their form.
        pass

    pipe = PaintingPipeline(**tiny("pixart").components)
    pipe.set_progress_bar_config(disable=True)
    (run,) = proved(pipe, tmp_path, prompt=PROMPT, **size("pixart"))
    assert run.manifest.model.family == "generic"
    assert [site.name for site in run.sites][:2] == [
        "self:transformer_blocks.0",
        "cross:transformer_blocks.0",
    ]


def test_what_is_no_denoiser_of_pictures_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="of no family"):
        Lens(torch.nn.Linear(2, 2))
