"""Boxes as YOLO and Pascal VOC read them, by globox (github.com/laclouis5/globox). Masks have no place in these
forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffuscope.datasets.dataset import Dataset
from diffuscope.errors import MissingExtraError, RunFolderError


def write_yolo(dataset: Dataset, folder: str | Path) -> Path:
    """A text file of boxes for each picture (YOLO v5: class, centre, size, as shares of the picture), and
    ``classes.txt``.

    Raises:
        MissingExtraError: globox is not installed.
        RunFolderError: they cannot be written.
    """
    names = [name for name, _ in sorted(dataset.categories.items(), key=lambda each: each[1])]
    return _written(
        dataset,
        folder,
        lambda boxes, place: (
            boxes.save_yolo_v5(place, label_to_id={name: at for at, name in enumerate(names)}),
            (place / "classes.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8"),
        ),
    )


def write_voc(dataset: Dataset, folder: str | Path) -> Path:
    """An XML file of boxes for each picture. Errors as of `write_yolo`."""
    return _written(dataset, folder, lambda boxes, place: boxes.save_pascal_voc(place))


def _written(dataset: Dataset, folder: str | Path, write: Any) -> Path:
    try:
        from globox import AnnotationSet
    except ModuleNotFoundError as error:
        raise MissingExtraError("YOLO and Pascal VOC", "objects") from error
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        write(AnnotationSet.from_coco(dataset.path), place)
    except OSError as error:
        raise RunFolderError(f"cannot write {place}: {error.strerror or error}") from error
    return place
