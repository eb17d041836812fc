"""The film in the page, in a real browser on software WebGL: its particles are Python's, and a moment is always itself.

The runs are small ones of known attention (`synthetic_run`), in a static site: no server is needed.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
from browsing import PHONE
from page_driver import Visits, build_page, folder_site
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.morph.camera import path
from diffuscope.morph.field import Morph
from diffuscope.morph.render import render
from diffuscope.run import Run
from diffuscope.server.export_site import export_site

trimesh = pytest.importorskip("trimesh")

WINDOW = {"width": 640, "height": 480}
COUNT = 16_384
PATIENCE = 60_000  # software WebGL on a busy machine
WORDS = "word=circle&word=zeppelin"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [make_run(folder / "one", steps=6), make_run(folder / "two", steps=4, tall=True)]


@pytest.fixture(scope="module")
def run(runs: list[Path]) -> Run:
    return ds.open(runs[0])


@pytest.fixture(scope="module")
def address(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    build_page()
    site = tmp_path_factory.mktemp("site") / "site"
    export_site(runs, site)
    with folder_site(site) as found:
        yield found


@pytest.fixture
def film(browser: Browser, address: str) -> Iterator[Any]:
    """Opens a film; fails at the end if the page threw or complained."""
    visits = Visits(browser)

    def opened(query: str, run: str = "one", **options: Any) -> Page:
        page = visits.open(f"{address}#/morph/{run}?{query}", **{"viewport": WINDOW, **options})
        page.set_default_timeout(PATIENCE)
        expect(page.locator("canvas[data-run]:not([data-particles='0'])")).to_be_visible(timeout=PATIENCE)
        return page

    yield opened
    # The software renderer says of itself that it is slow: no complaint about the page.
    visits.wrong = [line for line in visits.wrong if "GPU stall due to ReadPixels" not in line]
    visits.close()


def seek(page: Page, time: float) -> None:
    """Put the film at a time, and wait until it is painted."""
    page.get_by_role("slider", name="Time in the film").fill(str(round(time * 1000)))
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def picture(page: Page) -> np.ndarray:
    """What the canvas shows, uint8 ``[y, x, 3]``."""
    data = page.evaluate("() => document.querySelector('canvas[data-run]').toDataURL('image/png')")
    with Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))) as image:
        return np.asarray(image.convert("RGB"))


def few(page: Page) -> None:
    """As many particles as software paints at once."""
    if not page.locator("details.morph-more").evaluate("box => box.open"):
        page.get_by_text("Words, look, camera").click()
    page.get_by_role("combobox", name="Particles").select_option(str(COUNT))
    expect(page.locator(f"canvas[data-particles='{COUNT}']")).to_be_visible(timeout=PATIENCE)


@pytest.mark.parametrize("words", [("circle", "zeppelin"), ("red circle",), ()])
def test_the_pages_particles_are_pythons(run: Run, film: Any, tmp_path: Path, words: tuple[str, ...]) -> None:
    query = "&".join(f"word={each}" for each in words) or "word="
    page = film(f"{query}&at=0.1")
    few(page)
    morph = Morph.of(run, words, particles=COUNT)
    for time in (0.1, 0.31, 0.5, 0.7, 0.9):
        seek(page, time)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save points").click()
        download.value.save_as(tmp_path / "points.ply")
        opened, cloud = trimesh.load(tmp_path / "points.ply"), morph.at(time)
        far = np.abs(opened.vertices - cloud.position).max(axis=1)
        # In half heights of the picture: less than half a pixel of a screen. Software WebGL has sines of its own; and
        # where two words hold a place alike, rounding may choose the other.
        assert np.median(far) < 1e-4, time
        assert np.quantile(far, 0.999) < 1e-3, time
        coded = np.where(
            cloud.colour <= 0.0031308,
            cloud.colour * 12.92,
            1.055 * np.maximum(cloud.colour, 1e-9) ** (1 / 2.4) - 0.055,
        )
        # Predicted pictures come to the page with losses.
        assert np.abs(opened.colors[:, :3] / 255 - np.clip(coded, 0, 1)).mean() < 0.03, time


def test_the_page_paints_what_python_films(run: Run, film: Any) -> None:
    page = film(f"{WORDS}&at=0.2")
    few(page)
    morph = Morph.of(run, ["circle", "zeppelin"], particles=COUNT)
    for time in (0.2, 0.5, 0.8):
        seek(page, time)
        shown = picture(page).astype(float)
        height, width = shown.shape[:2]
        cloud = morph.at(time)
        camera = path(cloud.moment, morph.score.aspect, width / height)
        expected = render(cloud, camera, (width, height)).astype(float)
        assert np.abs(shown - expected).mean() < 6, time
        # Not only dark on dark.
        assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.95, time


def test_scrubbed_forwards_or_backwards_a_moment_is_the_same_to_the_bit(film: Any) -> None:
    page = film(f"{WORDS}&at=0.05")
    few(page)
    times = (0.15, 0.45, 0.66, 0.95)
    forwards = []
    for time in times:
        seek(page, time)
        forwards.append(picture(page))
    for time, before in zip(reversed(times), reversed(forwards), strict=True):
        seek(page, time)
        assert np.array_equal(picture(page), before), time
    assert not np.array_equal(forwards[0], forwards[1])
    # After it has played, too.
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(400)
    page.get_by_role("button", name="Pause").click()
    seek(page, 0.45)
    assert np.array_equal(picture(page), forwards[1])


def test_the_address_holds_moment_words_look_and_camera(film: Any) -> None:
    page = film(f"{WORDS}&look=ember&at=0.5000&camera=0.500,0.200,3.000,0.000,0.000,0.100")
    few(page)
    before = picture(page)
    expect(page.get_by_role("button", name="circle", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("radio", name="Ember")).to_have_attribute("aria-checked", "true")
    expect(page.get_by_role("radio", name="flown")).to_have_attribute("aria-checked", "true")
    again = film(page.url.split("?", 1)[1])
    few(again)
    assert np.array_equal(picture(again), before)
    seek(page, 0.25)
    expect(page).to_have_url(re.compile(r"at=0\.25"), timeout=PATIENCE)
    page.get_by_role("radio", name="on its path").click()
    expect(page).not_to_have_url(re.compile("camera="), timeout=PATIENCE)
    page.get_by_role("radio", name="Paper").click()
    expect(page).to_have_url(re.compile("look=paper"), timeout=PATIENCE)
    # The address is written before the frame is drawn.
    deadline = monotonic() + PATIENCE / 1000
    while np.median(picture(page)[:20]) <= 200:
        assert monotonic() < deadline
    # A word taken out is out of the film and of the address.
    page.get_by_role("button", name="zeppelin", exact=True).click()
    expect(page).not_to_have_url(re.compile("zeppelin"), timeout=PATIENCE)


def test_keys_and_hand_play_scrub_and_fly(film: Any) -> None:
    page = film(f"{WORDS}&at=0.5")
    few(page)
    page.get_by_text("Words, look, camera").click()
    slider = page.get_by_role("slider", name="Time in the film")
    canvas = page.locator("canvas[data-run]")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("505")
    page.keyboard.press("Home")
    expect(slider).to_have_value("0")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    seek(page, 0.5)
    before = picture(page)
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 180, steps=3)
    page.mouse.up()
    expect(page).to_have_url(re.compile("camera="), timeout=PATIENCE)
    assert not np.array_equal(picture(page), before)
    canvas.focus()
    page.keyboard.press("c")
    expect(page).not_to_have_url(re.compile("camera="), timeout=PATIENCE)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert np.array_equal(picture(page), before)


def test_who_wants_less_motion_sees_a_still(film: Any) -> None:
    page = film("word=circle", reduced_motion="reduce")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.wait_for_timeout(300)
    expect(page.get_by_role("slider", name="Time in the film")).to_have_value("0")


def test_a_kiosk_walks_through_the_runs_and_is_left_with_escape(film: Any) -> None:
    page = film("kiosk&at=0.97")
    expect(page.locator("canvas[data-run=two]")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".morph-bar")).to_have_count(0)
    box = page.locator(".morph").bounding_box()
    assert box == {"x": 0, "y": 0, **WINDOW}
    page.keyboard.press("Escape")
    expect(page.locator(".morph-bar")).to_be_visible(timeout=PATIENCE)


def test_nothing_of_it_is_loaded_before_it_is_wanted(browser: Browser, address: str) -> None:
    visits, asked = Visits(browser), []
    page = visits.open(address, viewport=WINDOW)
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if "Morph" in url]
    assert page.evaluate(
        "() => performance.getEntriesByType('resource').every((each) => !/Morph/.test(each.name))"
    )
    page.get_by_role("link", name="Film").click()
    expect(page.locator("canvas[data-run]")).to_be_visible(timeout=PATIENCE)
    assert [url for url in asked if "Morph" in url]
    visits.wrong = [line for line in visits.wrong if "GPU stall due to ReadPixels" not in line]
    visits.close()


def test_a_kiosk_goes_on_where_a_recording_cannot_be_shown(film: Any) -> None:
    page = film("kiosk&at=0.97&word=circle")
    page.route("**/runs/two/words.json*", lambda route: route.fulfill(status=200, body="{}"))
    expect(page).to_have_url(re.compile("/morph/two"), timeout=PATIENCE)
    expect(page.get_by_role("alert")).to_be_visible(timeout=PATIENCE)
    expect(page).to_have_url(re.compile("/morph/one"), timeout=PATIENCE)
    expect(page.locator("canvas[data-run=one]")).to_be_visible(timeout=PATIENCE)


def test_it_fits_a_phone_and_is_accessible(film: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = film("word=circle&at=0.5", viewport=PHONE, has_touch=True)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    page.get_by_text("Words, look, camera").tap()
    expect(page.get_by_role("button", name="Save points")).to_be_visible()
    found = axe.run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
