"""The contract of executors: workers that are made once and work through batches, wherever they run.

`diffuscope.testing.executors` holds the suite that every executor passes. What crosses between the leader and a worker
is plain JSON and small: jobs there, rows back; pictures and recordings stay on the worker's disk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

Job = Mapping[str, Any]
Row = dict[str, Any]


class Worker(Protocol):
    """What a factory makes, in the worker's own process."""

    def about(self) -> dict[str, Any]:
        """What it is; `devices`, if given, are those of its machine, one for each worker that fits there."""

    def work(self, jobs: Sequence[Job]) -> list[Row]:
        """A row for each job, in order. What a job does wrong is a row; an exception is the worker's own failure."""


@dataclass(frozen=True)
class WorkerSpec:
    """How workers are made.

    Attributes:
        factory: ``module:name`` of a callable that gives a `Worker`.
        options: its arguments, plain JSON; the executor adds `index`, the worker's number.
    """

    factory: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, index: int) -> Worker:
        """A worker, in this process."""
        module, _, name = self.factory.partition(":")
        worker: Worker = getattr(import_module(module), name)(**self.options, index=index)
        return worker


@dataclass(frozen=True)
class Ready:
    """A worker was made; `about` is what it says of itself."""

    worker: int
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """A batch came back, a row for each job in order."""

    ticket: int
    rows: Sequence[Row]


@dataclass(frozen=True)
class Lost:
    """A worker ended with a batch in hand, which has to be given out again. Another worker takes its place."""

    ticket: int
    reason: str


@dataclass(frozen=True)
class Broken:
    """A worker could not be made, or ended with nothing in hand: `code` is the kind of error (`errors` of this
    package, or a class name)."""

    worker: int
    code: str
    message: str


Event = Ready | Done | Lost | Broken


class Executor(ABC):
    """Runs workers. Not for several threads.

    Attributes:
        name: as it stands in a study's sessions: ``local``, ``ray``.
    """

    name: str

    @abstractmethod
    def start(self, spec: WorkerSpec) -> None:
        """Begin to make workers; the first `Ready` comes from `wait`.

        Raises:
            InputError: the executor cannot be reached or used, in one line.
        """

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many there are, those included that are still being made."""

    @abstractmethod
    def free(self) -> int:
        """How many batches can be submitted now: one for each worker that is ready and has none."""

    @abstractmethod
    def submit(self, ticket: int, jobs: Sequence[Job]) -> None:
        """Give out a batch. Raises RuntimeError where no worker is free: a leader that runs ahead fills memories."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Event]:
        """What happened; waits up to `seconds` for the first thing. Empty where nothing did."""

    @abstractmethod
    def stop(self) -> None:
        """End all workers at once, whatever they do; nothing of them is left. More than once is as once."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
