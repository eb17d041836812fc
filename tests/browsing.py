"""The browser that pages are tried in: Chromium without a screen, which draws the same everywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent

QUIET = (
    "--no-sandbox",  # containers run tests as root
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
PHONE, LAPTOP, WIDE = (
    {"width": 360, "height": 740},
    {"width": 1440, "height": 900},
    {"width": 3840, "height": 2160},
)
NASTY = (
    'a </script><script>window.hurt=1</script> <img src=x onerror=window.hurt=1> "it\'s" & {{data}} circle'
)


def locked(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of `scripts/` that makes what all tests share. One at a time, as tests run side by side."""
    (ROOT / "build").mkdir(exist_ok=True)
    with FileLock(ROOT / "build" / f"{script}.lock", timeout=1800):
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / script), *arguments],
            capture_output=True,
            text=True,
            timeout=900,
        )


def chromium() -> str:
    """Path of a Chromium, installed now if there is none."""
    found = locked("browser.py")
    if found.returncode:
        pytest.fail(found.stderr.strip().splitlines()[-1], pytrace=False)
    return found.stdout.strip()


@contextmanager
def launched() -> Iterator[Browser]:
    """A Chromium, closed at the end."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
        yield started
        started.close()
