"""`diffuscope doctor`: what is installed, what works here, what to do about the rest."""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import typer

import diffuscope
from diffuscope.cli import options
from diffuscope.cli.console import print_json, print_table

EXAMPLES = """[bold]Examples[/bold]

diffuscope doctor
diffuscope doctor --json

Exit status 0 when nothing is broken, 1 otherwise."""

State = Literal["ok", "note", "problem"]
SYMBOLS: dict[State, str] = {"ok": "ok", "note": "note", "problem": "PROBLEM"}

VIEWER = ("numpy", "ml_dtypes", "safetensors", "pillow", "pydantic", "typer", "rich")
MODELS = ("torch", "diffusers", "transformers", "accelerate")
ENOUGH_DISK = 2 * 10**9
"""Bytes: the default budget of one recording."""

MODEL = Path(diffuscope.__file__).parent / "scenes" / "model"
SUMS = "SHA256SUMS"

# In a process of its own: a broken torch may end the process that imports it, and this command must go on.
PROBE = """
import json, torch
device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
name = torch.cuda.get_device_name() if device == "cuda" else device
print(json.dumps({"device": device, "name": name, "threads": torch.get_num_threads()}))
"""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    """ok; note: works, with less than everything; problem: something that should work does not."""
    found: str
    advice: str = ""
    """What to do; empty when nothing is to be done."""


def command(out: options.Out = options.RUNS, as_json: options.AsJson = False) -> None:
    """Check the installation: versions, torch and its device, shipped model, runs folder, free disk."""
    checks = list(examine(out))
    broken = any(check.state == "problem" for check in checks)
    if as_json:
        print_json({"ok": not broken, "checks": [asdict(check) for check in checks]})
    else:
        print_table(
            ("", "what", "found"), ((SYMBOLS[check.state], check.name, check.found) for check in checks)
        )
        advice = [f"{check.name}: {check.advice}" for check in checks if check.advice]
        typer.echo("\n" + ("\n".join(advice) if advice else "Everything works here. Try: diffuscope demo"))
    raise typer.Exit(1 if broken else 0)


def examine(runs: Path) -> Iterator[Check]:
    """All checks, in the order in which they are shown."""
    yield Check("diffuscope", "ok", diffuscope.__version__)
    yield check_python()
    yield from (check_package(name) for name in VIEWER)
    yield from (check_package(name, extra="models") for name in MODELS)
    if find_spec("torch") is not None:
        yield check_device()
    yield check_model(MODEL)
    yield check_runs_folder(runs)
    yield check_disk(runs)


def check_python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("python", "ok", found)


def check_package(name: str, extra: str | None = None) -> Check:
    try:
        return Check(name, "ok", version(name))
    except PackageNotFoundError:
        if extra is None:
            return Check(name, "problem", "missing", f"pip install {name}")
        advice = f'recordings open without it; to run models: pip install "diffuscope[{extra}]"'
        return Check(name, "note", "not installed", advice)


def check_device() -> Check:
    """Where models would run."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=120, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        last = (
            (error.stderr or "no answer").strip().splitlines()[-1:] if isinstance(error.stderr, str) else []
        )
        found = last[0] if last else "torch does not answer"
        return Check("device", "problem", found, "torch does not start: install it again for this machine")
    found = json.loads(probe.stdout)
    threads = f", {found['threads']} threads" if found["device"] == "cpu" else ""
    return Check("device", "ok", f"{found['name']}{threads}")


def check_model(folder: Path) -> Check:
    """The model that ships with the package: there, whole, unchanged."""
    again = "install diffuscope again"
    if not (folder / "model_index.json").is_file():
        return Check("scenes model", "problem", "not in the package", again)
    sums = folder / SUMS
    if not sums.is_file():
        return Check("scenes model", "problem", f"no {SUMS} to check it against", again)
    expected = read_sums(sums)
    missing = [name for name in expected if not (folder / name).is_file()]
    if missing:
        return Check("scenes model", "problem", f"missing: {', '.join(missing)}", again)
    changed = [name for name, digest in expected.items() if sha256(folder / name) != digest]
    if changed:
        advice = f"{again}; if you trained it yourself, write {SUMS} anew"
        return Check("scenes model", "problem", f"changed: {', '.join(changed)}", advice)
    size = sum((folder / name).stat().st_size for name in expected)
    return Check("scenes model", "ok", f"{len(expected)} files, {size / 1e6:.1f} MB, hashes as shipped")


def read_sums(path: Path) -> dict[str, str]:
    """File name -> SHA-256, from a file in the format of ``sha256sum``."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines if line.strip())}


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def existing_parent(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def check_runs_folder(runs: Path) -> Check:
    """Whether a recording could be written there. Leaves nothing behind."""
    folder = existing_parent(runs)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        found = f"{runs}: {error.strerror or error}"
        return Check(
            "runs folder", "problem", found, "record elsewhere: --out DIR, or change its permissions"
        )
    return Check(
        "runs folder", "ok", f"{runs} ({'there' if runs.exists() else 'made on first use'}), writable"
    )


def check_disk(runs: Path) -> Check:
    free = shutil.disk_usage(existing_parent(runs)).free
    found = f"{free / 1e9:.1f} GB free"
    if free < ENOUGH_DISK:
        return Check("disk", "note", found, "recordings of large models may not fit: record with --keep maps")
    return Check("disk", "ok", found)
