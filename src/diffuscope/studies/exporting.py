"""A study's rows as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diffuscope.errors import InputError, RunFolderError
from diffuscope.recording.files import write_atomic
from diffuscope.studies.tables import arrow, to_parquet

if TYPE_CHECKING:
    import pyarrow as pa


def write_rows(table: pa.Table, path: str | Path) -> int:
    """Write a table as Parquet or CSV, by the file's ending; the number of rows. CSV has no pictures.

    Raises:
        InputError: another ending.
        RunFolderError: it cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".parquet":
        content = to_parquet(table)
    elif kind == ".csv":
        pa = arrow()
        from pyarrow import csv

        sink = pa.BufferOutputStream()
        flat = table.drop_columns(["thumbnail"]) if "thumbnail" in table.column_names else table
        csv.write_csv(flat, sink)
        content = memoryview(sink.getvalue())
    else:
        raise InputError(f"{path} ends in {kind or 'nothing'!r}; rows are written as .parquet or .csv")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, [content])
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
    return int(table.num_rows)
