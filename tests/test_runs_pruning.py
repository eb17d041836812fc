"""A pruned run holds less, and what it holds reads exactly as before."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tiny_recording as tiny
from synthetic_run import make_run
from tiny_recording import CROSS, SELF, write_run

import diffuscope as ds
from diffuscope.errors import (
    CorruptRecordingError,
    InputError,
    NotKeptError,
    RunFolderError,
    RunNotFoundError,
)
from diffuscope.recording import Pruning, Recording, RunWriter, TensorFile
from diffuscope.recording.shelf import file_sizes
from diffuscope.recording.trash import Trash
from diffuscope.recording.verify import verify


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the device is against power failures alone, and takes longer than all the rest."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in file_sizes(folder)}


def states(folder: Path) -> dict[str, tuple[int, ...]]:
    found = {name: (folder / name).lstat() for name in file_sizes(folder)}
    return {name: (state.st_ino, state.st_size, state.st_mtime_ns) for name, state in found.items()}


def all_tensors(folder: Path) -> dict[tuple[str, str], tuple[str, tuple[int, ...], bytes]]:
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        file = TensorFile(path, sealed=True)
        for key in file.keys():  # noqa: SIM118 - a file, not a mapping
            array = file.read(key)
            found[path.relative_to(folder).as_posix(), key] = (str(array.dtype), array.shape, array.tobytes())
    return found


def pruned(folder: Path, keep: str | None = None, *, previews: bool = True) -> Recording:
    Pruning.plan(folder, keep, previews=previews).apply()
    found = verify(folder)
    assert found.whole and found.unnamed == ()
    return Recording.open(folder)


@pytest.mark.parametrize("level", ["qk", "cross"])
@pytest.mark.parametrize("keep", ["cross", "maps"])
@pytest.mark.parametrize("stop", [None, "Ctrl-C"])
def test_a_pruned_run_is_the_one_that_would_have_been_recorded_at_that_level(
    tmp_path: Path, level: str, keep: str, stop: str | None
) -> None:
    run = write_run(tmp_path / "runs" / "run", level=level, calls=2, stop=stop)
    before = Recording.open(run).manifest
    tensors = all_tensors(run)
    recording = pruned(run, keep)
    assert recording.manifest.keep.level == keep
    same = {"keep": before.keep, "steps": [], "files": []}
    assert recording.manifest.model_copy(update=same) == before.model_copy(update=same)
    lower = all_tensors(write_run(tmp_path / "lower" / "run", level=keep, calls=2, stop=stop))
    # The writer of the tests writes no text at all at this level; the engine writes the embedding.
    text = (
        {("text.safetensors", "embedding@0"): tensors["text.safetensors", "embedding@0"]}
        if keep == "maps"
        else {}
    )
    assert all_tensors(run) == lower | text
    assert {key: tensors[key] for key in all_tensors(run)} == all_tensors(run)


def test_word_maps_and_heads_read_as_before(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", level="qk", self_sites=True, dtype=np.float16, calls=2)
    opened = ds.open(run)
    wanted = {
        "map": opened.word("circle").map().array,
        "head": opened.word("zeppelin").map(sites="cross:up.*", heads=1, steps="1:3").array,
        "padding": opened.word("<padding>").map(size="image").array,
        "mass": opened.word("red").mass(),
    }
    query = opened.recording.query("cross:mid", 2).tobytes()
    picture = np.asarray(opened.image)
    pruned(run, "cross")
    again = ds.open(run)
    np.testing.assert_array_equal(again.word("circle").map().array, wanted["map"])
    np.testing.assert_array_equal(
        again.word("zeppelin").map(sites="cross:up.*", heads=1, steps="1:3").array, wanted["head"]
    )
    np.testing.assert_array_equal(again.word("<padding>").map(size="image").array, wanted["padding"])
    assert again.recording.query("cross:mid", 2).tobytes() == query
    with pytest.raises(NotKeptError, match="'qk'"):
        again.recording.query("self:mid", 2)
    pruned(run, "maps")
    again = ds.open(run)
    np.testing.assert_array_equal(again.word("circle").map().array, wanted["map"])
    np.testing.assert_array_equal(again.word("red").mass(), wanted["mass"])
    np.testing.assert_array_equal(np.asarray(again.image), picture)
    with pytest.raises(NotKeptError, match="'cross'"):
        again.word("zeppelin").map(heads=1)


def test_text_of_several_versions(tmp_path: Path) -> None:
    def write(folder: Path) -> Path:
        with RunWriter(folder, tiny.manifest("run", asked=4)) as writer:
            writer.write_text(tiny.text(0))
            for index in range(4):
                if index == 2:
                    writer.write_text(
                        {f"{kind}/{CROSS}@2": tiny.text(2)[f"{kind}/{CROSS}@2"] for kind in "kv"}
                    )
                if index == 3:
                    writer.write_text(tiny.text(3))
                each = tiny.step(index)
                writer.write_step(each, tiny.tensors(each), tiny.maps(each))
            writer.finish(tiny.picture())
        return folder

    run = write(tmp_path / "run")
    before = Recording.open(run)
    keys = [before.keys(CROSS, index).copy() for index in range(4)]
    embeddings = [before.text("embedding", index).copy() for index in range(4)]
    after = pruned(run, "cross")
    for index in range(4):
        np.testing.assert_array_equal(after.keys(CROSS, index), keys[index])
        np.testing.assert_array_equal(after.text("embedding", index), embeddings[index])
    after = pruned(run, "maps")
    assert not (run / "text" / "0001.safetensors").exists()  # Keys and values were all that it held.
    for index in range(4):
        np.testing.assert_array_equal(after.text("embedding", index), embeddings[index])
        np.testing.assert_array_equal(
            after.word_maps(CROSS, index), tiny.maps(tiny.step(index))[f"{CROSS}@{index}"]
        )
        with pytest.raises(NotKeptError):
            after.keys(CROSS, index)


def test_tensors_go_by_what_they_belong_to(tmp_path: Path) -> None:
    """Masks, log-sum-exps, values and output projections; what no site is named for stays."""
    extra = {f"{kind}/{SELF}@0": np.ones((2, 6), np.float32) for kind in ("lse", "v", "mask")}
    text = {
        f"{kind}/{site}@0": np.ones((1, 1, 4), np.float32)
        for kind in ("gram", "mask")
        for site in (CROSS, SELF)
    }
    other = {"unheard/of@0": np.ones(3, np.float32), "alone": np.ones(3, np.float32)}
    with RunWriter(tmp_path / "run", tiny.manifest("run", asked=1)) as writer:
        each = tiny.step(0)
        writer.write_text(tiny.text() | text)
        writer.write_step(each, tiny.tensors(each) | extra | other, tiny.maps(each))
        writer.finish(tiny.picture())
    pruned(tmp_path / "run", "cross")
    keys = {key for _, key in all_tensors(tmp_path / "run")}
    assert not keys & extra.keys() and other.keys() <= keys
    assert text.keys() - keys == {f"mask/{SELF}@0"}
    pruned(tmp_path / "run", "maps")
    keys = {key for _, key in all_tensors(tmp_path / "run")}
    assert not keys & text.keys() and other.keys() <= keys and f"{CROSS}@0" in keys


def test_previews_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    before = contents(run)
    recording = pruned(run, previews=False)
    assert recording.manifest.keep.level == "qk"
    after = contents(run)
    assert before.keys() - after.keys() == {f"previews/000{index}.png" for index in range(4)}
    assert all(after[name] == before[name] for name in after.keys() - {"manifest.json"})
    with pytest.raises(NotKeptError):
        recording.preview(0)
    assert Pruning.plan(run, previews=False).nothing


def test_what_others_put_into_the_folder_stays_and_debris_goes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", stop="killed")
    (run / "report.html").write_text("mine")
    (run / "notes" / "deep").mkdir(parents=True)
    (run / "notes" / "deep" / "a.txt").write_text("mine too")
    (run / "steps" / "0009.safetensors").write_bytes(b"never named")
    (run / ".image.png.1234.part").write_bytes(b"half")
    events = (run / "events.jsonl").read_bytes()
    Pruning.plan(run, "maps").apply()
    assert (run / "report.html").read_text() == "mine" and (run / "notes" / "deep" / "a.txt").exists()
    assert (run / "events.jsonl").read_bytes() == events
    assert verify(run).unnamed == ("notes/deep/a.txt", "report.html")


def test_a_dry_run_changes_nothing_and_says_what_it_would_free(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "run", level="qk", self_sites=True)
    before = contents(run)
    plan = Pruning.plan(run, "maps", previews=False)
    assert contents(run) == before and not (tmp_path / "runs" / ".trash").exists()
    plan.apply()
    freed = sum(map(len, before.values())) - sum(file_sizes(run).values())
    assert plan.frees == pytest.approx(freed, rel=0.05)


def test_pruning_can_be_undone_bit_for_bit(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    before = contents(run)
    old = Pruning.plan(run, "cross").apply()
    assert old is not None and contents(old.path) == before
    assert Pruning.plan(run, "cross").apply() is None
    cross = contents(run)
    Pruning.plan(run, "maps").apply()
    trash = Trash(tmp_path)
    for expected in (cross, before):
        restored = trash.restore("run")
        assert contents(run) == expected and restored.aside is not None
    with pytest.raises(RunNotFoundError):
        trash.restore("run")
    trash.restore(restored.aside.entry)  # An undoing can be undone as well.
    assert contents(run) == cross


def test_never_upward(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", level="maps")
    before = contents(run)
    with pytest.raises(NotKeptError, match="record again"):
        Pruning.plan(run, "cross")
    with pytest.raises(InputError, match="maps, cross, qk"):
        Pruning.plan(run, "nothing")  # type: ignore[arg-type]
    assert Pruning.plan(run, "maps").nothing and contents(run) == before


def test_a_run_without_word_maps_is_not_emptied(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", maps=False)
    with pytest.raises(NotKeptError, match="word maps"):
        Pruning.plan(run, "maps")


@pytest.mark.parametrize(
    "name", ["image.png", "steps/0002.safetensors", "maps/0001.safetensors", "text.safetensors"]
)
@pytest.mark.parametrize("how", ["flip", "cut", "lose", "link"])
def test_a_damaged_run_is_refused_and_left_as_it_is(tmp_path: Path, name: str, how: str) -> None:
    run = write_run(tmp_path / "runs" / "run")
    path = run / name
    content = path.read_bytes()
    path.unlink()
    if how == "flip":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "cut":
        path.write_bytes(content[:-1])
    elif how == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    before = states(run)
    with pytest.raises(CorruptRecordingError):
        Pruning.plan(run, "cross").apply()
    assert states(run) == before
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]


def test_a_run_that_is_being_written_needs_force(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run", tiny.manifest("run")) as writer:
        each = tiny.step(0)
        writer.write_step(each, tiny.tensors(each), tiny.maps(each))
        writer.flush()
        with pytest.raises(RunFolderError, match="--force"):
            Pruning.plan(tmp_path / "run", "cross")
        assert not Pruning.plan(tmp_path / "run", "cross", force=True).nothing


def test_a_pruned_run_of_a_killed_process_does_not_look_as_if_it_ran(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run", tiny.manifest("run"))
    each = tiny.step(0)
    writer.write_step(each, tiny.tensors(each), tiny.maps(each))
    writer.flush()
    Pruning.plan(tmp_path / "run", "cross", force=True).apply()
    Pruning.plan(tmp_path / "run", "maps").apply()
    writer._background.close()
