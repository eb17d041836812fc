"""Pictures with recorded runs and the true mask of each object: drawn scenes, or any dataset in COCO's form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.datasets.records import mask_tools
from diffuscope.errors import InputError, RunNotFoundError
from diffuscope.run import Run
from diffuscope.scenes import read, standard_prompts
from diffuscope.studies.map_accuracy.samples import Counts, OnPicture

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens
    from diffuscope.recording import Level

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Marked:
    """A true object: its category, and its mask ``[y, x]``."""

    category: str
    mask: Mask


@dataclass(frozen=True, eq=False)
class Truth:
    """A run and the objects that its picture truly has.

    Attributes:
        exhaustive: whether every object of every category that the dataset knows is marked. Where it is not (drawn
        scenes:
            a thing that the judge did not find, or whose noun stands twice), only categories that are marked in a
            picture are scored in it.
    """

    run: Run
    objects: tuple[Marked, ...]
    picture: int
    exhaustive: bool = False


def drawn(
    lens: Lens,
    prompts: int,
    seeds: int,
    steps: int | None,
    counts: Counts,
    on_picture: OnPicture | None = None,
    *,
    level: Level = "cross",
    batch: int = 8,
) -> Iterator[Truth]:
    """Held-out prompts of the drawn world, each drawn with several seeds; the judge's masks are the truth.

    All prompts come with the first seed before any comes with the second. Runs are removed once the next batch is asked
    for. Things whose noun the prompt or the picture has twice are left out: nobody could say which is meant.

    Args:
        level: what is recorded of each run.
        batch: pictures that are drawn together.
    """
    from diffuscope.engine.many import record_many

    chosen = standard_prompts(prompts)
    pairs = [(at, seed) for seed in range(seeds) for at in range(len(chosen))]
    settings = {} if steps is None else {"steps": steps}
    for begin in range(0, len(pairs), batch):
        part = pairs[begin : begin + batch]
        with TemporaryDirectory(prefix="diffuscope-objects-") as folder:
            asked = [(chosen[at].text, seed) for at, seed in part]
            runs = record_many(lens, asked, settings, level, Path(folder), previews=False)
            for offset, (run, (at, _)) in enumerate(zip(runs, part, strict=True)):
                found = [each for each in read(run.image).objects if each.noun is not None]
                nouns = [str(each.noun) for each in found]
                words = [word.label for word in run.words]
                objects = tuple(
                    Marked(noun, np.asarray(each.mask, bool))
                    for each, noun in zip(found, nouns, strict=True)
                    if nouns.count(noun) == 1 and noun in words and f"{noun}#2" not in words
                )
                counts.pictures += 1
                counts.missing += max(0, len(chosen[at].description.things) - len(objects))
                yield Truth(run, objects, begin + offset)
                if on_picture is not None:
                    on_picture(begin + offset + 1, len(pairs))


def coco(path: Path, counts: Counts, on_picture: OnPicture | None = None) -> Iterator[Truth]:
    """A dataset in COCO's form whose images name their runs (``run``: the run's folder, relative to the file).

    Every annotation is an object of its own; ``iscrowd`` ones are left out.

    Raises:
        InputError: the file is not of this form. RunNotFoundError: there is no file, or an image has no run.
    """
    file = path / "annotations.json" if path.is_dir() else path
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        names = {each["id"]: str(each["name"]) for each in told["categories"]}
        images, notes = list(told["images"]), list(told["annotations"])
        by_image: dict[Any, list[dict[str, Any]]] = {}
        for note in notes:
            by_image.setdefault(note["image_id"], []).append(note)
    except OSError as error:
        raise RunNotFoundError(f"there is no {file}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} is no COCO file with images, annotations and categories: {error!r}"
        ) from error
    for picture, image in enumerate(images):
        place = file.parent / (image["run"] if "run" in image else Path(str(image.get("file_name"))).parent)
        run = Run.open(place)
        size = (run.manifest.sampling.height, run.manifest.sampling.width)
        objects = []
        for note in by_image.get(image.get("id"), []):
            mask = _mask(note, size)
            if not note.get("iscrowd") and mask.any():
                objects.append(Marked(names.get(note.get("category_id"), ""), mask))
        counts.pictures += 1
        yield Truth(run, tuple(objects), picture, exhaustive=True)
        if on_picture is not None:
            on_picture(picture + 1, len(images))


def _mask(note: dict[str, Any], size: tuple[int, int]) -> Mask:
    tools = mask_tools()
    try:
        told = note["segmentation"]
        if isinstance(told, list):
            coded = tools.merge(tools.frPyObjects(told, *size))
        elif isinstance(told["counts"], list):
            coded = tools.frPyObjects(told, *told["size"])
        else:
            coded = {"size": told["size"], "counts": told["counts"]}
        mask = np.asarray(tools.decode(coded), bool)
    except Exception as error:
        raise InputError(f"annotation {note.get('id')} has no mask that can be read: {error}") from error
    if mask.shape != size:
        raise InputError(
            f"annotation {note.get('id')} has a mask of {mask.shape[0]}x{mask.shape[1]} and its picture "
            f"{size[0]}x{size[1]}"
        )
    return mask
