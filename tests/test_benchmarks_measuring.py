"""What the benchmarks share: order of measuring, ratios, the loop's watch, tables and files."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measuring import (
    AGAIN,
    PLAIN,
    LoopWatch,
    Ratio,
    Sample,
    drop_from_cache,
    in_fresh_process,
    interleave,
    machine,
    megabytes,
    ratio,
    spread,
    table,
    timed,
    write_json,
)


def samples(*walls: float) -> list[Sample]:
    return [Sample(wall, 2 * wall, wall - 0.5) for wall in walls]


def test_each_second_round_runs_backwards() -> None:
    order: list[str] = []

    def measure(name: str) -> Sample:
        order.append(name)
        return Sample(float(len(order)), 0.0)

    told: list[str] = []
    got = interleave([PLAIN, "qk", AGAIN], measure, 3, told.append)
    assert order == [PLAIN, "qk", AGAIN, AGAIN, "qk", PLAIN, PLAIN, "qk", AGAIN]
    assert [sample.wall for sample in got[PLAIN]] == [1.0, 6.0, 7.0]
    assert told == ["round 1 of 3", "round 2 of 3", "round 3 of 3"]


def test_a_ratio_is_that_of_medians_against_the_mean_of_both_plain_calls() -> None:
    got = {PLAIN: samples(1, 1, 1), "qk": samples(4, 2, 3), AGAIN: samples(1, 1, 3)}
    found = ratio(got, "qk")
    assert found.value == 3.0  # Median 3 over the median of 1, 1, 2.
    # Within the rounds: 4, 2, 1.5.
    assert found.low == pytest.approx(1.6) and found.high == pytest.approx(3.6)
    assert found.rounds == 3
    assert str(Ratio(1.05, 0.98, 1.1234, 5)) == "1.050 (0.980 to 1.123)"


def test_the_control_is_the_plain_pipeline_against_itself() -> None:
    got = {PLAIN: samples(1, 2, 2), AGAIN: samples(2, 2, 2)}
    assert ratio(got, AGAIN) == Ratio(1.0, pytest.approx(1.0), pytest.approx(1.8), 3)
    assert ratio(got, AGAIN, "loop").value == 1.0


def test_the_loop_ends_at_the_first_decoding_after_the_last_forward() -> None:
    torch = pytest.importorskip("torch")
    denoiser, decoder = torch.nn.Identity(), torch.nn.Identity()
    marks = iter(range(100))
    loop = LoopWatch(denoiser, decoder, lambda: float(next(marks)))

    def call() -> None:
        for module in (denoiser, decoder, denoiser, denoiser, decoder, decoder, decoder):
            module(torch.zeros(1))

    _, sample = timed(call, loop)
    # Marks: the first forward, the decoding amid the loop, the first decoding after it.
    assert sample.loop == 2.0
    _, sample = timed(lambda: None, loop)
    assert math.isnan(sample.loop)
    loop.remove()
    _, sample = timed(call, loop)
    assert math.isnan(sample.loop)


def test_times_are_told_by_their_percentiles() -> None:
    assert spread([1.0, 2.0, 3.0]) == {"median": 2.0, "p10": 1.2, "p90": 2.8, "max": 3.0}


def test_the_peak_of_memory_is_seen_and_can_begin_anew(tmp_path: Path) -> None:
    # In a process of its own: this one may have held more than a test should take again.
    script = tmp_path / "child.py"
    script.write_text(
        "import json\n"
        "from benchmarks.measuring import forget_peak, peak_host_memory\n"
        "before = peak_host_memory()\n"
        "held = b'x' * 50_000_000\n"
        "high = peak_host_memory()\n"
        "del held\n"
        "print(json.dumps([before, high, forget_peak(), peak_host_memory()]))\n"
    )
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True
    )
    before, high, forgotten, after = json.loads(done.stdout)
    assert high > before + 40_000_000
    assert after < high - 40_000_000 if forgotten else after == high


def test_a_script_in_a_process_of_its_own_answers_with_its_last_line(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text('import json, sys\nprint("a word before")\nprint(json.dumps({"got": sys.argv[1:]}))\n')
    assert in_fresh_process(script, ["a b", "c"]) == {"got": ["a b", "c"]}


def test_dropping_files_from_the_cache_leaves_them_whole(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "0").write_bytes(b"kept")
    drop_from_cache(tmp_path)
    assert (tmp_path / "steps" / "0").read_bytes() == b"kept"


def test_tables_are_markdown() -> None:
    assert table(["a", "long"], [["wider", "b"]]).splitlines() == [
        "| a     | long |",
        "| ----- | ---- |",
        "| wider | b    |",
    ]
    assert (megabytes(1234567), megabytes(3.56e9)) == ("1.23 MB", "3.56 GB")


def test_results_are_written_with_machine_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/overhead.py", "--rounds", "3"])
    where = machine()
    results: dict[str, Any] = {"samples": {"qk": [Sample(1.0, 2.0)]}, "ratio": Ratio(1.0, 0.9, 1.1, 4)}
    write_json(tmp_path / "out.json", "overhead", where, results)
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["command"] == "python benchmarks/overhead.py --rounds 3"
    assert told["status"] == "measured"
    assert told["machine"]["cores"] >= 1
    assert told["results"]["samples"]["qk"] == [{"wall": 1.0, "cpu": 2.0, "loop": None}]
    assert told["results"]["ratio"]["high"] == 1.1
    write_json(None, "overhead", where, results)
