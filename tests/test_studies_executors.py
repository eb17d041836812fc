"""Every executor keeps the contract, and the suite that says so finds executors that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from diffuscope.errors import InputError, MissingExtraError
from diffuscope.studies.execution import Done, Event, Executor, Ready, WorkerSpec
from diffuscope.studies.execution.local import LocalExecutor
from diffuscope.studies.execution.on_ray import RayExecutor
from diffuscope.testing import executors
from diffuscope.testing.executors import CHECKS, ExecutorError

Check = Callable[[Callable[[int], Executor], Path], None]


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_local_executor_conforms(check: Check, tmp_path: Path) -> None:
    check(LocalExecutor, tmp_path)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Ray cluster of this machine, shared by the module."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install diffuscope[ray]")
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        configure_logging=False,
    )
    yield "auto"
    ray.shutdown()


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_ray_executor_conforms(check: Check, cluster: str, tmp_path: Path) -> None:
    check(lambda workers: RayExecutor(cluster, workers), tmp_path)


def test_a_ray_address_where_nobody_answers_is_one_line() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install diffuscope[ray]")
    with pytest.raises(InputError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        RayExecutor("127.0.0.1:1").start(executors.toy(Path("nowhere")))
    with pytest.raises(InputError, match="is no address of a Ray cluster"):
        RayExecutor("http://head").start(executors.toy(Path("nowhere")))


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"diffuscope\[ray\]"):
        RayExecutor("local")


def test_fewer_than_one_worker_is_refused() -> None:
    with pytest.raises(InputError, match="workers=0"):
        LocalExecutor(0)


class InThisProcess(Executor):
    """An executor that works at once, in the leader's own process; subclasses break the contract."""

    name = "here"

    def __init__(self, workers: int) -> None:
        self.number, self.events = workers, list[Event]()
        self.made: list[Any] = []

    def start(self, spec: WorkerSpec) -> None:
        self.made = [spec.make(index) for index in range(self.number)]
        self.events += [Ready(index, each.about()) for index, each in enumerate(self.made)]

    @property
    def workers(self) -> int:
        return len(self.made)

    def free(self) -> int:
        return self.number - sum(isinstance(each, Done) for each in self.events)

    def submit(self, ticket: int, jobs: Sequence[Any]) -> None:
        if not self.free():
            raise RuntimeError("no worker is free")
        self.events.append(Done(ticket, self.made[0].work(jobs)))

    def wait(self, seconds: float) -> list[Event]:
        events, self.events = self.events, []
        return events

    def stop(self) -> None:
        pass


class Doubles(InThisProcess):
    def wait(self, seconds: float) -> list[Event]:
        return [
            each
            for event in super().wait(seconds)
            for each in ([event, event] if isinstance(event, Done) else [event])
        ]


class Reverses(InThisProcess):
    def submit(self, ticket: int, jobs: Sequence[Any]) -> None:
        super().submit(ticket, list(reversed(jobs)))


class MakesAgain(InThisProcess):
    def submit(self, ticket: int, jobs: Sequence[Any]) -> None:
        self.made[0] = type(self.made[0])(folder=str(self.made[0].folder))
        super().submit(ticket, jobs)


class TakesAll(InThisProcess):
    def free(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Doubles, "comes_back_once"),
        (Reverses, "comes_back_once"),
        (MakesAgain, "loads_once"),
        (TakesAll, "holds_back"),
        (InThisProcess, "tells_its_own_failures"),
    ],
    ids=["doubles", "reverses", "makes again", "takes all", "raises"],
)
def test_the_suite_finds_what_is_wrong(broken: type[Executor], check: str, tmp_path: Path) -> None:
    with pytest.raises((ExecutorError, RuntimeError)):
        CHECKS[check](broken, tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("check", ["comes_back_once", "loads_once", "holds_back"])
def test_the_stand_in_itself_passes(check: str, tmp_path: Path) -> None:
    CHECKS[check](InThisProcess, tmp_path)
