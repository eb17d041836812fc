"""Leading a study: nothing is lost and nothing comes twice, whatever ends in its middle."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from small_disks import small_disk
from toy_studies import assert_whole, begin, lead, plan, rows

from diffuscope.errors import CorruptRecordingError, DiffuscopeError, InputError, RunFolderError
from diffuscope.studies.execution.toy_worker import noted
from diffuscope.studies.journal import Journal, read_journal
from diffuscope.studies.leading import locked
from diffuscope.studies.study import Study

POSIX = pytest.mark.skipif(os.name != "posix", reason="kills by signal")


def test_every_unit_is_drawn_once_and_a_second_run_draws_nothing(tmp_path: Path) -> None:
    first = lead(tmp_path, plan(), workers=2)
    assert (first.committed, first.failed, first.total) == (8, 0, 8)
    assert_whole(tmp_path, 8)
    again = lead(tmp_path, plan())
    assert (again.committed, again.workers) == (0, 0)
    assert len(noted(tmp_path / "notes", "seen")) == 8 and len(noted(tmp_path / "notes", "made")) <= 2


def test_rows_say_what_was_drawn_and_with_what(tmp_path: Path) -> None:
    conditions: dict[str, Any] = {"baseline": {}, "strong": {"settings": {"guidance_scale": 9}}}
    lead(tmp_path, plan("a cat", seeds=[5], settings={"steps": 3}, conditions=conditions))
    first, second = rows(tmp_path)
    assert (first["prompt"], first["seed"], first["condition"], first["status"]) == (
        "a cat",
        5,
        "baseline",
        "ok",
    )
    assert first["settings"] == '{"steps":3}' and second["settings"] == '{"guidance_scale":9.0,"steps":3}'
    assert len(first["model_fingerprint"]) == len(first["plan"]) == len(first["unit"]) == 64


def test_a_failing_unit_becomes_an_error_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    outcome = lead(tmp_path, plan("a cat", "fail: a dog", "refuse: an owl", seeds=[0, 1], retries=2))
    assert (outcome.committed, outcome.failed) == (6, 4)
    found = {(row["prompt"], row["seed"]): row for row in rows(tmp_path)}
    assert len(found) == 6
    tried = {row["prompt"]: row["attempt"] for row in found.values()}
    assert tried == {"a cat": 1, "fail: a dog": 3, "refuse: an owl": 1}
    assert found["fail: a dog", 0]["error_kind"] == "toy" and "fails" in found["fail: a dog", 0]["error"]


def test_error_rows_are_not_tried_again_unless_asked(tmp_path: Path) -> None:
    given = plan("fail: a dog", seeds=[0], retries=0)
    lead(tmp_path, given)
    assert lead(tmp_path, given).committed == 0
    assert lead(tmp_path, given, retry_errors=True).committed == 1
    study = Study.open(tmp_path / "toys")
    assert len(rows(tmp_path)) == 2 and study.runs()["attempt"].to_pylist() == [2]


def test_a_unit_that_fails_once_is_right_the_second_time(tmp_path: Path) -> None:
    outcome = lead(tmp_path, plan("fail once: a dog", seeds=[0]))
    assert outcome.failed == 0 and rows(tmp_path)[0]["attempt"] == 2
    assert_whole(tmp_path, 1)


@POSIX
def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    outcome = lead(tmp_path, plan("a cat", "die once: a dog", "an owl"), workers=2, batch=3)
    assert outcome.lost >= 1 and outcome.failed == 0
    assert_whole(tmp_path, 12)


@POSIX
def test_a_unit_that_ends_every_worker_becomes_an_error_row_and_its_neighbours_do_not(tmp_path: Path) -> None:
    outcome = lead(tmp_path, plan("a cat", "die: a dog"), workers=2, batch=8)
    assert outcome.failed == 4
    told = {row["prompt"]: (row["status"], row["error_kind"]) for row in rows(tmp_path)}
    assert told == {"a cat": ("ok", None), "die: a dog": ("error", "worker-lost")}


@POSIX
def test_a_machine_that_kills_every_worker_stops_the_study(tmp_path: Path) -> None:
    with pytest.raises(DiffuscopeError, match="workers in a row ended"):
        lead(tmp_path, plan(*(f"die: {number}" for number in range(9)), seeds=[0]), batch=1)


@POSIX
def test_a_leader_that_is_killed_again_and_again_leaves_every_row_once(tmp_path: Path) -> None:
    given = plan(*(f"a cat {number}" for number in range(15)))
    chance = random.Random(4)
    for kill in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        process = begin(tmp_path, given, workers=2, pause=0.2)
        before = _committed(tmp_path)
        _until(lambda before=before: _committed(tmp_path) > before + chance.randrange(2, 10))
        process.send_signal(kill)
        process.communicate(timeout=60)
        assert process.returncode != 0
    committed = _committed(tmp_path)
    assert 3 <= committed < 60
    processes = [int(each) for each in noted(tmp_path / "notes", "made")]
    _until(lambda: not any(_lives(each) for each in processes))  # A killed leader leaves no worker behind.
    assert lead(tmp_path, given, workers=2).committed == 60 - committed
    assert_whole(tmp_path, 60)


def test_one_leader_at_a_time(tmp_path: Path) -> None:
    lead(tmp_path, plan())
    with locked(tmp_path / "toys"), pytest.raises(RunFolderError, match="run by another process"):
        lead(tmp_path, plan())


def test_a_full_disk_stops_the_study_and_loses_nothing(tmp_path: Path) -> None:
    given = plan(*(f"a cat {number}" for number in range(10)))
    with small_disk(tmp_path / "disk", 2**20) as disk:
        lead(disk, plan(study="other"))  # Room for a beginning.
        filler = disk / "filler"
        study_rows = 0
        filler.write_bytes(b"\0" * (_free(disk) - 200_000))
        with pytest.raises(RunFolderError, match=r"No space left|cannot write"):
            for _ in range(200):
                lead(disk, {**given, "study": f"s{study_rows}"}, batch=40)
                study_rows += 1
        full = disk / f"s{study_rows}"
        filler.unlink()
        if (full / "study.json").exists():
            assert len({row["unit"] for row in rows(disk, full.name)}) == len(rows(disk, full.name))
        lead(disk, {**given, "study": full.name}, batch=40)
        assert_whole(disk, 40, full.name)


def test_a_worker_whose_disk_is_full_stops_the_study_and_its_units_stay_pending(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="No space left"):
        lead(tmp_path, plan("a cat", "fill: a dog", seeds=[0]), batch=1)
    assert [row["prompt"] for row in rows(tmp_path)] == ["a cat"]


def test_too_little_room_is_said_before_more_work_is_given_out(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="are to stay free"):
        lead(tmp_path, plan(), reserve=10**18)
    assert noted(tmp_path / "notes", "seen") == []


def test_half_a_line_of_the_journal_is_no_row_and_its_unit_is_drawn_again(tmp_path: Path) -> None:
    lead(tmp_path, plan())
    study = tmp_path / "toys"
    part = study / "tables" / "runs" / "000000.parquet"
    entries = _entries(study)
    part.unlink()
    (study / "tables" / "values" / "000000.parquet").unlink()
    journal = Journal(study)
    journal.append(entries)
    journal.close()
    path = study / "journal" / "000000.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    assert len(rows(tmp_path)) == 7
    assert lead(tmp_path, plan()).committed == 1
    assert_whole(tmp_path, 8)


def test_a_damaged_line_in_the_middle_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([{"unit": str(number), "values": []} for number in range(3)])
    journal.close()
    content = bytearray(journal.path.read_bytes())
    content[12] ^= 1
    journal.path.write_bytes(content)
    with pytest.raises(CorruptRecordingError, match="row 1 is not what was written"):
        read_journal(journal.path)


def test_a_kill_between_part_and_journal_leaves_each_row_once(tmp_path: Path) -> None:
    """Every moment of `Journal.seal`, played by hand: only values written; runs written and the journal still there."""
    journal = Journal(tmp_path)
    journal.append([{"unit": "a", "status": "ok", "attempt": 1, "values": [{"measure": "m", "value": 1.0}]}])
    content, number = journal.path.read_bytes(), journal.number
    journal.seal()
    journal.close()
    journal_file = tmp_path / "journal" / f"{number:06d}.jsonl"
    journal_file.write_bytes(content)
    assert len(_study(tmp_path)._table("runs")) == len(_study(tmp_path).values()) == 1
    (tmp_path / "tables" / "runs" / f"{number:06d}.parquet").unlink()
    assert len(_study(tmp_path)._table("runs")) == len(_study(tmp_path).values()) == 1
    again = Journal(tmp_path)
    again.seal()
    again.close()
    assert len(_study(tmp_path)._table("runs")) == len(_study(tmp_path).values()) == 1
    assert not journal_file.exists()


def test_parts_are_made_as_rows_come(tmp_path: Path) -> None:
    journal = Journal(tmp_path, part_rows=10)
    for number in range(25):
        journal.append([{"unit": str(number), "values": []}])
    journal.close()
    assert [path.name for path in sorted((tmp_path / "tables" / "runs").iterdir())] == [
        "000000.parquet",
        "000001.parquet",
    ]
    assert len(_study(tmp_path)._table("runs")) == 25


def test_a_changed_plan_is_refused_with_the_difference(tmp_path: Path) -> None:
    lead(tmp_path, plan())
    with pytest.raises(InputError, match=r"seeds: with 4, with 5.*--fork"):
        lead(tmp_path, plan(seeds="0:6"))
    with pytest.raises(InputError, match=r"keep: \"none\" became \"maps\""):
        lead(tmp_path, plan(keep="maps"))


def test_a_fork_takes_over_what_is_the_same(tmp_path: Path) -> None:
    lead(tmp_path, plan())
    larger = plan("a cat", "a dog", "an owl", seeds="0:6", conditions={"renamed": {}})
    outcome = lead(tmp_path, larger, fork=True)
    assert (outcome.carried, outcome.committed, outcome.total) == (8, 10, 18)
    assert_whole(tmp_path, 18, outcome.folder.name)
    assert {row["condition"] for row in rows(tmp_path, outcome.folder.name)} == {"renamed"}
    assert Study.open(outcome.folder).facts["forked_from"] == "toys"
    assert lead(tmp_path, larger, fork=True).committed == 0
    assert_whole(tmp_path, 8)


def test_a_fork_that_measures_something_else_takes_nothing_over(tmp_path: Path) -> None:
    lead(tmp_path, plan())
    outcome = lead(tmp_path, plan(measures=["mass"]), fork=True)
    assert (outcome.carried, outcome.committed) == (0, 8)


def test_a_prompt_file_that_changed_is_a_changed_plan(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a cat\na dog\n")
    given = {**plan(), "prompts": {"file": str(file)}}
    lead(tmp_path, given)
    file.write_text("a cat\nan owl\n")
    with pytest.raises(InputError, match="the file that they come from has changed"):
        lead(tmp_path, given)


def test_another_model_under_the_same_name_is_refused(tmp_path: Path) -> None:
    lead(tmp_path, plan("a cat", "fail: a dog", seeds=[0], retries=0))
    study = Study.open(tmp_path / "toys")
    study.facts["model"]["fingerprint"] = "0" * 64
    study._write()
    with pytest.raises(InputError, match="is not the one that"):
        lead(tmp_path, plan("a cat", "fail: a dog", seeds=[0], retries=0), retry_errors=True)


def _entries(folder: Path) -> list[dict[str, Any]]:
    study = Study.open(folder)
    values = study.values().to_pylist()
    return [
        {**row, "values": [value for value in values if value["unit"] == row["unit"]]}
        for row in study.runs().to_pylist()
    ]


def _study(folder: Path) -> Study:
    return Study(folder, None, {})  # type: ignore[arg-type]


def _committed(out: Path) -> int:
    try:
        return len(rows(out))
    except DiffuscopeError:
        return 0


def _free(disk: Path) -> int:
    stat = os.statvfs(disk)
    return stat.f_bavail * stat.f_frsize


def _until(holds: Any) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "waited a minute"
        time.sleep(0.02)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
