"""What the page's browser tests share: the built page, a real server, and a browser that tells of every complaint."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, expect
from test_figures_browser import NASTY, QUIET, chromium

ROOT = Path(__file__).resolve().parent.parent
PHONE, LAPTOP, WIDE = (
    {"width": 360, "height": 740},
    {"width": 1440, "height": 900},
    {"width": 3840, "height": 2160},
)
# Nothing here is about time; on a busy machine an answer may take a while.
expect.set_options(timeout=60_000)
__all__ = [
    "LAPTOP",
    "NASTY",
    "PHONE",
    "QUIET",
    "WIDE",
    "Visits",
    "axe",
    "build_page",
    "chromium",
    "folder_site",
    "page_script",
    "server",
]


def build_page() -> None:
    """Have the page lie in the package as the sources are now; takes a Node from PyPI where there is none."""
    done = page_script()
    if done.returncode:
        pytest.fail(f"the page was not built:\n{done.stderr}", pytrace=False)


def page_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/page.py`, one at a time: all of them work in the same folders."""
    (ROOT / "build").mkdir(exist_ok=True)
    with FileLock(ROOT / "build" / "page.lock", timeout=1800):
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "page.py"), *arguments],
            capture_output=True,
            text=True,
            timeout=900,
        )


@contextmanager
def server(runs: Path, *options: str, studies: Path | None = None) -> Iterator[str]:
    """A server of these runs in a process of its own; its address, with a slash at the end."""
    command = [sys.executable, "-m", "diffuscope", "serve", "--runs", str(runs), "--port", "0", *options]
    started = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "DIFFUSCOPE_STUDIES": str(studies or runs.parent / "no-studies"),
        },
    )
    said: list[str] = []
    try:
        assert started.stdout is not None
        for line in started.stdout:
            said.append(line)
            if found := re.search(r"at (http://\S+/)", line):
                # What it logs from here on is read, so that its pipe never fills.
                threading.Thread(target=started.stdout.read, daemon=True).start()
                yield found[1]
                return
        pytest.fail(f"the server did not start: {''.join(said)}", pytrace=False)
    finally:
        started.terminate()
        started.wait(30)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def folder_site(folder: Path) -> Iterator[str]:
    """The files of a folder as any static host gives them; its address, with a slash at the end."""
    host = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=host.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{host.server_port}/"
    finally:
        host.shutdown()
        host.server_close()


def axe(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds wrong with the page as it stands: rules, and the first signs of where."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in found]


class Visits:
    """Opens pages in contexts of their own, and keeps what they complained about.

    Attributes:
        wrong: errors thrown, lines of the console, requests to anywhere but the page's own host.
    """

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.wrong: list[str] = []
        self.contexts: list[Any] = []

    def open(self, address: str, **options: Any) -> Page:
        context = self.browser.new_context(**{"viewport": LAPTOP, **options})
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        origin = re.match(r"https?://[^/]+", address)
        assert origin is not None
        own = (origin[0], "data:", "blob:")
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: self.wrong.append(f"console: {message.text} ({message.location.get('url', '')})"),
        )
        page.on(
            "request", lambda request: None if request.url.startswith(own) else self.wrong.append(request.url)
        )
        page.goto(address)
        return page

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert not self.wrong, self.wrong
