"""An evaluation of steering that is stopped and goes on, and what its page says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from diffuscope import scenes
from diffuscope.analysis.cause.steering import CHOSEN, LOCAL, Triple, Way, accepted, edit_of, place_of
from diffuscope.analysis.cause.steering_rows import Rows, table_so_far
from diffuscope.edits import Control, Reprompt, Steer
from diffuscope.engine.cause import steering
from diffuscope.errors import InputError
from diffuscope.findings.steering import sign_test
from diffuscope.findings.steering import steering as page_of

LENS: Any = SimpleNamespace(loaded=SimpleNamespace(id="drawn", files=[]))
WAYS = [Way("phrase", 1.0, "all"), Way("tokens", 1.0, "all"), Way("tokens", 1.0, "all", local=True)]


class Rendered:
    """Stands in for the model: draws every prompt right, obeys changed prompts and whole prompts steered toward, and is
    moved by nothing else. Stops after `most` pictures."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.drawn = most, 0

    def __call__(self, lens: Any, pairs: Sequence[Any], settings: Any, edits: Any = ()) -> list[Image.Image]:
        made = []
        for at, (prompt, seed) in enumerate(pairs):
            self.drawn += 1
            if self.most is not None and self.drawn > self.most:
                raise KeyboardInterrupt
            edit = edits[at][0] if edits else None
            if isinstance(edit, Reprompt):
                prompt = edit.prompt
            elif isinstance(edit, Steer) and edit.space == "tokens":
                prompt = edit.toward
            described = scenes.parse(prompt)
            assert described is not None
            scene = scenes.lay_out(described, np.random.default_rng(seed))
            made.append(Image.fromarray(scenes.render(scene).image))
        return made


def evaluated(table: Path, model: Rendered, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    monkeypatch.setattr(steering, "draw_many", model)
    asked = {"choosing": 4, "kinds": ("colour",), "among": WAYS, "batch": 4, **options}
    return steering.evaluate(LENS, 6, table=table, **asked)


def test_a_stopped_evaluation_goes_on_to_the_same_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, first = Rendered(), tmp_path / "whole.jsonl"
    found, rows = evaluated(first, whole, monkeypatch)
    second = tmp_path / "stopped.jsonl"
    with pytest.raises(KeyboardInterrupt):
        evaluated(second, Rendered(most=25), monkeypatch)
    with second.open("a", encoding="utf-8") as file:
        file.write('{"half": "measu')  # killed while it wrote
    again = Rendered()
    resumed, after = evaluated(second, again, monkeypatch)
    assert again.drawn < whole.drawn
    # Unedited pictures are drawn in batches: one that goes on may have drawn a few that it did not need.
    own = ("seconds", "drawn", "refused")
    assert {**resumed.to_json(), **dict.fromkeys(own)} == {**found.to_json(), **dict.fromkeys(own)}
    assert abs(resumed.drawn - found.drawn) < 4
    assert set(after.outcomes) == set(rows.outcomes)
    assert all(json.loads(line) for line in second.read_text(encoding="utf-8").splitlines())
    # What is done is read, and draws nothing.
    idle = Rendered(most=0)
    read, _ = evaluated(second, idle, monkeypatch)
    assert idle.drawn == 0 and read == resumed
    with pytest.raises(InputError, match="another evaluation"):
        evaluated(second, idle, monkeypatch, choosing=5)
    (tmp_path / "note.txt").write_text("[1]\n", encoding="utf-8")
    with pytest.raises(InputError, match="no table of steering"):
        Rows(tmp_path / "note.txt", {})


def test_ways_that_know_the_place_are_chosen_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, rows = evaluated(tmp_path / "rows.jsonl", Rendered(), monkeypatch)
    assert found.chosen == {"colour": "tokens, strength 1, steps all"}
    assert found.local == {"colour": "tokens, strength 1, steps all, where the thing is"}
    by = {each.way: each for each in found.rates}
    assert by[CHOSEN].hit[0] == by[LOCAL].hit[0] == 1 and by["noise of equal norm"].hit[0] == 0
    assert {each.n for each in found.rates} == {6}
    page = page_of(found, rows, "diffuscope evaluate steer").text()
    assert "| colour | steered, as chosen | 6 | 100%" in page and "Success of others" not in page
    # The same from the file alone.
    read = Rows(tmp_path / "rows.jsonl", None)
    assert {**table_so_far(read).to_json(), "seconds": 0} == {**found.to_json(), "seconds": 0}
    assert (
        page_of(found, read, "diffuscope evaluate steer").text()
        == page_of(found, rows, "diffuscope evaluate steer").text()
    )


def test_where_a_thing_is() -> None:
    told = scenes.parse("a big red circle left of a blue square in the desert")
    assert told is not None
    image = Image.fromarray(scenes.render(scenes.lay_out(told, np.random.default_rng(1))).image)
    reading = accepted(image, told)
    assert reading is not None
    circle, square = (reading.find(noun) for noun in ("circle", "square"))
    assert circle is not None and square is not None
    colour = place_of(Triple(told, "colour", 0, "green", 1), reading)
    assert (
        colour[circle.mask].all() and not colour[square.mask].any() and colour.sum() < 2 * circle.mask.sum()
    )
    backdrop = place_of(Triple(told, "place", None, "snow", 1), reading)
    assert not backdrop[circle.mask | square.mask].any() and backdrop.any()
    triple = Triple(told, "colour", 0, "green", 1)
    edit = edit_of(triple, Way("tokens", 1.0, "all", local=True, noise=True), colour)
    assert isinstance(edit, Control) and isinstance(edit.edit, Steer) and edit.edit.patches is not None
    with pytest.raises(InputError, match="place"):
        edit_of(triple, Way(local=True))


def test_windows_in_parts_of_a_run() -> None:
    assert [steering.window_of(text, 10) for text in ("20%:100%", "0%:100%", "window", "3:5")] == [
        "2:10",
        "all",
        "window",
        "3:5",
    ]
    for wrong in ("50%:20%", "20%", "x%:100%", "0%:1%"):
        with pytest.raises(InputError, match="no part of a run"):
            steering.window_of(wrong, 10)
    assert Way("tokens", 1.5, "2:10", local=True) in steering.ways(steps=10)
    assert len(steering.ways(["phrase"], [1.0], ["all"], local=True)) == 2


def test_the_sign_test_is_the_binomials() -> None:
    assert sign_test(0, 0) == 1 and sign_test(3, 3) == 1
    assert sign_test(0, 5) == sign_test(5, 0) == pytest.approx(2 / 32)
