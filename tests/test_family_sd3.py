"""Stable Diffusion 3 and 3.5: joint attention of [picture, text], three text encoders, norms, dual attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from joint_checks import CHECKS, PROMPT, SIZE, T5, Account, observe

from diffuscope.engine import Lens
from diffuscope.errors import InputError, UnknownWordError
from diffuscope.testing import random_pipeline

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "3, no guidance": ("sd3", {}),
    "3, guidance": ("sd3", {"guidance": "batched", "steps": 3}),
    "3, the negative prompt is the prompt": ("sd3", {"guidance": "batched", "negative_prompt": PROMPT}),
    "3, tall": ("sd3", {"width": 16, "height": 40}),
    "3.5, two pictures": ("sd35", {"images": 2}),
    "3.5, two pictures, guidance": ("sd35", {"images": 2, "guidance": "batched"}),
}


@pytest.fixture(scope="module")
def pipes() -> dict[str, Any]:
    return {family: random_pipeline(family) for family in ("sd3", "sd35")}


@pytest.fixture(scope="module", params=KINDS)
def account(
    request: pytest.FixtureRequest, pipes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Account:
    family, kind = KINDS[request.param]
    return observe(family, pipes[family], tmp_path_factory.mktemp("runs"), **kind)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_recordings_are_exact(account: Account, check: Callable[[Account], None]) -> None:
    check(account)


def test_the_attention_is_so_peaked_that_a_mistake_shows(account: Account) -> None:
    for module in account.projections:
        table = account.probabilities(module, 0, 0)
        assert np.median(table.max(axis=-1)) > 5 / table.shape[-1]
    assert max(account.probabilities(module, 0, 0).max() for module in account.projections) > 0.5


def test_the_dual_attention_of_3_5_is_a_self_site_beside_its_joint_one(pipes: dict[str, Any]) -> None:
    assert [site.name for site in Lens(pipes["sd35"]).sites] == [
        "joint:0",
        "self:0",
        "joint:1",
        "self:1",
        "joint:2",
    ]
    assert [site.name for site in Lens(pipes["sd3"]).sites] == ["joint:0", "joint:1", "joint:2"]


# Words: tokens of CLIP and of T5, one after the other.


def test_a_word_is_the_sum_of_its_tokens_in_both_encoders_or_those_of_one(account: Account) -> None:
    (run, *_) = account.runs
    clip = account.pipe.tokenizer.model_max_length
    assert [(each.name, each.start, each.stop) for each in run.manifest.text.encoders] == [
        ("clip", 0, clip),
        ("t5", clip, clip + T5),
    ]
    for label in ("red", "a#2", "red cat"):
        both, first, second = (
            run.phrase(each) if " " in label else run.word(each)
            for each in (label, f"{label}@clip", f"{label}@t5")
        )
        assert all(token < clip for token in first.tokens) and all(token >= clip for token in second.tokens)
        assert both.tokens == first.tokens + second.tokens
        assert first.map().array.max() > 0 and second.map().array.max() > 0
        assert np.allclose(both.map().array, first.map().array + second.map().array, rtol=1e-5, atol=1e-9)
        # The text form of the map's selection gives the same map again.
        assert np.array_equal(run.map(second.map().selection).array, second.map().array)


def test_the_mean_over_sub_tokens_is_taken_in_each_encoder(account: Account) -> None:
    (run, *_) = account.runs
    parts = [run.word(f"dog@{encoder}").map(reduce="mean").array for encoder in ("clip", "t5")]
    assert np.allclose(run.word("dog").map(reduce="mean").array, sum(parts), rtol=1e-5, atol=1e-9)


def test_special_tokens_are_those_of_both_encoders(account: Account) -> None:
    (run, *_) = account.runs
    kinds = [token.kind for token in run.tokens]
    clip = account.pipe.tokenizer.model_max_length
    # T5 has no start token.
    assert run.word("<start>").tokens == (0,) and kinds[clip] == "content"
    ends = [kinds[:clip].index("end")] if "end" in kinds[:clip] else []
    assert run.word("<end>").tokens == (*ends, clip + kinds[clip:].index("end"))
    assert run.word("<end>@t5").tokens == (clip + kinds[clip:].index("end"),)
    padding = tuple(index for index, kind in enumerate(kinds) if kind == "padding")
    assert run.word("<padding>").tokens == padding


def test_an_unknown_encoder_is_named_with_those_there_are(account: Account) -> None:
    with pytest.raises(UnknownWordError, match="no text encoder 't6', only clip and t5"):
        account.runs[0].word("cat@t6")


def test_what_one_encoder_cuts_another_reads(pipes: dict[str, Any], tmp_path: Any) -> None:
    lens = Lens(pipes["sd3"])
    run = lens.record("zoology of a red cat", steps=1, out=tmp_path, max_sequence_length=40, **SIZE)
    clip = pipes["sd3"].tokenizer.model_max_length
    assert run.word("zoology").tokens[0] == 1
    run = lens.record(
        "zoologists on quaysides of a cat", steps=1, out=tmp_path, max_sequence_length=40, **SIZE
    )
    assert any("clip" in line and "cat" in line for line in lens.warnings)
    assert all(token >= clip for token in run.word("cat").tokens)
    assert run.manifest.text.cut is None
    with pytest.raises(UnknownWordError):
        run.word("cat@clip")


def test_several_prompts_at_once_are_refused(pipes: dict[str, Any], tmp_path: Any) -> None:
    with pytest.raises(InputError, match="prompt_3 differs"):
        Lens(pipes["sd3"]).record("a cat", prompt_3="a dog", out=tmp_path, **SIZE)
