"""The page of a comparison in a real browser, opened from disk as a reader opens it. See test_figures_browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import LAPTOP, PHONE
from playwright.sync_api import Browser, Page, expect
from test_figures_browser import assert_paints, colours_shown

import diffuscope as ds
from diffuscope.edits import Silence, control
from diffuscope.engine import Lens
from diffuscope.figures.compare import signed_table, write_comparison
from diffuscope.maps.colormap import DisplayScale
from diffuscope.run import Run
from diffuscope.testing import random_pipeline

NASTY = "a circle </script><script>window.hurt=1</script> <img src=x onerror=window.hurt=1> {{data}}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run, Run, Run]:
    """A run, an edit of it, that edit's control, and a run of another seed, of a prompt that would be markup."""
    lens, out = Lens(random_pipeline("sd15")), tmp_path_factory.mktemp("runs")
    settings: dict[str, Any] = {"steps": 3, "width": 48, "height": 32, "out": out, "previews": False}
    run = lens.record(NASTY, seed=1, **settings)
    edit = Silence("circle", steps="1:3")
    edited, beside = (lens.edit(run, each, out=out) for each in (edit, control(edit)))
    return run, edited, beside, lens.record(NASTY, seed=2, **settings)


@pytest.fixture(scope="module")
def pages(runs: tuple[Run, Run, Run, Run], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    run, edited, beside, other = runs
    out = tmp_path_factory.mktemp("pages")
    return (
        write_comparison(run, edited, out / "a pair.html", control=beside),
        write_comparison(run, other, out / "no pair.html"),
    )


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Any]:
    """Opens a page; fails at the end if it threw, complained, or asked for anything but itself."""
    contexts, wrong = [], []

    def opened(path: Path, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": LAPTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on(
            "request",
            lambda each: wrong.append(each.url) if not each.url.startswith(("file:", "data:")) else None,
        )
        page.goto(path.as_uri())
        expect(page.locator("#facts tbody tr").first).to_be_visible()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def pixels(page: Page, image: str) -> np.ndarray:
    """Pixels of a picture as the page holds it."""
    page.evaluate(
        """(name) => {
          const image = document.querySelector(name), canvas = document.createElement("canvas");
          Object.assign(canvas, { id: "copied", width: image.naturalWidth, height: image.naturalHeight });
          canvas.getContext("2d").drawImage(image, 0, 0);
          document.querySelector("#copied")?.remove();
          document.body.append(canvas);
        }""",
        image,
    )
    return colours_shown(page, "#copied")


def test_both_pictures_stand_side_by_side_and_behind_a_slider(runs: Any, pages: Any, open_page: Any) -> None:
    run, edited, beside, _ = runs
    page = open_page(pages[0])
    for name, shown in (("before", run), ("after", edited), ("control", beside)):
        assert np.array_equal(pixels(page, f"#{name}"), np.asarray(shown.image))
    expect(page.locator("#text")).to_have_text(NASTY)
    assert page.evaluate("window.hurt") is None
    frame, after = page.locator("#slider-frame"), page.locator("#slider-after")
    page.locator("#slider").fill("20")
    assert "20%" in after.evaluate("each => getComputedStyle(each).clipPath")
    box = frame.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 5)
    page.mouse.up()
    assert page.locator("#slider").input_value() == "75"
    page.locator("#slider").press("ArrowRight")
    assert "76%" in after.evaluate("each => getComputedStyle(each).clipPath")


def test_the_difference_is_painted_in_one_scale(runs: Any, pages: Any, open_page: Any) -> None:
    run, edited, beside, _ = runs
    found = ds.compare(run, edited, control=beside)
    page = open_page(pages[0])
    changes = [found.change.astype(np.float32), found.control.change.astype(np.float32)]
    scale = DisplayScale(0.0, max(float(each.max()) for each in changes))
    assert_paints(page, changes[0], scale, canvas="#change")
    page.locator("input[name=change-of][value='1']").check(force=True)
    assert_paints(page, changes[1], scale, canvas="#change")
    expect(page.locator("#change-caption")).to_contain_text("control")
    cells = page.locator("#picture-table tbody tr").first.locator("td").all_inner_texts()
    assert [float(cell) for cell in cells] == pytest.approx([each.mean() for each in changes], abs=0.006)
    box = page.locator("#change").bounding_box()
    page.mouse.move(box["x"] + 10.5 / 48 * box["width"], box["y"] + 20.5 / 32 * box["height"])
    shown = float(page.locator("#change-caption b").inner_text().split()[0])
    assert shown == pytest.approx(float(changes[1][20, 10]), abs=0.06)
    expect(page.locator("#change-caption")).to_contain_text("x 10, y 20")


def test_a_word_shows_its_maps_their_difference_and_its_course(runs: Any, pages: Any, open_page: Any) -> None:
    run, edited, _, _ = runs
    page = open_page(pages[0])
    page.locator(".chip", has_text=re.compile("^circle$")).click()
    maps = [each.word("circle").map().array for each in runs[:3]]
    scale = DisplayScale(0.0, max(float(each.max()) for each in maps))
    for place, array in enumerate(maps):
        assert_paints(page, array, scale, canvas=f"#maps figure:nth-child({place + 1}) canvas")
    apart = [each.astype(np.float64) - maps[0] for each in maps[1:]]
    most = max(float(np.abs(each).max()) for each in apart)
    levels = (apart[0] / most + 1) / 2 * 255
    shown = colours_shown(page, "#maps figure:nth-child(4) canvas").astype(int)
    table = signed_table().astype(int)
    # The maps travel as float16, so that a difference may be some levels off.
    near = np.abs(table[np.rint(levels).astype(int)] - shown).max(axis=-1)
    assert np.percentile(near, 90) <= 30 and page.locator("#maps figure").count() == 5
    times = {each.word: each for each in ds.compare(run, edited).times}["circle"]
    points = page.locator("#chart .after-line").get_attribute("points").split()
    heights = [float(point.split(",")[1]) for point in points]
    assert np.argsort(heights).tolist() == np.argsort([-mass for mass in times.mass[1]]).tolist()
    assert page.locator("#chart rect.window").count() == 1
    rows = page.locator("#moments tbody tr").all_inner_texts()
    assert rows[1].split("\t")[1:3] == [str(step) for step in times.stabilisation]


def test_every_word_has_its_numbers_beside_the_control(runs: Any, pages: Any, open_page: Any) -> None:
    found = ds.compare(runs[0], runs[1], control=runs[2])
    page = open_page(pages[0])
    rows = [row.split("\t") for row in page.locator("#effects-table tbody tr").all_inner_texts()]
    assert len(rows) == 2 * len(found.words)
    for index, (edit, beside) in enumerate(zip(found.words, found.control.words, strict=True)):
        for row, word in ((rows[2 * index], edit), (rows[2 * index + 1], beside)):
            assert float(row[5]) == pytest.approx(word.sf_iou, abs=6e-4)
            assert float(row[6]) == pytest.approx(word.chance, abs=6e-4)
    assert rows[0][0] == found.words[0].word and rows[1][1] == "control"


def test_a_pair_that_is_none_says_why_and_measures_nothing(runs: Any, pages: Any, open_page: Any) -> None:
    page = open_page(pages[1])
    expect(page.locator("#refused")).to_be_visible()
    rows = [row.split("\t") for row in page.locator("#refused-table tbody tr").all_inner_texts()]
    assert ["seed", "1", "2"] in rows
    for hidden in ("#measured", "#word", "#effects", "#slider-figure", "#change-figure"):
        expect(page.locator(hidden)).to_be_hidden()
    assert np.array_equal(pixels(page, "#after"), np.asarray(runs[3].image))


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("viewport", [PHONE, LAPTOP], ids=["phone", "laptop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(
    pages: Any, open_page: Any, page: int, viewport: dict[str, int], scheme: str
) -> None:
    opened = open_page(pages[page], viewport=viewport, color_scheme=scheme)
    assert opened.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    found = Axe().run(opened)
    assert found.violations_count == 0, found.generate_report()


def test_the_theme_follows_the_system_until_the_switch_says_otherwise(pages: Any, open_page: Any) -> None:
    def ground(page: Page) -> int:
        colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", colour)[:3])

    page = open_page(pages[0], color_scheme="dark")
    assert ground(page) < 150
    page.locator("input[name=theme][value=light]").check(force=True)
    assert ground(page) > 700
    page.reload()
    assert ground(page) > 700
