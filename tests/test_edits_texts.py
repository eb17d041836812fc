"""Edits that bring other texts do what they say, by embeddings that the encoders made and attention written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from explicit_edits import (
    EVERY,
    PROMPT,
    SOME,
    STEP,
    UNETS,
    WINDOW,
    Seen,
    differs,
    draw,
    drawn_explicitly,
    edited,
    embedding,
    mixed,
    on_text,
    same,
    tiny,
    weights,
)

from diffuscope.edits import Encode, Reprompt, Steer


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize("family", (*UNETS, "pixart"))
def test_encoding_another_text_into_heads_and_patches(family: str, patched: bool) -> None:
    given = embedding(family, "a dog")

    def by(seen: Seen, attn: Any) -> torch.Tensor:
        out = seen.output()
        if not seen.cross or seen.step != STEP:
            return out
        weight = weights(family, seen) if patched else 1.0
        return mixed(seen, out, on_text(seen, attn, family, given), [1], weight)

    found = edited(family, Encode("a dog", heads=1, patches=SOME if patched else None, steps=WINDOW))
    same(found, drawn_explicitly(family, by))
    differs(found, draw(family))


def test_encoding_asks_only_the_sites_it_needs_and_each_once() -> None:
    pipe = tiny("sd15")
    asked: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, path=path: asked.append(path))
        for path, module in pipe.unet.named_modules()
        if path.endswith("attn2.to_k")
    ]
    try:
        draw("sd15")
        before = {path: asked.count(path) for path in asked}
        asked.clear()
        edited("sd15", Encode("a dog", sites="cross:mid", steps="1:"))
    finally:
        for handle in handles:
            handle.remove()
    more = {path: asked.count(path) - count for path, count in before.items() if asked.count(path) != count}
    assert more == {"mid_block.attentions.0.transformer_blocks.0.attn2.to_k": 1}


@pytest.mark.parametrize("family", EVERY)
def test_reprompting_throughout_draws_the_other_prompt(family: str) -> None:
    found = edited(family, Reprompt("a dog"))
    same(found, draw(family, "a dog"))
    differs(found, draw(family))


def told(family: str, change: Any) -> Any:
    """A hook that changes what the conditional row is told in step `STEP`: `change(embedding, pooled)`."""
    calls = [-1]

    def hook(_module: Any, args: Any, kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] != STEP:
            return None
        text = kwargs["encoder_hidden_states"].clone()
        pooled = (kwargs.get("added_cond_kwargs") or {}).get("text_embeds")
        new, new_pooled = change(text[-1], None if pooled is None else pooled[-1])
        text[-1] = new
        kwargs = {**kwargs, "encoder_hidden_states": text}
        if pooled is not None:
            pooled = pooled.clone()
            pooled[-1] = new_pooled
            kwargs["added_cond_kwargs"] = {**kwargs["added_cond_kwargs"], "text_embeds": pooled}
        return args, kwargs

    return tiny(family).unet.register_forward_pre_hook(hook, with_kwargs=True)


@pytest.mark.parametrize("family", UNETS)
def test_reprompting_in_a_window(family: str) -> None:
    text, pooled, _ = embedding(family, "a dog")
    handle = told(family, lambda *_: (text[0], None if pooled is None else pooled[0]))
    try:
        expected = draw(family)
    finally:
        handle.remove()
    same(edited(family, Reprompt("a dog", steps=WINDOW)), expected)


def test_reprompting_chosen_heads_is_encoding() -> None:
    same(edited("sd15", Reprompt("a dog", heads=0)), edited("sd15", Encode("a dog", heads=0)))


def moved(old: torch.Tensor, to: torch.Tensor, off: torch.Tensor, strength: float) -> torch.Tensor:
    """`c_R + strength * n * u/|u|` of rows `[row, channel]`."""
    u = to.mean(dim=0) - off.mean(dim=0)
    return old + strength * old.norm(dim=-1).mean() * u / u.norm()


@pytest.mark.parametrize("family", UNETS)
def test_steering_a_word_in_embedding_space(family: str) -> None:
    # The phrase of "cat" is "red cat", tokens 2 and 3; "dog" is spelled in tokens 2, 3, 4.
    assert (
        tiny(family).tokenizer("a dog").input_ids[2:-1] != tiny(family).tokenizer("a red cat").input_ids[2:-1]
    )
    there = slice(2, len(tiny(family).tokenizer("a dog").input_ids) - 1)
    to, off = embedding(family, "a dog"), embedding(family, PROMPT)

    def change(text: torch.Tensor, pooled: torch.Tensor | None) -> Any:
        text = text.clone()
        text[3:4] = moved(text[3:4], to[0][0, there], off[0][0, 2:4], 0.7)
        return text, None if pooled is None else moved(pooled[None], to[1], off[1], 0.7)[0]

    handle = told(family, change)
    try:
        expected = draw(family)
    finally:
        handle.remove()
    found = edited(family, Steer("dog", word="cat", strength=0.7, steps=WINDOW))
    same(found, expected)
    differs(found, draw(family))


def test_steering_a_style_moves_every_row_but_the_start_away_from_the_empty_prompt() -> None:
    there = slice(1, len(tiny("sd15").tokenizer("oil").input_ids) - 1)
    to, off = embedding("sd15", "oil")[0], embedding("sd15", "")[0]

    def change(text: torch.Tensor, _: Any) -> Any:
        return torch.cat([text[:1], moved(text[1:], to[0, there], off[0, 1:2], 0.4)]), None

    handle = told("sd15", change)
    try:
        expected = draw("sd15")
    finally:
        handle.remove()
    same(edited("sd15", Steer("oil", strength=0.4, steps=WINDOW)), expected)


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_steering_in_guidance_space(scale: float) -> None:
    pipe = tiny("sd15")
    concepts = [embedding("sd15", text)[0] for text in ("dog", "red cat")]
    step, calls = pipe.scheduler.step, [-1]

    def steered(output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == STEP:
            with torch.no_grad():
                toward, away = (pipe.unet(sample, timestep, each).sample for each in concepts)
            difference = toward - away
            size = difference.norm(dim=1, keepdim=True)
            chosen = size >= torch.quantile(size.flatten(), 0.5)
            output = output + 0.8 * scale * difference * chosen
        return step(output, timestep, sample, *args, **kwargs)

    pipe.scheduler.step = steered
    try:
        expected = draw("sd15", guidance_scale=scale)
    finally:
        del pipe.scheduler.step
    edit = Steer("dog", word="cat", strength=0.8, space="guidance", quantile=0.5, steps=WINDOW)
    found = edited("sd15", edit, guidance_scale=scale)
    same(found, expected)
    differs(found, draw("sd15", guidance_scale=scale))
