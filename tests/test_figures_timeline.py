"""Charts of timelines: what they paint is what was measured, on light and dark sheets, whatever a run lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_run import make_run

import diffuscope as ds
from diffuscope.analysis.timeline import Event, Timelines, paired, survival
from diffuscope.errors import SelectionError
from diffuscope.figures.canvas import DENSITY, THEMES, Canvas, apart, theme_of, ticks
from diffuscope.figures.timeline import MARGIN, NAMES_WIDTH, RIGHT, ROW, WIDTH, curves, heat_strip, ridgelines
from diffuscope.figures.timeline_order import order_chart, order_of_many
from diffuscope.figures.timeline_pictures import paths, triptych
from diffuscope.maps.colormap import DisplayScale

STEPS = 6


@pytest.fixture(scope="module")
def timelines(tmp_path_factory: pytest.TempPathFactory) -> Timelines:
    return ds.open(make_run(tmp_path_factory.mktemp("runs") / "run", steps=STEPS)).timeline()


def test_a_strip_paints_each_steps_value_over_its_rows_own_range(timelines: Timelines) -> None:
    sheet = np.asarray(heat_strip(timelines, "focus", controls=False))
    left, right, top = MARGIN + NAMES_WIDTH, WIDTH - MARGIN - RIGHT, MARGIN + 64
    for row, word in enumerate(timelines.words.values()):
        expected = DisplayScale.of(word.focus).colours(word.focus)
        for step in range(STEPS):
            # Near the cell's left edge and its foot, away from the marks in its middle.
            x = left + (step + 0.1) * (right - left) / STEPS
            y = top + row * ROW + ROW - 6
            shown = sheet[round(y * DENSITY), round(x * DENSITY)]
            assert np.abs(shown.astype(int) - expected[step]).max() <= 1, (word.label, step)


@pytest.mark.parametrize("theme", list(THEMES))
@pytest.mark.parametrize("draw", [heat_strip, curves, ridgelines, order_chart, triptych, paths])
def test_every_chart_wears_both_themes_and_fits_its_sheet(
    timelines: Timelines, draw: object, theme: str
) -> None:
    assert callable(draw)
    sheet = np.asarray(draw(timelines, theme=theme))
    paper = np.array(THEMES[theme].paper)
    border = np.concatenate([sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1]])
    assert (border == paper).all(), "something touches the sheet's edge"
    assert (sheet != paper).any(axis=-1).mean() > 0.02


def test_charts_of_a_run_without_previews_picture_or_judge(tmp_path: Path) -> None:
    found = ds.open(make_run(tmp_path / "run", steps=4, stop_after=2, previews=False)).timeline()
    for draw in (heat_strip, curves, ridgelines, order_chart, triptych, paths):
        assert isinstance(draw(found), Image.Image)  # type: ignore[operator]
    assert isinstance(heat_strip(found, "score"), Image.Image), "what is not known is said so"
    with pytest.raises(SelectionError, match="not known of any word"):
        curves(found, "score")


def test_what_cannot_be_drawn_is_refused(timelines: Timelines) -> None:
    with pytest.raises(SelectionError, match="light or dark"):
        curves(timelines, theme="sepia")  # type: ignore[arg-type]
    with pytest.raises(SelectionError, match="these have: mass"):
        heat_strip(timelines, "peak")
    with pytest.raises(SelectionError, match="at least one name"):
        order_of_many([])


def test_an_order_of_many_runs_stands_where_its_medians_are() -> None:
    pytest.importorskip("scipy")
    rows = [
        Event(str(u), n, float(t + u % 3), False) for u in range(21) for n, t in (("early", 2), ("late", 12))
    ]
    kinds = [survival(rows, name) for name in ("early", "late")]
    sheet = np.asarray(order_of_many(kinds, [paired(rows, "early", "late")]))
    first, second = (np.array(THEMES["light"].series[at]) for at in (0, 1))
    places = [np.nonzero((sheet == colour).all(axis=-1)) for colour in (first, second)]
    assert places[0][0].mean() < places[1][0].mean(), "the earlier one stands above"
    assert places[0][1].mean() < places[1][1].mean(), "and further to the left"


def test_labels_are_kept_apart_and_ticks_are_round() -> None:
    placed = apart([5.0, 5.5, 30.0, 5.2], 4.0, 0.0, 40.0)
    assert sorted(placed) == pytest.approx([5, 9, 13, 30])
    assert placed[0] < placed[3] < placed[1] < placed[2]
    assert max(apart([39.0, 40.0, 40.0], 4.0, 0.0, 40.0)) == 40
    assert ticks(0, 0.23) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert ticks(3, 3) == [3]


def test_a_dashed_line_covers_its_share_of_the_way() -> None:
    canvas = Canvas(100, 10, THEMES["light"])
    canvas.line([(0, 5), (60, 5), (100, 5)], (0, 0, 0), 2, (6, 4))
    dark = (np.asarray(canvas.finished()).mean(axis=-1) < 128)[10]
    assert dark.mean() == pytest.approx(0.6, abs=0.03)


def test_estimates_stand_where_their_values_are() -> None:
    from diffuscope.figures.timeline_many import LABELS, VALUES, Estimate, interval_chart

    rows = [
        Estimate("low", 0.0, -0.5, 0.5, "group"),
        Estimate("high", 1.0, 1.0, 1.0, "group"),
        Estimate("none", *[np.nan] * 3),
    ]
    for theme in ("light", "dark"):
        sheet = np.asarray(
            interval_chart(rows, title="t", bounds=(-1, 1), reference=0.0, theme=theme)  # type: ignore[arg-type]
        ).astype(int)
        colour = np.array(theme_of(theme).series[0])
        found = np.argwhere(np.abs(sheet - colour).sum(axis=-1) < 6)
        # The last row with its colour is the second estimate's dot: at the right end of the plot.
        last = found[found[:, 0] > found[:, 0].max() - 8]
        right = (WIDTH - MARGIN - VALUES - 6) * 2
        assert abs(last[:, 1].mean() - right) < 8
        assert found[:, 1].min() > (MARGIN + LABELS) * 2
    with pytest.raises(SelectionError, match="no estimate"):
        interval_chart(rows[2:], title="t")


def test_bands_lie_around_their_curves_and_clouds_on_their_steps() -> None:
    from diffuscope.figures.timeline_many import Band, Cloud, band_chart, scatter_chart

    middle = np.linspace(0, 1, 12)
    sheet = band_chart([Band("rising", middle, middle - 0.1, middle + 0.1)], title="t", reference=0.5)
    pixels = np.asarray(sheet).astype(int)
    colour = np.array(theme_of("light").series[0])
    curve = np.argwhere(np.abs(pixels - colour).sum(axis=-1) < 6)
    left, right = (curve[np.abs(curve[:, 1] - end) < 30] for end in (curve[:, 1].min(), curve[:, 1].max()))
    assert left[:, 0].mean() > right[:, 0].mean() + 200
    cloud = Cloud("words", np.array([2.0, 2.0, 5.0]), np.array([3.0, 3.0, 1.0]))
    assert scatter_chart([cloud], title="t", across="a", up="b").width == WIDTH * 2
    with pytest.raises(SelectionError, match="no point"):
        scatter_chart([Cloud("none", np.array([]), np.array([]))], title="t", across="a", up="b")
    with pytest.raises(SelectionError, match="at least one curve"):
        band_chart([], title="t")


def test_regions_over_the_phases(tmp_path: Path) -> None:
    from diffuscope.figures.timeline_regions import received_phases, region_phases

    run = ds.open(make_run(tmp_path / "run", steps=5, level="qk", self_sites=True))
    views = {"pixel": run.region(pixel=(30, 40)), "box": run.region(box=(20, 30, 60, 80))}
    for theme in ("light", "dark"):
        for sheet in (
            region_phases(views, theme=theme),  # type: ignore[arg-type]
            received_phases(run.timeline(), theme=theme),  # type: ignore[arg-type]
        ):
            assert sheet.getpixel((2, 2)) == theme_of(theme).paper
    with pytest.raises(SelectionError, match="at least one region"):
        region_phases({})
