"""The head atlas in a real browser: every head's own map, values, orders, keys, planes, addresses, and no server.

Runs are of known attention (`synthetic_run`); a made-up atlas (`atlas_site`) has what such a run lacks: more heads than
fit into one overview, and causal ranks. Selecting and changing are in `test_page_atlas_act.py`.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from atlas_site import RUN, MadeSite, bytes_of, stable_diffusion_15, value_range, write_site
from browsing import LAPTOP, PHONE, WIDE
from page_driver import Visits, build_page, folder_site, server
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from synthetic_run import Layout, layouts, make_run

import diffuscope as ds
from diffuscope.maps.colormap import DisplayScale
from diffuscope.run import Run

STEPS = 5
HEADS = 14  # cross-attention: 3 + 8 + 3
NO_WEBGL = (
    "const real = HTMLCanvasElement.prototype.getContext;"
    "HTMLCanvasElement.prototype.getContext = function (kind, ...rest)"
    " { return kind === 'webgl2' ? null : real.call(this, kind, ...rest); };"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    sites = [*layouts(self_sites=True), Layout("self:up.0.0", (16, 16), 3, 16, kind="self")]
    make_run(folder / "whole", steps=STEPS, level="qk", sites=sites)
    return folder


@pytest.fixture(scope="module")
def address(runs):
    build_page()
    with server(runs) as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A static site of 128 made-up heads over 50 steps: its overview is reduced, and a ranking lies there."""
    import shutil

    build_page()
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(Path(ds.__file__).parent / "server" / "static", folder, dirs_exist_ok=True)
    write_site(folder, stable_diffusion_15())
    with folder_site(folder) as found:
        yield found


@pytest.fixture(scope="module")
def run(runs) -> Run:
    return ds.open(runs / "whole")


def at(address: str, selection: str = "", run: str = "whole", **shown: str) -> str:
    asked = [f"select={selection.replace(' ', '+')}"] if selection else []
    asked += [f"{key}={value}" for key, value in shown.items()]
    return f"{address}#/atlas/{run}" + ("?" + "&".join(asked) if asked else "")


def still(page: Page) -> None:
    """Nothing moves, and what was asked for last is painted."""
    page.wait_for_timeout(350)
    page.wait_for_selector("[data-testid=atlas][data-still]")


def ready(page: Page) -> Page:
    """The maps are there, and stand still."""
    page.wait_for_selector("[data-testid=atlas]:not([data-loading])")
    expect(page.get_by_test_id("atlas-legend")).to_be_visible()
    expect(page.get_by_test_id("atlas-first").locator("li").first).to_be_visible()
    page.evaluate("document.fonts.ready")
    still(page)
    return page


def stage(page: Page) -> Locator:
    return page.get_by_test_id("atlas")


def ring(page: Page) -> dict[str, float]:
    """Where the cursor's cell, or patch, is on the page."""
    page.locator(".atlas-ring").wait_for(state="visible")
    box = page.locator(".atlas-ring").bounding_box()
    assert box is not None
    return box


def colours(page: Page, grid: tuple[int, int]) -> np.ndarray:
    """What is painted at the middle of each patch of the cursor's cell, int ``[y, x, 3]``."""
    still(page)
    box = ring(page)
    if box["width"] < 3 * grid[1]:
        stage(page).focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        still(page)
        box = ring(page)
    still(page)
    pixels = np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    rows = (box["y"] + (np.arange(grid[0]) + 0.5) / grid[0] * box["height"]).astype(int)
    columns = (box["x"] + (np.arange(grid[1]) + 0.5) / grid[1] * box["width"]).astype(int)
    return pixels[np.ix_(rows, columns)]


def assert_paints(page: Page, array: np.ndarray, low: float, high: float, colormap: str = "magma") -> None:
    """The cursor's cell shows a map: colours of the levels that its values have, give or take two of 255."""
    found = colours(page, array.shape)
    table = DisplayScale(0.0, 1.0).colours(np.linspace(0, 1, 256), colormap).astype(int)
    levels = np.rint((array - low) / (high - low) * 255).astype(int)
    near = [table[np.clip(levels + by, 0, 255)] for by in (-2, -1, 0, 1, 2)]
    assert np.all(found >= np.min(near, axis=0) - 2) and np.all(found <= np.max(near, axis=0) + 2)


def number(text: str) -> float:
    return float(re.match(r"-?[-\d.e]+", text.strip())[0])


def test_every_head_shows_its_own_map(address, visit, run):
    page = ready(visit(at(address, "steps=3 word=circle", cursor="cross:down.0.0/0")))
    heads = run.word("circle").heads(3)
    stage(page).focus()
    for site, head in [("cross:down.0.0", 2), ("cross:mid", 5), ("cross:up.0.0", 0)]:
        page.keyboard.press("Home")
        while not page.get_by_test_id("atlas-told").inner_text().startswith(f"{site}, head {head},"):
            before = page.get_by_test_id("atlas-told").inner_text()
            site_now = before.split(",")[0]
            page.keyboard.press("ArrowDown" if site_now == site else "PageDown")
            expect(page.get_by_test_id("atlas-told")).not_to_have_text(before)
        array = heads.at(3, site, head).array
        assert_paints(page, array, float(array.min()), float(array.max()))


def test_a_range_over_all_heads_is_the_same_for_each(address, visit, run):
    page = ready(visit(at(address, "steps=2 word=blue", cursor="cross:up.0.0/1", range="step")))
    every = run.word("blue").heads(2).per_site
    low = min(float(maps.min()) for maps in every.values())
    high = max(float(maps.max()) for maps in every.values())
    assert_paints(page, run.word("blue").heads(2).at(2, "cross:up.0.0", 1).array, low, high)
    ends = page.get_by_test_id("atlas-legend").locator(".legend-ends > *")
    assert number(ends.first.inner_text()) == pytest.approx(low, rel=6e-3, abs=1e-6)
    assert number(ends.last.inner_text()) == pytest.approx(high, rel=6e-3)
    expect(page.get_by_test_id("atlas-legend")).to_contain_text("all heads, this step")
    page.get_by_role("combobox", name="Colour range").select_option("shared")
    expect(page.get_by_test_id("atlas-legend")).to_contain_text("all heads, all steps")
    whole = run.word("blue").heads().per_site
    most = max(float(maps.max()) for maps in whole.values())
    expect(ends.last).to_contain_text(f"{most:.3g}"[:4])


def test_the_pointer_reads_values_and_rest_makes_them_exact(address, visit, run):
    page = ready(visit(at(address, "steps=2 word=circle", cursor="cross:mid/3")))
    array = run.word("circle").heads(2).at(2, "cross:mid", 3).array
    box = ring(page)
    for x, y in [(1, 6), (5, 2)]:
        page.mouse.move(box["x"] + (x + 0.5) / 8 * box["width"], box["y"] + (y + 0.5) / 8 * box["height"])
        read = page.get_by_test_id("atlas-read")
        expect(read).to_contain_text(f"cross:mid, head 3 · column {x}, row {y}")
        assert number(read.locator("b").inner_text()) == pytest.approx(
            float(array[y, x]), abs=float(array.max() - array.min()) / 500
        )
        expect(read).to_contain_text("exact")
        assert number(read.locator("b").inner_text()) == pytest.approx(float(array[y, x]), rel=1e-5)


def test_keys_walk_over_heads_and_into_one(address, visit, run):
    page = ready(visit(at(address, "steps=1 word=circle")))
    told = page.get_by_test_id("atlas-told")
    stage(page).focus()
    page.keyboard.press("ArrowRight")
    expect(told).to_contain_text("cross:down.0.0, head 0, cross-attention, 16 × 16 patches")
    page.keyboard.press("ArrowDown")
    expect(told).to_contain_text("cross:down.0.0, head 1")
    page.keyboard.press("PageDown")
    expect(told).to_contain_text("cross:mid, head 1, cross-attention, 8 × 8 patches")
    page.keyboard.press("End")
    expect(told).to_contain_text("cross:up.0.0, head 2")
    page.keyboard.press("Home")
    wide = ring(page)["width"]
    page.keyboard.press("Enter")
    expect(told).to_contain_text("column 8, row 8")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    expect(told).to_contain_text("column 9, row 7")
    value = float(run.word("circle").heads(1).at(1, "cross:down.0.0", 0).array[7, 9])
    assert number(told.inner_text().split("Value ")[1]) == pytest.approx(value, abs=6e-3)
    page.keyboard.press("Escape")
    expect(told).not_to_contain_text("column")
    still(page)
    assert ring(page)["width"] > 1.5 * wide
    page.keyboard.press("0")
    still(page)
    assert ring(page)["width"] == pytest.approx(wide, rel=0.02)
    page.keyboard.press("+")
    still(page)
    assert ring(page)["width"] == pytest.approx(1.5 * wide, rel=0.02)
    page.keyboard.press("-")
    still(page)
    assert ring(page)["width"] == pytest.approx(wide, rel=0.02)


def test_wheel_zooms_about_the_pointer_and_dragging_pans(address, visit):
    page = ready(visit(at(address, "steps=1 word=circle", cursor="cross:mid/4")))
    before = ring(page)
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2
    page.mouse.move(x, y)
    page.mouse.wheel(0, -200)
    still(page)
    near = ring(page)
    assert near["width"] > 1.4 * before["width"]
    assert near["x"] + near["width"] / 2 == pytest.approx(x, abs=1.5)
    assert near["y"] + near["height"] / 2 == pytest.approx(y, abs=1.5)
    expect(page.locator(".atlas-map")).to_be_visible()
    page.mouse.down()
    page.mouse.move(x - 40, y - 25, steps=4)
    page.mouse.up()
    still(page)
    after = ring(page)
    assert after["x"] - near["x"] == pytest.approx(-40, abs=1.5)
    assert after["y"] - near["y"] == pytest.approx(-25, abs=1.5)
    page.get_by_role("button", name="All of it").click()
    still(page)
    assert ring(page)["width"] == pytest.approx(before["width"], rel=0.02)


def test_orders_filters_and_the_table_are_those_of_the_api(address, visit, run):
    page = ready(visit(at(address, "word=circle", order="word")))
    mass = {
        f"{site}/{head}": float(values[place])
        for site, values in (
            (name, each.mean(axis=0)) for name, each in run.word("circle").heads().mass().items()
        )
        for place, head in enumerate(run.word("circle").heads().heads[site])
    }
    best = sorted(mass, key=lambda name: -mass[name])
    first = page.get_by_test_id("atlas-first").locator("li .mono").all_inner_texts()
    assert first == best[: len(first)]
    page.get_by_text("Numbers: every head").click()
    page.get_by_test_id("atlas-table").wait_for()
    rows = page.get_by_test_id("atlas-table").locator("tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == best and len(rows) == HEADS
    assert [float(row.split()[2]) for row in rows] == pytest.approx([mass[name] for name in best], rel=1e-3)
    stage(page).focus()
    page.keyboard.press("Home")
    expect(page.get_by_test_id("atlas-told")).to_contain_text("Rank 1 of 14")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("textbox", name="Sites").fill("mid, cross:up.*/0")
    expect(page.get_by_test_id("atlas-count")).to_have_text("9 of 14 heads")
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name="8 × 8").click()
    expect(page.get_by_test_id("atlas-count")).to_have_text("8 of 14 heads")
    page.get_by_role("button", name="8 × 8").click()
    page.get_by_role("spinbutton", name="Only the first").fill("3")
    expect(page.get_by_test_id("atlas-count")).to_have_text("3 of 14 heads")
    rows = page.get_by_test_id("atlas-table").locator("tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == best[:3]


def test_other_contents_show_what_was_recorded_and_say_what_was_not(address, visit, run):
    page = ready(visit(at(address, "word=circle steps=1", content="received")))
    expect(stage(page)).to_have_attribute(
        "aria-label", re.compile("11 heads.*how much each patch is looked at")
    )
    stage(page).focus()
    page.keyboard.press("Home")
    expect(page.get_by_test_id("atlas-told")).to_contain_text("self:mid, head 0, self-attention")
    choose = page.get_by_role("combobox", name="Shows")
    choose.select_option("signed-word")
    expect(page.get_by_test_id("atlas-why")).to_contain_text(
        "signed contribution through the word: Not shown"
    )
    choose.select_option("word")
    expect(page.get_by_test_id("atlas-why")).to_have_count(0)
    expect(stage(page)).to_have_attribute("aria-label", re.compile("14 heads.*attention to “circle”, step 1"))


def test_steps_are_scrubbed_without_a_request(address, visit, run):
    page = ready(visit(at(address, "steps=0 word=circle", cursor="cross:up.0.0/2")))
    still(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/atlas/" in request.url else None)
    for step in (4, 1, 3):
        page.locator("input[type=range]").first.fill(str(step))
        array = run.word("circle").heads(step).at(step, "cross:up.0.0", 2).array
        assert_paints(page, array, float(array.min()), float(array.max()))
    assert asked == []


def test_the_address_restores_everything_without_entries_of_the_history(address, visit):
    page = ready(
        visit(
            at(
                address,
                "steps=2 word=blue",
                order="word",
                grids="16x16",
                range="shared",
                cursor="cross:up.0.0/1@4,9",
            )
        )
    )
    before = page.evaluate("history.length")
    expect(page.get_by_test_id("atlas-count")).to_have_text("6 of 14 heads")
    expect(page.get_by_test_id("atlas-told")).to_contain_text("cross:up.0.0, head 1")
    expect(page.get_by_test_id("atlas-told")).to_contain_text("column 4, row 9")
    page.get_by_role("button", name="Nearer").click()
    expect(page).to_have_url(re.compile(r"camera=[-\d.]+,[-\d.]+,[-\d.]+"))
    page.get_by_role("combobox", name="Frames").select_option("mass")
    expect(page).to_have_url(re.compile("tint=mass"))
    assert page.evaluate("history.length") == before
    still(page)
    link = page.url
    shown = ring(page)
    again = ready(visit(link))
    assert again.url == link
    assert ring(again) == pytest.approx(shown, abs=1.5)
    expect(again.get_by_role("combobox", name="Order")).to_have_value("word")
    expect(again.get_by_role("combobox", name="Frames")).to_have_value("mass")
    expect(again.get_by_role("combobox", name="Colour range")).to_have_value("shared")


def test_planes_of_steps_turn_and_lead_to_their_step(address, visit):
    page = ready(visit(at(address, "steps=2 word=circle")))
    page.get_by_role("button", name="Steps as planes").click()
    expect(page).to_have_url(re.compile(r"planes=0\.600,0\.300"))
    box = stage(page).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    still(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 100, y, steps=5)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"planes=0\.0\d\d,0\.300"))
    # Nearly from the front: the plane before all others is the last step's.
    found = set()
    for i in range(35):
        page.mouse.click(x + 40 * (i % 7 - 3), y + 40 * (i // 7 - 2))
        found.add(re.search(r"step (\d+)", page.get_by_test_id("step").inner_text())[1])
    assert str(STEPS - 1) in found
    stage(page).focus()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("planes="))


def test_without_webgl_the_same_cells_are_painted_flat(address, browser, run):
    visits = Visits(browser)
    context = browser.new_context(viewport=LAPTOP)
    visits.contexts.append(context)
    context.add_init_script(NO_WEBGL)
    page = context.new_page()
    page.goto(at(address, "steps=3 word=circle", cursor="cross:mid/5"))
    ready(page)
    assert stage(page).get_attribute("data-painter") == "2d"
    array = run.word("circle").heads(3).at(3, "cross:mid", 5).array
    assert_paints(page, array, float(array.min()), float(array.max()))
    expect(page.get_by_role("button", name="Steps as planes")).to_be_disabled()
    page.close()
    visits.close()


def test_many_heads_come_reduced_and_whole_where_one_is_near(made, visit):
    page = ready(visit(at(made, "steps=25 word=horn", run=RUN, cursor="cross:down.0.0/3@33,32")))
    expect(page.get_by_test_id("atlas-count")).to_have_text("all 128 heads")
    low, high = value_range(3, 26, 1)
    # From afar a map of 32 x 32 stands for 64 x 64 patches.
    told = page.get_by_test_id("atlas-told")
    afar = low + (high - low) * bytes_of((32, 32), 3, 26)[16, 16] / 255
    assert number(told.inner_text().split("Value ")[1]) == pytest.approx(afar, rel=6e-3)
    stage(page).focus()
    with page.expect_request(re.compile(r"word-1/0025\.safetensors")):
        page.keyboard.press("Enter")
    still(page)
    whole = bytes_of((64, 64), 3, 26)
    page.keyboard.press("ArrowRight")
    expect(told).to_contain_text("column 34, row 32")
    expected = low + (high - low) * whole[32, 34] / 255
    assert number(told.inner_text().split("Value ")[1]) == pytest.approx(expected, rel=6e-3)
    page.keyboard.press("Escape")
    still(page)
    assert_paints(page, low + (high - low) * whole / 255.0, low, high)


def test_causal_ranks_order_and_frame_the_heads(made, visit):
    page = ready(visit(at(made, "steps=25 word=horn", run=RUN, order="cause", tint="cause")))
    ranked = sorted(range(128), key=lambda cell: -((cell * 53) % 211))
    names = [f"{site.name}/{head}" for site in stable_diffusion_15() for head in range(site.heads)]
    first = page.get_by_test_id("atlas-first").locator("li .mono").all_inner_texts()
    assert first == [names[cell] for cell in ranked[:10]]
    stage(page).focus()
    page.keyboard.press("Home")
    expect(page.get_by_test_id("atlas-told")).to_contain_text(f"{first[0].split('/')[0]}, head")
    expect(page.get_by_test_id("atlas-told")).to_contain_text("Rank 1 of 128")
    box = ring(page)
    page.keyboard.press("End")
    still(page)
    pixels = np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    # The frame of the first is the brightest colour of the other table.
    brightest = DisplayScale(0.0, 1.0).colours(np.array([1.0]), "viridis")[0].astype(int)
    row = pixels[int(box["y"] + box["height"] / 2), int(box["x"]) - 8 : int(box["x"]) + 1]
    assert np.abs(row - brightest).max(axis=1).min() <= 12
    expect(page.get_by_test_id("atlas-legend")).to_contain_text("causal rank")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["wide", "narrow"])
def test_axe_finds_nothing(address, visit, scheme, size):
    from axe_playwright_python.sync_playwright import Axe

    page = ready(
        visit(at(address, "steps=2 word=circle", cursor="cross:mid/1"), color_scheme=scheme, viewport=size)
    )
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_it_fits_every_width(address, visit):
    page = ready(visit(at(address, "word=circle")))
    for width in (360, 620, 800, 1100, 1440, WIDE["width"]):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = stage(page).bounding_box()
        assert box["width"] >= 200 and box["height"] >= 120 and box["x"] + box["width"] <= width + 1


def test_less_motion_jumps(address, visit):
    page = ready(visit(at(address, "steps=1 word=circle", cursor="cross:mid/4"), reduced_motion="reduce"))
    wide = ring(page)["width"]
    stage(page).focus()
    page.keyboard.press("+")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    # Nothing of it takes time: it is there at the next frame.
    assert ring(page)["width"] == pytest.approx(1.5 * wide, rel=0.01)


def test_a_run_leads_to_its_atlas_and_a_head_to_its_map(address, visit, run):
    page = visit(f"{address}#/run/whole?select=steps=2+word=blue")
    page.get_by_role("link", name="Every head: the atlas").click()
    ready(page)
    expect(page).to_have_url(re.compile(r"#/atlas/whole\?select=steps=2\+word=blue"))
    stage(page).focus()
    page.keyboard.press("Home")
    page.get_by_role("link", name="Its map over the picture").click()
    expect(page).to_have_url(
        re.compile(r"#/run/whole\?select=steps=2\+sites=cross:down.0.0\+heads=0\+word=blue")
    )
    expected = run.word("blue").map(2, "cross:down.0.0", 0)
    expect(page.get_by_test_id("mass")).to_contain_text(f"{expected.mean:.3g}"[:5])


def test_a_static_export_has_the_atlas_where_it_was_asked_for(runs, tmp_path, visit, run):
    from diffuscope.server.export_site import export_site

    build_page()
    export_site([runs / "whole"], tmp_path / "with", atlas=True)
    export_site([runs / "whole"], tmp_path / "without")
    with folder_site(tmp_path) as host:
        page = ready(visit(at(f"{host}with/", "steps=3 word=circle", cursor="cross:mid/5")))
        array = run.word("circle").heads(3).at(3, "cross:mid", 5).array
        assert_paints(page, array, float(array.min()), float(array.max()))
        page.close()


def test_joint_blocks_stand_in_a_row(tmp_path, visit):
    """A transformer is a plain row of columns; here the made-up site only says so."""
    import json
    import shutil

    build_page()
    shutil.copytree(Path(ds.__file__).parent / "server" / "static", tmp_path, dirs_exist_ok=True)
    write_site(tmp_path, [MadeSite(f"joint:{i}", (16, 16), 4) for i in range(6)], steps=3)
    path = tmp_path / "api" / "runs" / RUN / "atlas.json"
    info = json.loads(path.read_text())
    for site in info["sites"]:
        site["stage"] = "double" if site["index"] < 2 else "single"
    path.write_text(json.dumps({**info, "layout": "rows"}))
    with folder_site(tmp_path) as host:
        page = ready(visit(at(host, "word=horn", run=RUN, cursor="joint:0/0")))
        first = ring(page)
        stage(page).focus()
        page.keyboard.press("End")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        expect(page.get_by_test_id("atlas-told")).to_contain_text("joint:5, head 0")
        still(page)
        last = ring(page)
        assert last["y"] == pytest.approx(first["y"], abs=1) and last["x"] > first["x"] + 5 * first["width"]
        page.close()
