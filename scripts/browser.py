"""Finds the Chromium that the page tests drive, or installs one; prints its path.

Looked for in this order: the path in DIFFUSCOPE_CHROMIUM, a browser of the system, one that Playwright installed
before. If there is none: apt-get where it exists and we are root, else Playwright's own download.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


def find() -> str | None:
    """Path of a browser that is there, or None."""
    named = os.environ.get("DIFFUSCOPE_CHROMIUM")
    if named:
        return named
    for name in NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def install() -> None:
    """Try the ways there are; success is what `find` says afterwards."""
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "chromium"]):
            subprocess.run(command, check=False, stdout=sys.stderr)
    if find() is None:
        subprocess.run(
            [sys.executable, "-m", "playwright", "install", "chromium"], check=False, stdout=sys.stderr
        )


def main() -> int:
    if find() is None:
        install()
    path = find()
    if path is None:
        print(
            "no Chromium for the page tests; install it (Debian, Ubuntu: apt-get install chromium), or set "
            "DIFFUSCOPE_CHROMIUM to the path of one",
            file=sys.stderr,
        )
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
