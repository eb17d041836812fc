"""The page with a model behind it: record, ask for a concept, steer, compare, in a real browser on the drawn world."""

import re
from pathlib import Path
from urllib.parse import unquote_plus

import pytest
from browsing import LAPTOP, PHONE
from page_driver import Visits, axe, build_page, server
from playwright.sync_api import Page, expect

import diffuscope as ds
from diffuscope.selection import Selection

STEPS = 5
SLOW = 600_000  # a busy machine takes its time; nothing here is about it


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def page(browser, folder):
    """One visit for the whole story: each test goes on where the one before ended."""
    build_page()
    with server(folder) as address:
        visits = Visits(browser)
        opened = visits.open(f"{address}#/record")
        yield opened
        # While the model is loaded for the first time the token split is told to wait; the browser notes that.
        visits.wrong[:] = [line for line in visits.wrong if "503" not in line]
        visits.close()


def sizes(page: Page) -> dict[str, float]:
    """What the form says that each keep level takes, in bytes."""
    rows = page.locator(".size-levels dd").all_inner_texts()
    units = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
    values = [float(number) * units[unit] for number, unit in (row.split() for row in rows)]
    return dict(zip(("maps", "cross", "qk"), values, strict=True))


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
    told = page.get_by_test_id("estimate")
    expect(told.get_by_role("status")).to_contain_text("on disk", timeout=SLOW)
    before = sizes(page)
    page.get_by_label("Steps", exact=True).fill(str(STEPS))
    # The model has been looked at once: from here on sizes are worked out, in steps' proportion.
    page.wait_for_function(
        "megabytes => parseFloat(document.querySelector('.size-levels .now dd').innerText) < megabytes / 2",
        arg=before["qk"] / 1e6,
        timeout=SLOW,
    )
    after = sizes(page)
    assert 0.15 < after["qk"] / before["qk"] < 0.35  # 5 of 25 steps, and what comes once
    page.get_by_role("button", name="Draw and record").click()
    expect(page.get_by_test_id("job-state")).to_contain_text(
        re.compile(rf"Step \d of {STEPS}|Done"), timeout=SLOW
    )
    page.wait_for_url("**/#/run/**", timeout=SLOW)
    expect(page.get_by_test_id("mass")).not_to_be_empty(timeout=SLOW)
    run = run_of(page, folder)
    assert run.complete and len(run.steps) == STEPS and run.manifest.sampling.seed == 7
    assert run.manifest.keep.level == "qk"
    taken = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    assert taken == pytest.approx(after["qk"], rel=0.2)
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


def test_objects_are_outlined_over_the_picture(page, folder):
    found = run_of(page, folder).objects()
    page.get_by_role("tab", name="Objects").click()
    rows = page.locator(".inspector .sentence")
    expect(rows).to_have_count(len(found), timeout=SLOW)
    page.get_by_label("outlines on the picture").check()
    shapes = page.get_by_test_id("objects").last
    expect(shapes.locator("rect")).to_have_count(len(found))
    for row, shape, one in zip(rows.all(), shapes.locator("rect").all(), found, strict=True):
        assert one.text in row.inner_text()
        box = [float(shape.get_attribute(name)) for name in ("x", "y", "width", "height")]
        assert box == pytest.approx(list(one.facts()["box"]))
    assert axe(page) == []
    page.get_by_label("outlines on the picture").uncheck()
    expect(page.get_by_test_id("objects")).to_have_count(0)


def test_a_sentence_shows_its_evidence_and_leads_to_it(page, folder):
    page.get_by_role("tab", name="Explain").click()
    told = page.get_by_test_id("explanation")
    expect(told.get_by_role("heading", name="Setup")).to_be_visible(timeout=SLOW)
    assert {"Setup", "Insight"} <= set(told.get_by_role("heading").all_inner_texts())
    now = page.get_by_test_id("map").get_attribute("aria-label")
    cited = told.locator("button.sentence")
    expect(cited.first).to_be_visible()
    for sentence in cited.all():
        sentence.hover()
        page.wait_for_timeout(50)
        if page.get_by_test_id("map").get_attribute("aria-label") != now:
            break
    else:
        pytest.fail("no sentence shows anything else")
    address = page.url
    page.mouse.move(5, 5)
    expect(page.get_by_test_id("map")).to_have_attribute("aria-label", now)
    assert page.url == address  # Pointing leaves no trace.
    sentence.click()
    expect(page.get_by_test_id("map")).not_to_have_attribute("aria-label", now)
    selection = re.match(r"Shows: ([^·]+)", sentence.get_attribute("title"))[1].strip()
    expect(page).to_have_url(re.compile("select="))
    shown = Selection.parse(unquote_plus(re.search(r"select=([^&]+)", page.url)[1]))
    assert shown == Selection.parse(selection)
    assert axe(page) == []


def test_a_link_opens_what_was_seen(page):
    page.get_by_role("tab", name="Read").click()
    other = page.context.browser.new_context(viewport=LAPTOP)
    there = other.new_page()
    there.goto(page.url)
    label = page.get_by_test_id("map").get_attribute("aria-label")
    expect(there.get_by_test_id("map")).to_have_attribute("aria-label", label, timeout=SLOW)
    expect(there.get_by_test_id("selection")).to_have_text(page.get_by_test_id("selection").inner_text())
    other.close()


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["wide", "narrow"])
def test_axe_finds_nothing_in_a_comparison(page, scheme, size):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(size)
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    page.set_viewport_size(LAPTOP)


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


def test_jobs_are_seen_from_everywhere_wait_their_turn_and_are_cancelled(page, folder):
    for prompt, steps in (("a green house", 200), ("a yellow moon", 3)):
        page.get_by_role("link", name="New recording").first.click()
        page.get_by_label("Prompt", exact=True).fill(prompt)
        page.get_by_label("Steps", exact=True).fill(str(steps))
        if steps > 3:
            page.get_by_role("button", name="Draw and record").click()
            expect(page.get_by_test_id("job-state")).to_contain_text("Step", timeout=SLOW)
        else:
            # The first goes on while one looks elsewhere, and a second visitor orders another.
            body = {"kind": "record", "prompt": prompt, "steps": steps}
            assert page.request.post(re.sub(r"#.*", "api/jobs", page.url), data=body).status == 202
        page.get_by_role("link", name="Gallery").click()
    page.get_by_role("button", name=re.compile("Jobs")).click()
    drawer = page.get_by_test_id("jobs")
    running = drawer.get_by_role("region", name="At work").get_by_test_id("job")
    waiting = drawer.get_by_role("region", name="Waiting").get_by_test_id("job")
    expect(running).to_have_count(1)
    expect(running).to_contain_text("a green house")
    expect(waiting).to_contain_text("a yellow moon")
    expect(waiting).to_contain_text("Next in the queue")
    expect(running.get_by_role("progressbar")).not_to_have_attribute("aria-valuenow", "0", timeout=SLOW)
    expect(page.get_by_test_id("jobs-busy")).to_have_text("2")
    over = drawer.get_by_role("region", name="Over").get_by_test_id("job")
    expect(over.filter(has_text="Edit: steer")).to_contain_text("Done at")
    assert axe(page) == []
    waiting.get_by_role("button", name="Cancel").click()
    expect(over.filter(has_text="a yellow moon")).to_contain_text("Cancelled at")
    # Back to the form: it shows the drawing that goes on, and stops it.
    running.get_by_role("button", name="Watch").click()
    expect(page.get_by_test_id("job-state")).to_contain_text("Step", timeout=SLOW)
    page.get_by_test_id("live").get_by_role("button", name="Cancel").click()
    expect(page.get_by_test_id("job-state")).to_contain_text("Cancelled", timeout=SLOW)
    expect(page.get_by_test_id("jobs-busy")).to_have_count(0)


def test_what_fails_says_why(page):
    page.get_by_role("link", name="New recording").first.click()
    page.get_by_label("Prompt", exact=True).fill("a red circle")
    page.get_by_label("Steps", exact=True).fill("3")
    page.get_by_text("More settings").click()
    page.get_by_label("Width").fill("20")
    page.get_by_role("button", name="Draw and record").click()
    expect(page.get_by_test_id("job-state")).to_contain_text("Failed", timeout=SLOW)
    page.get_by_role("button", name=re.compile("Jobs")).click()
    job = page.get_by_test_id("jobs").get_by_role("region", name="Over").get_by_test_id("job").first
    expect(job.locator(".notice")).to_contain_text("20")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("jobs")).to_have_count(0)


def test_a_words_map_is_put_to_the_test(page, folder):
    # Of few steps: the test draws it some twenty times.
    jobs = re.sub(r"#.*", "api/jobs", page.url)
    body = {"kind": "record", "prompt": "a red circle", "steps": 2, "seed": 3, "keep": "cross"}
    job = page.request.post(jobs, data=body).json()["id"]
    while (found := page.request.get(f"{jobs}/{job}").json())["state"] in ("queued", "running"):
        page.wait_for_timeout(200)
    made = found["result"]["runs"][0]
    page.goto(re.sub(r"#.*", f"#/run/{made}", page.url))
    panel = page.get_by_test_id("faithful")
    panel.get_by_role("button", name="Test it").click()
    expect(page.locator(".prompt-foot").get_by_role("status")).to_contain_text("Testing “circle”")
    verdict = panel.locator(".verdict-said b")
    expect(verdict).to_be_visible(timeout=SLOW)
    found = ds.open(folder / made).faithfulness("circle")
    assert verdict.inner_text() == found.verdict
    expect(panel).to_contain_text(found.sentence())
    chip = page.locator(".chip", has_text="circle")
    expect(chip).to_have_attribute("title", f"map tested: {found.verdict}")
    expect(chip.locator(".verdict")).to_have_count(1)
    # Testing all words begins with the next one that says something, and can be stopped.
    page.get_by_role("button", name="Test the other 2 words").click()
    expect(page.locator(".prompt-foot").get_by_role("status")).to_contain_text("Testing “red”, 1 to go")
    page.get_by_role("button", name="Stop testing").click()
    expect(page.get_by_role("button", name="Test the other 2 words")).to_be_visible(timeout=SLOW)
