"""Charts over many runs: estimates with intervals, curves with bands, and times held against times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import SelectionError
from diffuscope.figures.canvas import Canvas, Theme, ThemeName, apart, mixed, theme_of, ticks
from diffuscope.figures.timeline import DASHES, MARGIN, WIDTH, cut

Floats = NDArray[np.floating]
LABELS, VALUES = 228.0, 190.0
ROW = 25.0


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        label: what it is of.
        value, low, high: estimate and ends of its interval; NaN where there is none.
        group: rows of one group have one colour; the name stands above the first of them.
        note: said at its right, after the numbers.
    """

    label: str
    value: float
    low: float
    high: float
    group: str = ""
    note: str = ""


def interval_chart(
    rows: Sequence[Estimate],
    *,
    title: str,
    subtitle: str = "",
    unit: str = "",
    notes: str = "",
    reference: float | None = None,
    bounds: tuple[float, float] | None = None,
    theme: ThemeName = "light",
) -> Image.Image:
    """A row an estimate: dot and interval, with the numbers beside them. RGB.

    Args:
        rows: from top to bottom.
        title, subtitle, unit, notes: as said; the notes stand below.
        reference: where a line is drawn: no difference, or chance.
        bounds: ends of the axis; what the rows need by default.
        theme: ``light`` or ``dark``.

    Raises:
        SelectionError: there is no row with a value.
    """
    known = [each for row in rows for each in (row.value, row.low, row.high) if np.isfinite(each)]
    if not known:
        raise SelectionError("there is nothing to draw: no estimate has a value")
    look = theme_of(theme)
    ends = [*known, *([] if reference is None else [reference])]
    low, high = bounds or (min(ends), max(ends))
    if bounds is None:
        room = 0.06 * ((high - low) or 1.0)
        low, high = low - room, high + room
    groups = list(dict.fromkeys(row.group for row in rows))
    headed = [group for group in groups if group]
    top = MARGIN + 58
    body = len(rows) * ROW + len(headed) * (ROW - 2)
    canvas, bottom = _sheet(title, subtitle, notes, top + body, look)
    left, right = MARGIN + LABELS, WIDTH - MARGIN - VALUES

    def x(value: float) -> float:
        return left + 6 + (min(max(value, low), high) - low) / ((high - low) or 1.0) * (right - left - 12)

    for tick in ticks(low, high, 6):
        canvas.line([(x(tick), top), (x(tick), bottom)], look.line)
        canvas.text((x(tick), bottom + 5), f"{tick:.6g}", 11, look.quiet, "middle")
    canvas.text(((left + right) / 2, bottom + 21), unit, 11, look.quiet, "middle")
    if reference is not None:
        canvas.line([(x(reference), top), (x(reference), bottom)], look.quiet, 1.4, (4, 3))
    y, before = top, ""
    for row in rows:
        if row.group and row.group != before:
            canvas.box(MARGIN, y + 5, MARGIN + canvas.measure(row.group, 12) + 6, y + 22, look.paper)
            canvas.text((MARGIN, y + 7), cut(canvas, row.group, left - MARGIN + 330, 12), 12, look.quiet)
            y += ROW - 2
        before = row.group
        colour = look.series[groups.index(row.group) % len(look.series)]
        middle = y + ROW / 2
        canvas.text((left - 10, middle - 8), cut(canvas, row.label, LABELS - 12, 12), 12, look.ink, "right")
        if np.isfinite(row.value):
            if np.isfinite(row.low) and np.isfinite(row.high):
                canvas.line([(x(row.low), middle), (x(row.high), middle)], colour, 2.4)
            canvas.dot((x(row.value), middle), 4.4, colour, look.paper)
            said = f"{row.value:.3g}"
            if np.isfinite(row.low) and np.isfinite(row.high):
                said += f" ({row.low:.3g} to {row.high:.3g})"
        else:
            said = "none"
        canvas.text((right + 8, middle - 8), said, 11)
        if row.note:
            at = right + 14 + canvas.measure(said, 11)
            canvas.text((at, middle - 7), cut(canvas, row.note, WIDTH - MARGIN - at, 10), 10, look.quiet)
        y += ROW
    return canvas.finished()


@dataclass(frozen=True)
class Band:
    """A curve over steps with a band around it: `label`, and ``[step]`` arrays of its middle, low and high."""

    label: str
    middle: Floats
    low: Floats
    high: Floats


def band_chart(
    curves: Sequence[Band],
    *,
    title: str,
    subtitle: str = "",
    unit: str = "",
    notes: str = "",
    reference: float | None = None,
    from_zero: bool = True,
    theme: ThemeName = "light",
) -> Image.Image:
    """Curves over the steps, each with its band, names at their ends. RGB. Arguments as of `interval_chart`.

    Args:
        from_zero: the axis begins at 0 where no value is negative.

    Raises:
        SelectionError: there is no curve.
    """
    if not curves:
        raise SelectionError("there is nothing to draw: give at least one curve")
    look = theme_of(theme)
    every = np.concatenate([part for each in curves for part in (each.low, each.high, each.middle)])
    every = np.concatenate([every[np.isfinite(every)], [] if reference is None else [reference]])
    low, high = float(every.min()), float(every.max())
    low = 0.0 if from_zero and low >= 0 else low
    high = high if high > low else low + 1
    top, tall = MARGIN + 62, 250.0
    canvas, bottom = _sheet(title, subtitle, notes, top + tall, look)
    left, right = MARGIN + 62, WIDTH - MARGIN - 150
    steps = len(curves[0].middle)

    def x(step: float) -> float:
        return left + (step + 0.5) * (right - left) / steps

    def y(value: float) -> float:
        return bottom - 4 - (value - low) / (high - low) * (tall - 12)

    for tick in ticks(low, high):
        canvas.line([(left, y(tick)), (right, y(tick))], look.line)
        canvas.text((left - 8, y(tick) - 8), f"{tick:.3g}", 11, look.quiet, "right")
    every_step = next(each for each in (1, 2, 5, 10, 20, 50, 100) if each * (right - left) / steps >= 28)
    for step in range(0, steps, every_step):
        canvas.text((x(step), bottom + 5), str(step), 11, look.quiet, "middle")
    canvas.text(((left + right) / 2, bottom + 21), "step, 0 the noisiest", 11, look.quiet, "middle")
    canvas.text((MARGIN, top - 20), unit, 11, look.quiet)
    colours = [look.series[at % len(look.series)] for at in range(len(curves))]
    for each, colour in zip(curves, colours, strict=True):
        outline = [(x(at), y(float(value))) for at, value in enumerate(each.high)]
        outline += [(x(at), y(float(value))) for at, value in reversed(list(enumerate(each.low)))]
        canvas.polygon(outline, mixed(look.paper, colour, 0.16))
    for at, (each, colour) in enumerate(zip(curves, colours, strict=True)):
        for edge in (each.low, each.high):
            canvas.line([(x(step), y(float(value))) for step, value in enumerate(edge)], colour, 0.6)
        points = [(x(step), y(float(value))) for step, value in enumerate(each.middle)]
        canvas.line(points, colour, 2.2, DASHES[at // len(look.series) % len(DASHES)])
    if reference is not None:
        canvas.line([(left, y(reference)), (right, y(reference))], look.quiet, 1.4, (4, 3))
    wishes = [y(float(each.middle[-1])) for each in curves]
    for each, colour, wish, place in zip(
        curves, colours, wishes, apart(wishes, 15, top + 6, bottom - 6), strict=True
    ):
        canvas.line([(x(steps - 1) + 3, wish), (right + 4, wish), (right + 12, place)], look.line)
        canvas.text((right + 15, place - 8), cut(canvas, each.label, 150, 12), 12, colour)
    return canvas.finished()


@dataclass(frozen=True)
class Cloud:
    """Points of one kind: `label`, and arrays of the same length."""

    label: str
    x: Floats
    y: Floats


def scatter_chart(
    clouds: Sequence[Cloud],
    *,
    title: str,
    subtitle: str = "",
    across: str,
    up: str,
    notes: str = "",
    theme: ThemeName = "light",
) -> Image.Image:
    """Times against times, a panel a kind, discs as large as there are points; the diagonal is where both agree. RGB.

    Args:
        clouds: steps, whole numbers.
        across, up: names of the axes.

    Raises:
        SelectionError: there is no point.
    """
    clouds = [each for each in clouds if len(each.x)]
    if not clouds:
        raise SelectionError("there is nothing to draw: no point has both times")
    look = theme_of(theme)
    most = int(max(float(max(each.x.max(), each.y.max())) for each in clouds)) + 1
    gap = 26.0
    side = min(216.0, (WIDTH - 2 * MARGIN - 40 - gap * (len(clouds) - 1)) / len(clouds))
    top = MARGIN + 82
    canvas, bottom = _sheet(title, subtitle, notes, top + side, look)
    heaviest = max(
        np.unique(np.stack([each.x, each.y]), axis=1, return_counts=True)[1].max() for each in clouds
    )
    for number, each in enumerate(clouds):
        left = MARGIN + 40 + number * (side + gap)
        colour = look.series[number % len(look.series)]
        cell = side / most
        for tick in ticks(0, most, 5):
            at = (tick + 0.5) * cell
            if at < side:
                canvas.line([(left + at, top), (left + at, bottom)], look.line)
                canvas.line([(left, bottom - at), (left + side, bottom - at)], look.line)
                canvas.text((left + at, bottom + 4), f"{tick:g}", 10, look.quiet, "middle")
                if not number:
                    canvas.text((left - 6, bottom - at - 7), f"{tick:g}", 10, look.quiet, "right")
        canvas.line([(left, bottom), (left + side, top)], look.quiet, 1, (4, 3))
        places, counts = np.unique(np.stack([each.x, each.y]), axis=1, return_counts=True)
        for (across_at, up_at), count in zip(places.T, counts, strict=True):
            point = (left + (across_at + 0.5) * cell, bottom - (up_at + 0.5) * cell)
            radius = max(1.4, 0.62 * max(cell, 9.0) * float(np.sqrt(count / heaviest)))
            canvas.dot(point, radius, mixed(look.paper, colour, 0.62), colour, 0.8)
        canvas.text((left, top - 20), cut(canvas, f"{each.label} ({len(each.x)})", side, 12), 12, colour)
    canvas.text((MARGIN + 40, bottom + 20), f"across: {across}; up: {up}", 11, look.quiet)
    return canvas.finished()


def _sheet(title: str, subtitle: str, notes: str, bottom: float, look: Theme) -> tuple[Canvas, float]:
    """A canvas with title and notes around a plot that ends at `bottom`."""
    trial = Canvas(1, 1, look)
    wide = WIDTH - 2 * MARGIN
    lines = -(-int(trial.measure(notes, 11)) // int(wide - 40)) if notes else 0
    canvas = Canvas(WIDTH, bottom + 44 + lines * 15.5 + MARGIN, look)
    canvas.text((MARGIN, MARGIN - 6), cut(canvas, title, wide, 18), 18)
    canvas.text((MARGIN, MARGIN + 20), cut(canvas, subtitle, wide, 12), 12, look.quiet)
    if notes:
        canvas.lines((MARGIN, bottom + 46), notes, wide, 11, look.quiet)
    return canvas, bottom
