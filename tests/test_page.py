"""The web page in a real browser against the real server: read-outs first, pixels where they say more.

The runs are small ones of known attention (`synthetic_run`), so that every number on the page has an expected value.
What needs a model is in `test_page_drawing.py`.
"""

import json
import re
from pathlib import Path
from urllib.parse import unquote_plus

import numpy as np
import pytest
from browsing import LAPTOP, NASTY, PHONE, WIDE
from page_driver import Visits, axe, build_page, folder_site, server
from playwright.sync_api import Page, expect
from synthetic_run import Layout, layouts, make_run

import diffuscope as ds
from diffuscope.maps.colormap import DisplayScale
from diffuscope.run import Run
from diffuscope.selection import Selection

STEPS = 6


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    sites = [*layouts(self_sites=True), Layout("self:up.0.0", (16, 16), 3, 16, kind="self")]
    make_run(folder / "whole", steps=STEPS, level="qk", sites=sites)
    make_run(folder / "nasty", prompt=NASTY, steps=2, length=60)
    make_run(folder / "tall", steps=4, tall=True, level="maps", stop_after=3)
    return folder


@pytest.fixture(scope="module")
def address(runs):
    build_page()
    with server(runs) as found:
        yield found


@pytest.fixture(scope="module")
def run(runs) -> Run:
    return ds.open(runs / "whole")


def at(address: str, selection: str = "", run: str = "whole", **more: str) -> str:
    asked = [f"select={selection.replace(' ', '+')}"] if selection else []
    asked += [f"{key}={value}" for key, value in more.items()]
    return f"{address}#/run/{run}" + ("?" + "&".join(asked) if asked else "")


def ready(page: Page) -> Page:
    """All words' maps are there: every chip's line has its length."""
    expect(page.get_by_test_id("mass")).not_to_be_empty(timeout=30_000)
    expect(page.get_by_test_id("ranking").locator("li").first).to_be_visible(timeout=30_000)
    page.evaluate("document.fonts.ready")  # text moves things when its own font comes
    page.wait_for_function(
        "() => [...document.querySelectorAll('.chip')].every(c => +c.style.getPropertyValue('--mass') > 0)",
        timeout=30_000,
    )
    return page


def shown(page: Page) -> np.ndarray:
    """Pixels of the map's canvas, uint8 [y, x, 3]."""
    width, height, values = page.evaluate(
        """() => { const canvas = document.querySelector("[data-testid=map] canvas[data-painter]");
          const { width, height } = canvas, copy = new OffscreenCanvas(width, height).getContext("2d");
          copy.drawImage(canvas, 0, 0);
          return [width, height, Array.from(copy.getImageData(0, 0, width, height).data)]; }"""
    )
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


def at_patches(pixels: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Colours at the middle of each patch, [y, x, 3]."""
    rows = ((np.arange(grid[0]) + 0.5) / grid[0] * pixels.shape[0]).astype(int)
    columns = ((np.arange(grid[1]) + 0.5) / grid[1] * pixels.shape[1]).astype(int)
    return pixels[np.ix_(rows, columns)]


def assert_paints(page: Page, array: np.ndarray, scale: DisplayScale) -> None:
    """The canvas shows a map: at each patch a colour of the level that its value has, give or take one."""
    page.wait_for_timeout(80)
    found = at_patches(shown(page), array.shape).astype(int)
    levels = scale.unit_interval(array) * 255
    table = scale.colours(np.linspace(scale.low, scale.high, 256)).astype(int)
    near = [table[np.clip(np.rint(levels).astype(int) + by, 0, 255)] for by in (-1, 0, 1)]
    assert np.all(found >= np.min(near, axis=0) - 2) and np.all(found <= np.max(near, axis=0) + 2)


def number(text: str) -> float:
    return float(re.match(r"[-\d.e]+", text.strip())[0])


@pytest.fixture
def opaque(browser):
    """Preferences with maps that cover, so that colours are those of the table."""
    return lambda page: (
        page.evaluate("localStorage.setItem('diffuscope', JSON.stringify({opacity: 100}))") or page.reload()
    )


def test_the_first_view_is_the_gallery_of_all_runs(address, visit):
    page = visit(address)
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator(".card-prompt", has_text="zeppelin").first).to_be_visible()
    page.get_by_role("searchbox").fill("onerror")
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("searchbox").fill("")
    page.get_by_role("combobox", name="Order").select_option("prompt")
    prompts = page.locator(".card-prompt").all_inner_texts()
    assert prompts == sorted(prompts)


def test_the_first_visit_opens_on_a_recording_that_comes_with_the_page(tmp_path, visit):
    build_page()
    with server(tmp_path) as address:
        page = ready(visit(address))
        expect(page.get_by_text("Nothing was recorded here yet")).to_be_visible()
        expect(page.locator("#reading-word")).to_have_text("circle")  # the first word that names a thing
        page.locator("input[type=range]").first.fill("7")
        expect(page.get_by_test_id("step")).to_contain_text("step 7")
        page.get_by_role("tab", name="Ask").click()
        page.get_by_role("radio", name="Pixel").click()
        page.get_by_test_id("map").click(position={"x": 60, "y": 60})
        expect(page.get_by_test_id("asked")).to_contain_text("who looks at pixel:")
        expect(page.get_by_test_id("legend")).to_contain_text("this map by itself")
        page.close()


def test_a_word_shows_its_map_numbers_and_range(address, visit, run, opaque):
    page = visit(at(address, "steps=3 word=circle"))
    opaque(page)
    ready(page)
    heatmap, series = run.word("circle").map(3), run.word("circle").steps()
    y, x = heatmap.peak
    assert number(page.get_by_test_id("mass").inner_text()) == pytest.approx(heatmap.mean, rel=6e-3)
    expect(page.get_by_test_id("numbers")).to_contain_text(f"column {x}, row {y}")
    scale = DisplayScale.of(series.array)
    assert number(page.get_by_test_id("legend-low").inner_text()) == pytest.approx(
        scale.low, rel=6e-3, abs=1e-6
    )
    assert number(page.get_by_test_id("legend-high").inner_text()) == pytest.approx(scale.high, rel=6e-3)
    expect(page.get_by_test_id("legend")).to_contain_text("attention probability · this word, over its steps")
    assert_paints(page, heatmap.array, scale)
    page.get_by_role("combobox", name="Colour range").select_option("map")
    assert_paints(page, heatmap.array, DisplayScale.of(heatmap.array))
    page.get_by_role("combobox", name="Colour range").select_option("shared")
    every = [run.word(word.label).steps().array for word in run.words]
    assert_paints(page, heatmap.array, DisplayScale.of(*every))


def test_clicks_digits_and_keys_move_the_selection_and_the_address(address, visit, run):
    page = ready(visit(at(address)))
    page.get_by_role("button", name="zeppelin").first.click()
    expect(page.locator("#reading-word")).to_have_text("zeppelin")
    page.keyboard.press("2")
    expect(page.locator("#reading-word")).to_have_text("red")
    page.locator("body").click(position={"x": 700, "y": 20})
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("step")).to_contain_text("step 1")
    text = page.get_by_test_id("selection").inner_text()
    assert Selection.parse(text) == run.word("red").map(1).selection
    expect(page).to_have_url(re.compile(r"select=steps=1\+word=red$"))
    page.go_back()
    expect(page.locator("#reading-word")).to_have_text("zeppelin")
    page.go_forward()
    expect(page.locator("#reading-word")).to_have_text("red")
    page.keyboard.press("0")
    expect(page.get_by_test_id("step")).to_contain_text(f"all {STEPS} steps")


def test_the_pointer_reads_values_and_ranks_the_words_there(address, visit, run):
    page = ready(visit(at(address, "steps=2 word=circle")))
    box = page.get_by_test_id("map").bounding_box()
    for x, y in [(3, 7), (12, 2)]:
        page.mouse.move(box["x"] + (x + 0.5) / 16 * box["width"], box["y"] + (y + 0.5) / 16 * box["height"])
        expect(page.get_by_test_id("pointer")).to_contain_text(f"column {x}, row {y}")
        value = number(page.get_by_test_id("pointer").locator("b").inner_text())
        assert value == pytest.approx(run.word("circle").map(2).array[y, x], rel=1e-5)
        there = {word.label: float(run.word(word.label).map(2).array[y, x]) for word in run.words}
        rows = [row.inner_text().split() for row in page.get_by_test_id("ranking").locator("li").all()]
        assert [row[0] for row in rows] == sorted(there, key=there.__getitem__, reverse=True)[: len(rows)]
        assert [number(row[-1]) for row in rows] == pytest.approx(
            sorted(there.values(), reverse=True)[: len(rows)], rel=6e-3
        )


def test_sites_grids_and_heads_are_those_of_the_api(address, visit, run):
    page = ready(visit(at(address, "steps=1 word=blue")))
    choose = page.get_by_role("combobox", name="Attention")
    choose.select_option(label="8 × 8 patches, 1 site")
    expect(page.locator(".pane figcaption").nth(1)).to_contain_text("8 × 8 patches")
    sites = page.get_by_test_id("selection").inner_text()
    heatmap = run.map(sites)
    page.wait_for_timeout(300)
    assert number(page.get_by_test_id("mass").inner_text()) == pytest.approx(heatmap.mean, rel=6e-3)
    name = next(site.name for site in run.sites if site.kind == "cross")
    choose.select_option(f"site {name}")
    page.get_by_role("combobox", name="Head").select_option("1")
    expect(page.get_by_test_id("selection")).to_have_text(f"steps=1 sites={name} heads=1 word=blue")
    expected = run.word("blue").map(1, name, 1)
    expect(page.get_by_test_id("mass")).to_contain_text(re.compile(re.escape(f"{expected.mean:.3g}"[:5])))


def test_words_join_to_a_phrase_and_stand_beside(address, visit, run):
    page = ready(visit(at(address, "word=red")))
    page.get_by_role("button", name="circle", exact=True).first.click(modifiers=["Shift"])
    expect(page.locator(".chip[aria-pressed=true]")).to_have_count(2)
    expect(page).to_have_url(re.compile("also=circle"))
    expect(page.locator(".curves polyline")).to_have_count(2)
    page.get_by_role("button", name="as one phrase").click()
    expect(page.locator("#reading-word")).to_have_text("red circle")
    assert number(page.get_by_test_id("mass").inner_text()) == pytest.approx(
        run.phrase("red circle").map().mean, rel=6e-3
    )


def test_asking_pixels_boxes_and_lassos_answers_as_the_api(address, visit, run):
    page = ready(visit(at(address, "steps=2 word=circle")))
    page.get_by_role("tab", name="Ask").click()
    frame = page.get_by_test_id("map")
    box = frame.bounding_box()

    def point(x: float, y: float) -> tuple[float, float]:
        return box["x"] + x / 128 * box["width"], box["y"] + y / 128 * box["height"]

    def told(kind: str, direction: str = "to") -> list[float]:
        """The numbers are those of the region in the address; its coordinates."""
        expect(page).to_have_url(re.compile(f"region={kind}"))
        region = Selection.parse(unquote_plus(re.search(r"select=([^&]+)", page.url)[1])).region
        wanted = run.region(region).map(2, direction=direction)
        page.get_by_role("tab", name="Read").click()
        y, x = wanted.peak
        expect(page.get_by_test_id("numbers")).to_contain_text(f"column {x}, row {y}")
        assert number(page.get_by_test_id("mass").inner_text()) == pytest.approx(wanted.mean, rel=6e-3)
        page.get_by_role("tab", name="Ask").click()
        return [float(each) for each in re.findall(r"[\d.]+", region.partition(":")[2])]

    page.get_by_role("radio", name="Pixel").click()
    page.mouse.click(*point(42.5, 50.5))
    assert told("pixel") == pytest.approx([42, 50], abs=1)
    page.get_by_role("radio", name="what it looks at").click()
    expect(page).to_have_url(re.compile("direction=from"))
    told("pixel", "from")
    page.get_by_role("radio", name="who looks at it").click()
    page.get_by_role("radio", name="Box").click()
    page.mouse.move(*point(16.2, 24.2))
    page.mouse.down()
    page.mouse.move(*point(40, 50), steps=4)
    page.mouse.move(*point(71.5, 63.5))
    page.mouse.up()
    assert told("box") == pytest.approx([16, 24, 71, 63], abs=1)
    page.get_by_role("radio", name="Lasso").click()
    page.mouse.move(*point(20, 20))
    page.mouse.down()
    for x, y in [(90, 24), (84, 96), (30, 80)]:
        page.mouse.move(*point(x, y), steps=3)
    page.mouse.up()
    corners = np.array(told("contour")).reshape(-1, 2)
    assert (
        np.abs(corners.max(axis=0) - [90, 96]).max() < 2 and np.abs(corners.min(axis=0) - [20, 20]).max() < 2
    )
    page.get_by_role("button", name="Back to words").click()
    expect(page.get_by_test_id("asked")).to_have_count(0)


def test_play_walks_to_the_end_and_reduced_motion_is_slow(address, visit):
    page = ready(visit(at(address)))
    page.get_by_role("combobox", name="Speed").select_option("30")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_test_id("step")).to_contain_text(f"step {STEPS - 1}")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    calm = ready(visit(at(address), reduced_motion="reduce"))
    calm.get_by_role("combobox", name="Speed").select_option("30")
    calm.get_by_role("button", name="Play").click()
    calm.wait_for_timeout(900)
    assert re.search(r"step [012](?!\d)", calm.get_by_test_id("step").inner_text())


def test_scrubbing_asks_for_nothing(address, visit):
    page = ready(visit(at(address, "steps=0 word=circle")))
    # Moments and previews come after the maps; from then on nothing more is needed.
    for name in ("timeline.json", "faithfulness.json", f"previews/{STEPS - 1:04d}.webp"):
        page.wait_for_function(
            "name => performance.getEntriesByType('resource').some(each => each.name.includes(name))",
            arg=name,
        )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/" in request.url else None)
    for step in [*range(STEPS), *reversed(range(STEPS))]:
        page.locator("input[type=range]").first.fill(str(step))
        expect(page.get_by_test_id("step")).to_contain_text(f"step {step}")
    page.get_by_role("button", name="zeppelin").first.click()
    expect(page.locator("#reading-word")).to_have_text("zeppelin")
    assert asked == []


def test_everything_is_used_by_keyboard(address, visit, run):
    page = ready(visit(at(address, "steps=2 word=circle")))
    page.get_by_test_id("map").focus()
    page.keyboard.press("ArrowLeft")
    y, x = run.word("circle").map(2).peak
    expect(page.get_by_test_id("pointer")).to_contain_text(f"column {x}, row {y}")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("region=pixel"))
    page.locator("input[type=range]").first.focus()
    page.keyboard.press("End")
    expect(page.get_by_test_id("step")).to_contain_text(f"step {STEPS - 1}")
    reached = set()
    page.locator(".skip").focus()
    for _ in range(60):
        reached.add(
            page.evaluate("(at => at.textContent.trim() || at.ariaLabel || at.name)(document.activeElement)")
        )
        page.keyboard.press("Tab")
    assert {"Gallery", "Play", "Read", "Link"} <= {name for name in reached if name}


def test_every_map_is_told_in_words(address, visit, run):
    page = ready(visit(at(address, "word=blue")))
    heatmap = run.word("blue").map()
    y, x = heatmap.peak
    told = page.locator("#map-summary").inner_text()
    assert f"at column {x}, row {y} of 16 by 16 patches" in told and "of the words' attention" in told
    page.get_by_text("Numbers: attention mass of every word").click()
    page.get_by_test_id("masses").wait_for()
    rows = page.get_by_test_id("masses").locator("tbody tr").all_inner_texts()
    labels = page.get_by_test_id("masses").locator("thead th").all_inner_texts()[1:]
    shown = np.array([[float(cell) for cell in row.split()[1:]] for row in rows]).T
    for label, curve in zip(labels, shown, strict=True):
        np.testing.assert_allclose(curve, run.word(label).mass(), rtol=6e-4)


def test_prompt_text_is_data(address, visit):
    page = visit(at(address, run="nasty"))
    ready(page)
    assert page.evaluate("window.hurt") is None
    told = "".join(
        page.locator(".prompt-words > *").evaluate_all(
            "nodes => nodes.map(node => [...node.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join(''))"
        )
    )
    assert re.sub(r"\s", "", NASTY) in re.sub(r"\s", "", told)
    gallery = visit(address)
    expect(gallery.locator(".card-prompt", has_text="onerror")).to_be_visible()
    assert gallery.evaluate("window.hurt") is None


def test_an_interrupted_tall_run_says_so(address, visit):
    page = visit(at(address, run="tall"))
    expect(page.locator(".prompt .notice")).to_contain_text("stopped after 3 of 4 steps")
    box = page.get_by_test_id("map").bounding_box()
    assert box["height"] / box["width"] == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize(
    "hash",
    [
        "#/run/whole?select=word=elephant",
        "#/run/whole?select=steps=99",
        "#/%E0%A4%A",
        "#/run/whole?select=<img>",
    ],
)
def test_an_odd_address_still_opens(address, visit, hash):
    page = visit(address + hash)
    expect(page.locator("#reading-word, .card").first).to_be_visible(timeout=60_000)


def test_a_run_that_is_not_there_is_said(address, browser):
    visits = Visits(browser)
    page = visits.open(f"{address}#/run/nowhere")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    assert all("404" in each for each in visits.wrong)  # the browser's own line about the answer
    visits.wrong.clear()
    visits.close()


@pytest.mark.parametrize(
    "view",
    ["", "#/run/whole?select=steps=2+word=circle&also=blue", "#/record", "#/studies", "#/edit/whole"],
    ids=["gallery", "run", "record", "studies", "edit"],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["wide", "narrow"])
def test_axe_finds_nothing_and_nothing_sticks_out(address, visit, view, scheme, size):
    page = visit(address + view, color_scheme=scheme, viewport=size)
    expect(page.locator("main h1").first).to_be_attached(timeout=60_000)
    page.wait_for_load_state("networkidle")
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_it_fits_every_width(address, visit):
    page = ready(visit(at(address, "word=circle")))
    for width in (360, 480, 620, 800, 1099, 1100, 1440, 2200, WIDE["width"]):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.get_by_test_id("map").bounding_box()
        assert box["width"] >= 150 and box["x"] + box["width"] <= width + 1


def test_without_webgl_the_same_picture_is_painted(address, browser, run, runs):
    visits = Visits(browser)
    context = browser.new_context(viewport=LAPTOP)
    context.add_init_script(
        "const real = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest)"
        " { return kind === 'webgl2' ? null : real.call(this, kind, ...rest); };"
        "localStorage.setItem('diffuscope', JSON.stringify({opacity: 100}));"
    )
    page = context.new_page()
    page.goto(at(address, "steps=3 word=circle"))
    ready(page)
    assert page.locator("[data-testid=map] canvas[data-painter]").get_attribute("data-painter") == "2d"
    assert_paints(page, run.word("circle").map(3).array, DisplayScale.of(run.word("circle").steps().array))
    context.close()
    visits.close()


def test_a_static_export_opens_from_any_folder_and_answers_regions(runs, tmp_path, visit, run):
    from diffuscope.server.export_site import export_site

    build_page()
    export_site([runs / "whole"], tmp_path / "some where" / "site")
    with folder_site(tmp_path) as host:
        page = visit(f"{host}some%20where/site/#/run/whole?select=steps=2+word=circle")
        ready(page)
        heatmap = run.word("circle").map(2)
        assert number(page.get_by_test_id("mass").inner_text()) == pytest.approx(heatmap.mean, rel=6e-3)
        page.get_by_role("tab", name="Ask").click()
        page.get_by_role("radio", name="Pixel").click()
        box = page.get_by_test_id("map").bounding_box()
        page.mouse.click(box["x"] + 42.5 / 128 * box["width"], box["y"] + 50.5 / 128 * box["height"])
        page.get_by_role("tab", name="Read").click()
        wanted = run.region("pixel:42,50").map(2)
        y, x = wanted.peak
        expect(page.get_by_test_id("numbers")).to_contain_text(f"column {x}, row {y}")
        assert page.get_by_role("link", name="New recording").count() == 0
        listed = json.loads((tmp_path / "some where" / "site" / "api" / "site.json").read_text())
        assert listed["static"] is True
        # Single sites are among the files; single heads are not, and that is said.
        name = next(site.name for site in run.sites if site.kind == "cross")
        page.goto(f"{host}some%20where/site/#/run/whole?select=steps=2+word=circle")
        ready(page)
        page.get_by_role("combobox", name="Attention").select_option(f"site {name}")
        expected = run.word("circle").map(2, name)
        expect(page.get_by_test_id("mass")).to_contain_text(f"{expected.mean:.3g}"[:5])
        expect(page.get_by_text("exported without single heads")).to_be_visible()
        assert page.get_by_role("combobox", name="Head").count() == 0
        page.close()  # Before its host: what it still asks for would fail.


def test_a_static_export_with_heads_shows_single_heads(runs, tmp_path, visit, run):
    from diffuscope.server.export_site import export_site

    build_page()
    export_site([runs / "whole"], tmp_path / "site", heads=True)
    with folder_site(tmp_path / "site") as host:
        name = next(site.name for site in run.sites if site.kind == "cross")
        page = visit(f"{host}#/run/whole?select=steps=2+sites={name}+heads=1+word=circle")
        expected = run.word("circle").map(2, name, 1)
        expect(page.get_by_test_id("mass")).to_contain_text(f"{expected.mean:.3g}"[:5])
        y, x = expected.peak
        expect(page.get_by_test_id("numbers")).to_contain_text(f"column {x}, row {y}")
        page.get_by_role("combobox", name="Head").select_option("0")
        other = run.word("circle").map(2, name, 0)
        expect(page.get_by_test_id("mass")).to_contain_text(f"{other.mean:.3g}"[:5])
        page.close()
