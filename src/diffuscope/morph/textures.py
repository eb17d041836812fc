"""A run as a set of textures and tables, with recipes: for TouchDesigner, Blender, p5 and three.js.

```
set.json                       what everything is: words, steps, ranges, phases, paths
words.csv                      step, progress, phase, word, mass, x, y, spread
maps/1-heart/0000.png          a word's map at a step, 16-bit grey, or .exr, float32
depth/0000.png                 attention to all content words together
pictures/0000.png              the clean picture predicted at the step, 8-bit sRGB
blender.py                     builds the scene in Blender
README.md                      how to use them, by program
```

A 16-bit value v is the probability ``low + v / 65535 * (high - low)``, low and high of all steps of that word together,
as `set.json` says: v / 65535 is the word's stability mask. EXR files hold the probabilities as they are, channel Y.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope.errors import NotKeptError, RunFolderError, SelectionError
from diffuscope.maps.export import Labelled, save_values
from diffuscope.morph.motion import BEGIN, DISSOLVE, END
from diffuscope.morph.score import Score
from diffuscope.morph.streams import Streams, content_words, phase_name, views_of

if TYPE_CHECKING:
    from diffuscope.run import Run, WordView

Kind = Literal["png", "exr"]
FORM = 1
"""Of `set.json`."""
_RECIPES = {"README.md": "README.md", "blender.py": "blender.txt"}
"""File of the set, and where it lies in the package: a text there, since it is no module of ours."""


@dataclass(frozen=True)
class _Sequence:
    """Maps over the steps that become one folder."""

    folder: str
    label: str
    maps: NDArray[np.float32]


def write_textures(
    run: Run,
    folder: str | Path,
    words: Sequence[str] = (),
    kind: Kind = "png",
    score: Score | None = None,
    on_file: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write the set, and return the paths of its files.

    Args:
        run: a recording.
        folder: where to; made if it is not there.
        words: words or phrases; none for all content words.
        kind: ``png``, 16-bit, or ``exr``, float32 (extra ``export``).
        score: the film's textures, where they are read already.
        on_file: called with (files done, files in all).

    Raises:
        SelectionError: no such kind.
        UnknownWordError: the prompt has no such word.
        MissingExtraError: OpenEXR is not installed.
        RunFolderError: a file cannot be written.
    """
    if kind not in get_args(Kind):
        raise SelectionError(f"textures are written as {' or '.join(get_args(Kind))}, not {kind!r}")
    folder, labels = Path(folder), list(words) or content_words(run)
    score = score or Score.of(run, words)
    streams = Streams.of(run, labels)
    sequences = [
        _Sequence(f"maps/{number}-{_slug(view.label)}", view.label, _maps(view))
        for number, view in enumerate(views_of(run, labels), start=1)
    ]
    together = np.stack([_maps(view) for view in views_of(run, content_words(run))]).sum(axis=0)
    sequences.append(_Sequence("depth", "all content words", together))
    pictures = _pictures(run)
    total = len(score.steps) * len(sequences) + len(pictures) + len(_RECIPES) + 2
    written: list[Path] = []

    def done(path: Path) -> None:
        written.append(path)
        if on_file is not None:
            on_file(len(written), total)

    try:
        for sequence in sequences:
            (folder / sequence.folder).mkdir(parents=True, exist_ok=True)
            for step, values in zip(score.steps, sequence.maps, strict=True):
                path = folder / sequence.folder / f"{step:04d}.{kind}"
                _write_map(values, sequence, path)
                done(path)
        for step, picture in pictures.items():
            path = folder / "pictures" / f"{step:04d}.png"
            path.parent.mkdir(exist_ok=True)
            picture.convert("RGB").save(path)
            done(path)
        done(_write_table(folder / "words.csv", score, streams))
        about = _about(run, score, sequences, list(pictures), kind)
        (folder / "set.json").write_text(
            json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        done(folder / "set.json")
        for name, source in _RECIPES.items():
            text = resources.files("diffuscope.morph").joinpath("recipes", source).read_text(encoding="utf-8")
            (folder / name).write_text(text, encoding="utf-8")
            done(folder / name)
    except OSError as error:
        raise RunFolderError(f"cannot write to {folder}: {error.strerror or error}") from error
    return written


def _maps(view: WordView) -> NDArray[np.float32]:
    return np.asarray(view.steps().array, np.float32)


def _write_map(values: NDArray[np.float32], sequence: _Sequence, path: Path) -> None:
    if path.suffix == ".exr":
        save_values(
            Labelled(values, ("y", "x"), {}, {"label": sequence.label, "unit": "attention probability"}), path
        )
        return
    low, high = float(sequence.maps.min()), float(sequence.maps.max())
    unit = (values.astype(np.float64) - low) / (high - low) if high > low else np.zeros(values.shape)
    Image.fromarray(np.rint(unit * 65535).astype(np.uint16)).save(path)


def _pictures(run: Run) -> dict[int, Image.Image]:
    """The predicted pictures that the run kept, by step."""
    found = {}
    for step in run.steps:
        try:
            found[step.index] = run.preview(step.index)
        except NotKeptError:
            continue
    return found


def _write_table(path: Path, score: Score, streams: Streams) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["step", "progress", "phase", "word", "mass", "x", "y", "spread"])
        for at, step in enumerate(score.steps):
            progress = at / (len(score.steps) - 1)
            for number, label in enumerate(streams.words):
                x, y = streams.centroid[number, at]
                numbers = (streams.mass[number, at], x, y, streams.spread[number, at])
                table.writerow(
                    [step, f"{progress:.6g}", phase_name(progress, score.phases), label]
                    + [f"{each:.8g}" for each in numbers]
                )
    return path


def _about(
    run: Run, score: Score, sequences: Sequence[_Sequence], pictures: list[int], kind: str
) -> dict[str, Any]:
    sampling = run.manifest.sampling
    height, width = sequences[0].maps.shape[1:]
    return {
        "form": FORM,
        "run": run.id,
        "prompt": run.prompt,
        "steps": list(score.steps),
        "size": [sampling.width, sampling.height],
        "grid": [height, width],
        "phases": {"noise": 0.0, "structure": score.phases[0], "detail": score.phases[1]},
        "film": {"begin": BEGIN, "end": END, "dissolve": DISSOLVE},
        "maps": [
            {
                "label": each.label,
                "files": f"{each.folder}/%04d.{kind}",
                "low": float(each.maps.min()),
                "high": float(each.maps.max()),
                "unit": "attention probability"
                if each.folder != "depth"
                else "sum of attention probabilities",
                "value": "probability" if kind == "exr" else "low + v / 65535 * (high - low)",
                "stability": "(value - low) / (high - low)",
                "chaos": "1 - stability",
            }
            for each in sequences
        ],
        "pictures": {"files": "pictures/%04d.png", "steps": pictures},
        "table": "words.csv",
        "origin": "top left; x to the right, y down; shares of the picture's width and height",
    }


def _slug(label: str) -> str:
    """A word as part of a file's name: what is not plain becomes a dash."""
    return re.sub(r"[^a-z0-9]+", "-", label.casefold()).strip("-")[:40] or "word"
