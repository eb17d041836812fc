"""Which word a concept would act on: by grammar, and by the text encoder where grammar does not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffuscope.analysis.steerable import Target, asked, by_word, role_of, suggestions, targets
from diffuscope.edits import Steer
from diffuscope.engine import Lens
from diffuscope.engine.likeness import likeness
from diffuscope.errors import InputError
from diffuscope.run import Run
from diffuscope.testing import random_pipeline


@pytest.fixture(scope="module")
def lens() -> Lens:
    return Lens(random_pipeline("sd15"))


@pytest.fixture(scope="module")
def record(lens: Lens, tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[str, Run] = {}
    out: Path = tmp_path_factory.mktemp("runs")

    def recorded(prompt: str) -> Run:
        if prompt not in made:
            made[prompt] = lens.record(
                prompt, steps=1, width=16, height=16, keep="maps", previews=False, out=out
            )
        return made[prompt]

    return recorded


def told(found: tuple[Target, ...]) -> list[tuple[str | None, str, str | None, float]]:
    return [(each.word, each.toward, each.replaces, each.score) for each in found]


@pytest.mark.parametrize(
    ("prompt", "concept", "role", "expected"),
    [
        (
            "a red cat, a blue dog",
            "blue",
            "colour",
            [("cat", "blue cat", "red", 1.0), ("dog", "blue dog", "blue", 0.0)],
        ),
        (
            "a red cat by a tree",
            "green",
            "colour",
            [("cat", "green cat", "red", 1.0), ("tree", "green tree", None, 0.5)],
        ),
        ("a small red cat", "huge", "size", [("cat", "huge red cat", "small", 1.0)]),
        ("a big wooden table", "marble", "material", [("table", "big marble table", "wooden", 1.0)]),
        ("a red cat", "fluffy", "attribute", [("cat", "fluffy red cat", None, 0.5)]),
        ("a red cat", "dog", "noun", [("cat", "red dog", "cat", 1.0)]),
        ("a red cat", "a small dog", "noun", [("cat", "small dog", "cat", 1.0)]),
        ("a dog at night", "at sunset", "time", [(None, "at sunset", "at night", 1.0)]),
        ("a dog", "an oil painting", "style", [(None, "an oil painting", None, 1.0)]),
    ],
)
def test_grammar_says_what_a_concept_acts_on(
    record: Any, prompt: str, concept: str, role: str, expected: list[Any]
) -> None:
    found = targets(record(prompt), concept)
    assert {each.role for each in found} == {role}
    times = [
        (word, toward, old and old.removeprefix("at "), score) for word, toward, old, score in told(found)
    ]
    assert times == [
        (word, toward, old and old.removeprefix("at "), score) for word, toward, old, score in expected
    ]


def test_a_target_is_an_edit_that_can_be_drawn(lens: Lens, record: Any, tmp_path: Path) -> None:
    run = record("a red cat by a tree")
    (first, *_) = run.targets("blue")
    assert first.edit(strength=0.5, steps="0") == Steer("blue cat", word="cat", strength=0.5, steps="0")
    edited = lens.edit(run, first.edit(), out=tmp_path)
    assert not np.array_equal(edited.image, run.image)


def test_likeness_is_the_cosine_of_mean_embeddings(lens: Lens) -> None:
    def mean(text: str) -> torch.Tensor:
        read = lens.pipe.tokenizer(text, padding="max_length", return_tensors="pt")
        content = int(read.attention_mask.sum()) - 2
        with torch.no_grad():
            return lens.pipe.text_encoder(read.input_ids)[0][0, 1 : 1 + content].double().mean(dim=0)

    found = likeness(lens, "blue", ["red cat", "tree"])
    for text in ("red cat", "tree"):
        one, two = mean("blue"), mean(text)
        assert found[text] == pytest.approx(float(one @ two / (one.norm() * two.norm())), abs=1e-6)


def test_the_text_encoder_orders_what_grammar_leaves(lens: Lens, record: Any) -> None:
    run = record("a cat by a tree")
    assert asked(run) == ("cat", "tree")
    assert [each.word for each in targets(run, "dog", similarity={"cat": 0.1, "tree": 0.9})] == [
        "tree",
        "cat",
    ]
    assert [each.word for each in targets(run, "dog")] == ["cat", "tree"]
    # A word that the lexicon does not know is what the word is that it is most like.
    red = record("a red cat by a tree")
    unknown = {"red": 0.9, "cat": 0.2, "tree": 0.1}
    assert role_of("zorp") is None
    assert {each.role for each in targets(red, "zorp", similarity=unknown)} == {"colour"}
    assert targets(red, "zorp", similarity=unknown)[0].toward == "zorp cat"
    found = lens.targets(run, "dog")
    assert {each.word for each in found} == {"cat", "tree"}
    alike = [each.similarity for each in found]
    assert None not in alike and alike == sorted(alike, reverse=True)


def test_suggestions_are_of_every_object_and_say_something_new(record: Any) -> None:
    run = record("a photo of a red cat and a tree at night")
    found = suggestions(run)
    assert {each.word for each in found} == {"cat", "tree", None}
    assert all(each.score > 0 for each in found) and "red cat" not in [each.toward for each in found]
    words = [each.word for each in found]
    assert words == sorted(words, key=[*dict.fromkeys(words)].index)
    assert by_word(found, "tree") in found and by_word(found, "zebra") is None


def test_nothing_to_act_on_is_told(record: Any) -> None:
    with pytest.raises(InputError, match="empty"):
        targets(record("a red cat"), "  ")
    with pytest.raises(InputError, match="names no object"):
        targets(record("at night"), "red")
