"""What is removed lies whole in the trash for a week; a kill at any moment loses nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tiny_recording import write_run

from diffuscope.errors import RunFolderError, RunNotFoundError
from diffuscope.recording import Pruning, Trash, list_runs, unpack_run
from diffuscope.recording.archive import pack_run
from diffuscope.recording.shelf import file_sizes
from diffuscope.recording.trash import KEPT, Trashed

HERE = Path(__file__).parent


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in file_sizes(folder)}


def aged(run: Trashed, by: timedelta) -> Path:
    """Let an entry be older than it is."""
    entry = run.path.parent
    since = f"{run.since - by:%Y%m%dT%H%M%S%fZ}"
    return entry.rename(entry.with_name(f"{since}-{entry.name.partition('-')[2]}"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the device is against power failures alone, and takes longer than all the rest."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "run")


@pytest.fixture
def trash(run: Path) -> Trash:
    return Trash(run.parent)


def test_removed_and_restored_bit_for_bit(run: Path, trash: Trash) -> None:
    before = contents(run)
    put = trash.put(run)
    assert not run.exists() and contents(put.path) == before
    assert trash.entries() == [put] and (put.name, put.kind) == ("run", "removed")
    assert put.until - put.since == KEPT == timedelta(days=7) and put.bytes == sum(map(len, before.values()))
    assert list_runs(run.parent) == []
    restored = trash.restore("run")
    assert (restored.path, restored.aside) == (run, None) and contents(run) == before
    assert not trash.folder.exists()  # It leaves no trace where it is not needed.


def test_a_name_means_what_came_last_and_an_entry_exactly_one(run: Path, trash: Trash) -> None:
    first = trash.put(run)
    write_run(run, level="cross")
    second = trash.put(run)
    write_run(run, level="maps")
    third = trash.put(run)
    assert [each.entry for each in trash.entries()] == [third.entry, second.entry, first.entry]
    assert trash.find("run") == third and trash.find(second.entry) == second
    trash.restore(first.entry)
    assert list_runs(run.parent)[0].manifest.keep.level == "qk"  # type: ignore[union-attr]
    with pytest.raises(RunFolderError, match="exists"):
        trash.restore("run")
    with pytest.raises(RunNotFoundError, match="it has: run"):
        trash.restore("rnu")


def test_another_run_in_the_place_of_a_pruned_one_is_not_exchanged(run: Path, trash: Trash) -> None:
    Pruning.plan(run, "maps").apply()
    run.rename(run.with_name("moved"))
    write_run(run.with_name("other")).rename(run)
    with pytest.raises(RunFolderError, match="exists"):
        trash.restore("run")
    shutil.rmtree(run)
    assert trash.restore("run").aside is None and (run / "steps").is_dir()


def test_a_damaged_pruned_run_gives_way_to_what_it_was(run: Path, trash: Trash) -> None:
    before = contents(run)
    Pruning.plan(run, "maps").apply()
    (run / "manifest.json").write_bytes(b"{")
    assert trash.restore("run").aside is not None and contents(run) == before


def test_what_has_had_its_time_is_deleted_and_nothing_else(run: Path, trash: Trash) -> None:
    expired = trash.put(run)
    gone = aged(expired, KEPT)
    write_run(run)
    kept = trash.put(run)
    aged(kept, KEPT - timedelta(minutes=1))
    stranger = trash.folder / "mine"
    stranger.mkdir()
    odd = trash.folder / "99999999T999999999999Z-removed-aaaa"
    odd.mkdir()
    assert [each.entry for each in trash.expire()] == [gone.name]
    assert len(trash.entries()) == 1 and stranger.exists() and odd.exists()


def test_what_killed_processes_left_is_deleted_after_a_day(run: Path, trash: Trash) -> None:
    for kind in ("unfinished", "removed"):
        for age in (timedelta(hours=1), timedelta(days=2)):
            when = f"{datetime.now(UTC) - age:%Y%m%dT%H%M%S%fZ}"
            (trash.folder / f"{when}-{kind}-aaaa").mkdir(parents=True)
            if kind == "unfinished":
                shutil.copytree(run, trash.folder / f"{when}-{kind}-aaaa" / "run")
    (trash.folder / f"{when}-leaving-aaaa").mkdir()
    assert trash.entries() == [] and trash.expire() == []
    assert len(list(trash.folder.iterdir())) == 2
    trash.empty()
    assert not trash.folder.exists()


def test_emptying_says_what_is_gone(run: Path, trash: Trash) -> None:
    Pruning.plan(run, "cross").apply()
    trash.put(run)
    assert [each.kind for each in trash.empty()] == ["removed", "pruned"]
    assert list(run.parent.iterdir()) == [] and trash.empty() == []


def test_deleting_at_once(run: Path, trash: Trash) -> None:
    trash.delete(run)
    assert list(run.parent.iterdir()) == []


def test_a_trash_that_cannot_be_made_is_an_error_and_the_run_stays(run: Path, trash: Trash) -> None:
    trash.folder.write_text("in the way")
    before = contents(run)
    for act in (trash.put, trash.delete, lambda run: Pruning.plan(run, "maps").apply()):
        with pytest.raises(RunFolderError, match="cannot write"):
            act(run)
    assert contents(run) == before and trash.entries() == []


# Failures of every step, and kills between them.


def remove(runs: Path) -> None:
    Trash(runs).put(runs / "run")


def prune(runs: Path) -> None:
    Pruning.plan(runs / "run", "maps").apply()


def restore_removed(runs: Path) -> None:
    Trash(runs).restore("run")


def unpack(runs: Path) -> None:
    unpack_run(runs.parent / "run.diffuscope.zip", runs)


ACTS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "remove": (lambda runs: None, remove),
    "prune": (lambda runs: None, prune),
    "restore": (remove, restore_removed),
    "undo": (prune, restore_removed),
    "unpack": (lambda runs: (pack_run(runs / "run", runs.parent), shutil.rmtree(runs / "run"))[0], unpack),
}
"""What is done before, and what is then interrupted."""

CALLS = ("rename", "replace", "mkdir", "rmdir")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("act", ACTS)
def test_whatever_step_fails_the_run_is_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, error: BaseException
) -> None:
    prepare, do = ACTS[act]
    made = write_run(tmp_path / "made" / "run", steps=2)
    number, failed = 0, True
    while failed:
        runs = tmp_path / str(number) / "runs"
        shutil.copytree(made, runs / "run")
        prepare(runs)
        before, place = whole_runs(runs), contents(runs / "run")
        failed, raised = fails_at(number, runs, do, error, monkeypatch)
        if raised:
            assert contents(runs / "run") == place, number
        if failed:
            after = whole_runs(runs)
            assert before <= after, number
            assert not [path for path in runs.glob("*") if path.name not in ("run", ".trash")]
            for entry in (runs / ".trash").glob("*"):
                assert list(entry.iterdir()) and "unfinished" not in entry.name, number
        number += 1
    assert number > 1


def fails_at(
    number: int, runs: Path, do: Callable[[Path], None], error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> tuple[bool, bool]:
    """Do something whose so-manieth change of the folder fails; whether it came so far, and whether it gave up."""
    count = 0

    def counted(real: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object, **kwargs: object) -> None:
            nonlocal count
            count += 1
            if count == number + 1:
                raise error
            real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "mkdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            do(runs)
        except (RunFolderError, KeyboardInterrupt) as raised:
            assert isinstance(raised, RunFolderError) == isinstance(error, OSError)
            assert count > number
            return True, True
    return count > number, False  # Making a folder that is there already may fail.


def whole_runs(runs: Path) -> set[frozenset[tuple[str, bytes]]]:
    """Contents of every run in the folder and in its trash, each of which opens."""
    folders = [*(run.path for run in list_runs(runs)), *(run.path for run in Trash(runs).entries())]
    found = set()
    for folder in folders:
        files = contents(folder)
        found.add(frozenset(files.items()))
        for step in json.loads(files["manifest.json"])["steps"]:
            assert all(len(files[file["path"]]) == file["bytes"] for file in step["files"])
    return found


KILLED = """
import os, shutil, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_runs_trash import ACTS, CALLS
from tiny_recording import write_run
prepare, do = ACTS[sys.argv[3]]
os.fsync = lambda descriptor: None  # Against power failures alone.
write_run(Path(sys.argv[1]) / "made" / "run", steps=2)
for number in range(1000):
    runs = Path(sys.argv[1]) / str(number) / "runs"
    shutil.copytree(Path(sys.argv[1]) / "made", runs)
    prepare(runs)
    child = os.fork()
    if child == 0:
        count = 0
        def killed(real):
            def call(*args, **kwargs):
                global count
                count += 1
                if count > number:
                    os._exit(9)
                return real(*args, **kwargs)
            return call
        for name in (*CALLS, "unlink"):
            setattr(os, name, killed(getattr(os, name)))
        do(runs)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("act", ACTS)
def test_a_kill_between_any_two_steps_leaves_every_run_whole_somewhere(tmp_path: Path, act: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(HERE), act], check=True, timeout=300)
    numbers = sorted(int(path.name) for path in tmp_path.iterdir() if path.name != "made")
    original = whole_runs(tmp_path / "made")
    assert len(numbers) > 1
    for number in numbers:
        runs = tmp_path / str(number) / "runs"
        found = whole_runs(runs)
        if act == "unpack":
            assert found == set() or found == whole_runs(unpacked(tmp_path / str(number)))
            continue
        assert original <= found, number
        if not (runs / "run").exists():
            Trash(runs).restore("run")
        assert whole_runs(runs) >= original and (runs / "run").is_dir()


def unpacked(folder: Path) -> Path:
    unpack_run(folder / "run.diffuscope.zip", folder / "again")
    return folder / "again"
