"""Studies in the page: a real study on disk, its progress, its pictures and its report, in a real browser."""

import base64
import io
from pathlib import Path

import pytest
from browsing import LAPTOP, PHONE
from page_driver import axe, build_page, server
from PIL import Image
from playwright.sync_api import expect

from diffuscope.studies import prepare
from diffuscope.studies.journal import Journal
from diffuscope.studies.prompts import expand
from diffuscope.studies.report import findings, write_report
from diffuscope.studies.study import Study
from diffuscope.studies.units import units

QUESTION = "<b>Does</b> a toy get brighter?"
PROMPTS, SEEDS, BROKEN = 9, 3, 5


def picture(shade: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, shade, 0)).save(file, "WEBP")
    return base64.b64encode(file.getvalue()).decode()


def made(folder: Path, name: str, done: int | None = None) -> Study:
    """A study of two conditions with made-up pictures and numbers; unit BROKEN failed, those from `done` on wait."""
    plan = prepare(
        {
            "study": name,
            "question": QUESTION,
            "model": "toy",
            "prompts": [f"a toy {number}" for number in range(PROMPTS)],
            "seeds": list(range(SEEDS)),
            "conditions": {"plain": {}, "guided": {"settings": {"guidance_scale": 2}}},
            "measures": ["brightness"],
        }
    )
    study = Study.create(folder / name, plan, expand(plan))
    study.set_model({"id": "toy", "dtype": "float32", "pipeline": "Toy", "fingerprint": "f" * 64})
    entries = []
    for number, unit in enumerate(list(units(plan, study.prompts, "f" * 64))[:done]):
        value = 0.2 + 0.3 * (unit.condition == "guided") + 0.01 * (number % 7)
        measured = {"word": "", "component": "", "step": None, "measure": "brightness", "target": ""}
        entry = {
            "unit": unit.key,
            "study": name,
            "status": "ok",
            "attempt": 1,
            "prompt_index": unit.prompt.index,
            "prompt": unit.text,
            "seed": unit.seed,
            "condition": unit.condition,
            "split": unit.prompt.split,
            "software": "{}",
            "draw_seconds": 1.5,
            "measure_seconds": 0.5,
            "thumbnail": picture(int(255 * value)),
            "values": [{**measured, "value": value, "censored": False, "seen_to": None}],
        }
        if number == BROKEN:
            entry |= {"status": "error", "error_kind": "toy", "error": "it broke", "values": []}
            entry["thumbnail"] = None
        entries.append(entry)
    journal = Journal(study.folder)
    journal.append(entries)
    journal.seal()
    journal.close()
    return study


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    whole = made(folder / "studies", "brightness")
    write_report(findings(whole), whole.folder / "report.html")
    made(folder / "studies", "begun", done=10)
    build_page()
    with server(folder / "runs", studies=folder / "studies") as found:
        yield found


def test_the_list_says_how_far_each_study_is(address, visit):
    page = visit(f"{address}#/studies")
    rows = page.locator(".studies li")
    expect(rows).to_have_count(2)
    total = 2 * PROMPTS * SEEDS
    begun, whole = (rows.filter(has_text=name) for name in ("begun", "brightness"))
    expect(begun).to_contain_text(f"9 of {total} runs · 1 failed")
    expect(whole).to_contain_text(f"complete · {total - 1} of {total} runs · 1 failed")
    expect(begun.get_by_role("progressbar")).to_have_attribute("aria-valuenow", str(round(100 * 9 / total)))
    assert QUESTION in whole.inner_text()
    whole.get_by_role("link").click()
    expect(page.get_by_role("heading", name=QUESTION)).to_be_visible()


def test_a_study_shows_its_report_and_its_pictures(address, visit):
    page = visit(f"{address}#/studies/brightness")
    expect(page.get_by_role("region", name="Pictures by condition").locator("tbody tr")).to_have_count(2)
    report = page.frame_locator("iframe")
    expect(report.locator("h1")).to_contain_text("brightness")
    expect(report.locator("section > figure svg").first).to_be_visible()
    page.get_by_role("radio", name="Pictures").click()
    pictures = page.get_by_test_id("study-runs")
    expect(pictures.locator("figure")).to_have_count(48)
    assert pictures.locator("h2").first.inner_text() == "a toy 0"
    expect(pictures.locator("figure.failed")).to_contain_text("it broke")
    shown = pictures.locator("img").first
    # Decoding waits for the picture, and throws where there is none.
    assert shown.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") == 16
    assert shown.get_attribute("alt") == "guided, seed 0"
    pictures.get_by_role("button", name="More").click()
    expect(pictures.locator("figure")).to_have_count(2 * PROMPTS * SEEDS)


def test_a_study_that_goes_on_has_pictures_and_no_report_yet(address, visit):
    page = visit(f"{address}#/studies/begun")
    expect(page.get_by_test_id("study-runs").locator("figure")).to_have_count(10)
    expect(page.get_by_text("diffuscope study report begun")).to_be_visible()
    assert page.locator("iframe").count() == 0
    page.goto(f"{address}#/studies/nowhere")
    expect(page.get_by_text("No study is called nowhere.")).to_be_visible()


@pytest.mark.parametrize(("scheme", "size"), [("light", LAPTOP), ("dark", PHONE)], ids=["light", "dark"])
def test_axe_finds_nothing_and_nothing_sticks_out(address, visit, scheme, size):
    page = visit(f"{address}#/studies", color_scheme=scheme, viewport=size)
    expect(page.locator(".studies li")).to_have_count(2)
    assert axe(page) == []
    for study, there in (("brightness", "iframe"), ("begun", "[data-testid=study-runs] figure")):
        page.goto(f"{address}#/studies/{study}")
        expect(page.locator(there).first).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
