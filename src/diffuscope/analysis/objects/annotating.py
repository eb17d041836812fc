"""Many runs to one dataset: `diffuscope.annotate`.

One run is in memory at a time. What cannot be read is left out and named; what is in the dataset already is not
done again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.analysis.objects.annotation import Objects
from diffuscope.analysis.objects.annotation import annotate as annotate_run
from diffuscope.analysis.objects.chain import Chain
from diffuscope.datasets import Annotation, Dataset, Info, Picture
from diffuscope.errors import DiffuscopeError, InputError, RunFolderError

if TYPE_CHECKING:
    from diffuscope.run import Run

OnRun = Callable[[int, str], None]
"""Called with (runs done, name of the run)."""

MOST_WARNINGS = 100
"""Warnings that a summary keeps; the rest is counted."""


@dataclass
class Summary:
    """What became of the runs.

    Attributes:
        path: COCO's file of instances.
        pictures: that were added or put in the place of older ones.
        annotations: of these pictures.
        empty: pictures of these without any.
        known: runs that the dataset had already, and those that were given twice.
        failed: run and reason, of those that were left out.
        warnings: lines; `more_warnings` counts those beyond `MOST_WARNINGS`.
    """

    path: Path
    pictures: int = 0
    annotations: int = 0
    empty: int = 0
    known: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    more_warnings: int = 0

    def warn(self, lines: Iterable[str]) -> None:
        """Take down warnings."""
        for line in lines:
            if len(self.warnings) < MOST_WARNINGS:
                self.warnings.append(line)
            else:
                self.more_warnings += 1

    def facts(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return {
            **{name: value for name, value in vars(self).items() if name not in ("path", "failed")},
            "path": str(self.path),
            "failed": [{"run": run, "problem": problem} for run, problem in self.failed],
        }


class Annotations:
    """The objects of many runs, found one run at a time while they are asked for.

        for objects in ds.annotate(["runs/a", "runs/b"]): ...
        ds.annotate(runs).to_coco("dataset")

    Attributes:
        runs: as they were given.
        chain: how maps become masks.
        failed: run and reason, of those that were left out so far.
    """

    def __init__(
        self, runs: Iterable[Objects | Run | str | Path], chain: Chain, opened: Callable[[str | Path], Run]
    ) -> None:
        """`opened` opens a run's folder."""
        self.runs, self.chain, self._open = runs, chain, opened
        self.failed: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[Objects]:
        """Objects of each run that can be read; the others are added to `failed`."""
        self.failed = []
        for given in self.runs:
            objects = self._objects(given, lambda run: False)
            if isinstance(objects, Objects):
                yield objects

    def to_coco(
        self,
        folder: str | Path,
        *,
        info: Info | None = None,
        replace: bool = False,
        on_run: OnRun | None = None,
    ) -> Summary:
        """Write them to a COCO dataset, or add them to the one that is there.

        Args:
            folder: of the dataset; see `diffuscope.datasets.dataset`.
            info: what the dataset says of itself.
            replace: annotate runs again that the dataset has, and let a dataset change its chain.
            on_run: called after each run.

        Raises:
            InputError: the dataset was made by another chain, and `replace` is not set.
            RunFolderError: the folder holds something else, or cannot be written. What was added is kept.
        """
        dataset = Dataset(folder, info)
        made_by(dataset, self.chain, replace=replace)
        summary = Summary(dataset.path)
        seen: set[str] = set()
        self.failed = []
        for number, given in enumerate(self.runs, start=1):
            objects = self._objects(given, lambda run: run.id in seen or (run.id in dataset and not replace))
            if isinstance(objects, str):
                summary.known += 1
            elif objects is not None:
                seen.add(objects.run.id)
                self._add(dataset, objects, summary)
            if on_run is not None:
                on_run(
                    number, given.run.id if isinstance(given, Objects) else str(getattr(given, "id", given))
                )
        summary.failed = list(self.failed)
        dataset.write()
        return summary

    def _add(self, dataset: Dataset, objects: Objects, summary: Summary) -> None:
        try:
            image = objects.run.image
        except DiffuscopeError as error:
            self.failed.append((objects.run.id, str(error)))
            return
        dataset.add(picture_of(objects, dataset.folder), image)
        summary.pictures += 1
        summary.annotations += len(objects)
        summary.empty += not len(objects)
        summary.warn(f"{objects.run.id}: {line}" for line in objects.warnings)

    def _objects(
        self, given: Objects | Run | str | Path, known: Callable[[Run], bool]
    ) -> Objects | str | None:
        """The objects of a run; its id where it is `known`; None where it cannot be read."""
        if isinstance(given, Objects):
            return given.run.id if known(given.run) else given
        name = str(given) if isinstance(given, str | Path) else given.id
        try:
            run = self._open(given) if isinstance(given, str | Path) else given
            return run.id if known(run) else annotate_run(run, self.chain)
        except (RunFolderError, ImportError):
            raise
        except DiffuscopeError as error:
            self.failed.append((name, str(error)))
            return None


def picture_of(objects: Objects, folder: Path | None = None, key: str | None = None) -> Picture:
    """A run's picture and objects as a dataset has them, linked to the run and to each map's selection.

    Args:
        folder: of the dataset; the run's folder is named relative to it. None: the run is not kept, and not named.
        key: what the picture is known by; the run's id by default.
    """
    run = objects.run
    sampling = run.manifest.sampling
    name = key or run.id
    linked = {} if folder is None else {"run": os.path.relpath(run.path.resolve(), folder.resolve())}
    annotations = tuple(
        Annotation.of(
            each.category,
            each.mask,
            each.score,
            attributes=list(each.attributes),
            phrase=" + ".join(each.words),
            run_id=run.id,
            selection=each.selection,
        )
        for each in objects.found
    )
    return Picture(
        name,
        f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.png",
        sampling.width,
        sampling.height,
        run.prompt,
        annotations,
        {
            **linked,
            "run_id": run.id,
            "model": run.manifest.model.id,
            "seed": sampling.seed,
            "prompt": run.prompt,
            "styles": list(objects.reading.styles),
            "reader": objects.reading.reader,
        },
    )


def made_by(dataset: Dataset, chain: Chain, *, replace: bool) -> None:
    """One dataset, one chain.

    Raises:
        InputError: it was made by another, and `replace` is not set.
    """
    before = dataset.made_by
    if before and before != chain.plain() and len(dataset) and not replace:
        differs = [name for name, value in chain.plain().items() if before.get(name) != value]
        raise InputError(
            f"{dataset.folder} was made with another chain ({', '.join(differs)}); give the same options, another "
            "folder, or --replace"
        )
    dataset.made_by = chain.plain()
