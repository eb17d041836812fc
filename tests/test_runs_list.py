"""Runs in a folder, at a glance: all of them, whatever state they are in, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from tiny_recording import manifest, step, tensors, write_run

from diffuscope.errors import RunFolderError, RunNotFoundError
from diffuscope.recording import RunWriter, list_runs
from diffuscope.recording.shelf import locate, look, refuse_while_written


def reseal(folder: Path, **changes: object) -> None:
    """Change fields of a manifest as its writer would have written them."""
    import hashlib

    plain = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    plain.pop("sha256")
    fields = (f'"{name}": {json.dumps(value)}' for name, value in (plain | changes).items())
    body = ("{\n" + ",\n".join(fields)).encode()
    seal = hashlib.sha256(body).hexdigest()
    (folder / "manifest.json").write_bytes(body + f',\n"sha256": "{seal}"\n}}\n'.encode())


def test_runs_are_listed_newest_first_with_what_they_hold(tmp_path: Path) -> None:
    for name, created in (
        ("old", "2024-05-01T00:00:00Z"),
        ("new", "2026-05-01T00:00:00+02:00"),
        ("mid", "2025-05-01"),
    ):
        reseal(write_run(tmp_path / name, level="cross"), created=created)
    runs = list_runs(tmp_path)
    assert [run.name for run in runs] == ["new", "mid", "old"]
    for run in runs:
        assert run.manifest is not None
        assert (run.state, run.problem, run.manifest.keep.level) == ("complete", None, "cross")
        assert run.bytes == sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())


def test_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "notes").mkdir()
    (tmp_path / "picture.png").write_bytes(b"")
    (tmp_path / "odd" / "manifest.json").mkdir(parents=True)
    shutil.copytree(tmp_path / "run", tmp_path / ".run.1234.part")
    assert [run.name for run in list_runs(tmp_path)] == ["run"]
    with pytest.raises(RunNotFoundError, match="--runs"):
        list_runs(tmp_path / "nowhere")


def test_states(tmp_path: Path) -> None:
    assert look(write_run(tmp_path / "complete")).state == "complete"
    stopped = look(write_run(tmp_path / "stopped", stop="Ctrl-C"))
    assert (stopped.state, stopped.problem) == ("stopped", "Ctrl-C")
    writer = RunWriter(tmp_path / "running", manifest("running"))
    assert look(writer.folder).state == "running"
    past = time.time() - 3600
    for name in ("manifest.json", "events.jsonl"):
        os.utime(writer.folder / name, (past, past))
    assert look(writer.folder).state == "killed"
    writer.write_step(step(0), tensors(step(0)), {})
    writer.flush()
    assert look(writer.folder).state == "running"
    writer.abort("the test is over")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: (run / "manifest.json").write_bytes(b"{"), "no JSON"),
        (lambda run: (run / "manifest.json").write_bytes(b'{"schema_version": 99}'), "version 99"),
        (lambda run: reseal(run, sites="none"), "sites"),
        (lambda run: (run / "image.png").unlink(), "image.png is missing"),
        (lambda run: (run / "steps" / "0001.safetensors").write_bytes(b"x"), "another size"),
        (lambda run: shutil.rmtree(run / "maps"), "and 3 more"),
    ],
)
def test_a_damaged_run_is_listed_with_its_problem(tmp_path: Path, damage, said: str) -> None:
    damage(write_run(tmp_path / "run"))
    (run,) = list_runs(tmp_path)
    assert run.state == "damaged" and said in str(run.problem) and run.bytes > 0


def test_a_run_whose_last_steps_the_power_took_is_not_damaged(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", stop="power")
    (folder / "steps" / "0003.safetensors").unlink()
    run = look(folder)
    assert run.state == "stopped" and run.manifest is not None and len(run.manifest.steps) == 3


def test_a_run_is_found_by_path_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    write_run(runs / "one")
    assert (
        locate("one", runs)
        == locate("runs/one", runs)
        == locate("runs/one/manifest.json", runs)
        == runs / "one"
    )
    Path("one").mkdir()  # No run, and not in the way of one.
    assert locate("one", runs) == runs / "one"
    assert locate(tmp_path / "runs" / "one", runs) == tmp_path / "runs" / "one"
    monkeypatch.chdir(runs / "one")
    assert locate(".", runs) == tmp_path / "runs" / "one"
    assert locate("../one", runs) == Path("../one")


@pytest.mark.parametrize("name", ["nothing", "runs/nothing", "", "runs", "a\0b", "x" * 300, "/"])
def test_what_is_no_run_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs/one"))
    with pytest.raises(RunNotFoundError):
        locate(name, Path("runs"))


def test_links_and_trash_are_not_moved(tmp_path: Path) -> None:
    run = write_run(tmp_path / "elsewhere" / "run")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run").symlink_to(run)
    with pytest.raises(RunFolderError, match="link"):
        locate("run", tmp_path / "runs")
    thrown = tmp_path / "runs" / ".trash" / "entry" / "run"
    shutil.copytree(run, thrown)
    with pytest.raises(RunFolderError, match="restore"):
        locate(thrown, tmp_path / "runs")


def test_a_run_is_left_alone_while_it_is_written(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "running", manifest("running"))
    with pytest.raises(RunFolderError, match="--force"):
        refuse_while_written(writer.folder)
    writer.abort("the test is over")
    refuse_while_written(writer.folder)
    damaged = write_run(tmp_path / "damaged")
    (damaged / "manifest.json").write_bytes(b"{")
    refuse_while_written(damaged)
