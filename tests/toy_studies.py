"""Studies with workers that have no model, for tests of everything around the model."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from diffuscope.studies.execution import Executor
from diffuscope.studies.execution.local import LocalExecutor
from diffuscope.studies.leading import Leader, Outcome, locked, open_study, prepare
from diffuscope.studies.study import Study

TOY = "diffuscope.studies.execution.toy_worker:ToyWorker"


def plan(*prompts: str, seeds: Any = "0:4", **fields: Any) -> dict[str, Any]:
    """A small plan; a prompt ``fail: a cat`` does what stands before its colon."""
    return {
        "study": "toys",
        "model": "toy",
        "prompts": list(prompts) or ["a cat", "a dog"],
        "seeds": seeds,
        "measures": ["brightness"],
        **fields,
    }


def lead(
    out: Path,
    given: dict[str, Any],
    *,
    workers: int = 1,
    batch: int = 2,
    fork: bool = False,
    executor: Executor | None = None,
    pause: float = 0.0,
    **options: Any,
) -> Outcome:
    """`studies.run` with toys; what they did is noted in `out`/notes."""
    study, carried = open_study(prepare(given), out, fork=fork)
    with locked(study.folder):
        leader = Leader(
            study,
            executor or LocalExecutor(workers),
            batch=batch,
            reserve=options.pop("reserve", 0),
            factory=TOY,
            extra={"notes": str(out / "notes"), "pause": pause},
            **options,
        )
        leader.outcome.carried = carried
        return leader.lead()


def begin(
    out: Path, given: dict[str, Any], *, workers: int = 1, pause: float = 0.0
) -> subprocess.Popen[bytes]:
    """`lead` in a process of its own, to be killed."""
    code = (
        "import sys; from pathlib import Path; import toy_studies\n"
        "sys.path.append(sys.argv[2])\n"
        f"toy_studies.lead(Path(sys.argv[1]), {given!r}, workers={workers}, pause={pause})\n"
    )
    tests = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {tests!r})\n{code}", str(out), tests],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def rows(out: Path, name: str = "toys") -> list[dict[str, Any]]:
    """Rows of the table of runs as they stand, several for a unit if there were."""
    found: list[dict[str, Any]] = Study.open(out / name)._table("runs").to_pylist()
    return found


def assert_whole(out: Path, total: int, name: str = "toys") -> None:
    """Every unit is there once, with its one value."""
    study = Study.open(out / name)
    counted = Counter(row["unit"] for row in rows(out, name))
    assert len(counted) == total and set(counted.values()) == {1}
    values = study.values().to_pylist()
    assert sorted(value["unit"] for value in values) == sorted(counted)
    assert sorted(unit.key for unit in study.units()) == sorted(counted)
