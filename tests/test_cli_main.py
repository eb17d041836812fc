"""The command as a whole: help that teaches, exit statuses, one line for each error."""

import pytest
from command_line import CommandLine

import diffuscope
from diffuscope.cli import app, info
from diffuscope.errors import CoverageError, InputError, MissingExtraError

COMMANDS = [each.name for each in [*app.registered_commands, *app.registered_groups]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


def test_help_lists_every_command_and_where_to_start(cli: CommandLine) -> None:
    outcome = cli("--help")
    assert outcome.status == 0 and cli().out == outcome.out
    assert [
        *("demo", "record", "info", "heatmap", "steps", "timeline", "region", "objects", "morph"),
        *("edit", "sweep", "compare", "explain", "faithfulness", "heads", "windows", "verify", "doctor"),
        *("serve", "export", "runs", "evaluate", "study"),
    ] == COMMANDS
    for name in [*COMMANDS, "diffuscope demo"]:
        assert name in outcome.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_explains_and_shows_examples(cli: CommandLine, name: str) -> None:
    outcome = cli(name, "--help")
    assert outcome.status == 0 and outcome.err == ""
    assert f"diffuscope {name} " in outcome.out.partition("Examples")[2] + " " and "--json" in outcome.out


def test_version(cli: CommandLine) -> None:
    assert cli("--version").out == f"{diffuscope.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("heatmp",), "Did you mean 'heatmap'"),
        (("info",), "diffuscope info --help"),
        (("info", "run", "--jsn"), "--jsn"),
        (("record", "a circle", "--keep", "everything"), "'maps', 'cross', 'qk'"),
        (("record", "a circle", "--seed", "seven"), "--seed"),
        (("record", "a circle", "--images", "0"), "--images"),
    ],
)
def test_wrong_usage_is_refused_in_one_line(cli: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    assert said in cli.refuses(*arguments)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("the second\nline too"), 2, "error: the second line too\n"),
        (MissingExtraError("Lens"), 1, f"error: {MissingExtraError('Lens')}\n"),
        (CoverageError(["cross:mid"], call=3), 1, f"error: {CoverageError(['cross:mid'], call=3)}\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
)
def test_errors_become_one_line_and_a_status(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, line: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(info, "open_run", fail)
    outcome = cli("info", "run")
    assert (outcome.status, outcome.out, outcome.err) == (status, "", line)


def test_an_error_of_ours_is_not_hidden(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a mistake in the program")

    monkeypatch.setattr(info, "open_run", fail)
    with pytest.raises(KeyError):
        cli("info", "run")
