"""How fast films of particles are made, and in how much memory: `diffuscope.morph` on one processor, no graphics card.

    python benchmarks/morph.py [--rounds N] [--page] [--json FILE]

A made-up score of Stable Diffusion 1.5's size at 50 steps (maps of 64x64, predicted pictures of 256x256, two words) is
played at several frame sizes and particle counts. Every frame is the film's next, evenly spaced, so noise, words and
picture are all in it. Apart: working out the particles, painting them. No promise is tied to it: films are made
once and at leisure. Times are of the processor, so that they mean the same on a busy machine. Peak memory is of the
whole process, the largest so far.

With ``--page`` the film is played in the page too, in Chromium without a graphics card (SwiftShader): a recording of
50 steps at 64x64 patches, ten seconds at each number of particles, at 1280x720. Times between frames are of the clock:
they mean something on a quiet machine only, so the machine's load is printed beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from diffuscope.morph.camera import path
from diffuscope.morph.field import Morph
from diffuscope.morph.render import render
from diffuscope.morph.score import Score

STEPS = 50
CASES = (((640, 360), 65_536), ((1280, 720), 65_536), ((1920, 1080), 65_536), ((1920, 1080), 262_144))


def made_up_score() -> Score:
    """Textures of the size of a recording of Stable Diffusion 1.5."""
    chance = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] / 64
    bump = np.exp(-((x - 0.6) ** 2 + (y - 0.5) ** 2) * 20)
    depth = np.stack([bump * step / STEPS + 0.1 * chance.random((64, 64)) for step in range(STEPS)])
    maps = (depth / depth.max()).astype(np.float32)
    colours = chance.random((STEPS, 256, 256, 3), np.float32)
    return Score(
        ("one", "other"), maps, np.stack([maps, maps[:, ::-1]]), colours, (0.2, 0.6), 1.0, tuple(range(STEPS))
    )


def page_cases() -> list[dict[str, float]]:
    """Times between frames in the page, and its memory, at several numbers of particles."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from browsing import QUIET, chromium
    from page_driver import build_page, folder_site
    from playwright.sync_api import sync_playwright
    from synthetic_run import Layout, make_run

    from diffuscope.server.export_site import export_site

    build_page()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "run", steps=STEPS, sites=[Layout("cross:up.0.0", (64, 64), 2, 16)])
        export_site([run], Path(folder) / "site")
        with folder_site(Path(folder) / "site") as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=list(QUIET))
            for count in (16_384, 65_536, 262_144):
                page = browser.new_page(viewport={"width": 1280, "height": 720})
                page.set_default_timeout(120_000)
                page.goto(f"{address}#/morph/run?word=circle&word=zeppelin&at=0.3")
                page.locator("canvas[data-run]:not([data-particles='0'])").wait_for()
                page.get_by_text("Words, look, camera").click()
                page.get_by_role("combobox", name="Particles").select_option(str(count))
                page.get_by_text("Words, look, camera").click()
                page.get_by_role("button", name="Play").click()
                times = page.evaluate(FRAMES, 10_000)
                row = {
                    "particles": count,
                    "median_ms": float(np.median(times)),
                    "worst_ms": float(np.max(times)),
                    "heap_mb": page.evaluate("() => performance.memory.usedJSHeapSize") / 1e6,
                    "load": os.getloadavg()[0],
                }
                rows.append(row)
                print(
                    f"page  {count:>7} particles  {row['median_ms']:6.0f} ms between frames "
                    f"(worst {row['worst_ms']:.0f})  "
                    f"heap {row['heap_mb']:.0f} MB  load {row['load']:.1f} on {os.cpu_count()} cores"
                )
                page.close()
            browser.close()
    return rows


FRAMES = """(length) => new Promise((done) => {
  const times = [], start = performance.now();
  let last = start;
  const step = (now) => {
    times.push(now - last);
    last = now;
    if (now - start < length) requestAnimationFrame(step); else done(times.slice(2));
  };
  requestAnimationFrame(step);
})"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8, help="frames of each case (default: 8)")
    parser.add_argument(
        "--page", action="store_true", help="play in a browser too; needs what the tests need"
    )
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    chosen = parser.parse_args()
    score = made_up_score()
    print(f"textures: {score.nbytes / 1e6:.1f} MB")
    rows = []
    for size, particles in CASES:
        morph = Morph(score, particles)
        placing, painting = [], []
        for index in range(chosen.rounds):
            start = time.process_time()
            cloud = morph.at((index + 0.5) / chosen.rounds)
            placed = time.process_time()
            render(cloud, path(cloud.moment, 1.0, size[0] / size[1]), size)
            placing.append(placed - start)
            painting.append(time.process_time() - placed)
        # Linux counts in kilobytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        place, paint = float(np.median(placing)), float(np.median(painting))
        row = {
            "size": f"{size[0]}x{size[1]}",
            "particles": particles,
            "place_ms": 1000 * place,
            "paint_ms": 1000 * paint,
            "frames_per_cpu_second": 1 / (place + paint),
            "peak_mb": peak,
        }
        rows.append(row)
        print(
            f"{row['size']:>9}  {particles:>7} particles  placed {row['place_ms']:6.0f} ms  "
            f"painted {row['paint_ms']:6.0f} ms  {row['frames_per_cpu_second']:5.2f} frames/CPU s  peak {peak:.0f} MB"
        )
    pages = page_cases() if chosen.page else []
    if chosen.json is not None:
        chosen.json.write_text(
            json.dumps({"texture_bytes": score.nbytes, "cases": rows, "page": pages}, indent=2),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
