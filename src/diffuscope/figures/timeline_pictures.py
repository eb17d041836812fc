"""Words over the steps as pictures: early, middle and late side by side, and paths over the drawn picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from diffuscope.errors import NotKeptError, SelectionError
from diffuscope.figures.canvas import Canvas, ThemeName, mixed, theme_of
from diffuscope.figures.strip import over, panel_size, preview
from diffuscope.figures.timeline import DASHES, MARGIN, cut
from diffuscope.maps.colormap import NAMES, DisplayScale, colormap
from diffuscope.maps.picture import Colour

if TYPE_CHECKING:
    from diffuscope.analysis.timeline import Timeline, Timelines

PHASE_NAMES = {"noise": "early", "structure": "middle", "detail": "late"}


def triptych(
    timelines: Timelines,
    words: Sequence[str] | None = None,
    *,
    alpha: float = 0.6,
    colours: str = NAMES[0],
    side: int = 168,
    theme: ThemeName = "light",
) -> Image.Image:
    """A row a word: the mean of its maps over the early, middle and late steps (the planned phases), each over the
    clean picture that was predicted at the phase's last step. Each row has one range of colours. RGB.

    Args:
        timelines: `Run.timeline`.
        words: labels; all words of the timelines when None.
        alpha: opacity of the maps.
        colours: see `diffuscope.maps.colormap.NAMES`.
        side: longer side of a panel.
        theme: ``light`` or ``dark``.
    """
    look = theme_of(theme)
    rows = [timelines[label] for label in (words or timelines.words)]
    if not rows:
        raise SelectionError("name at least one word to show")
    run = timelines.run
    tall, wide = panel_size(run, side)
    parts = [(name, *ends) for name, ends in timelines.run_phases.of.items()]
    named, gap, bar = 96.0, 10.0, 118.0
    width = MARGIN * 2 + named + len(parts) * (wide + gap) + bar
    top = MARGIN + 74
    note = (
        "Mean over each phase's steps, over the clean picture predicted at its last step, in grey. Colours run over "
        "each row's own range."
    )
    canvas = Canvas(width, top + len(rows) * (tall + gap) + 46 + MARGIN, look)
    canvas.text((MARGIN, MARGIN - 6), "Early, middle, late", 18)
    canvas.text((MARGIN, MARGIN + 20), cut(canvas, run.prompt, width - 2 * MARGIN, 12), 12, look.quiet)
    for column, (name, first, last) in enumerate(parts):
        x = MARGIN + named + column * (wide + gap)
        canvas.text((x, top - 34), PHASE_NAMES[name], 13)
        canvas.text((x, top - 17), f"{name}, steps {first.step} to {last.step}", 11, look.quiet)
    for number, each in enumerate(rows):
        y = top + number * (tall + gap)
        maps = [_mean(each, first.step, last.step) for _, first, last in parts]
        scale = DisplayScale.of(*maps)
        canvas.text(
            (MARGIN + named - 10, y + tall / 2 - 8),
            cut(canvas, each.label, named - 12, 13),
            13,
            None,
            "right",
        )
        for column, (values, (_, _, last)) in enumerate(zip(maps, parts, strict=True)):
            under = preview(run, last.step)
            panel = over(values, under, (tall * 2, wide * 2), scale, colours, alpha=alpha, smooth=False)
            canvas.picture(panel, (MARGIN + named + column * (wide + gap), y), (wide, tall))
        _scale(canvas, scale, colours, width - MARGIN - bar + gap, y, tall)
    canvas.lines((MARGIN, top + len(rows) * (tall + gap) + 8), note, width - 2 * MARGIN, 11, look.quiet)
    return canvas.finished()


def paths(
    timelines: Timelines,
    words: Sequence[str] | None = None,
    *,
    boxes: bool = True,
    side: int = 520,
    theme: ThemeName = "light",
) -> Image.Image:
    """Where each word's centroid goes, over the picture in grey, from a ring (first step) to a dot (last). RGB.

    Args:
        timelines: `Run.timeline`.
        words: labels; all words of the timelines when None.
        boxes: draw the box of each word's last map.
        side: longer side of the picture.
        theme: ``light`` or ``dark``: of the sheet around the picture.
    """
    look = theme_of(theme)
    rows = [timelines[label] for label in (words or timelines.words)]
    if not rows:
        raise SelectionError("name at least one word to show")
    run = timelines.run
    tall, wide = panel_size(run, side)
    width = wide + 2 * MARGIN + 178
    canvas = Canvas(width, tall + MARGIN + 128, look)
    canvas.text((MARGIN, MARGIN - 6), "Where words move", 18)
    canvas.text((MARGIN, MARGIN + 20), cut(canvas, run.prompt, width - 2 * MARGIN, 12), 12, look.quiet)
    at = (MARGIN, MARGIN + 48)
    try:
        behind: Image.Image | None = run.image
    except NotKeptError:
        behind = preview(run, timelines.steps[-1])
    if behind is not None:
        grey = behind.convert("L").point(lambda level: 118 + level * 0.54).convert("RGB")
        canvas.picture(grey, at, (wide, tall))
    else:
        canvas.box(at[0], at[1], at[0] + wide, at[1] + tall, mixed(look.paper, look.line, 0.5))
    pixels = run.manifest.sampling.height, run.manifest.sampling.width
    traces: list[tuple[list[tuple[float, float]], Colour]] = []
    # On the grey picture the light theme's darker hues are seen best, whatever the sheet.
    hues = theme_of("light").series
    for number, each in enumerate(rows):
        colour, dash = hues[number % len(hues)], DASHES[number // len(hues) % len(DASHES)]
        points = [
            (at[0] + (x + 0.5) * wide / pixels[1], at[1] + (y + 0.5) * tall / pixels[0])
            for y, x in each.centroid
        ]
        x0, y0, x1, y1 = each.box[-1]
        if boxes and np.isfinite(x0):
            corners = [(x0, y0), (x1 + 1, y0), (x1 + 1, y1 + 1), (x0, y1 + 1), (x0, y0)]
            placed = [(at[0] + x * wide / pixels[1], at[1] + y * tall / pixels[0]) for x, y in corners]
            canvas.line(placed, colour, 1.2, (4, 4))
        _path(canvas, points, colour, dash)
        traces.append((points, colour))
        _named(canvas, each, colour, (at[0] + wide + 16, at[1] + number * 52))
    if len(rows) * 52 < tall - 172:
        _closer(canvas, traces, (at[0] + wide + 16, at[1] + tall - 150))
    note = (
        "Centre of mass of each word's map, step by step: ring first, dot last. Dashed: box of the last map's mask "
        "(above 0.4 of its maximum). A map that is spread over the whole picture has its centroid near the middle."
    )
    canvas.lines((MARGIN, at[1] + tall + 12), note, width - 2 * MARGIN, 11, look.quiet)
    return canvas.finished()


def _path(
    canvas: Canvas, points: list[tuple[float, float]], colour: Colour, dash: tuple[float, float] | None
) -> None:
    canvas.line(points, (255, 255, 255), 4.6)
    canvas.line(points, colour, 2.4, dash)
    canvas.dot(points[0], 5.5, (255, 255, 255), colour, 2)
    canvas.dot(points[-1], 5, colour, (255, 255, 255), 1.4)


def _closer(
    canvas: Canvas,
    traces: list[tuple[list[tuple[float, float]], Colour]],
    at: tuple[float, float],
    side: float = 150.0,
) -> None:
    """All paths once more, as large as they fit into a square: spread maps have paths that are short."""
    every = np.array([point for points, _ in traces for point in points])
    low, high = every.min(axis=0), every.max(axis=0)
    factor = (side - 20) / max(float((high - low).max()), 1.0)
    if factor < 1.5:
        return
    middle = (low + high) / 2
    canvas.box(at[0], at[1], at[0] + side, at[1] + side, (236, 236, 238), canvas.theme.line)
    for points, colour in traces:
        moved = (np.array(points) - middle) * factor + np.array([at[0] + side / 2, at[1] + side / 2])
        _path(canvas, [(float(x), float(y)) for x, y in moved], colour, None)
    canvas.text((at[0], at[1] - 16), f"the paths, {factor:.1f} times larger", 10, canvas.theme.quiet)


def _named(canvas: Canvas, each: Timeline, colour: Colour, at: tuple[float, float]) -> None:
    """A word's key: its colour, how far it went, how spread it is."""
    look = canvas.theme
    moved = float(np.linalg.norm(each.centroid[-1] - each.centroid[0]))
    canvas.dot((at[0] + 5, at[1] + 8), 5, colour)
    canvas.text((at[0] + 16, at[1]), cut(canvas, each.label, 140, 13), 13)
    canvas.text((at[0] + 16, at[1] + 17), f"moved {moved:.1f} pixels", 10, look.quiet)
    canvas.text(
        (at[0] + 16, at[1] + 30),
        f"spread {each.spread[0]:.1f} to {each.spread[-1]:.1f} pixels",
        10,
        look.quiet,
    )


def _mean(each: Timeline, first: int, last: int) -> np.ndarray:
    chosen = [first <= step <= last for step in each.steps]
    return np.asarray(each.series.array[np.array(chosen)].mean(axis=0, dtype=np.float64))


def _scale(canvas: Canvas, scale: DisplayScale, colours: str, x: float, y: float, tall: float) -> None:
    """An upright colour scale with its ends."""
    ramp = colormap(colours)[np.linspace(255, 0, 128).round().astype(int)]
    canvas.picture(Image.fromarray(np.repeat(ramp[:, None], 4, axis=1)), (x, y), (10, tall))
    canvas.text((x + 15, y - 2), f"{scale.high:.3g}", 10, canvas.theme.quiet)
    canvas.text((x + 15, y + tall - 12), f"{scale.low:.3g}", 10, canvas.theme.quiet)
    canvas.text((x + 15, y + tall / 2 - 7), "probability", 10, canvas.theme.quiet)
