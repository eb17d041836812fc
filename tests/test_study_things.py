"""Edits of a study that act where a thing of the drawn world is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from diffuscope import scenes
from diffuscope.edits import PatchChoice, Silence
from diffuscope.engine.many import draw_many
from diffuscope.errors import InputError
from diffuscope.studies.conditions import disc, names_things, parsed, placed
from diffuscope.studies.study_worker import StudyWorker
from diffuscope.testing import save_random_pipeline

MIDDLE = {"edit": "encode", "text": "a ring", "patches": {"thing": "circle", "share": 0.6}}
ELSEWHERE = {**MIDDLE, "patches": {**MIDDLE["patches"], "elsewhere": True}}  # type: ignore[dict-item]


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    told = scenes.parse("a small red circle in the snow")
    assert told is not None
    return Image.fromarray(scenes.render(scenes.lay_out(told, np.random.default_rng(3))).image)


def mask_of(edit: dict[str, Any]) -> np.ndarray:
    return PatchChoice.of_json(edit["patches"]).levels() > 0


def test_a_disc_lies_on_the_thing_or_clear_of_it(picture: Image.Image) -> None:
    circle = scenes.read(picture).find("circle")
    assert circle is not None
    (middle,) = placed([MIDDLE], picture, 5)
    (there,) = placed([ELSEWHERE], picture, 5)
    assert (mask_of(middle) == disc(circle, 0.6)).all() and circle.mask[mask_of(middle)].all()
    assert mask_of(there).sum() == mask_of(middle).sum() and not (mask_of(there) & disc(circle, 0.75)).any()
    assert placed([ELSEWHERE], picture, 5) == (there,) and placed([ELSEWHERE], picture, 6) != (there,)
    assert parsed([middle, there], "x")[0].kind == "encode"


def test_a_control_is_placed_as_its_edit(picture: Image.Image) -> None:
    (found,) = placed([{"edit": "control", "of": MIDDLE, "seed": 2}], picture, 5)
    assert found["of"] == placed([MIDDLE], picture, 5)[0] and found["seed"] == 2


def test_what_names_no_thing_stays_and_what_is_not_seen_is_left_out(picture: Image.Image) -> None:
    plain = {"edit": "silence", "word": "circle"}
    assert placed([plain], picture, 1) == (plain,) and not names_things([plain])
    house = {**MIDDLE, "patches": {"thing": "house", "share": 1}}
    assert placed([plain, house], picture, 1) == (plain,)


@pytest.mark.parametrize(
    "patches",
    [
        {"thing": "zebra", "share": 0.5},
        {"thing": "circle"},
        {"thing": "circle", "share": 0},
        {"thing": "circle", "share": True},
        {"thing": "circle", "share": 0.5, "where": "here"},
        {"thing": "circle", "share": 0.5, "elsewhere": "yes"},
    ],
)
def test_patches_of_things_are_checked_before_anything_is_drawn(patches: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="condition 'x': patches of a thing"):
        parsed([{**MIDDLE, "patches": patches}], "x")
    assert parsed([MIDDLE], "x")[0].kind == "encode"


# Drawn in batches.


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_pipeline(tmp_path_factory.mktemp("models") / "tiny")


def jobs(edits: list[dict[str, Any]], seeds: tuple[int, ...] = (3, 4)) -> list[dict[str, Any]]:
    return [
        {
            "key": f"{seed}" * 64,
            "prompt": "a red cat",
            "factors": {},
            "seed": seed,
            "settings": {"steps": 2},
            "edits": edits,
        }
        for seed in seeds
    ]


def worker(model: Path, folder: Path, *measures: str) -> StudyWorker:
    return StudyWorker(
        folder=str(folder), model={"id": str(model)}, measures=[{"name": name} for name in measures]
    )


def test_edits_are_drawn_in_batches_where_the_picture_alone_is_measured(model: Path, tmp_path: Path) -> None:
    edits = [{"edit": "silence", "word": "cat"}]
    drawing = worker(model, tmp_path, "brightness")
    rows = drawing.work(jobs(edits))
    assert [(row["status"], row["batch"]) for row in rows] == [("ok", 2)] * 2
    images = draw_many(
        drawing.lens, [("a red cat", 3), ("a red cat", 4)], {"steps": 2}, [[Silence("cat")], [Silence("cat")]]
    )
    for row, image in zip(rows, images, strict=True):
        assert row["picture_sha256"] == hashlib.sha256(image.tobytes()).hexdigest()
    assert rows[0]["picture_sha256"] != drawing.work(jobs([]))[0]["picture_sha256"]


def test_a_replay_is_drawn_by_itself_whatever_the_batch(model: Path, tmp_path: Path) -> None:
    edits = [{"edit": "scale", "factor": 0.0, "sites": "cross:mid"}]
    drawing = worker(model, tmp_path, "change")
    together, alone = drawing.work(jobs(edits)), [drawing.work([job])[0] for job in jobs(edits)]
    assert [row["batch"] for row in together] == [1, 1]
    assert [row["values"] for row in together] == [row["values"] for row in alone]
    assert together[0]["values"][0]["value"] > 0


def test_a_thing_is_looked_for_on_the_unedited_picture_once(
    model: Path, picture: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = worker(model, tmp_path, "brightness")
    seen: list[Any] = []

    def drawn(lens: Any, pairs: Any, settings: Any, edits: Any = ()) -> list[Image.Image]:
        seen.append(edits)
        return [picture] * len(pairs)

    monkeypatch.setattr("diffuscope.engine.many.draw_many", drawn)
    for _ in range(2):
        drawing.work(jobs([MIDDLE]))
    plain, first, second = seen
    assert plain == () and first == second and len(first) == 2
    assert first[0] == parsed(placed([MIDDLE], picture, 3), "x")
