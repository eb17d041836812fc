"""Several COCO datasets put together into one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffuscope.datasets.categories import check_clash
from diffuscope.datasets.dataset import ABOUT, ANNOTATIONS, CAPTIONS, IMAGES, Dataset
from diffuscope.datasets.records import Annotation, Picture, mask_tools
from diffuscope.errors import InputError, RunNotFoundError


def merge(sources: Sequence[str | Path], folder: str | Path, *, renumber: bool = False) -> Dataset:
    """Put datasets together: a picture that several have counts once, with what the last one says of it.

    Args:
        sources: folders of datasets: of this package, or any with ``annotations.json`` and ``images``.
        folder: of the result; one that is there grows.
        renumber: go by the categories' names where numbers clash.

    Raises:
        InputError: numbers of categories clash, or a file is no COCO file.
        RunNotFoundError: there is no dataset in a folder.
        RunFolderError: the result cannot be written.
    """
    if not sources:
        raise InputError("name at least one dataset to put together")
    result = Dataset(folder)
    numbers = result.categories
    where = str(folder)
    for source in sources:
        own = categories_of(Path(source))
        if not renumber:
            check_clash(numbers, own, (where, str(source)))
            numbers = {**numbers, **own}
        where = "the datasets before it"
    for source in sources:
        for picture, image in pictures_of(Path(source)):
            result.add(picture, image)
    if not renumber:
        result.adopt(numbers)
    result.write()
    return result


def categories_of(folder: Path) -> dict[str, int]:
    """Name to number of a dataset."""
    return {str(each["name"]): int(each["id"]) for each in _read(folder)["categories"]}


def pictures_of(folder: Path) -> Iterator[tuple[Picture, Path]]:
    """Pictures of a dataset with their files."""
    if (folder / ABOUT).is_file():
        for picture in Dataset.open(folder):
            yield picture, folder / IMAGES / picture.file_name
        return
    told = _read(folder)
    names = {each["id"]: str(each["name"]) for each in told["categories"]}
    notes: dict[Any, list[dict[str, Any]]] = {}
    for note in told["annotations"]:
        notes.setdefault(note["image_id"], []).append(note)
    captions = _captions(folder)
    for image in told["images"]:
        place = folder / IMAGES / str(image["file_name"])
        if not place.is_file():
            raise RunNotFoundError(
                f"{folder} names the picture {image['file_name']}, which is not in {place.parent}"
            )
        with Image.open(place) as opened:
            width, height = opened.size
        picture = Picture(
            f"{folder.resolve().name}/{image['id']}",
            f"{folder.resolve().name}-{Path(str(image['file_name'])).name}",
            width,
            height,
            captions.get(image["id"], ""),
            tuple(_annotation(note, names, (height, width)) for note in notes.get(image["id"], [])),
            {"came_from": str(image["file_name"])},
        )
        yield picture, place


def _annotation(note: dict[str, Any], names: dict[Any, str], size: tuple[int, int]) -> Annotation:
    tools = mask_tools()
    try:
        told = note["segmentation"]
        if isinstance(told, list):
            told = tools.merge(tools.frPyObjects(told, *size))
        elif isinstance(told["counts"], list):
            told = tools.frPyObjects(told, *told["size"])
        mask = np.asarray(tools.decode(told), bool)
        return Annotation.of(names[note["category_id"]], mask, float(note.get("score", 1.0)))
    except Exception as error:
        raise InputError(f"annotation {note.get('id')} cannot be read: {error}") from error


def _captions(folder: Path) -> dict[Any, str]:
    try:
        told = json.loads((folder / CAPTIONS).read_text(encoding="utf-8"))
        return {each["image_id"]: str(each["caption"]) for each in told["annotations"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read(folder: Path) -> dict[str, Any]:
    path = folder / ANNOTATIONS
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(told[name], list) for name in ("images", "annotations", "categories")):
            raise ValueError("images, annotations and categories are lists")
    except OSError as error:
        raise RunNotFoundError(f"there is no dataset in {folder}: {path.name} cannot be read") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no COCO file: {error}") from error
    return dict(told)
