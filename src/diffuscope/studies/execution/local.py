"""Workers on this machine: a process of its own for each, started afresh, so that nothing of the leader is in it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any

from diffuscope.errors import InputError
from diffuscope.studies.execution.contract import Broken, Done, Event, Executor, Job, Lost, Ready, WorkerSpec

GRACE = 2.0
"""Seconds that a worker has to end by itself when its stdin is closed, before it is killed."""


class _Process:
    """One worker: its process, and what it has in hand."""

    def __init__(
        self, index: int, spec: WorkerSpec, threads: int | None, said: queue.Queue[tuple[_Process, Any]]
    ) -> None:
        self.index, self.ready, self.stopping = index, False, False
        self.ticket: int | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the process)
        environment = dict(os.environ)
        # Several workers that each take every core are slower than workers that share them. Who has said a number of
        # threads, under either name, means it.
        if threads is not None and not {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & environment.keys():
            environment["OMP_NUM_THREADS"] = str(threads)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "diffuscope.studies.execution.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            text=True,
            encoding="utf-8",
        )
        self.say(
            {
                "factory": spec.factory,
                "options": dict(spec.options),
                "index": index,
                "paths": [p or os.getcwd() for p in sys.path],
            }
        )
        self._reader = threading.Thread(target=self._read, args=(said,), daemon=True)
        self._reader.start()

    def say(self, value: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(value) + "\n")
            self.process.stdin.flush()
        except OSError:  # It is gone; the reader says so.
            pass

    def _read(self, said: queue.Queue[tuple[_Process, Any]]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                said.put((self, json.loads(line)))
            except ValueError:  # Half a line: it was killed while it wrote.
                break
        self.process.wait()
        said.put((self, None))

    def end_told(self) -> str:
        """How it ended, in a line."""
        code = self.process.returncode
        how = f"exit status {code}"
        if code is not None and code < 0:
            try:
                how = f"killed by {signal.Signals(-code).name}"
            except ValueError:
                how = f"killed by signal {-code}"
            if code == -signal.SIGKILL:
                how += " (perhaps memory ran out)"
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 4000))
        lines = [
            line.strip() for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()
        ]
        return f"{how}: {lines[-1][:300]}" if lines and (code or 0) > 0 else how

    def end(self) -> None:
        self.stopping = True
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(GRACE)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._log.close()


class LocalExecutor(Executor):
    """The default: as many workers as the machine has devices, or as many as asked for."""

    name = "local"

    def __init__(self, workers: int | None = None) -> None:
        """Raises InputError for fewer than one worker."""
        if workers is not None and workers < 1:
            raise InputError(f"workers={workers}: a study needs at least one")
        self._asked = workers
        self._spec: WorkerSpec | None = None
        self._processes: dict[int, _Process] = {}
        self._said: queue.Queue[tuple[_Process, Any]] = queue.Queue()
        self._grown = False

    def start(self, spec: WorkerSpec) -> None:
        self._spec = spec
        # The first alone: it says how many devices there are, and a model that does not load fails once.
        self._launch(0)

    @property
    def workers(self) -> int:
        return len(self._processes)

    def free(self) -> int:
        return sum(each.ready and each.ticket is None for each in self._processes.values())

    def submit(self, ticket: int, jobs: Sequence[Job]) -> None:
        for each in self._processes.values():
            if each.ready and each.ticket is None:
                each.ticket = ticket
                each.say({"ticket": ticket, "jobs": [dict(job) for job in jobs]})
                return
        raise RuntimeError("no worker is free")

    def wait(self, seconds: float) -> list[Event]:
        events: list[Event] = []
        end = time.monotonic() + seconds
        while True:
            left = max(0.0, end - time.monotonic())
            try:
                process, said = self._said.get(timeout=left) if not events else self._said.get_nowait()
            except queue.Empty:
                return events
            if not process.stopping:
                events.append(self._heard(process, said))

    def stop(self) -> None:
        processes, self._processes = list(self._processes.values()), {}
        for each in processes:
            each.end()

    def _launch(self, index: int) -> None:
        assert self._spec is not None
        number = self._asked or 1
        threads = max(1, (os.cpu_count() or 1) // number) if number > 1 else None
        self._processes[index] = _Process(index, self._spec, threads, self._said)

    def _heard(self, process: _Process, said: Any) -> Event:
        if said is None:
            return self._ended(process)
        if "ready" in said:
            process.ready = True
            if not self._grown:
                self._grown = True
                number = self._asked or max(1, len(said["ready"].get("devices", ())))
                for index in range(1, number):
                    self._launch(index)
            return Ready(process.index, said["ready"])
        if "broken" in said:
            self._drop(process)
            return Broken(process.index, said["broken"], said["message"])
        ticket, process.ticket = process.ticket, None
        return Done(said["ticket"] if ticket is None else ticket, said["rows"])

    def _ended(self, process: _Process) -> Event:
        reason = process.end_told()
        self._drop(process)
        if process.ticket is None:
            if process.ready:  # Nothing is lost; another takes its place.
                self._launch(process.index)
            return Broken(process.index, "worker-ended", f"worker {process.index} ended: {reason}")
        self._launch(process.index)
        return Lost(process.ticket, f"worker {process.index} ended: {reason}")

    def _drop(self, process: _Process) -> None:
        self._processes.pop(process.index, None)
        process.end()
