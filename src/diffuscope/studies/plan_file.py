"""From a YAML file or a Python value to a checked plan; what is wrong with it in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from diffuscope.errors import InputError, MissingExtraError, listed, near_first
from diffuscope.studies.plan import (
    Condition,
    HeldOut,
    MeasureChoice,
    ModelChoice,
    Pairing,
    Plan,
    PromptSource,
    Settings,
)

LARGEST = 64 * 2**20
"""Bytes of a plan file: beyond it, prompts belong into a file of their own."""


def read_plan(plan: str | Path | Mapping[str, Any] | Plan) -> Plan:
    """A plan from a YAML file, a mapping, or a plan already. Paths in a file are relative to the file's folder.

    Raises:
        InputError: there is no such file, it is no YAML, or no plan; one line that says what would be right.
        MissingExtraError: reading YAML needs the extra ``studies``.
    """
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, Mapping):
        return _checked(dict(plan), "the plan")
    path = Path(plan)
    return _checked(_rooted(_yaml(path), path.parent), str(path))


def write_plan(plan: Plan, path: str | Path) -> None:
    """The plan as YAML, without what it leaves at its default."""
    from io import StringIO

    text = StringIO()
    _reader().dump(plan.model_dump(mode="json", exclude_defaults=True), text)
    Path(path).write_text(text.getvalue(), encoding="utf-8", newline="\n")


def _reader() -> Any:
    try:
        from ruamel.yaml import YAML
    except ModuleNotFoundError as error:
        raise MissingExtraError("reading plans", "studies") from error
    # YAML 1.2, not 1.1: there 5:20 would be a number of base 60 and `no` a truth value. Repeated keys are refused.
    return YAML(typ="safe", pure=True)


def _yaml(path: Path) -> dict[str, Any]:
    reader = _reader()
    from ruamel.yaml.error import YAMLError

    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} is too large for a plan; put the prompts into a file of their own")
        found = reader.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no plan {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"{path} is no YAML{where}: {' '.join(str(problem).split())}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is no plan: it holds no fields; a plan begins with 'study: NAME'")
    return found


def _rooted(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Paths of prompt files made relative to the plan's folder."""
    prompts = plan.get("prompts")
    if not isinstance(prompts, dict):
        return plan
    moved = {
        name: str(folder / prompts[name])
        for name in ("file", "coco")
        if isinstance(prompts.get(name), str) and not Path(prompts[name]).is_absolute()
    }
    return {**plan, "prompts": {**prompts, **moved}}


def _checked(given: dict[str, Any], where: str) -> Plan:
    try:
        plan = Plan.model_validate(given)
    except ValidationError as error:
        raise InputError(f"{where}: {_line(error)}") from error
    _check_names(plan, where)
    return plan


def _check_names(plan: Plan, where: str) -> None:
    """What pydantic cannot see: doubles, empty lists, and names that lead nowhere."""
    for what, values in (("prompts.list", plan.prompts.list or ()), ("seeds", plan.seeds)):
        double = (
            next((each for each in values if values.count(each) > 1), None) if _has_doubles(values) else None
        )
        if double is not None:
            raise InputError(f"{where}: {what} has {double!r} twice; each is drawn once")
    for name, count in (("seeds", plan.seeds), ("conditions", plan.conditions)):
        if not count:
            raise InputError(f"{where}: {name} is empty, so there is nothing to draw")
    names = list(plan.conditions)
    if plan.baseline not in names:
        raise InputError(
            f"{where}: pairing.baseline is {plan.baseline!r}, and there is no such condition; "
            f"there are: {listed(near_first(plan.baseline, names))}"
        )
    for name, condition in plan.conditions.items():
        other = condition.control_of
        if other is not None and (other not in names or other in (name, plan.baseline)):
            there = [each for each in names if each not in (name, plan.baseline)]
            raise InputError(
                f"{where}: conditions.{name}.control_of is {other!r}; it names another condition that is not the "
                f"baseline: {listed(near_first(other, there)) or 'there is none'}"
            )
    chosen = [choice.name for choice in plan.measures]
    if _has_doubles(chosen):
        double = next(each for each in chosen if chosen.count(each) > 1)
        raise InputError(f"{where}: the measure {double!r} is named twice; give its words in one list")


def _has_doubles(values: Any) -> bool:
    return len(set(values)) != len(values)


def _line(error: ValidationError) -> str:
    """The first thing that is wrong, and how much more there is."""
    errors = error.errors()
    first = errors[0]
    place = ".".join(map(str, first["loc"]))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if first["type"] == "extra_forbidden":
        inside, name = first["loc"][:-1], str(first["loc"][-1])
        fields = _fields(inside)
        here = f"in {'.'.join(map(str, inside))}" if inside else "in a plan"
        return f"there is no field {name!r} {here}; there are: {', '.join(near_first(name, fields))}{more}"
    if first["type"] == "missing":
        return f"{place} is missing{more}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error" and not first["loc"]:
        return f"{message}{more}"
    given = first.get("input")
    shown = (
        f", not {given!r}"
        if isinstance(given, str | int | float | bool) and "error" not in first["type"]
        else ""
    )
    return f"{place}: {message}{shown}{more}"


_PARTS: dict[str, type[BaseModel]] = {
    "model": ModelChoice,
    "prompts": PromptSource,
    "settings": Settings,
    "measures": MeasureChoice,
    "pairing": Pairing,
    "held_out": HeldOut,
}


def _fields(place: tuple[str | int, ...]) -> list[str]:
    """Fields that there are at a place of the plan."""
    if not place:
        return list(Plan.model_fields)
    part: type[BaseModel] = _PARTS.get(str(place[0]), Condition)
    if place[0] == "conditions" and place[-1] == "settings":
        part = Settings
    return list(part.model_fields)
