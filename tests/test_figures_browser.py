"""The report in a real browser, opened from disk as a reader opens it.

Needs Chromium, which `scripts/browser.py` finds or installs. Without one these tests fail and say what to install: a
page that nobody opened is not tested.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from browsing import LAPTOP, NASTY, PHONE
from playwright.sync_api import Page, expect
from synthetic_run import make_run

from diffuscope.figures import embed
from diffuscope.figures.report import report_data, write_report
from diffuscope.maps.colormap import DisplayScale
from diffuscope.run import Run
from diffuscope.selection import Selection


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run.open(make_run(tmp_path_factory.mktemp("runs") / "run", steps=25))


@pytest.fixture(scope="module")
def report(run, tmp_path_factory) -> Path:
    return write_report(run, tmp_path_factory.mktemp("reports") / "a report.html")


@pytest.fixture
def open_page(browser):
    """Opens a report; fails at the end if the page threw, complained, or asked for anything but itself."""
    contexts, wrong = [], []

    def opened(path: Path, hash: str = "", **options) -> Page:
        context = browser.new_context(**{"viewport": LAPTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on(
            "request",
            lambda request: (
                wrong.append(request.url) if not request.url.startswith(("file:", "data:")) else None
            ),
        )
        page.goto(path.as_uri() + hash)
        expect(page.locator("#reading-word")).not_to_be_empty()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def colours_shown(page: Page, canvas: str = "#map") -> np.ndarray:
    """Pixels of a canvas, uint8 [y, x, 3]."""
    width, height, values = page.evaluate(
        """(name) => {
          const { width, height } = document.querySelector(name);
          const copy = new OffscreenCanvas(width, height).getContext("2d");
          copy.drawImage(document.querySelector(name), 0, 0);
          return [width, height, Array.from(copy.getImageData(0, 0, width, height).data)];
        }""",
        canvas,
    )
    return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]


def colours_expected(array, scale: DisplayScale, name: str = "magma") -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest colour that a map [y, x] may get: float16 may round to the next level."""
    levels = scale.unit_interval(array) * 255
    table = scale.colours(np.linspace(scale.low, scale.high, 256), name).astype(int)
    low, high = (
        np.floor(levels - 0.2).clip(0, 255).astype(int),
        np.ceil(levels + 0.2).clip(0, 255).astype(int),
    )
    return np.minimum(table[low], table[high]), np.maximum(table[low], table[high])


def assert_paints(page: Page, array, scale: DisplayScale, name: str = "magma", canvas: str = "#map") -> None:
    shown = colours_shown(page, canvas).astype(int)
    least, most = colours_expected(array, scale, name)
    assert shown.shape == least.shape
    assert np.all((shown >= least - 2) & (shown <= most + 2))


def choose_step(page: Page, step: int) -> None:
    page.locator("#step").fill(str(step))


def test_opens_on_the_first_word_that_names_something_with_the_map_of_all_steps(run, report, open_page):
    page = open_page(report)
    expect(page.locator("#reading-word")).to_have_text("red")
    expect(page.locator(".chip[aria-pressed=true]")).to_have_text("red")
    view = run.word("red")
    assert_paints(page, view.map().array, DisplayScale.of(view.steps().array, view.map().array))
    assert page.locator("#picture").evaluate("image => image.naturalWidth") == 128


def test_a_click_on_a_word_shows_its_map_at_every_step(run, report, open_page):
    page = open_page(report)
    page.get_by_role("button", name="“zeppelin”").click()
    series = run.word("zeppelin").steps()
    for step in (0, 7, 24):
        choose_step(page, step)
        assert_paints(page, series.array[step], DisplayScale.of(series.array))
    expect(page.locator("#caption-picture")).to_have_text("clean picture predicted at step 24")


def test_the_second_of_two_equal_words_is_its_own_word(run, report, open_page):
    page = open_page(report)
    page.locator(".chip", has_text="circle").nth(1).click()
    expect(page.locator("#take code").first).to_have_text("word=circle#2")
    series = run.word("circle#2").steps()
    assert_paints(page, series.mean().array, DisplayScale.of(series.array))


@pytest.mark.parametrize("mode", ["word", "shared", "map"])
def test_colour_ranges_are_what_their_labels_say(run, report, open_page, mode):
    page = open_page(report, "#steps=3+word=circle")
    page.locator("#range").select_option(mode)
    series = run.word("circle").steps()
    everything = np.stack([run.word(word.label).steps().array for word in run.words])
    ranges = {"word": series.array, "shared": everything, "map": series.array[3]}
    scale = DisplayScale.of(ranges[mode])
    assert_paints(page, series.array[3], scale)
    ends = [float(text) for text in page.locator("#scale-ticks span").all_inner_texts()]
    assert (ends[0], ends[-1]) == pytest.approx((scale.low, scale.high), rel=0.01, abs=1e-6)
    expect(page.locator("#scale")).to_have_attribute(
        "aria-label", re.compile("attention probability, from .* to ")
    )


def test_smoothing_interpolates_values_and_is_labelled(run, report, open_page):
    page = open_page(report, "#steps=20+word=blue")
    raw = colours_shown(page)
    page.locator("input[name=patches][value=smooth]").check(force=True)
    smooth = colours_shown(page)
    assert smooth.shape[0] > 4 * raw.shape[0]
    expect(page.locator("#caption-map")).to_contain_text("smoothed")
    factor = smooth.shape[0] // raw.shape[0]
    centres = smooth[factor // 2 :: factor, factor // 2 :: factor].astype(int)
    assert np.mean(np.abs(centres - raw.astype(int)) <= 24) > 0.9


def test_the_pointer_reads_the_value_of_its_patch(run, report, open_page):
    page = open_page(report, "#steps=11+word=circle")
    array = run.word("circle").map(11).array
    box = page.locator("#frame-map").bounding_box()
    for x, y in [(0, 0), (3, 7), (15, 15)]:
        page.mouse.move(box["x"] + (x + 0.5) / 16 * box["width"], box["y"] + (y + 0.5) / 16 * box["height"])
        value = float(page.locator("#pointer b").inner_text())
        assert value == pytest.approx(array[y, x], rel=2e-3, abs=1e-7)
        expect(page.locator("#pointer")).to_contain_text(f"column {x}, row {y}")


def test_the_curves_show_the_mass_of_all_words(run, report, open_page):
    page = open_page(report)
    page.locator("#table summary").click()
    rows = page.locator("#table tbody tr").all_inner_texts()
    shown = np.array([[float(cell) for cell in row.split()[1:]] for row in rows[1:]])
    expected = np.stack(
        [run.word("<start>").mass(), *(run.word(w.label).mass() for w in run.words), run.word("<end>").mass()]
    )
    np.testing.assert_allclose(shown.T, expected, rtol=6e-3)
    assert page.locator("#chart polyline").count() == len(run.words)
    expect(page.locator("#chart polyline.selected")).to_have_count(1)
    page.locator("#special").check()
    assert page.locator("#chart polyline").count() == len(run.words) + 2


def test_the_chart_tells_values_on_hover_and_goes_to_the_step_on_click(run, report, open_page):
    page = open_page(report, "#word=blue")
    box = page.locator("#chart").bounding_box()
    strip = page.locator("#strip").bounding_box()
    x = strip["x"] + strip["width"] * 9.5 / 25
    page.mouse.move(x, box["y"] + 60)
    tip = page.locator(".tip")
    expect(tip).to_contain_text("step 9")
    shown = float(tip.locator("p.selected span").nth(1).inner_text())
    assert shown == pytest.approx(run.word("blue").mass()[9], rel=6e-3)
    page.mouse.click(x, box["y"] + 60)
    expect(page.locator("#step-text b")).to_have_text("step 9")


def test_heat_strips_paint_each_word_tell_values_and_go_to_the_step(run, report, open_page):
    page = open_page(report, "#word=blue")
    strips = page.locator("#strips canvas")
    assert strips.count() == len(run.words)
    for at, word in enumerate(run.words):
        mass = run.word(word.label).mass()[None]
        page.evaluate("at => { document.querySelectorAll('#strips canvas')[at].id = `strip-${at}` }", at)
        shown = colours_shown(page, f"#strip-{at}").astype(int)
        least, most = colours_expected(mass, DisplayScale.of(mass))
        assert shown.shape == (1, 25, 3)
        # Masses stand in the page with six digits, so a level may round to its neighbour.
        assert np.all((shown >= least - 8) & (shown <= most + 8))
    page.locator("#strips").scroll_into_view_if_needed()
    cells = strips.nth(1).bounding_box()
    x, y = cells["x"] + cells["width"] * 9.5 / 25, cells["y"] + 4
    page.mouse.move(x, y)
    tip = page.locator(".strip-tip")
    expect(tip).to_contain_text("step 9")
    shown = float(tip.locator("p").nth(1).locator("span").nth(1).inner_text())
    assert shown == pytest.approx(run.word(run.words[1].label).mass()[9], rel=6e-3)
    page.mouse.click(x, y)
    expect(page.locator("#step-text b")).to_have_text("step 9")
    line, chart = page.locator(".strip-line").bounding_box(), page.locator("#chart .playhead").bounding_box()
    assert line["x"] == pytest.approx(chart["x"], abs=1.5)
    peaks = [word["peak"] for word in report_data(run)["words"] if word["kind"] == "word"]
    assert page.locator(".strip-peak").count() == sum(peak is not None for peak in peaks)


def test_the_selection_stands_in_its_text_form_and_in_the_address(run, report, open_page):
    page = open_page(report)
    page.get_by_role("button", name="“blue”", exact=True).click()
    choose_step(page, 12)
    text = page.locator("#take code").first.inner_text()
    assert Selection.parse(text) == run.word("blue").map(12).selection
    expect(page).to_have_url(re.compile("#steps=12[+]word=blue$"))
    again = open_page(report, page.evaluate("location.hash"))
    expect(again.locator("#reading-word")).to_have_text("blue")
    expect(again.locator("#step-text b")).to_have_text("step 12")
    again.evaluate("location.hash = '#word=red'")
    expect(again.locator("#reading-word")).to_have_text("red")
    expect(again.locator("#step-text b")).to_have_text("all steps")


@pytest.mark.parametrize(
    "hash", ["#word=elephant", "#steps=99+word=red", "#%E0%A4%A", "#<img src=x>", "#steps=all"]
)
def test_an_address_that_asks_for_what_is_not_there_still_opens(report, open_page, hash):
    expect(open_page(report, hash).locator("#reading-word")).to_have_text("red")


def test_words_combine_into_a_phrase_whose_map_is_their_sum(run, report, open_page):
    page = open_page(report)
    page.locator(".chip", has_text="circle").first.click(modifiers=["Shift"])
    expect(page.locator("#reading-word")).to_have_text("red + circle")
    assert page.locator(".chip[aria-pressed=true]").count() == 2
    series = run.phrase("red circle").steps()
    assert_paints(page, series.mean().array, DisplayScale.of(series.array))
    text = page.locator("#take code").first.inner_text()
    np.testing.assert_allclose(run.map(text).array, series.mean().array)
    again = open_page(report, "#steps=4+word=%22red+circle%22")
    assert_paints(again, series.array[4], DisplayScale.of(series.array))


def test_play_walks_to_the_last_step_and_stops(report, open_page):
    page = open_page(report)
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.locator("#step-text b")).to_have_text("step 24", timeout=15_000)
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_play_is_slow_where_less_motion_is_wished_for(report, open_page):
    page = open_page(report, reduced_motion="reduce")
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(1500)
    assert page.locator("#step-text b").inner_text() in ("step 0", "step 1", "step 2")


def test_scrubbing_never_waits(report, open_page):
    page = open_page(report)
    milliseconds = page.evaluate(
        """() => { const slider = document.getElementById("step"), times = [];
        for (let i = 0; i < 75; i++) {
          const begun = performance.now();
          slider.value = i % 25;
          slider.dispatchEvent(new Event("input"));
          document.body.offsetHeight;
          times.push(performance.now() - begun);
        }
        return times.sort((a, b) => a - b)[Math.floor(times.length / 2)]; }"""
    )
    assert milliseconds < 30  # two frames, on a busy machine without a graphics card


def test_everything_is_reached_and_used_by_keyboard(run, report, open_page):
    page = open_page(report)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.name"
            )
        )
    wanted = [
        "skip",
        "theme",
        "chip",
        "combine",
        "frame-map",
        "play",
        "all-steps",
        "step",
        "cell-0",
        "opacity",
        "behind",
        "patches",
        "range",
        "colours",
    ]
    assert [name for name in wanted if name not in reached] == []

    page.locator(".chip[aria-pressed=true]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#reading-word")).to_have_text("circle")
    page.locator("#step").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#step-text b")).to_have_text("step 1")
    page.locator("#cell-1").focus()
    page.keyboard.press("End")
    expect(page.locator("#step-text b")).to_have_text("step 24")
    page.locator("#frame-map").focus()
    page.keyboard.press("ArrowLeft")
    heatmap = run.word("circle").map(24)
    y, x = heatmap.peak
    expect(page.locator("#pointer")).to_contain_text(f"column {x}, row {y}")
    assert float(page.locator("#pointer b").inner_text()) == pytest.approx(heatmap.array.max(), rel=2e-3)


def test_every_map_is_told_in_words(run, report, open_page):
    page = open_page(report, "#word=blue")
    heatmap, share = run.word("blue").map(), run.word("blue").share()
    told = page.locator("#summary").inner_text()
    y, x = heatmap.peak
    assert (
        f"at column {x}, row {y} of 16 by 16 patches" in told
        and "Centroid" in told
        and "of the words' attention" in told
    )
    across = float(re.search(r"Centroid ([\d.]+)% across", told)[1])
    assert across == pytest.approx(100 * (heatmap.centroid[1] + 0.5) / 16, rel=0.01)
    labels = [cell.get_attribute("aria-label") for cell in page.locator(".cell").all()]
    assert len(labels) == 25 and all("Peak" in label and "Centroid" in label for label in labels)
    shown = float(re.search(r"([\d.]+)% of the words", labels[6])[1])
    assert shown == pytest.approx(100 * share[6], rel=0.05)


def test_prompt_text_is_data(tmp_path, open_page):
    run = Run.open(make_run(tmp_path / "run", prompt=NASTY, steps=2, length=60))
    page = open_page(write_report(run, tmp_path / "report.html"))
    assert page.evaluate("window.hurt") is None
    # The picture, its predicted clean picture, and the picture under the objects.
    assert page.locator("main img").count() == 3 and page.locator("script").count() == 2
    assert NASTY in page.title()
    shown = "".join(
        page.locator("#words > *").evaluate_all(
            "nodes => nodes.map(node => node.firstElementChild?.textContent ?? node.textContent)"
        )
    )
    assert re.sub(r"\s", "", NASTY) in re.sub(r"\s", "", shown)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["wide", "narrow"])
def test_axe_finds_nothing(report, open_page, scheme, size):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(report, "#steps=5+word=circle", color_scheme=scheme, viewport=size)
    page.locator("#table summary").click()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


def test_nothing_sticks_out_at_any_width(report, open_page):
    page = open_page(report)
    for width in (360, 480, 719, 720, 1024, 1119, 1120, 1440, 2200):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        outside = page.evaluate(
            """() => [...document.querySelectorAll("main *")].filter((node) => {
              const box = node.getBoundingClientRect();
              const meant = node.closest(".unseen, .table-scroll, input");
              return box.width && !meant && (box.right > innerWidth + 1 || box.left < -1);
            }).map((node) => node.outerHTML.slice(0, 80))"""
        )
        assert outside == [], width


def test_the_theme_follows_the_system_until_the_switch_says_otherwise(report, open_page):
    def lightness(page):
        red, green, blue = map(
            int,
            re.findall(r"\d+", page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))[
                :3
            ],
        )
        return (red + green + blue) / 765

    page = open_page(report, color_scheme="dark")
    assert lightness(page) < 0.2
    page.locator("input[name=theme][value=light]").check(force=True)
    assert lightness(page) > 0.9
    page.reload()
    assert lightness(page) > 0.9
    assert lightness(open_page(report, color_scheme="light")) > 0.9


def test_a_tall_picture_and_maps_of_a_byte_a_patch(tmp_path, open_page, monkeypatch):
    monkeypatch.setattr(embed, "FLOAT16_BYTES", 0)
    run = Run.open(make_run(tmp_path / "run", steps=4, tall=True, level="maps"))
    page = open_page(write_report(run, tmp_path / "report.html"), "#steps=2+word=circle")
    box = page.locator("#frame-map").bounding_box()
    assert box["height"] / box["width"] == pytest.approx(1.5, rel=0.01)
    expect(page.locator("#pointer")).to_contain_text("256 levels")
    array = run.word("circle").map(2).array
    page.mouse.move(box["x"] + 2.5 / 16 * box["width"], box["y"] + 20.5 / 24 * box["height"])
    shown = float(page.locator("#pointer b").inner_text())
    assert shown == pytest.approx(array[20, 2], abs=float(np.ptp(array)) / 500)


def test_an_interrupted_run_says_so(tmp_path, open_page):
    run = Run.open(make_run(tmp_path / "run", steps=9, stop_after=3))
    page = open_page(write_report(run, tmp_path / "report.html"))
    expect(page.locator("#notice")).to_contain_text("stopped after 3 of 9 steps")
    expect(page.locator("#caption-picture")).to_contain_text("last predicted picture")
    assert page.locator(".cell").count() == 3


def test_a_run_without_previews_shows_the_finished_picture(tmp_path, open_page):
    run = Run.open(make_run(tmp_path / "run", steps=2, previews=False))
    page = open_page(write_report(run, tmp_path / "report.html"), "#steps=1+word=red")
    expect(page.locator("#caption-picture")).to_contain_text("finished picture")
    expect(page.locator("input[name=behind]").first).to_be_disabled()
