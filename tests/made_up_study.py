"""A study of a plan that ships whose numbers are made up, so that what a page should say is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from diffuscope.studies.journal import Journal
from diffuscope.studies.plans import shipped_plan
from diffuscope.studies.prompts import expand
from diffuscope.studies.study import Study
from diffuscope.studies.tables import compact
from diffuscope.studies.units import Unit, units

Row = dict[str, Any]
Values = Callable[[Unit], Iterable[Row]]


def row(
    measure: str,
    value: float | None,
    target: str = "",
    component: str = "",
    step: int | None = None,
    censored: bool = False,
) -> Row:
    """A row of the table of values."""
    return {
        "measure": measure,
        "target": target,
        "word": target,
        "component": component,
        "step": step,
        "value": value,
        "censored": censored,
        "seen_to": 19,
    }


def came(measure: str, target: str, step: float | None) -> Row:
    """A step that something came at, or that it never did."""
    return row(measure, step, target, censored=step is None)


def made_up(folder: Path, plan_name: str, values: Values, *, prompts: int | None = None) -> Study:
    """The study, with what `values` gives of each unit; of the first prompts alone where `prompts` is given."""
    plan = shipped_plan(plan_name)
    study = Study.create(folder / plan.study, plan, expand(plan))
    study.set_model({"id": "scenes", "dtype": "float32", "pipeline": "Toy", "fingerprint": "f" * 64})
    entries = [
        {
            "unit": unit.key,
            "study": plan.study,
            "status": "ok",
            "attempt": 1,
            "prompt_index": unit.prompt.index,
            "prompt": unit.text,
            "factors": compact(dict(unit.prompt.factors)),
            "seed": unit.seed,
            "condition": unit.condition,
            "split": unit.prompt.split,
            "software": compact({"diffuscope": "0", "torch": "2"}),
            "device": "cpu",
            "draw_seconds": 1.0,
            "measure_seconds": 0.5,
            "values": list(values(unit)),
        }
        for unit in units(plan, study.prompts, "f" * 64)
        if prompts is None or unit.prompt.index < prompts
    ]
    journal = Journal(study.folder)
    journal.append(entries)
    journal.seal()
    journal.close()
    return study
