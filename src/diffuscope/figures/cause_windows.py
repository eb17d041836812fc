"""When an edit counts: its effect in every window, and the recommended window on the run's steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from diffuscope.figures.canvas import Canvas, mixed, theme_of

if TYPE_CHECKING:
    from diffuscope.analysis.cause.windows import Windows
    from diffuscope.figures.canvas import ThemeName

WIDTH, LEFT, RIGHT, CELL = 640.0, 70.0, 30.0, 34.0


def window_chart(
    found: Windows, *, mass: Sequence[float] | None = None, theme: ThemeName = "light"
) -> Image.Image:
    """Windows by start (down) and stop (across), each with its effect as a share of the whole run's; below them the
    steps, with the recommended window as a band and its interval as whiskers. RGB.

    Args:
        found: the effects.
        mass: the word's attention mass at each step, drawn over the steps where it is given.
        theme: ``light`` or ``dark``.
    """
    look, cuts, best = theme_of(theme), found.cuts, found.recommended
    parts = len(cuts) - 1
    top, body = 78.0, CELL * parts
    canvas = Canvas(WIDTH, top + body + 190, look)
    canvas.text((20, 14), f"{found.word or 'edit'}: when it counts", 18)
    canvas.text(
        (20, 40),
        f"{found.edit} · {len(found.seeds)} seed{'s' * (len(found.seeds) != 1)} · share of the whole effect",
        12,
        look.quiet,
    )
    wide = (WIDTH - LEFT - RIGHT) / parts
    for column, stop in enumerate(cuts[1:]):
        canvas.text((LEFT + (column + 0.5) * wide, top - 18), f"to {stop}", 11, look.quiet, "middle")
    for row, start in enumerate(cuts[:-1]):
        y = top + row * CELL
        canvas.text((LEFT - 8, y + 9), f"from {start}", 11, look.quiet, "right")
        for column, stop in enumerate(cuts[1:]):
            if stop <= start:
                continue
            share = found.share(start, stop)
            x, chosen = LEFT + column * wide, best is not None and (start, stop) == (best.start, best.stop)
            fill = mixed(look.paper, look.series[0], min(max(share, 0.0), 1.0) * 0.85)
            canvas.box(x + 1, y + 1, x + wide - 1, y + CELL - 1, fill, look.series[1] if chosen else None)
            ink = look.paper if share > 0.6 else look.ink
            canvas.text((x + wide / 2, y + 9), f"{share:.0%}", 12, ink, "middle")
    _timeline(canvas, found, top + body + 34, mass)
    return canvas.finished()


def windows_chart(
    title: str, subtitle: str, found: Mapping[str, Windows], *, notes: str = "", theme: ThemeName = "light"
) -> Image.Image:
    """Recommended windows of several words one below another, each a band on the run's steps with whiskers for its
    interval and what it reaches at its right; those without an effect are named as such. RGB.

    Args:
        title, subtitle: what is shown.
        found: name to effects; all of runs of as many steps.
        notes: a paragraph below.
        theme: ``light`` or ``dark``.
    """
    look, steps = theme_of(theme), max(each.steps for each in found.values())
    left, top, row = 250.0, 84.0, 34.0
    right, low = 760.0 - 130.0, top + row * len(found)
    canvas = Canvas(760.0, low + 60 + 18 * (1 + len(notes) // 100), look)
    canvas.text((20, 14), title, 18)
    canvas.lines((20, 40), subtitle, 720, 12, look.quiet)

    def x(step: float) -> float:
        return left + step / steps * (right - left)

    for step in range(steps + 1):
        canvas.line([(x(step), top), (x(step), low)], look.line)
        canvas.text((x(step), low + 5), str(step), 11, look.quiet, "middle")
    for at, (name, each) in enumerate(found.items()):
        y, best = top + at * row, each.recommended
        canvas.text((left - 12, y + 9), name, 12, look.ink, "right")
        if best is None:
            canvas.text((right + 12, y + 9), "no effect", 12, look.quiet)
            continue
        canvas.box(x(best.start), y + 6, x(best.stop), y + row - 6, mixed(look.paper, look.series[0], 0.55))
        for ends, down in ((best.starts, 10.0), (best.stops, row - 10)):
            canvas.line([(x(ends[0]), y + down), (x(ends[1]), y + down)], look.series[1], 2)
            for end in ends:
                canvas.line([(x(end), y + down - 3), (x(end), y + down + 3)], look.series[1], 2)
        canvas.text((right + 12, y + 9), f"{best.start}:{best.stop}, {best.share:.0%}", 12, look.ink)
    if notes:
        canvas.lines((20, low + 30), notes, 720, 12, look.quiet)
    return canvas.finished()


def _timeline(canvas: Canvas, found: Windows, top: float, mass: Sequence[float] | None) -> None:
    look, best = canvas.theme, found.recommended
    low, right = top + 70, WIDTH - RIGHT

    def x(step: float) -> float:
        return LEFT + step / found.steps * (right - LEFT)

    if best is not None:
        canvas.box(x(best.start), top, x(best.stop), low, mixed(look.paper, look.series[1], 0.3))
        for ends, y in ((best.starts, top + 6), (best.stops, top + 14)):
            canvas.line([(x(ends[0]), y), (x(ends[1]), y)], look.series[1], 2)
            for end in ends:
                canvas.line([(x(end), y - 3), (x(end), y + 3)], look.series[1], 2)
    if mass:
        high = max(mass) or 1.0
        points = [(x(at + 0.5), low - value / high * (low - top - 24)) for at, value in enumerate(mass)]
        canvas.line(points, look.series[0], 1.8)
    canvas.line([(LEFT, low), (right, low)], look.quiet)
    for cut in found.cuts:
        canvas.line([(x(cut), low), (x(cut), low + 4)], look.quiet)
        canvas.text((x(cut), low + 6), str(cut), 11, look.quiet, "middle")
    said = "the edit changes nothing" if best is None else f"recommended: {best}"
    until = found.matters_until
    said += "" if until is None else f". Begun at step {until} or later it does less than a tenth"
    said += ". Line: attention mass, its own scale." if mass else "."
    canvas.lines((LEFT, low + 26), said, WIDTH - LEFT - RIGHT, 12, look.ink)
