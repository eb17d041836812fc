"""The page's speed, in a real browser: the first picture, scrubbing, a click on a place, and bytes.

    python benchmarks/page.py [--runs DIR --run ID]

Without a run the page's own example is taken, from a static folder. Times are medians, in milliseconds; the browser
paints without a graphics card.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from page_driver import LAPTOP, QUIET, build_page, chromium, folder_site, server  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

SCRUB = """async (rounds) => {
  const slider = document.querySelector("input[type=range]"), times = [], frames = [];
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  const count = +slider.max + 1;
  for (let i = 0; i < rounds; i++) {
    const begun = performance.now();
    set.call(slider, (i * 7) % count);
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


def measure(page: Page, address: str, run: str) -> dict[str, float]:
    """Name to number, of one visit."""
    sizes: list[int] = []
    page.on(
        "requestfinished",
        lambda request: sizes.append(request.sizes()["responseBodySize"]) if "/api/" in request.url else None,
    )
    page.goto(f"{address}#/run/{run}?select=steps=3")
    page.wait_for_function("() => document.querySelector('[data-testid=map] img')?.complete")
    first = page.evaluate("performance.now()")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.chip')].every(each => +each.style.getPropertyValue('--mass') > 0)",
        timeout=120_000,
    )
    whole = page.evaluate("performance.now()")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    found = {"first picture": first, "all words' maps": whole, "kB of the recording": sum(sizes) / 1000}
    seen = len(sizes)
    times, frames = page.evaluate(SCRUB, 60)
    found |= {
        "scrub, script": statistics.median(times),
        "scrub, frame": statistics.median(frames),
        "scrub, slowest frame": max(frames),
        "scrub, requests": len(sizes) - seen,
    }
    page.get_by_role("tab", name="Ask").click()
    page.get_by_role("radio", name="Pixel").click()
    asked = page.evaluate(ASK)
    return found | {"click to map, first": asked[0], "click to map": statistics.median(asked[1:])}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, help="a folder of runs, served")
    parser.add_argument("--run", help="which of them")
    parser.add_argument("--quick", action="store_true", help="the same: it is quick")
    options = parser.parse_args()
    build_page()
    static = ROOT / "src" / "diffuscope" / "server" / "static"
    run = options.run or next((static / "example" / "api" / "runs").glob("2*")).name
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        # The example has no page of its own: the page is put beside it, as an export does.
        shutil.copytree(static, folder, dirs_exist_ok=True)
        shutil.copytree(static / "example" / "api", Path(folder) / "api")
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
        page = browser.new_page(viewport=LAPTOP)
        with server(options.runs) if options.runs else folder_site(Path(folder)) as address:
            for name, number in measure(page, address, run).items():
                print(f"{name:24s} {number:10.1f}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
