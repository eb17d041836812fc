"""Edits that cannot act on a model or run are refused before anything runs, in one line that says why."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from explicit_edits import PROMPT, draw, tiny
from traces import traces

from diffuscope.edits import (
    Custom,
    Edit,
    Encode,
    Inject,
    Patch,
    PatchChoice,
    Reprompt,
    Reweight,
    Scale,
    Silence,
    Steer,
    control,
)
from diffuscope.engine.apply import Applying, Donor, Needs, applied, gathered
from diffuscope.engine.apply.donors import Donated
from diffuscope.engine.lens import Lens
from diffuscope.errors import DiffuscopeError, EditError, InputError


def other_sites() -> Donor:
    part = Donated(*(torch.zeros(2, 4, 4) for _ in range(3)))
    return Donor("donor", 10, {("joint:0", step, 0): part for step in range(10)})


def few_steps() -> Donor:
    part = Donated(*(torch.zeros(2, 4, 4) for _ in range(3)))
    return Donor("donor", 5, {("cross:mid", step, 0): part for step in range(5)})


def gap() -> Donor:
    part = Donated(*(torch.zeros(2, 4, 4) for _ in range(3)))
    return Donor("donor", 10, {("cross:mid", 3, 0): part})


BAD: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("sd15", [Scale(0, sites="cross:nowhere")], {}, "cross:nowhere"),
    ("sd15", [Scale(0, sites="cross:mid,cross:no.*")], {}, "cross:no.*"),
    ("sd15", [Scale(0, heads=3)], {}, "has heads 0 to 1"),
    (
        "sd15",
        [Scale(0, heads=4, sites="cross:mid")],
        {},
        "heads=4 is out of range: cross:mid has heads 0 to 3",
    ),
    ("sd15", [Scale(0, steps="5:11")], {}, "steps=5:11 is out of range: the run has steps 0 to 9"),
    ("sd15", [control(Scale(0, heads=9))], {}, "out of range"),
    ("sd15", [Scale(0, patches="box:0,0,32,15")], {}, "outside the picture"),
    ("sd15", [Scale(0, patches=PatchChoice.box(0, 0, 16, 3, grid=(8, 16)))], {}, "outside the picture"),
    ("sd15", [Scale(0, patches=PatchChoice.mask(torch.eye(4).numpy()))], {}, "4x4"),
    ("sd15", [Silence("dog")], {}, "no word 'dog'"),
    ("sd15", [Silence("cat", sites="self:mid")], {}, "self:mid is none of them"),
    ("sd15", [Encode("a dog", sites="*mid")], {}, "write sites like cross:down.0.0"),
    ("sd15", [Silence("cat")], {"prompts": None}, "give prompts="),
    ("sd15", [Steer("dog", word="bird")], {}, "no word 'bird'"),
    (
        "sd15",
        [Reprompt("a dog", steps="0:5"), Reprompt("a bird", steps="4:8")],
        {},
        "are both the prompt of step 4",
    ),
    ("sd15", [Reprompt("a dog"), Reprompt("a bird")], {}, "are both the prompt of steps 0 to 9"),
    ("sd15", [Patch("donor")], {}, "the donor donor was not given"),
    ("sd15", [Patch("donor", sites="cross:mid")], {"donors": {"donor": other_sites()}}, "has no cross:mid"),
    (
        "sd15",
        [Patch("donor", sites="cross:mid")],
        {"donors": {"donor": few_steps()}},
        "has 5 steps and the run 10",
    ),
    (
        "sd15",
        [Inject("donor", sites="cross:mid")],
        {"donors": {"donor": gap()}},
        "nothing of steps 0, 1, 2, 4",
    ),
    ("sd15", [Inject("donor", "self", sites="cross:mid")], {}, "name no site together"),
    (
        "sd15",
        [Inject("donor", "joint")],
        {},
        "joint-attention sites, of which StableDiffusionPipeline has none",
    ),
    ("sd15", [Steer("dog", space="guidance")], {"options": {"guidance_rescale": 0.7}}, "guidance_rescale"),
    ("sd15", ["scale"], {}, "one list"),
    ("sd15", [[Scale(0)], Scale(0)], {}, "one list"),
    ("sd15", [[Scale(0)], []], {"pictures": 3}, "2 lists of edits were given for 3 pictures"),
    ("sd15", [Scale(0)], {"prompts": ["a", "b"], "pictures": 3}, "2 prompts were given for 3 pictures"),
    ("sd3", [Encode("a dog")], {}, "its text keys depend on the picture"),
    ("sd3", [Reprompt("a dog", heads=0)], {}, "without sites, heads and patches"),
    ("sd3", [Steer("dog", sites="joint:1")], {}, "without sites, heads and patches"),
    ("flux", [Encode("a dog")], {}, "its text keys depend on the picture"),
    ("flux", [Inject("donor")], {}, "cross-attention sites, of which FluxPipeline has none"),
    ("flux", [Scale(0, heads=2)], {}, "has heads 0 to 1"),
]


@pytest.mark.parametrize(("family", "edits", "settings", "message"), BAD, ids=range(len(BAD)))
def test_what_cannot_act_is_refused_before_anything_runs(
    family: str, edits: list[Any], settings: dict[str, Any], message: str
) -> None:
    pipe = tiny(family)
    given = {"prompts": PROMPT, "steps": 10, "size": (16, 32), **settings}
    with pytest.raises(InputError) as caught:
        Applying(pipe, Lens(pipe).family, edits, **given)
    assert message in str(caught.value) and "\n" not in str(caught.value)


LATE: list[tuple[Edit, dict[str, Any], str]] = [
    (Custom(lambda q, k, v, out, context: out[:, :, :1]), {"steps": 3}, "it gives a tensor"),
    (Custom(lambda q, k, v, out, context: None), {"steps": 3}, "gave NoneType"),
    (Scale(0), {"steps": 4}, "for a run of 4 steps, and it has 3"),
    (Scale(0, steps="4"), {}, "out of range: the run has steps 0 to 2"),
    (Scale(0, patches="box:0,0,99,99"), {}, "outside the picture"),
    (Steer("red cat", word="cat"), {"steps": 3}, "have one embedding"),
]


@pytest.mark.parametrize(("edit", "settings", "message"), LATE, ids=range(len(LATE)))
def test_what_only_the_run_shows_stops_it_and_leaves_nothing(
    edit: Edit, settings: dict[str, Any], message: str
) -> None:
    pipe = tiny("sd15")
    before = traces(pipe)
    with (
        pytest.raises(DiffuscopeError, match=message),
        applied(pipe, Lens(pipe).family, [edit], prompts=PROMPT, **settings),
    ):
        draw("sd15")
    assert traces(pipe) == before


def test_a_donor_of_another_size_is_refused() -> None:
    pipe = tiny("sd15")
    family = Lens(pipe).family
    wanted = Needs(frozenset({"self:mid"}), frozenset(range(3)))
    donor = gathered(pipe, family, lambda: draw("sd15", height=32), wanted, name="donor")
    edits = [Patch("donor", sites="self:mid")]
    with (
        pytest.raises(EditError, match="of the same model, picture size and text length"),
        applied(pipe, family, edits, prompts=PROMPT, steps=3, donors={"donor": donor}),
    ):
        draw("sd15")


def test_gathering_what_a_model_has_not_is_refused() -> None:
    pipe = tiny("sd15")
    with pytest.raises(EditError, match="has no joint:0"):
        gathered(
            pipe,
            Lens(pipe).family,
            lambda: draw("sd15"),
            Needs(frozenset({"joint:0"}), frozenset({0})),
            name="x",
        )


def test_the_first_step_is_not_guessed() -> None:
    pipe = tiny("sd15")
    with pytest.raises(EditError, match="give steps="):
        Applying(pipe, Lens(pipe).family, [Reweight("cat", 2)], prompts=PROMPT).first_step_touched()
