"""Pages about causes say what is in their tables: an effect that was put in, and none where there is none."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_study import Row, made_up, row

pytest.importorskip("scipy")
pytest.importorskip("pyarrow")
pytest.importorskip("ruamel.yaml")

from diffuscope.analysis.cause.faithfulness import DeletionCurve, Faithfulness, Trial
from diffuscope.analysis.cause.importance import HeadEffect, HeadRanking
from diffuscope.analysis.cause.patching import PatchingGrid
from diffuscope.analysis.cause.windows import Windows, windows_between
from diffuscope.errors import InputError
from diffuscope.findings import write
from diffuscope.findings.carried import grid_of, where_a_part_is_carried
from diffuscope.findings.detective import ATTRIBUTES, detective
from diffuscope.findings.evidence import Evidence
from diffuscope.findings.faithful import faithfulness, trust
from diffuscope.findings.page import Page
from diffuscope.findings.patch_explorer import BEST, MIDDLE, patch_explorer, rates
from diffuscope.findings.word_windows import pooled, windows
from diffuscope.studies.units import Unit

ABOUT = {"model": "scenes", "files": "f" * 16, "steps": 10, "diffuscope": "0"}


def flat(page: Page) -> str:
    """A page's text in one line."""
    return " ".join(page.text().split())


def holes(unit: Unit) -> list[Row]:
    """A hole where the other text is encoded in the middle or by the best heads; one seed of ten is never right."""
    thing, other = unit.prompt.factors["thing"], unit.prompt.factors["other"]
    made = unit.condition in (MIDDLE, BEST) or unit.condition.endswith(("8:10", "6:10"))
    if unit.seed % 10 == 0:
        made = False
    right = unit.seed % 10 != 0 and not made
    return [
        row(f"sees_{other}", float(made)),
        row(f"sees_{thing}", float(not made)),
        row("judge_all", float(right)),
    ]


def test_a_part_that_was_put_in_is_found_where_it_was_put(tmp_path: Path) -> None:
    study = made_up(tmp_path, "patch-explorer", holes)
    found = rates(Evidence(study))
    assert found["circle", MIDDLE].n == 45 and found["circle", MIDDLE].seen == 45
    text = flat(patch_explorer(Evidence(study)))
    assert "*ring* encoded in the middle of a circle makes a ring in 100% of 45 seeds" in text
    assert "in random patches of that size in 0%" in text and "the place matters" in text
    assert "few heads carry it" in text and "in less than a tenth at 6:8, 0:6" in text
    assert "1200 pictures: 2 prompts x 50 seeds x 12 conditions, 10 steps" in text
    assert "study reproduce patch-explorer" in text
    assert write("patch-explorer", study.folder, tmp_path / "out")[0].suffix == ".md"


def overlaps(random: np.random.Generator) -> Any:
    """Overlap of nouns above chance, of others at chance; noise overlaps as steering does."""

    def of(unit: Unit) -> list[Row]:
        if unit.condition == "unedited":
            return [row("judge_all", 1.0)]
        rows = [row("change", 5.0 + random.normal()), row("dissimilarity", 0.1)]
        for name in ATTRIBUTES:
            mean = 0.4 if name == "noun" else 0.143
            rows.append(row("sf_iou", mean + 0.01 * random.normal(), f"{{{name}}}"))
            rows.append(row("sf_iou_chance", 0.143, f"{{{name}}}"))
            rows.append(row("random_sf_iou", 0.2, f"{{{name}}}"))
            rows += [row(each, random.normal(), f"{{{name}}}") for each in ("acs", "p_adc", "l_adc")]
        return rows

    return of


def test_overlap_is_told_from_chance_and_from_noise(tmp_path: Path) -> None:
    study = made_up(tmp_path, "detective", overlaps(np.random.default_rng(0)))
    text = flat(detective(Evidence(study)))
    assert "above chance for noun" in text and "noun: map and change overlap more than by chance" in text
    assert "Noise of equal norm, put in the same rows, overlaps with the word's map as much" in text
    assert "Words of a thing (colour, noun) overlap more" in text
    assert "300 pictures: 6 prompts x 2 seeds x 25 conditions" in text


def put_to_the_test(kind: str, iou: float, area: float, seed: int) -> dict[str, Any]:
    def trial(value: float, noticed: float) -> Trial:
        return Trial("edit", 1.0, noticed, value, 1 / 7, 0.01, 0.1, "of", 0.2 + 0.01 * (seed % 3))

    shares = (0.0, 0.5, 1.0)
    found = Faithfulness(
        word="w",
        grid=(16, 16),
        silence=trial(iou, 0.2),
        reprompt=trial(iou, 0.25),
        control=trial(iou, 0.1),
        curve=DeletionCurve(shares, (0.0, 0.5 + area, 1.0), ((0.0, 0.5, 1.0), (0.0, 0.5, 1.0))),
        seed=seed,
    )
    return {"kind": kind, "prompt": f"p{seed}", "right": seed % 2 == 0, **found.to_json()}


def test_faithfulness_is_said_by_kind_of_word() -> None:
    jitter = [0.01, -0.01, 0.02, 0.0, -0.02, 0.01]
    rows = [put_to_the_test("noun", 0.4 + by, 0.3 + by, seed) for seed, by in enumerate(jitter)]
    rows += [put_to_the_test("colour", 0.14 + by, by / 10, seed) for seed, by in enumerate(jitter)]
    page = faithfulness(rows, ABOUT, "python benchmarks/cause.py faithfulness")
    text = flat(page)
    assert "overlap above chance for noun (circle), not for colour (red)" in text
    assert "noun (circle): the map overlaps with what silencing changes above chance, and more than" in text
    assert "colour (red): the map overlaps with what silencing changes as chance does" in text
    assert "for every kind of word" in text and "12 held-out prompts" in text and "6 of the pictures" in text
    assert "mostly: it overlaps" in trust(rows).split("\n")[2]
    assert "| no |" in trust(rows).split("\n")[3]


def test_windows_of_many_prompts_are_pooled() -> None:
    cuts = (0, 5, 10)
    assert windows_between(cuts) == ((0, 10), (0, 5), (5, 10))
    rows = [
        {
            "kind": "noun",
            "prompt": f"p{seed}",
            "edit": "silenced",
            "windows": Windows("e", "w", 10, cuts, (seed,), ((whole, 0.05 * whole, 0.9 * whole),)).to_json(),
        }
        for seed, whole in enumerate((4.0, 8.0, 2.0, 0.1))
    ]
    both = pooled(rows, "noun", "silenced")
    assert both is not None and len(both.seeds) == 3  # the last changes nothing
    assert both.effects[0] == pytest.approx((1, 0.05, 0.9))
    text = flat(windows(rows, ABOUT, "python benchmarks/cause.py windows"))
    assert "when its tokens silenced: noun 5:10" in text and "steps 5:10 (90% of the whole effect" in text
    assert "it matters to the end" in text


def test_where_a_part_is_carried_names_the_site_and_the_steps() -> None:
    carried = ((0.0, 0.6), (0.01, 0.02))
    near = tuple(tuple(value - 0.01 for value in line) for line in carried)
    none = ((0.0, 0.0), (0.0, 0.0))
    grid = PatchingGrid(
        "a circle",
        "a ring",
        ("cross:up", "cross:mid"),
        ("0:5", "5:10"),
        carried,
        near,
        carried,
        none,
        1.0,
        (1, 2),
    )
    assert grid_of(grid.to_json()) == grid
    heads = tuple(
        HeadEffect("cross:up", head, 5.0 - head, 4.0 - head, 6.0 - head, 0.5, 1.0, 4, "open")
        for head in range(3)
    )
    ranking = HeadRanking("a ring", "region", "given", (1, 2), (), 2, 0.05, "student", heads, 10, 12)
    by_head = PatchingGrid(
        "a circle",
        "a ring",
        ("cross:up head 0", "cross:up head 2"),
        ("0:5", "5:10"),
        carried,
        near,
        carried,
        (),
        1.0,
        (1, 2),
    )
    text = flat(where_a_part_is_carried(ranking, grid, by_head, ABOUT, "python benchmarks/cause.py carried"))
    assert "`cross:up` at steps 5:10 carries most of the hole (0.60" in text and "**not settled**" in text
    assert "`cross:up`, of 2" in text and "1 are among the 2 that carry most" in text


def script() -> Any:
    """benchmarks/cause.py, as a module."""
    path = Path(__file__).parents[1] / "benchmarks" / "cause.py"
    spec = importlib.util.spec_from_file_location("benchmarks_cause", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_table_goes_on_and_its_page_is_written_from_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    cause, folder = script(), tmp_path / "docs" / "findings"
    path = folder / "data" / "faithfulness.jsonl"
    table = cause.Table(path, ABOUT)
    for seed in range(3):
        table.add(str(seed), put_to_the_test("noun", 0.4, 0.3, seed))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": "3", "ki')  # killed while it wrote
    again = cause.Table(path, ABOUT)
    assert again.rows == table.rows and len(path.read_text(encoding="utf-8").splitlines()) == 4
    with pytest.raises(InputError, match="drawn otherwise"):
        cause.Table(path, {**ABOUT, "steps": 5})
    with pytest.raises(InputError, match="no table yet"):
        cause.Table(tmp_path / "none.jsonl", None)
    good = tmp_path / "docs" / "what-attention-is-good-for.md"
    good.write_text("Before.\n\n<!-- measured -->\n\nold\n\n<!-- end -->\n\nAfter.\n", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["cause.py", "faithfulness", "--page", str(folder), "--page-only"])
    cause.main()
    assert "3 held-out prompts" in (folder / "faithfulness.md").read_text(encoding="utf-8")
    text = good.read_text(encoding="utf-8")
    assert (
        text.startswith("Before.")
        and text.endswith("After.\n")
        and "old" not in text
        and "overlap 0.4" in text
    )


def test_words_of_the_benchmark_are_in_their_prompts() -> None:
    pytest.importorskip("torch")
    cause = script()
    found = list(cause.words(20))
    assert {kind for _, kind, *_ in found} <= set(cause.KINDS) and len(found) == 20
    assert all(f" {word} " in f" {text} " for _, _, word, text, _ in found)
    assert cause.first_of(["circle#1", "circle#2"], ["circle", "circle"], "circle") == "circle#1"
