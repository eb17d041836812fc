"""What `diffuscope evaluate` shows and writes: tables, figures, sheets of pictures, also as JSON, Markdown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from numpy.typing import NDArray

from diffuscope.cli.console import print_table
from diffuscope.errors import RunFolderError

if TYPE_CHECKING:
    from diffuscope.figures.faithfulness import Bar
    from diffuscope.scenes.evaluation import Fit, Line, Outcome

Picture = NDArray[np.uint8]

SOURCES = {"model": "model", "autoencoder": "after autoencoder", "renderer": "clean renders"}
"""Where pictures come from, and the headings of their columns."""

FIGURES = {"light": "faithfulness.png", "dark": "faithfulness-dark.png"}
ON_A_SHEET = 40


@dataclass
class Source:
    """Pictures of all cases from one source, and what the judge and the pair make of them."""

    images: list[Picture] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    fit: Fit | None = None


def rows(sources: dict[str, Source]) -> list[tuple[str, str, list[Line]]]:
    """Heading, label and the line of each source, in order. The heading is that of the row's group."""
    from diffuscope.scenes.evaluation import FAMILY, NUMBERS, TRAINED, UNSEEN

    found = []
    for lines in zip(*(sources[name].lines for name in SOURCES), strict=True):
        first = lines[0]
        if first.label == "every prompt":
            heading, label = "by part", first.part
        elif first.label in (*NUMBERS, TRAINED) or first.label.startswith("held out"):
            what = "nouns and colours bound" if first.part == "bound" else "every part right"
            heading, label = what, first.label
        elif first.label in (UNSEEN, FAMILY):
            heading, label = "thing by thing", first.label
        else:
            heading, label = "relations", first.label
        found.append((heading, label, list(lines)))
    order = list(dict.fromkeys(heading for heading, _, _ in found))
    return sorted(found, key=lambda row: order.index(row[0]))


def as_markdown(sources: dict[str, Source], told: dict[str, Any]) -> str:
    """The tables for a page: one for each heading."""
    lines, last = [_facts(told), ""], ""
    for heading, label, (model, *ceilings) in rows(sources):
        if heading != last:
            lines += ["", f"### {heading.capitalize()}", ""] if last else [f"### {heading.capitalize()}", ""]
            lines += [f"| | n | {' | '.join(SOURCES.values())} |", "|---" * 5 + "|"]
        last = heading
        share = f"{_percent(model)} ({_interval(model)})" if model.n else "-"
        lines.append(f"| {label} | {model.n} | {share} | {' | '.join(map(_percent, ceilings))} |")
    if any(source.fit for source in sources.values()):
        lines += ["", "### CLIP score", "", f"| | {' | '.join(SOURCES.values())} |", "|---" * 4 + "|"]
        fits = [source.fit for source in sources.values() if source.fit]
        lines.append(f"| mean | {' | '.join(_mean(one) for one in fits)} |")
        lines.append(f"| own caption first | {' | '.join(_percent(one.own_caption_first) for one in fits)} |")
    return "\n".join(lines) + "\n"


def show_tables(sources: dict[str, Source], told: dict[str, Any]) -> None:
    """The shares, group by group, then the CLIP score."""
    cells: list[list[str]] = []
    last = ""
    for heading, label, lines in rows(sources):
        if heading != last:
            cells += [["", *[""] * 5]] * bool(cells) + [[heading.upper(), *[""] * 5]]
        last = heading
        model = lines[0]
        interval = _interval(model) if model.n else "-"
        ceilings = [_percent(line) for line in lines[1:]]
        cells.append([f"  {label}", str(model.n), _percent(model), interval, *ceilings])
    print_table(["", "n", "model", "95% interval", *list(SOURCES.values())[1:]], cells)
    typer.echo("")
    fits = [(heading, sources[name].fit) for name, heading in SOURCES.items()]
    found = [(heading, one) for heading, one in fits if one is not None]
    if found:
        means = ", ".join(f"{heading} {_mean(one)}" for heading, one in found)
        firsts = ", ".join(f"{heading} {_percent(one.own_caption_first)}" for heading, one in found)
        typer.echo(f"CLIP score, 0 to 100: {means}")
        typer.echo(f"own caption fits best of all: {firsts}")
    typer.echo(_facts(told))


def _facts(told: dict[str, Any]) -> str:
    return (
        f"{told['pictures']} pictures, {told['steps']} steps, guidance {told['guidance']:g}, "
        f"{told['seconds_a_picture']:.2f} s a picture; autoencoder {told['autoencoder_psnr_db']:.1f} dB"
    )


def _interval(line: Line) -> str:
    return f"{100 * line.low:.1f} to {100 * line.high:.1f}"


def _mean(one: Fit) -> str:
    return f"{one.mean:.1f} ({one.low:.1f} to {one.high:.1f})"


def _percent(line: Line) -> str:
    return f"{100 * line.rate:.1f} %" if line.n else "-"


def write(out: Path, told: dict[str, Any], sources: dict[str, Source]) -> None:
    """The figure for light and dark pages, a sheet of the pictures for every part, one of the wrong ones, the tables.

    Raises:
        RunFolderError: a file cannot be written.
    """
    from diffuscope.figures.faithfulness import Bar, Tile, chart, sheet
    from diffuscope.scenes.scoring import PARTS

    groups: dict[str, list[Bar]] = {}
    for heading, label, (model, autoencoder, renderer) in rows(sources):
        groups.setdefault(heading, []).append(Bar(label, model, autoencoder, renderer))
    note = (
        f"{told['pictures']} pictures, {told['steps']} steps, guidance {told['guidance']:g}; read by the judge, "
        "without the prompt. Intervals are wider where several pictures share a prompt."
    )
    drawn = sources["model"]
    pairs = list(zip(drawn.images, drawn.outcomes, strict=True))
    try:
        (out / "evaluation.json").write_text(
            json.dumps(told, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
        (out / "evaluation.md").write_text(as_markdown(sources, told), encoding="utf-8")
        for theme, name in FIGURES.items():
            figure = chart(list(groups.items()), "Does it draw what it is told?", [note], theme)  # type: ignore[arg-type]
            figure.save(out / name)
        for part in PARTS:
            named = [(image, one) for image, one in pairs if getattr(one.score, part) is not None][
                :ON_A_SHEET
            ]
            if named:
                tiles = [
                    Tile(image, one.case.prompt.text, (part,) if getattr(one.score, part) is False else ())
                    for image, one in named
                ]
                sheet(tiles, f"{part}: prompts that name it, in order").save(out / f"sheet-{part}.png")
        wrong = [(image, one) for image, one in pairs if one.score.wrong()][:ON_A_SHEET]
        if wrong:
            tiles = [Tile(image, one.case.prompt.text, one.score.wrong()) for image, one in wrong]
            sheet(tiles, "pictures with something wrong, in order").save(out / "sheet-wrong.png")
    except OSError as error:
        raise RunFolderError(f"cannot write to {out}: {error.strerror or error}") from error
