"""The drawing order: who came when. Of one run, or of many with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from diffuscope.errors import SelectionError
from diffuscope.figures.canvas import Canvas, ThemeName, mixed, theme_of, ticks
from diffuscope.figures.timeline import MARGIN, NAMES_WIDTH, RIGHT, ROW, WIDTH, Sheet, cut, neighbours

if TYPE_CHECKING:
    from diffuscope.analysis.timeline import Timeline, Timelines
    from diffuscope.analysis.timeline.order import Paired
    from diffuscope.analysis.timeline.survival import Survival

UNITS = {"step": "step", "share": "share of the run", "log_snr": "log-SNR"}


def order_chart(timelines: Timelines, *, controls: bool = False, theme: ThemeName = "light") -> Image.Image:
    """One run: words from the first to come to the last, each with its emergences, settling and the range of its
    peak. RGB.

    Words, and then controls, are ordered by emergence in the picture where a judge answered, else by attention; what
    never came stands last, with
    an arrow: it is later than the last step, if at all.
    """
    look = theme_of(theme)
    rows = [*timelines.words.values(), *(timelines.controls.values() if controls else ())]
    if not rows:
        raise SelectionError("there is no word to show; ask for the controls too")
    rows = sorted(rows, key=lambda each: (each.label not in timelines.words, *_arrival(each)))
    sheet = Sheet(
        "Drawing order",
        timelines.run.prompt,
        len(rows) * ROW + 6,
        [
            (
                "Dot: there in the predicted picture, and stays. Ring: the word's map overlaps the object. Square: the "
                "map is settled (none where it never moved). Bar: range of the mass's peak (none where it is flat). "
                "Arrow: not there by the last step. One run: an order needs many (Run.timeline over seeds)."
            ),
        ],
        look,
        timelines.course,
    )
    canvas = sheet.canvas
    for number, each in enumerate(rows):
        y = sheet.top + number * ROW + ROW / 2
        colour = look.series[0] if each.label in timelines.words else look.quiet
        canvas.line([(sheet.left, y), (sheet.right, y)], look.line)
        canvas.text(
            (sheet.left - 8, y - 8), cut(canvas, each.label, NAMES_WIDTH - 10, 12), 12, look.ink, "right"
        )
        if not each.peak.flat:
            for run in neighbours([sheet.position(step) for step in each.peak.near]):
                ends = sheet.left + run[0] * sheet.cell, sheet.left + (run[-1] + 1) * sheet.cell
                canvas.box(ends[0], y - 5, ends[1], y + 5, mixed(look.paper, colour, 0.32))
        if each.stabilisation.moved:
            x = sheet.x(sheet.position(each.stabilisation.at.step))
            canvas.box(x - 3.5, y - 3.5, x + 3.5, y + 3.5, look.paper, colour)
        said = []
        attention, image = each.emergence_attention, each.emergence_image
        if attention.at:
            canvas.dot((sheet.x(sheet.position(attention.at.step)), y), 5.2, None, colour, 1.6)
        said.append(f"map {attention.at.step if attention.at else 'never'}")
        if image is not None:
            if image.at:
                canvas.dot((sheet.x(sheet.position(image.at.step)), y), 3.4, colour)
            said.insert(0, f"picture {image.at.step if image.at else 'never'}")
        if (image or attention).censored:
            _arrow(canvas, sheet.right - 2, y, colour)
        canvas.text((sheet.right + 8, y - 7), ", ".join(said), 10, look.quiet)
    sheet.axis()
    return canvas.finished()


def order_of_many(
    survivals: Sequence[Survival],
    comparisons: Sequence[Paired] = (),
    *,
    scale: str = "step",
    title: str = "Drawing order over runs",
    subtitle: str = "",
    theme: ThemeName = "light",
) -> Image.Image:
    """Many runs: median time of each name with its 95% interval, the share of runs that have it by then behind. RGB.

    Args:
        survivals: `diffuscope.analysis.timeline.survival` of each name.
        comparisons: `paired` ones, written below.
        scale: unit of time, as of `events`.
        title, subtitle, theme: as said.
    """
    if not survivals:
        raise SelectionError("there is nothing to order: give the survival of at least one name")
    look = theme_of(theme)
    times = np.concatenate([each.times for each in survivals] + [[each.high or 0.0] for each in survivals])
    low, high = float(times.min()), float(times.max())
    high = high if high > low else low + 1
    rows = sorted(survivals, key=lambda each: (each.median is None, each.median or 0.0))
    pitch = 44.0
    notes = (
        "Steps behind: share of runs in which it is there by then (Kaplan-Meier). Dot: median. Bar: its 95% "
        "interval; an arrow where it is open. Runs that never showed it count as later than the last step."
    )
    few = [each for each in rows if not each.enough]
    if few:
        notes += f" Fewer than 20 runs: {', '.join(each.name for each in few)}."
    said = [str(each) for each in comparisons]
    trial = Canvas(1, 1, look)
    wide = WIDTH - 2 * MARGIN
    heights = [(-(-int(trial.measure(text, 11)) // int(wide - 40)) or 1) * 15.4 for text in [notes, *said]]
    top, left, right = MARGIN + 58, MARGIN + NAMES_WIDTH, WIDTH - MARGIN - RIGHT
    bottom = top + len(rows) * pitch
    canvas = Canvas(WIDTH, bottom + 52 + sum(heights) + 6 * len(said) + MARGIN, look)
    canvas.text((MARGIN, MARGIN - 6), cut(canvas, title, wide, 18), 18)
    canvas.text((MARGIN, MARGIN + 20), cut(canvas, subtitle, wide, 12), 12, look.quiet)

    def x(value: float) -> float:
        return left + 6 + (value - low) / (high - low) * (right - left - 24)

    for tick in ticks(low, high, 8):
        canvas.line([(x(tick), top), (x(tick), bottom)], look.line)
        canvas.text((x(tick), bottom + 5), f"{tick:g}", 11, look.quiet, "middle")
    canvas.text(((left + right) / 2, bottom + 22), UNITS.get(scale, scale), 11, look.quiet, "middle")
    for number, each in enumerate(rows):
        base = top + (number + 1) * pitch - 8
        colour = look.series[number % len(look.series)]
        canvas.line([(left, base), (right, base)], look.line)
        canvas.text(
            (left - 8, base - 20), cut(canvas, each.name, NAMES_WIDTH - 10, 12), 12, look.ink, "right"
        )
        _risen(canvas, each, base, pitch - 14, x, right - 14, mixed(look.paper, colour, 0.3))
        y = base - 9
        start = x(each.low) if each.low is not None else None
        end = x(each.high) if each.high is not None else right - 14
        if start is not None:
            canvas.line([(start, y), (end, y)], colour, 2.4)
            if each.high is None:
                _arrow(canvas, right - 6, y, colour)
        if each.median is not None:
            canvas.dot((x(each.median), y), 4.6, colour, look.paper)
        spoken = "never in half" if each.median is None else f"{each.median:.3g}"
        ends = ["…" if value is None else f"{value:.3g}" for value in (each.low, each.high)]
        canvas.text((right + 4, base - 26), f"{spoken} ({ends[0]} to {ends[1]})", 11, look.ink)
        canvas.text((right + 4, base - 12), f"{each.runs} runs, {each.censored} never", 10, look.quiet)
    y = bottom + 46
    for text, height in zip([notes, *said], heights, strict=True):
        canvas.lines((MARGIN, y), text, wide, 11, look.quiet if text is notes else look.ink)
        y += height + 6
    return canvas.finished()


def _risen(
    canvas: Canvas,
    each: Survival,
    base: float,
    tall: float,
    x: object,
    right: float,
    fill: tuple[int, int, int],
) -> None:
    """The share of runs that have it by each time, as steps from the baseline."""
    assert callable(x)
    height, points = 0.0, []
    for time, waiting in zip(each.times, each.waiting, strict=True):
        points += [(x(float(time)), base - height)]
        height = (1 - float(waiting)) * tall
        points += [(x(float(time)), base - height)]
    if points:
        canvas.polygon([(points[0][0], base), *points, (right, base - height), (right, base)], fill)


def _arrow(canvas: Canvas, x: float, y: float, colour: tuple[int, int, int]) -> None:
    canvas.line([(x - 9, y), (x, y)], colour, 1.6)
    canvas.polygon([(x, y - 4), (x + 6, y), (x, y + 4)], colour)


def _arrival(each: Timeline) -> tuple[bool, int]:
    """When a word came: never sorts last."""
    found = each.emergence_image or each.emergence_attention
    return found.at is None, found.at.step if found.at else 0
