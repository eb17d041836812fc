"""The command line as tests call it: in this process, with what it printed."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from diffuscope.cli import main


@dataclass(frozen=True)
class Outcome:
    """Exit status and what was printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout; fails where there is anything else."""
        return json.loads(self.out)


class CommandLine:
    """Calls commands: ``cli("info", folder, "--json")``."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Outcome:
        self._capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        printed = self._capsys.readouterr()
        return Outcome(status, printed.out, printed.err)

    def refuses(self, *arguments: object) -> str:
        """The line that bad input is refused with: exit status 2, one line on stderr, nothing on stdout."""
        outcome = self(*arguments)
        assert (outcome.status, outcome.out) == (2, ""), outcome
        line = outcome.err.removesuffix("\n")
        assert line.startswith("error: ") and "\n" not in line, outcome.err
        return line
