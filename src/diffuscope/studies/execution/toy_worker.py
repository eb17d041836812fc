"""A worker without a model, for tests of executors and of the leader: it does what each job says."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class ToyWorker:
    """Jobs are ``{"key": ..., "do": ...}``; of jobs with a prompt, `do` is what stands before its colon (``die once: a
    cat``). What `do` can be: ``work`` (the default), ``fail`` (an error row), ``raise``
    (the worker's own failure), ``die`` (its process is killed), ``die once`` (killed the first time the key is seen),
    ``fail once``, ``refuse`` (an error row that is not tried again), ``fill`` (the disk is full), ``sleep`` (for
    `seconds`).
    """

    def __init__(
        self,
        *,
        folder: str,
        index: int = 0,
        broken: str | None = None,
        devices: int = 1,
        model: Mapping[str, Any] | None = None,
        measures: Sequence[Mapping[str, Any]] = (),
        notes: str | None = None,
        pause: float = 0.0,
        **others: Any,
    ) -> None:
        """`notes` is where it notes what it does, `folder` by default; `pause` the seconds that a batch takes. The
        others are what a study tells its workers, and are not heeded."""
        if broken is not None:
            raise ValueError(broken)
        self.folder, self.index, self.devices, self.pause = Path(notes or folder), index, devices, pause
        self.measure = str(measures[0]["name"]) if measures else "toy"
        self.model = dict(model or {"id": "toy", "revision": "1"})
        self.folder.mkdir(parents=True, exist_ok=True)
        self._note("made", str(os.getpid()))

    def about(self) -> dict[str, Any]:
        return {"source": self.model, "devices": ["toy"] * self.devices, "pid": os.getpid()}

    def work(self, jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        time.sleep(self.pause)
        return [self._work(job, len(jobs)) for job in jobs]

    def _work(self, job: Mapping[str, Any], batch: int) -> dict[str, Any]:
        key, do = (
            str(job["key"]),
            str(job.get("do") or str(job.get("prompt", "")).rpartition(":")[0] or "work"),
        )
        before = self._seen(key)
        self._note("seen", key)
        if do == "raise":
            raise RuntimeError(f"the worker fails at {key}")
        if do == "die" or (do == "die once" and not before):
            os.kill(os.getpid(), 9)
        if do == "sleep":
            time.sleep(float(job.get("seconds", 60)))
        if do == "fill":
            return {
                "key": key,
                "status": "stop",
                "error_kind": "run-folder",
                "error": "No space left on device",
            }
        if do == "refuse":
            return {
                "key": key,
                "status": "error",
                "error_kind": "bad-prompt",
                "error": "refused",
                "final": True,
            }
        if do == "fail" or (do == "fail once" and not before):
            return {
                "key": key,
                "status": "error",
                "error_kind": "toy",
                "error": f"{key} fails",
                "final": False,
            }
        value = {"measure": self.measure, "target": "", "word": "", "component": "", "step": None}
        return {
            "key": key,
            "status": "ok",
            "values": [{**value, "value": float(job.get("seed", 0)), "censored": False, "seen_to": None}],
            "batch": batch,
            "worker": self.index,
            "draw_seconds": 0.0,
        }

    def _note(self, what: str, text: str) -> None:
        """A file for each note: processes that are killed leave whole notes."""
        (self.folder / f"{what}-{time.time_ns()}-{secrets.token_hex(3)}").write_text(text, encoding="utf-8")

    def _seen(self, key: str) -> bool:
        return key in noted(self.folder, "seen")


def noted(folder: Path, what: str) -> list[str]:
    """Notes of all workers: ``made`` holds process ids, ``seen`` keys."""
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob(f"{what}-*"))]
