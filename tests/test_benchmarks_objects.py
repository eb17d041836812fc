"""The benchmark of objects: the stages that it tries, and the words in which it tells."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.analysis.objects.chain import PRESETS, Chain
from diffuscope.datasets import Dataset
from diffuscope.studies.object_accuracy.truth import Marked, Truth

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "objects", raising=False)
    import objects

    yield objects
    sys.modules.pop("objects", None)


def test_a_chain_is_settled_stage_by_stage(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = ds.open(make_run(tmp_path / "run", steps=1))
    # Truth is what one chain finds: it must be found again, from the default.
    hidden = Chain(map="word", threshold=0.6)
    truth = Truth(run, tuple(Marked(each.category, each.mask) for each in run.objects(hidden)), "0", 0)
    monkeypatch.setattr(script, "STAGES", {"map": ("phrase", "word"), "threshold": ("otsu", 0.4, 0.6)})
    tried = script.settle([truth])
    best = next(each for each in tried if each.get("settled"))
    assert best["chain"] == str(hidden) and best["iou"] == 1 == tried[0]["iou"]
    assert {each.get("preset") for each in tried} == {None, *PRESETS}
    script.print_settled({"tried": tried, "pictures": 1, "objects": 2})
    assert "map=word threshold=0.6" in capsys.readouterr().out


def test_what_is_there_is_scored_and_told(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from numpy.random import default_rng
    from PIL import Image

    from diffuscope.datasets import Annotation, Picture
    from diffuscope.scenes import lay_out, render, standard_prompts
    from diffuscope.studies.object_accuracy.truth import judged

    asked: list[Any] = []

    def drawn(texts: list[str], folder: Path, **options: Any) -> Any:
        """In place of drawing: rendered scenes, annotated as the judge reads them."""
        asked.append((texts, options["seeds"], options["settings"]))
        dataset = Dataset(folder)
        for at, prompt in enumerate(standard_prompts(len(texts))):
            image = Image.fromarray(render(lay_out(prompt.description, default_rng(at))).image)
            found, _, _ = judged(image, [thing.noun for thing in prompt.description.things], 2)
            notes = tuple(Annotation.of(each.category, each.mask, 0.9) for each in found)
            dataset.add(Picture(f"p{at}", f"p{at}.png", *image.size, prompt.text, notes), image)
        dataset.write()
        outcome = type("Outcome", (), {"committed": 2, "seconds": 3.0, "start_seconds": 1.0})
        summary = type("Summary", (), {"failed": []})
        return type("Drawing", (), {"outcome": outcome, "summary": summary, "pictures_a_second": 1.0})

    monkeypatch.setattr(script, "draw_dataset", drawn)
    told = script.dataset(tmp_path / "made", 3, 2, "scenes", None, 2)
    assert len(asked[0][0]) == 2 and asked[0][1:] == (2, {"steps": 2})
    assert told["pictures"] == 2 and told["findings"]["rows"][0]["segm"]["AP"] == pytest.approx(1)
    assert (tmp_path / "made-sheet.png").is_file()
    script.print_dataset(told)
    out = capsys.readouterr().out
    assert "Average Precision  (AP) @[ IoU=0.50:0.95" in out and "drawn now: 2, 1.00 a second" in out
