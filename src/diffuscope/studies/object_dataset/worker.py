"""A study's worker that annotates what it draws: a record and a picture for each unit, put into place whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from diffuscope.analysis.objects.annotating import picture_of
from diffuscope.analysis.objects.annotation import annotate
from diffuscope.analysis.objects.chain import Chain
from diffuscope.maps.refinement import named
from diffuscope.recording.files import write_atomic
from diffuscope.run import Run
from diffuscope.studies.measuring import LEVELS
from diffuscope.studies.study_worker import Job, Row, StudyWorker

FOUND = "found"
"""Folder of a study: what its workers have annotated and the dataset has not taken yet."""


class ObjectsWorker(StudyWorker):
    """As `StudyWorker`; the objects of each picture are found before its recording is let go."""

    def __init__(self, *, objects: Mapping[str, Any], **options: Any) -> None:
        """`objects`: fields of a `Chain`. The others as of `StudyWorker`."""
        super().__init__(**options)
        self.chain = Chain.of(objects)
        resolved = self.chain.resolved(self.lens.loaded.id)
        self.needs = max(self.needs, needs_of(resolved), key=LEVELS.index)

    def _row(self, job: Job, run: Run | None, image: Image.Image, seconds: float, batch: int) -> Row:
        assert run is not None  # word maps are needed, so it was recorded
        found = annotate(run, self.chain)
        key = job["key"]
        picture = picture_of(found, key=key[:32])
        extra = {**picture.extra, "seed": job["seed"], "unit": key}
        if self.keep != "none":
            extra["run_in_study"] = f"runs/{key[:32]}"
        place = self.folder / FOUND
        place.mkdir(parents=True, exist_ok=True)
        _save(image, place / picture.file_name)
        record = type(picture)(**{**vars(picture), "extra": extra})
        # The record last: where it is there, the picture is.
        write_atomic(place / f"{key[:32]}.json", [f"{record.line()}\n".encode("ascii")])
        row = super()._row(job, run, image, seconds, batch)
        row["warnings"] = list(found.warnings)
        return row


def needs_of(chain: Chain) -> str:
    """The level that a chain needs recorded."""
    if chain.guided or (chain.refine and named(chain.refine).spread):
        return "qk"
    if chain.map == "daam" or chain.heads != "all" or (chain.refine and named(chain.refine).heads):
        return "cross"
    return "maps"


def _save(image: Image.Image, path: Path) -> None:
    from io import BytesIO

    content = BytesIO()
    image.convert("RGB").save(content, "PNG")
    write_atomic(path, [content.getvalue()])
