"""Each benchmark runs on something tiny, and what they compare recording with is right."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffuscope.testing import save_random_pipeline  # noqa: E402

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
SCRIPTS = ("measuring", "overhead", "queries", "estimate", "gpu", "families", "real_model", "study", "edits")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a benchmark as it is when it is run: with its own folder on the path."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in SCRIPTS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module
    for name in SCRIPTS:
        sys.modules.pop(name, None)


def run(
    module: ModuleType, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """What a script writes with `--json`."""
    file = tmp_path / "told.json"
    monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *arguments, "--json", str(file)])
    module.main()
    told: dict[str, Any] = json.loads(file.read_text())
    return told


def test_overhead_runs(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(script("overhead"), ["--quick"], tmp_path, monkeypatch)["results"]
    times = told["times"]["tiny"]
    levels = ["maps", "cross", "qk"]
    explicit = ["explicit, cross sites", "explicit, all sites"]
    assert list(times["samples"]) == [
        "plain",
        *levels,
        *(f"{level}, previews" for level in levels),
        *explicit,
        "plain again",
    ]
    assert all(times["ratios"][name]["wall"]["value"] > 0 for name in levels)
    # A recording draws the same picture, to the bit; explicit attention rounds otherwise.
    assert not any(times["largest_pixel_difference"][name] for name in levels)
    steps = [times["disk"][level]["step"] for level in levels]
    assert steps == sorted(steps) and steps[0] > 0
    assert times["disk"]["qk, previews"]["previews"] > 0 == times["disk"]["qk"]["previews"]
    assert [row["kind"] for row in told["memory"]["tiny"]] == ["qk"]
    assert told["memory"]["tiny"][0]["peak"] > 10_000_000
    areas = {row["area"] for row in told["profile"]["tiny"]["functions"]}
    assert {"taps", "copies to the host", "word maps", "writer"} <= areas
    assert "plain again" in capsys.readouterr().out


def test_memory_is_measured_in_a_process_of_its_own(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overhead = script("overhead")
    asked: list[list[str]] = []

    def fresh(file: Path, arguments: list[str]) -> dict[str, Any]:
        """What would be started, and here as it would run."""
        asked.append([file.name, *arguments])
        monkeypatch.setattr(sys, "argv", [str(file), *arguments])
        overhead.main()
        told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return told

    monkeypatch.setattr(overhead, "in_fresh_process", fresh)
    (told,) = overhead.memory("tiny", ["qk"], [1], None)
    assert asked == [["overhead.py", "--memory-child", "qk", "--models", "tiny", "--steps", "1"]]
    assert (told["kind"], told["steps"]) == ("qk", 1) and told["peak"] > 10_000_000


def test_memory_is_told_by_steps_and_level(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"kind": kind, "steps": steps, "peak": 100_000_000 + each * steps, "reset": True}
        for steps in (10, 50)
        for kind, each in (("plain", 0), ("qk", 2000))
    ]
    script("overhead").print_memory("tiny", rows)
    out = capsys.readouterr().out
    assert "+0.0 kB" in out and "+2.0 kB" in out


def test_explicit_attention_is_attention(script: Any, tmp_path: Path) -> None:
    """It stands for earlier tools, so it must do their work: the same picture, and the maps that were recorded."""
    overhead = script("overhead")
    of = overhead.subject("tiny")
    plain = np.asarray(of.plain()).astype(int)
    processors = dict(of.denoiser.attn_processors)
    with overhead.explicit_attention(of.denoiser, every=True) as kept:
        explicit = np.asarray(of.plain()).astype(int)
    assert of.denoiser.attn_processors == processors
    assert np.abs(explicit - plain).max() <= 2
    recorded = of.record("maps", tmp_path).recording
    for site in recorded.manifest.sites:
        if site.kind == "cross":
            maps = recorded.word_maps(site.name, 0)
            np.testing.assert_allclose(kept[site.module][0].T[: len(maps)], maps, atol=1e-4)


def test_queries_run(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(script("queries"), ["--quick"], tmp_path, monkeypatch)["results"]
    assert {"word map, another word", "two heads, cold", "pixel's row", "pixel's row, cold"} <= told[
        "asked"
    ].keys()
    assert all(seconds > 0 for asked in told["asked"].values() for seconds in asked)


def test_the_recording_asked_has_the_sites_of_sd15(script: Any) -> None:
    shapes = script("queries").SD15
    assert len(shapes) == 16
    assert [sum(shape.side == side for shape in shapes) for side in (64, 32, 16, 8)] == [5, 5, 5, 1]
    assert all(shape.side * shape.dim in (2560, 1280) for shape in shapes)


def test_estimates_run(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(script("estimate"), ["--quick"], tmp_path, monkeypatch)
    if told["status"] != "no estimate":
        assert len(told["results"]["recordings"]) == 5
        assert all(0.5 < row["ratio"] < 2 for row in told["results"]["recordings"])


def test_without_an_estimate_it_says_so(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    estimate = script("estimate")
    monkeypatch.delattr(estimate.Lens, "estimate", raising=False)
    assert run(estimate, ["--quick"], tmp_path, monkeypatch)["status"] == "no estimate"
    assert "no Lens.estimate" in capsys.readouterr().out


def test_without_a_gpu_it_says_so(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(script("gpu"), [], tmp_path, monkeypatch)["status"] == "no GPU"
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_the_gpu_script_runs_without_one(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = run(script("gpu"), ["--quick", "--device", "cpu"], tmp_path, monkeypatch)["results"]
    assert told["times"]["sd15"]["ratios"]["qk"]["wall"]["value"] > 0
    # Recorded, or said why not.
    assert "sdxl" in told["times"] or "sdxl" in told["not_recorded"]


def test_sdxl_is_a_pipeline_that_draws(script: Any) -> None:
    gpu = script("gpu")
    pipe = gpu.sdxl("cpu", torch.float32, tiny=True)
    assert pipe("a red cat", num_inference_steps=1, output_type="np").images.shape == (1, 32, 32, 3)


def test_the_full_sdxl_has_the_published_size(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusers.StableDiffusionXLPipeline.to", lambda pipe, *_: pipe)
    pipe = script("gpu").sdxl("meta", torch.float16, tiny=False)
    assert sum(parameter.numel() for parameter in pipe.unet.parameters()) == 2_567_463_684


def test_families_run(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--quick", "--families", "sd15,sdxl", "--rounds", "1", "--device", "cpu"]
    told = run(script("families"), arguments, tmp_path, monkeypatch)["results"]
    assert set(told) == {"sd15", "sdxl"}
    assert all(each["step"]["qk"] > 1000 and each["ratios"]["qk"]["value"] > 0 for each in told.values())


def test_a_model_is_validated_as_a_page(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from diffuscope.testing import save_random_pipeline

    model = save_random_pipeline(tmp_path / "tiny", "sdxl")
    page = tmp_path / "page.md"
    arguments = [
        str(model),
        "--prompt",
        "a red cat",
        "--size",
        "16x32",
        "--device",
        "cpu",
        "--out",
        str(page),
    ]
    module = script("real_model")
    assert module.main(arguments) == 0
    text = page.read_text()
    assert "it holds" in text and "the same, bit for bit" in text and "over 44 tables" in text
    assert len(list((tmp_path / "page").glob("*.png"))) == 3
    assert module.main([str(tmp_path / "nowhere"), "--out", str(page)]) == 2

    # A page can say that it does not hold.
    from diffuscope.testing.faults import FAULTS

    with next(fault for fault in FAULTS if "next head" in fault.what).planted():
        assert module.main(arguments) == 1
    assert "DOES NOT HOLD" in page.read_text()


def test_study_runs(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    model = save_random_pipeline(tmp_path / "model")
    told = run(script("study"), ["--quick", "--model", str(model)], tmp_path, monkeypatch)["results"]
    assert told["levels"]["keep=maps"]["kept_bytes"] > 0 == told["levels"]["keep=none"]["kept_bytes"]
    assert told["workers"]["1"]["pictures_per_minute"] > 0
    level = told["levels"]["keep=qk"]
    row = told["workers"]["1"]["table_bytes_per_run"]
    assert told["million"]["qk"]["bytes"] == pytest.approx(1e6 * (level["kept_bytes"] + row))
    assert told["million"]["qk"]["worker_hours"] == pytest.approx(1e6 * level["seconds_per_run"] / 3600)


def test_edits_run(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(script("edits"), ["--quick"], tmp_path, monkeypatch)["results"]
    assert {"scale", "silence", "steer, guidance", "control of silence", "plain again"} <= told["costs"][
        "ratios"
    ].keys()
    assert all(each["value"] > 0 for each in told["costs"]["ratios"].values())
    assert [each["identical"] for each in told["replay"].values()] == [True] * 6
    # Heun calls its denoiser twice a step but for the last: 7 calls in 4 steps.
    assert told["replay"]["Heun from 1"]["drawn"] == pytest.approx(5 / 7)
    assert all(each["items"] == 6 and each["faster"] > 0 for each in told["sweep"].values())
    assert len(told["sd15"]["forward"]) == 2 and len(told["memory"]) == 4
