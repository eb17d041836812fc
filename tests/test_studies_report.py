"""The report says what the table says: effects that were put in are found, controls stand beside, nothing runs."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffuscope.studies import prepare
from diffuscope.studies.journal import Journal
from diffuscope.studies.prompts import expand
from diffuscope.studies.report import Findings, findings, write_report
from diffuscope.studies.study import Study
from diffuscope.studies.units import units

PROMPTS, SEEDS, EFFECT = 8, 5, 0.3
NASTY = '<script>alert(1)</script> & "cats"'


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study whose numbers are made up: `moved` is the baseline plus EFFECT, its control is the baseline with
    noise."""
    plan = prepare(
        {
            "study": "made-up",
            "question": NASTY,
            "model": "toy",
            "prompts": [f"a cat {number}" for number in range(PROMPTS - 1)] + [NASTY],
            "seeds": list(range(SEEDS)),
            "conditions": {
                "baseline": {},
                "moved": {"settings": {"guidance_scale": 2}},
                "sham": {"settings": {"guidance_scale": 3}, "control_of": "moved"},
            },
            "measures": [
                {"name": "brightness", "chance": 0.5},
                {"name": "emergence_attention", "words": "all"},
            ],
        }
    )
    folder = tmp_path_factory.mktemp("studies") / "made-up"
    made = Study.create(folder, plan, expand(plan))
    made.set_model({"id": "toy", "dtype": "float32", "pipeline": "Toy", "fingerprint": "f" * 64})
    random = np.random.default_rng(1)
    own = {(prompt, seed): random.normal(0.5, 0.2) for prompt in range(PROMPTS) for seed in range(SEEDS)}
    entries = []
    for number, unit in enumerate(units(plan, made.prompts, "f" * 64)):
        base = own[unit.prompt.index, unit.seed]
        value = (
            base + {"baseline": 0.0, "moved": EFFECT, "sham": 0.0}[unit.condition] + random.normal(0, 0.05)
        )
        came = unit.seed < 3
        entries.append(_entry(unit, value, float(unit.seed + (unit.condition == "moved")) if came else None))
        if number == 7:
            entries[-1] = {
                **entries[-1],
                "status": "error",
                "error_kind": "toy",
                "error": NASTY,
                "values": [],
            }
    journal = Journal(folder)
    journal.append(entries)
    journal.seal()
    journal.close()
    return made


@pytest.fixture(scope="module")
def found(study: Study) -> Findings:
    return findings(study)


def test_the_effect_that_was_put_in_is_found_and_its_control_is_not(found: Findings) -> None:
    question = next(each for each in found.questions if each.measure == "brightness")
    moved, sham = question.effects
    assert moved.paired is not None and sham.paired is not None
    assert moved.paired.difference.low < EFFECT < moved.paired.difference.high
    assert moved.corrected is not None and moved.corrected < 0.05
    assert moved.by_chance is not None and abs(moved.paired.difference.value) > moved.by_chance
    assert sham.control_of == "moved" and abs(sham.paired.difference.value) < EFFECT / 5
    assert sham.corrected is not None and sham.corrected > 0.05
    assert moved.paired.difference.clusters == PROMPTS


def test_pairs_without_a_partner_are_counted_and_not_compared(found: Findings) -> None:
    question = next(each for each in found.questions if each.measure == "brightness")
    numbers = [(effect.paired.difference.n, effect.unpaired) for effect in question.effects if effect.paired]
    assert numbers == [(PROMPTS * SEEDS - 1, 1), (PROMPTS * SEEDS, 0)]


def test_steps_that_never_came_are_in_the_curve(found: Findings) -> None:
    question = next(each for each in found.questions if each.measure == "emergence_attention")
    assert question.steps
    level = question.levels[0]
    assert level.survival is not None and level.survival.censored == PROMPTS * 2
    assert level.survival.waiting[-1] == pytest.approx(2 / 5)
    assert level.median is not None and level.median[0] == 2.0
    moved = question.effects[0]
    assert moved.earlier is not None and moved.earlier[0] == 0.0  # One step later wherever it came.


def test_examples_are_the_highest_the_middle_and_the_lowest(found: Findings) -> None:
    question = next(each for each in found.questions if each.measure == "brightness")
    gaps = [example.values[1] - example.values[0] for example in question.effects[0].examples]  # type: ignore[operator]
    assert [example.place for example in question.effects[0].examples] == ["highest", "median", "lowest"]
    assert gaps == sorted(gaps, reverse=True) and all(
        example.pictures[0] for example in question.effects[0].examples
    )


def test_the_report_is_made_from_the_table_alone(study: Study, found: Findings, tmp_path: Path) -> None:
    written = write_report(found, tmp_path / "report.html")
    names = {path.name for path in written.figures.iterdir()}
    assert {"brightness-effects.svg", "brightness-effects.png", "effects.csv"} <= names
    with Image.open(written.figures / "brightness-effects.png") as picture:
        assert picture.width > 600
    rows = list(csv.DictReader((written.figures / "effects.csv").open()))
    assert [row["control_of"] for row in rows if row["measure"] == "brightness"] == ["", "moved"]
    again = write_report(findings(study), tmp_path / "again.html")
    assert again.page.read_bytes() == written.page.read_bytes()


def test_text_of_the_study_is_data_on_the_page(found: Findings, tmp_path: Path) -> None:
    text = write_report(found, tmp_path / "report.html").page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert "script" not in tags.seen and "a" not in tags.seen
    assert "alert(1)" in text and "<script" not in text
    assert re.search(r"default-src 'none'", text) and "http://" not in re.sub(
        r'xmlns(:\w+)?="[^"]*"', "", text.replace("http://www.w3.org", "")
    )
    assert "var(--ink)" in text and "#010101" not in text


def test_the_page_says_what_failed_and_what_it_cost(found: Findings, tmp_path: Path) -> None:
    text = write_report(found, tmp_path / "report.html").page.read_text(encoding="utf-8")
    assert "What failed" in text and "toy" in text and "a million such runs" in text
    assert "sham" in text and "by chance alone" in text and "±" in text


def test_facts_are_plain(found: Findings) -> None:
    text = json.dumps(found.facts(), default=lambda value: pytest.fail(f"{value!r} is not plain"))
    assert "brightness" in text


def test_a_study_that_has_not_begun_has_a_report(tmp_path: Path) -> None:
    plan = prepare({"study": "empty", "model": "toy", "prompts": ["a cat"], "measures": ["brightness"]})
    made = Study.create(tmp_path / "empty", plan, expand(plan))
    text = write_report(findings(made), tmp_path / "report.html").page.read_text(encoding="utf-8")
    assert "No run has been measured yet" in text and "1 of 1 runs are still to be drawn" in text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    from scripts.browser import find

    path = find()
    if path is None:
        pytest.skip("no Chromium here: python scripts/browser.py installs one")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_the_page_stands_in_a_browser(
    browser: Any, found: Findings, tmp_path: Path, scheme: str, width: int
) -> None:
    page_file = write_report(found, tmp_path / "report.html").page
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(page_file.as_uri())
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink = page.evaluate("getComputedStyle(document.querySelector('section > figure svg text')).fill")
    assert ink == page.evaluate("getComputedStyle(document.body).color") or ink != "rgb(0, 0, 0)"
    from axe_playwright_python.sync_playwright import Axe

    problems = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in problems] == []
    page.close()


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)


def _entry(unit: Any, value: float, step: float | None) -> dict[str, Any]:
    picture = io.BytesIO()
    Image.new("RGB", (16, 16), (int(np.clip(value, 0, 1) * 255),) * 3).save(picture, "WEBP")
    place = {
        "prompt_index": unit.prompt.index,
        "seed": unit.seed,
        "condition": unit.condition,
        "split": unit.prompt.split,
    }
    common = {"word": "", "component": "", "step": None}
    return {
        "unit": unit.key,
        "study": "made-up",
        "status": "ok",
        "attempt": 1,
        "prompt": unit.text,
        **place,
        "draw_seconds": 1.0,
        "measure_seconds": 0.1,
        "kept_bytes": 0,
        "software": '{"python": "3"}',
        "thumbnail": base64.b64encode(picture.getvalue()).decode(),
        "values": [
            {
                **common,
                "measure": "brightness",
                "target": "",
                "value": value,
                "censored": False,
                "seen_to": None,
            },
            {
                **common,
                "measure": "emergence_attention",
                "target": "cat",
                "value": step,
                "censored": step is None,
                "seen_to": 9,
            },
        ],
    }
