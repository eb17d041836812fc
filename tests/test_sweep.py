"""Sweeps draw what single edits draw, beside a row without them, no more of it than they must, and once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explicit_edits import arguments
from PIL import Image

import diffuscope as ds
from diffuscope.analysis.sweeps import JOURNAL, Swept, key_of, read_sweep
from diffuscope.edits import Custom, Edit, Reprompt, Scale, Silence, Steer, control
from diffuscope.engine import Lens
from diffuscope.errors import EditError, InputError, RunNotFoundError, SelectionError, UnknownWordError
from diffuscope.run import Run
from diffuscope.testing import random_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STEPS = 4
LATE: list[Edit] = [Scale(-2.0, steps="2:4", heads="0"), Silence("cat", steps="2:4")]
EARLY = Scale(0.0, steps="1", sites="cross:mid")


class Counting:
    """Counts the rows that the denoiser itself computes, below everything that is put on its forward."""

    def __init__(self, lens: Lens) -> None:
        self.rows: list[int] = []
        lens.pipe.unet.conv_in.register_forward_pre_hook(lambda _, given: self.rows.append(len(given[0])))

    def of(self, draw: Any) -> list[int]:
        before = len(self.rows)
        draw()
        return self.rows[before:]


@pytest.fixture(scope="module")
def lens() -> Lens:
    return Lens(random_pipeline("sd15"))


@pytest.fixture(scope="module")
def run(lens: Lens, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs")
    made = lens.record(
        "a cat by a tree",
        seed=3,
        steps=STEPS,
        guidance_scale=3.0,
        width=32,
        height=16,
        out=out,
        previews=False,
    )
    assert isinstance(made, Run)
    return made


def apart(one: Image.Image, other: Image.Image) -> int:
    """Largest difference of two pictures, of 255."""
    return int(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max())


def test_a_sweep_draws_what_single_edits_draw(lens: Lens, run: Run, tmp_path: Path) -> None:
    items: list[Any] = [EARLY, LATE, [], control(LATE[1], seed=2), Steer("dog", word="cat", steps="1:3")]
    found = {made.index: made for made in lens.sweep(run, items, batch=3)}
    assert sorted(found) == list(range(len(items)))
    for index, item in enumerate(items):
        edits = [item] if isinstance(item, Edit) else item
        alone, made = lens.edit(run, *edits, out=tmp_path), found[index]
        assert made.edits == tuple(edits) and made.made
        # Rows of a batch round differently: at most a level of 255 after decoding, and as little without an edit.
        assert apart(made.image, alone.image) <= 1
        assert apart(made.unedited, run.image) <= 1
        one, two = (lab(each) for each in (made.unedited, made.image))
        assert made.change == pytest.approx(np.sqrt(((one - two) ** 2).sum(axis=-1)), abs=1e-4)
    assert found[2].latent == 0 and found[2].mean == 0
    assert all(found[index].latent > 1e-3 for index in (0, 1, 3, 4))


def lab(image: Image.Image) -> Any:
    from diffuscope.scenes.lab import to_lab

    return to_lab(np.asarray(image)).astype(float)


def test_a_picture_does_not_depend_on_what_is_drawn_beside_it(lens: Lens, run: Run) -> None:
    (one,) = (made for made in lens.sweep(run, [EARLY, LATE], batch=3) if made.index == 0)
    (two,) = (
        made for made in lens.sweep(run, [Reprompt("a dog", steps="1:4"), EARLY], batch=3) if made.index
    )
    assert np.array_equal(one.image, two.image) and one.latent == two.latent


def test_only_what_is_touched_is_computed(lens: Lens, run: Run) -> None:
    items = [EARLY, LATE[0], LATE[1], Scale(0.5, steps="3")]
    order: list[int] = []

    def draw() -> None:
        order.extend(made.index for made in lens.sweep(run, items, batch=3))

    rows = Counting(lens).of(draw)
    # Two batches of two variations and the unedited row, conditional and unconditional: from step 1, and from step 2.
    assert rows == [6] * 3 + [6] * 2
    assert order == [0, 1, 2, 3]
    assert list(dict.fromkeys(made.first for made in lens.sweep(run, items, batch=3))) == [1, 2]


def test_progress_is_what_is_drawn(lens: Lens, run: Run) -> None:
    told: list[tuple[int, int]] = []
    for _ in lens.sweep(run, [EARLY, *LATE], batch=2, progress=lambda *at: told.append(at)):
        pass
    assert told[-1] == (7, 7) and told == sorted(told) and len(set(told)) == 7


def test_a_sweep_is_taken_up_again(lens: Lens, run: Run, tmp_path: Path) -> None:
    items = [EARLY, *LATE, EARLY]
    count, out = Counting(lens), tmp_path / "sweep"
    some: Iterator[Swept] = lens.sweep(run, items, batch=2, out=out)
    first = [next(some), next(some)]
    del some
    assert [made.index for made in first] == [0, 3]
    journal = out / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"key": "cut sh')
    again: list[Swept] = []
    rows = count.of(lambda: again.extend(lens.sweep(run, items, batch=3, out=out)))
    assert rows == [6] * 2
    assert [(made.index, made.made) for made in again] == [(0, False), (3, False), (1, True), (2, True)]
    assert np.array_equal(again[0].image, first[0].image) and again[0].latent == first[0].latent
    assert again[0].to_json() | {"made": True} == first[0].to_json()
    assert count.of(lambda: list(lens.sweep(run, items, out=out))) == []
    read = read_sweep(out)
    assert [made.edits for made in read] == [(EARLY,), (LATE[0],), (LATE[1],)]
    # A picture that is not what it was is drawn once more.
    entry = next(
        path for path in (out / "pictures").iterdir() if np.array_equal(Image.open(path), read[1].image)
    )
    entry.write_bytes(b"no picture")
    assert [made.made for made in lens.sweep(run, items, out=out)].count(True) == 1


def test_a_folder_holds_one_sweep(lens: Lens, run: Run, tmp_path: Path) -> None:
    list(lens.sweep(run, [], out=tmp_path / "sweep"))
    with pytest.raises(InputError, match="another keep"):
        lens.sweep(run, [], out=tmp_path / "sweep", keep="maps")
    with pytest.raises(RunNotFoundError):
        read_sweep(tmp_path)
    assert read_sweep(tmp_path / "sweep") == []


def test_it_can_be_cancelled(lens: Lens, run: Run, tmp_path: Path) -> None:
    calls = 0

    def enough() -> bool:
        nonlocal calls
        calls += 1
        return calls > 4

    found = list(lens.sweep(run, LATE, batch=2, out=tmp_path / "sweep", cancel=enough))
    assert [made.index for made in found] == [0]
    assert "forward" not in vars(lens.pipe.unet) and "step" not in vars(lens.pipe.scheduler)
    assert len(read_sweep(tmp_path / "sweep")) == 1


def test_nothing_is_left_between_two_results(lens: Lens, run: Run) -> None:
    scheduler = lens.pipe.scheduler
    for _ in lens.sweep(run, LATE, batch=2):
        assert lens.pipe.scheduler is scheduler and "forward" not in vars(lens.pipe.unet)
        assert "encode_prompt" not in vars(lens.pipe)


def test_variations_are_recorded(lens: Lens, run: Run, tmp_path: Path) -> None:
    found = list(lens.sweep(run, [LATE, EARLY], batch=3, keep="maps", out=tmp_path / "sweep"))
    for made in found:
        assert made.run is not None and made.baseline is not None
        edited, baseline = ds.open(made.run), ds.open(made.baseline)
        assert edited.manifest.parent == baseline.manifest.parent == run.id
        assert [each["edit"] for each in edited.manifest.edits] == [each.kind for each in made.edits]
        assert baseline.manifest.edits == [] and edited.manifest.keep.level == "maps"
        assert np.array_equal(edited.image, made.image) and np.array_equal(baseline.image, made.unedited)
        assert ds.compare(baseline, edited).to_json()["change"]["mean"] == pytest.approx(made.mean, abs=1e-4)
        assert edited.word("tree").map().array == pytest.approx(
            lens.edit(run, *made.edits, out=tmp_path).word("tree").map().array, abs=1e-5
        )
    again = list(lens.sweep(run, [LATE, EARLY], keep="maps", out=tmp_path / "sweep"))
    assert {made.run for made in again} == {made.run for made in found}


def test_edits_of_the_run_stay_on(lens: Lens, run: Run, tmp_path: Path) -> None:
    edited = lens.edit(run, EARLY, out=tmp_path)
    (made,) = lens.sweep(edited, [LATE])
    assert apart(made.unedited, edited.image) <= 1
    assert apart(made.image, lens.edit(edited, *LATE, out=tmp_path).image) <= 1


@pytest.mark.parametrize("family", ["sdxl", "pixart", "sd3", "flux"])
def test_every_family_is_swept(family: str, tmp_path: Path) -> None:
    lens = Lens(random_pipeline(family))
    asked = {**arguments(family), "steps": 3, "width": 32, "height": 16, "seed": 1}
    run = lens.record("a cat by a tree", out=tmp_path, previews=False, **asked)
    edit = Scale(-1.0, steps="1:3")
    (made,) = lens.sweep(run, [edit])
    alone = lens.edit(run, edit, out=tmp_path)
    assert made.first == 1 and made.latent > 0
    assert apart(made.unedited, run.image) <= 1 and apart(made.image, alone.image) <= 1


def test_bad_input_is_told_when_it_is_asked_for(lens: Lens, run: Run, tmp_path: Path) -> None:
    ok = Scale(0.0)
    for items, error in (
        ([ok, Scale(0.0, steps="9")], SelectionError),
        ([ok, Scale(0.0, heads="40")], SelectionError),
        ([[ok, Silence("zebra")]], UnknownWordError),
        ([[Reprompt("a"), Reprompt("b")]], EditError),
        ([ok, "scale"], EditError),
    ):
        with pytest.raises(error):
            lens.sweep(run, items)  # type: ignore[arg-type]
    for settings, match in (
        ({"batch": 1}, "2 or more"),
        ({"keep": "maps"}, "out="),
        ({"keep": "all", "out": tmp_path}, "one of none, maps"),
    ):
        with pytest.raises(InputError, match=match):
            lens.sweep(run, [ok], **settings)  # type: ignore[arg-type]
    late = Custom(lambda q, k, v, out, context: 0 * out, steps="3")
    assert [made.latent > 0 for made in lens.sweep(run, [late])] == [True]
    with pytest.raises(EditError, match="no form on disk"):
        lens.sweep(run, [late], out=tmp_path / "sweep")


def test_a_key_is_that_of_the_edits() -> None:
    assert key_of([Scale(0, heads="1,0")]) == key_of([Scale(0.0, heads="0:2")]) != key_of([Scale(0)])
