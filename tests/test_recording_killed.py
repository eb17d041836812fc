"""A process that is killed at any moment leaves a run that opens up to its last whole step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_recording import manifest
from whole_run import assert_whole, leftovers

from diffuscope.errors import RunNotFoundError
from diffuscope.recording import Recording, RunWriter

KILLS = 60
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")

# One interpreter forks a child for each kill, since starting Python costs more than recording. Forked before any
# writer runs, so no thread is lost on the way.
HEAD = """
import os, random, signal, sys, threading, time
sys.path.insert(0, sys.argv[2])
from tiny_recording import manifest, maps, picture, step, tensors, text
from diffuscope.recording import RunWriter
os.fsync = lambda descriptor: None  # Against power failures alone; without it there are more steps to hit.
"""

# Each child is killed a random moment after a random number of its steps, counted on disk: a time alone would mean
# something else on a busy machine.
AT_RANDOM = (
    HEAD
    + """
rng = random.Random(5)
ready = [(each, tensors(each), maps(each)) for each in map(step, range(100))]
for number in range(int(sys.argv[3])):
    folder = f"{sys.argv[1]}/{number}"
    child = os.fork()
    if child == 0:
        os.replace = lambda old, new, replace=os.replace: (time.sleep(0.001), replace(old, new))  # Wider targets.
        writer = RunWriter(folder, manifest(str(number), asked=100))
        writer.write_text(text())
        for each in ready:
            writer.write_step(*each)
            writer.write_preview(each[0].index, picture(each[0].index))
        time.sleep(60)
    enough = rng.randrange(8)
    while not os.path.isdir(folder + "/maps") or len(os.listdir(folder + "/maps")) < enough:
        if enough == 0 and rng.random() < 0.5:
            break  # Some are killed before they have begun.
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
)

# Each child kills itself just before its n-th operation on the file system, n counting up until a child gets through:
# no moment between two operations is left out. Files are unbuffered, so that half a file is on disk as half a file.
AT_EVERY_OPERATION = (
    HEAD
    + """
import io, pathlib
OPERATIONS = {"open", "write", "close", "mkdir", "rename", "replace", "unlink", "rmdir"}
def unbuffered(path, mode="r", **options):
    return io.open(path, mode, **{**options, **({"buffering": 0} if "b" in mode else {})})
pathlib.Path.open = unbuffered
ready = [(each, tensors(each), maps(each)) for each in map(step, range(3))]
def record(folder, last):
    done = 0
    def watch(frame, event, function):
        nonlocal done
        if event == "c_call" and function.__name__ in OPERATIONS:
            done += 1
            if done == last:
                os.kill(os.getpid(), signal.SIGKILL)
    threading.setprofile(watch)
    sys.setprofile(watch)
    writer = RunWriter(folder, manifest(os.path.basename(folder), asked=3))
    writer.write_text(text())
    for each in ready:
        writer.write_step(*each)
        writer.write_preview(each[0].index, picture(each[0].index))
    writer.finish(picture(255))
for number in range(1, 10_000):
    child = os.fork()
    if child == 0:
        record(f"{sys.argv[1]}/{number}", number)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(number)
"""
)


def kills(script: str, folder: Path, *options: str) -> str:
    """Run a script that forks and kills."""
    command = [sys.executable, "-c", script, str(folder), str(Path(__file__).parent), *options]
    return subprocess.run(command, check=True, timeout=300, capture_output=True, text=True).stdout


def test_whole_steps_survive_a_kill_at_any_moment(tmp_path: Path) -> None:
    kills(AT_RANDOM, tmp_path, str(KILLS))
    lengths, cut_short = [], 0
    for number in range(KILLS):
        folder = tmp_path / str(number)
        if not folder.exists():
            continue  # Killed before the folder was claimed: there is no run, and nothing that looks like one.
        recording = assert_whole(folder)
        assert not recording.complete
        lengths.append(len(recording.manifest.steps))
        there = {path.name for path in (folder / "steps").glob("*")}
        cut_short += len(there) > lengths[-1]
    # Else the kills came too early or too late to mean anything.
    assert len(lengths) > KILLS // 2
    assert len(set(lengths)) > 5 and max(lengths) > 3
    assert cut_short >= 3, "hardly a kill fell between a step's files and its manifest"


def test_what_a_kill_left_before_a_run_was_there_is_not_suggested_as_one(tmp_path: Path) -> None:
    left = tmp_path / ".circle-7.0123abcd.part"
    RunWriter(left, manifest()).abort("killed")
    with pytest.raises(RunNotFoundError) as caught:
        Recording.open(tmp_path / "circle-7")
    assert left.name not in str(caught.value)


def test_whole_steps_survive_a_kill_before_every_operation_on_the_file_system(tmp_path: Path) -> None:
    through = int(kills(AT_EVERY_OPERATION, tmp_path))
    lengths, halves, before = [], 0, 0
    for number in range(1, through):
        folder = tmp_path / str(number)
        if not folder.exists():
            before += 1
            with pytest.raises(RunNotFoundError):
                Recording.open(folder)
            continue
        recording = assert_whole(folder)
        lengths.append(len(recording.manifest.steps))
        halves += bool(leftovers(folder))
        # The manifest that calls the run complete is the last thing written.
        assert not recording.complete or lengths[-1] == 3
    assert assert_whole(tmp_path / str(through)).complete
    assert leftovers(tmp_path / str(through)) == []
    assert sorted(set(lengths)) == [0, 1, 2, 3]
    assert before >= 5 and halves >= 25, "hardly a kill fell into the middle of a file"
