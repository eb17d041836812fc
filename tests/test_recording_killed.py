"""A process that is killed at any moment leaves a run that opens up to its last whole step."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_recording import CROSS, DIM, HEADS, QUERIES, step, tensors

from diffuscope.recording import Recording

KILLS = 60

# One interpreter forks a child for each kill, since starting Python costs more than recording. Forked before any
# writer runs, so no thread is lost on the way. Each child is killed a random moment after a random number of its
# steps, counted on disk: a time alone would mean something else on a busy machine.
SCRIPT = """
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[2])
from tiny_recording import manifest, maps, picture, step, tensors, text
from diffuscope.recording import RunWriter
rng = random.Random(5)
ready = [(each, tensors(each), maps(each)) for each in map(step, range(100))]
for number in range(int(sys.argv[3])):
    folder = f"{sys.argv[1]}/{number}"
    child = os.fork()
    if child == 0:
        os.fsync = lambda descriptor: None  # Against power failures alone; without it there are more steps to hit.
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


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_whole_steps_survive_a_kill_at_any_moment(tmp_path):
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path), here, str(KILLS)], check=True, timeout=300)
    lengths, cut_short = [], 0
    for number in range(KILLS):
        folder = tmp_path / str(number)
        if not folder.exists():
            continue  # Killed before the folder was claimed: there is no run, and nothing that looks like one.
        recording = Recording.open(folder)
        assert not recording.complete
        steps = recording.manifest.steps
        lengths.append(len(steps))
        assert [each.index for each in steps] == list(range(len(steps)))
        for each in random.Random(number).sample(steps, min(len(steps), 5)) + steps[-1:]:
            expected = tensors(step(each.index))
            q = recording.query(CROSS, each.index)
            assert q.shape == (HEADS, QUERIES, DIM)
            assert q.tobytes() == expected[f"q/{CROSS}@{each.index}"].tobytes()
            assert recording.word_maps(CROSS, each.index).shape[1] == QUERIES
            assert recording.keys(CROSS, each.index).shape[0] == HEADS
            assert recording.latent(each.index).tobytes() == expected[f"latent_in@{each.index}"].tobytes()
        there = {path.name for path in (folder / "steps").glob("*")}
        cut_short += len(there) > len(steps)
    # Else the kills came too early or too late to mean anything.
    assert len(lengths) > KILLS // 2
    assert len(set(lengths)) > 5 and max(lengths) > 3
    assert cut_short >= 3, "hardly a kill fell between a step's files and its manifest"
