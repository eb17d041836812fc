"""`diffuscope runs` as a user meets it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_recording as tiny
from command_line import CommandLine
from synthetic_run import PROMPT, make_run
from test_runs_list import reseal
from test_runs_trash import KEPT, aged, contents
from tiny_recording import write_run

import diffuscope as ds
from diffuscope.cli.runs import ACTIONS
from diffuscope.recording import RunWriter, Trash

ROOT = Path(__file__).resolve().parent.parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_before_the_first_recording(cli: CommandLine) -> None:
    outcome = cli("runs")
    assert (outcome.status, outcome.err) == (0, "") and "diffuscope demo" in outcome.out
    assert cli("runs", "list", "--json").json == {
        "folder": "runs",
        "runs": [],
        "bytes": 0,
        "trash": {"runs": 0, "bytes": 0},
    }
    assert "nowhere" in cli.refuses("runs", "list", "--runs", "nowhere")


def test_list(cli: CommandLine) -> None:
    make_run(Path("runs/whole"), level="qk", self_sites=True)
    make_run(Path("runs/stopped"), level="cross", steps=6, stop_after=2)
    damaged = make_run(Path("runs/damaged"), level="maps")
    (damaged / "image.png").unlink()
    (make_run(Path("runs/worse")) / "manifest.json").write_bytes(b"{")
    Path("runs/notes").mkdir()
    outcome = cli("runs", "list")
    assert outcome.status == 0 and outcome.out == cli("runs").out
    lines = {line.split()[0]: line for line in outcome.out.splitlines() if line}
    for name, words in {
        "whole": ("complete", "qk", "5 of 5", PROMPT, "synthetic"),
        "stopped": ("stopped", "cross", "2 of 6"),
        "damaged": ("damaged", "maps"),
        "worse": ("damaged",),
        "4": ("4 runs in runs",),
    }.items():
        assert all(word in lines[name] for word in words), lines[name]
    assert "notes" not in outcome.out
    assert outcome.err.count("warning: ") == 2 and "image.png is missing" in outcome.err
    facts = cli("runs", "list", "--json").json
    by_name = {run["name"]: run for run in facts["runs"]}
    assert by_name["whole"] == {
        "id": "whole",
        "name": "whole",
        "path": str(Path("runs/whole")),
        "state": "complete",
        "problem": None,
        "created": "2026-01-01T00:00:00+00:00",
        "prompt": PROMPT,
        "seed": 7,
        "model": "synthetic",
        "keep": "qk",
        "steps": 5,
        "of": 5,
        "bytes": sum(map(len, contents(Path("runs/whole")).values())),
    }
    assert by_name["stopped"]["problem"] == "stopped by a test"
    assert by_name["worse"]["prompt"] is None and "no JSON" in by_name["worse"]["problem"]
    assert facts["bytes"] == sum(run["bytes"] for run in facts["runs"])


def test_what_comes_from_elsewhere_cannot_write_to_the_terminal(cli: CommandLine) -> None:
    run = write_run(Path("runs/run"))
    opened = ds.open(run).manifest
    sampling = opened.sampling.model_dump() | {"prompt": "a\x1b[2J\x07 [red]circle[/red]\nline\u202e"}
    reseal(run, sampling=sampling, id="id\x1b[2J")
    for arguments in (("list",), ("pack", "run"), ("prune", "run", "--keep", "maps"), ("rm", "run")):
        outcome = cli("runs", *arguments)
        assert outcome.status == 0 and not {"\x1b", "\x07", "\u202e"} & set(outcome.out + outcome.err)
        assert arguments != ("list",) or "a [2J [red]circle[/red] line" in outcome.out


def test_pack_and_unpack(cli: CommandLine) -> None:
    run = write_run(Path("runs/run"))
    (run / "report.html").write_text("mine")
    outcome = cli("runs", "pack", "run")
    assert outcome.status == 0 and outcome.err == ""
    assert "report.html" in outcome.out and "runs unpack run.diffuscope.zip" in outcome.out
    assert "exists already" in cli.refuses("runs", "pack", "run")
    facts = cli("runs", "pack", run, "--out", "other.zip", "--json").json
    assert facts == {
        "id": "run",
        "file": "other.zip",
        "files": 16,
        "bytes": Path("other.zip").stat().st_size,
        "left_out": ["report.html"],
    }
    assert "runs/run" in cli.refuses("runs", "unpack", "other.zip")
    facts = cli("runs", "unpack", "other.zip", "--runs", "there", "--json").json
    assert (facts["id"], facts["path"], facts["files"]) == ("run", str(Path("there/run")), 16)
    assert contents(Path("there/run")) | {"report.html": b"mine"} == contents(run)
    outcome = cli("runs", "unpack", "run.diffuscope.zip", "--runs", "again")
    assert "info again/run" in outcome.out
    assert cli("verify", "there/run").status == 0


def test_wrong_archives(cli: CommandLine) -> None:
    assert "not there" in cli.refuses("runs", "unpack", "nothing.zip")
    Path("text.zip").write_text("text")
    assert "no archive" in cli.refuses("runs", "unpack", "text.zip")
    cli("runs", "pack", write_run(Path("runs/run")), "--out", "run.zip")
    data = bytearray(Path("run.zip").read_bytes())
    data[data.index(b"IHDR") + 5] ^= 1
    Path("run.zip").write_bytes(data)
    outcome = cli("runs", "unpack", "run.zip", "--runs", "there")
    assert (outcome.status, outcome.out) == (1, "") and outcome.err.count("\n") == 1
    assert "run.zip is damaged" in outcome.err and not Path("there").exists()


def test_prune_says_what_it_frees_and_how_to_undo_it(cli: CommandLine) -> None:
    for name in ("one", "two"):
        make_run(Path("runs") / name, level="qk", self_sites=True)
    before = contents(Path("runs/one"))
    arguments = ("runs", "prune", "one", "two", "runs/one", "--keep", "maps", "--no-previews")
    dry = cli(*arguments, "--dry-run", "--json").json
    assert dry["dry_run"] and [run["name"] for run in dry["runs"]] == ["one", "two"]
    assert contents(Path("runs/one")) == before and "nothing was changed" in cli(*arguments, "--dry-run").out
    outcome = cli(*arguments)
    assert outcome.status == 0 and outcome.err == ""
    assert (
        "in 7 days" in outcome.out and "runs restore one" in outcome.out and "runs restore two" in outcome.out
    )
    after = sum(map(len, contents(Path("runs/one")).values()))
    assert dry["runs"][0]["after"] == pytest.approx(after, rel=0.05)
    again = cli(*arguments, "--json").json
    assert [(run["was"], run["keep"], run["changed"], run["trash"]) for run in again["runs"]] == [
        ("maps", "maps", False, None)
    ] * 2
    assert cli("heatmap", "one", "--word", "circle", "--json").status == 0
    assert "'cross'" in cli.refuses("heatmap", "one", "--word", "circle", "--heads", "1")
    restored = cli("runs", "restore", "runs/one", "--json").json
    assert (restored["was"], restored["path"]) == ("pruned", str(Path("runs/one")))
    assert contents(Path("runs/one")) == before


def test_prune_now_frees_at_once(cli: CommandLine) -> None:
    make_run(Path("runs/run"), level="cross")
    facts = cli("runs", "prune", "run", "--keep", "maps", "--now", "--json").json
    assert facts["runs"][0]["trash"] is None and facts["runs"][0]["frees"] > 0
    assert os.listdir("runs") == ["run"]


def test_what_prune_refuses_it_refuses_for_all(cli: CommandLine) -> None:
    write_run(Path("runs/qk"))
    write_run(Path("runs/maps"), level="maps")
    before = contents(Path("runs/qk"))
    for arguments, said in (
        (("qk", "maps", "--keep", "cross"), "less than 'cross'"),
        (("qk", "nothing", "--keep", "cross"), "runs/nothing"),
        (("qk",), "--keep"),
        (("qk", "--keep", "qk"), "'maps', 'cross'"),
        (("qk", "--keep", "everything"), "'maps', 'cross'"),
        ((), "RUN"),
    ):
        assert said in cli.refuses("runs", "prune", *arguments)
    assert contents(Path("runs/qk")) == before and sorted(os.listdir("runs")) == ["maps", "qk"]


def test_one_damaged_run_of_several(cli: CommandLine) -> None:
    write_run(Path("runs/a"))
    (write_run(Path("runs/b")) / "image.png").write_bytes(b"x" * (Path("runs/b/image.png").stat().st_size))
    outcome = cli("runs", "prune", "a", "b", "--keep", "maps")
    assert (outcome.status, outcome.out) == (1, "")
    warning, error = outcome.err.splitlines()
    assert warning == f"warning: {Path('runs/a')} was pruned before this failed"
    assert error.startswith("error: ") and "image.png" in error
    assert ds.open("runs/a").manifest.keep.level == "maps" and ds.open("runs/b").manifest.keep.level == "qk"


def test_rm_and_restore(cli: CommandLine) -> None:
    runs = [write_run(Path("runs") / name) for name in "abc"]
    before = contents(runs[0])
    (runs[2] / "manifest.json").write_bytes(b"{")  # Damaged runs can be removed, too.
    outcome = cli("runs", "rm", "a", "runs/c")
    assert outcome.status == 0 and outcome.err == ""
    assert "runs restore a" in outcome.out and "in 7 days" in outcome.out and os.listdir("runs/.trash")
    assert "2 runs in the trash" in cli("runs").out
    listed = cli("runs", "list", "--trash").out
    assert "removed" in listed and "runs restore" in listed and "until" in listed
    trash = cli("runs", "list", "--trash", "--json").json
    assert [run["name"] for run in trash["trash"]] == ["c", "a"] and trash["bytes"] > 0
    assert cli("runs", "restore", "a").status == 0 and contents(runs[0]) == before
    assert "'a'" in cli.refuses("runs", "restore", "a")
    removed = cli("runs", "rm", "b", "--json").json
    assert [(run["path"], run["trash"]["was"]) for run in removed["removed"]] == [(str(runs[1]), "removed")]
    entry = removed["removed"][0]["trash"]["entry"]
    assert cli("runs", "restore", entry, "--json").json["name"] == "b"
    emptied = cli("runs", "rm", "--trash", "--json").json
    assert [run["name"] for run in emptied["emptied"]] == ["c"] and emptied["bytes"] > 0
    assert sorted(os.listdir("runs")) == ["a", "b"]
    assert "0 runs" in cli("runs", "list", "--trash").out


def test_rm_now(cli: CommandLine) -> None:
    for name in "ab":
        write_run(Path("runs") / name)
    assert cli("runs", "rm", "a", "--now", "--json").json["removed"][0]["trash"] is None
    assert "freed" in cli("runs", "rm", "b", "--now").out
    assert os.listdir("runs") == []


def test_another_folder_of_runs(cli: CommandLine) -> None:
    write_run(Path("else where/run"))
    where = ("--runs", "else where")
    assert "'else where'" in cli("runs", "prune", "run", "--keep", "maps", *where).out
    assert "run" in cli("runs", "list", *where).out
    outcome = cli("runs", "rm", "run", *where)
    assert "restore run --runs 'else where'" in outcome.out
    assert cli("runs", "restore", "else where/run").status == 0
    assert cli("runs", "rm", "--trash", *where).status == 0
    assert os.listdir("else where") == ["run"]


def test_what_rm_refuses(cli: CommandLine) -> None:
    write_run(Path("runs/run"))
    Path("runs/notes").mkdir()
    for arguments, said in (
        (("run", "nothing"), "runs/nothing"),
        (("runs/notes",), "no run"),
        ((), "--trash"),
        (("--now",), "--trash"),
        (("run", "--trash"), "alone"),
        (("--trash", "--runs", "nowhere"), "nowhere"),
        (("/",), "no run"),
    ):
        assert said in cli.refuses("runs", "rm", *arguments)
    assert sorted(os.listdir("runs")) == ["notes", "run"]
    Path("runs/.trash").write_text("in the way")
    assert "cannot write" in cli.refuses("runs", "rm", "run")


def test_a_run_that_is_being_recorded_is_left_alone(cli: CommandLine) -> None:
    writer = RunWriter(Path("runs/run"), tiny.manifest("run"))
    assert "running" in cli("runs").out
    for arguments in (("rm", "run"), ("prune", "run", "--keep", "maps"), ("pack", "run")):
        assert "still being recorded" in cli.refuses("runs", *arguments)
    assert cli("runs", "prune", "run", "--keep", "maps", "--dry-run", "--force").status == 0
    assert cli("runs", "rm", "run", "--force").status == 0
    writer.abort("the test is over")


def test_what_has_had_its_time_goes_with_a_word(cli: CommandLine) -> None:
    write_run(Path("runs/old"))
    aged(Trash("runs").put(Path("runs/old")), KEPT)
    write_run(Path("runs/new"))
    assert "old" in cli("runs", "list", "--trash").out and Trash("runs").entries()
    assert "deleted from the trash, after 7 days: old" in cli("runs", "rm", "new").out
    assert [run.name for run in Trash("runs").entries()] == ["new"]


@pytest.mark.parametrize("name", ACTIONS)
def test_each_has_a_help_that_teaches_and_a_section(cli: CommandLine, name: str) -> None:
    outcome = cli("runs", name, "--help")
    assert outcome.status == 0 and outcome.err == ""
    examples = outcome.out.partition("Examples")[2]
    assert f"diffuscope runs {name} " in examples + " " and "--json" in outcome.out
    assert set(OPTION.findall(examples)) <= set(OPTION.findall(outcome.out.partition("Examples")[0]))
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.partition("\n## runs\n")[2]
    assert f"runs {name}" in section


def test_the_page_names_only_options_that_exist(cli: CommandLine) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = re.search(r"^## runs\n.*?(?=^## |\Z)", page, flags=re.DOTALL | re.MULTILINE)
    assert section is not None
    known = {option for name in ACTIONS for option in OPTION.findall(cli("runs", name, "--help").out)}
    assert set(OPTION.findall(section[0])) <= known


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize("width", [70, 200])
def test_on_a_terminal_names_are_never_broken_in_two(width: int) -> None:
    name = "20260101-a-red-circle-left-of-a-blue-square-7-3f2a"
    write_run(Path("runs") / name)
    for arguments in (["list"], ["prune", name, "--keep", "maps"], ["list", "--trash"]):
        lines = on_a_terminal(width, "runs", *arguments)
        assert any(line.startswith(name) for line in lines), lines
        table = lines[: lines.index("")]
        assert max(map(len, table)) <= width, lines
        assert len({len(line) - len(line.lstrip()) for line in table}) == (2 if width < 100 else 1)


def on_a_terminal(width: int, *arguments: str) -> list[str]:
    """What a command leaves standing on a terminal of so many columns."""
    import pty

    reader, writer = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm"}
    command = [sys.executable, "-m", "diffuscope", *arguments]
    subprocess.run(command, stdout=writer, stderr=subprocess.DEVNULL, env=environment, check=True)
    os.close(writer)
    shown = b""
    while chunk := read(reader):
        shown += chunk
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()).splitlines()


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # The other side is closed.
        return b""
