"""Two runs of one seed, compared: what an edit changed in the picture and in the attention to each word.

Measures are those of Patch Explorer and Diffusion Detective, with chance levels beside them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope import edits
from diffuscope.edits import Edit
from diffuscope.errors import InputError, listed
from diffuscope.recording import Manifest
from diffuscope.scenes.lab import to_lab

if TYPE_CHECKING:
    from diffuscope.run import Run

Floats = NDArray[np.float64]

PERCENTILE = 75
"""Above which a word's map, and the change, are "there" for SF-IoU."""


@dataclass(frozen=True)
class WordEffect:
    """What became of the attention to one word, and how it goes with what changed.

    Attributes:
        word: its label.
        acs: attention change score: relative change of its attention mass in the window; None where the mass is 0.
        p_adc: correlation (Pearson, over patches and in-window steps) of the first run's attention with the absolute
            change of attention; None where either does not vary.
        l_adc: the same with the change of the latent after each step, its norm over channels.
        sf_iou: IoU of (map above its 75th percentile) with (change of the picture above its own).
        chance: that IoU of two independent masks of these sizes: 1/7 of two quarters.
        random_word, random_sf_iou: another word of the prompt, drawn at random, and its IoU; None where there is none.
        map_difference: root mean square difference of the two runs' maps, a probability.
    """

    word: str
    acs: float | None
    p_adc: float | None
    l_adc: float | None
    sf_iou: float
    chance: float
    random_word: str | None
    random_sf_iou: float | None
    map_difference: float


@dataclass(frozen=True)
class Comparison:
    """Two runs that differ in their edits alone.

    Attributes:
        run, other: their ids.
        edits: what the second was made with, one line each.
        window: steps in which those that the first has not act; all where there are none.
        change: CIE76 delta-E of each pixel, `[y, x]`, in CIELAB of D65: 2.3 is just noticed.
        words: of the prompt.
    """

    run: str
    other: str
    edits: tuple[str, ...]
    window: tuple[int, ...]
    change: Floats
    words: tuple[WordEffect, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; of the change map its mean, its largest value and the share of pixels above 2.3."""
        return {
            "run": self.run,
            "other": self.other,
            "edits": list(self.edits),
            "window": list(self.window),
            "change": {
                "unit": "delta-E (CIE76)",
                "mean": float(self.change.mean()),
                "largest": float(self.change.max()),
                "noticed": float((self.change > 2.3).mean()),
            },
            "words": [asdict(word) for word in self.words],
        }


def compare(run: Run, other: Run, *, seed: int = 0) -> Comparison:
    """Compare a run with an edited one of the same seed.

    Args:
        run, other: the baseline, and what was made of it.
        seed: of the random word.

    Raises:
        InputError: they differ in more than their edits: seed, noise, prompt, settings, scheduler, model, device, type
            of numbers or versions; the message says in what.
        NotKeptError: one has no picture.
    """
    check_pair(run, other)
    known = run.manifest.edits
    added = [each for each in other.manifest.edits if each not in known]
    steps = [step.index for step in run.manifest.steps]
    window = _window(added, len(steps)) or tuple(steps)
    change = delta_e(run.image, other.image)
    labels = [word.label for word in run.words if word.tokens]
    shown = {label: run.word(label).map().array.astype(np.float64) for label in labels}
    rng = np.random.default_rng(seed)
    words = []
    for label in labels:
        rest = [each for each in labels if each != label]
        drawn = rest[rng.integers(len(rest))] if rest else None
        words.append(_effect(run, other, label, drawn, window, change, shown))
    return Comparison(
        run.id, other.id, tuple(_said(each) for each in other.manifest.edits), window, change, tuple(words)
    )


def delta_e(one: Image.Image, other: Image.Image) -> Floats:
    """CIE76 delta-E `[y, x]` of two pictures of one size: the Euclidean distance in CIELAB."""
    first, second = (to_lab(np.asarray(each.convert("RGB"))).astype(np.float64) for each in (one, other))
    distance: Floats = np.sqrt(((first - second) ** 2).sum(axis=-1))
    return distance


def check_pair(run: Run, other: Run) -> None:
    """Raises InputError where two runs differ in more than their edits, and says in what."""
    one, two = _conditions(run.manifest), _conditions(other.manifest)
    apart = [
        f"{name} ({_short(one.get(name))} and {_short(two.get(name))})"
        for name in dict.fromkeys([*one, *two])
        if one.get(name) != two.get(name)
    ]
    if apart:
        raise InputError(
            f"{run.id} and {other.id} differ in more than their edits, so what changed is not the edits' doing: "
            f"{listed(apart, 4)}"
        )
    if not run.manifest.steps or not other.manifest.steps:
        raise InputError("a run that was stopped before its first step has nothing to compare")
    noise, again = (each.recording.latent(each.manifest.steps[0].index) for each in (run, other))
    if noise.shape != again.shape or not np.array_equal(noise, again):
        raise InputError(f"{run.id} and {other.id} differ in their first noise")


def _conditions(manifest: Manifest) -> dict[str, Any]:
    return {
        **manifest.sampling.model_dump(),
        **{f"model {name}": value for name, value in manifest.model.model_dump().items()},
        **manifest.software,
        "steps drawn": [step.index for step in manifest.steps],
    }


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _window(added: list[Any], steps: int) -> tuple[int, ...]:
    found: set[int] = set()
    for each in added:
        # A function has no JSON form, but its aim has.
        aim = Edit(steps=each.get("of", each).get("steps", "all"))
        found |= set(aim.resolve_steps(steps))
    return tuple(sorted(found))


def _said(given: Any) -> str:
    if given.get("edit") == "custom":
        return f"applies the function {given.get('name', '')}"
    described: str = edits.from_json(given).describe()
    return described


def _effect(
    run: Run,
    other: Run,
    label: str,
    drawn: str | None,
    window: tuple[int, ...],
    change: Floats,
    shown: dict[str, Floats],
) -> WordEffect:
    attended = set(run.recording.attended_steps) & set(other.recording.attended_steps)
    before, after, moved = [], [], []
    for step in (step for step in window if step in attended):
        maps = [each.word(label).map(steps=step).array.astype(np.float64) for each in (run, other)]
        latents = [each.recording.pred_x0(step).astype(np.float64) for each in (run, other)]
        before.append(maps[0])
        after.append(maps[1])
        moved.append(resized(np.sqrt(((latents[1] - latents[0]) ** 2).sum(axis=0)), maps[0].shape))
    one, two, latent = (np.stack(each) if each else np.zeros((0, 1, 1)) for each in (before, after, moved))
    mass = float(one.mean()) if one.size else 0.0
    whole = other.word(label).map().array.astype(np.float64)
    iou, chance = sf_iou(shown[label], change)
    return WordEffect(
        word=label,
        acs=(float(two.mean()) - mass) / mass if mass else None,
        p_adc=correlation(one, np.abs(two - one)),
        l_adc=correlation(one, latent),
        sf_iou=iou,
        chance=chance,
        random_word=drawn,
        random_sf_iou=None if drawn is None else sf_iou(shown[drawn], change)[0],
        map_difference=float(np.sqrt(((whole - shown[label]) ** 2).mean())),
    )


def sf_iou(found: Floats, change: Floats) -> tuple[float, float]:
    """IoU of where a map and where a change are above their 75th percentiles, on the map's grid, and its chance level
    `ab / (a + b - ab)`, with `a` and `b` the masks' shares. 0 where neither rises above it."""
    near = resized(change, found.shape)
    one, two = (each > np.percentile(each, PERCENTILE) for each in (found, near))
    a, b = float(one.mean()), float(two.mean())
    union = int((one | two).sum())
    return (int((one & two).sum()) / union if union else 0.0, a * b / (a + b - a * b) if a + b else 0.0)


def correlation(one: Floats, other: Floats) -> float | None:
    """Pearson's, None where either does not vary."""
    x, y = one.ravel() - one.mean() if one.size else one.ravel(), other.ravel()
    y = y - y.mean() if y.size else y
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / norm) if norm > 0 else None


def resized(array: Floats, shape: tuple[int, ...]) -> Floats:
    """A map `[y, x]` on another grid, cells averaged by area."""
    picture = Image.fromarray(array.astype(np.float32))
    made: Floats = np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BOX), np.float64)
    return made
