"""Leading a study: which units are still to be done, who does them, and committing what comes back.

One process leads (a lock holds others off); workers do the work. A row is committed when the journal has it on the
device; until then its unit is pending, whatever happened to it. So a kill of anything at any moment loses the work that
was in hand and nothing else.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from diffuscope import errors
from diffuscope.errors import DiffuscopeError, InputError, MissingExtraError, RunFolderError
from diffuscope.studies.conditions import filled, parsed
from diffuscope.studies.execution import Broken, Done, Event, Executor, Lost, Ready, WorkerSpec
from diffuscope.studies.execution.local import LocalExecutor
from diffuscope.studies.forking import carry_over, fork_name
from diffuscope.studies.journal import Entry, Journal
from diffuscope.studies.measuring import Chosen
from diffuscope.studies.plan import Plan
from diffuscope.studies.plan_file import read_plan
from diffuscope.studies.prompts import check_words, expand, placeless
from diffuscope.studies.study import FILE, Study, difference, same_prompts
from diffuscope.studies.tables import arrow, compact
from diffuscope.studies.units import Unit, check_conditions, fingerprint, units

RESERVE = 10**9
"""Bytes that stay free on the study's disk: below it no more work is given out."""

WORKER = "diffuscope.studies.study_worker:StudyWorker"

OnProgress = Callable[[int, int, int], None]
"""Called with (units done, units that failed, units in all)."""

LOSSES = 5
"""Batches that may be lost in a row, with none coming back between, before the study stops: the machine is at fault."""


@dataclass
class Outcome:
    """What one session of a study did.

    Attributes:
        folder: of the study.
        committed: units that it committed, failed ones included.
        carried: rows that were taken over from the study that this is a fork of.
        failed: units of the study that ended as error rows.
        total: units of the plan.
        lost: times that a worker ended with a batch in hand.
        seconds: it took, and until the first worker was ready.
        start_seconds: see `seconds`.
    """

    folder: Path
    committed: int = 0
    carried: int = 0
    failed: int = 0
    total: int = 0
    lost: int = 0
    seconds: float = 0.0
    start_seconds: float = 0.0
    workers: int = 0


def prepare(plan: str | Path | Mapping[str, Any] | Plan, modules: Sequence[str] = ()) -> Plan:
    """Check a plan whole: its form, its prompts, its measures, its conditions. Draws nothing, needs no torch.

    Raises:
        InputError: what is wrong, in one line.
    """
    checked = read_plan(plan)
    prompts = expand(checked)
    Chosen.of(checked.measures, modules)
    check_words(checked.measures, prompts)
    check_conditions(checked, prompts)
    for name, condition in checked.conditions.items():
        parsed(filled(condition.edits, prompts[0].factors, name), name)
    return checked


def open_study(plan: Plan, out: str | Path, *, fork: bool = False) -> tuple[Study, int]:
    """The study of a plan in a folder of studies, begun if it is not there; and how many rows were carried over.

    Raises:
        InputError: it was begun with another plan, and `fork` is not set; the difference is named.
    """
    prompts = expand(plan)
    folder = Path(out) / plan.study
    if not (folder / FILE).exists():
        return Study.create(folder, plan, prompts), 0
    study = Study.open(folder)
    changed = difference(study.plan, plan)
    if not changed and not same_prompts(study.prompts, prompts):
        changed = ["prompts: the file that they come from has changed"]
    if not changed:
        return study, 0
    if not fork:
        raise InputError(
            f"{folder} was begun with another plan ({'; '.join(changed[:6])}"
            f"{f' and {len(changed) - 6} more' if len(changed) > 6 else ''}); go on with "
            f"that plan, name another study, or "
            "use --fork to begin one that takes over every run that is the same"
        )
    made = Path(out) / fork_name(placeless(plan), prompts)
    if (made / FILE).exists():
        return Study.open(made), 0
    forked = Study.create(made, plan, prompts, forked_from=study.folder.name)
    with locked(made):
        return forked, carry_over(study, forked)


def run(
    plan: str | Path | Mapping[str, Any] | Plan,
    out: str | Path = "studies",
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    batch: int = 4,
    modules: Sequence[str] = (),
    fork: bool = False,
    retry_errors: bool = False,
    reserve: int = RESERVE,
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Outcome:
    """Run a study, or go on with it. What is committed is never drawn again.

    Args:
        plan: a YAML file, a mapping, or a `Plan`.
        out: folder of studies; the study gets a folder of its name in it.
        executor: who does the work; workers on this machine by default.
        workers: of the default executor: one for each device where None.
        batch: pictures that are drawn together.
        modules: importable modules that declare measures.
        fork: if the plan has changed, begin another study that takes over what is the same.
        retry_errors: try units again that ended as error rows.
        reserve: bytes that stay free on the study's disk.
        on_progress: called as work is done.
        on_note: called with a line when a worker was lost or a study was forked.

    Raises:
        InputError: the plan is wrong or has changed, or the executor cannot be reached.
        RunFolderError: the study's disk is full or cannot be written; everything committed is kept.
        KeyboardInterrupt: on Ctrl-C; everything committed is kept.
    """
    if batch < 1:
        raise InputError(f"batch={batch}: at least one picture is drawn at a time")
    arrow()  # Without it nothing could be committed: said before anything is drawn.
    checked = prepare(plan, modules)
    study, carried = open_study(checked, out, fork=fork)
    if carried and on_note:
        on_note(f"{carried} runs that are the same were taken over from {study.facts['forked_from']}")
    with locked(study.folder):
        leader = Leader(
            study,
            executor or LocalExecutor(workers),
            modules=modules,
            batch=batch,
            retry_errors=retry_errors,
            reserve=reserve,
            on_progress=on_progress,
            on_note=on_note,
        )
        leader.outcome.carried = carried
        return leader.lead()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold off other leaders of the same study. The lock is the system's: a kill lets go of it.

    Raises:
        RunFolderError: another process leads the study.
    """
    try:
        from filelock import FileLock, Timeout
    except ModuleNotFoundError as error:
        raise MissingExtraError("running a study", "studies") from error
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RunFolderError(
            f"{folder} is being run by another process; wait for it, or look with: study status"
        ) from None
    except OSError as error:
        raise RunFolderError(f"cannot write to {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


@dataclass
class _Batch:
    units: list[Unit]
    alone: bool = False


@dataclass
class Leader:
    """One session. `lead` is all there is to call."""

    study: Study
    executor: Executor
    modules: Sequence[str] = ()
    batch: int = 4
    retry_errors: bool = False
    reserve: int = RESERVE
    on_progress: OnProgress | None = None
    on_note: Callable[[str], None] | None = None
    factory: str = WORKER
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.outcome = Outcome(self.study.folder, total=self.study.total)
        self._again: deque[_Batch] = deque()
        self._in_hand: dict[int, _Batch] = {}
        self._attempts: dict[str, int] = {}
        self._losses = self._tickets = 0
        self._software: dict[str, Any] = {}

    def lead(self) -> Outcome:
        """Work until nothing is pending."""
        began = time.monotonic()
        self._journal = journal = Journal(self.study.folder)
        committed = self.study.committed()
        done = {key for key, (state, _) in committed.items() if state == "ok" or not self.retry_errors}
        self._attempts = {key: attempt for key, (_, attempt) in committed.items() if key not in done}
        self._done = len(done)
        self.outcome.failed = sum(state != "ok" for key, (state, _) in committed.items() if key in done)
        self._tell()
        try:
            if len(done) < self.study.total:
                try:
                    with self.executor:
                        self._start()
                        self.outcome.start_seconds = time.monotonic() - began
                        self._work(self._batches(done))
                        self.outcome.workers = self.executor.workers
                finally:
                    shutil.rmtree(self.study.folder / "work", ignore_errors=True)
            journal.seal()
        except KeyboardInterrupt:
            journal.seal()
            raise
        finally:
            journal.close()
            self.outcome.seconds = time.monotonic() - began
            self._note_session()
        return self.outcome

    # The work.

    def _start(self) -> None:
        plan = self.study.plan
        options = {
            "folder": str(self.study.folder.resolve()),
            "model": plan.model.model_dump(),
            "measures": [choice.model_dump() for choice in plan.measures],
            "modules": list(self.modules),
            "keep": plan.keep,
            "thumbnail": plan.thumbnail,
            **self.extra,
        }
        self.executor.start(WorkerSpec(self.factory, options))
        while not self.executor.free():
            for event in self.executor.wait(1.0):
                if isinstance(event, Ready):
                    self._met(event)
                elif isinstance(event, Broken):
                    raise _told(event)

    def _met(self, event: Ready) -> None:
        """A worker says which model it has: the first one's is the study's, the others must have the same."""
        source = dict(event.about["source"])
        self._software = dict(source.pop("software", {}))
        found = fingerprint(source)
        known = self.study.model
        if known is None:
            self.study.set_model({**source, "fingerprint": found})
        elif known["fingerprint"] != found:
            raise InputError(
                f"the model {source.get('id')!r} is not the one that {self.study.folder} was begun with: its "
                f"files or the "
                "type of its weights differ; bring that one back, or begin another study"
            )

    def _batches(self, done: set[str]) -> Iterator[_Batch]:
        """Pending units, in batches of one condition: the same company under every condition."""
        assert self.study.model is not None
        waiting: dict[str, list[Unit]] = {name: [] for name in self.study.plan.conditions}
        for unit in units(self.study.plan, self.study.prompts, self.study.model["fingerprint"]):
            if unit.key in done:
                continue
            waiting[unit.condition].append(unit)
            if len(waiting[unit.condition]) == self.batch:
                yield _Batch(waiting[unit.condition])
                waiting[unit.condition] = []
        yield from (_Batch(left) for left in waiting.values() if left)

    def _work(self, batches: Iterator[_Batch]) -> None:
        following: _Batch | None = next(batches, None)
        while following is not None or self._again or self._in_hand:
            while self.executor.free() and (following is not None or self._again):
                self._check_room()
                if self._again:
                    self._give(self._again.popleft())
                else:
                    assert following is not None
                    self._give(following)
                    following = next(batches, None)
            for event in self.executor.wait(1.0):
                self._heard(event)
            if not self._in_hand and not self.executor.workers:
                raise DiffuscopeError("every worker has ended; what was committed is kept")

    def _give(self, batch: _Batch) -> None:
        self._tickets += 1
        self._in_hand[self._tickets] = batch
        self.executor.submit(self._tickets, [unit.job() for unit in batch.units])

    def _heard(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._met(event)
        elif isinstance(event, Done):
            self._losses = 0
            self._came_back(self._in_hand.pop(event.ticket), event.rows)
        elif isinstance(event, Lost):
            self._lost(self._in_hand.pop(event.ticket), event.reason)
        elif event.code != "worker-ended":
            raise _told(event)

    def _came_back(self, batch: _Batch, rows: Sequence[Mapping[str, Any]]) -> None:
        entries, stop = [], None
        for unit, row in zip(batch.units, rows, strict=True):
            if row["key"] != unit.key:
                raise DiffuscopeError(f"a worker answered for {row['key']} where {unit.key} was asked")
            if row["status"] == "stop":
                stop = row
                continue
            attempt = self._attempts.get(unit.key, 0) + 1
            self._attempts[unit.key] = attempt
            if row["status"] == "error" and not row.get("final") and attempt <= self.study.plan.retries:
                self._again.append(_Batch([unit], alone=True))
                continue
            entries.append(self._entry(unit, row, attempt))
        self._commit(entries)
        if stop is not None:
            raise RunFolderError(f"a worker could not write: {stop['error']}; every committed row is kept")

    def _lost(self, batch: _Batch, reason: str) -> None:
        """Each unit of a lost batch goes out again alone, so that one that ends its worker is found and its neighbours
        are not blamed."""
        self._losses += 1
        self.outcome.lost += 1
        if self.on_note:
            self.on_note(f"{reason}; its work is given out again")
        if self._losses > LOSSES * max(1, self.executor.workers):
            raise DiffuscopeError(
                f"{self._losses} workers in a row ended before any work came back, the last: {reason}"
            )
        if len(batch.units) > 1:
            self._again.extend(_Batch([unit], alone=True) for unit in batch.units)
            return
        unit = batch.units[0]
        attempt = self._attempts.get(unit.key, 0) + 1
        self._attempts[unit.key] = attempt
        if attempt <= self.study.plan.retries:
            self._again.append(_Batch([unit], alone=True))
        else:
            row = {"key": unit.key, "status": "error", "error_kind": "worker-lost", "error": reason}
            self._commit([self._entry(unit, row, attempt)])

    def _commit(self, entries: list[Entry]) -> None:
        self._journal.append(entries)
        self._done += len(entries)
        self.outcome.committed += len(entries)
        self.outcome.failed += sum(entry["status"] != "ok" for entry in entries)
        self._tell()

    def _entry(self, unit: Unit, row: Mapping[str, Any], attempt: int) -> Entry:
        """A row as it is committed: what the worker said, and what the leader knows."""
        model = self.study.model or {}
        return {
            **{name: value for name, value in row.items() if name not in ("key", "final")},
            **described(unit, self.study),
            "attempt": attempt,
            "model": self.study.plan.model.id,
            "model_revision": model.get("revision"),
            "model_fingerprint": model.get("fingerprint"),
            "software": compact(self._software),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }

    def _check_room(self) -> None:
        """Back-pressure: with too little room left, what is in hand is finished and no more is given out."""
        free = shutil.disk_usage(self.study.folder).free
        if free >= self.reserve:
            return
        if self._in_hand:
            # Come back here when it is done: it may free what it holds, and its rows must be committed.
            while self._in_hand:
                for event in self.executor.wait(1.0):
                    self._heard(event)
            if shutil.disk_usage(self.study.folder).free >= self.reserve:
                return
        raise RunFolderError(
            f"{self.study.folder} has {decimal(free)} free, and {decimal(self.reserve)} are to stay free; "
            f"make room (or "
            "--reserve less), and the same command goes on: every committed row is kept"
        )

    def _tell(self) -> None:
        if self.on_progress:
            self.on_progress(self._done, self.outcome.failed, self.study.total)

    def _note_session(self) -> None:
        """A line about this session. It is worth nothing beside the rows: where it cannot be written, it is left
        out."""
        told = {
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "executor": self.executor.name,
            "workers": self.outcome.workers,
            "batch": self.batch,
            "committed": self.outcome.committed,
            "lost": self.outcome.lost,
            "seconds": round(self.outcome.seconds, 3),
            "start_seconds": round(self.outcome.start_seconds, 3),
            "modules": list(self.modules),
        }
        try:
            with (self.study.folder / "sessions.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")
        except OSError:
            pass


def described(unit: Unit, study: Study) -> dict[str, Any]:
    """Columns that follow from the unit and the plan."""
    return {
        "unit": unit.key,
        "study": study.folder.name,
        "prompt_index": unit.prompt.index,
        "prompt": unit.text,
        "factors": compact(dict(unit.prompt.factors)),
        "seed": unit.seed,
        "condition": unit.condition,
        "split": unit.prompt.split,
        "settings": compact(dict(unit.settings)),
        "edits": compact([dict(each) for each in unit.edits]),
        "plan": study.plan.sha256,
    }


def _told(event: Broken) -> DiffuscopeError:
    """The error of a worker that could not be made, as the class that it was there, where that is one of ours."""
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, DiffuscopeError) and kind.code == event.code:
            if kind.__init__ is DiffuscopeError.__init__:
                return kind(event.message)
            return (
                InputError(event.message) if issubclass(kind, InputError) else DiffuscopeError(event.message)
            )
    return DiffuscopeError(f"a worker could not be started: {event.code}: {event.message}")
