"""A dataset as WebDataset shards: tar files of pictures with their annotations, and one Parquet table beside them.

``shard-000000.tar``, …: for each picture ``KEY.png`` and ``KEY.json``; what WebDataset (github.com/webdataset)
reads. The table ``annotations.parquet`` has a row for each annotation and names the shard, so that a query finds
pictures without opening tars. The same dataset gives the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffuscope.datasets.dataset import Dataset, instance
from diffuscope.errors import InputError, MissingExtraError, RunFolderError

TABLE = "annotations.parquet"
ROWS = 10_000
"""Rows of the table in memory at once."""


def write_shards(dataset: Dataset, folder: str | Path, pictures: int = 1000) -> list[Path]:
    """Write the shards and the table; their paths, the table last.

    Args:
        folder: made if it is not there; what has these names in it is replaced.
        pictures: in each shard.

    Raises:
        InputError: fewer than one picture a shard.
        MissingExtraError: pyarrow is not installed.
        RunFolderError: they cannot be written.
    """
    if pictures < 1:
        raise InputError(f"{pictures} pictures a shard: at least one is needed")
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("the table of a dataset", "objects") from error
    schema = arrow.schema(
        [
            ("key", arrow.string()),
            ("shard", arrow.string()),
            ("image_id", arrow.int64()),
            ("annotation_id", arrow.int64()),
            ("caption", arrow.string()),
            ("category", arrow.string()),
            ("category_id", arrow.int64()),
            ("phrase", arrow.string()),
            ("attributes", arrow.list_(arrow.string())),
            ("x", arrow.float64()),
            ("y", arrow.float64()),
            ("width", arrow.float64()),
            ("height", arrow.float64()),
            ("area", arrow.float64()),
            ("score", arrow.float64()),
            ("selection", arrow.string()),
        ]
    )
    folder = Path(folder)
    written: list[Path] = []
    rows: list[dict[str, Any]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / TABLE
        with parquet.ParquetWriter(table, schema) as writer:
            for path, content in _shards(dataset, folder, pictures):
                written.append(path)
                rows += content
                while len(rows) >= ROWS:
                    writer.write_table(arrow.Table.from_pylist(rows[:ROWS], schema=schema))
                    rows = rows[ROWS:]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
    except OSError as error:
        raise RunFolderError(f"cannot write {folder}: {error.strerror or error}") from error
    return [*dict.fromkeys(written), table]


def _shards(dataset: Dataset, folder: Path, pictures: int) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Each shard as it is written, and its rows, picture by picture."""
    numbers = dataset.categories
    tar: tarfile.TarFile | None = None
    path = folder
    try:
        for index, picture in enumerate(dataset):
            if index % pictures == 0:
                if tar is not None:
                    tar.close()
                path = folder / f"shard-{index // pictures:06d}.tar"
                tar = tarfile.open(path, "w")  # noqa: SIM115 - closed when the next begins
            assert tar is not None
            # WebDataset takes all after the first dot for the ending.
            key = Path(picture.file_name).stem.replace(".", "_")
            notes = [instance(picture, at, each, numbers) for at, each in enumerate(picture.annotations)]
            told = {
                "key": picture.key,
                "image_id": picture.id,
                "caption": picture.caption,
                "width": picture.width,
                "height": picture.height,
                **picture.extra,
                "annotations": [
                    {**note, "category": each.category}
                    for note, each in zip(notes, picture.annotations, strict=True)
                ],
            }
            _add(tar, f"{key}.png", (dataset.images / picture.file_name).read_bytes())
            _add(tar, f"{key}.json", json.dumps(told, ensure_ascii=False, allow_nan=False).encode())
            yield (
                path,
                [
                    {
                        "key": key,
                        "shard": path.name,
                        "image_id": picture.id,
                        "annotation_id": note["id"],
                        "caption": picture.caption,
                        "category": each.category,
                        "category_id": note["category_id"],
                        "phrase": each.extra.get("phrase"),
                        "attributes": list(each.extra.get("attributes", [])),
                        **dict(zip(("x", "y", "width", "height"), map(float, each.box), strict=True)),
                        "area": float(each.area),
                        "score": each.score,
                        "selection": each.extra.get("selection"),
                    }
                    for note, each in zip(notes, picture.annotations, strict=True)
                ],
            )
    finally:
        if tar is not None:
            tar.close()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
