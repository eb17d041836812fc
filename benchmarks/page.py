"""The page's speed, in a real browser: the first picture, scrubbing, a click on a place, and bytes.

    python benchmarks/page.py                      the page's own example, from a static folder
    python benchmarks/page.py --runs DIR --run ID  a run, served
    python benchmarks/page.py --sd15               a made-up recording of the size of Stable Diffusion 1.5 at
                                                   512 pixels and 50 steps, served; its pictures are as full of
                                                   detail as photographs

Times are medians, in milliseconds. The browser has no graphics card: it composes on the processor and emulates WebGL.
Processor time is that of all its processes, which a busy machine lengthens less than the time on the wall.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browsing import LAPTOP, chromium  # noqa: E402
from page_driver import build_page, folder_site, server  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from diffuscope.testing import sized_run  # noqa: E402

WITHOUT_CARD = ("--no-sandbox", "--no-first-run", "--disable-gpu", "--enable-unsafe-swiftshader")
"""As a browser runs where there is no graphics card."""

STEPS, ROUNDS = 50, 60

SCRUB = """async (rounds) => {
  const slider = document.querySelector("input[type=range]"), times = [], frames = [];
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  const count = +slider.max + 1;
  for (let i = 0; i < rounds; i++) {
    await new Promise(requestAnimationFrame);
    const begun = performance.now();
    set.call(slider, (i * 7 + 1) % count);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    document.body.offsetHeight;
    times.push(performance.now() - begun);
    await new Promise(requestAnimationFrame);
    frames.push(performance.now() - begun);
  }
  return [times, frames];
}"""
ASK = """async () => {
  const frame = document.querySelector("[data-testid=map]"), box = frame.getBoundingClientRect(), times = [];
  for (let i = 0; i < 12; i++) {
    const at = { clientX: box.x + box.width * (0.1 + 0.065 * i), clientY: box.y + box.height * (0.9 - 0.06 * i) };
    const begun = performance.now(), before = document.querySelector("[data-testid=asked]")?.textContent;
    const press = (name) => new PointerEvent(name, { ...at, bubbles: true, pointerId: 1 });
    frame.dispatchEvent(press("pointerdown"));
    const legend = document.querySelector("[data-testid=legend]"), ends = legend.textContent;
    while ((document.querySelector("[data-testid=asked]")?.textContent === before || legend.textContent === ends)
      && performance.now() - begun < 5000) await new Promise(requestAnimationFrame);
    times.push(performance.now() - begun);
  }
  return times;
}"""


KINDS = (("maps", "/maps/"), ("pictures", "/(previews|image|thumbnail)"), ("facts", "/api/"), ("page", ""))
FETCHED = """() => performance.getEntriesByType("resource").filter((each) => each.transferSize > 0)
  .map((each) => [each.name, each.encodedBodySize])"""


def fetched(page: Page) -> tuple[dict[str, int], int]:
    """What the visit has cost so far: bytes of answers by what they are for, and how many were of recordings."""
    of = {name: 0 for name, _ in KINDS}
    answers = page.evaluate(FETCHED)
    for address, size in answers:
        of[next(name for name, pattern in KINDS if re.search(pattern, address))] += size
    return of, sum("/api/" in address for address, _ in answers)


def processor(browser: Browser) -> float:
    """Seconds of processor time that all processes of the browser have taken."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return sum(each["cpuTime"] for each in found)


def measure(browser: Browser, page: Page, address: str, run: str) -> dict[str, float]:
    """Name to number, of one visit."""
    page.add_init_script("performance.setResourceTimingBufferSize(5000)")
    page.goto(f"{address}#/run/{run}?select=steps=3")
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-testid=map] img, [data-testid=map] .shot')]"
        ".some(each => each.complete ?? true)"
    )
    first = page.evaluate("performance.now()")
    page.wait_for_function(
        "() => document.querySelector('.chip')"
        " && [...document.querySelectorAll('.chip')].every(each => +each.style.getPropertyValue('--mass') > 0)",
        timeout=120_000,
    )
    whole = page.evaluate("performance.now()")
    # All pictures that are held ahead are there.
    page.wait_for_function("() => !document.querySelector('.film span')")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    found = {"first picture": first, "all words' maps": whole}
    cost, _ = fetched(page)
    found |= {f"kB of {kind}": size / 1000 for kind, size in cost.items()}
    found["kB of the recording"] = sum(size for kind, size in cost.items() if kind != "page") / 1000
    page.evaluate(SCRUB, ROUNDS)  # Once through, so that what is worked out once is.
    seen, before = fetched(page)[1], processor(browser)
    times, frames = page.evaluate(SCRUB, ROUNDS)
    found |= {
        "scrub, script": statistics.median(times),
        "scrub, frame": statistics.median(frames),
        "scrub, 95 % of frames": sorted(frames)[int(0.95 * len(frames))],
        "scrub, slowest frame": max(frames),
        "scrub, processor a step": 1000 * (processor(browser) - before) / ROUNDS,
        "scrub, requests": fetched(page)[1] - seen,
    }
    page.get_by_role("tab", name="Ask").click()
    if page.get_by_role("radio", name="Pixel").count() == 0:
        return found  # It kept no self-attention.
    page.get_by_role("radio", name="Pixel").click()
    asked = page.evaluate(ASK)
    return found | {"click to map, first": asked[0], "click to map": statistics.median(asked[1:])}


def like_a_photograph(side: int, blur: float) -> Image.Image:
    """512 x 512 pixels whose spectrum falls as that of photographs does, with 1/f (Field 1987, section 3); the finer
    half of it comes as `blur` goes from 1 to 0."""
    random = np.random.default_rng(int(1000 * blur))
    across = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(512)))
    falls = 1 / np.maximum(across, 1 / 512) * np.exp(-((across * 8 * blur) ** 2))
    waves = np.fft.fft2(random.normal(size=(3, 512, 512))) * falls
    light = np.fft.ifft2(waves).real
    light = light[:1] + 0.4 * light  # Colours go together for the most part.
    light = 128 + 50 * (light - light.mean()) / light.std()
    return Image.fromarray(light.clip(0, 255).astype(np.uint8).transpose(1, 2, 0), "RGB")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, help="a folder of runs, served")
    parser.add_argument("--run", help="which of them")
    parser.add_argument("--sd15", action="store_true", help="a made-up recording of that size")
    parser.add_argument("--quick", action="store_true", help="the same: it is quick")
    options = parser.parse_args()
    build_page()
    static = ROOT / "src" / "diffuscope" / "server" / "static"
    run = options.run or next((static / "example" / "api" / "runs").glob("2*")).name
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        if options.sd15:
            options.runs, run = Path(folder) / "runs", "sd15"
            with patch.object(sized_run, "_picture", like_a_photograph):
                sized_run.make_sized_run(options.runs / run, "sd15", steps=STEPS)
        # The example has no page of its own: the page is put beside it, as an export does.
        shutil.copytree(static, folder, dirs_exist_ok=True)
        shutil.copytree(static / "example" / "api", Path(folder) / "api")
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(WITHOUT_CARD))
        page = browser.new_page(viewport=LAPTOP)
        page.set_default_timeout(600_000)
        with server(options.runs) if options.runs else folder_site(Path(folder)) as address:
            for name, number in measure(browser, page, address, run).items():
                print(f"{name:24s} {number:10.1f}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
