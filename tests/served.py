"""A real server for tests: `diffuscope serve` on a free port, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

PATIENCE = 120.0
"""Seconds: machines that test are busy."""


class Served:
    """A running server.

    Attributes:
        address: of it, without a slash at its end.
        process: of it.
        errors: lines of its log so far.
    """

    def __init__(self, runs: Path, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "diffuscope", "serve", "--runs", str(runs), "--port", "0", "--json"]
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=runs.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        assert self.process.stdout is not None
        threading.Thread(target=self._read_errors, daemon=True).start()
        said = ""
        while not said.rstrip().endswith("}"):
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"the server did not start: {said} {self.errors}")
            said += line
        self.address = str(json.loads(said)["address"]).rstrip("/")
        self._client = httpx2.Client(base_url=self.address, timeout=PATIENCE, trust_env=False)

    def get(self, path: str, **options: Any) -> Any:
        return self._client.get(path, **options)

    def post(self, path: str, body: Any) -> Any:
        return self._client.post(path, json=body)

    def delete(self, path: str) -> Any:
        return self._client.delete(path)

    def job(self, **request: Any) -> str:
        """Start a job; its id."""
        answer = self.post("/api/jobs", request)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def events(self, job: str, after: int | None = None) -> Iterator[tuple[int, str, Any]]:
        """Number, name and data of a job's events as they come."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        with self._client.stream("GET", f"/api/jobs/{job}/events", headers=headers) as stream:
            number, name = 0, ""
            for line in stream.iter_lines():
                kind, _, rest = line.partition(": ")
                if kind == "id":
                    number = int(rest)
                elif kind == "event":
                    name = rest
                elif kind == "data":
                    yield number, name, json.loads(rest)

    def done(self, **request: Any) -> dict[str, Any]:
        """Do a job; its result."""
        *_, (_, name, data) = self.events(self.job(**request))
        assert name == "done", data
        result: dict[str, Any] = data["result"]
        return result

    def worker(self) -> int:
        """Process id of the server's worker, from its log."""
        started = [json.loads(line) for line in self.errors if "worker started" in line]
        return int(started[-1]["pid"])

    def stop(self, how: int = signal.SIGINT) -> int:
        """End it; its exit status."""
        self._client.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()
