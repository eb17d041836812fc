"""The judge's network in plain NumPy: from a picture to what each cell of a 32 x 32 grid shows.

A small convolutional network with a decoder (a feature pyramid: Lin et al. 2017, arXiv 1612.03144): an encoder in four
steps to 8 x 8 cells, each of which sees the whole picture, and back up to 32 x 32. Every cell says what it belongs to,
in what paint and pattern, which details it shows, and votes for the centre and size of the whole thing, hidden parts
included (generalised Hough voting: Ballard 1981, Pattern Recognition 13:111; learned: Leibe et al. 2004). One
output for the whole picture says the place, light and style. It is trained on drawn scenes by `training/judge.py`,
which folds batch normalisation into the convolutions; the weights are in `judge_model/`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from diffuscope.scenes.vocabulary import DETAILS, LIGHTS, NOUNS, PAINTS, PATTERNS, PLACES, PLAIN, STYLES

Floats = NDArray[np.float32]

CLASSES: dict[str, tuple[str, ...]] = {
    "noun": NOUNS,
    "paint": tuple(PAINTS),
    "pattern": (PLAIN, *PATTERNS),
    "detail": tuple(DETAILS),
    "place": (PLAIN, *PLACES),
    "light": (PLAIN, *LIGHTS),
    "style": (PLAIN, *STYLES),
}
"""What the outputs stand for, in order."""

UNKNOWN = len(NOUNS)
"""Number of the class of things that have no noun. Cells have one class more, in front of all: the backdrop."""

CELL = 4
"""Pixels along a cell's side."""
REACH = 32.0
"""Pixels that a vote of 1 reaches from a cell's middle."""
MIDDLING = 24.0
"""Radius in pixels whose logarithm counts as 0 in votes."""

DETAIL_ODDS = 4.0
"""How many times more cells that show a detail count in training than others; taken back when reading."""

CHANNELS: dict[str, int] = {
    "noun": len(NOUNS) + 2,
    "paint": len(CLASSES["paint"]),
    "pattern": len(CLASSES["pattern"]),
    "detail": len(CLASSES["detail"]),
    "vote": 3,
    "cover": CELL * CELL,
}
"""Channels of the grid's output, in order."""

STAGES: dict[str, int] = {"first": 1, "second": 1, "third": 2}
"""Residual blocks at 32 x 32, 16 x 16 and 8 x 8 cells."""

FOLDER = Path(__file__).with_name("judge_model")


@dataclass(frozen=True)
class Evidence:
    """The network's answer. On the grid, float32 `[row, column, class]`: probabilities `noun` (backdrop first, the
    nouns, then things without one), `paint`, `pattern`, and `detail` (each for itself); `x`, `y`, `radius`
    `[row, column]`: votes in pixels of the picture. `cover` `[y, x]`: probability that a pixel shows a thing. Of the
    whole picture, `[class]`: `place`, `light`, `style`."""

    noun: Floats
    paint: Floats
    pattern: Floats
    detail: Floats
    x: Floats
    y: Floats
    radius: Floats
    cover: Floats
    place: Floats
    light: Floats
    style: Floats


@cache
def weights() -> dict[str, Floats]:
    """The network's weights by layer: `[row x column x input, output]` for convolutions, `[output]` for biases.

    Raises `ValueError` where the weights in the package are for another vocabulary.
    """
    told = json.loads((FOLDER / "judge.json").read_text())
    if {name: tuple(words) for name, words in told["classes"].items()} != CLASSES:
        raise ValueError(
            f"the judge in {FOLDER} was trained for another vocabulary: run `python -m training.judge`"
        )
    return {name: value.astype(np.float32) for name, value in load_file(FOLDER / "judge.safetensors").items()}


def look(image: NDArray[np.uint8]) -> Evidence:
    """What the network makes of a picture, uint8 sRGB `[y, x, channel]`: the mean of what it makes of the picture and
    of its mirror image."""
    picture = image.astype(np.float32) / np.float32(127.5) - 1
    parts, settings = _outputs(picture)
    mirrored, others = _outputs(np.ascontiguousarray(picture[:, ::-1]))
    for name, values in mirrored.items():
        back = values[:, ::-1]
        if name == "vote":
            back = back * np.array([-1, 1, 1], np.float32)
        if name == "cover":
            back = back.reshape(*back.shape[:2], CELL, CELL)[..., ::-1].reshape(back.shape)
        parts[name] = np.asarray((parts[name] + back) / 2, np.float32)
    settings = np.asarray((settings + others) / 2, np.float32)
    rows, columns, _ = parts["vote"].shape
    vote = parts["vote"]
    middles = CELL * (np.arange(max(rows, columns), dtype=np.float32) + 0.5)
    cover = parts["cover"].reshape(rows, columns, CELL, CELL).transpose(0, 2, 1, 3)
    cuts = np.cumsum([len(CLASSES["place"]), len(CLASSES["light"])])
    place, light, style = (_softmax(part) for part in np.split(settings, cuts))
    return Evidence(
        noun=_softmax(parts["noun"]),
        paint=_softmax(parts["paint"]),
        pattern=_softmax(parts["pattern"]),
        detail=_sigmoid(parts["detail"] - np.float32(np.log(DETAIL_ODDS))),
        x=np.asarray(vote[..., 0] * REACH + middles[None, :columns], np.float32),
        y=np.asarray(vote[..., 1] * REACH + middles[:rows, None], np.float32),
        radius=np.asarray(MIDDLING * np.exp(np.clip(vote[..., 2], -3, 2)), np.float32),
        cover=_sigmoid(cover.reshape(rows * CELL, columns * CELL)),
        place=place,
        light=light,
        style=style,
    )


def _outputs(picture: Floats) -> tuple[dict[str, Floats], Floats]:
    """The grid's outputs by name `[row, column, channel]`, and those of the whole picture."""
    grid, settings = forward(weights(), picture)
    cuts = np.cumsum(list(CHANNELS.values()))[:-1]
    return dict(zip(CHANNELS, np.split(grid, cuts, axis=-1), strict=True)), settings


def forward(layers: dict[str, Floats], picture: Floats) -> tuple[Floats, Floats]:
    """Outputs of the grid `[row, column, channel]` and of the whole picture `[class]`, before softmax and sigmoid.

    `picture` is `[y, x, channel]` in -1 to 1.
    """

    def conv(name: str, states: Floats, stride: int = 1, *, bend: bool = True) -> Floats:
        return _convolve(states, layers[f"{name}.weight"], layers[f"{name}.bias"], stride, bend=bend)

    def stage(name: str, states: Floats) -> Floats:
        for number in range(STAGES[name]):
            change = conv(f"{name}.{number}.b", conv(f"{name}.{number}.a", states), bend=False)
            states = np.maximum(states + change, 0)
        return states

    first = stage("first", conv("down1", conv("stem", picture, 2), 2))
    second = stage("second", conv("down2", first, 2))
    third = stage("third", conv("down3", second, 2))
    states = conv("up2", _doubled(conv("from3", third)) + conv("from2", second))
    states = conv("up1", _doubled(conv("narrow", states)) + conv("from1", first))
    grid = conv("grid", states, bend=False)
    pooled = np.concatenate([third.mean(axis=(0, 1)), third.max(axis=(0, 1)), first.mean(axis=(0, 1))])
    hidden = np.maximum(pooled @ layers["pooled.weight"] + layers["pooled.bias"], 0)
    return grid, hidden @ layers["settings.weight"] + layers["settings.bias"]


def _convolve(states: Floats, weight: Floats, bias: Floats, stride: int, *, bend: bool) -> Floats:
    """Convolution of `[row, column, channel]` with zeros around it, as one matrix product, then (`bend`) ReLU."""
    rows, columns, channels = states.shape
    if len(weight) == channels:
        output = states.reshape(-1, channels) @ weight
    else:
        padded = np.zeros((rows + 2, columns + 2, channels), np.float32)
        padded[1:-1, 1:-1] = states
        rows, columns = rows // stride, columns // stride
        windows = np.empty((rows, columns, 9, channels), np.float32)
        for place in range(9):
            y, x = divmod(place, 3)
            windows[:, :, place] = padded[y : y + rows * stride : stride, x : x + columns * stride : stride]
        output = windows.reshape(rows * columns, 9 * channels) @ weight
    output += bias
    if bend:
        np.maximum(output, 0, out=output)
    return output.reshape(rows, columns, -1)


def _doubled(states: Floats) -> Floats:
    """Twice as many rows and columns, each cell repeated."""
    return states.repeat(2, axis=0).repeat(2, axis=1)


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def _sigmoid(scores: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(scores, -30, 30))), np.float32)
