"""Writing a run folder: in order, behind the run, never half, and honest about what went wrong."""

import errno
import json
import os
import sys
import threading
import time

import numpy as np
import pytest
import tiny_recording as tiny
from tiny_recording import CROSS, maps, picture, step, tensors, write_run

from diffuscope.errors import NotKeptError, RecordingError, RunFolderError
from diffuscope.recording import Recording, RunWriter, TensorFile, files, manifest_file, writer
from diffuscope.recording.background import Background


def threads():
    return [each for each in threading.enumerate() if each.name.startswith("diffuscope writer")]


def hand_over(to, index):
    each = step(index)
    to.write_step(each, tensors(each), maps(each))


def fail_when(monkeypatch, condition, error=None):
    """Writing fails for files whose name meets the condition, after half of the first piece."""

    def failing(path, parts, **options):
        if condition(path.relative_to(path.parents[1]).as_posix()):

            def broken():
                first = bytes(next(iter(parts)))
                yield first[: len(first) // 2]
                raise error or OSError(errno.ENOSPC, "No space left on device")

            return original(path, broken(), **options)
        return original(path, parts, **options)

    original = files.write_atomic
    for module in (files, manifest_file):
        monkeypatch.setattr(module, "write_atomic", failing)


def leftovers(folder):
    return [path.name for path in folder.rglob("*.part")] + [
        path.name for path in folder.parent.glob(".*.part")
    ]


def test_a_finished_run_holds_what_its_manifest_names_and_nothing_else(tmp_path):
    folder = write_run(tmp_path / "run")
    manifest = Recording.open(folder).manifest
    named = {file.path for each in manifest.steps for file in each.files} | {
        file.path for file in manifest.files
    }
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == named | {"manifest.json", "events.jsonl"}
    assert manifest.complete and manifest.stopped is None
    assert not threads()


def test_hashes_and_sizes_are_those_of_the_files(tmp_path):
    import hashlib

    folder = write_run(tmp_path / "run")
    manifest = Recording.open(folder).manifest
    for file in [*manifest.files, *(file for each in manifest.steps for file in each.files)]:
        content = (folder / file.path).read_bytes()
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_run_that_is_not_read_as_it_goes_is_there_when_it_is_asked_for_and_when_it_is_finished(tmp_path):
    """A study's: no manifest for each step, and the same run in the end."""
    with RunWriter(tmp_path / "late", tiny.manifest(), as_it_goes=False) as to:
        to.write_text(tiny.text())
        for index in range(2):
            hand_over(to, index)
        to._background.drain()
        assert Recording.open(tmp_path / "late").manifest.steps == []
        to.flush()
        assert len(Recording.open(tmp_path / "late").manifest.steps) == 2
        hand_over(to, 2)
    manifest = Recording.open(tmp_path / "late").manifest
    assert len(manifest.steps) == 3 and not manifest.complete
    with RunWriter(tmp_path / "whole", tiny.manifest(), as_it_goes=False) as to:
        to.write_text(tiny.text())
        for index in range(3):
            hand_over(to, index)
        to.finish(picture())
    whole = Recording.open(tmp_path / "whole").manifest
    assert whole.complete and whole.steps == manifest.steps


def test_a_run_opens_from_the_first_moment_and_grows_by_whole_steps(tmp_path):
    with RunWriter(tmp_path / "run", tiny.manifest()) as to:
        assert Recording.open(tmp_path / "run").manifest.steps == []
        for index in range(3):
            hand_over(to, index)
            to.flush()
            recording = Recording.open(tmp_path / "run")
            assert [each.index for each in recording.manifest.steps] == list(range(index + 1))
            assert not recording.complete
            assert recording.query(CROSS, index).shape == (2, 6, 3)
        to.finish(picture())


def test_what_is_handed_over_is_written_behind_the_run(tmp_path, monkeypatch):
    may_write = threading.Event()
    original = files.write_atomic

    def slow(path, parts, **options):
        if path.name.endswith(".safetensors"):
            may_write.wait(10)
        return original(path, parts, **options)

    monkeypatch.setattr(files, "write_atomic", slow)
    with RunWriter(tmp_path / "run", tiny.manifest()) as to:
        hand_over(to, 0)
        hand_over(to, 1)
        assert Recording.open(tmp_path / "run").manifest.steps == []
        may_write.set()
        to.finish(picture())
    assert len(Recording.open(tmp_path / "run").manifest.steps) == 2


def test_what_waits_is_bounded_however_slow_the_disk(tmp_path, monkeypatch):
    size = tensors(step(0))["pred_x0"].nbytes
    each_step = sum(array.nbytes for array in [*tensors(step(0)).values(), *maps(step(0)).values()])
    assert size < each_step
    monkeypatch.setattr(writer, "MAX_WAITING", 3 * each_step)
    most, original = 0, files.write_atomic

    def slow(path, parts, **options):
        time.sleep(0.002)
        return original(path, parts, **options)

    monkeypatch.setattr(files, "write_atomic", slow)
    with RunWriter(tmp_path / "run", tiny.manifest(asked=30)) as to:
        for index in range(30):
            hand_over(to, index)
            most = max(most, to._background.waiting)
        to.finish(picture())
    assert 2 <= most <= 3
    assert len(Recording.open(tmp_path / "run").manifest.steps) == 30


def test_an_exception_closes_the_run_as_stopped_and_goes_on(tmp_path):
    with pytest.raises(ZeroDivisionError), RunWriter(tmp_path / "run", tiny.manifest()) as to:
        hand_over(to, 0)
        1 / 0  # noqa: B018
    manifest = Recording.open(tmp_path / "run").manifest
    assert (manifest.complete, manifest.stopped) == (False, "ZeroDivisionError: division by zero")
    assert len(manifest.steps) == 1
    assert not threads()


def test_ctrl_c_keeps_what_was_handed_over(tmp_path):
    with pytest.raises(KeyboardInterrupt), RunWriter(tmp_path / "run", tiny.manifest()) as to:
        hand_over(to, 0)
        hand_over(to, 1)
        raise KeyboardInterrupt
    manifest = Recording.open(tmp_path / "run").manifest
    assert manifest.stopped == "KeyboardInterrupt"
    assert len(manifest.steps) == 2


def test_a_run_that_nobody_finished_says_so(tmp_path):
    with RunWriter(tmp_path / "run", tiny.manifest()):
        pass
    assert Recording.open(tmp_path / "run").manifest.stopped == "closed before it was finished"


def test_the_first_end_counts(tmp_path):
    to = RunWriter(tmp_path / "run", tiny.manifest())
    to.finish(picture())
    to.abort("too late")
    assert Recording.open(tmp_path / "run").complete
    with pytest.raises(RecordingError, match="closed"):
        hand_over(to, 0)
    with pytest.raises(RecordingError, match="closed"):
        to.finish(picture())


def test_steps_and_calls_come_in_order_and_text_once(tmp_path):
    with RunWriter(tmp_path / "run", tiny.manifest()) as to:
        hand_over(to, 1)
        for wrong in (step(1), step(0), step(2).model_copy(update={"calls": step(0).calls})):
            with pytest.raises(RecordingError, match="out of order"):
                to.write_step(wrong, {}, {})
        to.write_text(tiny.text(0))
        with pytest.raises(RecordingError, match="written before"):
            to.write_text(tiny.text(0))
        hand_over(to, 3)
        to.finish(picture())
    assert [each.index for each in Recording.open(tmp_path / "run").manifest.steps] == [1, 3]


def test_text_is_compared_with_what_it_was_and_not_with_what_its_memory_became(tmp_path):
    memory = np.zeros((4, 3), np.float32)
    with RunWriter(tmp_path / "run", tiny.manifest()) as to:
        for call, value in enumerate((1, 1, 2)):
            memory[:] = value
            to.write_text({f"embedding@{call}": memory})
            to.flush()
        hand_over(to, 2)
        to.finish(picture())
    files = [file.path for file in Recording.open(tmp_path / "run").manifest.files if "text" in file.path]
    stored = {name for file in files for name in TensorFile(tmp_path / "run" / file).keys()}  # noqa: SIM118
    assert stored == {"embedding@0", "embedding@2"}


def test_a_tensor_that_cannot_be_stored_is_an_error_and_its_step_does_not_count(tmp_path):
    with pytest.raises(TypeError, match="safetensors"), RunWriter(tmp_path / "run", tiny.manifest()) as to:
        hand_over(to, 0)
        to.write_step(step(1), {"x": np.zeros(2, complex)}, {})
        to.flush()
    assert len(Recording.open(tmp_path / "run").manifest.steps) == 1


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    folder = write_run(tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(RunFolderError, match="holds something already"):
        RunWriter(folder, tiny.manifest())
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert leftovers(folder) == []


def test_an_empty_folder_is_taken_and_missing_ones_are_made(tmp_path):
    (tmp_path / "empty").mkdir()
    RunWriter(tmp_path / "empty", tiny.manifest()).finish(picture())
    RunWriter(tmp_path / "a" / "b" / "run", tiny.manifest()).finish(picture())
    assert Recording.open(tmp_path / "empty").complete
    assert Recording.open(tmp_path / "a" / "b" / "run").complete


def test_of_two_writers_of_one_folder_one_gets_it(tmp_path):
    got, refused, start = [], [], threading.Barrier(8)

    def claim():
        start.wait()
        try:
            got.append(RunWriter(tmp_path / "run", tiny.manifest()))
        except RunFolderError:
            refused.append(1)

    claims = [threading.Thread(target=claim) for _ in range(8)]
    for each in claims:
        each.start()
    for each in claims:
        each.join()
    assert (len(got), len(refused)) == (1, 7)
    hand_over(got[0], 0)
    got[0].finish(picture())
    assert Recording.open(tmp_path / "run").complete
    assert leftovers(tmp_path / "run") == []


def test_a_folder_that_cannot_be_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (
        tmp_path / "file",
        tmp_path / "file" / "run",
        tmp_path / ("long" * 100),
        tmp_path / "null\0",
    ):
        with pytest.raises(RunFolderError, match="cannot write a run to") as caught:
            RunWriter(folder, tiny.manifest())
        assert isinstance(caught.value, OSError)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="everything is writable to this user or system"
)
def test_a_folder_without_write_permission_is_refused(tmp_path):
    (tmp_path / "runs").mkdir(mode=0o555)
    with pytest.raises(RunFolderError, match="Permission denied"):
        RunWriter(tmp_path / "runs" / "run", tiny.manifest())


def test_no_space_at_the_start_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(RunFolderError, match="No space left"):
        RunWriter(tmp_path / "run", tiny.manifest())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "full_at",
    ["steps/0002.safetensors", "maps/0002.safetensors", "previews/0002.png", "run/text.safetensors"],
)
def test_a_disk_that_fills_up_is_told_and_whole_steps_stay(tmp_path, monkeypatch, full_at):
    fail_when(monkeypatch, lambda name: name == full_at)
    with pytest.raises(RunFolderError, match="No space left on device") as caught:
        write_run(tmp_path / "run")
    recording = Recording.open(tmp_path / "run")
    whole = len(recording.manifest.steps)
    assert whole == {"s": 2, "m": 2, "p": 4, "r": 0}[full_at[0]]
    assert ("stay readable" in str(caught.value)) == (whole > 0)
    assert not recording.complete
    assert "RunFolderError" in recording.manifest.stopped
    for index in range(whole):
        recording.query(CROSS, index), recording.word_maps(CROSS, index)
    assert leftovers(tmp_path / "run") == []
    assert not threads()


def test_a_disk_so_full_that_no_manifest_fits_keeps_the_last_one(tmp_path, monkeypatch):
    said = "the first 1 of its steps stay readable"
    with pytest.raises(RunFolderError, match=said), RunWriter(tmp_path / "run", tiny.manifest()) as to:
        hand_over(to, 0)
        to.flush()
        fail_when(monkeypatch, lambda name: name == "run/manifest.json")
        hand_over(to, 1)
        to.flush()
    manifest = Recording.open(tmp_path / "run").manifest
    assert (len(manifest.steps), manifest.complete, manifest.stopped) == (1, False, None)
    assert leftovers(tmp_path / "run") == []


def test_no_space_for_the_picture_leaves_a_stopped_run(tmp_path, monkeypatch):
    fail_when(monkeypatch, lambda name: name == "run/image.png")
    with pytest.raises(RunFolderError):
        write_run(tmp_path / "run")
    recording = Recording.open(tmp_path / "run")
    assert not recording.complete
    assert len(recording.manifest.steps) == 4
    with pytest.raises(NotKeptError):
        recording.image()


def test_a_failure_shows_at_the_next_hand_over_at_the_latest(tmp_path, monkeypatch):
    fail_when(monkeypatch, lambda name: name == "steps/0000.safetensors")
    to = RunWriter(tmp_path / "run", tiny.manifest())
    hand_over(to, 0)
    deadline = time.monotonic() + 10
    with pytest.raises(RunFolderError, match="No space"):
        for index in range(1, 10**6):
            assert time.monotonic() < deadline
            hand_over(to, index)
    with pytest.raises(RunFolderError, match="No space"):
        to.flush()
    to.abort("full")


def test_events_are_lines_of_json_with_a_time(tmp_path):
    with RunWriter(tmp_path / "run", tiny.manifest()) as to:
        to.event("progress", call=3, note="two\nlines é")
        hand_over(to, 0)
        to.finish(picture())
    lines = (tmp_path / "run/events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert [each["event"] for each in events] == ["started", "progress", "step", "finished"]
    assert all(each["time"].endswith("+00:00") for each in events)
    assert events[1]["note"] == "two\nlines é"
    assert events[2]["step"] == 0
    with pytest.raises(RunFolderError):
        to.event("late")


def test_arrays_are_written_as_they_are_whatever_their_layout(tmp_path):
    expected = tensors(step(0))
    loose = {name: np.asfortranarray(array) for name, array in expected.items()}
    with RunWriter(tmp_path / "run", tiny.manifest()) as to:
        to.write_step(step(0), loose, {})
        to.finish(picture())
    np.testing.assert_array_equal(Recording.open(tmp_path / "run").query(CROSS, 0), expected[f"q/{CROSS}@0"])


def test_a_background_job_runs_in_order_and_a_failure_drops_what_follows():
    done = []
    background = Background("diffuscope writer test", 100)
    background.put(lambda: done.append(1), 1000)  # Larger than allowed: taken all the same.
    background.put(lambda: done.append(2))
    background.drain()
    background.put(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        background.drain()
    with pytest.raises(ZeroDivisionError):
        background.put(lambda: done.append(3))
    background.close()
    assert done == [1, 2]
    assert not threads()


def test_closing_does_what_waits_first():
    done = []
    background = Background("diffuscope writer test", 100)
    for index in range(20):
        background.put(lambda index=index: (time.sleep(0.001), done.append(index)))
    background.close()
    background.close()
    assert done == list(range(20))
    with pytest.raises(RuntimeError, match="closed"):
        background.put(lambda: None)
