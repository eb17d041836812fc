"""The drawn world's judge on a run: true masks of words, and when each is true of the predicted picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from synthetic_run import make_run

import diffuscope as ds
from diffuscope import scenes
from diffuscope.analysis.timeline import DrawnWorld

PROMPT = "a red circle left of a blue house in the snow"
STEPS = 8


class Drawn(ds.Run):
    """A run whose pictures are drawn scenes: first the place alone, then things of wrong colour, then all as asked.

    | step | what is in the picture |
    |---|---|
    | 0, 1 | the place |
    | 2 | a blue house at its place |
    | 3, 4 | the house, and a *green* circle |
    | 5 to 7 | all as the prompt says |
    """

    drawn = 0

    @property
    def manifest(self) -> Any:
        whole = super().manifest
        return whole.model_copy(update={"model": whole.model.model_copy(update={"id": "scenes"})})

    @property
    def image(self) -> Image.Image:  # type: ignore[override]
        return self._scene(STEPS)

    def preview(self, step: int) -> Image.Image:
        self.drawn += 1
        return self._scene(step)

    def _scene(self, step: int) -> Image.Image:
        circle, house = scene().things
        things = {0: (), 1: (), 2: (house,), 3: (replace(circle, colour="green"), house)}
        things[4] = things[3]
        shown = replace(scene(), things=things.get(step, (circle, house)))
        return Image.fromarray(scenes.render(shown).image)


def scene() -> scenes.Scene:
    described = scenes.parse(PROMPT)
    assert described is not None
    return scenes.lay_out(described, np.random.default_rng(3))


@pytest.fixture
def run(tmp_path: Path) -> Drawn:
    made = make_run(tmp_path / "run", prompt=PROMPT, steps=STEPS)
    return Drawn(ds.open(made).recording)


def test_each_word_is_true_from_the_step_at_which_it_was_drawn(run: Drawn) -> None:
    found = run.timeline()
    came = {}
    for label in (*found.words, "left"):
        image = found[label].emergence_image
        assert image is not None and image.at is not None, label
        came[label] = image.at.step
    assert came == {"snow": 0, "blue": 2, "house": 2, "circle": 3, "red": 5, "left": 3}
    assert found["circle"].score.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert all(found[label].emergence_image is None for label in ("a", "of", "<start>"))
    phrase = run.phrase("red circle").timeline().emergence_image
    assert phrase is not None and phrase.at is not None and phrase.at.step == 5


def test_what_the_final_picture_lacks_never_emerges(run: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_scene", lambda step: Drawn._scene(run, min(step, 4)))
    found = run.timeline()
    red = found["red"].emergence_image
    assert red is not None and red.censored and red.seen_to.step == STEPS - 1
    assert found["circle"].emergence_image is not None and not found["circle"].emergence_image.censored


def test_true_masks_are_those_of_the_renderer(run: Drawn) -> None:
    world = DrawnWorld.of(run)
    assert world is not None
    rendered = scenes.render(scene()).masks
    for number, labels in enumerate((("circle", "red", "red circle"), ("house", "blue", "blue house"))):
        truth = rendered[number] >= 0.5
        for label in labels:
            view = run.phrase(label) if " " in label else run.word(label)
            mask = world.mask(view.term)
            assert mask is not None and (mask & truth).sum() / (mask | truth).sum() > 0.9, label
    snow = world.mask(run.word("snow").term)
    assert snow is not None and snow[rendered.max(axis=0) > 0.9].mean() < 0.05 and snow.mean() > 0.5
    for label in ("a", "left", "<start>"):
        assert world.mask(run.word(label).term) is None
    assert world.mask(run.phrase(["circle", "house"]).term) is None, "two things are no one object"
    assert run.word("circle").timeline().emergence_attention.against == "judge"
    assert run.word("of").timeline().emergence_attention.against == "own last mask"


def test_pictures_are_read_once_and_the_answer_is_kept(run: Drawn) -> None:
    first = run.timeline()["circle"].score
    assert run.drawn == STEPS
    np.testing.assert_array_equal(Drawn(run.recording).timeline()["circle"].score, first)
    again = Drawn(run.recording)
    again.timeline()["house"].score  # noqa: B018
    assert again.drawn == 0


def test_other_models_and_other_prompts_have_no_such_judge(tmp_path: Path, run: Drawn) -> None:
    synthetic = ds.open(run.path)
    assert DrawnWorld.of(synthetic) is None
    assert synthetic.timeline()["circle"].emergence_image is None
    assert run.timeline(judge=None)["circle"].emergence_image is None
    other = Drawn(ds.open(make_run(tmp_path / "other", prompt="a zeppelin and a dog")).recording)
    assert DrawnWorld.of(other) is None
