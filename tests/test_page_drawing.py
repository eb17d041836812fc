"""The page with a model behind it: record, ask for a concept, steer, compare, in a real browser on the drawn world."""

import re
from pathlib import Path

import pytest
from page_driver import QUIET, Visits, build_page, chromium, server
from playwright.sync_api import Page, expect, sync_playwright

import diffuscope as ds

STEPS = 5
SLOW = 240_000  # a busy machine loads the model in a minute


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def page(folder):
    """One visit for the whole story: each test goes on where the one before ended."""
    build_page()
    with server(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
        visits = Visits(browser)
        opened = visits.open(f"{address}#/record")
        yield opened
        # While the model is loaded for the first time the token split is told to wait; the browser notes that.
        visits.wrong[:] = [line for line in visits.wrong if "503" not in line]
        visits.close()
        browser.close()


def run_of(page: Page, folder: Path) -> ds.Run:
    found = re.search(r"#/run/([^?]+)", page.url)
    assert found is not None
    return ds.open(folder / found[1])


def test_a_recording_is_drawn_while_one_watches(page, folder):
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.fill("a red cirlce left of a blue square")
    expect(page.get_by_test_id("split").locator(".notice")).to_contain_text("cirlce", timeout=SLOW)
    prompt.fill("a red circle left of a blue square")
    expect(page.get_by_test_id("split").locator(".notice")).to_have_count(0, timeout=SLOW)
    assert page.get_by_test_id("split").locator(".token").all_inner_texts()[:3] == ["a", "red", "circle"]
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_label("Steps", exact=True).fill(str(STEPS))
    page.get_by_role("button", name="Draw and record").click()
    expect(page.get_by_test_id("job-state")).to_contain_text(
        re.compile(rf"Step \d of {STEPS}|Done"), timeout=SLOW
    )
    page.wait_for_url("**/#/run/**", timeout=SLOW)
    expect(page.get_by_test_id("mass")).not_to_be_empty(timeout=SLOW)
    run = run_of(page, folder)
    assert run.complete and len(run.steps) == STEPS and run.manifest.sampling.seed == 7
    shown = float(re.match(r"[\d.e-]+", page.get_by_test_id("mass").inner_text())[0])
    label = page.locator("#reading-word").inner_text()
    assert shown == pytest.approx(run.word(label).map().mean, rel=6e-3)


def test_a_word_that_is_not_in_the_prompt_is_looked_for(page, folder):
    page.get_by_role("tab", name="Ask").click()
    page.get_by_label("Look for a word that is not in the prompt").fill("house")
    page.get_by_role("button", name="Look", exact=True).click()
    expect(page.get_by_test_id("asked")).to_have_text("house", timeout=SLOW)
    page.get_by_role("tab", name="Read").click()
    expect(page.get_by_test_id("selection")).to_have_text("concept=house")
    run = run_of(page, folder)
    expected = run.concept("house").map()
    y, x = expected.peak
    expect(page.get_by_test_id("numbers")).to_contain_text(f"column {x}, row {y}", timeout=SLOW)


def test_an_edit_is_made_on_the_timeline_and_compared(page, folder):
    run = run_of(page, folder)
    page.goto(re.sub(r"#.*", f"#/edit/{run.id}", page.url))
    page.get_by_role("radio", name="Steer").click()
    page.get_by_label("Word", exact=True).select_option("circle")
    page.get_by_label("Toward").fill("triangle")
    page.get_by_role("slider", name="Strength").press("End")
    window = page.get_by_test_id("window")
    window.scroll_into_view_if_needed()
    box = window.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5 / STEPS, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 2.5 / STEPS, box["y"] + 8, steps=3)
    page.mouse.up()
    expect(page.get_by_test_id("says")).to_contain_text("triangle", timeout=SLOW)
    page.get_by_role("button", name="Draw it").click()
    page.wait_for_url("**/#/compare/**", timeout=SLOW)
    _, other = re.search(r"compare/([^/]+)/([^?]+)", page.url).groups()
    edited = ds.open(folder / other)
    (edit,) = edited.manifest.model_dump()["edits"]
    assert edit["edit"] == "steer" and edit["toward"] == "triangle" and edit["steps"] == "0:3"
    control = re.search(r"control=([^&]+)", page.url)[1]
    assert ds.open(folder / control).complete
    expect(page.locator(".compare-panes .pane")).to_have_count(3, timeout=SLOW)
    expect(page.get_by_test_id("change")).to_contain_text("mean ΔE", timeout=SLOW)


@pytest.mark.parametrize("mode", ["Slider", "Difference", "Flicker", "Side by side"])
def test_two_pictures_are_compared_in_four_ways(page, mode):
    page.get_by_role("radio", name=mode).click()
    expect(page.locator(".compare-panes img").first).to_be_visible()
    if mode == "Difference":
        expect(page.get_by_text("2.3 is just noticed")).to_be_visible(timeout=SLOW)
    if mode == "Slider":
        page.get_by_role("slider", name="Where the two pictures meet").press("Home")
        assert (
            page.locator(".compare-panes img").nth(1).evaluate("node => node.style.clipPath")
            == "inset(0px 0px 0px 0%)"
        )


def test_the_gallery_shows_the_tree_and_takes_a_deletion_back(page, folder):
    page.get_by_role("link", name="Gallery").click()
    before = sorted(path.name for path in folder.glob("2*"))
    page.get_by_role("radio", name="Tree of edits").click()
    expect(page.locator(".branches .branches .card")).to_have_count(2, timeout=SLOW)
    page.get_by_role("radio", name="Pictures").click()
    page.locator(".card-delete").first.click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible(timeout=SLOW)
    expect(page.locator(".card")).to_have_count(len(before) - 1)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".card")).to_have_count(len(before), timeout=SLOW)
    assert sorted(path.name for path in folder.glob("2*")) == before


def test_a_drawing_is_cancelled(page, folder):
    page.get_by_role("link", name="New recording").first.click()
    page.get_by_label("Prompt", exact=True).fill("a green house")
    page.get_by_label("Steps", exact=True).fill("150")
    page.get_by_role("button", name="Draw and record").click()
    expect(page.get_by_test_id("job-state")).to_contain_text("Step", timeout=SLOW)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_test_id("job-state")).to_contain_text("Cancelled", timeout=SLOW)
