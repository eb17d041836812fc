"""Edits under what pipelines do besides: steps of several calls, image prompts, half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from ways_tried import image_prompted

from diffuscope.edits import Custom, Edit, Encode, Patch, Reweight, Scale, Silence, Steer, control
from diffuscope.engine.apply import applied, gathered, needs
from diffuscope.engine.lens import Lens
from diffuscope.testing import random_pipeline

PROMPT = "a red cat"


def drawn(pipe: Any, *edits: Edit, steps: int = 3, donors: Any = None, **call: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    with applied(pipe, Lens(pipe).family, edits, prompts=PROMPT, steps=steps, donors=donors):
        made: torch.Tensor = pipe(
            PROMPT,
            num_inference_steps=steps,
            height=16,
            width=32,
            generator=generator,
            output_type="latent",
            **call,
        ).images
    return made


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("HeunDiscreteScheduler", [0, 0, 1, 1, 2, 2, 3]),
        ("PNDMScheduler", [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3]),
    ],
)
def test_a_step_of_several_calls_is_edited_in_each_of_them(name: str, calls: list[int]) -> None:
    pipe = random_pipeline("sd15")
    pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config)
    steps: list[int] = []

    def fn(q: Any, k: Any, v: Any, out: torch.Tensor, context: Any) -> torch.Tensor:
        steps.append(context.step)
        return out

    plain = drawn(pipe, steps=4)
    assert torch.equal(drawn(pipe, Custom(fn, sites="cross:mid"), steps=4), plain)
    assert steps == calls
    # A run that is its own donor is itself, which it would not be if calls of a step were mixed up.
    edits = [Patch("itself")]
    wanted = needs(pipe, Lens(pipe).family, edits, 4)["itself"]
    donor = gathered(pipe, Lens(pipe).family, lambda: drawn(pipe, steps=4), wanted, name="itself")
    assert torch.equal(drawn(pipe, *edits, steps=4, donors={"itself": donor}), plain)


def test_image_prompts_are_scaled_with_their_heads_and_otherwise_left_alone(tmp_path: Path) -> None:
    pipe, call = image_prompted("sd15", tmp_path)
    plain = drawn(pipe, **call)
    # The text's own keys in place of the text's keys.
    assert torch.equal(drawn(pipe, Encode(PROMPT), **call), plain)
    found = drawn(pipe, Scale(0, sites="cross:mid"), **call)
    projection = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_out[0]

    def silent(_module: Any, given: Any) -> Any:
        hidden = given[0].clone()
        hidden[1] = 0
        return (hidden,)

    handle = projection.register_forward_pre_hook(silent)
    try:
        expected = drawn(pipe, **call)
    finally:
        handle.remove()
    assert torch.equal(found, expected) and not torch.equal(found, plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    pipe = random_pipeline("sd15", dtype=dtype)
    edits = [
        Scale(0.5, patches="box:0,0,7,7"),
        Reweight("cat", 2, of="odds"),
        Encode("a dog", 0.5, heads=0),
        Steer("dog", word="cat"),
        Steer("dog", space="guidance", quantile=0.5),
        control(Silence("cat")),
    ]
    made = drawn(pipe, *edits)
    assert made.dtype == dtype and made.isfinite().all() and not torch.equal(made, drawn(pipe))
