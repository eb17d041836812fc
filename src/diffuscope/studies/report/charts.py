"""Charts of the report, by matplotlib: one that takes the page's colours, and files for elsewhere.

A chart for the page is drawn in stand-in colours, which become the page's own variables: so it follows light and dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from diffuscope.errors import MissingExtraError
from diffuscope.studies.report.findings import Question


@dataclass(frozen=True)
class Colours:
    """Of a chart: text and the baseline, what is quiet, lines of the grid, conditions, controls."""

    ink: str
    muted: str
    line: str
    accent: str
    control: str


STAND_INS = Colours("#010101", "#020202", "#030303", "#040404", "#050505")
ON_PAPER = Colours("#1c2023", "#5a6167", "#dadbd7", "#1f5aa8", "#a35b00")
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
"""Conditions are told apart by dashes as well as by colour."""

LONGEST = 34
"""Characters of a label; beyond it the middle is left out."""


@dataclass(frozen=True)
class Chart:
    """A chart: its name, what it says in words (for those who do not see it), and how it is drawn."""

    name: str
    said: str
    _draw: Callable[[Any, Colours], None]
    size: tuple[float, float]

    def svg(self) -> str:
        """An SVG element for the page, in the page's colours."""
        text = self._saved("svg", transparent=True).decode("utf-8")
        text = text[text.index("<svg") :]
        for name, colour in vars(STAND_INS).items():
            text = re.sub(re.escape(colour), f"var(--{name})", text, flags=re.IGNORECASE)
        # As wide as there is room, never wider than drawn. Metadata and fixed sizes go.
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        width = re.search(r'width="([\d.]+)pt"', text)
        text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
        most = f"max-width:{float(width[1]):.0f}pt;" if width else ""
        return text.replace(
            "<svg", f'<svg role="img" aria-label="{_attribute(self.said)}" style="{most}width:100%"', 1
        )

    def file(self, kind: str) -> bytes:
        """A file of its own (``svg`` or ``png``), dark on white."""
        return self._saved(kind)

    def _saved(self, kind: str, *, transparent: bool = False) -> bytes:
        figure_class, context = _matplotlib()
        with context(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": self.name,  # The same table gives the same bytes.
                "font.family": "sans-serif",
                "font.sans-serif": ["DejaVu Sans"],
                "font.size": 9,
            }
        ):
            figure = figure_class(figsize=self.size, layout="constrained")
            self._draw(figure, STAND_INS if transparent else ON_PAPER)
            out = io.BytesIO()
            told = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(out, format=kind, transparent=transparent, dpi=160, metadata=told)
        return out.getvalue()


def levels_and_effects(question: Question) -> Chart | None:
    """Levels under each condition on the left, effects on the right, controls right below what they control for."""
    levels = [level for level in question.levels if level.interval is not None]
    effects = [effect for effect in _ordered(question) if effect.paired is not None]
    if not levels:
        return None
    rows = max(len(levels), len(effects) or 1)

    def draw(figure: Any, colours: Colours) -> None:
        axes = figure.subplots(1, 2 if effects else 1, squeeze=False)[0]
        left = axes[0]
        for row, level in enumerate(levels):
            _whisker(left, row, level.interval, colours.accent if row else colours.ink)
        if question.chance is not None:
            left.axvline(question.chance, color=colours.muted, linewidth=1, linestyle=(0, (2, 2)))
            left.annotate(
                "chance",
                (question.chance, 1),
                xycoords=("data", "axes fraction"),
                color=colours.muted,
                fontsize=7.5,
                ha="center",
                va="bottom",
            )
        _dress(
            colours,
            left,
            [level.condition for level in levels],
            question.unit,
            f"mean{' where it came' if question.steps else ''} and 95% interval",
        )
        if not effects:
            return
        right = axes[1]
        for row, effect in enumerate(effects):
            assert effect.paired is not None
            if effect.by_chance:
                right.barh(
                    row,
                    2 * effect.by_chance,
                    left=-effect.by_chance,
                    height=0.62,
                    color=colours.line,
                    zorder=0,
                )
            _whisker(
                right, row, effect.paired.difference, colours.control if effect.control_of else colours.accent
            )
        right.axvline(0, color=colours.muted, linewidth=1)
        names = [f"{each.condition} (control)" if each.control_of else each.condition for each in effects]
        _dress(
            colours,
            right,
            names,
            question.unit,
            f"difference to {_short(effects[0].baseline)}; grey: by chance",
        )

    said = f"{question.name}: " + "; ".join(
        f"{level.condition} {level.interval.value:.4g} ({level.interval.low:.4g} to {level.interval.high:.4g})"
        for level in levels
        if level.interval
    )
    return Chart(f"{_slug(question)}-effects", said, draw, (7.4, 1.25 + 0.34 * rows))


def waiting(question: Question) -> Chart | None:
    """Survival curves: the share of runs in which the step has not come."""
    curves = [level for level in question.levels if level.survival is not None]
    if not curves:
        return None

    def draw(figure: Any, colours: Colours) -> None:
        axis = figure.subplots()
        end = 0.0
        for index, level in enumerate(curves):
            curve = level.survival
            assert curve is not None
            at, share = [0.0, *curve.steps], [1.0, *curve.waiting]
            end = max(end, curve.seen_to)
            at, share = [*at, curve.seen_to], [*share, share[-1]]
            colour = colours.ink if not index else colours.accent
            axis.step(
                at,
                share,
                where="post",
                color=colour,
                linestyle=DASHES[index % 4],
                linewidth=1.5,
                label=f"{_short(level.condition)}: {curve.reached} of {curve.n}",
            )
            if curve.steps:
                low, high = [1.0, *curve.low, curve.low[-1]], [1.0, *curve.high, curve.high[-1]]
                axis.fill_between(at, low, high, step="post", color=colour, alpha=0.1, linewidth=0)
        axis.set_ylim(-0.02, 1.04)
        axis.set_xlim(0, max(end, 1))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_ylabel("share not reached", color=colours.muted)
        _dress(colours, axis, None, "step", "")
        legend = axis.legend(
            frameon=False,
            fontsize=8,
            title="reached",
            title_fontsize=8,
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
        )
        for text in (*legend.get_texts(), legend.get_title()):
            text.set_color(colours.ink)

    said = f"{question.name}, share not reached: " + "; ".join(
        f"{level.condition} reached in {level.survival.reached} of {level.survival.n}"
        for level in curves
        if level.survival
    )
    return Chart(f"{_slug(question)}-waiting", said, draw, (7.4, 2.6))


def _ordered(question: Question) -> list[Any]:
    """Effects with each control right after what it controls for."""
    plain = [each for each in question.effects if each.control_of is None]
    ordered = [
        x for each in plain for x in (each, *(c for c in question.effects if c.control_of == each.condition))
    ]
    return [*ordered, *(each for each in question.effects if each not in ordered)]


def _whisker(axis: Any, row: int, interval: Any, colour: str) -> None:
    if interval.low == interval.low:  # Not NaN.
        axis.plot(
            [interval.low, interval.high], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt"
        )
    axis.plot([interval.value], [row], "o", color=colour, markersize=4.5)


def _dress(colours: Colours, axis: Any, names: Sequence[str] | None, unit: str, title: str) -> None:
    if names is not None:
        axis.set_yticks(range(len(names)), [_short(name) for name in names])
        axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlabel(unit, color=colours.muted)
    axis.set_title(title, color=colours.muted, fontsize=8.5, loc="left", pad=12)
    axis.locator_params(axis="x", nbins=5)
    axis.tick_params(colors=colours.ink, length=0, labelsize=8.5)
    axis.grid(axis="x", color=colours.line, linewidth=0.7)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(colours.line)


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: F401
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("the report of a study", "studies") from error
    return Figure, rc_context


def _slug(question: Question) -> str:
    parts = (
        question.measure,
        question.target,
        question.component,
        question.split if question.split != "all" else "",
    )
    return re.sub(r"[^A-Za-z0-9_]+", "-", "-".join(part for part in parts if part)).strip("-")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2 - 1]}…{text[-LONGEST // 2 + 1 :]}"


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
