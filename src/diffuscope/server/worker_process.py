"""The worker's process as the server holds it: started when it is needed, spoken to in JSON, mourned when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import signal
import threading
from collections.abc import Callable
from typing import Any

PATIENCE = 5.0
"""Seconds that a worker has to leave before it is killed."""


class WorkerProcess:
    """A process that runs models. It is spawned, never forked: libraries with threads do not survive a fork.

    Attributes:
        model: what it has loaded.
        state: ``starting`` until it answers, then ``idle``, ``loading`` or ``busy``.
    """

    def __init__(
        self,
        options: dict[str, Any],
        heard: Callable[[dict[str, Any]], None],
        died: Callable[[WorkerProcess, str], None],
    ) -> None:
        """Start one.

        Args:
            options: of `worker.loop.main`, plain values.
            heard: called in the event loop with each message.
            died: called in the event loop when the process is gone, with what is known of why.
        """
        from diffuscope.server.worker.loop import main

        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.state, self.model = "starting", None
        self._connection = ours
        self._writing = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._heard, self._died = heard, died
        # No daemon: a study starts processes of its own.
        self._process = context.Process(target=main, args=(theirs, options), name="diffuscope worker")
        self._process.start()
        theirs.close()
        threading.Thread(target=self._listen, name="diffuscope worker ear", daemon=True).start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """Tell it something. One that is gone is heard of by `died`."""
        with contextlib.suppress(OSError, ValueError), self._writing:
            self._connection.send_bytes(json.dumps(message).encode())

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ValueError):
            self._process.kill()

    def stop(self) -> None:
        """End it: it is asked to leave, then made to. Waits for it."""
        self.send({"do": "stop"})
        with contextlib.suppress(ValueError):
            self._process.join(PATIENCE)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join(PATIENCE)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()

    def _listen(self) -> None:
        try:
            while True:
                message = json.loads(self._connection.recv_bytes())
                self._loop.call_soon_threadsafe(self._heard, message)
        except (EOFError, OSError):
            pass
        except RuntimeError:  # The loop is closed: the server has ended.
            return
        with contextlib.suppress(ValueError):
            self._process.join()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._died, self, self._why())

    def _why(self) -> str:
        code = self._process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
            hint = "; the system does so when memory runs out" if name == "SIGKILL" else ""
            return f"the worker process was killed by signal {-code} ({name}){hint}"
        return f"the worker process ended with status {code}"
