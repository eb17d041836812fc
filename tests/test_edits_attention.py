"""Edits of heads and words do what they say: the same latents as with explicit attention that has the edit in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from explicit_edits import (
    EVERY,
    KEYS,
    SOME,
    STEP,
    WINDOW,
    By,
    Seen,
    differs,
    draw,
    drawn_explicitly,
    edited,
    mixed,
    same,
    texted,
    weights,
)

from diffuscope.edits import Reweight, Scale, Silence


@pytest.mark.parametrize("family", EVERY)
def test_scaling_multiplies_the_heads_output(family: str) -> None:
    def by(seen: Seen, _: Any) -> torch.Tensor:
        out = seen.output()
        return mixed(seen, out, out * -0.5, [1]) if seen.step == STEP else out

    found = edited(family, Scale(-0.5, heads=1, steps=WINDOW))
    same(found, drawn_explicitly(family, by))
    differs(found, draw(family))


@pytest.mark.parametrize("family", EVERY)
def test_scaling_patches_by_how_much_of_them_is_chosen(family: str) -> None:
    def by(seen: Seen, _: Any) -> torch.Tensor:
        out = seen.output()
        return mixed(seen, out, out * 0.0, None, weights(family, seen)) if seen.step == STEP else out

    found = edited(family, Scale(0, patches=SOME, steps=WINDOW))
    same(found, drawn_explicitly(family, by))
    differs(found, draw(family))


def reweighted(family: str, of: str, factor: float, heads: Any, patched: bool) -> By:
    def by(seen: Seen, _: Any) -> torch.Tensor:
        out = seen.output()
        if not texted(family, seen) or seen.step != STEP:
            return out
        logits, keys = seen.logits, KEYS[family]
        if of == "logits":
            # The products are multiplied, and masks, which are no part of them, are not.
            bare = torch.einsum("bhqd,bhkd->bhqk", seen.q, seen.k) * seen.scale
            logits[..., keys] += (factor - 1) * bare[..., keys]
        elif of == "odds":
            logits[..., keys] += torch.tensor(factor, dtype=torch.float64).log()
        probabilities = seen.softmax(logits)
        if of == "probability":
            probabilities[..., keys] *= factor
        return mixed(seen, out, seen.output(probabilities), heads, weights(family, seen) if patched else 1.0)

    return by


@pytest.mark.parametrize("of", ["probability", "logits", "odds"])
@pytest.mark.parametrize("family", EVERY)
def test_reweighting_a_word(family: str, of: Any) -> None:
    found = edited(family, Reweight("cat", 3, of=of, heads="0", steps=WINDOW))
    same(found, drawn_explicitly(family, reweighted(family, of, 3, [0], False)))
    differs(found, draw(family))


@pytest.mark.parametrize("of", ["probability", "logits", "odds"])
@pytest.mark.parametrize("family", ["sd15", "sd3", "flux"])
def test_reweighting_a_word_in_patches(family: str, of: Any) -> None:
    found = edited(family, Reweight("cat", 3, of=of, patches=SOME, steps=WINDOW))
    same(found, drawn_explicitly(family, reweighted(family, of, 3, None, True)))


@pytest.mark.parametrize("family", EVERY)
def test_silencing_a_word_takes_its_probability_out_without_renormalisation(family: str) -> None:
    found = edited(family, Silence("cat", steps=WINDOW))
    same(found, drawn_explicitly(family, reweighted(family, "probability", 0, None, False)))
    differs(found, draw(family))


def odds_of_a_silenced_word(seen: Seen, _: Any) -> torch.Tensor:
    out = seen.output()
    if not seen.cross or seen.step != STEP:
        return out
    probabilities = seen.softmax()
    probabilities[..., 3] = 0
    probabilities = probabilities / probabilities.sum(dim=-1, keepdim=True)
    return mixed(seen, out, seen.output(probabilities), None)


def test_odds_of_zero_take_a_word_out_with_renormalisation() -> None:
    found = edited("sd15", Reweight("cat", 0, of="odds", steps=WINDOW))
    same(found, drawn_explicitly("sd15", odds_of_a_silenced_word))
