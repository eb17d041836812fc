"""Commands about causes, and the measures that studies have of them."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import CommandLine
from PIL import Image

from diffuscope import scenes
from diffuscope.analysis.comparing import compare
from diffuscope.analysis.similarity import structural_similarity
from diffuscope.edits import Reprompt, Scale, Silence
from diffuscope.engine import Lens
from diffuscope.engine.many import draw_many
from diffuscope.errors import SizeError
from diffuscope.figures.report import report_data
from diffuscope.run import Run
from diffuscope.studies.measuring import Drawn, quantities
from diffuscope.studies.plans import shipped_plan

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture(scope="module")
def lens() -> Lens:
    return Lens.load("scenes")


@pytest.fixture(scope="module")
def run(lens: Lens, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs")
    made = lens.record("a red circle", seed=1, steps=2, keep="maps", previews=False, out=out)
    assert isinstance(made, Run)
    return made


def test_faithfulness_is_drawn_once_and_then_read(cli: CommandLine, run: Run, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    first = cli("faithfulness", run.path, "--word", "circle", "--orders", 1, "--report", report, "--json")
    assert first.status == 0 and [each["word"] for each in first.json["words"]] == ["circle"]
    assert first.json["words"][0]["verdict"] in report.read_text(encoding="utf-8")
    again = cli("faithfulness", run.path, "-w", "circle", "--json")
    assert again.json == first.json
    shown = cli("faithfulness", run.path, "-w", "circle").out
    assert "chance" in shown and first.json["words"][0]["verdict"] in shown
    assert "circle" in cli.refuses("faithfulness", run.path)


def test_heads_are_ranked_in_a_table(cli: CommandLine, run: Run, tmp_path: Path) -> None:
    table, picture = tmp_path / "heads.csv", tmp_path / "heads.png"
    box = ("--region", "box:0,0,63,127", "--sites", "cross:mid", "--seeds", 2, "--full")
    outcome = cli("heads", run.path, *box, "--csv", table, "--figure", picture, "--json")
    assert outcome.status == 0 and outcome.json["region"] == "given" and outcome.json["drawn"] == 16
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["effect"]) for row in rows] == [each["effect"] for each in outcome.json["heads"]]
    assert Image.open(picture).width > 400
    assert "one of --word, --object and --region" in cli.refuses("heads", run.path)
    assert "bound='normal'" in cli.refuses("heads", run.path, *box, "--bound", "normal")


def test_windows_are_drawn_once_and_shown_in_the_report(cli: CommandLine, run: Run, tmp_path: Path) -> None:
    chart, report = tmp_path / "window.png", tmp_path / "report.html"
    few = ("--parts", 2, "--seeds", 1)
    first = cli("windows", run.path, "-w", "CIRCLE", *few, "--figure", chart, "--report", report, "--json")
    assert first.status == 0, first.err
    (found,) = first.json["words"]
    assert found["word"] == "circle" and found["cuts"] == [0, 1, 2] and len(found["effects"][0]) == 3
    best = found["recommended"]
    data = {word["label"]: word["window"] for word in report_data(Run.open(run.path))["words"]}
    assert data["red"] is None and (data["circle"]["start"], data["circle"]["stop"]) == (
        best["start"],
        best["stop"],
    )
    assert data["circle"]["said"] in report.read_text(encoding="utf-8")
    assert Image.open(chart).width > 400
    # Kept by its own name, and read without a model.
    again = cli("windows", run.path, "-w", "circle", "--model", tmp_path / "nowhere", "--json")
    assert again.json == first.json
    assert f"{best['start']}:{best['stop']}" in cli("windows", run.path, "-w", "circle").out
    assert "circle" in cli.refuses("windows", run.path)


def test_steering_is_evaluated(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def rendered(lens: Lens, pairs: Any, settings: Any, edits: Any = ()) -> list[Image.Image]:
        """A model that draws every prompt right, obeys changed prompts, and is moved by nothing else."""
        made = []
        for at, (prompt, seed) in enumerate(pairs):
            edit = edits[at][0] if edits else None
            seen.append(type(edit).__name__)
            description = scenes.parse(edit.prompt if isinstance(edit, Reprompt) else prompt)
            assert description is not None
            # What is open is chosen by the thing named, so that it stays as it was.
            scene = scenes.lay_out(description, np.random.default_rng(seed))
            made.append(Image.fromarray(scenes.render(scene).image))
        return made

    monkeypatch.setattr("diffuscope.engine.cause.steering.draw_many", rendered)
    table = tmp_path / "steer.csv"
    few = ("--triples", 12, "--choosing", 4, "--kinds", "colour", "--rows", "phrase,all", "--strengths", "1")
    outcome = cli("evaluate", "steer", *few, "--windows", "all", "--csv", table, "--json")
    assert outcome.status == 0, outcome.err
    steered, prompted, noise = outcome.json["rates"]
    assert [row["way"] for row in (steered, noise, prompted)] == [
        "steered, as chosen",
        "noise of equal norm",
        "prompt changed from the start",
    ]
    assert {row["n"] for row in (steered, noise, prompted)} == {12}
    assert steered["hit"][0] == noise["hit"][0] == 0 and steered["kept"][0] == 1
    assert prompted["hit"][0] >= 0.9 and seen.count("Control") == seen.count("Reprompt") == 12
    assert outcome.json["chosen"] == {"colour": "phrase, strength 1, steps all"}
    assert len(outcome.json["choosing"]) == 2 and outcome.json["choosing"][0]["n"] == 4
    assert len(table.read_text(encoding="utf-8").splitlines()) == 6
    kept = tmp_path / "pages" / "data" / "steering.jsonl"
    few = ("--triples", 4, "--choosing", 1, "--kinds", "colour", "--rows", "phrase", "--strengths", "1")
    made = cli("evaluate", "steer", *few, "--windows", "all", "--page", tmp_path / "pages", "--json")
    assert made.status == 0 and kept.exists()
    read = cli("evaluate", "steer", "--page", tmp_path / "pages", "--page-only", "--json")
    assert read.json == made.json
    assert "4 triples" in (tmp_path / "pages" / "steering.md").read_text(encoding="utf-8")
    assert "name it with --table" in cli.refuses("evaluate", "steer", "--page-only")
    assert "is not moved" in cli.refuses("evaluate", "steer", "--rows", "nothing")
    assert "no list of numbers" in cli.refuses("evaluate", "steer", "--strengths", "much")
    assert "kinds of steering" in cli.refuses("evaluate", "steer", "--kinds", "material")


def test_pictures_of_one_batch_have_edits_of_their_own(lens: Lens) -> None:
    pairs = [("a red circle", 1), ("a blue star", 2)]
    plain = draw_many(lens, pairs, {"steps": 2})
    edits = [[Scale(0, sites="cross:mid")], []]
    one, other = draw_many(lens, pairs, {"steps": 2}, edits)
    assert list(one.getdata()) != list(plain[0].getdata())
    assert list(other.getdata()) == list(plain[1].getdata())


def test_studies_measure_what_edits_did(lens: Lens, run: Run) -> None:
    edited = lens.edit(run, Silence("circle"), out=run.path.parent)
    known: dict[str, Any] = quantities()
    found = compare(run, edited)
    drawn = Drawn(edited.image, edited.prompt, edited)
    effect = next(each for each in found.words if each.word == "circle")
    for name in ("acs", "p_adc", "l_adc", "sf_iou"):
        (value,) = known[name].compute(drawn, "circle", None)
        assert value.value == getattr(effect, name)
    (value,) = known["sf_iou_chance"].compute(drawn, "circle", None)
    assert value.value == effect.chance
    assert known["change"].compute(drawn, None, None)[0].value == pytest.approx(found.change.mean())
    same = 1 - structural_similarity(run.image, edited.image)
    assert known["dissimilarity"].compute(drawn, None, None)[0].value == pytest.approx(same)
    assert known["change"].compute(Drawn(run.image, run.prompt, run), None, None) == []


def test_similarity_follows_its_equation() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (11, 11, 3), dtype=np.uint8) for _ in range(2))
    grey = [each @ np.array([0.299, 0.587, 0.114]) for each in (one, other)]
    at = np.arange(11) - 5
    weights = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / 4.5)
    weights /= weights.sum()
    means = [(weights * each).sum() for each in grey]
    spreads = [(weights * (each - mean) ** 2).sum() for each, mean in zip(grey, means, strict=True)]
    both = (weights * (grey[0] - means[0]) * (grey[1] - means[1])).sum()
    c1, c2 = 2.55**2, 7.65**2
    expected = (2 * means[0] * means[1] + c1) * (2 * both + c2)
    expected /= (means[0] ** 2 + means[1] ** 2 + c1) * (sum(spreads) + c2)
    pictures = [Image.fromarray(each) for each in (one, other)]
    assert structural_similarity(*pictures) == pytest.approx(expected)
    assert structural_similarity(pictures[0], pictures[0]) == pytest.approx(1)
    with pytest.raises(SizeError):
        structural_similarity(pictures[0], Image.new("RGB", (20, 20)))


def test_shipped_plans_can_be_read() -> None:
    detective, explorer = shipped_plan("detective"), shipped_plan("patch-explorer")
    assert len(detective.conditions) == 25 and len(explorer.conditions) == 12
    edits = explorer.conditions["other encoded in random patches"].edits
    assert edits[0]["patches"] == {"thing": "{thing}", "share": 0.6, "elsewhere": True}


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[1] / "docs" / "cause.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/cause.md", "exec"), {})
