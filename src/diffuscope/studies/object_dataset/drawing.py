"""`draw_dataset`: prompts and seeds to a COCO dataset, through the study executor.

The study does what studies do: its leader gives out units, workers on this machine or on Ray draw and annotate
them, every row is committed before it counts, and the same call goes on after any interruption. What workers found
is then taken into the dataset one picture at a time, so memory does not grow with the number of prompts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.analysis.objects.annotating import Summary, made_by
from diffuscope.analysis.objects.chain import Chain
from diffuscope.datasets import Dataset, Info, Picture
from diffuscope.errors import InputError
from diffuscope.studies.leading import RESERVE, Leader, Outcome, locked, open_study, prepare
from diffuscope.studies.object_dataset.worker import FOUND

if TYPE_CHECKING:
    from diffuscope.studies.execution import Executor
    from diffuscope.studies.study import Study

WORKER = "diffuscope.studies.object_dataset.worker:ObjectsWorker"
STUDIES = "study"
"""Folder of the dataset that holds its studies."""


@dataclass
class Drawing:
    """What became of it: the study's session, the dataset's summary, and how many prompts stood twice in the
    list."""

    outcome: Outcome
    summary: Summary
    repeated: int = 0

    @property
    def pictures_a_second(self) -> float:
        """Pictures that this session drew and annotated, in a second after its first worker was ready."""
        seconds = self.outcome.seconds - self.outcome.start_seconds
        return self.outcome.committed / seconds if seconds > 0 else 0.0

    def facts(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        outcome = {name: value for name, value in vars(self.outcome).items() if name != "folder"}
        return {
            **self.summary.facts(),
            "study": str(self.outcome.folder),
            "outcome": outcome,
            "repeated": self.repeated,
            "pictures_a_second": self.pictures_a_second,
        }


def draw_dataset(
    prompts: Sequence[str] | str | Path,
    folder: str | Path,
    *,
    seeds: int = 1,
    model: str | dict[str, Any] = "scenes",
    settings: dict[str, Any] | None = None,
    chain: Chain | str | None = None,
    keep: str = "none",
    info: Info | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    batch: int = 4,
    retry_errors: bool = False,
    reserve: int = RESERVE,
    on_progress: Callable[[int, int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Drawing:
    """Draw prompts, annotate the pictures, and add them to a dataset.

    Args:
        prompts: texts, or a file: a prompt a line, or CSV with a column ``prompt``. What stands twice is drawn
        once. folder: of the dataset; its studies lie in its folder ``study``.
        seeds: pictures of each prompt, with the seeds 0, 1, ….
        model, settings: as in a study's plan.
        chain: how maps become masks.
        keep: what stays on disk of each run: nothing, or a recording of that level, linked from its picture.
        info: what the dataset says of itself.
        executor, workers, batch, retry_errors, reserve, on_progress, on_note: as in `diffuscope.studies.run`.

    Raises:
        InputError: no prompt, an option that there is not, or a dataset of another chain.
        RunFolderError: a disk is full or cannot be written; everything committed is kept.
    """
    chosen = Chain.of(chain)
    if seeds < 1:
        raise InputError(f"{seeds} seeds: at least one picture of each prompt is drawn")
    texts, repeated = _texts(prompts)
    dataset = Dataset(folder, info)
    made_by(dataset, chosen, replace=False)
    plan = prepare(
        {
            "study": _name(texts, seeds, model, settings),
            "question": "Where are the objects of each prompt?",
            "model": model,
            "prompts": {"list": texts},
            "seeds": list(range(seeds)),
            "settings": settings or {},
            "measures": ["brightness"],
            "keep": keep,
            "thumbnail": 0,
        }
    )
    study, _ = open_study(plan, dataset.folder / STUDIES)
    with locked(study.folder):
        leader = Leader(
            study,
            executor or _local(workers),
            batch=batch,
            retry_errors=retry_errors,
            reserve=reserve,
            on_progress=on_progress,
            on_note=on_note,
            factory=WORKER,
            extra={"objects": chosen.plain()},
        )
        outcome = leader.lead()
        summary = collect(study, dataset)
    return Drawing(outcome, summary, repeated)


def collect(study: Study, dataset: Dataset) -> Summary:
    """Take what a study's workers found into a dataset, in the order of the prompts; name the units that failed."""
    summary = Summary(dataset.path)
    for unit in study.units():
        key = unit.key[:32]
        record = study.folder / FOUND / f"{key}.json"
        if not record.exists():
            summary.known += key in dataset
            continue
        picture = Picture.from_line(record.read_text(encoding="ascii"))
        kept = picture.extra.get("run_in_study")
        if kept:
            linked = (study.folder / str(kept)).relative_to(dataset.folder)
            extra = {name: value for name, value in picture.extra.items() if name != "run_in_study"}
            picture = Picture(**{**vars(picture), "extra": {**extra, "run": linked.as_posix()}})
        image = record.with_suffix(".png")
        if key in dataset:
            summary.known += 1
        else:
            dataset.add(picture, image)
            summary.pictures += 1
            summary.annotations += len(picture.annotations)
            summary.empty += not picture.annotations
            if not picture.annotations:
                summary.warn([f"{picture.caption!r}: no object was found"])
        record.unlink()
        image.unlink(missing_ok=True)
    rows = study.runs().select(["unit", "status", "prompt", "seed", "error"]).to_pylist()
    summary.failed = [
        (f"{row['prompt']!r}, seed {row['seed']}", str(row["error"])) for row in rows if row["status"] != "ok"
    ]
    dataset.write()
    return summary


def _texts(prompts: Sequence[str] | str | Path) -> tuple[list[str], int]:
    """The prompts, each once, and how many were repetitions."""
    if isinstance(prompts, str | Path):
        path = Path(prompts)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"the prompts in {path} cannot be read: {reason}") from error
        given = _column(text, path) if path.suffix.casefold() == ".csv" else text.splitlines()
    else:
        given = list(prompts)
    lines = [line.strip() for line in given if line.strip()]
    if not lines:
        raise InputError("there is no prompt, so there is nothing to draw; write one a line")
    texts = list(dict.fromkeys(lines))
    return texts, len(lines) - len(texts)


def _column(text: str, path: Path) -> list[str]:
    import csv

    rows = csv.DictReader(text.splitlines())
    if "prompt" not in (rows.fieldnames or []):
        raise InputError(f"{path} has no column 'prompt'; its columns: {', '.join(rows.fieldnames or [])}")
    return [str(row["prompt"] or "") for row in rows]


def _name(texts: list[str], seeds: int, model: Any, settings: Any) -> str:
    """The same prompts, seeds and model are the same study: it goes on where it was."""
    digest = hashlib.sha256(repr((texts, seeds, model, settings)).encode()).hexdigest()
    return f"objects-{digest[:12]}"


def _local(workers: int | None) -> Executor:
    from diffuscope.studies.execution.local import LocalExecutor

    return LocalExecutor(workers)
