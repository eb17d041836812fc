"""Create the virtual environment that `make` uses and install diffuscope into it.

Needs only a Python with its standard library. In short:

* the environment is made when missing, and everything is installed at the versions of ``constraints.txt``;
* torch is the CPU build by default. On Linux the package index serves a CUDA build of several gigabytes, so
  the pinned version is taken from the PyTorch index of CPU builds when that can be reached;
* a torch of your own is respected. When the Python that runs this script has one (an active virtual
  environment, a conda environment, a system install), the new environment sees that Python's packages through
  a ``.pth`` file and nothing there is changed. When ``--venv`` names an environment of yours that already has
  torch, that torch stays.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import site
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = (2, 5)  # the range in pyproject.toml, extra "models"
MARKER = "made-by-diffuscope.json"  # tells an environment made here from one that the user made
LINK = "diffuscope-own-torch.pth"


def main(argv: list[str] | None = None) -> int:
    """Make the environment named on the command line ready; return the exit status."""
    options = parse_arguments(argv)
    if sys.version_info < OLDEST_PYTHON:
        wanted, found = ".".join(map(str, OLDEST_PYTHON)), sys.version.split()[0]
        return complain(f"Python {wanted} or newer is needed, this is {found}; name another: make PYTHON=...")
    folder = Path(options.venv).absolute()  # absolute, not resolved: the interpreter in it is a symbolic link
    python = interpreter(folder)
    if not python.exists():
        if folder.exists():
            return complain(
                f"{folder} exists and is no virtual environment; remove it or name another: VENV=..."
            )
        own = own_torch() if options.own_torch == "auto" else None
        try:
            create(folder, own)
        except subprocess.CalledProcessError:
            return complain(
                "this Python cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv"
            )
    try:
        install(folder, python, options.extras, options.torch_index_url)
    except subprocess.CalledProcessError as error:
        return complain(f"pip stopped with status {error.returncode}; its message is above")
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the options; paths are relative to the current folder."""
    parser = argparse.ArgumentParser(description="Create the environment and install diffuscope into it.")
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="folder of the environment")
    parser.add_argument("--extras", default="models", help="extras of pyproject.toml, separated by commas")
    parser.add_argument(
        "--torch-index-url", default="", help="where Linux takes torch; empty: pip's own index"
    )
    parser.add_argument(
        "--own-torch", choices=["auto", "no"], default="auto", help="use this Python's torch?"
    )
    return parser.parse_args(argv)


def complain(message: str) -> int:
    """Print one line on stderr and return the exit status of a failure."""
    print(f"error: {message}", file=sys.stderr)
    return 1


def interpreter(folder: Path) -> Path:
    """Path of the environment's Python."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def own_torch() -> str | None:
    """Version of the torch that the running Python has, if it is recent enough to be used; else None."""
    version = torch_version(Path(sys.executable))
    if version is None:
        return None
    if release(version) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        print(f"your torch {version} is older than {oldest}: installing another beside it")
        return None
    return version


def torch_version(python: Path) -> str | None:
    """Version of torch as seen by an interpreter, without importing torch; None where there is none."""
    code = "from importlib.metadata import version as v; print(v('torch'))"
    result = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


def release(version: str) -> tuple[int, ...]:
    """Major and minor number: "2.13.0+cpu" -> (2, 13)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def create(folder: Path, own: str | None) -> None:
    """Make the environment; with `own`, let it see the packages of the running Python as well.

    A link rather than ``--system-site-packages``, because the latter skips an active virtual environment and
    shows the system Python below it.
    """
    print(f"creating the environment {folder.name}", flush=True)
    try:
        venv.EnvBuilder(with_pip=True, symlinks=sys.platform != "win32").create(folder)
    except BaseException:
        shutil.rmtree(
            folder, ignore_errors=True
        )  # half an environment would be taken for a whole one next time
        raise
    if own is not None:
        query = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
        inside = subprocess.run(
            [str(interpreter(folder)), "-c", query], capture_output=True, text=True, check=True
        ).stdout.strip()
        paths = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
        Path(inside, LINK).write_text("\n".join(paths) + "\n", encoding="utf-8")
        print(f"using your own torch {own} from {sys.prefix} (make OWN_TORCH=no for a separate one)")
    (folder / MARKER).write_text(json.dumps({"own_torch": own}) + "\n", encoding="utf-8")


def keeps_torch(folder: Path, python: Path) -> bool:
    """True where the torch in sight is the user's: linked at creation, or in an environment not made here."""
    marker = folder / MARKER
    if marker.exists() and json.loads(marker.read_text(encoding="utf-8"))["own_torch"] is None:
        return False
    return torch_version(python) is not None


def install(folder: Path, python: Path, extras: str, torch_index_url: str) -> None:
    """Install diffuscope, editable, with its extras at the pinned versions."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    if keeps_torch(folder, python):
        pins = without_torch(pins)
    elif "models" in extras.split(","):
        pin = torch_pin(pins)
        present = (torch_version(python) or "").partition("+")[0]
        if present != pin.partition("==")[2]:
            print(f"fetching {pin} and the rest, some hundred megabytes: minutes, this once", flush=True)
            if sys.platform == "linux" and reachable(torch_index_url):
                # Its dependencies come with the next command: that index has other versions of them.
                subprocess.run([*pip, "--no-deps", "--index-url", torch_index_url, pin], check=True)
    with temporary_file(pins) as constraints:
        print(f"installing diffuscope[{extras}] into {folder.name}", flush=True)
        subprocess.run(
            [*pip, "--constraint", constraints, "--editable", f".[{extras}]"], check=True, cwd=ROOT
        )


def torch_pin(pins: str) -> str:
    """The line of the constraints that pins torch: "torch==2.13.0"."""
    return next(line for line in pins.splitlines() if line.startswith("torch=="))


def without_torch(pins: str) -> str:
    """The constraints less the pin of torch."""
    return "".join(line for line in pins.splitlines(keepends=True) if not line.startswith("torch=="))


def reachable(index_url: str) -> bool:
    """Whether the index answers; where it does not, a line says that pip's own index is used."""
    if not index_url:
        return False
    try:
        with urllib.request.urlopen(f"{index_url.rstrip('/')}/torch/", timeout=10):
            return True
    except (urllib.error.URLError, TimeoutError, OSError):
        print(f"{index_url} does not answer: taking torch from pip's own index")
        return False


@contextmanager
def temporary_file(text: str) -> Iterator[str]:
    """A text file that exists for the block; yields its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "constraints.txt")
        path.write_text(text, encoding="utf-8")
        yield str(path)


if __name__ == "__main__":
    sys.exit(main())
