"""A worker's process: `python -m diffuscope.studies.execution.process`, spoken to in lines of JSON.

The first line on stdin is how the worker is made, each further one a batch; each line on stdout answers one. It ends
when stdin does, so a leader that was killed leaves no process behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from diffuscope.studies.execution.contract import WorkerSpec


def main() -> int:
    # Ctrl-C goes to every process of the terminal: the leader decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Libraries that print must not print among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value, allow_nan=False) + "\n")
        answers.flush()

    given = json.loads(sys.stdin.readline())
    sys.path[:] = [*given["paths"], *(path for path in sys.path if path not in given["paths"])]
    try:
        worker = WorkerSpec(given["factory"], given["options"]).make(given["index"])
        answer({"ready": worker.about()})
    except Exception as error:
        answer(
            {
                "broken": str(getattr(error, "code", type(error).__name__)),
                "message": " ".join(str(error).split()),
            }
        )
        return 1
    for line in sys.stdin:
        batch = json.loads(line)
        answer({"ticket": batch["ticket"], "rows": worker.work(batch["jobs"])})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrokenPipeError, KeyboardInterrupt):  # The leader is gone.
        os._exit(1)
