"""What every executor of studies must pass, for those who add one.

from diffuscope.testing.executors import CHECKS

@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_my_executor(check, tmp_path):
    check(lambda workers: MyExecutor(workers), tmp_path)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffuscope.studies.execution import Broken, Done, Event, Executor, Lost, Ready, WorkerSpec
from diffuscope.studies.execution.toy_worker import noted

Make = Callable[[int], Executor]
"""An executor with so many workers, not started."""

LONGEST = 60.0
"""Seconds after which a check gives up."""


class ExecutorError(AssertionError):
    """An executor does not keep the contract."""


def toy(folder: Path, **options: Any) -> WorkerSpec:
    """How toy workers are made."""
    return WorkerSpec("diffuscope.studies.execution.toy_worker:ToyWorker", {"folder": str(folder), **options})


def jobs(*names: str, do: str = "work") -> list[dict[str, Any]]:
    """A batch of toy jobs."""
    return [{"key": name, "do": do} for name in names]


def until(executor: Executor, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """Events until there are enough of them.

    Raises:
        ExecutorError: they did not come.
    """
    events: list[Event] = []
    end = time.monotonic() + LONGEST
    while not enough(events):
        events += executor.wait(0.2)
        require(time.monotonic() < end, f"waited {LONGEST:g} s; what came: {events}")
    return events


def require(holds: bool, message: str) -> None:
    if not holds:
        raise ExecutorError(message)


def started(executor: Executor, folder: Path, workers: int) -> None:
    """An executor with all of its workers ready."""
    executor.start(toy(folder))
    until(executor, lambda events: sum(isinstance(each, Ready) for each in events) >= workers)


def run_all(executor: Executor, batches: Sequence[list[dict[str, Any]]]) -> list[Event]:
    """Give out batches as workers become free, until each has come back or was lost once."""
    waiting, events = list(enumerate(batches)), list[Event]()
    end = time.monotonic() + LONGEST
    while sum(isinstance(each, Done | Lost) for each in events) < len(batches):
        while waiting and executor.free():
            executor.submit(*waiting.pop(0))
        events += executor.wait(0.2)
        require(time.monotonic() < end, f"waited {LONGEST:g} s; what came: {events}")
    return events


def comes_back_once(make: Make, folder: Path) -> None:
    """Every batch comes back once, its rows in the order of its jobs."""
    with make(2) as executor:
        started(executor, folder, 2)
        batches = [jobs(*(f"{number}-{each}" for each in range(1 + number % 3))) for number in range(9)]
        done = [event for event in run_all(executor, batches) if isinstance(event, Done)]
    require(
        sorted(each.ticket for each in done) == list(range(9)), f"tickets {[each.ticket for each in done]}"
    )
    for event in done:
        require(
            [row["key"] for row in event.rows] == [job["key"] for job in batches[event.ticket]],
            f"rows of ticket {event.ticket} are not those of its jobs",
        )


def loads_once(make: Make, folder: Path) -> None:
    """A worker is made once, however many batches it works through, and says what it is."""
    with make(2) as executor:
        executor.start(toy(folder))
        ready = until(executor, lambda events: sum(isinstance(each, Ready) for each in events) == 2)
        require(
            all(isinstance(each, Ready) and each.about["source"]["id"] == "toy" for each in ready), f"{ready}"
        )
        require(executor.workers == 2, f"{executor.workers} workers where 2 were asked for")
        run_all(executor, [jobs(str(number)) for number in range(6)])
    require(
        len(noted(folder, "made")) == 2,
        f"{len(noted(folder, 'made'))} workers were made where 2 were asked for",
    )


def holds_back(make: Make, folder: Path) -> None:
    """A worker takes one batch at a time; beyond that `submit` refuses."""
    with make(1) as executor:
        started(executor, folder, 1)
        require(executor.free() == 1, f"{executor.free()} free of 1")
        executor.submit(0, jobs("a"))
        require(executor.free() == 0, "a worker with a batch in hand is free")
        try:
            executor.submit(1, jobs("b"))
        except RuntimeError:
            pass
        else:
            raise ExecutorError("a batch was taken while no worker was free")
        until(executor, lambda events: any(isinstance(each, Done) for each in events))


def survives_a_kill(make: Make, folder: Path) -> None:
    """The batch of a worker that is killed is reported lost, once; the others come back, and another worker takes
    over."""
    with make(2) as executor:
        started(executor, folder, 2)
        batches = [jobs("a"), jobs("b", do="die"), *(jobs(f"c{number}") for number in range(6))]
        events = run_all(executor, batches)
        lost = [event for event in events if isinstance(event, Lost)]
        require([each.ticket for each in lost] == [1], f"lost: {lost}")
        require(bool(lost[0].reason), "a lost batch without a reason")
        done = sorted(event.ticket for event in events if isinstance(event, Done))
        require(done == [0, *range(2, 8)], f"done: {done}")
        if executor.free() < 2:
            until(executor, lambda _: executor.free() == 2)
    require(len(noted(folder, "made")) == 3, "no worker took the place of the one that was killed")


def tells_its_own_failures(make: Make, folder: Path) -> None:
    """An exception of the worker itself loses the batch, with the exception's message."""
    with make(1) as executor:
        started(executor, folder, 1)
        events = run_all(executor, [jobs("x", do="raise"), jobs("y")])
        lost = [event for event in events if isinstance(event, Lost)]
        require(len(lost) == 1 and "the worker fails at x" in lost[0].reason, f"{lost}")


def tells_what_cannot_be_made(make: Make, folder: Path) -> None:
    """A worker that cannot be made is told with the error's message, and nothing waits for it."""
    with make(1) as executor:
        executor.start(toy(folder, broken="no such model: giraffe"))
        events = until(executor, lambda events: any(isinstance(each, Broken) for each in events))
        broken = next(each for each in events if isinstance(each, Broken))
        require(broken.code == "ValueError" and "giraffe" in broken.message, f"{broken}")
        require(executor.free() == 0, "a worker that could not be made is free")


def leaves_nothing(make: Make, folder: Path) -> None:
    """`stop` ends workers in the middle of a batch; their processes are gone. A second `stop` is as one."""
    executor = make(2)
    started(executor, folder, 2)
    executor.submit(0, [{"key": "long", "do": "sleep", "seconds": 600}])
    until(executor, lambda _: "long" in noted(folder, "seen"))
    executor.stop()
    executor.stop()
    end = time.monotonic() + LONGEST
    processes = [int(each) for each in noted(folder, "made")]
    while any(_lives(process) for process in processes):
        require(time.monotonic() < end, f"of the processes {processes} some still run")
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{process}/stat")  # One that has ended and was not waited for is no longer alive.
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return not status.parent.parent.exists()


CHECKS: dict[str, Callable[[Make, Path], None]] = {
    check.__name__: check
    for check in (
        comes_back_once,
        loads_once,
        holds_back,
        survives_a_kill,
        tells_its_own_failures,
        tells_what_cannot_be_made,
        leaves_nothing,
    )
}
"""Name to check; its docstring says what holds."""
