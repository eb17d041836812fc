"""Jobs against a real server, a real worker and the shipped model: watched, cancelled, killed, and found again."""

import io
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load
from served import PATIENCE, Served
from tiny_recording import manifest, write_run

import diffuscope as ds
from diffuscope.recording import RunWriter
from diffuscope.server.queue import keep_drawn

PROMPT = "a red circle"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "runs"


@pytest.fixture(scope="module")
def server(runs: Path) -> Iterator[Served]:
    with Served(runs) as made:
        yield made


@pytest.fixture(scope="module")
def recorded(server: Served) -> str:
    result = server.done(kind="record", prompt=PROMPT, steps=5, seed=7, keep="qk")
    (run,) = result["runs"]
    return str(run)


def wait_for(server: Served, job: str, event: str, index: int = 0) -> None:
    for _, name, data in server.events(job):
        if name == event and data.get("step", 0) >= index:
            return
    raise AssertionError(f"{event} never came")


def test_a_recording_is_watched_from_the_queue_to_its_end(server: Served, runs: Path) -> None:
    job = server.job(kind="record", prompt=PROMPT, steps=5, seed=7, keep="cross")
    seen, maps, previews = [], {}, {}
    for number, name, data in server.events(job):
        seen.append((number, name, data))
        if name == "opened":
            about, words = (
                server.get(f"/api/jobs/{job}/run.json").json(),
                server.get(f"/api/jobs/{job}/words.json").json(),
            )
            assert about["prompt"] == PROMPT and about["id"] == data["run"]
            assert [word["label"] for word in words["words"]] == data["words"]
        if name == "step":
            answer = server.get("/" + data["maps"])
            assert answer.status_code == 200, answer.text
            maps[data["step"]] = load(answer.content)["maps"]
            if data["preview"]:
                previews[data["preview"]] = server.get("/" + data["preview"]).content
    names = [name for _, name, _ in seen]
    assert [number for number, _, _ in seen] == list(range(1, len(seen) + 1))
    assert names[:2] == ["queued", "started"] and names[-1] == "done"
    assert [data["step"] for _, name, data in seen if name == "step"] == [0, 1, 2, 3, 4]
    (ident,) = seen[-1][2]["result"]["runs"]
    run = ds.open(runs / ident)
    assert run.complete and run.prompt == PROMPT and run.manifest.keep.level == "cross"
    # What was shown while it was drawn is what is in the recording.
    for step, array in maps.items():
        for label, one in zip(["a", "red", "circle", "<start>", "<end>"], array, strict=True):
            assert one == pytest.approx(run.word(label).map(step).array, rel=1e-5, abs=1e-8)
    assert previews
    for path, content in previews.items():
        shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), int)
        meant = np.asarray(run.preview(int(path[-9:-5])), int)
        assert shown.shape == meant.shape and np.abs(shown - meant).mean() < 6
    state = server.get(f"/api/jobs/{job}").json()
    assert state["state"] == "done" and state["progress"]["step"] == 5 and state["error"] is None
    assert list((runs / ".server" / "jobs" / job / "drawn").glob("*")) == []


def test_the_picture_is_the_one_that_the_api_draws(
    server: Served, recorded: str, runs: Path, tmp_path: Path
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # As the server's worker here: another number rounds otherwise.
    try:
        run = ds.Lens.load("scenes").record(PROMPT, steps=5, seed=7, keep="qk", out=tmp_path)
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(np.asarray(run.image), np.asarray(ds.open(runs / recorded).image))


def test_a_listener_that_comes_back_has_lost_nothing(server: Served) -> None:
    job = server.job(kind="record", prompt=PROMPT, steps=8, keep="maps")
    first = []
    for event in server.events(job):
        first.append(event)
        if event[1] == "step" and event[2]["step"] == 2:
            break  # The connection drops here.
    rest = list(server.events(job, after=first[-1][0]))
    numbers = [number for number, _, _ in first + rest]
    assert all(later == earlier + 1 for earlier, later in pairwise(numbers))
    assert rest[-1][1] == "done" and list(server.events(job)) == first + rest
    assert list(server.events(job, after=numbers[-1])) == []


def test_prompts_are_read_while_the_worker_draws(server: Served) -> None:
    job = server.job(kind="record", prompt=PROMPT, steps=60, keep="maps")
    wait_for(server, job, "step")
    found = server.post("/api/prompts/check", {"prompt": "a red cirlce"}).json()
    assert server.get(f"/api/jobs/{job}").json()["state"] == "running"
    assert [word["label"] for word in found["words"]] == ["a", "red", "cirlce"]
    assert any("cirlce" in warning for warning in found["warnings"])
    assert server.delete(f"/api/jobs/{job}").status_code == 200


def test_a_cancelled_job_stops_at_a_step_and_the_next_one_moves_up(server: Served, runs: Path) -> None:
    long = server.job(kind="record", prompt=PROMPT, steps=150, keep="maps")
    second = server.job(kind="record", prompt=PROMPT, steps=3, keep="maps")
    third = server.job(kind="record", prompt=PROMPT, steps=3, keep="maps")
    wait_for(server, long, "step", 2)
    assert [server.get(f"/api/jobs/{job}").json()["position"] for job in (long, second, third)] == [
        None,
        0,
        1,
    ]
    assert server.delete(f"/api/jobs/{second}").json()["state"] == "cancelled"
    assert [name for _, name, _ in server.events(second)][-1] == "cancelled"
    assert server.get(f"/api/jobs/{third}").json()["position"] == 0
    assert server.delete(f"/api/jobs/{long}").status_code == 200
    *_, (_, name, data) = server.events(long)
    assert name == "cancelled"
    run = ds.open(runs / data["result"]["runs"][0])
    assert not run.complete and 3 <= len(run.steps) < 150 and "cancelled" in str(run.manifest.stopped)
    assert run.word("circle").steps().array.shape[0] == len(run.steps)
    *_, (_, name, _) = server.events(third)
    assert name == "done"


def test_an_edit_with_its_control_and_their_comparison(server: Served, recorded: str, runs: Path) -> None:
    edit = {"edit": "silence", "word": "circle", "steps": "2:"}
    result = server.done(kind="edit", run=recorded, edits=[edit], control=True)
    (edited,), control = result["runs"], result["control"]
    assert ds.open(runs / edited).manifest.edits == [edit]
    assert ds.open(runs / control).manifest.edits[0]["edit"] == "control"
    lines = {run["id"]: run for run in server.get("/api/runs").json()["runs"]}
    assert lines[edited]["parent"] == lines[control]["parent"] == recorded
    assert set(server.get(f"/api/runs/{recorded}").json()["children"]) == {edited, control}
    found = server.get(f"/api/compare/{recorded}/{edited}/comparison.json").json()
    direct = ds.compare(ds.open(runs / recorded), ds.open(runs / edited)).to_json()
    assert found["change"] == direct["change"] and found["words"] == direct["words"]
    assert found["control"]["other"] == ds.open(runs / control).id
    change = load(server.get(f"/api/compare/{recorded}/{edited}/change.safetensors").content)["maps"]
    assert change.mean() == pytest.approx(direct["change"]["mean"], rel=1e-3)


def test_a_concept_is_made_once_and_then_asked_for(server: Served, recorded: str, runs: Path) -> None:
    missing = server.get(f"/api/runs/{recorded}/map", params={"selection": "concept=roof"})
    assert missing.status_code == 409 and missing.json()["error"]["class"] == "NotKeptError"
    assert server.done(kind="concept", run=recorded, text="roof") == {
        "concept": "roof",
        "selection": "concept=roof",
    }
    found = server.get(f"/api/runs/{recorded}/map", params={"selection": "concept=roof"})
    assert np.array_equal(load(found.content)["maps"], ds.open(runs / recorded).concept("roof").map().array)
    assert server.get(f"/api/runs/{recorded}/concepts").json() == {"concepts": ["roof"]}


def test_variations_are_swept_and_a_words_map_is_put_to_the_test(server: Served) -> None:
    # Two steps: some twenty pictures are drawn.
    (recorded,) = server.done(kind="record", prompt=PROMPT, steps=2, seed=7, keep="cross")["runs"]
    variations = [
        [{"edit": "silence", "word": "circle"}],
        [{"edit": "scale", "factor": 1.0, "sites": "cross:mid"}],
    ]
    rows = server.done(kind="sweep", run=recorded, variations=variations)["variations"]
    assert [row["index"] for row in rows] == [0, 1]
    assert rows[0]["change"]["mean"] > rows[1]["change"]["mean"] == 0
    picture = Image.open(io.BytesIO(server.get("/" + rows[0]["picture"]).content))
    assert picture.size == (128, 128)
    assert server.get(f"/api/runs/{recorded}/faithfulness.json").json() == {"tests": {}}
    job = server.job(kind="faithfulness", run=recorded, word="circle")
    events = list(server.events(job))
    assert [name for _, name, _ in events][-1] == "done" and "work" in {name for _, name, _ in events}
    tests = server.get(f"/api/runs/{recorded}/faithfulness.json").json()["tests"]
    assert tests["circle"] == events[-1][2]["result"] and tests["circle"]["verdict"]


def test_an_estimate_writes_nothing(server: Served, runs: Path) -> None:
    before = set(runs.iterdir())
    result = server.done(kind="estimate", prompt=PROMPT, steps=5)
    assert result["bytes"]["maps"] < result["bytes"]["cross"] < result["bytes"]["qk"] and result["steps"] == 5
    assert set(runs.iterdir()) == before


def test_what_the_model_refuses_fails_the_job_in_the_one_form(server: Served, recorded: str) -> None:
    job = server.job(kind="edit", run=recorded, edits=[{"edit": "silence", "word": "zeppelin"}])
    *_, (_, name, data) = server.events(job)
    assert name == "failed" and data["error"]["class"] == "UnknownWordError"
    state = server.get(f"/api/jobs/{job}").json()
    assert state["state"] == "failed" and "zeppelin" in state["error"]["message"]


def test_a_killed_worker_is_told_of_and_replaced(server: Served, runs: Path) -> None:
    job = server.job(kind="record", prompt=PROMPT, steps=150, keep="maps")
    waiting = server.job(kind="record", prompt=PROMPT, steps=2, keep="maps")
    wait_for(server, job, "step", 3)
    os.kill(server.worker(), signal.SIGKILL)
    *_, (_, name, data) = server.events(job)
    assert name == "failed" and data["error"]["class"] == "WorkerDiedError"
    assert "signal 9" in data["error"]["message"]
    run = ds.open(runs / data["result"]["runs"][0])
    assert not run.complete and len(run.steps) >= 1
    *_, (_, name, _) = server.events(waiting)
    assert name == "done"
    assert server.get("/api/health").json()["worker"]["restarts"] == 1


def test_a_server_that_was_killed_finds_its_runs_and_jobs_again(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with Served(runs) as first:
        ended = first.job(kind="record", prompt=PROMPT, steps=2, keep="maps")
        events = list(first.events(ended))
        cut = first.job(kind="record", prompt=PROMPT, steps=150, keep="maps")
        waiting = first.job(kind="record", prompt=PROMPT, steps=2, keep="maps")
        wait_for(first, cut, "step", 2)
        worker = first.worker()
        first.stop(signal.SIGKILL)
    until = time.monotonic() + PATIENCE
    while _is_alive(worker) and time.monotonic() < until:  # It leaves at its next step.
        time.sleep(0.05)
    assert not _is_alive(worker)
    with Served(runs) as second:
        assert list(second.events(ended)) == events
        for job in (cut, waiting):
            state = second.get(f"/api/jobs/{job}").json()
            assert state["state"] == "failed" and state["error"]["class"] == "InterruptedJobError"
        (run,) = second.get(f"/api/jobs/{cut}").json()["result"]["runs"]
        assert len(ds.open(runs / run).steps) >= 2
        listed = {line["id"]: line["state"] for line in second.get("/api/runs").json()["runs"]}
        assert listed[run] in ("killed", "stopped") and "complete" in listed.values()
        status = second.stop()
    assert status in (0, 130)


def test_only_recordings_with_a_whole_step_are_kept(tmp_path: Path) -> None:
    drawn = tmp_path / "job" / "drawn"
    drawn.mkdir(parents=True)
    write_run(drawn / "whole", steps=2, stop="cut")
    with RunWriter(drawn / "empty", manifest("empty")) as writer:
        writer.abort("cut")
    (drawn / ".half.part").mkdir()
    assert keep_drawn(tmp_path / "job", tmp_path) == ["whole"]
    assert (
        (tmp_path / "whole").is_dir() and not drawn.exists() and keep_drawn(tmp_path / "job", tmp_path) == []
    )


def _is_alive(pid: int) -> bool:
    """Whether a process runs. One of a killed server has nobody to bury it, so being dead is told from its state."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip()) and not found.stdout.strip().startswith("Z")
