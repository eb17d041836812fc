"""How much the server carries, on loopback, on a recording of the shipped model.

    python benchmarks/server.py [--share 0.1] [--quick] [--json FILE]

`diffuscope serve` runs in a process of its own, as a user starts it, and clients of plain sockets ask it over
connections that they keep. What is promised:

- cached maps, words and pictures: 99 of 100 answered within 50 ms with 8 clients, none failing;
- a region's map at one step: within 100 ms, the first time and again;
- a hundred listeners to a job's events while it draws: each gets every event, and drawing takes at most a quarter
  longer than with one listener;
- memory flat: the last 5,000 of 10,000 mixed requests add less than 16 MB.

The clients take processor time of the same machine: what the server could do alone is more.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import describe_machine, machine, megabytes, parser_of, say, table, write_json

PROMPT = "a red circle left of a blue square"
CLIENTS = 8
LISTENERS = 100
PROMISED = {"p99": 0.05, "region": 0.1, "slower": 1.25, "grown": 16e6}


class Connection:
    """A connection that is kept: HTTP/1.1 in as few lines as a client can do with."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = 0.0

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of an answer."""
        # The server closes a connection that is not used for a while.
        if self._streams is None or time.monotonic() - self._used > 5:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        reader, writer = self._streams
        writer.write(_request(method, path, body))
        status, headers = await _head(reader)
        length = int(headers.get("content-length", "0"))
        content = await reader.readexactly(length) if length else b""
        self._used = time.monotonic()
        return status, content

    async def json(self, method: str, path: str, body: Any = None) -> Any:
        """An answer's JSON; anything but success is an error here."""
        status, content = await self.ask(method, path, body)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {content[:300]!r}")
        return json.loads(content)


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--share", type=float, default=1.0, help="which part of the requests is made")
    options = parser.parse_args()
    where = machine()
    say(describe_machine(where))
    with tempfile.TemporaryDirectory(prefix="diffuscope-server-") as folder:
        runs = Path(folder) / "runs"
        command = [sys.executable, "-m", "diffuscope", "serve", "--runs", str(runs), "--port", "0", "--json"]
        # Its log goes to nobody: lines of JSON on a terminal would be measured too.
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                assert process.stdout is not None
                said = ""
                while not said.rstrip().endswith("}"):
                    said += process.stdout.readline()
                port = int(json.loads(said)["address"].rstrip("/").rpartition(":")[2])
                found = asyncio.run(measure(port, process.pid, 0.01 if options.quick else options.share))
            finally:
                process.send_signal(signal.SIGINT)
    show(found)
    write_json(options.json, "server", where, found)


async def measure(port: int, pid: int, share: float) -> dict[str, Any]:
    """Everything, one after another."""
    client = Connection(port)
    say("a first recording: the worker starts, the model is loaded")
    run = await recorded(client, port, steps=25, keep="qk")
    version = (await client.json("GET", f"/api/runs/{run}"))["version"]
    base = f"/api/runs/{run}"
    found: dict[str, Any] = {"clients": CLIENTS, "listeners": LISTENERS}
    first = await once(client, "POST", f"{base}/regions", {"region": "pixel:40,60", "steps": "3"})
    regions = [
        ("POST", f"{base}/regions", {"region": f"pixel:{x},{y}", "steps": str(step)})
        for step in range(0, 25, 5)
        for x in range(4, 124, 12)
        for y in range(4, 124, 12)
    ]
    cached = [
        ("words.json", ("GET", f"{base}/words.json?v={version}", None)),
        ("maps of a word", ("GET", f"{base}/maps/2.safetensors?v={version}", None)),
        ("regions of a step", ("GET", f"{base}/self/to/0003.safetensors?v={version}", None)),
        ("picture", ("GET", f"{base}/image.webp?v={version}", None)),
        ("list of runs", ("GET", "/api/runs", None)),
    ]
    rows = []
    for name, request in cached:
        rows.append({"what": name, **await load(port, [request] * int(2000 * share))})
    rows.append(
        {"what": "regions, each for the first time", **await load(port, regions[: int(500 * share) or 1], 1)}
    )
    rows.append({"what": "regions, asked before", **await load(port, regions[: int(500 * share) or 1] * 4)})
    found["requests"] = rows
    found["first_region"] = first
    found["listening"] = await listening(client, port)
    found["memory"] = await flat(port, pid, [request for _, request in cached] + regions[:100], share)
    return found


async def recorded(client: Connection, port: int, **settings: Any) -> str:
    """Draw a picture; the run's id."""
    job = await client.json("POST", "/api/jobs", {"kind": "record", "prompt": PROMPT, "seed": 7, **settings})
    events = await listen(port, job["id"])
    if events[-1][0] != "done":
        raise RuntimeError(f"the recording failed: {events[-1]}")
    run: str = events[-1][1]["result"]["runs"][0]
    return run


async def once(client: Connection, method: str, path: str, body: Any) -> float:
    """Seconds of one request."""
    began = time.perf_counter()
    await client.json(method, path, {**body, "format": "json"})
    return time.perf_counter() - began


async def load(port: int, requests: Sequence[tuple[str, str, Any]], clients: int = CLIENTS) -> dict[str, Any]:
    """Requests shared among clients, each with a connection of its own: how many a second, and their times."""
    waiting = list(reversed(requests))
    seconds: list[float] = []
    failed = size = 0

    async def work() -> None:
        nonlocal failed, size
        connection = Connection(port)
        while waiting:
            method, path, body = waiting.pop()
            began = time.perf_counter()
            status, content = await connection.ask(method, path, body)
            seconds.append(time.perf_counter() - began)
            failed += status != 200
            size = len(content)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    took = time.perf_counter() - began
    return {
        "requests": len(seconds),
        "clients": clients,
        "bytes": size,
        "per_second": len(seconds) / took,
        "p50": float(np.percentile(seconds, 50)),
        "p99": float(np.percentile(seconds, 99)),
        "failed": failed,
    }


async def listen(port: int, job: str) -> list[tuple[str, Any]]:
    """All events of a job, as they come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(_request("GET", f"/api/jobs/{job}/events", None))
    await _head(reader)
    found: list[tuple[str, Any]] = []
    name = ""
    while line := await reader.readline():
        text = line.decode().rstrip()
        if text.startswith("event: "):
            name = text[7:]
        elif text.startswith("data: "):
            found.append((name, json.loads(text[6:])))
            if name in ("done", "failed", "cancelled"):
                break
    writer.close()
    return found


async def listening(client: Connection, port: int) -> dict[str, Any]:
    """Recordings heard by one and by a hundred listeners, alternately: what each heard, how long steps took."""
    times: dict[int, list[float]] = {1: [], LISTENERS: []}
    complete = True
    for count in (1, LISTENERS, 1, LISTENERS):
        body = {"kind": "record", "prompt": PROMPT, "seed": 7, "steps": 50, "keep": "maps"}
        job = await client.json("POST", "/api/jobs", body)
        heard = await asyncio.gather(*(listen(port, job["id"]) for _ in range(count)))
        steps = [data["seconds"] for name, data in heard[0] if name == "step"]
        complete = complete and all(each == heard[0] for each in heard) and len(steps) == 50
        times[count].append(float(np.median(steps[5:])))
    one, many = (float(np.mean(times[count])) for count in (1, LISTENERS))
    return {"complete": complete, "step_with_one": one, "step_with_many": many, "ratio": many / one}


async def flat(port: int, pid: int, requests: Sequence[tuple[str, str, Any]], share: float) -> dict[str, Any]:
    """Memory of the server's process before, halfway, and after."""
    count = max(20, int(10_000 * share))
    before = resident(pid)
    halves = []
    for _ in range(2):
        part = [requests[index % len(requests)] for index in range(count // 2)]
        await load(port, part)
        halves.append(resident(pid))
    return {"requests": count, "before": before, "halfway": halves[0], "after": halves[1]}


def resident(pid: int) -> int:
    """Bytes of a process in memory. Linux."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def show(found: dict[str, Any]) -> None:
    rows = [
        [
            row["what"],
            str(row["clients"]),
            f"{row['bytes'] / 1000:.1f} kB",
            f"{row['per_second']:.0f}",
            f"{1000 * row['p50']:.1f}",
            f"{1000 * row['p99']:.1f}",
            str(row["failed"]),
        ]
        for row in found["requests"]
    ]
    say(table(["asked", "clients", "size", "a second", "p50 ms", "p99 ms", "failed"], rows))
    heard, memory = found["listening"], found["memory"]
    grown = memory["after"] - memory["halfway"]
    say(f"the first region of all: {1000 * found['first_region']:.0f} ms")
    say(
        f"{LISTENERS} listeners: every event to each: {'yes' if heard['complete'] else 'NO'}; a step takes "
        f"{1000 * heard['step_with_many']:.0f} ms, {heard['ratio']:.2f} times as long as with one"
    )
    say(
        f"memory: {megabytes(memory['before'])} before, {megabytes(memory['halfway'])} halfway, "
        f"{megabytes(memory['after'])} after {memory['requests']} requests"
    )
    held = {
        "cached answers": all(row["p99"] <= PROMISED["p99"] for row in found["requests"][:5]),
        "nothing failed": all(row["failed"] == 0 for row in found["requests"]),
        "regions": max(row["p99"] for row in found["requests"][5:]) <= PROMISED["region"],
        "listeners": heard["complete"] and heard["ratio"] <= PROMISED["slower"],
        "memory": grown <= PROMISED["grown"],
    }
    say("; ".join(f"{name}: {'held' if kept else 'NOT HELD'}" for name, kept in held.items()))


def _request(method: str, path: str, body: Any) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
    if body is not None:
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + content


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status = int((await reader.readline()).split()[1])
    headers = {}
    while (line := (await reader.readline()).decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return status, headers


if __name__ == "__main__":
    main()
