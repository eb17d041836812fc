"""From a finding's name to its page: draw what is missing of its plan, then write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffuscope.errors import InputError
from diffuscope.findings.catalogue import find_finding
from diffuscope.findings.evidence import Evidence
from diffuscope.studies.leading import OnProgress, prepare
from diffuscope.studies.leading import run as run_study
from diffuscope.studies.plans import shipped
from diffuscope.studies.study import Study


@dataclass(frozen=True)
class Reproduced:
    """What was done.

    Attributes:
        study: folder of the study.
        files: the page first, then its figures.
        runs, total: runs that were drawn now, and units of the plan.
        seconds: it took, with drawing and writing.
    """

    study: Path
    files: list[Path]
    runs: int
    total: int
    seconds: float


def write(name: str, study: str | Path, out: str | Path) -> list[Path]:
    """Write the page of a study that is there, finished or not: the page says how much of it was drawn.

    Args:
        name: of the finding.
        study: folder of the study.
        out: where ``NAME.md`` and ``images/`` go.

    Raises:
        InputError: there is no such finding, or the study is another plan's or has no run.
    """
    finding, opened = find_finding(name), Study.open(study)
    if opened.plan.study != finding.plan:
        raise InputError(
            f"the finding {name!r} is of the plan {finding.plan!r}; {study} is of another plan, {opened.plan.study!r}"
        )
    if not opened.committed():
        raise InputError(f"nothing of {study} was drawn yet; run: diffuscope study reproduce {name}")
    return finding.page(Evidence(opened)).write(out)


def reproduce(
    name: str,
    *,
    studies: str | Path = "studies",
    out: str | Path = "findings",
    workers: int | None = None,
    batch: int = 4,
    fork: bool = False,
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Reproduced:
    """Run a finding's plan, or go on with it, and write its page.

    Args:
        name: of the finding.
        studies: folder of studies; what is drawn already stays.
        out: where the page goes.
        workers, batch, fork, on_progress, on_note: as of `diffuscope.studies.run`.

    Raises:
        InputError: there is no such finding, or the study was begun with another plan and `fork` is not set.
    """
    finding, began = find_finding(name), time.perf_counter()
    plan = prepare(shipped()[finding.plan])
    outcome = run_study(
        plan, studies, workers=workers, batch=batch, fork=fork, on_progress=on_progress, on_note=on_note
    )
    files = write(finding.name, outcome.folder, out)
    return Reproduced(outcome.folder, files, outcome.committed, outcome.total, time.perf_counter() - began)
