"""The page of a comparison: one HTML file with both pictures, a slider between them, what changed where, and the
attention to each word before and after.

The file needs nothing else: no network, no server, no library. Two runs that are no pair get a page too, which shows
the pictures and says why nothing is measured.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cmap
import numpy as np
from numpy.typing import NDArray

import diffuscope
from diffuscope.analysis.comparing import NOTICED, Comparison, Judged, WordTimes, compare
from diffuscope.analysis.pairs import apart
from diffuscope.analysis.timeline.word_kinds import FUNCTION_WORDS
from diffuscope.errors import InputError
from diffuscope.figures.embed import base64, coarser, embed_maps, picture_address, significant
from diffuscope.figures.page import assemble, bundle, style_sheet
from diffuscope.figures.report_texts import cross_sites, facts
from diffuscope.figures.writing import write_page
from diffuscope.maps.colormap import colormap
from diffuscope.maps.heatmap import UNIT

if TYPE_CHECKING:
    from diffuscope.run import Run

STYLES = ("css/base.css", "compare/compare.css")
MODULES = ("js/maps.js", "js/paint.js", "js/store.js", "compare/compare.js")
NAMES, REFUSED = ("before", "after", "control"), ("first", "other")
SIGNED = "crameri:vik"
"""For differences: perceptually uniform to both sides of a light middle."""

DEFINITION = f"""
Both runs share seed, first noise, prompt, settings, scheduler, model, device, type of numbers and versions, so that
what differs is the edits' doing. A control is a random change on the same selection with the norm of the edit's own:
what an edit does beyond it is not mere disturbance.

Change of the picture: CIE76 delta-E of each pixel, the distance in CIELAB (D65); {NOTICED} is just noticed.

ACS, attention change score: relative change of the word's attention mass in the edit's steps. P-ADC and L-ADC:
correlation, over patches and those steps, of the attention before the edit with the absolute change of attention, and
of the latent: whether things change where the model looked.

SF-IoU: overlap of where the word's map is above its 75th percentile with where the picture's change is above its own,
beside chance (two masks of those sizes, independent) and a random word of the prompt.

Mass: the mean of the word's map over its patches. Peak: step of the greatest mass, none where it hardly moves;
stabilisation: from when on the map stays as it ends; emergence, by attention: when the map first covers what it covers
at the end. Map difference: root mean square over patches.
""".strip()
COLOURS = "Colours are scaled over the range beside them; both maps of a word share one."
NO_PAIR = """
An edit's effect is what differs between two runs that share seed, first noise, prompt, settings, scheduler, model,
device, type of numbers and versions. Draw the edited run with lens.edit or diffuscope edit, which see to that.
""".strip()


def write_comparison(
    run: Run,
    other: Run,
    path: str | Path,
    *,
    control: Run | None = None,
    found: Comparison | None = None,
    **options: Any,
) -> Path:
    """Write the page of a comparison to a file and return its path.

    Args:
        run, other: the baseline, and what was made of it. Where they are no pair the page says in what they differ.
        path: the HTML file; its folder is made. An older file there is replaced in one move.
        control: a run made with the control of the same edit.
        found: what `compare` has found of them already, the control with it.
        options: those of `compare`.

    Raises:
        InputError: `control` is no pair with `run`.
        NotKeptError: a run has no picture.
        RunFolderError: the file cannot be written.
    """
    reasons = apart(run, other)
    if reasons:
        data = _refused(run, other, [vars(each) for each in reasons])
    else:
        if control is not None and apart(run, control):
            raise InputError(f"the control {control.id} is no pair with {run.id}: compare the two to see why")
        found = found or compare(run, other, control=control, **options)
        data = comparison_data(run, other, control, found)
    generator = f"diffuscope {diffuscope.__version__}"
    page = assemble("compare/compare.html", style_sheet(STYLES), bundle(MODULES), data, generator)
    return write_page(page, Path(path), "comparison")


def comparison_data(run: Run, other: Run, control: Run | None, found: Comparison) -> dict[str, Any]:
    """Everything that the page of a pair shows, as plain JSON values (read by templates/compare/compare.js)."""
    runs = [run, other, *([] if control is None else [control])]
    pairs = [found, *([] if found.control is None else [found.control])]
    words, maps, precision = _words(runs, pairs)
    change = embed_maps(np.stack([each.change for each in pairs]).astype(np.float32)[:, None])
    window = "" if found.window == found.steps else _ranges(found.window)
    return {
        **_common(runs, NAMES),
        "edits": list(found.edits),
        "window": f"steps {window} of {len(found.steps)}" if window else "",
        "refused": None,
        "change": {"maps": change.data, "top": max(float(each.change.max()) for each in pairs)},
        "measured": [_measured(each) for each in pairs],
        "perceptual": _perceptual(found),
        "judge": _judge(pairs),
        "words": words,
        "first": _first([word["label"] for word in words]),
        "maps": maps,
        "unit": UNIT,
        "definition": _definition(precision),
    }


def _refused(run: Run, other: Run, reasons: list[dict[str, str]]) -> dict[str, Any]:
    return {
        **_common([run, other], REFUSED),
        "edits": [f"{each.id}: {_count(len(each.manifest.edits))}" for each in (run, other)],
        "window": "",
        "refused": [{name: _short(text) for name, text in each.items()} for each in reasons],
        "definition": _paragraphs(NO_PAIR),
    }


def _count(edits: int) -> str:
    return "1 edit" if edits == 1 else f"{edits or 'no'} edits"


def _common(runs: list[Run], names: tuple[str, ...]) -> dict[str, Any]:
    pictures = []
    for name, each in zip(names, runs, strict=False):
        source, _ = picture_address(each.image)
        width, height = each.image.size
        pictures.append({"name": name, "run": each.id, "source": source, "width": width, "height": height})
    manifest = runs[0].manifest
    seed = "" if manifest.sampling.seed is None else f" · seed {manifest.sampling.seed}"
    return {
        "text": manifest.sampling.prompt,
        "title": manifest.model.id + seed,
        "pictures": pictures,
        "facts": _facts(runs, names),
        "colours": {
            "heat": base64(colormap("magma").tobytes()),
            "map": base64(colormap("magma").tobytes()),
            "signed": base64(signed_table().tobytes()),
        },
    }


@lru_cache(maxsize=1)
def signed_table() -> NDArray[np.uint8]:
    """Colours of signed values, uint8 sRGB `[256, 3]`: the middle one is 0."""
    return np.round(np.asarray(cmap.Colormap(SIGNED).lut(256))[:, :3] * 255).astype(np.uint8)


def _measured(found: Comparison) -> dict[str, Any]:
    change = found.change
    return {
        "mean": significant(change.mean(), 6),
        "largest": significant(change.max(), 6),
        "noticed": significant((change > NOTICED).mean(), 6),
        "perceptual": None if found.perceptual.value is None else significant(found.perceptual.value, 6),
    }


def _perceptual(found: Comparison) -> str:
    told = found.perceptual
    why = f": not taken, {told.why}" if told.value is None else ""
    return f"Perceptual distance: {told.name}{why}."


def _words(runs: list[Run], pairs: list[Comparison]) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Each word's numbers, the maps `[word, run, y, x]` as the page decodes them, and how precisely it holds them."""
    labels = [word.word for word in pairs[0].words]
    if not labels:
        return [], {}, ""
    grids = [(site.grid[0], site.grid[1]) for site in cross_sites(runs[0])]
    grid = coarser(max(grids, key=math.prod, default=(1, 1)), len(labels) * len(runs))
    shown = np.stack([[run.word(label).map(size=grid).array for run in runs] for label in labels])
    embedded = embed_maps(shown.astype(np.float32))
    times = {each.word: each for each in pairs[0].times}
    words = [
        {
            "label": label,
            "times": _times(times.get(label), pairs[0]),
            "effects": [
                {**_plain(vars(pair.words[index])), "of": name}
                for name, pair in zip(("edit", "control"), pairs, strict=False)
            ],
        }
        for index, label in enumerate(labels)
    ]
    return words, embedded.data, embedded.precision


def _times(times: WordTimes | None, found: Comparison) -> dict[str, Any] | None:
    if times is None:
        return None
    steps = found.steps[: len(times.mass[0])]
    places = [index for index, step in enumerate(steps) if step in found.window]
    whole = len(places) == len(steps)
    return {
        "steps": list(steps),
        "before": [significant(value, 6) for value in times.mass[0]],
        "after": [significant(value, 6) for value in times.mass[1]],
        "window": [] if whole else _stretches(places),
        "peak": times.peak,
        "stabilisation": times.stabilisation,
        "emergence": times.emergence,
    }


def _judge(pairs: list[Comparison]) -> dict[str, Any] | None:
    if pairs[0].judge is None:
        return None
    both: list[list[Judged]] = [list(pair.judged) for pair in pairs]
    binary = all(
        score in (0.0, 1.0, None) for each in both for one in each for score in (one.before, one.after)
    )

    def told(score: float | None) -> str:
        if score is None:
            return "–"
        return ("yes" if score else "no") if binary else f"{score:.3f}"

    rows = [
        [each.word, told(each.before), told(each.after), *(told(other[index].after) for other in both[1:])]
        for index, each in enumerate(both[0])
    ]
    readings = []
    if pairs[0].readings is not None:
        readings = [["before", pairs[0].readings[0]], ["after", pairs[0].readings[1]]]
        readings += [["control", pair.readings[1]] for pair in pairs[1:] if pair.readings is not None]
    columns = ["before", "after", *(["control"] if len(pairs) > 1 else [])]
    return {"name": pairs[0].judge, "columns": columns, "rows": rows, "readings": readings}


def _facts(runs: list[Run], among: tuple[str, ...]) -> dict[str, Any]:
    """What the runs were made with, a row a fact; `differs` marks those in which they are not one."""
    told = [dict(facts(run)) for run in runs]
    names = list(dict.fromkeys(name for each in told for name in each))
    rows = []
    for name in names:
        values = [each.get(name, "") for each in told]
        rows.append({"cells": [name, *values], "differs": len(set(values)) > 1})
    return {"names": list(among[: len(runs)]), "rows": rows}


def _definition(precision: str) -> list[str]:
    return [*_paragraphs(DEFINITION), f"{COLOURS} {precision}"]


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n")]


def _first(labels: list[str]) -> int:
    naming = [
        index for index, label in enumerate(labels) if label.split("#")[0].casefold() not in FUNCTION_WORDS
    ]
    return (naming or [0])[0]


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: significant(value, 6) if isinstance(value, float) else value for name, value in values.items()
    }


def _stretches(places: list[int]) -> list[list[int]]:
    """Runs of neighbouring numbers, as first and last."""
    found: list[list[int]] = []
    for place in places:
        if found and found[-1][1] == place - 1:
            found[-1][1] = place
        else:
            found.append([place, place])
    return found


def _ranges(steps: tuple[int, ...]) -> str:
    return ", ".join(
        str(first) if first == last else f"{first} to {last}" for first, last in _stretches(list(steps))
    )


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:299] + "…"
