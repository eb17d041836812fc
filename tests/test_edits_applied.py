"""Edits leave no trace, change nothing where they do not act, fade to nothing, and are recorded as what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explicit_edits import PROMPT, STEPS, arguments, draw, same, tiny
from traces import traces

from diffuscope.edits import (
    Control,
    Custom,
    Edit,
    Encode,
    Inject,
    Patch,
    Reprompt,
    Reweight,
    Scale,
    Silence,
    Steer,
    control,
)
from diffuscope.engine.apply import Applying, Donor, applied, gathered, needs
from diffuscope.engine.capture.patches import Patches
from diffuscope.engine.lens import Lens
from diffuscope.testing import random_pipeline

OF_EACH: list[Edit] = [
    Scale(0.5),
    Encode("a dog"),
    Patch("donor"),
    Inject("donor"),
    Reweight("cat", 2),
    Reweight("cat", 2, of="logits"),
    Reweight("cat", 2, of="odds"),
    Silence("cat"),
    Reprompt("a dog"),
    Steer("dog", word="cat"),
    Steer("dog", word="cat", space="guidance"),
    Custom(lambda q, k, v, out, context: out * 0.5),
    control(Scale(0.5)),
    control(Reprompt("a dog")),
    control(Steer("dog", space="guidance")),
]


def at(edit: Edit, steps: str) -> Edit:
    """The same edit with other steps."""
    return control(at(edit.edit, steps)) if isinstance(edit, Control) else replace(edit, steps=steps)


@pytest.fixture(scope="module")
def donors() -> dict[str, Donor]:
    lens = Lens(tiny("sd15"))
    wanted = needs(lens.pipe, lens.family, [Patch("donor"), Inject("donor")], STEPS)["donor"]
    return {
        "donor": gathered(lens.pipe, lens.family, lambda: draw("sd15", "a dog", seed=3), wanted, name="donor")
    }


def edited(*edits: Edit, donors: Any = None, family: str = "sd15", **call: Any) -> torch.Tensor:
    pipe = tiny(family)
    settings: dict[str, Any] = {"prompts": PROMPT, "steps": STEPS, "size": (16, 32), "donors": donors}
    with applied(pipe, Lens(pipe).family, edits, options=arguments(family), **settings):
        return draw(family, **call)


def test_no_edit_is_no_change() -> None:
    assert torch.equal(edited(), draw("sd15"))


@pytest.mark.parametrize("edit", OF_EACH, ids=lambda edit: edit.describe()[:30])
def test_before_its_window_an_edit_changes_nothing_bit_for_bit(edit: Edit, donors: Any) -> None:
    plain, found = [], []

    def keep(into: list[torch.Tensor]) -> Any:
        return lambda _pipe, _step, _time, given: into.append(given["latents"].clone()) or {}

    draw("sd15", callback_on_step_end=keep(plain))
    edited(at(edit, "2"), donors=donors, callback_on_step_end=keep(found))
    assert torch.equal(plain[0], found[0]) and torch.equal(plain[1], found[1])
    assert not torch.equal(plain[2], found[2])


def test_unconditional_rows_are_what_they_were() -> None:
    pipe = tiny("sd15")
    seen: list[torch.Tensor] = []
    handle = pipe.unet.register_forward_hook(lambda _m, _a, out: seen.append(out[0].clone()))
    try:
        draw("sd15", num_inference_steps=1)
        for edit in (
            Scale(0),
            Reweight("cat", 3, of="odds"),
            Reprompt("a dog"),
            Steer("dog", space="guidance"),
        ):
            with applied(pipe, Lens(pipe).family, [at(edit, "0")], prompts=PROMPT, steps=1):
                draw("sd15", num_inference_steps=1)
    finally:
        handle.remove()
    assert len(seen) == 5
    for each in seen[1:]:
        assert torch.equal(each[0], seen[0][0]) and not torch.equal(each[1], seen[0][1])


FADING: list[Any] = [
    lambda s: Scale(1 + s),
    lambda s: Encode("a dog", s),
    lambda s: Patch("donor", s),
    lambda s: Inject("donor", "self", s),
    lambda s: Reweight("cat", 1 + s),
    lambda s: Reweight("cat", 1 + s, of="logits"),
    lambda s: Reweight("cat", 1 + s, of="odds"),
    lambda s: Steer("dog", word="cat", strength=s, steps="all"),
    lambda s: Steer("dog", strength=s, space="guidance", steps="all"),
    lambda s: Custom(lambda q, k, v, out, context: out + s * v.mean(dim=-2, keepdim=True)),
    lambda s: control(Scale(1 + s)),
    lambda s: control(Steer("dog", word="cat", strength=s)),
    lambda s: control(Steer("dog", strength=s, space="guidance")),
]


@pytest.mark.parametrize("make", FADING, ids=lambda make: make(0.5).describe()[:30])
def test_edits_fade_to_nothing_in_proportion_to_their_strength(make: Any, donors: Any) -> None:
    plain = draw("sd15")
    small, smaller = (float((edited(make(s), donors=donors) - plain).norm()) for s in (1e-4, 1e-6))
    # At weak strengths the picture answers in proportion, down to what float64 tells apart.
    assert small > 0 and smaller == pytest.approx(small / 100, rel=0.05)


@pytest.mark.parametrize("family", ["sd15", "flux"])
@pytest.mark.parametrize("error", [RuntimeError("in the middle"), KeyboardInterrupt()])
def test_nothing_is_left_after_an_error(family: str, error: BaseException, donors: Any) -> None:
    pipe = tiny(family)
    before, plain = traces(pipe), draw(family)

    def stop(_pipe: Any, step: int, *_: Any) -> Any:
        if step == 1:
            raise error
        return {}

    edits = [Scale(0), Silence("cat"), Steer("dog", space="guidance", steps="all"), Reprompt("a dog")]
    with pytest.raises(type(error)):
        edited(*edits, family=family, callback_on_step_end=stop)
    assert traces(pipe) == before
    assert torch.equal(draw(family), plain)


def test_an_error_in_a_function_passes_on_and_leaves_nothing() -> None:
    pipe = tiny("sd15")
    before = traces(pipe)

    def fn(*_: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        edited(Custom(fn, steps="1"))
    assert traces(pipe) == before


@pytest.mark.parametrize(
    "edit",
    [
        Scale(0.3, heads=1, patches="box:4,2,13,9"),
        Silence("cat", sites="cross:down.1.0"),
        Encode("a dog", heads=0),
    ],
    ids=lambda edit: edit.kind,
)
def test_a_control_changes_as_much_as_its_edit_and_nothing_else(edit: Edit) -> None:
    notes: dict[str, list[torch.Tensor]] = {"before": [], "edited": [], "control": []}

    def note(name: str) -> Custom:
        def fn(q: Any, k: Any, v: Any, out: torch.Tensor, context: Any) -> torch.Tensor:
            notes[name].append(out)
            return out

        return Custom(fn, name, sites="cross:down.1.0", steps="1")

    here = replace(edit, sites="cross:down.1.0", steps="1")
    edited(note("before"))
    edited(here, note("edited"))
    edited(control(here, seed=4), note("control"))
    (old,), (new,), (random,) = notes["before"], notes["edited"], notes["control"]
    torch.testing.assert_close((random - old).norm(), (new - old).norm())
    assert float((new - old).norm()) > 0
    # Where the edit leaves heads and patches alone, so does its control.
    untouched = (new == old).all(dim=-1)
    if edit.patches is not None or edit.heads != "all":
        assert untouched.any() and torch.equal((random == old).all(dim=-1), untouched)
    cosine = torch.nn.functional.cosine_similarity((random - old).flatten(), (new - old).flatten(), dim=0)
    assert abs(float(cosine)) < 0.5


def test_controls_differ_by_their_seed_and_by_nothing_else() -> None:
    one, again, other = (edited(control(Scale(0, steps="1"), seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_a_control_of_a_text_moves_the_same_rows_as_far() -> None:
    seen: list[torch.Tensor] = []
    module = tiny("sd15").unet.mid_block.attentions[0].transformer_blocks[0].attn2
    handle = module.register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(kwargs["encoder_hidden_states"][1].clone()), with_kwargs=True
    )
    try:
        edit = Steer("dog", word="cat", steps="1")
        edited(edit), edited(control(edit))
    finally:
        handle.remove()
    plain, steered, random = seen[0], seen[1], seen[4]
    assert (plain != steered).any(dim=1).nonzero().flatten().tolist() == [3]
    assert (plain != random).any(dim=1).nonzero().flatten().tolist() == [3]
    torch.testing.assert_close((random - plain).norm(), (steered - plain).norm())


def test_each_picture_of_a_batch_can_have_edits_of_its_own() -> None:
    pipe = random_pipeline("sd15")
    family = Lens(pipe).family

    def drawn(edits: Any) -> np.ndarray:
        generators = [torch.Generator().manual_seed(5) for _ in range(3)]
        call = {"num_inference_steps": 2, "height": 16, "width": 32, "num_images_per_prompt": 3}
        with applied(pipe, family, edits, prompts=PROMPT, pictures=3, steps=2):
            made = pipe(PROMPT, generator=generators, output_type="latent", **call).images
        return made.numpy()

    scale, silence = Scale(0, sites="cross:mid"), Silence("cat")
    plain = drawn([])
    some = drawn([[], [scale], [silence, scale]])
    assert np.array_equal(some[0], plain[0])
    everywhere = drawn([scale])
    assert np.array_equal(some[1], everywhere[1]) and not np.array_equal(some[1], plain[1])
    assert np.array_equal(some[2], drawn([silence, scale])[2])


def test_image_to_image_counts_the_steps_it_draws(tmp_path: Path) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline
    from PIL import Image

    pipe = StableDiffusionImg2ImgPipeline(**random_pipeline("sd15").components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    image = Image.new("RGB", (32, 16), "red")

    def drawn(*edits: Edit, **settings: Any) -> torch.Tensor:
        with applied(pipe, Lens(pipe).family, edits, prompts=PROMPT, **settings):
            made: torch.Tensor = pipe(
                PROMPT,
                image=image,
                strength=0.5,
                num_inference_steps=4,
                generator=torch.Generator().manual_seed(0),
                output_type="latent",
            ).images
            return made

    steps: list[int] = []

    def fn(q: Any, k: Any, v: Any, out: torch.Tensor, context: Any) -> torch.Tensor:
        steps.append(context.step)
        return out

    drawn(Custom(fn, sites="cross:mid"))
    assert steps == [0, 1]
    steps.clear()
    drawn(Custom(fn, sites="cross:mid", steps="1", patches="box:0,0,3,3"))
    assert steps == [1]


def test_an_edited_run_is_recorded_with_what_the_kernel_was_given(tmp_path: Path) -> None:
    lens = Lens(random_pipeline("sd15"))
    call: dict[str, Any] = {"steps": 2, "height": 16, "width": 32, "keep": "qk", "values": True, "seed": 1}

    def drawn(*edits: Edit, donors: Any = None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        with applied(lens.pipe, lens.family, edits, prompts=PROMPT, steps=2, donors=donors):
            return lens.pipe(
                PROMPT, num_inference_steps=2, height=16, width=32, generator=generator, output_type="np"
            ).images[0]

    def recorded(*edits: Edit, donors: Any = None) -> Any:
        with applied(lens.pipe, lens.family, edits, prompts=PROMPT, steps=2, donors=donors):
            return lens.record(PROMPT, out=tmp_path, previews=False, **call)

    plain = recorded()
    inject = Inject("donor", "self", steps="1")
    donor = gathered(
        lens.pipe,
        lens.family,
        lambda: lens.pipe(
            "a dog", num_inference_steps=2, height=16, width=32, generator=torch.Generator().manual_seed(9)
        ),
        needs(lens.pipe, lens.family, [inject], 2)["donor"],
        name="donor",
    )
    edits = [
        [Scale(0, steps="1")],
        [Silence("cat", steps="1")],
        [Encode("a dog", heads=1, steps="1")],
        [Steer("dog", space="guidance", steps="1")],
        [Reprompt("a dog", steps="1")],
    ]
    for each in edits:
        run = recorded(*each)
        assert np.array_equal(np.asarray(run.image), (drawn(*each) * 255).round().astype(np.uint8))
        for site in run.sites:
            same_step = (run.recording.query(site.name, 0), plain.recording.query(site.name, 0))
            assert np.array_equal(*same_step)
    run = recorded(inject, donors={"donor": donor})
    found = run.recording.query("self:mid", 1)
    assert np.array_equal(found, donor.calls["self:mid", 1, 0].query.numpy())
    silenced = recorded(Silence("cat", steps="1")).recording
    assert silenced.text("v/cross:mid", 0)[:, 3].any() and not silenced.text("v/cross:mid", 1)[:, 3].any()


def test_what_is_touched_first_is_known_before_anything_runs() -> None:
    lens = Lens(tiny("sd15"))
    plan = Applying(
        lens.pipe, lens.family, [Scale(0, steps="5:7"), Silence("cat", steps="3,8")], prompts=PROMPT, steps=10
    )
    assert plan.first_step_touched() == 3
    assert Applying(lens.pipe, lens.family, [], prompts=PROMPT, steps=10).first_step_touched() is None
    assert (
        Applying(lens.pipe, lens.family, [Steer("dog")], prompts=PROMPT, steps=50).first_step_touched() == 10
    )


def test_a_plan_can_be_put_on_again() -> None:
    lens = Lens(tiny("sd15"))
    plan = Applying(
        lens.pipe, lens.family, [Encode("a dog", heads=0), Silence("cat")], prompts=PROMPT, steps=STEPS
    )
    made = []
    for _ in range(2):
        with Patches() as patches:
            plan.install(patches)
            made += [draw("sd15"), draw("sd15")]
    assert all(torch.equal(each, made[0]) for each in made)
    same(made[0], edited(Encode("a dog", heads=0), Silence("cat")))
