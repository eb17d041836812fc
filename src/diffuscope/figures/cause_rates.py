"""Shares and means with their intervals, one below another: what an edit did beside its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from diffuscope.figures.canvas import Canvas, ThemeName, theme_of, ticks

WIDTH, NAMES, SAID, ROW = 760.0, 300.0, 150.0, 24.0


@dataclass(frozen=True)
class Bar:
    """One line of the chart: a value with the ends of its interval (NaN for none), what stands at its right end, and
    whether it is a control, which is drawn quietly. A line without a value is a heading."""

    name: str
    value: float | None = None
    low: float = float("nan")
    high: float = float("nan")
    said: str = ""
    control: bool = False


def interval_chart(
    title: str,
    subtitle: str,
    bars: Sequence[Bar],
    *,
    chance: float | None = None,
    notes: str = "",
    extent: tuple[float, float] | None = None,
    percent: bool = True,
    theme: ThemeName = "light",
) -> Image.Image:
    """Dots with intervals. RGB.

    Args:
        title, subtitle: what is shown, and of how many.
        bars: the lines.
        chance: marked by a dashed line.
        notes: a paragraph below.
        extent: of the axis; 0 to the largest value by default.
        percent: whether values are shares, said in per cent.
        theme: ``light`` or ``dark``.
    """
    look = theme_of(theme)
    ends = [
        end
        for bar in bars
        if bar.value is not None
        for end in (bar.value, bar.low, bar.high)
        if np.isfinite(end)
    ]
    low, high = extent or (min(0.0, *ends), max(ends) * 1.02 or 1.0)
    top = 78.0
    body = ROW * len(bars)
    canvas = Canvas(WIDTH, top + body + 64 + 18 * (1 + len(notes) // 100), look)
    canvas.text((20, 14), title, 18)
    canvas.lines((20, 40), subtitle, WIDTH - 40, 12, look.quiet)
    left, right = NAMES, WIDTH - SAID

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (right - left)

    for tick in ticks(low, high):
        canvas.line([(x(tick), top), (x(tick), top + body)], look.line)
        canvas.text(
            (x(tick), top + body + 5), f"{tick:.0%}" if percent else f"{tick:g}", 11, look.quiet, "middle"
        )
    if chance is not None:
        canvas.line([(x(chance), top), (x(chance), top + body)], look.series[1], 1.2, (4, 3))
        canvas.text((x(chance), top + body + 20), "chance", 11, look.series[1], "middle")
    for at, bar in enumerate(bars):
        y = top + (at + 0.5) * ROW
        if bar.value is None:
            canvas.text((20, y - 8), bar.name, 13)
            continue
        colour = look.quiet if bar.control else look.series[0]
        canvas.text((left - 12, y - 8), bar.name, 12, look.quiet if bar.control else look.ink, "right")
        if np.isfinite(bar.low):
            canvas.line([(x(bar.low), y), (x(bar.high), y)], colour, 2.2)
        canvas.dot((x(bar.value), y), 4.2, colour)
        canvas.text((right + 12, y - 8), bar.said, 12, look.quiet if bar.control else look.ink)
    if notes:
        canvas.lines((20, top + body + 42), notes, WIDTH - 40, 12, look.quiet)
    return canvas.finished()
