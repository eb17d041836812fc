"""How long the built-in writer takes: a run in words from measures that its cache holds, and from nothing.

    python benchmarks/explanations.py RUN [RUN...] [--rounds N] [--json FILE]

The promise: less than 50 ms from cached measures. Each round opens the run anew. Times are of the processor, so they
mean the same on a busy machine; what is kept in the run's cache is taken out for the first of them and put back.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from diffuscope.run import Run

PROMISE_MS = 50.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a recording")
    parser.add_argument("--rounds", type=int, default=20, help="of each run (default: 20)")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    chosen = parser.parse_args()
    rows = []
    for path in chosen.runs:
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copytree(path, Path(folder) / path.name, ignore=shutil.ignore_patterns("cache"))
            first = timed(copy)
            again = [timed(copy) for _ in range(chosen.rounds)]
        median, most = (float(1000 * value) for value in (np.median(again), np.max(again)))
        rows.append({"run": path.name, "first_ms": 1000 * first, "cached_ms": median, "cached_most_ms": most})
        print(
            f"{path.name:<32} first {1000 * first:7.0f} ms   from the cache {median:5.1f} ms (at most {most:.1f}), "
            f"{median / PROMISE_MS:.2f} of the promise"
        )
    if chosen.json is not None:
        chosen.json.write_text(
            json.dumps({"promise_ms": PROMISE_MS, "runs": rows}, indent=2), encoding="utf-8"
        )


def timed(path: Path) -> float:
    """Processor seconds of opening a run and having it explained."""
    start = time.process_time()
    Run.open(path).explain()
    return time.process_time() - start


if __name__ == "__main__":
    main()
