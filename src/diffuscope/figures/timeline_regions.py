"""Self-attention over early, middle and late steps as pictures: of regions, and what all patches together look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.analysis.measures.phases import planned
from diffuscope.analysis.measures.received import local_contrast
from diffuscope.errors import SelectionError
from diffuscope.figures.canvas import Canvas, ThemeName, theme_of
from diffuscope.figures.strip import panel_size
from diffuscope.figures.timeline import MARGIN, cut
from diffuscope.figures.timeline_pictures import PHASE_NAMES
from diffuscope.maps.colormap import NAMES, DisplayScale
from diffuscope.maps.outline import outlined
from diffuscope.maps.picture import paint

if TYPE_CHECKING:
    from diffuscope.analysis.timeline import Timelines
    from diffuscope.run import RegionView

Floats = NDArray[np.floating]
NAMED, GAP = 78.0, 10.0


def region_phases(
    views: Mapping[str, RegionView],
    *,
    direction: str = "to",
    colours: str = NAMES[0],
    side: int = 150,
    theme: ThemeName = "light",
) -> Image.Image:
    """A row a region: the picture with its outline, then its self-attention over the early, middle and late steps. RGB.

    Args:
        views: name to region, of one run.
        direction: ``to``, who looks at the region, or ``from``, what it looks at.
        colours: see `diffuscope.maps.colormap.NAMES`.
        side: longer side of a panel.
        theme: ``light`` or ``dark``.

    Raises:
        SelectionError: there is no region.
    """
    if not views:
        raise SelectionError("name at least one region to show")
    run = next(iter(views.values())).run
    picture = run.image
    rows = {}
    for name, view in views.items():
        maps = view.steps(direction="from" if direction == "from" else "to")
        rows[name] = (outlined(picture, view.region), _means(maps.array))
    note = (
        f"Who looks at the region, mean over each phase's steps, {next(iter(views.values())).label.split()[0]} and "
        "others outlined on every panel."
        if direction == "to"
        else "What the region looks at, mean over each phase's steps."
    )
    note = (
        "Who looks at the region" if direction == "to" else "What the region looks at"
    ) + ", mean over each phase's steps, sites and heads. Colours run over each panel's own range."
    return _sheet(run, "Self-attention of a region", rows, note, colours, side, theme)


def received_phases(
    timelines: Timelines, *, colours: str = NAMES[0], side: int = 150, theme: ThemeName = "light"
) -> Image.Image:
    """The picture, its local contrast, and what each patch receives over the early, middle and late steps. RGB.

    Args:
        timelines: `Run.timeline` of a run that kept self-attention.
        colours, side, theme: as of `region_phases`.

    Raises:
        NotKeptError: the run has no self-attention.
    """
    run, received = timelines.run, timelines.received
    contrast = local_contrast(run.image, (received.shape[1], received.shape[2]))
    rows = {"received": (run.image, {"local contrast": contrast, **_means(received)})}
    rho = timelines.received_contrast
    said = []
    for name, (first, end) in planned(len(timelines.steps)).items():
        if end > first:
            own = rho[first:end].mean(axis=0)
            said.append(f"{PHASE_NAMES[name]} {own[0]:.2f} (chance up to {own[1]:.2f})")
    note = (
        "Mean over queries, sites and heads of the attention that a patch receives. Colours run over each panel's "
        f"own range. Rank correlation with local contrast: {', '.join(said)}."
    )
    return _sheet(run, "Received attention", rows, note, colours, side, theme)


def _means(maps: Floats) -> dict[str, Floats]:
    """Mean over the early, middle and late steps."""
    return {
        f"{PHASE_NAMES[name]}, steps {first} to {end - 1}": maps[first:end].mean(axis=0, dtype=np.float64)
        for name, (first, end) in planned(len(maps)).items()
        if end > first
    }


def _sheet(
    run: object,
    title: str,
    rows: Mapping[str, tuple[Image.Image, Mapping[str, Floats]]],
    note: str,
    colours: str,
    side: int,
    theme: ThemeName,
) -> Image.Image:
    """Rows of panels: the picture, then maps, each over its own range."""
    from diffuscope.run import Run

    assert isinstance(run, Run)
    look = theme_of(theme)
    tall, wide = panel_size(run, side)
    columns = list(next(iter(rows.values()))[1])
    width = 2 * MARGIN + NAMED + (1 + len(columns)) * (wide + GAP)
    top = MARGIN + 66
    trial = Canvas(1, 1, look)
    lines = -(-int(trial.measure(note, 11)) // int(width - 2 * MARGIN - 40))
    canvas = Canvas(width, top + len(rows) * (tall + GAP) + 14 + lines * 15.5 + MARGIN, look)
    canvas.text((MARGIN, MARGIN - 6), title, 18)
    canvas.text((MARGIN, MARGIN + 20), cut(canvas, run.prompt, width - 2 * MARGIN, 12), 12, look.quiet)
    for column, name in enumerate(["picture", *columns]):
        x = MARGIN + NAMED + column * (wide + GAP)
        canvas.text((x, top - 18), cut(canvas, name, wide + GAP - 4, 11), 11, look.quiet)
    for number, (name, (picture, maps)) in enumerate(rows.items()):
        y = top + number * (tall + GAP)
        canvas.text(
            (MARGIN + NAMED - 10, y + tall / 2 - 8), cut(canvas, name, NAMED - 10, 13), 13, None, "right"
        )
        canvas.picture(picture, (MARGIN + NAMED, y), (wide, tall))
        for column, values in enumerate(maps.values(), start=1):
            panel = paint(
                values, (int(tall) * 2, int(wide) * 2), DisplayScale.of(values), colours, smooth=False
            )
            canvas.picture(panel, (MARGIN + NAMED + column * (wide + GAP), y), (wide, tall))
    canvas.lines((MARGIN, top + len(rows) * (tall + GAP) + 8), note, width - 2 * MARGIN, 11, look.quiet)
    return canvas.finished()
