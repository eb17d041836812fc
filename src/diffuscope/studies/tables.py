"""The tables of a study: their columns, and how rows become Parquet. Schema version 1.

Two tables. ``runs`` has a row for each unit: what was drawn, how it went, what it took, where it came from. ``values``
has a row for each number that was measured of it. `docs/studies.md` describes every column; versions grow when a
reader of an older release would misread a part.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from diffuscope.errors import MissingExtraError

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_VERSION = 1

RUNS: dict[str, tuple[str, str]] = {
    "unit": ("string", "identity: SHA-256 over model, prompt, seed, settings, edits"),
    "study": ("string", "name of the study"),
    "status": ("string", "ok, or error: it failed as often as the plan's retries allow"),
    "attempt": ("int32", "how often it was tried, from 1"),
    "error_kind": ("string", "code of the error; null where there was none"),
    "error": ("string", "its message"),
    "prompt_index": ("int32", "place among the study's prompts, from 0: runs of one prompt belong together"),
    "prompt": ("string", "what was drawn"),
    "factors": ("string", "factors of the prompt, a JSON object"),
    "seed": ("int64", "of the first noise"),
    "condition": ("string", "name of the condition"),
    "split": ("string", "explored, held out, or all"),
    "settings": ("string", "sampling settings in effect, a JSON object"),
    "edits": ("string", "edits, a JSON list"),
    "model": ("string", "as it was named"),
    "model_revision": ("string", "commit on the hub; null elsewhere"),
    "model_fingerprint": ("string", "SHA-256 over the hashes of its files and the type of its weights"),
    "plan": ("string", "SHA-256 of the plan"),
    "software": ("string", "versions, platform and device, a JSON object"),
    "host": ("string", "machine that drew it"),
    "worker": ("int32", "number of the worker"),
    "device": ("string", "of the worker"),
    "batch": (
        "int32",
        "how many pictures were drawn together; rows of other batch sizes differ in the last bits",
    ),
    "draw_seconds": (
        "float64",
        "time of the batch over its pictures: drawing, and recording where it was recorded",
    ),
    "measure_seconds": ("float64", "time for its measures and for putting it away"),
    "finished": ("string", "when, ISO 8601 in UTC"),
    "run": ("string", "folder of the kept recording, relative to the study; null where nothing is kept"),
    "kept_bytes": ("int64", "its size"),
    "width": ("int32", "of the picture in pixels"),
    "height": ("int32", "of the picture in pixels"),
    "picture_sha256": ("string", "of the picture's RGB bytes"),
    "thumbnail": ("binary", "the picture, small, as WebP"),
}
"""Column to type and meaning."""

VALUES: dict[str, tuple[str, str]] = {
    "unit": ("string", "of the run"),
    "study": ("string", "name of the study"),
    "prompt_index": ("int32", "as in runs"),
    "seed": ("int64", "as in runs"),
    "condition": ("string", "as in runs"),
    "split": ("string", "as in runs"),
    "measure": ("string", "name of the measure"),
    "target": ("string", "what of: a word, or a factor in braces; empty for measures of the whole run"),
    "word": ("string", "the word in this prompt"),
    "component": ("string", "which of several numbers; empty where there is one"),
    "step": ("int32", "of which step; null for the one number of the whole run"),
    "value": ("float64", "the number; null where the step was never reached, or there is no answer"),
    "censored": ("bool", "the step was not reached in the steps that were seen: later than `seen_to`"),
    "seen_to": ("int32", "last step seen, for numbers that are steps"),
}
"""Column to type and meaning."""


def arrow() -> Any:
    """pyarrow.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("tables of studies", "studies") from error
    return pyarrow


def schema(columns: Mapping[str, tuple[str, str]], table: str) -> pa.Schema:
    """Columns as a schema; each field's meaning is in its metadata, so a part explains itself."""
    pa = arrow()
    fields = [
        pa.field(name, pa.type_for_alias(kind), metadata={"meaning": meaning})
        for name, (kind, meaning) in columns.items()
    ]
    told = {"diffuscope.table": table, "diffuscope.version": str(TABLE_VERSION)}
    return pa.schema(fields, metadata=told)


def to_tables(entries: Iterable[Mapping[str, Any]]) -> tuple[pa.Table, pa.Table]:
    """Journal entries (`runs` columns, and `values` inside) as the two tables."""
    pa = arrow()
    runs, values = [], []
    for entry in entries:
        runs.append({name: entry.get(name) for name in RUNS} | {"thumbnail": _bytes(entry.get("thumbnail"))})
        common = {
            name: entry.get(name) for name in ("unit", "study", "prompt_index", "seed", "condition", "split")
        }
        values += [{**common, **value} for value in entry.get("values", ())]
    return (
        pa.Table.from_pylist(runs, schema=schema(RUNS, "runs")),
        pa.Table.from_pylist(values, schema=schema(VALUES, "values")),
    )


def to_parquet(table: pa.Table) -> memoryview:
    """A table as the bytes of a Parquet file."""
    pa = arrow()
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(table, sink, compression="zstd")
    return memoryview(sink.getvalue())


def compact(value: Any) -> str:
    """JSON in a column."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
