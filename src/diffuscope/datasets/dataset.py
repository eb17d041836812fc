"""A dataset's folder: COCO's files, its pictures, and the records that they are made from.

    annotations.json    COCO instances: info, licenses, images, annotations, categories
    captions.json       COCO captions: a prompt for each picture
    images/             the pictures
    records.jsonl       what both are made from; `records`

It grows by appending: adding pictures costs what they cost, and nothing that is there is made again. The two COCO
files are written new when adding is over, in one pass over the records, so memory does not grow with the dataset.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from diffuscope.datasets.categories import numbered
from diffuscope.datasets.records import Annotation, Picture, Records, mask_tools
from diffuscope.errors import CorruptRecordingError, RunFolderError, RunNotFoundError
from diffuscope.recording.files import write_atomic

ANNOTATIONS, CAPTIONS, IMAGES, ABOUT = "annotations.json", "captions.json", "images", "dataset.json"


@dataclass(frozen=True)
class Info:
    """What a dataset says of itself.

    Attributes:
        description, contributor, url, version: as in COCO's ``info``.
        license_name, license_url: of its pictures.
        extra: more fields of ``info``.
    """

    description: str = "Pictures drawn by a model, annotated from its attention"
    contributor: str = ""
    url: str = ""
    version: str = "1.0"
    license_name: str = "not stated"
    license_url: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


class Dataset:
    """A dataset in a folder, begun if there is none.

    Attributes:
        folder: its folder.
    """

    def __init__(self, folder: str | Path, info: Info | None = None) -> None:
        """
        Args:
            folder: of the dataset; made if it is not there.
            info: what it says of itself; a dataset that was begun keeps its own unless this is given.

        Raises:
            RunFolderError: the folder holds something else, or cannot be written.
            MissingExtraError: pycocotools is not installed.
            CorruptRecordingError: its records cannot be read.
        """
        mask_tools()
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            known = {ANNOTATIONS, CAPTIONS, IMAGES, ABOUT, "records.jsonl", "study"}
            strangers = [each.name for each in self.folder.iterdir() if each.name not in known]
            if strangers and not (self.folder / ABOUT).exists():
                raise RunFolderError(
                    f"{self.folder} is no dataset and holds {strangers[0]!r}; choose another folder with --coco"
                )
            (self.folder / IMAGES).mkdir(exist_ok=True)
            self._about = self._read_about()
            if info is not None or not self._about:
                self._about = {**self._about, "info": _facts(info or Info())}
            self._about.setdefault("created", datetime.now(UTC).isoformat(timespec="seconds"))
            self._write_about()
            self.records = Records(self.folder)
        except RunFolderError:
            raise
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        self._keys = set(self.records.keys())

    @classmethod
    def open(cls, folder: str | Path) -> Dataset:
        """A dataset that is there.

        Raises:
            RunNotFoundError: there is none.
        """
        if not (Path(folder) / ABOUT).is_file():
            raise RunNotFoundError(
                f"there is no dataset in {folder}; make one with: diffuscope objects RUN --coco DIR"
            )
        return cls(folder)

    def __contains__(self, key: str) -> bool:
        """Whether a picture is there."""
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Picture]:
        """Its pictures, one at a time."""
        return iter(self.records)

    @property
    def images(self) -> Path:
        """Folder of its pictures."""
        return self.folder / IMAGES

    @property
    def path(self) -> Path:
        """COCO's file of instances."""
        return self.folder / ANNOTATIONS

    @property
    def categories(self) -> dict[str, int]:
        """Name to number, as last written."""
        return dict(self._about.get("categories", {}))

    def adopt(self, numbers: Mapping[str, int]) -> None:
        """Let categories have these numbers, those that have none yet."""
        self._about["categories"] = {**numbers, **self.categories}

    def add(self, picture: Picture, image: Image.Image | Path) -> None:
        """Add a picture, or put it in the place of the one of its key. Its file is whole before its record is.

        Raises:
            RunFolderError: the disk is full, or the folder cannot be written.
        """
        try:
            place = self.images / picture.file_name
            if isinstance(image, Path):
                if image.resolve() != place.resolve():
                    with image.open("rb") as file:
                        write_atomic(place, iter(lambda: file.read(1 << 20), b""))
            else:
                content = BytesIO()
                image.convert("RGB").save(content, "PNG")
                write_atomic(place, [content.getvalue()])
            self.records.append([picture])
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        self._keys.add(picture.key)

    def write(self) -> Path:
        """Write COCO's files from the records; the path of the instances.

        Raises:
            RunFolderError: they cannot be written; those that were there are untouched.
            CorruptRecordingError: a record cannot be read.
        """
        names = {each.category for picture in self for each in picture.annotations}
        self._about["categories"] = numbers = numbered(names, self.categories)
        told = self._about["info"]
        licence = {"id": 1, "name": told["license_name"], "url": told["license_url"]}
        made = datetime.fromisoformat(str(self._about["created"]))
        info = {
            **{name: told[name] for name in ("description", "contributor", "url", "version")},
            "year": made.year,
            "date_created": made.strftime("%Y/%m/%d"),
            **told["extra"],
        }
        head = {"info": info, "licenses": [licence]}
        listed = [
            {"id": number, "name": name, "supercategory": "object"}
            for name, number in sorted(numbers.items(), key=lambda each: each[1])
        ]
        try:
            self._write_about()
            write_atomic(
                self.folder / CAPTIONS,
                _file(head, {"images": self._images(), "annotations": self._captions()}),
            )
            write_atomic(
                self.path,
                _file(
                    {**head, "categories": listed},
                    {"images": self._images(), "annotations": self._annotations(numbers)},
                ),
            )
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return self.path

    @property
    def made_by(self) -> dict[str, Any]:
        """What its annotations were made by, as their maker wrote it down; empty where nobody did."""
        return dict(self._about.get("made_by", {}))

    @made_by.setter
    def made_by(self, settings: Mapping[str, Any]) -> None:
        self._about["made_by"] = dict(settings)
        try:
            self._write_about()
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _images(self) -> Iterator[dict[str, Any]]:
        for picture in self:
            yield {
                "id": picture.id,
                "file_name": picture.file_name,
                "width": picture.width,
                "height": picture.height,
                "license": 1,
                **picture.extra,
            }

    def _captions(self) -> Iterator[dict[str, Any]]:
        for picture in self:
            yield {
                "id": picture.annotation_id(-1),
                "image_id": picture.id,
                "caption": picture.caption,
            }

    def _annotations(self, numbers: Mapping[str, int]) -> Iterator[dict[str, Any]]:
        for picture in self:
            for index, each in enumerate(picture.annotations):
                yield instance(picture, index, each, numbers)

    def _read_about(self) -> dict[str, Any]:
        path = self.folder / ABOUT
        if not path.exists():
            return {}
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(told, dict) or "info" not in told:
                raise ValueError("it has no info")
        except ValueError as error:
            raise CorruptRecordingError(f"{path} is no dataset: {error}") from error
        return told

    def _write_about(self) -> None:
        text = json.dumps(self._about, indent=2, ensure_ascii=False)
        write_atomic(self.folder / ABOUT, [text.encode("utf-8")])


def instance(picture: Picture, index: int, each: Annotation, numbers: Mapping[str, int]) -> dict[str, Any]:
    """An annotation as COCO's file of instances has it. The mask is in run lengths, exact with its holes; the
    outlines stand beside it as ``polygons``."""
    return {
        "id": picture.annotation_id(index),
        "image_id": picture.id,
        "category_id": numbers[each.category],
        "segmentation": dict(each.rle),
        "polygons": [list(outline) for outline in each.polygons],
        "bbox": list(each.box),
        "area": each.area,
        "iscrowd": 0,
        "score": each.score,
        **each.extra,
    }


def polygon_file(dataset: Dataset, path: Path) -> Path:
    """COCO's instances with polygons in place of run lengths, for programs that read no others. Holes are lost.

    Raises:
        RunFolderError: it cannot be written.
    """
    whole = json.loads(dataset.path.read_text(encoding="utf-8"))

    def turned() -> Iterator[dict[str, Any]]:
        for each in whole["annotations"]:
            yield {
                **{name: value for name, value in each.items() if name != "polygons"},
                "segmentation": each["polygons"],
            }

    head = {name: whole[name] for name in ("info", "licenses", "categories")}
    try:
        write_atomic(path, _file(head, {"images": iter(whole["images"]), "annotations": turned()}))
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _file(head: Mapping[str, Any], lists: Mapping[str, Iterable[Mapping[str, Any]]]) -> Iterator[bytes]:
    """A JSON object piece by piece: its lists are never whole in memory."""
    yield b"{"
    first = True
    for name, value in head.items():
        yield f"{'' if first else ','}\n{json.dumps(name)}:{json.dumps(value, ensure_ascii=False)}".encode()
        first = False
    for name, values in lists.items():
        yield f"{'' if first else ','}\n{json.dumps(name)}:[".encode()
        first = False
        for index, value in enumerate(values):
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            yield f"{',' if index else ''}\n{text}".encode()
        yield b"]"
    yield b"\n}\n"


def _facts(info: Info) -> dict[str, Any]:
    return {**vars(info), "extra": dict(info.extra)}


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"cannot write {path}: {error.strerror or error}")
