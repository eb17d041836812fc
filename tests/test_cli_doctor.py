"""`diffuscope doctor`: what it sees, what it advises, its exit status."""

import hashlib
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from command_line import CommandLine

from diffuscope.cli import doctor
from diffuscope.cli.doctor import Check


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder like the shipped model's, with the sums that belong to it."""
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    contents = {"model_index.json": b"{}", "unet/weights.safetensors": b"numbers"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
    (folder / doctor.SUMS).write_text("".join(lines))
    return folder


def raising(error: Exception) -> Callable[..., None]:
    def raise_it(*_: object, **__: object) -> None:
        raise error

    return raise_it


def test_a_problem_gives_status_1_and_the_advice(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("one", "ok", "there"), Check("two", "problem", "gone", "put it back")]
    monkeypatch.setattr(doctor, "examine", lambda runs: iter(checks))
    outcome = cli("doctor")
    assert outcome.status == 1
    assert "PROBLEM" in outcome.out and "two: put it back" in outcome.out
    report = cli("doctor", "--json")
    assert report.status == 1 and report.json["ok"] is False
    assert report.json["checks"][1] == {
        "name": "two",
        "state": "problem",
        "found": "gone",
        "advice": "put it back",
    }


def test_a_note_alone_is_no_failure(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda runs: iter([Check("one", "note", "less", "perhaps more")]))
    outcome = cli("doctor", "--json")
    assert outcome.status == 0 and outcome.json["ok"] is True


def test_everything_that_matters_is_looked_at(tmp_path: Path) -> None:
    names = [check.name for check in doctor.examine(tmp_path / "runs")]
    for name in ("diffuscope", "python", "numpy", "torch", "device", "scenes model", "runs folder", "disk"):
        assert name in names
    assert not (tmp_path / "runs").exists()


def test_the_device_is_found_without_importing_torch_here() -> None:
    check = doctor.check_device()
    assert check.state == "ok" and check.found


def test_a_torch_that_does_not_start_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    error = subprocess.CalledProcessError(
        1, "python", stderr="Traceback\nOSError: libsomething.so is missing\n"
    )
    monkeypatch.setattr(doctor.subprocess, "run", raising(error))
    check = doctor.check_device()
    assert (check.state, check.found) == ("problem", "OSError: libsomething.so is missing")
    monkeypatch.setattr(doctor.subprocess, "run", raising(subprocess.TimeoutExpired("python", 1)))
    assert doctor.check_device().state == "problem"


def test_without_the_models_extra_the_viewer_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", raising(PackageNotFoundError("torch")))
    check = doctor.check_package("torch", extra="models")
    assert check.state == "note" and 'pip install "diffuscope[models]"' in check.advice
    assert doctor.check_package("numpy").state == "problem"


def test_the_shipped_model_is_compared_with_its_hashes(model: Path) -> None:
    assert doctor.check_model(model).state == "ok"
    (model / "unet" / "weights.safetensors").write_bytes(b"other numbers")
    changed = doctor.check_model(model)
    assert (changed.state, changed.found) == ("problem", "changed: unet/weights.safetensors")
    (model / "unet" / "weights.safetensors").unlink()
    assert doctor.check_model(model).found == "missing: unet/weights.safetensors"
    (model / doctor.SUMS).unlink()
    assert doctor.check_model(model).state == "problem"
    assert doctor.check_model(model / "nowhere").found == "not in the package"


def test_a_runs_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    assert doctor.check_runs_folder(tmp_path / "a" / "b").state == "ok"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    check = doctor.check_runs_folder(tmp_path / "file")
    assert check.state == "problem" and check.advice


def test_a_full_disk_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ENOUGH_DISK", 10**30)
    assert doctor.check_disk(tmp_path).state == "note"
