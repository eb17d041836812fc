"""Forks: another study from a changed plan, which takes over every run that is the same."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diffuscope.studies.journal import Entry, Journal, chunks
from diffuscope.studies.plan import Plan
from diffuscope.studies.prompts import Prompt
from diffuscope.studies.study import Study
from diffuscope.studies.tables import VALUES
from diffuscope.studies.units import Unit, units


def fork_name(plan: Plan, prompts: Iterable[Prompt]) -> str:
    """Name of the fork's folder: the study's, and digits that say which plan it is."""
    text = plan.sha256 + "\n".join(prompt.text for prompt in prompts)
    return f"{plan.study}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def carry_over(parent: Study, fork: Study) -> int:
    """Take over rows of the parent that say what the fork asks; the number of units.

    A unit is taken over when its identity is the same, every measure of the fork was measured in the same way, and as
    much was kept. Its folder is linked, not copied, where the disk allows it. The column ``plan`` goes on naming the
    plan that it was drawn for.
    """
    old, new = parent.plan, fork.plan
    model = parent.model
    measured = {choice.name: choice for choice in old.measures}
    if model is None or old.model != new.model or old.keep != new.keep:
        return 0
    if any(measured.get(choice.name) != choice for choice in new.measures):
        return 0
    fork.set_model(model)
    wanted = {unit.key: unit for unit in units(new, fork.prompts, model["fingerprint"])}
    runs = [row for row in parent.runs().to_pylist() if row["status"] == "ok" and row["unit"] in wanted]
    numbers: dict[str, list[dict[str, Any]]] = {row["unit"]: [] for row in runs}
    names = {choice.name for choice in new.measures}
    for value in parent.values().to_pylist():
        if value["unit"] in numbers and value["measure"] in names:
            numbers[value["unit"]].append(
                {name: value[name] for name in VALUES if name not in ("unit", "study")}
            )
    journal = Journal(fork.folder)
    try:
        entries = (_entry(row, wanted[row["unit"]], numbers[row["unit"]], fork) for row in runs)
        for chunk in chunks(entries, journal.part_rows):
            for entry in chunk:
                if entry["run"]:
                    _link(parent.folder / entry["run"], fork.folder / entry["run"])
            journal.append(chunk)
        journal.seal()
    finally:
        journal.close()
    return len(runs)


def _entry(row: dict[str, Any], unit: Unit, values: list[dict[str, Any]], fork: Study) -> Entry:
    """A row of the parent under the fork's names of prompt, condition and split."""
    place = {"prompt_index": unit.prompt.index, "condition": unit.condition, "split": unit.prompt.split}
    picture = row["thumbnail"]
    return {
        **row,
        **place,
        "study": fork.folder.name,
        "factors": json.dumps(
            dict(unit.prompt.factors), ensure_ascii=False, sort_keys=True, separators=(",", ":")
        ),
        "thumbnail": None if picture is None else base64.b64encode(picture).decode("ascii"),
        "values": [{**value, **place} for value in values],
    }


def _link(run: Path, place: Path) -> None:
    """A run's folder at another place, its files the same ones."""
    draft = place.with_name(f".{place.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(run, draft, copy_function=_link_file)
    shutil.rmtree(place, ignore_errors=True)
    draft.replace(place)


def _link_file(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # Another disk, or one without links.
        shutil.copy2(source, target)
    return target
