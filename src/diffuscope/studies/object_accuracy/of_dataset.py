"""A dataset's own annotations held against the truth about its pictures: the judge's masks, or another COCO file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from diffuscope.datasets import Dataset, Picture
from diffuscope.errors import CorruptRecordingError, InputError, SizeError
from diffuscope.scenes import parse
from diffuscope.scenes.vocabulary import PLURALS
from diffuscope.studies.object_accuracy.scores import (
    ChainScores,
    PictureScores,
    merged,
    overlaps,
    result_note,
    true_note,
    truth_known,
)
from diffuscope.studies.object_accuracy.truth import CocoTruth, Marked, OnPicture, judged

OWN = "dataset"
"""What the dataset's own annotations are called among chains."""


def of_dataset(
    dataset: Dataset, truth: Path | None = None, on_picture: OnPicture | None = None
) -> Iterator[PictureScores]:
    """Scores of every picture of a dataset, one in memory at a time.

    Args:
        dataset: any, its runs kept or not.
        truth: a COCO file whose images have the dataset's file names; None for the judge of the drawn world.
        on_picture: called after each.

    Raises:
        InputError: a picture is none of the drawn world and no truth is given, or the truth has no such image.
        CorruptRecordingError: a picture cannot be read.
    """
    given = None if truth is None else CocoTruth(truth / "annotations.json" if truth.is_dir() else truth)
    places = {} if given is None else {Path(str(each.get("file_name"))).name: each for each in given.images}
    prompts: dict[str, int] = {}
    for number, picture in enumerate(dataset, start=1):
        prompt = prompts.setdefault(picture.caption, len(prompts))
        if given is None:
            yield _by_judge(dataset, picture, prompt)
        else:
            yield _by_truth(picture, prompt, given, places.get(picture.file_name))
        if on_picture is not None:
            on_picture(number, len(dataset))


def _by_judge(dataset: Dataset, picture: Picture, prompt: int) -> PictureScores:
    described = parse(picture.caption)
    if described is None:
        raise InputError(
            f"{picture.caption!r} is no prompt of the drawn world, whose judge tells the truth of its pictures; give a "
            "COCO file of true masks with --coco"
        )
    nouns = [PLURALS[thing.noun] if thing.plural else thing.noun for thing in described.things]
    words = [f"{noun}#2" if noun in nouns[:at] else noun for at, noun in enumerate(nouns)]
    path = dataset.images / picture.file_name
    try:
        with Image.open(path) as opened:
            objects, unclear, missing = judged(opened.convert("RGB"), words, len(nouns))
    except SizeError as error:
        raise InputError(
            f"{path} is no picture of the drawn world: {error}; give true masks with --coco"
        ) from error
    except OSError as error:
        raise CorruptRecordingError(f"{path} cannot be read: {error}") from error
    return _scores(picture, prompt, objects, unclear, missing, exhaustive=False)


def _by_truth(picture: Picture, prompt: int, given: CocoTruth, image: dict[str, Any] | None) -> PictureScores:
    if image is None:
        raise InputError(f"the truth has no image {picture.file_name!r}; images are told by their file names")
    objects = given.objects(image.get("id"), (picture.height, picture.width))
    return _scores(picture, prompt, objects, frozenset(), 0, exhaustive=True)


def _scores(
    picture: Picture,
    prompt: int,
    objects: tuple[Marked, ...],
    unclear: frozenset[str],
    missing: int,
    *,
    exhaustive: bool,
) -> PictureScores:
    whole = merged(objects)
    masks = [(each.category, each.mask) for each in picture.annotations]
    notes = [
        result_note(
            each.category, mask, each.score, truth_known(each.category, whole, unclear, exhaustive=exhaustive)
        )
        for each, (_, mask) in zip(picture.annotations, masks, strict=True)
        if mask.any()
    ]
    iou, missed = overlaps(masks, whole)
    return PictureScores(
        picture.key,
        prompt,
        (picture.height, picture.width),
        str(picture.extra.get("model", "")),
        str(picture.extra.get("reader", "")),
        list(whole),
        [true_note(each) for each in objects],
        [],
        missing,
        {OWN: ChainScores(notes, iou, [], missed)},
    )
