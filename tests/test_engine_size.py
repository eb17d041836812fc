"""The size of a recording, worked out from shapes that were seen once: the same as a fresh look each time."""

import diffusers
import pytest

import diffuscope as ds
from diffuscope.engine.estimate import NotSeenError, Shapes
from diffuscope.testing.random_pipeline import random_pipeline

PROMPT = "a red circle left of a blue square"


@pytest.fixture(scope="module")
def pipe():
    return random_pipeline("sd15")


@pytest.mark.parametrize(
    ("scheduler", "options"),
    [
        ("DDIMScheduler", {}),
        ("PNDMScheduler", {"skip_prk_steps": True}),
        ("PNDMScheduler", {"skip_prk_steps": False}),
        ("HeunDiscreteScheduler", {}),
    ],
    ids=["DDIM", "PNDM", "PNDM with Runge-Kutta", "Heun"],
)
def test_it_is_what_a_fresh_look_says(pipe, scheduler, options):
    pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config, **options)
    lens = ds.Lens(pipe)
    shapes = Shapes()
    for given in (
        {"steps": 7},
        {"steps": 30},
        {"steps": 30, "keep": "maps"},
        {"steps": 12, "images_per_prompt": 2},
        {"steps": 12, "width": 128, "height": 64},
        {"steps": 12, "guidance_scale": 1.0},
    ):
        fresh, known = lens.estimate(PROMPT, **given), lens.estimate(PROMPT, shapes=shapes, **given)
        # A level below "qk" asks for no log-sum-exp, so that a fresh look does not know its size.
        assert (known.level, known.total, known.calls) == (fresh.level, fresh.total, fresh.calls), given
        assert known.bytes["cross"] == fresh.bytes["cross"]
    longer = f"{PROMPT}, and a green house"
    assert lens.estimate(longer, shapes=shapes) == lens.estimate(longer)


def test_the_denoiser_is_called_once_for_each_size_and_never_when_it_must_not_be(pipe):
    pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config)
    lens, shapes, calls = ds.Lens(pipe), Shapes(), []
    hook = pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        for steps in (3, 10, 50):
            lens.estimate(PROMPT, shapes=shapes, steps=steps)
        assert len(calls) == 1
        shapes.may_look = False
        lens.estimate("a circle", shapes=shapes, steps=4)
        with pytest.raises(NotSeenError):
            lens.estimate(PROMPT, shapes=shapes, width=128, height=128)
        assert len(calls) == 1
    finally:
        hook.remove()
