"""Two runs of one seed, compared: what an edit changed in the picture and in the attention to each word.

Measures are those of Patch Explorer and Diffusion Detective, with chance levels beside them, and beside the same
numbers of a control.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffuscope import edits
from diffuscope.analysis.pairs import check_pair
from diffuscope.analysis.perceptual import Distance, Perceptual, perceptual
from diffuscope.analysis.timeline.judges import DrawnWorld, Judge, name_of
from diffuscope.edits import Edit
from diffuscope.errors import InputError
from diffuscope.scenes.lab import to_lab

if TYPE_CHECKING:
    from diffuscope.run import Run

Floats = NDArray[np.float64]
Moments = tuple[int | None, int | None]

NOTICED = 2.3
"""The CIE76 delta-E of two colours that are just told apart."""

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
class WordTimes:
    """One word over the steps of both runs; pairs are (first run, other run).

    Attributes:
        word: its label.
        kind: ``content``, ``function`` or ``special``.
        mass: attention mass at each step that both recorded.
        peak, stabilisation, emergence: steps of these measures (`diffuscope.analysis.measures`); a peak of a curve that
            hardly moves, and what never came (emergence by attention), are None.
    """

    word: str
    kind: str
    mass: tuple[tuple[float, ...], tuple[float, ...]]
    peak: Moments
    stabilisation: Moments
    emergence: Moments


@dataclass(frozen=True)
class Judged:
    """What a judge says of a word in both pictures.

    Attributes:
        word: its label.
        before, after: the score, 0 where it is not there (the drawn world's judge: 1 or 0); None without an answer.
    """

    word: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Comparison:
    """Two runs that differ in their edits alone.

    Attributes:
        run, other: their ids.
        edits: what the second was made with, one line each.
        window: steps in which those that the first has not act; all where there are none.
        steps: indices of the steps.
        change: CIE76 delta-E of each pixel, `[y, x]`, in CIELAB of D65: 2.3 is just noticed.
        perceptual: distance of the two pictures as they look, or why there is none.
        words: of the prompt.
        times: content words over the steps, with start and end beside them.
        judge: who judged, None where nobody did; judged: what of each word; readings: what the drawn world's judge
            sees in each picture, in words.
        control: the same of a control run (`control(edit)`), where one was given.
        runs: both, for `explain`.
    """

    run: str
    other: str
    edits: tuple[str, ...]
    window: tuple[int, ...]
    steps: tuple[int, ...]
    change: Floats
    perceptual: Perceptual
    words: tuple[WordEffect, ...]
    times: tuple[WordTimes, ...] = ()
    judge: str | None = None
    judged: tuple[Judged, ...] = ()
    readings: tuple[str, str] | None = None
    control: Comparison | None = None
    runs: tuple[Run, Run] | None = field(default=None, repr=False, compare=False)

    def explain(self, writer: Any = "builtin", **options: Any) -> Any:
        """What the edit did, in words: a `diffuscope.explain.Explanation`; see `Run.explain` for the arguments.

        Raises:
            InputError: a comparison that was not made by `compare`, and so has no runs.
        """
        if self.runs is None:
            raise InputError(
                "this comparison has no runs to explain; make it with diffuscope.compare(run, edited)"
            )
        return self.runs[0]._explained(self, writer, **options)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; of the change map its mean, its largest value and the share of pixels above 2.3."""
        return {
            "run": self.run,
            "other": self.other,
            "edits": list(self.edits),
            "window": list(self.window),
            "steps": list(self.steps),
            "change": {
                "unit": "delta-E (CIE76)",
                "mean": float(self.change.mean()),
                "largest": float(self.change.max()),
                "noticed": float((self.change > NOTICED).mean()),
            },
            "perceptual": asdict(self.perceptual),
            "words": [asdict(word) for word in self.words],
            "times": [asdict(word) for word in self.times],
            "judge": self.judge,
            "judged": [asdict(word) for word in self.judged],
            "readings": None if self.readings is None else list(self.readings),
            "control": None if self.control is None else self.control.to_json(),
        }


def compare(
    run: Run,
    other: Run,
    *,
    control: Run | None = None,
    judge: Judge | Literal["auto"] | None = "auto",
    distance: Distance | None = None,
    timelines: bool = True,
    seed: int = 0,
) -> Comparison:
    """Compare a run with an edited one of the same seed.

    Args:
        run, other: the baseline, and what was made of it.
        control: a run made with the control of the same edit, to be compared beside.
        judge: a function of (picture, labels) that scores words in both pictures, as `Run.timeline` takes one; ``auto``
            is that of the drawn world on its runs, and nobody on others.
        distance: of two pictures as they look; FLIP, where it is installed, by default.
        timelines: whether to compare words step by step.
        seed: of the random word.

    Raises:
        InputError: they differ in more than their edits: seed, noise, prompt, settings, scheduler, model, device, type
            of numbers or versions; the message says in what.
        NotKeptError: one has no picture.
    """
    check_pair(run, other)
    beside = None
    if control is not None:
        beside = compare(run, control, judge=judge, distance=distance, timelines=timelines, seed=seed)
    known = run.manifest.edits
    added = [each for each in other.manifest.edits if each not in known]
    steps = tuple(step.index for step in run.manifest.steps)
    window = _window(added, len(steps)) or steps
    change = delta_e(run.image, other.image)
    labels = [word.label for word in run.words if word.tokens]
    shown = {label: run.word(label).map().array.astype(np.float64) for label in labels}
    rng = np.random.default_rng(seed)
    words = []
    for label in labels:
        rest = [each for each in labels if each != label]
        drawn = rest[rng.integers(len(rest))] if rest else None
        words.append(_effect(run, other, label, drawn, window, change, shown))
    by, judged, readings = _judged(run, other, labels, judge)
    return Comparison(
        run=run.id,
        other=other.id,
        edits=tuple(_said(each) for each in other.manifest.edits),
        window=window,
        steps=steps,
        change=change,
        perceptual=perceptual(run.image, other.image, distance),
        words=tuple(words),
        times=_times(run, other) if timelines and labels else (),
        judge=by,
        judged=judged,
        readings=readings,
        control=beside,
        runs=(run, other),
    )


def _times(run: Run, other: Run) -> tuple[WordTimes, ...]:
    one, two = (each.timeline(judge=None) for each in (run, other))
    found = []
    for label in [*one.words, *(label for label in one.controls if label.startswith("<"))]:
        pair = (one[label], two[label])
        peaks = [None if each.peak.flat else each.peak.at.step for each in pair]
        settled = [each.stabilisation.at.step for each in pair]
        seen = [each.emergence_attention.at for each in pair]
        emerged = [None if at is None else at.step for at in seen]
        mass = [tuple(float(value) for value in each.mass) for each in pair]
        found.append(
            WordTimes(
                label,
                pair[0].kind,
                (mass[0], mass[1]),
                (peaks[0], peaks[1]),
                (settled[0], settled[1]),
                (emerged[0], emerged[1]),
            )
        )
    return tuple(found)


def _judged(
    run: Run, other: Run, labels: list[str], judge: Judge | Literal["auto"] | None
) -> tuple[str | None, tuple[Judged, ...], tuple[str, str] | None]:
    """Who judged, what of each word, and what the drawn world's judge sees."""
    if judge is None:
        return None, (), None
    if not isinstance(judge, str):
        scores = [[float(score) for score in judge(each.image, labels)] for each in (run, other)]
        if any(len(each) != len(labels) for each in scores):
            raise InputError(f"the judge {name_of(judge)} gave no score for some of {len(labels)} labels")
        told = [[None if np.isnan(score) else score for score in each] for each in scores]
        return name_of(judge), tuple(map(Judged, labels, *told)), None
    if judge != "auto":
        raise InputError(f"judge={judge!r} is unknown; give a function of (picture, labels), 'auto', or None")
    worlds = [DrawnWorld.of(each) for each in (run, other)]
    one, two = worlds
    if one is None or two is None:
        return None, (), None
    found = tuple(
        Judged(label, *(None if (held := each.holds(label)) is None else float(held) for each in (one, two)))
        for label in labels
        if label in one.meanings
    )
    return one.name, found, (str(one.reading), str(two.reading))


def delta_e(one: Image.Image, other: Image.Image) -> Floats:
    """CIE76 delta-E `[y, x]` of two pictures of one size: the Euclidean distance in CIELAB."""
    first, second = (to_lab(np.asarray(each.convert("RGB"))).astype(np.float64) for each in (one, other))
    distance: Floats = np.sqrt(((first - second) ** 2).sum(axis=-1))
    return distance


def _window(added: list[Any], steps: int) -> tuple[int, ...]:
    found: set[int] = set()
    for each in added:
        # A function has no JSON form, but its aim has.
        inner = each["of"] if each.get("edit") == "control" else each
        function = inner.get("edit") == "custom"
        edit = Edit(steps=inner.get("steps", "all")) if function else edits.from_json(each)
        found |= set(edit.resolve_steps(steps))
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
