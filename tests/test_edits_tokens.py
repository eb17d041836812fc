"""Steering in the space of tokens: every row moves by a difference of its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from explicit_edits import EVERY, PROMPT, STEPS, arguments, draw, tiny

from diffuscope.edits import Reprompt, Steer, control
from diffuscope.engine.apply import applied
from diffuscope.engine.lens import Lens
from diffuscope.errors import EditError

Seen = list[torch.Tensor]


def edited(family: str, edit: Any, **call: Any) -> torch.Tensor:
    pipe = tiny(family)
    with applied(pipe, Lens(pipe).family, [edit], prompts=PROMPT, steps=STEPS, options=arguments(family)):
        return draw(family, **call)


def tokens(toward: str, strength: float = 1.0, **aim: Any) -> Steer:
    return Steer(toward, strength=strength, space="tokens", **{"word": "cat", "steps": "all", **aim})


@pytest.mark.parametrize("family", EVERY)
def test_at_strength_1_the_text_is_that_of_the_changed_prompt(family: str) -> None:
    # "a red cat" with "cat red" in place of the cat's phrase, as many tokens.
    torch.testing.assert_close(edited(family, tokens("cat red")), edited(family, Reprompt("a cat red")))
    whole = Steer("a cat red", space="tokens", steps="all")
    torch.testing.assert_close(edited(family, whole), edited(family, Reprompt("a cat red")))


def embedding(edit: Any) -> Seen:
    """The text embedding, conditional row, of each step of a run."""
    seen: Seen = []
    module = tiny("sd15").unet.mid_block.attentions[0].transformer_blocks[0].attn2
    handle = module.register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(kwargs["encoder_hidden_states"][1].clone()), with_kwargs=True
    )
    try:
        edited("sd15", edit)
    finally:
        handle.remove()
    return seen


def test_rows_behind_a_longer_phrase_are_matched_by_their_distance_from_it() -> None:
    plain, longer = (embedding(Reprompt(text))[0] for text in (PROMPT, "a cat a red cat"))
    moved = embedding(tokens("cat a red cat", 0.5))[0]
    # start, a | red cat | end and padding: the phrase of 2 tokens becomes one of 4.
    last = len(plain) - 1
    match = [0, 1, 2, 4, *(min(row + 2, last) for row in range(4, last + 1))]
    expected = plain + 0.5 * (longer[match] - plain)
    expected[0] = plain[0]
    torch.testing.assert_close(moved, expected)
    assert (moved[4:] != plain[4:]).any()


def test_a_control_moves_the_same_rows_as_far() -> None:
    steer = tokens("cat red", steps="1")
    seen, random = embedding(steer), embedding(control(steer))
    plain = seen[0]
    assert not torch.equal(seen[1], plain) and torch.equal(seen[2], plain)
    torch.testing.assert_close((random[1] - plain).norm(), (seen[1] - plain).norm())
    same = (seen[1] == plain).all(dim=1)
    assert torch.equal((random[1] == plain).all(dim=1), same) and same[0]


def test_one_text_is_no_direction() -> None:
    with pytest.raises(EditError, match="no direction"):
        edited("sd15", tokens("red cat"))
    with pytest.raises(EditError, match="quantile"):
        Steer("dog", space="tokens", quantile=0.5)
