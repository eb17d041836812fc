"""The queue of jobs: one worker, one job at a time, everybody told what happens.

All of it lives in the event loop's thread. Heavy work is in the worker; what it says comes in through `_heard`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from diffuscope.errors import DiffuscopeError
from diffuscope.recording.reader import Recording
from diffuscope.recording.shelf import seem_idle
from diffuscope.server.job import DRAWN, ID, Job, State, now
from diffuscope.server.problems import Refusal
from diffuscope.server.settings import Settings
from diffuscope.server.worker_process import WorkerProcess

log = logging.getLogger("diffuscope.server")

REMEMBERED = 100
"""Jobs that are kept when they are over; older ones are forgotten."""

GRACE = 20.0
"""Seconds that a job has to reach a step boundary once it is cancelled, before its worker is killed."""

HEARTBEAT = 15.0
"""Seconds of silence after which listeners are told that the server is there."""

ASK_SECONDS = 60.0
"""That a quick question to the worker may take, loading its model included."""

FIRST = ("concept", "estimate")
"""Kinds that take a moment and go before pictures."""


class Queue:
    """Jobs in order.

    Attributes:
        jobs: all that are known, by id, oldest first.
        listeners: event streams that are open.
        restarts: how often a worker was lost.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.runs / ".server" / "jobs"
        self.jobs: dict[str, Job] = {}
        self.listeners = 0
        self.restarts = 0
        self._worker: WorkerProcess | None = None
        self._current: Job | None = None
        self._over: asyncio.Event = asyncio.Event()
        self._wake = asyncio.Event()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._asked = 0
        self._task: asyncio.Task[None] | None = None
        self._stopping: str | None = None
        self._step_at = 0.0

    # From start to end of the server.

    def start(self) -> None:
        """Read what is on disk and begin to work. Nothing is done in a read-only server."""
        self._recover()
        if not self.settings.read_only:
            self._task = asyncio.create_task(self._work(), name="diffuscope queue")

    async def stop(self) -> None:
        """Stop the worker. A job that is running is cut off at its last whole step."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.send({"do": "cancel"})
            await asyncio.to_thread(worker.stop)
        if self._current is not None:
            self._interrupted(self._current)
        for job in self._waiting():
            self._interrupted(job)

    def _recover(self) -> None:
        """Jobs of an earlier server: those it left unfinished end now, and what they had drawn becomes runs."""
        try:
            folders = sorted(path for path in self.folder.iterdir() if ID.fullmatch(path.name))
        except OSError:
            return
        for folder in folders:
            job = Job.load(folder)
            if job is None:
                continue
            self.jobs[job.id] = job
            if not job.is_over and not self.settings.read_only:
                self._interrupted(job)
        if not self.settings.read_only:
            self._forget()

    def _interrupted(self, job: Job) -> None:
        runs = self._keep_drawn(job)
        message = "the server was stopped before the job was done"
        if runs:
            message += f"; what was drawn until then is the run {runs[0]}"
        job.end(
            "failed",
            error=_error("InterruptedJobError", "interrupted", message, {"runs": runs}),
            result={"runs": runs} if runs else None,
        )

    # What clients do.

    def submit(self, request: dict[str, Any]) -> Job:
        """Put a job at its place in the queue.

        Raises:
            Refusal: too many wait, or the disk is full.
        """
        limits = self.settings.limits
        if len(self._waiting()) >= limits.jobs:
            raise Refusal(429, f"{limits.jobs} jobs are waiting already; try again later")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
            if free < limits.free_bytes:
                raise Refusal(409, f"the disk of the runs has {free >> 20} MiB free; make room first")
            job = Job.new(self.folder, request)
        except OSError as error:
            raise Refusal(
                409, f"jobs cannot be written down: {error.strerror or 'the disk refuses'}"
            ) from error
        self.jobs[job.id] = job
        self._forget()
        self._tell_positions()
        self._wake.set()
        return job

    def get(self, ident: str) -> Job:
        """A job. Raises Refusal (404) where there is none."""
        job = self.jobs.get(ident)
        if job is None:
            raise Refusal(404, f"there is no job {ident[:60]!r}")
        return job

    def position(self, job: Job) -> int | None:
        """How many jobs go before a waiting one; None for any other."""
        return self._waiting().index(job) if job.state == "queued" else None

    def described(self, job: Job) -> dict[str, Any]:
        return job.to_json(self.position(job))

    def cancel(self, job: Job) -> None:
        """Take a waiting job out, or stop a running one at its next step. One that is over stays as it is."""
        if job.state == "queued":
            job.end("cancelled", result=None)
            self._tell_positions()
        elif job.state == "running" and self._stopping is None:
            self._stop_current("cancelled")

    async def events(self, job: Job, after: int) -> AsyncIterator[bytes]:
        """The job's events from number `after` + 1 on, as they happen, in the form of server-sent events."""
        limit = self.settings.limits.listeners
        if self.listeners >= limit:
            raise Refusal(429, f"{limit} listeners are connected already; ask GET /api/jobs/{job.id} instead")
        self.listeners += 1
        try:
            place = max(0, after)
            yield b"retry: 2000\n\n"
            while True:
                while place < len(job.events):
                    place += 1
                    yield _as_event(place, job.events[place - 1])
                if job.is_over:
                    return
                before = len(job.events)
                await job.changed(HEARTBEAT)
                if len(job.events) == before:
                    yield b": keep-alive\n\n"
        finally:
            self.listeners -= 1

    async def ask(self, what: str, **given: Any) -> Any:
        """A quick question to the worker, answered between two steps while it draws.

        Raises:
            Refusal: no answer came in time, or the worker died (503); or what the worker says.
        """
        worker = self._living_worker()
        self._asked += 1
        number, answer = self._asked, asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            worker.send({"do": "ask", "ask": number, "what": what, **given})
            async with asyncio.timeout(ASK_SECONDS):
                return await answer
        except TimeoutError:
            raise Refusal(
                503, "the worker is busy; try again in a while", headers={"Retry-After": "5"}
            ) from None
        finally:
            self._answers.pop(number, None)

    def worker_info(self) -> dict[str, Any]:
        """`shapes.WorkerInfo`."""
        worker = self._worker
        state = "stopped" if worker is None else worker.state
        return {"state": state, "model": worker.model if worker else None, "restarts": self.restarts}

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, for tests and operators."""
        return self._worker.pid if self._worker else None

    def counts(self) -> dict[str, int]:
        return {"queued": len(self._waiting()), "running": int(self._current is not None)}

    def drawn(self, job: Job) -> Path | None:
        """The folder of the recording that a job draws or has drawn; None before there is one."""
        if job.drawn is None:
            return None
        for folder in (job.folder / DRAWN / job.drawn, self.settings.runs / job.drawn):
            if folder.is_dir():
                return folder
        return None

    # The work.

    def _waiting(self) -> list[Job]:
        """Jobs that wait, the next one first."""
        waiting = [job for job in self.jobs.values() if job.state == "queued"]
        return sorted(waiting, key=lambda job: job.kind not in FIRST)

    async def _work(self) -> None:
        while True:
            waiting = self._waiting()
            if not waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._do(waiting[0])

    async def _do(self, job: Job) -> None:
        job.state, job.started = "running", now()
        self._current, self._over, self._stopping = job, asyncio.Event(), None
        self._step_at = time.monotonic()
        job.save()
        job.happened("started")
        self._tell_positions()
        worker = self._living_worker()
        worker.send({"do": "job", "job": job.id, "request": job.request, "folder": str(job.folder)})
        try:
            async with asyncio.timeout(self.settings.limits.job_seconds):
                await self._over.wait()
        except TimeoutError:
            self._stop_current("late")
            await self._over.wait()
        self._current = None

    def _stop_current(self, why: str) -> None:
        job, worker = self._current, self._worker
        if job is None or worker is None:
            return
        self._stopping = why
        job.happened("cancelling")
        worker.send({"do": "cancel"})

        async def make_sure() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await over.wait()
                    return
            worker.kill()

        over = self._over
        self._sure = asyncio.create_task(make_sure())

    def _living_worker(self) -> WorkerProcess:
        if self.settings.read_only:
            raise Refusal(403, "this server is read-only: it runs no model")
        if self._worker is None:
            options = {
                "runs": str(self.settings.runs),
                "studies": str(self.settings.studies),
                "models": list(self.settings.models),
                "device": self.settings.device,
            }
            self._worker = WorkerProcess(options, self._heard, self._lost)
            log.info("worker started", extra={"pid": self._worker.pid})
        return self._worker

    def _heard(self, message: dict[str, Any]) -> None:
        """Something the worker says."""
        tell, worker, job = message.get("tell"), self._worker, self._current
        if tell == "state" and worker is not None:
            worker.state, worker.model = message["state"], message.get("model", worker.model)
        elif tell == "answer":
            answer = self._answers.get(message["ask"])
            if answer is not None and not answer.done():
                if "error" in message:
                    answer.set_exception(_told(message["error"]))
                else:
                    answer.set_result(message["value"])
        elif job is not None and message.get("job") == job.id:
            if tell == "event":
                self._happened(job, message["event"], message["data"])
            elif tell == "end":
                self._ended(job, message)

    def _happened(self, job: Job, event: str, data: dict[str, Any]) -> None:
        if event == "opened":
            job.drawn = data["run"]
            job.save()
        elif event == "note":
            job.warnings.append(str(data["message"]))
        elif event == "step":
            moment = time.monotonic()
            took, self._step_at = moment - self._step_at, moment
            left = None
            if data["step"] > 0:
                left = round(took * (data["of"] - data["step"] - 1), 2)
            job.progress = {"step": data["step"] + 1, "of": data["of"], "seconds_left": left}
            data = {**data, "seconds": round(took, 3)}
        elif event == "work":
            job.progress = {"step": data["done"], "of": data["of"], "seconds_left": None}
        job.happened(event, **data)

    def _ended(self, job: Job, message: dict[str, Any]) -> None:
        state: State = message["state"]
        result, error = message.get("result"), message.get("error")
        if state == "cancelled":
            runs = self._keep_drawn(job)
            result = {"runs": runs} if runs else None
            if self._stopping == "late":
                seconds = self.settings.limits.job_seconds
                said = f"the job took longer than the {seconds:g} seconds it may"
                state, error = "failed", _error("JobTimeError", "too-late", said, {"runs": runs})
        elif state == "failed":
            runs = self._keep_drawn(job)
            result = {"runs": runs} if runs else None
        data = {"result": result} if state != "failed" else {"error": error, "result": result}
        job.end(state, **data)
        self._over.set()

    def _lost(self, worker: WorkerProcess, why: str) -> None:
        """The worker is gone. Its job has failed, and the next one gets a new worker."""
        if worker is not self._worker:
            return
        self._worker = None
        self.restarts += 1
        log.warning("worker lost", extra={"why": why})
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Refusal(503, f"{why}; try again", headers={"Retry-After": "5"}))
        job = self._current
        if job is None or job.is_over:
            return
        runs = self._keep_drawn(job)
        result = {"runs": runs} if runs else None
        if self._stopping == "cancelled":
            job.end("cancelled", result=result)
        else:
            kept = f"; what was drawn until then is the run {runs[0]}" if runs else ""
            job.end(
                "failed",
                error=_error("WorkerDiedError", "worker-died", why + kept, {"runs": runs}),
                result=result,
            )
        self._over.set()

    def _keep_drawn(self, job: Job) -> list[str]:
        """Move what a job has drawn to the runs, unless nothing of it is whole; the ids."""
        return keep_drawn(job.folder, self.settings.runs)

    def _tell_positions(self) -> None:
        for place, job in enumerate(self._waiting()):
            last = json.loads(job.events[-1]) if job.events else {}
            if last.get("event") != "queued" or last["data"].get("position") != place:
                job.happened("queued", position=place)

    def _forget(self) -> None:
        """Forget the oldest jobs that are over, but for the last ones."""
        over = [job for job in self.jobs.values() if job.is_over]
        for job in over[: max(0, len(over) - REMEMBERED)]:
            del self.jobs[job.id]
            if job.folder.parent == self.folder and ID.fullmatch(job.folder.name):
                shutil.rmtree(job.folder, ignore_errors=True)


def keep_drawn(job: Path, runs: Path) -> list[str]:
    """Move the recordings of a job's folder to the runs; those without a whole step are deleted. Their ids."""
    kept: list[str] = []
    drawn = job / DRAWN
    if not drawn.is_dir():
        return kept
    for folder in sorted(drawn.iterdir()):
        steps = 0
        with contextlib.suppress(DiffuscopeError):
            steps = len(Recording.open(folder).manifest.steps)
        if steps and not folder.name.startswith(".") and not (runs / folder.name).exists():
            with contextlib.suppress(OSError):
                os.rename(folder, runs / folder.name)
                # Nobody writes it any more.
                seem_idle(runs / folder.name)
                kept.append(folder.name)
    shutil.rmtree(drawn, ignore_errors=True)
    return kept


def _as_event(number: int, line: str) -> bytes:
    """An event for the wire. JSON has no line breaks of its own, so its data is one line."""
    known = json.loads(line)
    data = json.dumps(known["data"], ensure_ascii=False, separators=(",", ":"))
    return f"id: {number}\nevent: {known['event']}\ndata: {data}\n\n".encode()


def _error(name: str, code: str, message: str, details: dict[str, Any]) -> dict[str, Any]:
    return {"class": name, "code": code, "message": message, "details": details}


def _told(error: dict[str, Any]) -> Exception:
    """What the worker answered instead of an answer, for the client as it is."""
    return WorkerRefusal(error)


class WorkerRefusal(Refusal):
    """An error of the package that was raised in the worker."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(int(error.get("status", 400)), str(error["message"]), details=error.get("details"))
        self._error = error

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "class": self._error["class"], "code": self._error["code"]}
