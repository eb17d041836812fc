"""Plans that come with the package: each a YAML file here, and run by its name."""

from __future__ import annotations

from pathlib import Path

from diffuscope.errors import InputError, near_first
from diffuscope.studies.plan import Plan
from diffuscope.studies.plan_file import read_plan

FOLDER = Path(__file__).parent


def shipped() -> dict[str, Path]:
    """Name to file of each plan that comes with the package, in order of their names."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def found_plan(given: str | Path) -> Path:
    """A plan by its file or by its name; the file goes first.

    Raises:
        InputError: there is neither.
    """
    path = Path(given)
    if path.exists() or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return path
    plans = shipped()
    if str(given) not in plans:
        near = ", ".join(near_first(str(given), list(plans)))
        raise InputError(
            f"there is no plan {str(given)!r}, neither a file nor one that comes with diffuscope: {near}"
        )
    return plans[str(given)]


def shipped_plan(name: str) -> Plan:
    """A plan that comes with the package, read.

    Raises:
        InputError: there is none of that name.
        MissingExtraError: reading YAML needs the extra ``studies``.
    """
    plans = shipped()
    if name not in plans:
        raise InputError(f"there is no plan {name!r}; there are: {', '.join(near_first(name, list(plans)))}")
    return read_plan(plans[name])
