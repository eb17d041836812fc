"""Edits that bring another run in, and several edits at once, do what they say: by attention written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from explicit_edits import (
    EVERY,
    SOME,
    STEP,
    WINDOW,
    By,
    Seen,
    differs,
    donor,
    draw,
    drawn_explicitly,
    edited,
    embedding,
    mixed,
    noted,
    on_text,
    plain,
    same,
    weights,
)

from diffuscope.edits import Custom, Encode, Inject, Patch, Reweight, Scale


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize("family", EVERY)
def test_patching_activations_of_a_donor(family: str, patched: bool) -> None:
    outputs, _ = noted(family)

    def by(seen: Seen, _: Any) -> torch.Tensor:
        out = seen.output()
        if seen.step != STEP:
            return out
        new = outputs[seen.path, seen.step].expand_as(out)
        return mixed(seen, out, new, [0], weights(family, seen) if patched else 1.0)

    edit = Patch("donor", heads=0, steps=WINDOW, patches=SOME if patched else None)
    found = edited(family, edit, donors=donor(family, [edit]))
    same(found, drawn_explicitly(family, by))
    differs(found, draw(family))


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("sd15", "cross"),
        ("sd15", "self"),
        ("sdxl", "self"),
        ("pixart", "cross"),
        ("sd3", "joint"),
        ("flux", "joint"),
    ],
)
def test_injecting_probabilities_of_a_donor(family: str, kind: Any, patched: bool) -> None:
    _, probabilities = noted(family)

    def by(seen: Seen, _: Any) -> torch.Tensor:
        out = seen.output()
        if seen.step != STEP or seen.cross != (kind == "cross"):
            return out
        new = seen.output(probabilities[seen.path, seen.step].expand(len(out), -1, -1, -1))
        return mixed(seen, out, new, [1], weights(family, seen) if patched else 1.0)

    edit = Inject("donor", kind, heads=1, steps=WINDOW, patches=SOME if patched else None)
    found = edited(family, edit, donors=donor(family, [edit]))
    same(found, drawn_explicitly(family, by))
    differs(found, draw(family))


@pytest.mark.parametrize("family", EVERY)
def test_a_function_gets_what_the_kernel_got(family: str) -> None:
    def fn(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, out: torch.Tensor, context: Any
    ) -> torch.Tensor:
        assert context.heads == (0,) and context.step == STEP and context.pictures == (0,)
        return out + (q @ k.mT).abs().mean() * v.mean(dim=-2, keepdim=True)

    def by(seen: Seen, _: Any) -> torch.Tensor:
        out = seen.output()
        if seen.step != STEP:
            return out
        new = out.clone()
        for row in seen.rows:
            size = torch.einsum("qd,kd->qk", seen.q[row, 0], seen.k[row, 0]).abs().mean()
            new[row, 0] += size * seen.v[row, 0].mean(dim=0)
        return mixed(seen, out, new, [0])

    found = edited(family, Custom(fn, heads=0, steps=WINDOW))
    same(found, drawn_explicitly(family, by))


def test_edits_act_in_the_order_given() -> None:
    given = embedding("sd15", "a dog")

    def by(order: str) -> By:
        def act(seen: Seen, attn: Any) -> torch.Tensor:
            probabilities = seen.softmax()
            if seen.cross and seen.step == STEP:
                for row in seen.rows:
                    probabilities[row, :, :, 3] *= 0.5
            out = seen.output(probabilities)
            if not seen.cross or seen.step != STEP:
                return out
            for each in order:
                if each == "s":
                    out = mixed(seen, out, out * 0.25, None)
                else:
                    out = mixed(seen, out, on_text(seen, attn, "sd15", given), [1], weights("sd15", seen))
            return out

        return act

    word = Reweight("cat", 0.5, steps=WINDOW)
    scale, encode = (
        Scale(0.25, sites="cross:*", steps=WINDOW),
        Encode("a dog", heads=1, patches=SOME, steps=WINDOW),
    )
    one, other = edited("sd15", word, scale, encode), edited("sd15", word, encode, scale)
    same(one, drawn_explicitly("sd15", by("se")))
    same(other, drawn_explicitly("sd15", by("es")))
    differs(one, other)


def test_a_later_edit_of_probabilities_acts_on_what_an_earlier_one_left() -> None:
    _, probabilities = noted("sd15")

    def by(injected_first: bool) -> By:
        def act(seen: Seen, _: Any) -> torch.Tensor:
            out = seen.output()
            if not seen.cross or seen.step != STEP:
                return out
            given = probabilities[seen.path, seen.step].expand(len(out), -1, -1, -1).clone()
            if injected_first:
                given[..., 3] *= 4
            return mixed(seen, out, seen.output(given), None)

        return act

    inject, word = Inject("donor", steps=WINDOW), Reweight("cat", 4, steps=WINDOW)
    given = donor("sd15", [inject])
    same(edited("sd15", inject, word, donors=given), drawn_explicitly("sd15", by(True)))
    # Injected afterwards, the donor's probabilities replace the reweighted ones.
    same(edited("sd15", word, inject, donors=given), drawn_explicitly("sd15", by(False)))


def test_explicit_attention_draws_what_the_pipeline_draws() -> None:
    for family in EVERY:
        same(draw(family), drawn_explicitly(family, plain))
