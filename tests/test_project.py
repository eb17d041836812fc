"""The project holds together: public names, what importing costs, which way imports go."""

import subprocess
import sys
from pathlib import Path

import pytest

import diffuscope

ROOT = Path(__file__).resolve().parent.parent


def test_every_public_name_is_listed_and_loads() -> None:
    assert sorted(diffuscope.__all__) == diffuscope.__all__ == dir(diffuscope)
    for name in diffuscope.__all__:
        assert getattr(diffuscope, name) is not None


def test_every_public_name_is_documented() -> None:
    for name in set(diffuscope.__all__) - {"__version__"}:
        assert (getattr(diffuscope, name).__doc__ or "").strip(), f"diffuscope.{name} has no docstring"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Lense"):
        diffuscope.Lense  # noqa: B018


def loaded_after(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after running the code."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_after("import diffuscope") & {"torch", "diffusers", "transformers", "numpy", "pydantic"}


def test_the_viewer_never_loads_torch() -> None:
    names = [name for name in diffuscope.__all__ if name not in ("Lens", "capture")]
    loaded = loaded_after(f"import diffuscope\nfor name in {names!r}: getattr(diffuscope, name)")
    assert not loaded & {"torch", "diffusers", "transformers"}


def test_the_command_line_starts_without_torch_or_numpy() -> None:
    assert not loaded_after("import diffuscope.cli") & {"torch", "diffusers", "transformers", "numpy"}


def test_imports_go_one_way() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_version_is_the_same_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {diffuscope.__version__}\n" in citation
