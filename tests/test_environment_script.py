"""The script behind `make`: which torch is used, and that nothing of the user's is touched."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PINS = "numpy==2.4.6\ntorch==2.13.0\ntorchsomething==1.0\ntqdm==4.70.1\n"


@pytest.fixture(scope="module")
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts" / "environment.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def installed(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], str]]:
    """What pip would have been called with: (arguments, text of the constraints file)."""
    calls: list[tuple[list[str], str]] = []

    def run(command: list[str], **_: object) -> None:
        arguments = command[command.index("install") + 1 :]
        file = arguments[arguments.index("--constraint") + 1] if "--constraint" in arguments else None
        calls.append((arguments, Path(file).read_text(encoding="utf-8") if file else ""))

    monkeypatch.setattr(environment.subprocess, "run", run)
    return calls


def made_here(folder: Path, own_torch: str) -> Path:
    (folder / "made-by-diffuscope.json").write_text(f'{{"own_torch": {own_torch}}}')
    return folder


def test_the_pin_of_torch_alone_is_dropped(environment: ModuleType) -> None:
    assert environment.torch_pin(PINS) == "torch==2.13.0"
    assert environment.without_torch(PINS) == "numpy==2.4.6\ntorchsomething==1.0\ntqdm==4.70.1\n"


def test_a_version_is_compared_by_number(environment: ModuleType) -> None:
    assert environment.release("2.13.0+cpu") == (2, 13) > environment.release("2.5.1") == (2, 5)


def test_the_constraints_pin_torch_and_everything_the_extras_name(environment: ModuleType) -> None:
    import tomllib

    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in pins.splitlines() if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(x for extra in project["optional-dependencies"].values() for x in extra),
    ]
    for requirement in wanted:
        if requirement.startswith("diffuscope["):
            extras = requirement.partition("[")[2].rstrip("]").split(",")
            assert set(extras) <= set(project["optional-dependencies"])
            continue
        name = requirement.split(">")[0].split("=")[0].lower().replace("_", "-")
        assert name in pinned, f"{name} is not pinned in constraints.txt"
    assert environment.torch_pin(pins)


def test_torch_comes_from_the_index_of_cpu_builds_on_linux(
    environment: ModuleType,
    installed: list[tuple[list[str], str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(environment, "torch_version", lambda python: None)
    monkeypatch.setattr(environment, "reachable", lambda url: url == "https://index")
    monkeypatch.setattr(environment.sys, "platform", "linux")
    environment.install(made_here(tmp_path, "null"), Path("python"), "models", "https://index")
    (torch, _), (everything, constraints) = installed
    assert "--no-deps" in torch and torch[-1].startswith("torch==") and "https://index" in torch
    assert everything[-1] == ".[models]" and "\ntorch==" in constraints


def test_without_that_index_one_install_is_enough(
    environment: ModuleType,
    installed: list[tuple[list[str], str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(environment, "torch_version", lambda python: None)
    environment.install(made_here(tmp_path, "null"), Path("python"), "models,dev", "")
    ((arguments, constraints),) = installed
    assert arguments[-1] == ".[models,dev]" and "\ntorch==" in constraints


@pytest.mark.parametrize("linked", [True, False])
def test_a_torch_of_the_users_own_is_not_pinned(
    environment: ModuleType,
    installed: list[tuple[list[str], str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    linked: bool,
) -> None:
    monkeypatch.setattr(environment, "torch_version", lambda python: "2.9.1+cu130")
    if linked:
        made_here(tmp_path, '"2.9.1+cu130"')
    environment.install(tmp_path, Path("python"), "models", "https://index")
    ((_, constraints),) = installed
    assert "\ntorch==" not in constraints and "\nnumpy==" in constraints


def test_a_folder_that_is_no_environment_is_left_alone(
    environment: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert environment.main(["--venv", str(tmp_path)]) == 1
    assert "is no virtual environment" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_make_installs_once_also_below_a_folder_with_a_blank(tmp_path: Path) -> None:
    """The Makefile alone: a stand-in for Python notes each call and makes a stand-in command."""
    checkout = tmp_path / "a checkout" / "with blanks"
    (checkout / "scripts").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/environment.py"):
        (checkout / name).write_bytes((ROOT / name).read_bytes())
    stand_in = checkout / "python"
    stand_in.write_text(
        "#!/bin/sh\necho install >> calls\nmkdir -p .venv/bin\ncd .venv/bin\n"
        "printf '#!/bin/sh\\necho command $1 >> calls\\n' > diffuscope\nchmod +x diffuscope\n"
    )
    stand_in.chmod(0o755)
    for _ in range(2):
        subprocess.run(["make", "demo", "PYTHON=./python"], cwd=checkout, check=True, capture_output=True)
    assert (checkout / "calls").read_text().split("\n") == ["install", "command demo", "command demo", ""]


def test_make_alone_lists_what_there_is() -> None:
    result = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("demo", "test", "check", "bench", "docs", "clean"):
        assert f"make {target}" in result.stdout
