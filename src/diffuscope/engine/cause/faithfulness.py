"""A word's map put to the test at the running model; what it means is said in `analysis.cause.faithfulness`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.analysis.cause.faithfulness import (
    DeletionCurve,
    Faithfulness,
    deletion_masks,
    keep,
    map_order,
    trial,
)
from diffuscope.edits import Edit, PatchChoice, Reprompt, Silence, control
from diffuscope.errors import InputError
from diffuscope.recording import Word
from diffuscope.run import Run, WordView, find

if TYPE_CHECKING:
    from diffuscope.engine.drawing import Progress
    from diffuscope.engine.lens import Lens

SHARES = (0.1, 0.25, 0.5, 0.75)
ORDERS = 3


def faithfulness(
    lens: Lens,
    run: Run,
    word: str,
    *,
    shares: Sequence[float] = SHARES,
    orders: int = ORDERS,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Faithfulness:
    """See `Lens.faithfulness`."""
    if run.manifest.keep.branch != "cond":
        raise InputError(
            "the run's words are those of the negative prompt, which edits leave as it is; record with branch='cond'"
        )
    if orders < 1:
        raise InputError(f"orders={orders}: at least one random order stands beside the map's")
    view = WordView(run, find(run.manifest.text, word))
    mine = [each for each in run.words if set(each.tokens) & set(view.tokens)]
    if not mine:
        raise InputError(
            f"{view.label} is no word of the prompt, so it cannot be left out of it; name a word"
        )
    found = view.map().array.astype(np.float64)
    random = np.random.default_rng(seed)
    other = _other(run, mine, random)
    arranged = [map_order(found), *(random.permutation(found.size) for _ in range(orders))]
    tests: list[Edit] = [
        Silence(view.label),
        Reprompt(without(run, mine)),
        control(Silence(view.label), seed=seed),
    ]
    steps: list[Edit] = [
        Silence(view.label, patches=PatchChoice.mask(mask, grid=list(found.shape)))
        for order in arranged
        for mask in deletion_masks(found, shares, order)
    ]
    changes = {
        made.index: made.change for made in lens.sweep(run, [*tests, *steps], progress=progress, **options)
    }
    trials = [
        trial(test.describe(), found, changes[at].astype(np.float64), other) for at, test in enumerate(tests)
    ]
    whole = trials[0].change
    means = np.array([changes[len(tests) + at].mean() for at in range(len(steps))]).reshape(len(arranged), -1)
    curves = [(0.0, *(float(value) for value in row), whole) for row in means]
    result = Faithfulness(
        word=view.label,
        grid=(found.shape[0], found.shape[1]),
        silence=trials[0],
        reprompt=trials[1],
        control=trials[2],
        curve=DeletionCurve((0.0, *(float(share) for share in shares), 1.0), curves[0], tuple(curves[1:])),
        seed=seed,
    )
    keep(run.recording, result)
    return result


def without(run: Run, words: Sequence[Word]) -> str:
    """The run's prompt with words left out, blanks closed up."""
    text = run.prompt
    for word in sorted(words, key=lambda each: -each.start):
        text = text[: word.start] + text[word.end :]
    return " ".join(text.split()).replace(" ,", ",")


def _other(run: Run, words: Sequence[Word], random: np.random.Generator) -> tuple[str, Any] | None:
    """A random word of the prompt that is not one of those in question, and its map."""
    rest = [each.label for each in run.words if each.tokens and each not in words]
    if not rest:
        return None
    drawn = rest[random.integers(len(rest))]
    return drawn, run.word(drawn).map().array.astype(np.float64)
