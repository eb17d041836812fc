"""`verify`: a recording is what was written, or each thing that is not is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CommandLine
from synthetic_run import make_run

from diffuscope.errors import CorruptRecordingError, RunNotFoundError
from diffuscope.recording.verify import verify


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", steps=3)


def test_a_fresh_run_is_whole(run: Path) -> None:
    found = verify(run)
    assert found.whole and found.complete and (found.steps, found.of) == (3, 3)
    assert found.unnamed == () and found.bytes > 0
    on_disk = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert found.files == len(on_disk - {"manifest.json", "events.jsonl"})


def test_one_flipped_bit_is_found_wherever_it_is(run: Path) -> None:
    for path in [path for path in run.rglob("*") if path.is_file() and path.name != "events.jsonl"]:
        before = path.read_bytes()
        changed = bytearray(before)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        if path.name == "manifest.json":
            with pytest.raises(CorruptRecordingError):
                verify(run)
        else:
            name = path.relative_to(run).as_posix()
            assert [damage.file for damage in verify(run).damage] == [name]
        path.write_bytes(before)
    assert verify(run).whole


def test_missing_and_shortened_files_are_named(run: Path) -> None:
    (run / "image.png").unlink()
    step = run / "steps" / "0001.safetensors"
    step.write_bytes(step.read_bytes()[:-1])
    problems = {damage.file: damage.problem for damage in verify(run).damage}
    assert problems["image.png"] == "is missing"
    assert "bytes where" in problems["steps/0001.safetensors"] and len(problems) == 2


def test_a_stopped_run_is_whole_up_to_its_last_step(tmp_path: Path) -> None:
    found = verify(make_run(tmp_path / "stopped", steps=5, stop_after=2))
    assert found.whole and not found.complete and (found.steps, found.of) == (2, 5)


def test_strangers_are_named_and_do_no_harm(run: Path) -> None:
    (run / "notes.txt").write_text("mine")
    found = verify(run)
    assert found.whole and found.unnamed == ("notes.txt",)


def test_the_command_says_it_in_its_exit_status(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli = CommandLine(capsys)
    assert cli("verify", run).status == 0
    (run / "image.png").unlink()
    outcome = cli("verify", run, "--json")
    assert outcome.status == 1
    assert outcome.json["damage"] == [{"file": "image.png", "problem": "is missing"}]
    assert "no run" in cli.refuses("verify", run / "nothing")
    with pytest.raises(RunNotFoundError):
        verify(run / "nothing")
