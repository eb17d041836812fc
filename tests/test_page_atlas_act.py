"""The atlas's other half in a real browser: heads and patches chosen, changed and drawn with the shipped model, heads
found, links that restore everything, the tour. One visit tells most of the story."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import numpy as np
import pytest
from browsing import LAPTOP, PHONE
from page_driver import Visits, build_page, server
from playwright.sync_api import Page, expect

import diffuscope as ds
from diffuscope.edits import PatchChoice
from diffuscope.edits import from_json as edits_of
from diffuscope.run import mask_region, parse_region

PROMPT = "a big red circle in the snow"
STEPS = 4
SLOW = 240_000  # a busy machine loads the model in a minute
GRIDS = ((16, 16), (8, 8), (4, 4))
GOES_ON = (
    "test_the_result_stands_beside_the_base_with_the_difference",
    "test_a_link_restores_the_whole_state_in_another_browser",
    "test_the_browser_keeps_the_layers_and_what_was_drawn",
    "test_hidden_layers_do_nothing",
)


def asked(address: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{address}{path}", data=data, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def drawn(address: str, **request: Any) -> dict[str, Any]:
    """Do a job; its result."""
    job = asked(address, "api/jobs", request)["id"]
    until = time.monotonic() + SLOW / 1000
    while time.monotonic() < until:
        state = asked(address, f"api/jobs/{job}")
        if state["state"] not in ("queued", "running"):
            assert state["state"] == "done", state
            result: dict[str, Any] = state["result"]
            return result
        time.sleep(0.2)
    raise AssertionError("the job did not end")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def address(folder):
    build_page()
    with server(folder) as found:
        yield found


@pytest.fixture(scope="module")
def base(address, folder) -> ds.Run:
    settings = {"kind": "record", "seed": 3, "steps": STEPS, "keep": "qk"}
    drawn(address, **settings, prompt="a big red ring in the snow")
    found = drawn(address, **settings, prompt=PROMPT)
    return ds.open(folder / found["runs"][0])


def shown(page: Page) -> Page:
    """The atlas is there, and its tiles are."""
    expect(page.get_by_test_id("atlas")).to_be_visible(timeout=SLOW)
    page.wait_for_function(
        "() => document.querySelector('[data-testid=atlas]').dataset.loading === undefined"
    )
    return page


@pytest.fixture(scope="module")
def page(browser, address, base):
    visits = Visits(browser)
    # Calm, so that cells and camera are at once where they belong.
    yield shown(visits.open(f"{address}#/atlas/{base.id}?select=word=circle", reduced_motion="reduce"))
    # The browser notes what was asked in vain: a word that is not there, and the worker while it loads the model.
    visits.wrong[:] = [line for line in visits.wrong if "503" not in line and "/pick" not in line]
    visits.close()


@pytest.fixture(autouse=True)
def afresh(request):
    """Each test begins with one empty layer, unless it goes on with the layers of the one before."""
    if "page" not in request.fixturenames or request.node.name in GOES_ON:
        return
    page = request.getfixturevalue("page")
    panel(page, "Select")
    if page.get_by_role("button", name="Start afresh").is_visible():
        page.get_by_role("button", name="Start afresh").click()
    tool(page, "Move")


def panel(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def tool(page: Page, name: str) -> None:
    page.locator(".act-bar").get_by_role("button", name=name, exact=True).click()


def cell_box(page: Page, cell: str) -> dict[str, float]:
    """Where a cell lies on the screen: the ring of the cursor, which the address puts there."""
    page.wait_for_timeout(400)  # the address follows the layers
    there = re.sub(r"&(cursor|camera)=[^&]*", "", page.url) + f"&cursor={cell}"
    page.evaluate("there => { location.href = there; }", there)
    site, _, head = cell.rpartition("/")
    expect(page.get_by_test_id("atlas-told")).to_contain_text(f"{site}, head {head}")
    before = None
    for _ in range(50):  # the ring follows at a frame
        page.wait_for_timeout(120)
        box = page.locator(".atlas-ring").bounding_box()
        if box is not None and box == before:
            return {name: float(value) for name, value in box.items()}
        before = box
    raise AssertionError(f"the cursor's ring did not come to {cell}")


def middle(box: dict[str, float], x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def heads(page: Page) -> list[str]:
    """The chosen heads, as the panel lists them."""
    return page.get_by_test_id("heads").evaluate(
        """node => [...node.querySelectorAll("li")].flatMap(row => { const [site, ...heads] = row.children;
          return [...heads].map(head => `${site.textContent}/${head.textContent}`); })"""
    )


def shares(page: Page, grid: tuple[int, int]) -> np.ndarray:
    """What the page shows of a grid: the share of each patch that is chosen, `[y, x]`, in steps of 1/255."""
    canvas = page.locator(f".mapped canvas[data-grid='{grid[0]}x{grid[1]}']")
    values = canvas.evaluate(
        """node => { const { width, height } = node;
          const copy = new OffscreenCanvas(width, height).getContext("2d");
          copy.drawImage(node, 0, 0);
          return [...copy.getImageData(0, 0, width, height).data].filter((_, i) => i % 4 === 3); }"""
    )
    return np.array(values, float).reshape(grid) / 255


def engine_shares(patches: PatchChoice, size: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """How far the engine edits each patch of a grid."""
    from diffuscope.engine.apply.places import _cover

    found = _cover(patches, size, grid).numpy()
    plane = patches.grid or size
    region = mask_region(patches.levels(), plane) if patches.png else parse_region(patches.region, plane)
    np.testing.assert_array_equal(found, region.cover(grid))
    return found


def stroke(page: Page, target: Any, points: list[tuple[float, float]], **mouse: Any) -> None:
    """Press at the first point, in shares of the target's box, and drag over the others."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def work(page: Page) -> str:
    """The layers in the address, once they rest there."""
    page.wait_for_timeout(450)
    found = re.search(r"[?&]layers=([^&]*)", page.url)
    return unquote_plus(found[1]) if found else ""


def test_heads_are_chosen_by_click_column_row_rectangle_and_name(page, base):
    tool(page, "Heads")
    one = cell_box(page, "cross:up.2.0/1")
    page.mouse.click(*middle(one))
    assert heads(page) == ["cross:up.2.0/1"]
    page.mouse.click(*middle(one))
    assert heads(page) == []
    page.keyboard.down("Shift")
    page.mouse.click(*middle(one))
    page.keyboard.up("Shift")
    column = [f"cross:up.2.0/{head}" for head in range(4)]
    assert heads(page) == column
    page.get_by_role("button", name="Take cross:up.2.0/2 away").click()
    assert heads(page) == [column[0], column[1], column[3]]
    page.get_by_role("button", name="Every head", exact=True).click()
    page.keyboard.down("Alt")
    page.mouse.click(*middle(one))
    page.keyboard.up("Alt")
    row = heads(page)
    sites = [site.name for site in base.sites if site.kind == "cross" and site.heads > 1]
    assert row == [f"{site}/1" for site in sites]
    page.get_by_role("button", name="Every head", exact=True).click()
    # From the middle of one head to the middle of another: both, and whatever lies between.
    other = cell_box(page, "cross:up.2.1/2")
    (x0, y0), (x1, y1) = middle(one, 0.2, 0.2), middle(other, 0.8, 0.8)
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=5)
    page.mouse.up()
    assert {"cross:up.2.0/1", "cross:up.2.0/2", "cross:up.2.1/1", "cross:up.2.1/2"} <= set(heads(page))
    field = page.get_by_label("Heads by name")
    for query, expected in (
        ("cross:up.2.*/0,2:4", [f"cross:up.2.{place}/{head}" for place in (0, 1) for head in (0, 2, 3)]),
        ("- cross:up.2.1", [f"cross:up.2.0/{head}" for head in (0, 2, 3)]),
        ("+ cross:mid/7", ["cross:mid/7", *(f"cross:up.2.0/{head}" for head in (0, 2, 3))]),
    ):
        field.fill(query)
        page.get_by_role("button", name="Choose", exact=True).click()
        expect(page.get_by_test_id("heads").get_by_role("button")).to_have_count(len(expected))
        assert sorted(heads(page)) == sorted(expected)
    field.fill("top 3 for 'circle'")
    page.get_by_role("button", name="Choose", exact=True).click()
    expect(page.get_by_test_id("heads").get_by_role("button")).to_have_count(3)
    masses = {
        f"{site.name}/{head}": float(base.word("circle").map(sites=site.name, heads=head).array.mean())
        for site in base.sites
        if site.kind == "cross"
        for head in range(site.heads)
    }
    assert set(heads(page)) == set(sorted(masses, key=masses.__getitem__, reverse=True)[:3])
    field.fill("top 3 for 'elephant'")
    page.get_by_role("button", name="Choose", exact=True).click()
    expect(page.locator(".inspector .notice")).to_contain_text("elephant")


def test_patches_are_painted_erased_boxed_lassoed_inverted_and_cleared(page):
    paint = page.get_by_test_id("paint")
    tool(page, "Box")
    stroke(page, paint, [(0.2505, 0.2505), (0.655, 0.655)])
    fine = shares(page, (16, 16))
    np.testing.assert_allclose(fine[4:10, 4:10], 1)
    assert fine[:4].max() == 0 and fine[11:].max() == 0 and 0 < fine[10, 5] < 1
    np.testing.assert_allclose(shares(page, (4, 4))[1, 1], 1, atol=1 / 255)
    tool(page, "Eraser")
    stroke(page, paint, [(0.4, 0.2), (0.4, 0.7)])
    erased = shares(page, (16, 16))
    assert np.all(erased <= fine + 1 / 255) and erased.sum() < fine.sum() - 5
    tool(page, "Brush")
    stroke(page, paint, [(0.9, 0.1), (0.9, 0.5), (0.7, 0.5)])
    brushed = shares(page, (16, 16))
    assert min(brushed[2:8, 14].min(), brushed[7, 12:14].min()) > 0.6 and brushed[2, 2] == 0
    tool(page, "Lasso")
    stroke(page, paint, [(0.05, 0.6), (0.45, 0.6), (0.45, 0.95), (0.05, 0.95)])
    looped = shares(page, (16, 16))
    np.testing.assert_allclose(looped[10:15, 1:7], 1)
    page.get_by_role("button", name="Invert", exact=True).last.click()
    np.testing.assert_allclose(shares(page, (16, 16)), 1 - looped, atol=1.01 / 255)
    # Everything that was done is taken back, and done again.
    before = work(page)
    states = [looped, brushed, erased, fine]
    for state in states:
        page.keyboard.press("Control+z")
        np.testing.assert_array_equal(shares(page, (16, 16)), state)
    page.locator(".act-bar").get_by_role("button", name="Undo: box").click()
    np.testing.assert_array_equal(shares(page, (16, 16)), 1)
    for state in reversed(states):
        page.locator(".act-bar").get_by_role("button", name="Redo").click()
        np.testing.assert_array_equal(shares(page, (16, 16)), state)
    page.keyboard.press("Control+Shift+z")
    assert work(page) == before
    page.get_by_role("button", name="Clear", exact=True).click()
    assert shares(page, (16, 16)).max() == 0
    page.get_by_role("button", name="All", exact=True).click()
    assert shares(page, (4, 4)).min() == 1


def test_patches_are_painted_by_keyboard(page):
    paint = page.get_by_test_id("paint")
    tool(page, "Brush")
    paint.focus()
    for _ in range(20):
        page.keyboard.press("[")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator(".painter-place")).to_have_text("column 9, row 7, chosen")
    expected = np.zeros((16, 16))
    expected[8, 8] = expected[7, 9] = 1
    np.testing.assert_array_equal(shares(page, (16, 16)), expected)
    page.keyboard.press("Delete")
    expected[7, 9] = 0
    np.testing.assert_array_equal(shares(page, (16, 16)), expected)
    tool(page, "Box")
    paint.focus()
    page.keyboard.press("Enter")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expected[7:9, 9:12] = 1
    np.testing.assert_array_equal(shares(page, (16, 16)), expected)
    # On a head of the atlas: into it by Enter, then the same keys.
    tool(page, "Brush")
    cell_box(page, "cross:mid/2")
    page.get_by_test_id("atlas").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert shares(page, (4, 4))[2, 2] == 1
    page.get_by_test_id("atlas").press("Escape")


def test_what_is_painted_on_a_head_is_on_its_own_grid(page):
    tool(page, "Brush")
    box = cell_box(page, "cross:down.2.0/1")
    page.mouse.move(*middle(box, 0.4, 0.4))
    page.mouse.down()
    page.mouse.move(*middle(box, 0.6, 0.4), steps=3)
    page.mouse.up()
    coarse = shares(page, (4, 4))
    assert set(np.unique(coarse)) == {0, 1} and coarse[1, 1] == coarse[1, 2] == 1
    np.testing.assert_array_equal(shares(page, (16, 16)), np.kron(coarse, np.ones((4, 4))))


def test_the_masks_shown_are_those_that_the_engine_applies(page, folder, base):
    """Two layers, one painted on the picture and one on a head's grid, each with heads and steps of its own."""
    paint = page.get_by_test_id("paint")
    page.get_by_label("Name of the layer").fill("hole")
    page.get_by_label("Heads by name").fill("cross:up.2.*/0:2; cross:mid/5")
    page.get_by_role("button", name="Choose", exact=True).click()
    tool(page, "Brush")
    stroke(page, paint, [(0.31, 0.42), (0.55, 0.61), (0.66, 0.38)])
    on_picture = {grid: shares(page, grid) for grid in GRIDS}
    assert any(0 < share < 1 for share in on_picture[(16, 16)].flat)
    panel(page, "Change")
    page.get_by_label("Text to encode").fill("a big red ring in the snow")
    panel(page, "Select")
    page.get_by_role("button", name="New layer").click()
    tool(page, "Brush")
    box = cell_box(page, "cross:up.1.0/3")
    page.mouse.move(*middle(box, 0.2, 0.3))
    page.mouse.down()
    page.mouse.move(*middle(box, 0.7, 0.6), steps=4)
    page.mouse.up()
    on_head = {grid: shares(page, grid) for grid in GRIDS}
    assert set(np.unique(on_head[(8, 8)])) == {0, 1}
    panel(page, "Change")
    page.get_by_role("radio", name="Scale").click()
    page.get_by_role("slider", name="Factor").press("Home")
    lane = page.locator(".layer-lanes [data-testid=window]").nth(1)
    stroke(page, lane, [(2.5 / STEPS, 0.5), (3.5 / STEPS, 0.5)])
    expect(page.get_by_test_id("says").locator("p")).to_have_count(3)
    before = work(page)
    page.get_by_test_id("draw").click()
    expect(page.get_by_test_id("result").locator(".compare-panes img").nth(1)).to_be_visible(timeout=SLOW)
    # The layers outlive the drawing; what is drawn joins them.
    made = re.search(r"result=([^|]+)", work(page))[1]
    assert work(page) == f"now=1|result={made}|" + before.partition("|")[2]
    edits = edits_of(ds.open(folder / made).manifest.model_dump()["edits"])
    first, second, third = edits
    assert [(each.kind, each.sites, each.heads, each.steps) for each in edits] == [
        ("encode", "cross:mid", "5", "all"),
        ("encode", "cross:up.2.0,cross:up.2.1", "0:2", "all"),
        ("scale", "all", "all", "2:4"),
    ]
    assert third.factor == -2 and first.text == "a big red ring in the snow"
    size = (base.image.height, base.image.width)
    for edit, seen in ((first, on_picture), (second, on_picture), (third, on_head)):
        for grid in GRIDS:
            np.testing.assert_allclose(seen[grid], engine_shares(edit.patches, size, grid), atol=0.51 / 255)


def test_the_result_stands_beside_the_base_with_the_difference(page):
    result = page.get_by_test_id("result")
    expect(result.get_by_test_id("change")).to_contain_text("mean ΔE", timeout=SLOW)
    for mode in ("Difference", "Slider", "Side by side"):
        result.get_by_role("radio", name=mode).click()
        expect(result.locator(".compare-panes img").first).to_be_visible()
    expect(page.get_by_test_id("history").locator("li")).to_have_count(1)


def test_a_link_restores_the_whole_state_in_another_browser(page, browser, address):
    panel(page, "Select")
    page.get_by_role("button", name="Copy link").click()
    link = page.get_by_test_id("link").input_value()
    here = {grid: shares(page, grid) for grid in GRIDS}
    visits = Visits(browser)
    other = shown(visits.open(link))
    assert work(other) == work(page)
    panel(other, "Select")
    assert other.locator(".layer b").all_inner_texts() == ["hole", "Layer 2"]
    for grid in GRIDS:
        np.testing.assert_array_equal(shares(other, grid), here[grid])
    other.locator(".layer").first.click()
    assert heads(other) == [
        "cross:mid/5",
        *(f"cross:up.2.{place}/{head}" for place in (0, 1) for head in (0, 1)),
    ]
    panel(other, "Change")
    assert other.get_by_label("Text to encode").input_value() == "a big red ring in the snow"
    expect(other.get_by_test_id("result").locator(".compare-panes img").nth(1)).to_be_visible(timeout=SLOW)
    visits.close()


def test_the_browser_keeps_the_layers_and_what_was_drawn(page, address, base):
    before = work(page)
    page.goto(f"{address}#/")
    expect(page.locator(".card").first).to_be_visible()
    page.goto(f"{address}#/atlas/{base.id}")
    page.reload()
    shown(page)
    assert work(page) == before
    panel(page, "Change")
    page.get_by_role("button", name="Put away").click()
    page.get_by_test_id("history").get_by_role("button").first.click()
    expect(page.get_by_test_id("result").locator("img").first).to_be_visible(timeout=SLOW)


def test_hidden_layers_do_nothing(page):
    panel(page, "Select")
    for name in ("hole", "Layer 2"):
        page.get_by_label(f"Show and apply {name}").click()
    panel(page, "Change")
    expect(page.get_by_test_id("says")).to_contain_text("No layer is shown")
    expect(page.get_by_test_id("draw")).to_be_disabled()


def test_heads_can_put_out_what_they_do_in_another_run_and_words_are_silenced(page, folder):
    panel(page, "Change")
    page.get_by_role("radio", name="Silence").click()
    expect(page.get_by_test_id("says")).to_contain_text("choose a word")
    page.get_by_label("Word", exact=True).select_option("circle")
    expect(page.get_by_test_id("says")).to_contain_text("circle")
    page.get_by_role("radio", name="Patch").click()
    donors = page.get_by_label("Recording to take it from")
    assert donors.locator("option").all_inner_texts()[1:] == ["a big red ring in the snow, seed 3"]
    donors.select_option(index=1)
    page.get_by_label("First step").select_option("1")
    page.get_by_test_id("draw").click()
    expect(page.get_by_test_id("result").locator(".compare-panes img").nth(1)).to_be_visible(timeout=SLOW)
    made = re.search(r"result=([^|]+)", work(page))[1]
    (edit,) = ds.open(folder / made).manifest.model_dump()["edits"]
    assert edit["edit"] == "patch" and edit["steps"] == f"1:{STEPS}" and "ring" in edit["donor"]


def test_a_strip_of_strengths_is_drawn_at_once(page):
    panel(page, "Change")
    page.get_by_label("Text to encode").fill("a big blue circle in the snow")
    page.get_by_label("Strengths, 1 is as set above").fill("0, 1, oops")
    expect(page.get_by_role("button", name="Draw the strip")).to_be_disabled()
    page.get_by_label("Strengths, 1 is as set above").fill("0, 0.5, 1")
    page.get_by_role("button", name="Draw the strip").click()
    strip = page.get_by_test_id("strip")
    expect(strip.locator("li")).to_have_count(3, timeout=SLOW)
    changes = [
        float(text.split()[-1].replace("–", "0")) for text in strip.locator("li .hint").all_inner_texts()
    ]
    assert changes[0] == 0 and changes[2] > changes[1] > 0


def test_a_search_fills_in_and_leads_to_the_head(page, base):
    panel(page, "Find")
    page.get_by_label("Seeds").fill("2")
    page.get_by_test_id("search").click()
    rows = page.get_by_test_id("effects").locator("li")
    expect(rows.first).to_be_visible(timeout=SLOW)
    expect(page.get_by_test_id("find-state")).to_have_count(0, timeout=SLOW)
    finest = [site for site in base.sites if site.kind == "cross" and tuple(site.grid) == (16, 16)]
    expect(rows).to_have_count(sum(site.heads for site in finest))
    told = [row.get_attribute("title") for row in rows.get_by_role("button").all()]
    effects = [float(re.search(r": ([\d.e-]+), 95%", text)[1]) for text in told]
    assert effects == sorted(effects, reverse=True) and all("2 seeds" in text for text in told)
    best = rows.first.locator(".mono").inner_text()
    rows.first.get_by_role("button").click()
    expect(page.get_by_test_id("atlas-told")).to_contain_text(best.rpartition("/")[0])
    page.get_by_role("button", name="Choose the best 5").click()
    panel(page, "Select")
    assert len(heads(page)) == 5 and best in heads(page)


def test_a_painted_region_is_searched_too(page):
    tool(page, "Box")
    stroke(page, page.get_by_test_id("paint"), [(0.3, 0.3), (0.7, 0.7)])
    panel(page, "Find")
    page.get_by_role("radio", name="the patches painted").click()
    page.get_by_test_id("search").click()
    page.get_by_role("button", name="Stop").click(timeout=SLOW)
    expect(page.get_by_test_id("find-state")).to_have_count(0, timeout=SLOW)


def test_the_tour_is_walked_to_its_end(browser, address, base, folder):
    """By its own buttons alone: it draws its recording, searches heads, and draws the change."""
    visits = Visits(browser)
    page = shown(visits.open(f"{address}#/atlas/{base.id}"))
    page.get_by_role("button", name="Take the tour").click()
    tour = page.get_by_test_id("tour")
    expect(tour).to_contain_text("circle", timeout=SLOW)
    titles = []
    for place in range(1, 9):
        expect(tour).to_contain_text(f"Tour, {place} of 8", timeout=SLOW)
        titles.append(tour.locator("h2").inner_text())
        act = tour.get_by_role("button", name="Do it for me")
        if place < 8 and act.is_visible():
            act.click()
            expect(act).to_have_count(0, timeout=SLOW)
            expect(tour.get_by_role("button", name="Working")).to_have_count(0, timeout=SLOW)
        if place < 8:
            expect(tour.get_by_role("button", name="Next")).to_be_enabled(timeout=SLOW)
            tour.get_by_role("button", name="Next").click()
    assert len(set(titles)) == 8
    expect(page.get_by_test_id("result").locator(".compare-panes img").nth(1)).to_be_visible(timeout=SLOW)
    made = ds.open(folder / re.search(r"result=([^|]+)", work(page))[1])
    (*edits,) = edits_of(made.manifest.model_dump()["edits"])
    assert made.prompt == PROMPT and all(each.kind == "encode" and each.patches for each in edits)
    tour.get_by_role("button", name="End the tour").last.click()
    expect(tour).to_have_count(0)
    visits.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["wide", "narrow"])
def test_axe_finds_nothing_and_nothing_sticks_out(browser, address, base, scheme, size):
    from axe_playwright_python.sync_playwright import Axe

    layers = "hole~~cross:up.2.0(0:3)~16x16.3k.4.c.4.c.4~1:4~encode(1):ring|b~~~~~scale(0)"
    visits = Visits(browser)
    page = shown(
        visits.open(f"{address}#/atlas/{base.id}?layers={layers}", color_scheme=scheme, viewport=size)
    )
    for name in ("Select", "Change", "Find"):
        panel(page, name)
        page.wait_for_load_state("networkidle")
        found = Axe().run(page).response["violations"]
        assert [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in found] == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
    page.get_by_role("button", name="Take the tour").click()
    expect(page.get_by_test_id("tour")).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in found] == []
    visits.close()
