"""Whatever goes wrong while a run is recorded, its whole steps stay readable, and nothing else is left of it.

Kills are in `test_recording_killed`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_recording as tiny
import torch
from small_disks import make_read_only, small_disk, small_files
from traces import traces, writer_threads
from whole_run import assert_whole, leftovers

from diffuscope.engine import Lens
from diffuscope.engine.capture import patches
from diffuscope.errors import CaptureError, RunFolderError
from diffuscope.recording import RunWriter
from diffuscope.recording.verify import verify
from diffuscope.run import Run
from diffuscope.testing import random_pipeline

PROMPT = "a red cat and a dog"
SMALL: dict[str, Any] = {"steps": 4, "width": 32, "height": 16, "previews": False}
CALLS = 20
"""Calls of a step where a disk must fill up: such a step takes about 30 kB."""

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, forks and mounts of POSIX")


@pytest.fixture(scope="module")
def pipe() -> Any:
    return random_pipeline("sd15")


def drawn(pipe: Any) -> np.ndarray:
    """The picture as the pipeline draws it by itself."""
    made = pipe(
        PROMPT, num_inference_steps=2, width=32, height=16, generator=torch.Generator().manual_seed(3)
    )
    return np.asarray(made.images[0])


@contextmanager
def leaves_no_trace(pipe: Any) -> Iterator[None]:
    """Afterwards the pipeline is what it was and draws what it drew."""
    before, picture = traces(pipe), drawn(pipe)
    yield
    assert traces(pipe) == before
    assert np.array_equal(drawn(pipe), picture)


def whole_steps(folder: Path) -> int:
    """Number of steps of the one run in a folder of runs, every one of which is whole and has its maps."""
    (only,) = [path for path in folder.iterdir() if path.is_dir()]
    found = verify(only)
    assert found.whole and not found.complete
    run = Run.open(only)
    for step in run.steps:
        for site in run.sites:
            if site.kind != "cross" and run.manifest.keep.level != "qk":
                continue
            run.recording.query(site.name, step.index), run.recording.keys(site.name, step.index)
    if run.steps:
        assert run.word("cat").mass().shape == (len(run.steps),)
    return len(run.steps)


# A disk that is full, or may not be written.


@contextmanager
def disk(kind: str, folder: Path) -> Iterator[Path]:
    if kind == "small disk":
        with small_disk(folder / "disk", 400_000) as place:
            yield place
    else:
        with small_files(60_000):
            yield folder


@posix
@pytest.mark.parametrize("kind", ["small disk", "small files"])
def test_a_disk_that_is_full_keeps_every_step_that_fitted(tmp_path: Path, kind: str) -> None:
    with disk(kind, tmp_path) as place:
        folder = place / "run"
        with (
            pytest.raises(RunFolderError, match="cannot write a run to") as caught,
            RunWriter(folder, tiny.manifest(asked=1000)) as writer,
        ):
            writer.write_text(tiny.text())
            for index in range(1000):
                step = tiny.step(index, calls=CALLS)
                writer.write_step(step, tiny.tensors(step), tiny.maps(step))
        recording = assert_whole(folder, calls=CALLS)
        steps = len(recording.manifest.steps)
        assert 2 < steps < 1000 and not recording.complete
        assert f"the first {steps} of its steps stay readable" in str(caught.value)
        assert leftovers(folder) == [] and writer_threads() == []


@posix
def test_a_disk_that_fills_up_while_the_model_draws(pipe: Any, tmp_path: Path) -> None:
    """It has room for the whole run when recording begins; then someone else takes it."""
    with small_disk(tmp_path / "disk", 4_000_000) as place:

        def progress(step: int, of: int) -> None:
            if step == 5:
                _wait_for_steps(place, 2)
                fill(place / "other")

        with leaves_no_trace(pipe), pytest.raises(RunFolderError, match="No space left"):
            Lens(pipe).record(PROMPT, out=place, keep="cross", progress=progress, **{**SMALL, "steps": 20})
        (place / "other").unlink()
        assert 2 <= whole_steps(place) < 20


def _wait_for_steps(place: Path, steps: int) -> None:
    (run,) = place.iterdir()
    deadline = time.monotonic() + 20
    while len(Run.open(run).steps) < steps:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def fill(path: Path) -> None:
    """Write zeros until the disk takes no more."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65_536)) == 65_536:
            pass
        while file.write(b"0"):
            pass


@posix
def test_a_full_disk_is_refused_before_the_first_step(pipe: Any, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16_384) as place:
        fill(place / "full")
        with leaves_no_trace(pipe), pytest.raises(RunFolderError):
            Lens(pipe).record(PROMPT, out=place, progress=lambda *_: pytest.fail("a step was taken"), **SMALL)
        assert [path.name for path in place.iterdir()] == ["full"]


@posix
def test_a_read_only_disk_is_refused_before_anything_runs(
    pipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", 100_000) as place:
        make_read_only(place)
        with pytest.raises(RunFolderError, match="Read-only file system"):
            RunWriter(place / "run", tiny.manifest())
        with monkeypatch.context() as patch:
            patch.setattr(pipe.unet, "forward", lambda *_, **__: pytest.fail("the model was called"))
            with pytest.raises(RunFolderError, match="Read-only file system"):
                Lens(pipe).record(PROMPT, out=place, **SMALL)
        assert list(place.iterdir()) == [] and writer_threads() == []


# Two processes that want one run.

RACE = """
import json, os, sys
sys.path.insert(0, sys.argv[2])
import tiny_recording as tiny
from diffuscope.errors import RunFolderError
from diffuscope.recording import RunWriter
def record(folder, name):
    try:
        writer = RunWriter(folder, tiny.manifest("run", parent=name))
    except RunFolderError:
        return 3
    writer.write_text(tiny.text())
    for step in map(tiny.step, range(2)):
        writer.write_step(step, tiny.tensors(step), tiny.maps(step))
    writer.finish(tiny.picture(255))
    return 0
rounds = []
for number in range(int(sys.argv[3])):
    folder = f"{sys.argv[1]}/{number}"
    if number % 2:
        os.mkdir(folder)  # Empty: whoever comes first may have it.
    gate, opens = os.pipe()
    children = {}
    for name in ("one", "other"):
        child = os.fork()
        if child == 0:
            os.close(opens)
            os.read(gate, 1)  # Until the parent opens the gate for both.
            status = 1
            try:
                status = record(folder, name)
            finally:
                os._exit(status)
        children[name] = child
    os.close(gate), os.close(opens)
    rounds.append({name: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for name, child in children.items()})
print(json.dumps(rounds))
"""


@posix
def test_of_two_processes_that_want_one_run_one_gets_it_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path), str(Path(__file__).parent), "30"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    rounds = json.loads(done.stdout)
    assert len(rounds) == 30
    for number, statuses in enumerate(rounds):
        # 3: refused by RunFolderError.
        assert sorted(statuses.values()) == [0, 3], done.stderr
        winner = min(statuses, key=lambda name: statuses[name])
        recording = assert_whole(tmp_path / str(number))
        assert recording.complete and recording.manifest.parent == winner
        assert leftovers(tmp_path / str(number)) == []
    assert {min(statuses, key=lambda name: statuses[name]) for statuses in rounds} == {"one", "other"}


# Errors and Ctrl-C while the model draws.


def fails(function: Any, at: int, error: BaseException) -> Any:
    """`function`, but its `at`-th call raises."""
    calls = 0

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise error
        return function(*args, **kwargs)

    return failing


PLACES = {
    "first forward": ("unet.forward", 1, None),
    "third forward": ("unet.forward", 3, 2),
    "inside the third forward": ("unet.mid_block.forward", 3, 2),
    "scheduler": ("scheduler.step", 2, 1),
    "decoding the picture": ("vae.decode", 1, 4),
}
"""Where an error strikes: what is called, the call that fails, and how many steps are whole then (None: no run)."""


@pytest.mark.parametrize("error", [RuntimeError("it broke"), KeyboardInterrupt(), MemoryError()], ids=repr)
@pytest.mark.parametrize(("where", "at", "whole"), PLACES.values(), ids=PLACES)
def test_an_error_inside_the_pipeline_keeps_the_whole_steps(
    pipe: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    at: int,
    whole: int | None,
    error: BaseException,
) -> None:
    *path, name = where.split(".")
    owner = pipe
    for part in path:
        owner = getattr(owner, part)
    with leaves_no_trace(pipe), monkeypatch.context() as patch:
        # In the object's own dictionary: the scheduler's `step` comes from its class.
        patch.setitem(vars(owner), name, _like(getattr(owner, name), at, error))
        installed = traces(pipe)
        # Memory that runs out is told with what would fit.
        with pytest.raises(CaptureError if isinstance(error, MemoryError) else type(error)) as raised:
            Lens(pipe).record(PROMPT, out=tmp_path, **SMALL)
        assert traces(pipe) == installed
    told = raised.value
    assert "memory ran out" in str(told) or not isinstance(error, MemoryError)
    if whole is None:
        assert list(tmp_path.iterdir()) == []
    else:
        assert whole_steps(tmp_path) == whole
        stopped = Run.open(next(tmp_path.iterdir())).manifest.stopped
        assert stopped == f"{type(told).__name__}: {told}".strip(": ")


def _like(function: Any, at: int, error: BaseException) -> Any:
    # The pipeline reads the scheduler's signature.
    failing = fails(function, at, error)
    failing.__wrapped__ = function
    return failing


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError("in progress")], ids=repr)
def test_ctrl_c_in_the_progress_callback_keeps_the_step_just_done(
    pipe: Any, tmp_path: Path, error: BaseException
) -> None:
    def progress(step: int, of: int) -> None:
        if step == 3:
            raise error

    with leaves_no_trace(pipe), pytest.raises(type(error)):
        Lens(pipe).record(PROMPT, out=tmp_path, progress=progress, **SMALL)
    assert whole_steps(tmp_path) == 3


def test_an_error_with_several_pictures_closes_every_run(
    pipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leaves_no_trace(pipe), monkeypatch.context() as patch:
        patch.setattr(pipe.unet, "forward", fails(pipe.unet.forward, 3, RuntimeError("it broke")))
        with pytest.raises(RuntimeError, match="it broke"):
            Lens(pipe).record(PROMPT, images_per_prompt=2, out=tmp_path, **SMALL)
    found = [verify(folder) for folder in tmp_path.iterdir()]
    assert [(each.whole, each.complete, each.steps) for each in found] == [(True, False, 2)] * 2


class Owner:
    """Something with attributes to replace: one of its own, one of its class."""

    inherited = "class"

    def __init__(self) -> None:
        self.own = "own"


def interrupted_at(line: int, owners: list[Owner]) -> bool:
    """Put patches in and take them out, with Ctrl-C at the `line`-th line that `Patches` runs; False if there are
    fewer. Lines of leaving count from the first patch that was taken out: before, nothing is half done."""
    done, interrupted = 0, False
    patched_all = {"own": "patched", "inherited": "patched"}

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal done, interrupted
        if frame.f_code.co_filename != patches.__file__:
            return None
        untouched = frame.f_code.co_name == "__exit__" and all(vars(owner) == patched_all for owner in owners)
        if event == "line" and not untouched:
            done += 1
            if done == line:
                interrupted = True
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(KeyboardInterrupt), patches.Patches() as patched:
            for owner in owners:
                patched.replace(owner, "own", "patched")
                patched.replace(owner, "inherited", "patched")
    finally:
        sys.settrace(before)
    return interrupted


def test_ctrl_c_while_patches_go_in_or_out_leaves_none_behind() -> None:
    left = {}
    for line in itertools.count(1):
        owners = [Owner() for _ in range(3)]
        if not interrupted_at(line, owners):
            break
        if any(vars(owner) != {"own": "own"} for owner in owners):
            left[line] = [vars(owner) for owner in owners]
    assert line > 20 and left == {}


# Records again and again, each time until Ctrl-C; says after each what is left of it.
INTERRUPTED = """
import json, sys
sys.path.insert(0, sys.argv[2])
from traces import traces
from diffuscope.engine import Lens
from diffuscope.testing import random_pipeline
pipe = random_pipeline("sd15")
lens, before = Lens(pipe), traces(pipe)
for number in range(int(sys.argv[3])):
    def progress(step, of):
        if step == 1:
            print("drawing", flush=True)
    caught = None
    try:
        lens.record("a cat", seed=number, steps=500, width=16, height=16, out=f"{sys.argv[1]}/{number}",
                    progress=progress, previews=False)
    except KeyboardInterrupt:
        caught = "KeyboardInterrupt"
    after = traces(pipe)
    print(json.dumps({"caught": caught, "same": after == before}), flush=True)
"""


@posix
def test_ctrl_c_at_any_moment_of_a_recording(tmp_path: Path) -> None:
    rounds, rng = 12, random.Random(1)
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path), str(Path(__file__).parent), str(rounds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for number in range(rounds):
            assert process.stdout.readline() == "drawing\n"
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGINT)
            outcome = json.loads(process.stdout.readline())
            assert outcome == {"caught": "KeyboardInterrupt", "same": True}, number
    assert process.returncode == 0
    lengths = set()
    for number in range(rounds):
        (folder,) = (tmp_path / str(number)).iterdir()
        found = verify(folder)
        run = Run.open(folder)
        assert found.whole and found.unnamed == () and run.manifest.stopped == "KeyboardInterrupt"
        assert [step.index for step in run.steps] == list(range(found.steps))
        assert run.word("cat").mass().shape == (found.steps,)
        lengths.add(found.steps)
    # Else all came at one moment, whatever the machine's speed.
    assert min(lengths) >= 1 and len(lengths) > 1
