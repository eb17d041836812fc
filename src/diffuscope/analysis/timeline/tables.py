"""Tables: columns by name, as pandas, polars and pyarrow read them, and files of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffuscope.errors import MissingExtraError, RunFolderError, SelectionError

Table = dict[str, list[Any]]
"""Column name to values, all of one length: ``pandas.DataFrame(table)``, ``polars.DataFrame(table)``. NaN is a number
that is not known, None an answer that is not there."""


def stacked(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows as columns, in the order in which columns first appear; None where a row lacks one."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def joined(tables: Sequence[Table]) -> Table:
    """Tables below one another; None where one lacks a column."""
    names = list(dict.fromkeys(name for table in tables for name in table))
    out: Table = {name: [] for name in names}
    for table in tables:
        length = len(next(iter(table.values()), []))
        for name in names:
            out[name] += table.get(name, [None] * length)
    return out


def to_arrow(table: Table, about: Mapping[str, str] | None = None) -> Any:
    """A `pyarrow.Table`, `about` in its metadata.

    Raises:
        MissingExtraError: pyarrow is not installed (extra ``analysis``).
    """
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise MissingExtraError("Parquet and Arrow tables", "analysis") from error
    return pyarrow.table(table).replace_schema_metadata(dict(about or {}))


def write_table(table: Table, path: str | Path, about: Mapping[str, str] | None = None) -> Path:
    """Write a table as ``.csv`` or ``.parquet`` and return the path.

    In CSV, numbers stand with all their digits, and what is not known or not there is empty. Parquet holds `about`
    (definitions, units) as metadata.

    Raises:
        SelectionError: another suffix.
        MissingExtraError: Parquet without pyarrow.
        RunFolderError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise SelectionError(f"{path.name!r}: tables are written as .csv or .parquet")
    arrow = to_arrow(table, about) if path.suffix.lower() == ".parquet" else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrow is not None:
            import pyarrow.parquet

            pyarrow.parquet.write_table(arrow, path)
            return path
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(table)
            rows.writerows([_cell(value) for value in row] for row in zip(*table.values(), strict=True))
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return "" if value is None else value
