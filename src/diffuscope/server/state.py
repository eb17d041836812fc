"""What the routes of one server share."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Request, Response

from diffuscope.recording import layout
from diffuscope.run import Run
from diffuscope.server import resources
from diffuscope.server.problems import Refusal
from diffuscope.server.queue import Queue
from diffuscope.server.resources import Content
from diffuscope.server.settings import Settings
from diffuscope.server.shelf import Opened, Shelf

Key = tuple[str, ...]

PATIENCE = 60.0
"""Seconds that a request for something slow waits for its turn."""

ONE_YEAR = "private, max-age=31536000, immutable"


class Answers:
    """Answers that are kept in memory, up to so many bytes; those not used for longest make room."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._kept: OrderedDict[Key, Content] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, make: Callable[[], Content]) -> Content:
        """An answer, made where it is not known."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        made = make()
        with self._lock:
            if key not in self._kept and len(made.body) <= self._most // 4:
                self._kept[key] = made
                self._bytes += len(made.body)
                while self._bytes > self._most:
                    _, gone = self._kept.popitem(last=False)
                    self._bytes -= len(gone.body)
        return made

    def __len__(self) -> int:
        return len(self._kept)


class Server:
    """A server at work.

    Attributes:
        settings: how it is set up.
        shelf: its runs.
        queue: its jobs.
        answers: what it has computed.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.shelf = Shelf(settings.runs)
        self.queue = Queue(settings)
        self.answers = Answers(settings.limits.cache_bytes)
        self._slow = threading.Lock()

    def refuse_changes(self) -> None:
        """Raises Refusal (403) in a read-only server."""
        if self.settings.read_only:
            raise Refusal(403, "this server is read-only: nothing is drawn, changed or removed here")

    def file(self, ident: str, name: str) -> tuple[Opened, Content]:
        """A file of a run; see `resources.read` for errors."""
        opened = self.shelf.open(ident)

        def make() -> Content:
            cells = self.settings.limits.region_cells
            if resources.is_slow(name):
                # Opened anew, so that quick questions to the run need not wait.
                with self.slowly():
                    return resources.read(Run.open(opened.run.path), name, cells)
            with opened.lock:
                return resources.read(opened.run, name, cells)

        mark = ""
        if name in resources.GROWING:
            try:
                mark = str((opened.run.path / layout.CACHE).stat().st_mtime_ns)
            except OSError:
                mark = "none"
        return opened, self.answers.get((ident, opened.version, name, mark), make)

    @contextmanager
    def slowly(self) -> Iterator[None]:
        """What takes seconds is done one at a time, so that the rest stays quick. Raises Refusal (503) where too much
        of it is asked for."""
        if not self._slow.acquire(timeout=PATIENCE):
            raise Refusal(
                503, "the server has much to compute; try again in a while", headers={"Retry-After": "10"}
            )
        try:
            yield
        finally:
            self._slow.release()


def _server(request: Request) -> Server:
    found: Server = request.app.state.server
    return found


TheServer = Annotated[Server, Depends(_server)]


def served(request: Request, content: Content, version: str | None = None) -> Response:
    """A file with what browsers need to keep it: for a year where the address names the version, else to be asked
    again with its ETag."""
    tag = f'"{hashlib.sha256(content.body).hexdigest()[:32]}"'
    kept = version is not None and request.query_params.get("v") == version
    headers = {"ETag": tag, "Cache-Control": ONE_YEAR if kept else "private, no-cache"}
    asked = request.headers.get("if-none-match", "")
    if tag in [each.strip().removeprefix("W/") for each in asked.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(content.body, media_type=content.media_type, headers=headers)
