"""A job: what was asked, how it stands, and what happened, on disk so that a restart finds it.

<runs>/.server/jobs/<id>/job.json      how it stands
                        events.jsonl   what happened, a line an event; the event's number is its line's
                        drawn/         recordings while they are drawn
                        previews/      predicted clean pictures while it is drawn
                        pictures/      of a sweep
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from diffuscope.recording.files import write_atomic

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")
ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{8}")

JOB, EVENTS, DRAWN, PREVIEWS, PICTURES = "job.json", "events.jsonl", "drawn", "previews", "pictures"


@dataclass
class Job:
    """A job. Its methods belong to the event loop's thread.

    Attributes:
        id: of the job.
        folder: where it is written down.
        request: as it was sent; `kind` says what is to be done.
        state: how it stands.
        created, started, ended: when, ISO 8601.
        progress: ``step``, ``of`` and ``seconds_left``.
        result, error: what came of it; ``runs`` in the result are ids.
        warnings: what was to be said about it.
        events: lines of JSON ``{"event", "data"}``, in order.
        drawn: folder name of the recording that is being drawn.
    """

    id: str
    folder: Path
    request: dict[str, Any]
    state: State = "queued"
    created: str = ""
    started: str | None = None
    ended: str | None = None
    progress: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    drawn: str | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def new(cls, jobs: Path, request: dict[str, Any]) -> Job:
        """A job that is written down in a folder of its own. Raises OSError where it cannot be."""
        ident = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        made = cls(ident, jobs / ident, request, created=now())
        made.folder.mkdir(parents=True)
        made.save()
        return made

    @classmethod
    def load(cls, folder: Path) -> Job | None:
        """A job as it was written down, or None where that cannot be read."""
        try:
            known = json.loads((folder / JOB).read_text("utf-8"))
            lines = (folder / EVENTS).read_text("utf-8").splitlines() if (folder / EVENTS).exists() else []
            made = cls(**{name: known[name] for name in _SAVED}, folder=folder)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # A line that a killed server left half written is none.
        made.events = [line for line in lines if _is_event(line)]
        return made if made.id == folder.name and ID.fullmatch(made.id) else None

    @property
    def kind(self) -> str:
        return str(self.request["kind"])

    @property
    def is_over(self) -> bool:
        return self.state in ENDED

    def happened(self, event: str, **data: Any) -> None:
        """Write an event down and wake those who listen."""
        line = json.dumps({"event": event, "data": data, "time": now()}, ensure_ascii=False)
        self.events.append(line)
        try:
            with (self.folder / EVENTS).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError:  # A full disk must not stop the queue; listeners have it.
            pass
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def end(self, state: State, **data: Any) -> None:
        """Close the job with its last event, named as the state."""
        self.state, self.ended = state, now()
        self.result = data.get("result", self.result)
        self.error = data.get("error", self.error)
        self.save()
        self.happened(state, **data)

    def save(self) -> None:
        """Write down how it stands."""
        known = {name: getattr(self, name) for name in _SAVED}
        with contextlib.suppress(OSError):  # As below.
            write_atomic(self.folder / JOB, [json.dumps(known, ensure_ascii=False, indent=1).encode()])

    async def changed(self, seconds: float) -> None:
        """Wait until something has happened, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def to_json(self, position: int | None) -> dict[str, Any]:
        """`shapes.Job`."""
        error = None
        if self.error is not None:
            error = {name: value for name, value in self.error.items() if name != "status"}
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "position": position,
            "created": self.created,
            "started": self.started,
            "ended": self.ended,
            "request": self.request,
            "progress": self.progress,
            "result": self.result,
            "error": error,
            "warnings": self.warnings,
        }


_SAVED = (
    *(
        "id",
        "request",
        "state",
        "created",
        "started",
        "ended",
        "progress",
        "result",
        "error",
        "warnings",
        "drawn",
    ),
)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _is_event(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
