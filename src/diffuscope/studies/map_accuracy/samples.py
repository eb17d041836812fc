"""Pictures with recorded runs and true masks of their objects: drawn scenes, or a folder in COCO's form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diffuscope.errors import InputError, PromptError, RunNotFoundError, UnknownWordError
from diffuscope.maps.geometry import read_contours
from diffuscope.run import Parts, Run
from diffuscope.scenes import read, standard_prompts

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Target:
    """An object to be found.

    Attributes:
        category: its class.
        word: its noun's label in the prompt.
        phrase: noun and what stands with it (``red circle``); the noun alone where nothing does.
        mask: ``[y, x]``, of the picture's size.
    """

    category: str
    word: str
    phrase: str
    mask: Mask


@dataclass(frozen=True, eq=False)
class Sample:
    """A run and the objects in its picture.

    Attributes:
        run, targets: the recording, and what is to be found in its picture.
        picture: its number.
        group: number of its prompt, or of its picture where prompts have none: what stays together when pictures are
            parted in halves.
        missing: things that the prompt names and no mask shows, or that stand twice.
        lens: the model that drew it, where it is loaded.
    """

    run: Run
    targets: tuple[Target, ...]
    picture: int
    group: int
    missing: int = 0
    lens: Lens | None = None

    @cached_property
    def parts(self) -> Parts:
        """The picture in parts, which all of its objects share."""
        return self.run.parts()


@dataclass(frozen=True)
class Order:
    """A picture to be drawn.

    Attributes:
        picture: its number.
        group: number of its prompt.
        prompt, seed: what is drawn.
        things: how many the prompt names.
    """

    picture: int
    group: int
    prompt: str
    seed: int
    things: int


OnPicture = Callable[[int, int], None]


def orders(prompts: int, seeds: int) -> list[Order]:
    """Held-out prompts of the drawn world, each with several seeds.

    Raises:
        PromptError: too few to say anything.
    """
    if prompts < 2 or seeds < 1:
        raise PromptError("an evaluation needs at least 2 prompts (one half chooses thresholds) and 1 seed")
    return [
        Order(group * seeds + seed, group, prompt.text, seed, len(prompt.description.things))
        for group, prompt in enumerate(standard_prompts(prompts))
        for seed in range(seeds)
    ]


def scenes(
    lens: Lens, asked: Sequence[Order], steps: int | None = None, *, batch: int = 6
) -> Iterator[Sample]:
    """Draw pictures of the drawn world, `batch` of them together; the judge's masks are the truth.

    Runs are removed once the next batch is asked for. Things whose noun the prompt or the picture has twice are left
    out: nobody could say which is meant.
    """
    from diffuscope.engine.many import record_many

    settings = {} if steps is None else {"steps": steps}
    for begin in range(0, len(asked), batch):
        part = asked[begin : begin + batch]
        with TemporaryDirectory(prefix="diffuscope-maps-") as folder:
            pairs = [(each.prompt, each.seed) for each in part]
            runs = record_many(lens, pairs, settings, "qk", folder, previews=False)
            for order, run in zip(part, runs, strict=True):
                found = [each for each in read(run.image).objects if each.noun is not None]
                nouns = [str(each.noun) for each in found]
                targets = tuple(
                    target
                    for each, noun in zip(found, nouns, strict=True)
                    if nouns.count(noun) == 1
                    and (target := _target(run, noun, each.colour, each.mask)) is not None
                )
                missing = max(0, order.things - len(targets))
                yield Sample(run, targets, order.picture, order.group, missing, lens)


def _target(run: Run, noun: str, colour: str | None, mask: Mask) -> Target | None:
    labels = [word.label for word in run.words]
    if noun not in labels or f"{noun}#2" in labels:
        return None
    try:
        phrase = run.phrase(f"{colour} {noun}").label if colour else noun
    except UnknownWordError:
        phrase = noun
    return Target(noun, noun, phrase, np.asarray(mask, bool))


def coco_folder(folder: Path, on_picture: OnPicture | None = None) -> Iterator[Sample]:
    """Recorded runs with masks in COCO's form: ``annotations.json`` beside them.

    ``images``: ``id``, ``file_name`` (``RUN/image.png``, relative to the folder), or ``run`` (the run's folder).
    ``categories``: ``id``, ``name``: the word of the prompt. ``annotations``: ``image_id``, ``category_id``, and the
    mask as ``segmentation`` (polygons or RLE) or ``mask`` (an image file); with ``phrase``, the words of the prompt
    that mean the object ("red circle"). Several annotations of one category in a picture are one mask, since a word
    means all of them.

    Raises:
        RunNotFoundError: an image has no run. InputError: the file is not of this form.
    """
    path = folder / "annotations.json" if folder.is_dir() else folder
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        names = {each["id"]: str(each["name"]) for each in told["categories"]}
        images, annotations = list(told["images"]), list(told["annotations"])
    except OSError as error:
        raise RunNotFoundError(
            f"there is no {path}: {error.strerror or error}; see docs/map-accuracy.md for its form"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no COCO file with images, annotations and categories: {error!r}"
        ) from error
    for picture, image in enumerate(images):
        place = path.parent / (image["run"] if "run" in image else Path(image["file_name"]).parent)
        run = Run.open(place)
        sampling = run.manifest.sampling
        merged: dict[str, tuple[str, Mask]] = {}
        for note in annotations:
            if note.get("image_id") != image.get("id"):
                continue
            name = names.get(note.get("category_id"), "")
            mask = _mask(note, (sampling.height, sampling.width), path.parent)
            phrase = str(note.get("phrase", name))
            merged[name] = (phrase, mask | merged[name][1]) if name in merged else (phrase, mask)
        targets, missing = [], 0
        for name, (phrase, mask) in merged.items():
            try:
                word, whole = run.word(name).label, run.phrase(phrase).label
            except UnknownWordError:
                word = ""
            if word and mask.any():
                targets.append(Target(name, word, whole, mask))
            else:
                missing += 1
        yield Sample(run, tuple(targets), picture, picture, missing)
        if on_picture is not None:
            on_picture(picture + 1, len(images))


def _mask(note: dict[str, Any], size: tuple[int, int], folder: Path) -> Mask:
    """An annotation's mask at the picture's size ``(height, width)``."""
    try:
        if "mask" in note:
            with Image.open(folder / note["mask"]) as opened:
                found = np.asarray(opened.convert("L")) > 0
        elif isinstance(note["segmentation"], dict):
            found = _from_rle(note["segmentation"])
        else:
            sheet = Image.new("1", (size[1], size[0]))
            for flat in note["segmentation"]:
                ring = read_contours(np.reshape(flat, (-1, 2)).tolist())[0][0]
                ImageDraw.Draw(sheet).polygon([tuple(point) for point in ring], fill=1)
            # Bytes of an array of a two-level picture are 255, which is no boolean.
            found = np.asarray(sheet.convert("L")) > 0
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"annotation {note.get('id')} of image {note.get('image_id')} has no mask: {error}"
        ) from error
    if found.shape != size:
        raise InputError(
            f"annotation {note.get('id')} has a mask of {found.shape[0]}x{found.shape[1]} and its picture "
            f"{size[0]}x{size[1]}"
        )
    return np.asarray(found, bool)


def _from_rle(told: dict[str, Any]) -> Mask:
    """COCO's run lengths, down the columns, zeros first: a list, or packed in text of 6 bits a character, the lowest 5
    first, the sixth for "more follows", each length from the third on as its difference to the one two before."""
    height, width = told["size"]
    counts = told["counts"]
    if isinstance(counts, str):
        lengths: list[int] = []
        value, shift = 0, 0
        for character in counts:
            code = ord(character) - 48
            value |= (code & 31) << shift
            shift += 5
            if not code & 32:
                if code & 16:
                    value |= -1 << shift
                lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
                value, shift = 0, 0
        counts = lengths
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    if len(flat) != height * width:
        raise ValueError(f"its run lengths are {len(flat)} pixels and not {height}x{width}")
    return flat.reshape(width, height).T
