"""Studies: many runs asked one question, with intervals and controls.

    from diffuscope import studies

    studies.run("colours.yaml", workers=2)
    study = studies.open("studies/colours")
    study.status(), study.runs(), study.values()

A plan says what is drawn and measured (`plan`), executors do it (`execution`), tables keep it (`tables`), statistics
and the report ask them. Only workers load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffuscope.studies.leading import Outcome, prepare, run
    from diffuscope.studies.measuring import Drawn, Quantity, Value, register
    from diffuscope.studies.plan import Plan
    from diffuscope.studies.plan_file import read_plan
    from diffuscope.studies.study import Study

__all__ = [
    "Drawn",
    "Outcome",
    "Plan",
    "Quantity",
    "Study",
    "Value",
    "open",
    "prepare",
    "read_plan",
    "register",
    "run",
]

_HOME = {
    "Drawn": "measuring",
    "Outcome": "leading",
    "Plan": "plan",
    "Quantity": "measuring",
    "Study": "study",
    "Value": "measuring",
    "prepare": "leading",
    "read_plan": "plan_file",
    "register": "measuring",
    "run": "leading",
}


def open(folder: Any) -> "Study":
    """Open a study's folder: `Study.open`."""
    from diffuscope.studies.study import Study

    return Study.open(folder)


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use (PEP 562): a worker's process starts without what it does not
    need."""
    if name not in _HOME:
        raise AttributeError(f"module 'diffuscope.studies' has no attribute {name!r}")
    value = getattr(import_module(f"diffuscope.studies.{_HOME[name]}"), name)
    globals()[name] = value
    return value
