"""The head atlas's speed in a real browser: frames while one pans, zooms and scrubs, without a graphics card.

    python benchmarks/page_atlas.py [--sizes scenes sd15 sdxl] [--runs DIR --run ID] [--frames 120]

`scenes`, `sd15` and `sdxl` are made-up atlases with the sites of the shipped model (68 cells, 25 steps), Stable
Diffusion 1.5 (128, 50) and SDXL (1300, 50), whose files are as large as real ones (`tests/atlas_site.py`); with --runs
a recording of yours is taken instead.
Each line, in milliseconds while the atlas is dragged by some pixels a frame:

    frame     wall time from one paint to the next: median, 95th percentile, slowest
    page      processor time of the page's own thread a frame (script, styles, layout, compositing); in brackets the
              longest single task of it, and how many took 50 ms or more: these are the long frames
    painting  processor time a frame of the process that paints in the place of a graphics card, over all its threads

Wall time grows with whatever else the machine does (the load average is printed beside); processor time hardly does.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from atlas_site import scenes, stable_diffusion_15, stable_diffusion_xl, write_site  # noqa: E402
from browsing import LAPTOP, QUIET, chromium  # noqa: E402
from page_driver import build_page, folder_site, server  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

SIZES = {"scenes": scenes, "sd15": stable_diffusion_15, "sdxl": stable_diffusion_xl}
PAN = """async (frames) => {
  const stage = document.querySelector("[data-testid=atlas]"), box = stage.getBoundingClientRect();
  const at = (name, x, y) => stage.dispatchEvent(new PointerEvent(name, { clientX: x, clientY: y, bubbles: true,
    pointerId: 1, pointerType: "mouse", button: 0, buttons: 1, isPrimary: true }));
  stage.setPointerCapture = () => undefined;
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const times = [];
  at("pointerdown", middle.x, middle.y);
  at("pointermove", middle.x + 9, middle.y);
  let before = await new Promise(requestAnimationFrame);
  for (let i = 0; i < frames; i++) {
    at("pointermove", middle.x + 90 * Math.sin(i / 9), middle.y + 50 * Math.sin(i / 13));
    const now = await new Promise(requestAnimationFrame);
    times.push(now - before);
    before = now;
  }
  at("pointerup", middle.x, middle.y);
  return times;
}"""
SCRUB = """async (frames) => {
  const slider = document.querySelector("input[type=range]"), count = +slider.max + 1, times = [];
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  let before = await new Promise(requestAnimationFrame);
  for (let i = 0; i < frames; i++) {
    set.call(slider, (i * 7) % count);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    const now = await new Promise(requestAnimationFrame);
    times.push(now - before);
    before = now;
  }
  return times;
}"""


def spread(times: list[float]) -> str:
    """Median, 95th percentile and greatest."""
    ordered = sorted(times)
    return (
        f"{statistics.median(ordered):6.1f} {ordered[int(0.95 * (len(ordered) - 1))]:6.1f} {ordered[-1]:6.1f}"
    )


def children(browser_id: int) -> dict[str, list[int]]:
    """Process ids of a browser by their type: renderer, gpu-process, …"""
    found: dict[str, list[int]] = {}
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {browser_id}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    for process in family:
        try:
            line = Path(f"/proc/{process}/cmdline").read_text()
        except OSError:
            continue
        kind = re.search(r"--type=([\w-]+)", line)
        found.setdefault(kind[1] if kind else "browser", []).append(process)
    return found


def seconds(processes: list[int]) -> float:
    """Processor time of processes so far."""
    ticks = 0
    for process in processes:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def watched(browser: Browser, page: Page, what: str, frames: int, painters: list[int]) -> str:
    """Run a movement of so many frames; its line."""
    browser.start_tracing(page=page, categories=["toplevel", "disabled-by-default-devtools.timeline"])
    before = seconds(painters)
    times = page.evaluate(what, frames)
    painting = 1000 * (seconds(painters) - before) / frames
    events = json.loads(browser.stop_tracing())["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"].get("name") == "CrRendererMain"
    }
    tasks = [
        event["tdur"] / 1000
        for event in events
        if (event["pid"], event["tid"]) in threads
        and event.get("ph") == "X"
        and "tdur" in event
        and event["name"] in ("RunTask", "ThreadControllerImpl::RunTask")
    ]
    long = sum(task >= 50 for task in tasks)
    return (
        f"frame {spread(times)}   page {sum(tasks) / frames:5.1f} ({max(tasks, default=0):5.1f}, {long} long)"
        f"   painting {painting:6.1f}"
    )


def measure(browser: Browser, page: Page, address: str, run: str, word: str, frames: int) -> None:
    """Print what one atlas takes."""
    page.goto(f"{address}#/atlas/{run}?select=steps=3{f'+word={word}' if word else ''}")
    stage = page.get_by_test_id("atlas")
    stage.wait_for(timeout=300_000)
    page.wait_for_selector("[data-testid=atlas]:not([data-loading])", timeout=300_000)
    page.wait_for_selector("[data-testid=atlas-legend]", timeout=300_000)
    page.wait_for_timeout(1500)
    kinds = children(os.getpid())
    painters = kinds.get("gpu-process", [])
    for name, presses in (("the whole, panned", 0), ("nearer, panned", 3), ("a few heads, panned", 3)):
        stage.focus()
        for _ in range(presses):
            page.keyboard.press("+")
            page.wait_for_timeout(400)
        page.wait_for_timeout(1500)
        print(f"  {name:20s} {watched(browser, page, PAN, frames, painters)}", flush=True)
    stage.focus()
    page.keyboard.press("0")
    page.wait_for_timeout(1500)
    print(f"  {'scrubbed':20s} {watched(browser, page, SCRUB, frames, painters)}", flush=True)
    page.get_by_role("button", name="Steps as planes").click()
    page.wait_for_timeout(1500)
    print(f"  {'planes, turned':20s} {watched(browser, page, PAN, frames // 2, painters)}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--runs", type=Path, help="a folder of runs, served")
    parser.add_argument("--run", help="which of them")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--quick", action="store_true", help="the smallest alone, few frames")
    parser.add_argument("--static", type=Path, help="a built page elsewhere than in the package")
    options = parser.parse_args()
    sizes = ["scenes"] if options.quick else ["recording"] if options.runs else options.sizes
    frames = 30 if options.quick else options.frames
    if options.static is None:
        build_page()
    static = options.static or ROOT / "src" / "diffuscope" / "server" / "static"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                site = Path(folder)
                run, word, host = _put(size, site, static, options)
                page = browser.new_page(viewport=LAPTOP)
                print(f"{size}  (load average {os.getloadavg()[0]:.1f})", flush=True)
                with host as address:
                    measure(browser, page, address, run, word, frames)
                page.close()
        browser.close()
    return 0


def _put(
    size: str, site: Path, static: Path, options: argparse.Namespace
) -> tuple[str, str, AbstractContextManager[str]]:
    """A run of that size in the site; its id, a word, and what serves it."""
    if options.runs:
        return options.run, "", server(options.runs)
    shutil.copytree(static, site, dirs_exist_ok=True)
    steps = 25 if size == "scenes" else 50
    return write_site(site, SIZES[size](), steps=steps, details=size != "sdxl"), "horn", folder_site(site)


if __name__ == "__main__":
    sys.exit(main())
