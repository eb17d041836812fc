"""What studies cost: pictures per minute beside the plain pipeline, over workers, resuming, memory, and a million runs.

    python benchmarks/study.py [--model scenes] [--steps 25] [--batch 4] [--pictures 32] [--workers 1,2] [--rounds N]
                               [--json FILE]

The plain pipeline draws the same prompts and seeds in batches of the same size; a study's worker draws, records,
measures one measure of a word and puts away what is kept, in the same process and in turn with it. The promise: at keep
level `maps` at least 95% of the plain pipeline's pictures per minute. `none` records word maps too, measures them and
lets go of them; `picture only` measures the finished picture and records nothing.

Beside it: whole studies over numbers of workers, with the time until the first worker is ready; what it takes to go on
with a study that is done, with nothing to draw; bytes of recording and of table for each run; the peak memory of a
process with the worker in it. From these the last table computes time and storage of a million runs.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import (
    AGAIN,
    PLAIN,
    describe_machine,
    forget_peak,
    interleave,
    machine,
    median,
    megabytes,
    parser_of,
    peak_host_memory,
    ratio,
    say,
    table,
    timed,
    write_json,
)

from diffuscope import studies
from diffuscope.engine.many import draw_many
from diffuscope.engine.quiet import quiet_libraries
from diffuscope.studies.study import Study
from diffuscope.studies.study_worker import StudyWorker

PROMPTS = [
    f"a {colour} {shape} in a meadow"
    for colour in ("red", "blue", "green", "yellow")
    for shape in ("circle", "square", "star", "heart")
]
LEVELS = ("picture only", "none", "maps", "cross", "qk")
WORD = "a"
"""In every prompt, whatever the model."""
TARGET = 0.95
MILLION = 10**6


def jobs(number: int, steps: int) -> list[dict[str, Any]]:
    """So many units, as a leader hands them out."""
    return [
        {
            "key": f"{index:064x}",
            "prompt": PROMPTS[index % len(PROMPTS)],
            "factors": {},
            "seed": index // len(PROMPTS),
            "settings": {"steps": steps},
            "edits": [],
        }
        for index in range(number)
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--model", default="scenes", help="as for `diffuscope record`")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--batch", type=int, default=4, help="pictures that are drawn together")
    parser.add_argument("--pictures", type=int, default=32, help="of each whole study")
    parser.add_argument("--workers", default="1,2", help="numbers of workers")
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.batch, arguments.pictures, arguments.rounds, arguments.workers = (
            2,
            2,
            4,
            1,
            "1",
        )
    quiet_libraries()
    where = machine()
    print(describe_machine(where), "\n")
    folder = Path(tempfile.mkdtemp(prefix="diffuscope-study-"))
    try:
        results = {
            "levels": beside_plain(arguments, folder / "levels"),
            "workers": over_workers(arguments, folder / "workers"),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    results["million"] = million(results["levels"], results["workers"])
    write_json(arguments.json, "study", where, results)


def beside_plain(arguments: Any, folder: Path) -> dict[str, Any]:
    """Each keep level in turn with the plain pipeline, batch by batch, in this process."""
    batch = jobs(arguments.batch, arguments.steps)
    workers = {level: worker(arguments, folder, level) for level in LEVELS}
    kept: dict[str, int] = dict.fromkeys(LEVELS, 0)

    def work(level: str) -> None:
        rows = workers[level].work(batch)
        wrong = [row for row in rows if row["status"] != "ok"]
        if wrong:
            raise RuntimeError(f"keep={level}: {wrong[0]['error']}")
        kept[level] = rows[0]["kept_bytes"]

    lens = workers["none"].lens
    plain = [(job["prompt"], job["seed"]) for job in batch]
    draw = lambda: draw_many(lens, plain, {"steps": arguments.steps})  # noqa: E731
    variants: dict[str, Callable[[], Any]] = {PLAIN: draw}
    variants |= {f"keep={level}": (lambda level=level: work(level)) for level in LEVELS}
    variants[AGAIN] = draw
    for call in variants.values():
        call()
    forget_peak()
    samples = interleave(list(variants), lambda name: timed(variants[name])[1], arguments.rounds, say)
    peak = peak_host_memory()
    told: dict[str, Any] = {"peak_bytes": peak}
    rows = []
    for name in variants:
        seconds = median(samples[name])
        of_plain = ratio(samples, name)
        share = 1 / of_plain.value
        level = name.removeprefix("keep=")
        told[name] = {
            "pictures_per_minute": 60 * arguments.batch / seconds,
            "share_of_plain": share,
            "ratio": of_plain,
            "kept_bytes": kept.get(level, 0),
            "seconds_per_run": seconds / arguments.batch,
        }
        promise = ("yes" if share >= TARGET else "NO") if level == "maps" else ""
        rows.append(
            (
                name,
                f"{60 * arguments.batch / seconds:.1f}",
                f"{share:.1%}",
                str(of_plain),
                megabytes(kept.get(level, 0)),
                promise,
            )
        )
    print(
        table(
            ("", "pictures a minute", "of plain", "time over plain", "kept a run", f"at least {TARGET:.0%}"),
            rows,
        )
    )
    print(f"\npeak memory of the process, the models of all five workers in it: {megabytes(peak)}\n")
    return told


def worker(arguments: Any, folder: Path, level: str) -> StudyWorker:
    return StudyWorker(
        folder=str(folder / level),
        model={"id": arguments.model},
        measures=[{"name": "brightness"} if level == LEVELS[0] else {"name": "mass", "words": [WORD]}],
        keep="none" if level == LEVELS[0] else level,
    )


def over_workers(arguments: Any, folder: Path) -> dict[str, Any]:
    """Whole studies: processes started, rows committed, parts written; then the same command with nothing to do."""
    told: dict[str, Any] = {}
    rows = []
    seeds = max(1, arguments.pictures // len(PROMPTS))
    prompts = PROMPTS[: max(1, arguments.pictures // seeds)]
    for number in (int(each) for each in arguments.workers.split(",")):
        plan = {
            "study": f"workers-{number}",
            "model": arguments.model,
            "prompts": prompts,
            "seeds": list(range(seeds)),
            "settings": {"steps": arguments.steps},
            "measures": [{"name": "mass", "words": [WORD]}],
            "keep": "none",
        }
        say(f"a study of {len(prompts) * seeds} pictures with {number} workers")
        outcome = studies.run(plan, folder, workers=number, batch=arguments.batch, reserve=0)
        began = time.perf_counter()
        again = studies.run(plan, folder, workers=number, batch=arguments.batch, reserve=0)
        resumed = time.perf_counter() - began
        if outcome.failed or again.committed:
            raise RuntimeError(f"{outcome.failed} runs failed, and {again.committed} were drawn twice")
        status = Study.open(outcome.folder).status()
        working = outcome.seconds - outcome.start_seconds
        told[str(number)] = {
            "pictures_per_minute": 60 * outcome.committed / working,
            "start_seconds": outcome.start_seconds,
            "nothing_to_do_seconds": resumed,
            "table_bytes_per_run": status.table_bytes / outcome.committed,
        }
        rows.append(
            (
                str(number),
                f"{60 * outcome.committed / working:.1f}",
                f"{outcome.start_seconds:.1f} s",
                f"{resumed:.2f} s",
                f"{status.table_bytes / outcome.committed / 1e3:.2f} kB",
            )
        )
    print(
        table(
            (
                "workers",
                "pictures a minute",
                "until the first is ready",
                "again, nothing to do",
                "table a run",
            ),
            rows,
        )
    )
    print()
    return told


def million(levels: dict[str, Any], workers: dict[str, Any]) -> dict[str, Any]:
    """Time and storage of a million runs, from the figures above."""
    row_bytes = next(iter(workers.values()))["table_bytes_per_run"]
    told = {}
    for level in LEVELS:
        found = levels[f"keep={level}"]
        told[level] = {
            "worker_hours": MILLION * found["seconds_per_run"] / 3600,
            "bytes": MILLION * (found["kept_bytes"] + row_bytes),
        }
    print(
        table(
            ("a million runs", "hours of one worker", "storage"),
            [
                (f"keep={level}", f"{each['worker_hours']:,.0f}", megabytes(each["bytes"]))
                for level, each in told.items()
            ],
        )
    )
    return told


if __name__ == "__main__":
    main()
