"""The report of a run: one HTML file on which a click on a word shows where the model looked, step by step.

The file needs nothing else: no network, no server, no library. Maps travel as binary; the page paints them.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import diffuscope
from diffuscope.analysis.cause import windows
from diffuscope.analysis.cause.faithfulness import all_kept
from diffuscope.analysis.measures.timing import peak
from diffuscope.analysis.timeline.word_kinds import FUNCTION_WORDS
from diffuscope.errors import NotKeptError, RunFolderError
from diffuscope.figures.embed import (
    base64,
    coarser,
    embed_maps,
    picture_address,
    preview_address,
    significant,
)
from diffuscope.figures.explanation import explanation_data
from diffuscope.figures.objects_report import objects_data
from diffuscope.figures.page import render
from diffuscope.figures.report_texts import cross_sites, definition, facts, notices
from diffuscope.maps.colormap import NAMES, colormap
from diffuscope.maps.heatmap import UNIT

if TYPE_CHECKING:
    from diffuscope.recording.manifest import TextInfo, Word
    from diffuscope.run import Run


def write_report(run: Run, path: str | Path) -> Path:
    """Write the run's report to a file and return its path.

    Args:
        run: a recorded run; an interrupted one is reported up to its last whole step, and the page says so.
        path: the HTML file; its folder is made. An older file there is replaced in one move.

    Raises:
        NotKeptError: the run kept no cross-attention, so there is nothing to show.
        SelectionError: the run was stopped before its first step was whole.
        RunFolderError: the file cannot be written.
    """
    path = Path(path)
    page = render(report_data(run), f"diffuscope {diffuscope.__version__}")
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(page, encoding="utf-8", newline="\n")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise RunFolderError(f"Cannot write the report {path}: {error.strerror or error}.") from error
    return path


def report_data(run: Run) -> dict[str, Any]:
    """Everything that the page shows, as plain JSON values (read by templates/js/main.js)."""
    text, sampling = run.manifest.text, run.manifest.sampling
    words = _words(text)
    finest = max(((site.grid[0], site.grid[1]) for site in cross_sites(run)), key=math.prod, default=(1, 1))
    grid = coarser(finest, len(words) * (len(run.steps) + 1))
    stack, masses, aggregation = _maps(run, [word["label"] for word in words], grid)
    tests, counts = all_kept(run.recording), windows.all_kept(run.recording)
    for word, mass in zip(words, masses, strict=True):
        word["mass"] = [significant(value, 6) for value in mass]
        top = peak(mass[1:])
        # A mark where the mass is highest, none where it hardly moves: see the measure ``peak``.
        word["peak"] = None if top.flat else top.at
        tested = tests.get(word["label"])
        word["test"] = None if tested is None else {"verdict": tested.verdict, "said": tested.sentence()}
        word["window"] = _window(counts.get(word["label"]))
    embedded = embed_maps(stack)
    coarsened = (
        ""
        if grid == finest
        else f"The {finest[1]} × {finest[0]} patches were averaged to {grid[1]} × {grid[0]} for this page."
    )
    sites = len(cross_sites(run))
    # Words are where the row reads them whose attention was kept.
    read = sampling.prompt if run.manifest.keep.branch == "cond" else sampling.negative_prompt
    return {
        "text": sampling.prompt,
        "title": f"{run.manifest.id} · {run.manifest.model.id}"
        + ("" if sampling.seed is None else f" · seed {sampling.seed}"),
        "folder": run.path.name,  # as the command line finds it in ./runs, not its place on this machine
        "notices": notices(run),
        "words": words,
        "prompt": _pieces(text, read or ""),
        "first": _first(words),
        "steps": [
            {"index": step.index, "timestep": _finite(step.timestep), "log_snr": _finite(step.log_snr)}
            for step in run.steps
        ],
        "unit": UNIT,
        "aggregation": f"mean over all heads of {sites} {'site' if sites == 1 else 'sites'}",
        "precision": embedded.precision,
        "maps": embedded.data,
        "colours": {name: base64(colormap(name).tobytes()) for name in NAMES},
        "definition": definition(aggregation, embedded.precision, coarsened),
        "facts": facts(run),
        "objects": objects_data(run),
        "explanation": explanation_data(run),
        **_pictures(run),
    }


def _window(found: windows.Windows | None) -> dict[str, Any] | None:
    """The recommended intervention window of a word, if windows were drawn for it and the edit does something."""
    best = None if found is None else found.recommended
    if found is None or best is None:
        return None
    return {"start": best.start, "stop": best.stop, "said": found.sentence()}


def _maps(
    run: Run, labels: list[str], grid: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float64], str]:
    """Maps ``[word, slot, y, x]`` and masses ``[word, slot]``: slot 0 is the mean, slot 1 + i step i."""
    maps, masses, aggregation = [], [], ""
    for label in labels:
        series = run.word(label).steps(size=grid)
        whole = series.mean()
        maps.append(np.concatenate([whole.array[None], series.array]))
        masses.append(np.concatenate([[whole.mean], series.mass]))
        aggregation = aggregation or series.aggregation
    return np.stack(maps), np.stack(masses), aggregation


def _words(text: TextInfo) -> list[dict[str, Any]]:
    """Start token, the prompt's words, end token: how each is called, and by which label it is found."""
    kinds = {token.kind for token in text.tokens}
    words = [_word(text, word) for word in text.words]
    start = [_special("start")] if "start" in kinds else []
    end = [_special("end")] if "end" in kinds else []
    return start + words + end


def _special(kind: str) -> dict[str, Any]:
    return {
        "label": f"<{kind}>",
        "text": kind,
        "name": f"the {kind} token",
        "title": f"{kind} token",
        "short": kind,
        "kind": kind,
        "note": "a token that belongs to no word",
    }


def _word(text: TextInfo, word: Word) -> dict[str, Any]:
    number = word.label.rpartition("#")[2] if "#" in word.label else ""
    pieces = [text.tokens[index].text.replace("</w>", "") for index in word.tokens]
    return {
        "label": word.label,
        "name": f"“{word.text}”" + (f", number {number}," if number else ""),
        "title": word.label if number else word.text,
        "text": word.text,
        "short": word.label,
        "kind": "word",
        "note": f"{len(pieces)} tokens, summed: {' · '.join(pieces)}" if len(pieces) > 1 else None,
    }


def _pieces(text: TextInfo, prompt: str) -> list[dict[str, Any]]:
    """The prompt in its own order: words (by index), the text between them, and the part that was cut."""
    offset = 1 if any(token.kind == "start" for token in text.tokens) else 0
    pieces: list[dict[str, Any]] = []
    if offset:
        pieces.append({"text": "start", "word": 0, "cut": False})
    at = 0
    order = sorted(range(len(text.words)), key=lambda index: text.words[index].start)
    for index in order:
        word = text.words[index]
        pieces.append({"text": prompt[at : word.start].strip(), "word": None, "cut": False})
        pieces.append({"text": prompt[word.start : word.end], "word": offset + index, "cut": False})
        at = word.end
    pieces.append({"text": prompt[at:].strip(), "word": None, "cut": text.cut is not None})
    if any(token.kind == "end" for token in text.tokens):
        pieces.append({"text": "end", "word": offset + len(text.words), "cut": False})
    return [piece for piece in pieces if piece["text"]]


def _first(words: list[dict[str, Any]]) -> int:
    """The word that the page opens on: the first that names something."""
    plain = [index for index, word in enumerate(words) if word["kind"] == "word"]
    naming = [index for index in plain if words[index]["text"].casefold() not in FUNCTION_WORDS]
    return (naming or plain or [0])[0]


def _pictures(run: Run) -> dict[str, Any]:
    """The finished picture, or what there is in its place, and each step's predicted picture (or None)."""
    previews: list[str | None] = []
    latest = None
    for step in run.steps:
        try:
            latest = run.preview(step.index)
        except NotKeptError:
            previews.append(None)
        else:
            previews.append(preview_address(latest))
    sampling = run.manifest.sampling
    picture: dict[str, Any] = {"width": sampling.width, "height": sampling.height, "source": None}
    try:
        image = run.image
    except NotKeptError:
        picture["caption"] = "no picture: the run was stopped before it was made"
        if latest is not None:
            picture["source"] = preview_address(latest)
            picture["caption"] = "the last predicted picture: the run was stopped before its end"
    else:
        picture["source"], how = picture_address(image)
        picture["caption"] = "the finished picture" + (f", {how}" if how else "")
    return {"picture": picture, "previews": previews}


def _finite(value: float | None) -> float | None:
    return significant(value, 6) if value is not None and math.isfinite(value) else None
