"""A study on disk: its plan, its prompts, and its tables. Opens without a model and without torch.

study.json            schema version, plan, model, when it began, what it was forked from
prompts.jsonl         every prompt with its factors and its side of the split
tables/runs/*.parquet, tables/values/*.parquet
journal/*.jsonl       rows that are no part yet
sessions.jsonl        each time that it was run: executor, workers, rows, seconds
runs/UNIT/            kept recordings
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.errors import (
    CorruptRecordingError,
    InputError,
    RunFolderError,
    RunNotFoundError,
    SchemaVersionError,
)
from diffuscope.recording.files import write_atomic
from diffuscope.studies.journal import parts, pending
from diffuscope.studies.plan import Plan
from diffuscope.studies.plan_file import read_plan
from diffuscope.studies.prompts import Prompt, file_name, placeless
from diffuscope.studies.tables import RUNS, VALUES, arrow, schema, to_tables
from diffuscope.studies.units import Unit, units

if TYPE_CHECKING:
    import pyarrow as pa

STUDY_VERSION = 1
FILE = "study.json"
PROMPTS = "prompts.jsonl"


@dataclass(frozen=True)
class Status:
    """How far a study is.

    Attributes:
        total: units of the plan.
        done: committed with a picture.
        failed: committed as error rows.
        pending: the rest.
        errors: kind of error to number.
        seconds: for a picture, drawing and measuring, mean over those done; None before the first.
        kept_bytes: size of kept recordings.
        table_bytes: size of tables and journal.
        by_condition: condition to (done, failed, total).
    """

    total: int
    done: int
    failed: int
    pending: int
    errors: dict[str, int]
    seconds: float | None
    kept_bytes: int
    table_bytes: int
    by_condition: dict[str, tuple[int, int, int]]

    def facts(self) -> dict[str, Any]:
        return asdict(self)


class Study:
    """A study's folder.

    Attributes:
        folder: see the module.
        plan: what it was begun with.
        facts: the rest of ``study.json``.
    """

    def __init__(self, folder: Path, plan: Plan, facts: dict[str, Any]) -> None:
        self.folder, self.plan, self.facts = folder, plan, facts

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Open a study.

        Raises:
            RunNotFoundError: there is none.
            CorruptRecordingError, SchemaVersionError: its file cannot be read.
        """
        folder = Path(folder)
        path = folder / FILE
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            version = told["schema_version"]
        except FileNotFoundError:
            raise RunNotFoundError(
                f"there is no study in {folder}; begin one with: diffuscope study run PLAN.yaml"
            ) from None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CorruptRecordingError(f"{path} is no study: {error}") from error
        if version != STUDY_VERSION:
            raise SchemaVersionError(
                f"{path} is of version {version}; this release reads {STUDY_VERSION}: upgrade diffuscope"
            )
        try:
            plan = Plan.model_validate(told["plan"])
        except (ValueError, KeyError) as error:
            raise CorruptRecordingError(
                f"{path} holds no plan: {' '.join(str(error).split())[:200]}"
            ) from error
        return cls(folder, plan, told)

    @classmethod
    def create(
        cls, folder: Path, plan: Plan, prompts: list[Prompt], *, forked_from: str | None = None
    ) -> Study:
        """Begin a study in a folder of its own. Of a file of prompts it keeps name and content hash, and the prompts.

        Raises:
            RunFolderError: the folder holds something else, or cannot be written.
        """
        plan = placeless(plan)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            strangers = [
                path.name for path in folder.iterdir() if path.name not in (PROMPTS, "lock", ".lock")
            ]
            if strangers:
                raise RunFolderError(
                    f"{folder} is no study and holds {strangers[0]!r}; choose another folder with --out"
                )
            lines = [json.dumps(asdict(prompt), ensure_ascii=True) + "\n" for prompt in prompts]
            write_atomic(folder / PROMPTS, [line.encode("ascii") for line in lines])
            facts = {
                "schema_version": STUDY_VERSION,
                "plan": plan.plain(),
                "plan_sha256": plan.sha256,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "forked_from": forked_from,
                "model": None,
            }
            study = cls(folder, plan, facts)
            study._write()
        except RunFolderError:
            raise
        except OSError as error:
            raise RunFolderError(f"cannot write to {folder}: {error.strerror or error}") from error
        return study

    @property
    def model(self) -> dict[str, Any] | None:
        """What the first worker said of the model, with its `fingerprint`; None before that."""
        model: dict[str, Any] | None = self.facts["model"]
        return model

    def set_model(self, model: Mapping[str, Any]) -> None:
        """Write down which model draws; once."""
        self.facts = {**self.facts, "model": dict(model)}
        self._write()

    @cached_property
    def prompts(self) -> list[Prompt]:
        """Every prompt, as it was when the study began."""
        try:
            lines = (self.folder / PROMPTS).read_text(encoding="ascii").splitlines()
            return [Prompt(**json.loads(line)) for line in lines]
        except (OSError, ValueError, TypeError) as error:
            raise CorruptRecordingError(f"{self.folder / PROMPTS} cannot be read: {error}") from error

    @property
    def total(self) -> int:
        """Units of the plan."""
        return len(self.prompts) * len(self.plan.seeds) * len(self.plan.conditions)

    def units(self) -> Iterator[Unit]:
        """Every unit, in order.

        Raises:
            InputError: no model was loaded yet, so units have no identity.
        """
        if self.model is None:
            raise InputError(f"the study in {self.folder} has not drawn anything yet")
        return units(self.plan, self.prompts, self.model["fingerprint"])

    # The tables.

    def runs(self) -> pa.Table:
        """The table of runs (`diffuscope.studies.tables.RUNS`), committed rows that are no part yet included. A unit
        that failed and was tried again has its last row."""
        return _last(self._table("runs"))

    def values(self) -> pa.Table:
        """The table of values (`diffuscope.studies.tables.VALUES`)."""
        return self._table("values")

    def committed(self) -> dict[str, tuple[str, int]]:
        """Key to (status, attempt) of every committed unit."""
        table = self._table("runs", ["unit", "status", "attempt"])
        keys, states, attempts = (table[name].to_pylist() for name in ("unit", "status", "attempt"))
        found: dict[str, tuple[str, int]] = {}
        for key, state, attempt in zip(keys, states, attempts, strict=True):
            if found.get(key, ("error", 0))[0] != "ok":
                found[key] = (state, attempt)
        return found

    def status(self) -> Status:
        """How far it is. Reads tables only."""
        table = self.runs().select(
            ["status", "condition", "error_kind", "draw_seconds", "measure_seconds", "kept_bytes"]
        )
        rows = table.to_pylist()
        ok = [row for row in rows if row["status"] == "ok"]
        errors: dict[str, int] = {}
        for row in rows:
            if row["status"] != "ok":
                errors[row["error_kind"]] = errors.get(row["error_kind"], 0) + 1
        each = len(self.prompts) * len(self.plan.seeds)
        by_condition = {
            name: (
                sum(row["condition"] == name for row in ok),
                sum(row["condition"] == name and row["status"] != "ok" for row in rows),
                each,
            )
            for name in self.plan.conditions
        }
        seconds = [(row["draw_seconds"] or 0.0) + (row["measure_seconds"] or 0.0) for row in ok]
        own = [
            path
            for name in ("tables", "journal")
            for path in (self.folder / name).rglob("*")
            if path.is_file()
        ]
        return Status(
            total=self.total,
            done=len(ok),
            failed=len(rows) - len(ok),
            pending=self.total - len(rows),
            errors=errors,
            seconds=sum(seconds) / len(seconds) if seconds else None,
            kept_bytes=sum(row["kept_bytes"] or 0 for row in ok),
            table_bytes=sum(path.stat().st_size for path in own),
            by_condition=by_condition,
        )

    def sessions(self) -> list[dict[str, Any]]:
        """Each time that it was run, oldest first."""
        try:
            lines = (self.folder / "sessions.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:  # Killed while it was written.
                continue
        return found

    def _table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        pa = arrow()
        waiting = to_tables(pending(self.folder))[0 if name == "runs" else 1]
        shape = schema(RUNS if name == "runs" else VALUES, name)
        # A part of values counts when its part of runs is there.
        numbers = [path.name for path in parts(self.folder)]
        tables = []
        for file in numbers:
            path = self.folder / "tables" / name / file
            try:
                tables.append(pa.parquet.ParquetFile(path).read(columns=columns))
            except (OSError, pa.ArrowInvalid) as error:
                raise CorruptRecordingError(
                    f"{path} cannot be read: {' '.join(str(error).split())}"
                ) from error
        chosen = waiting if columns is None else waiting.select(columns)
        empty = (
            shape if columns is None else pa.schema([shape.field(column) for column in columns])
        ).empty_table()
        whole = pa.concat_tables(
            [
                empty.replace_schema_metadata(None),
                *(each.replace_schema_metadata(None) for each in (*tables, chosen)),
            ]
        )
        return whole

    def _write(self) -> None:
        text = json.dumps(self.facts, indent=2, ensure_ascii=False)
        write_atomic(self.folder / FILE, [text.encode("utf-8")])


def difference(old: Plan, new: Plan) -> list[str]:
    """What differs between two plans, a line for each place. Of files of prompts only their names count: what a study
    drew are the prompts that it keeps (see `same_prompts`)."""
    return list(_differences(_named(old), _named(new), ""))


def _named(plan: Plan) -> dict[str, Any]:
    """A plan's values without where its files of prompts lie; studies of before kept the whole path."""
    told = plan.plain()
    prompts = {
        name: file_name(value) if name in ("file", "coco") and value else value
        for name, value in told["prompts"].items()
        if name != "sha256"
    }
    return {**told, "prompts": prompts}


def _differences(old: Any, new: Any, place: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(name), new.get(name), f"{place}.{name}" if place else str(name))
    elif isinstance(old, list) and isinstance(new, list):
        gone = [each for each in old if each not in new]
        come = [each for each in new if each not in old]
        told = [
            *(f"without {_short(each)}" for each in gone[:3]),
            *(f"with {_short(each)}" for each in come[:3]),
        ]
        more = len(gone[3:]) + len(come[3:])
        if told:
            yield f"{place}: {', '.join(told)}{f' and {more} more' if more else ''}"
        elif old != new:
            yield f"{place}: in another order"
    elif old != new:
        yield f"{place}: {_short(old)} became {_short(new)}"


def _short(value: Any) -> str:
    if isinstance(value, dict) and "name" in value:
        value = value["name"]
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def same_prompts(one: Iterable[Prompt], other: Iterable[Prompt]) -> bool:
    """Whether two studies draw the same prompts: a file may have changed while its name did not."""
    return [(each.text, each.factors, each.split) for each in one] == [
        (each.text, each.factors, each.split) for each in other
    ]


def plan_of(given: str | Path | Mapping[str, Any] | Plan) -> Plan:
    """`read_plan`, for those who import the study."""
    return read_plan(given)


def _last(table: pa.Table) -> pa.Table:
    """Of units with several rows the one that counts: the good one, else the last."""
    keys, states = table["unit"].to_pylist(), table["status"].to_pylist()
    at: dict[str, int] = {}
    for index, (key, state) in enumerate(zip(keys, states, strict=True)):
        if key not in at or states[at[key]] != "ok" or state == "ok":
            at[key] = index
    return table if len(at) == len(keys) else table.take(sorted(at.values()))
