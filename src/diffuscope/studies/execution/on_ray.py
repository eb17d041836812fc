"""Workers on a Ray cluster: actors that load the model once. Only jobs and rows cross the object store.

Kept recordings are written to the study's folder on the worker's machine: with more than one machine, that folder lies
on a disk that all of them share. A study that keeps nothing needs no such disk.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from diffuscope.errors import InputError, MissingExtraError
from diffuscope.studies.execution.contract import Broken, Done, Event, Executor, Job, Lost, Ready, WorkerSpec

PATIENCE = 5.0
"""Seconds to wait for an answer from the address, before anything else is tried."""

LOCAL = "local"
"""The address that starts a cluster on this machine and ends it with the study."""


class _Actor:
    """What Ray runs: a worker, and what it says of itself."""

    def __init__(self, factory: str, options: dict[str, Any], index: int) -> None:
        self._made: Any = None
        self._wrong: dict[str, Any] | None = None
        try:
            self._made = WorkerSpec(factory, options).make(index)
        except (
            Exception
        ) as error:  # Told as a value: an exception of ours need not be importable where it is read.
            code = str(getattr(error, "code", type(error).__name__))
            self._wrong = {"broken": code, "message": " ".join(str(error).split())}

    def about(self) -> dict[str, Any]:
        return self._wrong if self._wrong is not None else {"ready": self._made.about()}

    def work(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._made.work(jobs)
        return rows


class RayExecutor(Executor):
    """Workers as actors of a Ray cluster."""

    name = "ray"

    def __init__(
        self, address: str = LOCAL, workers: int | None = None, *, gpus: float | None = None
    ) -> None:
        """
        Args:
            address: ``HOST:PORT`` of a cluster's head, ``ray://HOST:PORT``, ``auto`` for the cluster of this
                machine, or ``local`` for one of its own.
            workers: how many; by default one for each GPU of the cluster, or one for each machine where there is none.
            gpus: of a GPU for each worker; 1 where the cluster has any.

        Raises:
            InputError: fewer than one worker.
            MissingExtraError: Ray is not installed.
        """
        if workers is not None and workers < 1:
            raise InputError(f"workers={workers}: a study needs at least one")
        try:
            import ray
        except ModuleNotFoundError as error:
            raise MissingExtraError("running a study on Ray", "ray") from error
        self._ray: Any = ray
        self._address, self._asked, self._gpus = address, workers, gpus
        self._spec: WorkerSpec | None = None
        self._actors: dict[int, Any] = {}
        self._waiting: dict[
            Any, tuple[int, int | None]
        ] = {}  # reference to worker and ticket (None: being made)
        self._free: set[int] = set()
        self._began = False

    def start(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._connect()
        cluster = self._ray.cluster_resources()
        there = float(cluster.get("GPU", 0))
        if self._gpus is None:
            self._gpus = 1.0 if there else 0.0
        machines = sum(1 for node in self._ray.nodes() if node.get("Alive"))
        number = self._asked or max(1, int(there / self._gpus) if self._gpus else machines)
        for index in range(number):
            self._launch(index)

    @property
    def workers(self) -> int:
        return len(self._actors)

    def free(self) -> int:
        return len(self._free)

    def submit(self, ticket: int, jobs: Sequence[Job]) -> None:
        if not self._free:
            raise RuntimeError("no worker is free")
        index = min(self._free)
        self._free.remove(index)
        reference = self._actors[index].work.remote([dict(job) for job in jobs])
        self._waiting[reference] = (index, ticket)

    def wait(self, seconds: float) -> list[Event]:
        if not self._waiting:
            return []
        done, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=seconds)
        more, _ = self._ray.wait(list(self._waiting), num_returns=len(self._waiting), timeout=0)
        return [self._heard(reference) for reference in dict.fromkeys([*done, *more])]

    def stop(self) -> None:
        actors, self._actors = list(self._actors.values()), {}
        self._waiting.clear()
        self._free.clear()
        for actor in actors:
            self._ray.kill(actor, no_restart=True)
        if self._began:
            self._began = False
            self._ray.shutdown()

    def _connect(self) -> None:
        if self._address not in (LOCAL, "auto"):
            _reach(self._address)
        if self._ray.is_initialized():  # The caller's own connection, which stays theirs.
            return
        quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
        try:
            if self._address == LOCAL:
                self._ray.init(num_cpus=max(self._asked or 1, 1), include_dashboard=False, **quiet)
            else:
                self._ray.init(address=self._address, **quiet)
        except Exception as error:
            line = " ".join(str(error).split())[:200]
            raise InputError(
                f"no Ray cluster answers at {self._address!r}: {line}; "
                f"start one with `ray start --head`, or use --ray local"
            ) from error
        self._began = True

    def _launch(self, index: int) -> None:
        assert self._spec is not None
        # The actor's own restarts are off: the leader must know that a batch was lost.
        kind = self._ray.remote(num_cpus=1, num_gpus=self._gpus, max_restarts=0, max_task_retries=0)(_Actor)
        actor = kind.remote(self._spec.factory, dict(self._spec.options), index)
        self._actors[index] = actor
        self._waiting[actor.about.remote()] = (index, None)

    def _heard(self, reference: Any) -> Event:
        index, ticket = self._waiting.pop(reference)
        try:
            said = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            return self._ended(index, ticket, f"worker {index} ended: {_first_line(error)}")
        except self._ray.exceptions.RayTaskError as error:
            self._ray.kill(self._actors[index], no_restart=True)
            return self._ended(index, ticket, f"worker {index} failed: {_first_line(error.cause)}")
        if ticket is not None:
            self._free.add(index)
            return Done(ticket, said)
        if "broken" in said:
            self._ray.kill(self._actors.pop(index), no_restart=True)
            return Broken(index, said["broken"], said["message"])
        self._free.add(index)
        return Ready(index, said["ready"])

    def _ended(self, index: int, ticket: int | None, reason: str) -> Event:
        self._actors.pop(index, None)
        if ticket is None:
            return Broken(index, "worker-ended", reason)
        self._launch(index)
        return Lost(ticket, reason)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _reach(address: str) -> None:
    """Try the address itself first: Ray's own attempts take a minute and end in many lines.

    Raises:
        InputError: nobody answers there, or it is no address.
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or parts.scheme not in ("", "ray"):
        raise InputError(
            f"{address!r} is no address of a Ray cluster; write HOST:PORT, ray://HOST:PORT, auto, or local"
        )
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except OSError as error:
        raise InputError(
            f"no Ray cluster answers at {address!r}: {error.strerror or error}; "
            f"start one with `ray start --head`, or use "
            "--ray local"
        ) from error
