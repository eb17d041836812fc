"""Puts the built page into the wheel and the source distribution; builds it where it is missing (`scripts/page.py`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

import page


class PageHook(BuildHookInterface):  # type: ignore[misc]
    """Runs before each build. An editable install is left alone: there `make ui` builds, when it is wanted."""

    PLUGIN_NAME = "custom"

    def _wanted(self) -> bool:
        missing = not (page.STATIC / "index.html").is_file()
        return missing and page.UI.is_dir() and os.environ.get("DIFFUSCOPE_NO_PAGE") != "1"

    def dependencies(self) -> list[str]:
        """What the build environment needs beside hatchling: a Node from PyPI, where the system has none."""
        return [page.NODE_PACKAGE] if self._wanted() and page.system_node() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable" and self._wanted():
            page.build()
