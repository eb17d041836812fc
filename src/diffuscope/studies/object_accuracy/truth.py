"""Pictures and the true mask of each object: drawn scenes, whose judge tells, or any dataset in COCO's form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.datasets.records import mask_tools
from diffuscope.errors import InputError, RunNotFoundError
from diffuscope.run import Run
from diffuscope.scenes import Prompt, read, standard_prompts
from diffuscope.scenes.split import Split
from diffuscope.scenes.vocabulary import PLURALS

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens
    from diffuscope.recording import Level

Mask = NDArray[np.bool_]
OnPicture = Callable[[int, int], None]
"""Called with (pictures done, pictures in all)."""


@dataclass(frozen=True, eq=False)
class Marked:
    """A true object: its category, and its mask ``[y, x]``."""

    category: str
    mask: Mask


@dataclass(frozen=True, eq=False)
class Truth:
    """A run and the objects that its picture truly has.

    Attributes:
        key: what the picture is known by.
        prompt: number of its prompt.
        exhaustive: whether every object of every category that the dataset knows is marked. Where it is not (drawn
            scenes), what is found of a category that has no true mask in the picture is an error only where a table
            says so.
        unclear: categories of which nobody could say which object is meant; never scored.
        missing: things that were named and have no mask.
    """

    run: Run
    objects: tuple[Marked, ...]
    key: str
    prompt: int = 0
    exhaustive: bool = False
    unclear: frozenset[str] = frozenset()
    missing: int = 0


@dataclass(frozen=True)
class Order:
    """A picture to be drawn: a prompt of the drawn world, its number, and a seed."""

    prompt: Prompt
    number: int
    seed: int

    @property
    def key(self) -> str:
        """What the picture is known by."""
        return f"{self.seed} {self.prompt.text}"


def orders(prompts: int, seeds: int, split: Split = "held-out") -> list[Order]:
    """Prompts of the drawn world, each with several seeds; all of them with the first before any with the second."""
    chosen = standard_prompts(prompts, split=split)
    return [Order(prompt, at, seed) for seed in range(seeds) for at, prompt in enumerate(chosen)]


def judged(
    image: Image.Image, words: Sequence[str], named: int
) -> tuple[tuple[Marked, ...], frozenset[str], int]:
    """What the judge of the drawn world says of a picture: objects, unclear categories, and how many are missing.

    Things whose noun the prompt or the picture has twice, or which the prompt names in the plural, are unclear: nobody
    could say which is meant. Things that the prompt does not name are left out.

    Args:
        image: of the drawn world's size.
        words: of the prompt; one that stands again is ``circle#2``.
        named: how many things the prompt names.
    """
    found = [each for each in read(image).objects if each.noun is not None]
    nouns = [str(each.noun) for each in found]
    unclear = {noun for noun in nouns if nouns.count(noun) > 1}
    unclear |= {word.removesuffix("#2") for word in words if word.endswith("#2")}
    unclear |= {noun for noun, plural in PLURALS.items() if plural in words}
    objects = tuple(
        Marked(noun, np.asarray(each.mask, bool))
        for each, noun in zip(found, nouns, strict=True)
        if noun in words and noun not in unclear
    )
    return objects, frozenset(unclear), max(0, named - len(objects))


def drawn(
    lens: Lens,
    asked: Sequence[Order],
    steps: int | None,
    on_picture: OnPicture | None = None,
    *,
    level: Level = "cross",
    batch: int = 8,
) -> Iterator[Truth]:
    """Draw what is asked for; the judge's masks are the truth. Runs are removed once the next batch is asked for.

    Args:
        level: what is recorded of each run.
        batch: pictures that are drawn together.
    """
    from diffuscope.engine.many import record_many

    settings = {} if steps is None else {"steps": steps}
    for begin in range(0, len(asked), batch):
        part = asked[begin : begin + batch]
        with TemporaryDirectory(prefix="diffuscope-objects-") as folder:
            pairs = [(each.prompt.text, each.seed) for each in part]
            runs = record_many(lens, pairs, settings, level, Path(folder), previews=False)
            for offset, (run, each) in enumerate(zip(runs, part, strict=True)):
                words = [word.label for word in run.words]
                objects, unclear, missing = judged(run.image, words, len(each.prompt.description.things))
                yield Truth(run, objects, each.key, each.number, False, unclear, missing)
                if on_picture is not None:
                    on_picture(begin + offset + 1, len(asked))


def coco(path: Path, on_picture: OnPicture | None = None) -> Iterator[Truth]:
    """A dataset in COCO's form whose images name their runs (``run``: the run's folder, relative to the file).

    Every annotation is an object of its own; ``iscrowd`` ones are left out.

    Raises:
        InputError: the file is not of this form. RunNotFoundError: there is no file, or an image has no run.
    """
    file = path / "annotations.json" if path.is_dir() else path
    truth = CocoTruth(file)
    for picture, image in enumerate(truth.images):
        place = file.parent / (image["run"] if "run" in image else Path(str(image.get("file_name"))).parent)
        run = Run.open(place)
        size = (run.manifest.sampling.height, run.manifest.sampling.width)
        yield Truth(run, truth.objects(image.get("id"), size), str(picture), picture, exhaustive=True)
        if on_picture is not None:
            on_picture(picture + 1, len(truth.images))


class CocoTruth:
    """A file in COCO's form.

    Attributes:
        images: as they stand.
    """

    def __init__(self, file: Path) -> None:
        """Raises InputError where the file is not of this form, RunNotFoundError where there is none."""
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            self._names = {each["id"]: str(each["name"]) for each in told["categories"]}
            self.images: list[dict[str, Any]] = list(told["images"])
            self._notes: dict[Any, list[dict[str, Any]]] = {}
            for note in told["annotations"]:
                self._notes.setdefault(note["image_id"], []).append(note)
        except OSError as error:
            raise RunNotFoundError(f"there is no {file}: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{file} is no COCO file with images, annotations and categories: {error!r}"
            ) from error

    def objects(self, image: Any, size: tuple[int, int]) -> tuple[Marked, ...]:
        """The objects of an image by its number, ``(height, width)``; crowds and empty masks are left out.

        Raises:
            InputError: a mask cannot be read, or is of another size.
        """
        masks = [
            (self._names.get(note.get("category_id"), ""), _mask(note, size))
            for note in self._notes.get(image, [])
            if not note.get("iscrowd")
        ]
        return tuple(Marked(name, mask) for name, mask in masks if mask.any())


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
