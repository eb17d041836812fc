"""What commands print: results on stdout, everything else (progress, warnings, errors) on stderr."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from diffuscope.plain_json import finite

UNLIMITED = 100_000
"""Columns of a file or pipe: tables are as wide as they need."""

OnStep = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


def stdout() -> Console:
    """Console for results. Text is data: no markup, no highlighting, no wrapping of paths."""
    width = None if sys.stdout.isatty() else UNLIMITED
    return Console(file=sys.stdout, markup=False, highlight=False, soft_wrap=True, width=width)


def stderr() -> Console:
    """Console for progress, warnings and errors."""
    return Console(file=sys.stderr, markup=False, highlight=False, soft_wrap=True)


def show_error(message: str) -> None:
    """One line on stderr, whatever the message holds."""
    stderr().print(f"error: {' '.join(message.split())}")


def show_warnings(messages: Iterable[str]) -> None:
    """One line each on stderr."""
    for message in messages:
        stderr().print(f"warning: {' '.join(message.split())}")


def note(message: str) -> None:
    """One line on stderr that is neither a result nor a warning."""
    stderr().print(" ".join(message.split()))


def print_json(result: dict[str, Any]) -> None:
    """The one JSON object of ``--json``. Numbers that are not finite become null: JSON has none."""
    print(json.dumps(finite(result), indent=2, ensure_ascii=False, allow_nan=False))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Two columns, name and value."""
    pairs = list(facts)
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        stdout().print(Text(f"{name:<{width}}  ", style="dim").append(value, style="not dim"))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """A plain table with a header."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    stdout().print(table)


@contextmanager
def progress_bar(label: str, unit: str = "steps") -> Iterator[OnStep]:
    """A bar on stderr that moves as work is done; silent where stderr is no terminal."""
    console = stderr()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit, markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def spinner(label: str) -> Iterator[None]:
    """A sign of life on stderr for work without countable steps; silent where stderr is no terminal."""
    console = stderr()
    if not console.is_terminal:
        yield
        return
    with console.status(label):
        yield


def command_line(*arguments: str | Path) -> str:
    """A command to paste, called the way this process was: ``.venv/bin/diffuscope info …``."""
    return shlex.join([_program(), *map(str, arguments)])


def _program() -> str:
    called = Path(sys.argv[0])
    if not called.name.startswith("diffuscope"):  # python -m diffuscope, or a test
        return "diffuscope"
    found = shutil.which("diffuscope")
    if found is not None and Path(found).resolve() == called.resolve():
        return "diffuscope"
    near = called.absolute().is_relative_to(Path.cwd())
    return os.path.relpath(called) if near else str(called.absolute())
