"""What the benchmarks share: interleaved timing, ratios with their spread, memory, tables, and what was measured on.

Nothing here runs by itself, and nothing here needs torch, so that a query is timed in a process that never loads it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np

PLAIN, AGAIN = "plain", "plain again"
"""The plain pipeline, and the same once more: what their ratio differs from 1 by is noise."""

Part = Literal["wall", "cpu", "loop"]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Sample:
    """One timed call.

    Attributes:
        wall: seconds on the clock.
        cpu: seconds of processor time, all threads together.
        loop: seconds from the denoiser's first forward to the decoding of the picture; NaN where not watched.
    """

    wall: float
    cpu: float
    loop: float = float("nan")


@dataclass(frozen=True)
class Ratio:
    """How many times as long something takes as something else measured beside it.

    Attributes:
        value: ratio of the medians.
        low, high: 10th and 90th percentile of the ratios within each round.
        rounds: how many there were.
    """

    value: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


# Timing.


class LoopWatch:
    """Notes when the denoising loop of a pipeline begins and ends, by hooks on its modules.

    It begins with the first forward of the denoiser and ends with the first decoding after the last one, so text
    encoding, the decoding itself and the closing of a recording lie outside. The hooks are on in every variant that
    is timed, recorded or not, so they favour none.

    Args:
        denoiser, decoder: modules of the pipeline.
        mark: makes a mark in time; `time.perf_counter`, or an event on a GPU.
        between: seconds between two marks.
    """

    def __init__(
        self,
        denoiser: Any,
        decoder: Any,
        mark: Callable[[], Any] = time.perf_counter,
        between: Callable[[Any, Any], float] = lambda begin, end: end - begin,
    ) -> None:
        self._mark, self._between = mark, between
        self._handles = [
            denoiser.register_forward_pre_hook(self._denoises),
            decoder.register_forward_pre_hook(self._decodes),
        ]
        self.reset()

    def reset(self) -> None:
        """Forget the last call."""
        self._begin: Any = None
        self._end: Any = None

    @property
    def seconds(self) -> float:
        """Of the last loop; NaN where there was none."""
        if self._begin is None or self._end is None:
            return float("nan")
        return self._between(self._begin, self._end)

    def remove(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()

    def _denoises(self, *_: Any) -> None:
        if self._begin is None:
            self._begin = self._mark()
        self._end = None

    def _decodes(self, *_: Any) -> None:
        # Previews are decoded after the picture: the first decoding counts.
        if self._end is None:
            self._end = self._mark()


def timed(
    call: Callable[[], Any], loop: LoopWatch | None = None, settle: Callable[[], None] = lambda: None
) -> tuple[Any, Sample]:
    """What a call returns, and how long it took.

    Args:
        call: what is timed.
        loop: watches its denoising loop.
        settle: waits until all work that was started is done (a GPU's, for one).
    """
    gc.collect()  # No call pays for what the one before it left.
    if loop is not None:
        loop.reset()
    settle()
    wall, cpu = time.perf_counter(), time.process_time()
    made = call()
    settle()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return made, Sample(wall, cpu, loop.seconds if loop is not None else float("nan"))


def interleave(
    names: Sequence[str],
    measure: Callable[[str], Sample],
    rounds: int,
    say: Callable[[str], None] | None = None,
) -> dict[str, list[Sample]]:
    """Measure every name once a round, in turn; each second round runs backwards.

    So a machine that grows slower or faster while it measures does not favour what comes first or last.

    Args:
        names: in the order of the first round; `PLAIN` first and `AGAIN` last, where there are ratios to take.
        measure: does what a name stands for, and times it. Warm up before.
        rounds: how many.
        say: told of each round.

    Returns:
        Name to one sample a round, in the order of the rounds.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(rounds):
        if say is not None:
            say(f"round {number + 1} of {rounds}")
        for name in names if number % 2 == 0 else reversed(names):
            samples[name].append(measure(name))
    return samples


def ratio(samples: Mapping[str, Sequence[Sample]], name: str, part: Part = "wall") -> Ratio:
    """How many times as long `name` takes as the plain pipeline.

    The base of each round is the mean of both its plain calls, the first and the last. `AGAIN` itself is compared
    with `PLAIN` alone: the control, what is read as 1 where nothing differs.
    """
    own = _part(samples[name], part)
    base = _part(samples[PLAIN], part)
    if name != AGAIN and AGAIN in samples:
        base = (base + _part(samples[AGAIN], part)) / 2
    low, high = np.percentile(own / base, [10, 90])
    return Ratio(float(np.median(own) / np.median(base)), float(low), float(high), len(own))


def median(samples: Sequence[Sample], part: Part = "wall") -> float:
    """Median seconds."""
    return float(np.median(_part(samples, part)))


def _part(samples: Sequence[Sample], part: Part) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([getattr(sample, part) for sample in samples], np.float64)


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 10th and 90th percentile and maximum of single times."""
    low, middle, high = np.percentile(seconds, [10, 50, 90])
    return {"median": float(middle), "p10": float(low), "p90": float(high), "max": float(max(seconds))}


# Memory, and processes of their own.


def peak_host_memory() -> int:
    """The most bytes of memory that this process ever held, mapped files included."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not `getrusage`: on Linux its peak is inherited from the process that started this one.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource  # Windows has none.

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak() -> bool:
    """Let `peak_host_memory` begin anew from what is held now. Returns whether the system could do so."""
    try:
        # proc(5), clear_refs: 5 resets VmHWM.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def read_from_disk() -> int | None:
    """Bytes that this process had fetched from storage so far, not from the system's cache; None where not told."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return int(next(line for line in lines if line.startswith("read_bytes:")).split()[1])


def drop_from_cache(folder: Path) -> bool:
    """Ask the system to forget the cached content of a folder's files. Returns whether it could be asked.

    It may keep some; `read_from_disk` of who reads them next tells.
    """
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)  # What is not on the device cannot be forgotten.
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
    return True


def in_fresh_process(script: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Run a script by itself; the last line that it prints is JSON, and is returned."""
    done = subprocess.run(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


# Telling.


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, as `RESULTS.md` has them."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def megabytes(count: float) -> str:
    """Bytes in millions, three digits."""
    return f"{count / 1e6:.3g} MB" if count < 1e9 else f"{count / 1e9:.3g} GB"


def say(line: str) -> None:
    """Progress, beside the results and not among them."""
    print(line, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What it was measured on: processor, threads, versions, and how busy the machine was already."""
    told: dict[str, Any] = {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "niceness": os.nice(0) if hasattr(os, "nice") else None,
        "python": platform.python_version(),
    }
    for package in ("diffuscope", "torch", "diffusers", "transformers", "numpy"):
        try:
            told[package] = version(package)
        except PackageNotFoundError:
            told[package] = None
    # Only where it is loaded already: see the top of this file.
    torch = sys.modules.get("torch")
    if torch is not None:
        told["torch_threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            told["gpu"] = torch.cuda.get_device_name()
            told["cuda"] = torch.version.cuda
    return told


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe_machine(told: Mapping[str, Any]) -> str:
    """`machine()` in two lines, for the top of what is printed."""
    versions = ", ".join(
        f"{name} {told[name]}" for name in ("python", "diffuscope", "torch", "diffusers") if told.get(name)
    )
    threads = f", {told['torch_threads']} torch threads" if "torch_threads" in told else ""
    gpu = f", {told['gpu']}" if "gpu" in told else ""
    load = told["load_average"]
    busy = f", load average {load[0]:.1f} before the start" if load else ""
    return f"{told['processor']}, {told['cores_usable']} cores{threads}{gpu}{busy}\n{versions}"


def parser_of(text: str) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes: `--quick` and `--json`.

    Args:
        text: the script's docstring, shown by `--help`.
    """
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a trial of the script on something tiny; its numbers mean nothing",
    )
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    return parser


def write_json(
    path: Path | None,
    benchmark: str,
    where: Mapping[str, Any],
    results: Mapping[str, Any],
    status: str = "measured",
) -> None:
    """Results to a file, with the command and the time; nothing where `path` is None.

    Args:
        path: of the file.
        benchmark: name of the script.
        where: `machine()`, asked before the start.
        results: what was measured. NaN becomes null, which every reader of JSON knows.
        status: `measured`, or why nothing was.
    """
    if path is None:
        return
    told = {
        "benchmark": benchmark,
        "status": status,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.argv]),
        "machine": where,
        "results": results,
    }
    path.write_text(json.dumps(_plain(told), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Sample | Ratio):
        return _plain(vars(value))
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return str(value) if isinstance(value, Path) else value
