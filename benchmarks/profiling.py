"""Where the time of a recording goes, by area and function. Part of `overhead.py`."""

from __future__ import annotations

import cProfile
import pstats
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from measuring import AGAIN, PLAIN, interleave, median, table, timed

import diffuscope
from diffuscope.recording import Level
from diffuscope.recording.background import Background


class Measured(Protocol):
    """What can be drawn plainly and recorded; see `overhead.Subject`."""

    @property
    def name(self) -> str: ...

    @property
    def steps(self) -> int: ...

    def plain(self) -> Any: ...

    def record(self, keep: Level, folder: Path) -> Any: ...


AREAS = {
    "carry": "copies to the host",
    "word_map": "word maps",
    "logits": "word maps",
    "kept": "other checks of what is kept",
    "tap": "taps",
    "watch": "taps",
}
"""What functions, and else whole files, are called in the breakdown; the others stand under their file."""

OURS = (str(Path(diffuscope.__file__).parent), __file__)
THE_MODEL_S = tuple(f"/{package}/" for package in ("torch", "diffusers", "transformers", "accelerate"))


def profile(of: Measured, keep: Level, repeats: int = 3) -> dict[str, Any]:
    """Where the time of a recording goes, by function, beside plain and recorded times without the profiler.

    The writer's jobs are done at once on the profiled thread, so that they are seen too; outside the profiler they
    run beside the model. The profiler makes Python's own part look larger than it is.
    """
    with tempfile.TemporaryDirectory() as folder:
        calls = {PLAIN: of.plain, keep: lambda: of.record(keep, Path(folder)), AGAIN: of.plain}
        for call in calls.values():
            call()
        samples = interleave(list(calls), lambda name: timed(calls[name])[1], repeats)
        profiler = cProfile.Profile()
        with writing_at_once():
            profiler.runcall(of.record, keep, Path(folder))
    rows = breakdown(pstats.Stats(profiler))
    return {
        "model": of.name,
        "keep": keep,
        "steps": of.steps,
        "plain_s": (median(samples[PLAIN]) + median(samples[AGAIN])) / 2,
        "recorded_s": median(samples[keep]),
        "functions": rows,
    }


@contextmanager
def writing_at_once() -> Iterator[None]:
    """Recordings are written by the thread that hands them over, for a while."""
    put = Background.put

    def at_once(_: Background, job: Callable[[], None], *__: Any, **___: Any) -> None:
        job()

    Background.put = at_once  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Background.put = put  # type: ignore[method-assign]


def breakdown(stats: pstats.Stats) -> list[dict[str, Any]]:
    """Seconds of each function of this package: its own, and those of what it calls outside, the model left out.

    A tap passes every operation of the model on, so of taps only their own part counts.
    """
    entries: dict[Any, Any] = stats.stats  # type: ignore[attr-defined]
    seconds = {where: entry[2] for where, entry in entries.items() if where[0].startswith(OURS)}
    for where, (_, _, _, _, callers) in entries.items():
        if where in seconds or any(package in where[0] for package in THE_MODEL_S):
            continue
        for caller, (_, _, _, cumulative) in callers.items():
            if caller in seconds and _area(caller) != "taps":
                seconds[caller] += cumulative
    told = [
        {
            "area": _area(where),
            "function": f"{Path(where[0]).stem}.{where[2]}",
            "calls": entries[where][1],
            "seconds": spent,
        }
        for where, spent in seconds.items()
        if where[0] != __file__
    ]
    return sorted(told, key=lambda row: -row["seconds"])


def _area(where: tuple[str, int, str]) -> str:
    file, name = Path(where[0]), where[2]
    if file.parent.name == "recording":
        return "writer"
    return AREAS.get(name) or AREAS.get(file.stem) or file.stem


def print_profile(told: dict[str, Any], most: int = 15) -> None:
    """The areas, then the functions that take longest."""
    added = told["recorded_s"] - told["plain_s"]
    print(
        f"\n{told['model']}, {told['keep']}, {told['steps']} steps: plain {told['plain_s']:.3f} s, recorded "
        f"{told['recorded_s']:.3f} s, {added:+.3f} s\n"
    )
    areas: dict[str, float] = {}
    for row in told["functions"]:
        areas[row["area"]] = areas.get(row["area"], 0.0) + row["seconds"]
    by_time = sorted(areas.items(), key=lambda item: -item[1])
    print(
        table(["area", "ms under the profiler"], [[name, f"{1000 * spent:.1f}"] for name, spent in by_time])
    )
    print()
    rows = [
        [row["function"], str(row["calls"]), f"{1000 * row['seconds']:.1f}"]
        for row in told["functions"][:most]
    ]
    print(table(["function", "calls", "ms under the profiler"], rows), flush=True)
