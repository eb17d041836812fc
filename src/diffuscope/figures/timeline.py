"""Words over the steps as charts: heat strips, curves, ridgelines. Steps run to the right, from the noisiest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.analysis.measures import Measure, find_measure, measures
from diffuscope.errors import SelectionError
from diffuscope.figures.canvas import Canvas, Theme, ThemeName, apart, mixed, theme_of, ticks
from diffuscope.maps.colormap import NAMES, DisplayScale, colormap
from diffuscope.maps.picture import Colour

if TYPE_CHECKING:
    from diffuscope.analysis.measures.evidence import Course
    from diffuscope.analysis.timeline import Timeline, Timelines

WIDTH, MARGIN, NAMES_WIDTH, RIGHT = 760.0, 22.0, 118.0, 128.0
ROW = 26.0
DASHES: tuple[tuple[float, float] | None, ...] = (None, (7, 4), (2, 3))
"""Beyond the colours there are, curves are told apart by their strokes."""


class Sheet:
    """A canvas with a title, an axis of steps, and notes below.

    Attributes:
        canvas: what is drawn on.
        top, bottom, left, right: of the plot.
    """

    def __init__(
        self, title: str, subtitle: str, body: float, notes: Sequence[str], theme: Theme, course: Course
    ) -> None:
        said = " ".join(notes)
        trial = Canvas(1, 1, theme)
        lines = max(1, -(-int(trial.measure(said, 11)) // int(WIDTH - 2 * MARGIN - 40)))
        self.course = course
        self.top, self.left, self.right = MARGIN + 64, MARGIN + NAMES_WIDTH, WIDTH - MARGIN - RIGHT
        self.bottom = self.top + body
        self.canvas = Canvas(WIDTH, self.bottom + 62 + lines * 15.5 + MARGIN, theme)
        self.canvas.text((MARGIN, MARGIN - 6), cut(self.canvas, title, WIDTH - 2 * MARGIN, 18), 18)
        self.canvas.text(
            (MARGIN, MARGIN + 20), cut(self.canvas, subtitle, WIDTH - 2 * MARGIN, 12), 12, theme.quiet
        )
        self.canvas.lines((MARGIN, self.bottom + 58), said, WIDTH - 2 * MARGIN, 11, theme.quiet)

    @property
    def cell(self) -> float:
        """Width of a step."""
        return (self.right - self.left) / len(self.course)

    def x(self, position: float) -> float:
        """Middle of a step by its position in the series."""
        return self.left + (position + 0.5) * self.cell

    def position(self, step: int) -> int:
        """Position of a step by its index."""
        return self.course.steps.index(step)

    def axis(self) -> None:
        """Step numbers, log-SNR below them, and the planned phases above."""
        from diffuscope.analysis.measures.phases import planned

        canvas, theme = self.canvas, self.canvas.theme
        every = next(each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if each * self.cell >= 30)
        for at in range(0, len(self.course), every):
            canvas.line([(self.x(at), self.bottom + 2), (self.x(at), self.bottom + 6)], theme.quiet)
            canvas.text((self.x(at), self.bottom + 8), str(self.course.steps[at]), 11, theme.quiet, "middle")
            if np.isfinite(self.course.log_snr[at]):
                canvas.text(
                    (self.x(at), self.bottom + 24),
                    f"{self.course.log_snr[at]:.1f}",
                    10,
                    theme.quiet,
                    "middle",
                )
        canvas.text((self.left - 8, self.bottom + 8), "step", 11, theme.quiet, "right")
        canvas.text((self.left - 8, self.bottom + 24), "log-SNR", 10, theme.quiet, "right")
        for name, (first, end) in planned(len(self.course)).items():
            if end > first:
                ends = self.left + first * self.cell + 1, self.left + end * self.cell - 1
                canvas.line([(ends[0], self.top - 6), (ends[1], self.top - 6)], theme.line, 2)
                if canvas.measure(name, 10) < ends[1] - ends[0]:
                    canvas.text((sum(ends) / 2, self.top - 22), name, 10, theme.quiet, "middle")


def curve_of(name: str) -> Measure:
    """A measure with one value a step.

    Raises:
        SelectionError: there is none of that name.
    """
    curves = [each.name for each in measures("word") if each.axes == ("step",)]
    if name not in curves:
        raise SelectionError(f"{name!r} has no curve; these have: {', '.join(curves)}")
    return find_measure(name, "word")


def heat_strip(
    timelines: Timelines,
    measure: str = "mass",
    *,
    controls: bool = True,
    colours: str = NAMES[0],
    theme: ThemeName = "light",
    shared: bool = False,
) -> Image.Image:
    """A row a word, a cell a step. RGB.

    Above each row's cells a filled triangle marks the peak of the word's mass; a ring emergence by attention, a dot
    emergence in the picture. What never came has no mark.

    Args:
        timelines: `Run.timeline`.
        measure: any measure with one value a step.
        controls: function words, start and end below the others.
        colours: see `diffuscope.maps.colormap.NAMES`.
        theme: ``light`` or ``dark``.
        shared: one range of colours for all rows; otherwise each from its own least to its own greatest value, which
            are printed beside it.
    """
    what, look = curve_of(measure), theme_of(theme)
    rows = _rows(timelines, controls)
    gap = 10.0 if controls and timelines.controls and timelines.words else 0.0
    values = [np.asarray(each[what.name], np.float64) for each in rows]
    known = [each[np.isfinite(each)] for each in values]
    whole = np.concatenate(known)
    note = (
        "All rows share one range of colours."
        if shared
        else "Colours run over each row's own range, at its right."
    )
    sheet = Sheet(
        f"{what.title.capitalize()} over the steps",
        timelines.run.prompt,
        len(rows) * ROW + gap,
        [what.definition, note, MARKS],
        look,
        timelines.course,
    )
    canvas = sheet.canvas
    canvas.text((sheet.right + 8, sheet.top - 22), f"{what.unit}", 10, look.quiet)
    table = colormap(colours)
    for number, (each, curve, finite) in enumerate(zip(rows, values, known, strict=True)):
        y = sheet.top + number * ROW + (gap if number >= len(timelines.words) else 0)
        ink = look.ink if each.label in timelines.words else look.quiet
        canvas.text((sheet.left - 8, y + 5), cut(canvas, each.label, NAMES_WIDTH - 10, 12), 12, ink, "right")
        if not len(finite):
            canvas.text((sheet.left + 4, y + 5), "not known", 11, look.quiet)
            continue
        scale = DisplayScale.of(whole if shared else finite)
        for at, value in enumerate(curve):
            if np.isfinite(value):
                level = round(float(scale.unit_interval(np.array([value]))[0]) * 255)
                fill = (int(table[level][0]), int(table[level][1]), int(table[level][2]))
                x = sheet.left + at * sheet.cell
                canvas.box(x, y + 1, x + sheet.cell, y + ROW - 3, fill)
        canvas.text(
            (sheet.right + 8, y + 5),
            f"{float(finite.min()):.3g} to {float(finite.max()):.3g}",
            11,
            look.quiet,
        )
        _marks(sheet, each, y + ROW / 2 - 1)
    sheet.axis()
    return canvas.finished()


THICK = "The thick part of a curve is the range of the mass's peak."
HILLS = (
    "Each hill runs from its word's least to its greatest value, at its right: shapes compare, heights do not. The "
    "mark is the peak of the mass; none where it is flat."
)
MARKS = (
    "Marks: triangle, peak of the mass (none where it is flat); ring, emergence by attention; dot, emergence in the "
    "picture. What never came has no mark."
)


def _marks(sheet: Sheet, each: Timeline, y: float) -> None:
    """Peak and emergences of a row, white with a dark rim: seen on every colour."""
    canvas, white, dark = sheet.canvas, (255, 255, 255), (20, 20, 20)
    if not each.peak.flat:
        x = sheet.x(sheet.position(each.peak.at.step))
        canvas.polygon([(x - 4.5, y - 10), (x + 4.5, y - 10), (x, y - 3)], white, dark, 1)
    if each.emergence_attention.at:
        x = sheet.x(sheet.position(each.emergence_attention.at.step))
        canvas.dot((x, y + 3), 4.6, None, dark, 3.4)
        canvas.dot((x, y + 3), 3.8, None, white, 1.6)
    image = each.emergence_image
    if image is not None and image.at:
        x = sheet.x(sheet.position(image.at.step))
        canvas.dot((x, y + 3), 3.6, white, dark, 1)


def curves(
    timelines: Timelines, measure: str = "mass", *, controls: bool = False, theme: ThemeName = "light"
) -> Image.Image:
    """A curve a word, names at their ends, in one chart. RGB. Arguments as of `heat_strip`."""
    what, look = curve_of(measure), theme_of(theme)
    rows = _rows(timelines, controls)
    values = [np.asarray(each[what.name], np.float64) for each in rows]
    whole = np.concatenate([each[np.isfinite(each)] for each in values])
    if not len(whole):
        raise SelectionError(f"{what.title} is not known of any word of this run")
    low, high = (0.0 if whole.min() >= 0 else float(whole.min())), float(whole.max())
    high = high if high > low else low + 1
    sheet = Sheet(
        f"{what.title.capitalize()} over the steps",
        timelines.run.prompt,
        300,
        [what.definition, THICK, *(["Thin and dashed: controls."] if controls else [])],
        look,
        timelines.course,
    )
    canvas = sheet.canvas

    def y(value: float) -> float:
        return sheet.bottom - (value - low) / (high - low) * (sheet.bottom - sheet.top - 8)

    for tick in ticks(low, high):
        canvas.line([(sheet.left, y(tick)), (sheet.right, y(tick))], look.line)
        canvas.text((sheet.left - 8, y(tick) - 8), f"{tick:.3g}", 11, look.quiet, "right")
    canvas.text((sheet.left - 8, sheet.top - 22), what.unit, 10, look.quiet, "right")
    ends = []
    for number, (each, curve) in enumerate(zip(rows, values, strict=True)):
        control = each.label not in timelines.words
        colour, dash = _look_of(look, number, control)
        for run in _known_runs(curve):
            canvas.line([(sheet.x(at), y(curve[at])) for at in run], colour, 1.0 if control else 1.8, dash)
        near = [] if each.peak.flat or control else [sheet.position(step) for step in each.peak.near]
        for run in neighbours([at for at in near if np.isfinite(curve[at])]):
            points = [(sheet.x(at), y(curve[at])) for at in run]
            (x, level), alone = points[0], len(points) == 1
            canvas.line([(x - 3, level), (x + 3, level)] if alone else points, colour, 4.2)
        if np.isfinite(curve).any():
            last = int(np.flatnonzero(np.isfinite(curve))[-1])
            ends.append((each.label, colour, sheet.x(last), y(float(curve[last]))))
    for (label, colour, x, wish), place in zip(
        ends, apart([end[3] for end in ends], 14, sheet.top + 4, sheet.bottom - 4), strict=True
    ):
        canvas.line([(x + 3, wish), (sheet.right + 4, wish), (sheet.right + 12, place)], look.line)
        canvas.text((sheet.right + 15, place - 8), cut(canvas, label, RIGHT - 20, 12), 12, colour)
    sheet.axis()
    return canvas.finished()


def ridgelines(
    timelines: Timelines, measure: str = "mass", *, controls: bool = False, theme: ThemeName = "light"
) -> Image.Image:
    """A hill a word, each from its own least to its own greatest value, one behind another. RGB."""
    what, look = curve_of(measure), theme_of(theme)
    rows = _rows(timelines, controls)
    pitch, tall = 40.0, 62.0
    sheet = Sheet(
        f"{what.title.capitalize()}, each word by itself",
        timelines.run.prompt,
        len(rows) * pitch + tall - pitch + 6,
        [what.definition, HILLS],
        look,
        timelines.course,
    )
    canvas = sheet.canvas
    for number, each in enumerate(rows):
        base = sheet.top + tall + number * pitch
        curve = np.asarray(each[what.name], np.float64)
        colour, _ = _look_of(look, number, each.label not in timelines.words)
        finite = curve[np.isfinite(curve)]
        canvas.text(
            (sheet.left - 8, base - 17), cut(canvas, each.label, NAMES_WIDTH - 10, 12), 12, look.ink, "right"
        )
        canvas.line([(sheet.left, base), (sheet.right, base)], look.line)
        if not len(finite):
            canvas.text((sheet.left + 4, base - 17), "not known", 11, look.quiet)
            continue
        extent = float(finite.max() - finite.min()) or 1.0

        def y(
            value: float, base: float = base, low: float = float(finite.min()), extent: float = extent
        ) -> float:
            return base - 2 - (value - low) / extent * (tall - 12)

        for run in _known_runs(curve):
            points = [(sheet.x(at), y(float(curve[at]))) for at in run]
            fill = mixed(look.paper, colour, 0.35)
            canvas.polygon([(points[0][0], base), *points, (points[-1][0], base)], fill)
            canvas.line(points, colour, 1.6)
        if not each.peak.flat:
            at = sheet.position(each.peak.at.step)
            if np.isfinite(curve[at]):
                canvas.dot((sheet.x(at), y(float(curve[at]))), 3.4, look.paper, colour)
        canvas.text(
            (sheet.right + 8, base - 17),
            f"{float(finite.min()):.3g} to {float(finite.max()):.3g}",
            11,
            look.quiet,
        )
    sheet.axis()
    return canvas.finished()


def _rows(timelines: Timelines, controls: bool) -> list[Timeline]:
    rows = [*timelines.words.values(), *(timelines.controls.values() if controls else ())]
    if not rows:
        raise SelectionError("there is no word to show; ask for the controls too")
    return rows


def _look_of(look: Theme, number: int, control: bool) -> tuple[Colour, tuple[float, float] | None]:
    if control:
        return look.quiet, (3, 3)
    return look.series[number % len(look.series)], DASHES[number // len(look.series) % len(DASHES)]


def _known_runs(curve: NDArray[np.floating]) -> list[list[int]]:
    return neighbours([int(at) for at in np.flatnonzero(np.isfinite(curve))])


def neighbours(positions: list[int]) -> list[list[int]]:
    """Runs of neighbouring positions."""
    runs: list[list[int]] = []
    for at in positions:
        if runs and at == runs[-1][-1] + 1:
            runs[-1].append(at)
        else:
            runs.append([at])
    return runs


def cut(canvas: Canvas, text: str, width: float, size: int) -> str:
    """Text that fits, its end left out where it must be."""
    if canvas.measure(text, size) <= width:
        return text
    while text and canvas.measure(text + "…", size) > width:
        text = text[:-1]
    return text + "…"
