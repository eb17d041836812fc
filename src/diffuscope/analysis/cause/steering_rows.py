"""What an evaluation of steering has drawn so far, a line of JSON each picture, so that it can be stopped and goes on.

The first line says what is evaluated; each further one is an unedited picture (right or not) or a steered one (its
triple, its way, what the judge says). The last, when all is done, is the table that was made of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from diffuscope.analysis.cause.steering import (
    CHOSEN,
    LOCAL,
    NOISE,
    PROMPTED,
    Outcome,
    Rate,
    SteeringTable,
    Triple,
    Way,
    rate,
)
from diffuscope.errors import InputError, RunFolderError

Half = Literal["choosing", "measured"]
ORDER = (CHOSEN, LOCAL, PROMPTED, NOISE)
"""Of ways in the table."""


class Rows:
    """Rows of one evaluation, kept in a file where one is given.

    Args:
        path: of the file; None keeps them in memory alone.
        about: what is evaluated; a file of anything else is refused. None takes what the file says, which must be
            there.

    Raises:
        InputError: the file is another evaluation's, or no such file at all.
        RunFolderError: it cannot be read or written.
    """

    def __init__(self, path: str | Path | None, about: Mapping[str, Any] | None) -> None:
        self.path = None if path is None else Path(path)
        self.about = dict(about or {})
        self.unedited: dict[tuple[str, int], bool] = {}
        self.outcomes: dict[tuple[str, ...], Outcome] = {}
        self.halves: dict[tuple[str, ...], Half] = {}
        self.result: SteeringTable | None = None
        if self.path is None:
            return
        if about is None or self.path.exists():
            self._read(self.path)
        else:
            self._write({"about": self.about})

    # Asking.

    def known(self, triple: Triple, way: Way) -> Outcome | None:
        """What became of a triple under a way, if it was drawn."""
        return self.outcomes.get(key_of(triple, way))

    def picture(self, prompt: str, seed: int) -> bool | None:
        """Whether the unedited picture is right; None where it was not drawn."""
        return self.unedited.get((prompt, seed))

    # Adding.

    def add_unedited(self, prompt: str, seed: int, right: bool) -> None:
        self.unedited[prompt, seed] = right
        self._write({"unedited": prompt, "seed": seed, "right": right})

    def add(self, half: Half, triple: Triple, way: Way, outcome: Outcome) -> None:
        key = key_of(triple, way)
        self.outcomes[key], self.halves[key] = outcome, half
        values = {
            name: None if isinstance(value, float) and value != value else value
            for name, value in asdict(outcome).items()
        }
        self._write({"half": half, "key": list(key), **values})

    def finish(self, table: SteeringTable) -> None:
        self.result = table
        self._write({"result": table.to_json()})

    # The file.

    def _write(self, row: Mapping[str, Any]) -> None:
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise RunFolderError(f"cannot write {self.path}: {error.strerror or error}") from error

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RunFolderError(f"cannot read {path}: {error}") from error
        rows = []
        for number, line in enumerate(lines):
            try:
                rows.append(json.loads(line))
            except ValueError:
                if number < len(lines) - 1:
                    raise InputError(
                        f"{path} line {number + 1} is no JSON; it is no table of steering"
                    ) from None
                _cut(path, lines[:-1])  # The line that was being written when it was stopped.
        if not rows or not isinstance(rows[0], dict) or "about" not in rows[0]:
            raise InputError(f"{path} is no table of steering; name another file")
        for name, value in self.about.items():  # none where any will do
            if rows[0]["about"].get(name) != value:
                raise InputError(
                    f"{path} is of another evaluation ({name} {_short(rows[0]['about'].get(name))}, now "
                    f"{_short(value)}); name another file, or ask for the same"
                )
        self.about = rows[0]["about"]
        for row in rows[1:]:
            self._take(row)

    def _take(self, row: dict[str, Any]) -> None:
        if "unedited" in row:
            self.unedited[row["unedited"], int(row["seed"])] = bool(row["right"])
        elif "result" in row:
            self.result = table_of_json(row["result"])
        else:
            key = tuple(row["key"])
            self.halves[key] = row["half"]
            values: dict[str, Any] = {
                name: float("nan") if row[name] is None else row[name]
                for name in Outcome.__dataclass_fields__
            }
            self.outcomes[key] = Outcome(**values)


def table_so_far(rows: Rows, seconds: float = 0.0) -> SteeringTable:
    """The table of what was drawn, whole or not: of an evaluation that was stopped, the triples that were drawn in all
    ways.

    Raises:
        InputError: nothing was measured yet.
    """
    by: dict[tuple[Half, str, str], dict[tuple[str, ...], Outcome]] = {}
    for key, outcome in rows.outcomes.items():
        by.setdefault((rows.halves[key], key[0], key[1]), {})[key[2:]] = outcome
    chosen: dict[str, str] = {}
    local: dict[str, str] = {}
    lines = []
    for kind in rows.about["kinds"]:
        for half, own, name in by:
            if (half, own) == ("measured", kind) and not name.startswith(NOISE) and name != PROMPTED:
                (local if name.endswith(Way(local=True).name.rpartition(",")[2]) else chosen)[kind] = name
        if kind in local and kind not in chosen:
            chosen[kind] = local.pop(kind)
        if kind not in chosen:
            continue
        names = {CHOSEN: chosen[kind], NOISE: f"{NOISE} ({chosen[kind]})", PROMPTED: PROMPTED}
        if kind in local:
            names[LOCAL] = local[kind]
        found = {said: by.get(("measured", kind, way), {}) for said, way in names.items()}
        # Stopped within a round, some ways have triples that others have not.
        shared = [each for each in found[CHOSEN] if all(each in drawn for drawn in found.values())]
        if shared:
            lines += [
                rate(said, kind, [found[said][each] for each in shared]) for said in ORDER if said in found
            ]
    if not lines:
        raise InputError("no steered picture was measured yet; let the evaluation go on")
    order = {name: at for at, name in enumerate(rows.about["ways"])}
    choosing = sorted(
        ((kind, name) for half, kind, name in by if half == "choosing"),
        key=lambda each: (rows.about["kinds"].index(each[0]), order.get(each[1], len(order))),
    )
    return SteeringTable(
        chosen=chosen,
        local=local,
        choosing=tuple(
            rate(name, kind, list(by["choosing", kind, name].values())) for kind, name in choosing
        ),
        rates=tuple(lines),
        drawn=len(rows.unedited),
        refused=sum(not right for right in rows.unedited.values()),
        model=str(rows.about["model"]),
        steps=int(rows.about["steps"]),
        seconds=seconds,
    )


def key_of(triple: Triple, way: Way) -> tuple[str, ...]:
    """What a row is found by: kind, way, prompt, which thing, target, seed."""
    thing = "" if triple.thing is None else str(triple.thing)
    return (triple.kind, way.name, triple.prompt, thing, triple.target, str(triple.seed))


def table_of_json(given: Mapping[str, Any]) -> SteeringTable:
    """What `SteeringTable.to_json` made these values of."""

    def lines(rows: Iterable[Mapping[str, Any]]) -> tuple[Rate, ...]:
        plain: list[dict[str, Any]] = [
            {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
            for row in rows
        ]
        return tuple(Rate(**row) for row in plain)

    return SteeringTable(**{**given, "choosing": lines(given["choosing"]), "rates": lines(given["rates"])})


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 40 else f"{text[:37]}…"


def _cut(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
