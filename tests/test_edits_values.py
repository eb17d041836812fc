"""Edits as values: normal forms, JSON and back, a schema that says what the code takes, one line of English."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diffuscope.edits import (
    KINDS,
    Control,
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
    from_json,
    load,
    save,
    to_json,
)
from diffuscope.edits.json_schema import SCHEMA, json_schema
from diffuscope.errors import EditError, RegionError, SelectionError

TEXTS = st.text(min_size=1).filter(lambda text: text.strip())
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PATCHES = st.one_of(
    st.none(),
    st.just(PatchChoice.box(0, 1, 5, 6)),
    st.just(PatchChoice.cells([(3, 4), (4, 4)], grid=(8, 16))),
    st.just(PatchChoice.contour([(0, 0), (8.5, 0), (4, 7)])),
    st.just(PatchChoice.mask(np.eye(4))),
)
AIM: dict[str, Any] = {
    "steps": st.sampled_from(["all", "3", "0:10", "2,5:", "window"]),
    "sites": st.sampled_from(["all", "cross:mid", "cross:up.*,self:mid"]),
    "heads": st.sampled_from(["all", "0", "0,3:5"]),
    "patches": PATCHES,
}
EDITS = st.one_of(
    st.builds(Scale, NUMBERS, **AIM),
    st.builds(Encode, TEXTS, NUMBERS, **AIM),
    st.builds(Patch, TEXTS, NUMBERS, **AIM),
    st.builds(Inject, TEXTS, st.sampled_from(["cross", "self", "joint"]), NUMBERS, **AIM),
    st.builds(Reweight, TEXTS, NUMBERS.map(abs), st.sampled_from(["probability", "logits", "odds"]), **AIM),
    st.builds(Silence, TEXTS, **AIM),
    st.builds(Reprompt, TEXTS, **AIM),
    st.builds(Steer, TEXTS, st.none(), st.none() | TEXTS, NUMBERS, **AIM),
    st.builds(
        Steer, TEXTS, strength=NUMBERS, space=st.just("guidance"), quantile=st.none() | st.floats(0, 0.99)
    ),
)
EVERY = st.one_of(EDITS, st.builds(control, EDITS, st.integers(0, 2**40)))


@settings(max_examples=150, deadline=None)
@given(EVERY)
def test_edits_survive_json(edit: Edit) -> None:
    written = json.loads(json.dumps(edit.to_json()))
    assert from_json(written) == edit
    assert hash(from_json(written)) == hash(edit)
    assert "\n" not in edit.describe() and edit.describe()


def test_the_schema_is_that_of_the_code_and_takes_what_edits_write() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema()
    named = {
        each["properties"]["edit"]["const"]
        for each in json_schema()["$defs"].values()
        if "edit" in each["properties"]
    }
    assert named == KINDS.keys() - {"custom"}


@settings(max_examples=60, deadline=None)
@given(EVERY)
def test_what_an_edit_writes_is_named_in_the_schema(edit: Edit) -> None:
    described = json_schema()["$defs"][edit.kind]
    written = edit.to_json()
    assert written.keys() <= described["properties"].keys()
    assert set(described["required"]) <= written.keys()


def test_fields_are_brought_to_normal_form() -> None:
    assert Scale(0, steps=[2, 0, 1], heads=3, sites=["cross:up.*", "cross:mid"]) == Scale(
        0.0, steps="0:3", heads="3", sites="cross:mid,cross:up.*"
    )
    assert Silence(" red  cat ").word == "red cat"
    assert Scale(2, patches="box:0,0,3,3").patches == PatchChoice.box(0, 0, 3, 3)
    assert Scale(2, patches={"region": "pixels:1,2", "grid": [4, 4]}).patches == PatchChoice.cells(
        [(1, 2)], grid="4x4"
    )


def test_the_window_is_a_fifth_to_three_fifths_of_the_run() -> None:
    assert Steer("blue").resolve_steps(50) == tuple(range(10, 30))
    assert Steer("blue").resolve_steps(25) == tuple(range(5, 15))
    assert Scale(0, steps="window").resolve_steps(1) == (0,)
    assert Steer("blue", steps="all").resolve_steps(3) == (0, 1, 2)


def test_edits_are_kept_in_files_in_their_order(tmp_path: Path) -> None:
    edits = [Scale(0, heads=1), control(Silence("cat"), 3), Encode("", patches=PatchChoice.mask(np.eye(3)))]
    path = save(tmp_path / "edits.json", edits)
    assert load(path) == edits
    one = save(tmp_path / "one.json", Silence("cat"))
    assert load(one) == [Silence("cat")]
    assert from_json(to_json(edits)) == edits
    (tmp_path / "object.json").write_text(json.dumps(Silence("cat").to_json()))
    assert load(tmp_path / "object.json") == [Silence("cat")]


def test_a_mask_goes_with_its_edit(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5] = 200
    Image.fromarray(mask).save(tmp_path / "mask.png")
    choice = PatchChoice.mask(tmp_path / "mask.png")
    assert choice == PatchChoice.mask(mask) == PatchChoice.mask(mask > 0)
    again = PatchChoice.of_json(json.loads(json.dumps(choice.to_json())))
    assert np.array_equal(again.levels() > 0, mask > 0)


BAD: list[tuple[Any, str]] = [
    (lambda: Scale(float("nan")), "factor=nan is no number"),
    (lambda: Scale("2"), "no number"),  # type: ignore[arg-type]
    (lambda: Scale(True), "no number"),
    (lambda: Scale(0, steps="5:2"), "is empty"),
    (lambda: Scale(0, heads=-1), "count from 0"),
    (lambda: Scale(0, sites=""), "empty pattern"),
    (lambda: Scale(0, heads=[]), "selects nothing"),
    (lambda: Scale(0, patches=3), "no part of a picture"),
    (lambda: Scale(0, patches="circle:3"), "bad region"),
    (lambda: Scale(0, patches="mask:" + "0" * 64), "goes with its content"),
    (lambda: PatchChoice.mask(np.zeros((3, 3))), "mask is empty"),
    (lambda: PatchChoice.mask([[float("inf")]]), "numbers of 0 or more"),
    (lambda: PatchChoice.mask("/no/such/file.png"), "cannot be read"),
    (lambda: PatchChoice.cells([]), "no patch was named"),
    (lambda: PatchChoice("box:0,0,1,1", png=b""), "is no mask"),
    (lambda: PatchChoice.box(0, 0, 1, 1, grid="16"), "no grid"),
    (lambda: PatchChoice.box(0, 0, 1, 1, grid=(0, 4)), "none that a model has"),
    (lambda: Silence(" "), "word is empty"),
    (lambda: Reweight("cat", -1, of="odds"), "never negative"),
    (lambda: Reweight("cat", 1, of="weights"), "one of: probability"),  # type: ignore[arg-type]
    (lambda: Inject("donor", "text"), "one of: cross, self, joint"),  # type: ignore[arg-type]
    (lambda: Patch(None), "is no run"),  # type: ignore[arg-type]
    (lambda: Steer("blue", away="Blue"), "no direction"),
    (lambda: Steer("blue", quantile=0.5), "space='guidance'"),
    (lambda: Steer("blue", quantile=1, space="guidance"), "less than 1"),
    (lambda: Steer("blue", space="guidance", heads=0), "no sites and heads"),
    (lambda: Custom("fn"), "no function"),  # type: ignore[arg-type]
    (lambda: control(control(Scale(0))), "no edit that has a control"),
    (lambda: control("scale"), "no edit that has a control"),  # type: ignore[arg-type]
    (lambda: Control(Scale(0), seed=-1), "from 0 on"),
    (lambda: Control(Scale(0), heads="1"), "the edit's own"),
    (lambda: from_json({"edit": "scal"}), "there is no edit 'scal'; there are: scale"),
    (lambda: from_json("scale"), "an edit reads"),
    (lambda: from_json({"edit": "scale"}), "says no factor"),
    (lambda: from_json({"edit": "scale", "faktor": 1}), "no 'faktor'; it has: factor"),
    (lambda: from_json({"edit": "custom", "name": "f"}), "no file holds"),
    (lambda: from_json({"edit": "control", "seed": 1}), "a control reads"),
    (lambda: from_json({"edit": "scale", "factor": 1, "patches": {"box": 1}}), "patches read"),
    (
        lambda: from_json(
            {"edit": "scale", "factor": 1, "patches": {"region": "mask:" + "0" * 64, "png": "%"}}
        ),
        "base64",
    ),
    (lambda: from_json({"edit": "scale", "factor": 1, "steps": {}}), "steps="),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=range(len(BAD)))
def test_what_is_no_edit_is_told_in_one_line(make: Any, message: str) -> None:
    with pytest.raises((EditError, SelectionError, RegionError)) as caught:
        make()
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_bad_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(EditError, match="is no JSON"):
        load(tmp_path / "bad.json")
    with pytest.raises(EditError, match="cannot be read"):
        load(tmp_path / "none.json")
    with pytest.raises(EditError, match="cannot be written to a file"):
        save(tmp_path / "fn.json", control(Custom(len)))


def test_a_function_is_named_where_it_cannot_be_kept() -> None:
    assert Custom(len, heads=1).to_json() == {"edit": "custom", "name": "len", "heads": "1"}
    assert "len" in Custom(len).describe()
