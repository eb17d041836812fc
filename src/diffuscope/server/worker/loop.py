"""The worker's process: models, one job at a time, quick questions between two steps.

This package is the one part of the server that imports the engine, and only when the first job comes. It hears and says
JSON:

    heard   {"do": "job", "job", "request", "folder"}   {"do": "ask", "ask", "what", …}
            {"do": "cancel"}   {"do": "stop"}
    said    {"tell": "state", …}   {"tell": "event", "job", "event", "data"}   {"tell": "end", "job", "state", …}
            {"tell": "answer", "ask", "value" or "error"}
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.errors import DiffuscopeError
from diffuscope.server.tensors import plain
from diffuscope.server.worker import asking, drawing, strips
from diffuscope.server.worker.desk import Desk
from diffuscope.server.worker.models import Models
from diffuscope.server.worker.questions import Sizes, prompt_as_read

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens

Act = Callable[[Desk, dict[str, Any], Path], dict[str, Any]]
"""Does what a request asks, in the folder of its job, and returns what came of it."""

ACTS: Mapping[str, Act] = {
    "record": drawing.record,
    "estimate": drawing.estimate,
    "edit": drawing.edit,
    "study": drawing.study,
    "concept": asking.concept,
    "faithfulness": asking.faithfulness,
    "windows": asking.windows,
    "heads": asking.heads,
    "projections": asking.projections,
    "sweep": strips.sweep,
    "strip": strips.strip,
}
"""Kinds of jobs."""


class Cancelled(Exception):
    """The job is not wanted any more."""

    def __str__(self) -> str:
        return "the job was cancelled"


class Gone(Exception):
    """The server is not there any more."""


def main(connection: Connection, options: dict[str, Any]) -> None:
    """Serve until told to stop, or until the server is gone.

    Args:
        connection: to the server.
        options: ``runs``, ``studies``: folders; ``models``: those that may be loaded; ``device``.
    """
    # Ctrl-C reaches every process of a terminal; when to leave is for the server to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        Worker(connection, options).serve()
    except (Gone, EOFError, OSError):
        pass
    finally:
        # Threads of libraries must not keep the process.
        sys.stderr.flush()
        os._exit(0)


class Worker:
    """See the module; a `Desk` to its jobs.

    Attributes:
        runs, studies: folders.
        models: the one that is held.
    """

    def __init__(self, connection: Connection, options: dict[str, Any]) -> None:
        self._connection = connection
        self.runs, self.studies = Path(options["runs"]), Path(options["studies"])
        self.models = Models(options["device"], self._loading)
        self._job: str | None = None
        self._cancelled = False
        self._later: deque[dict[str, Any]] = deque()
        self._sizes = Sizes()

    def serve(self) -> None:
        self._state("idle")
        while True:
            message = self._later.popleft() if self._later else self._receive()
            if message["do"] == "stop":
                return
            if message["do"] == "ask":
                self._answer(message)
            elif message["do"] == "job":
                self._do(message)
                self._state("idle")

    def _do(self, message: dict[str, Any]) -> None:
        from diffuscope.server.problems import described

        request, folder = message["request"], Path(message["folder"])
        self._job, self._cancelled = message["job"], False
        try:
            self._state("busy")
            result = ACTS[request["kind"]](self, request, folder)
            self._say(tell="end", job=self._job, state="done", result=plain(result))
        except Cancelled:
            self._say(tell="end", job=self._job, state="cancelled")
        except (Gone, EOFError):
            raise
        except Exception as error:
            if not isinstance(error, DiffuscopeError):
                traceback.print_exc()
            told = described(error)
            if not isinstance(error, DiffuscopeError):
                told |= {"message": f"the job stopped on a fault of the program: {type(error).__name__}"}
            self._say(tell="end", job=self._job, state="failed", error=told)
        finally:
            self._job = None

    def _answer(self, message: dict[str, Any]) -> None:
        from diffuscope.server.problems import described

        try:
            value: dict[str, Any] | None
            if message["what"] == "prompt":
                value = prompt_as_read(
                    self.models, self._job is not None, message["model"], message["prompt"]
                )
            elif message["what"] == "size":
                value = self._sizes.of(self.models, self._job is not None, message["request"])
            else:
                raise ValueError(f"no such question: {message['what']}")
            self._say(tell="answer", ask=message["ask"], value=value)
        except Exception as error:
            if not isinstance(error, DiffuscopeError):
                traceback.print_exc()
            self._say(tell="answer", ask=message["ask"], error=described(error))

    # What jobs say and hear.

    def event(self, event: str, **data: Any) -> None:
        """Say what happens to the job."""
        self._say(tell="event", job=self._job, event=event, data=data)

    def work(self, done: int, of: int) -> None:
        """Progress of what draws many pictures."""
        self.event("work", done=done, of=of)
        self.poll()

    def warn(self, lens: Lens) -> None:
        """Say what a lens has to tell the user."""
        for warning in lens.warnings:
            self.event("note", message=warning)
        lens.warnings.clear()

    def poll(self) -> None:
        """Between two steps: answer questions, and stop where the job is not wanted any more.

        Raises:
            Cancelled: it is not.
            Gone: nor is the server there.
        """
        try:
            while self._connection.poll(0):
                message = self._receive()
                if message["do"] == "ask":
                    self._answer(message)
                elif message["do"] == "cancel":
                    self._cancelled = True
                elif message["do"] == "stop":
                    raise Gone
                else:
                    self._later.append(message)
        except (EOFError, OSError) as error:
            raise Gone from error
        if self._cancelled:
            raise Cancelled

    # Talking.

    def _loading(self, model: str | None) -> None:
        """Say that a model is being loaded, or that it is there."""
        if model is None:
            self._state("busy" if self._job is not None else "idle")
            return
        self._state("loading")
        if self._job is not None:
            self.event("loading", model=model)

    def _state(self, state: str) -> None:
        self._say(tell="state", state=state, model=self.models.id)

    def _say(self, **message: Any) -> None:
        self._connection.send_bytes(json.dumps(message, default=str).encode())

    def _receive(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._connection.recv_bytes())
        return found
